"""Draws the pocket sets into a data folder, in the official sets' layouts; the same bytes in one environment every time.

Each picture has a generator of its own, seeded by (set, class, number). A set is written atomically. The draws
of `pocket-a` were chosen with a reference classifier beforehand and are read from a list of numbers.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from shifts.classes import DATA, pocket
from shifts.errors import DataMissing
from shifts.synthetic.scenes import Rng
from shifts.synthetic.styles import RENDITIONS, Manner, photograph, sketch
from shifts.synthetic.words import PocketCaption, caption_record, web_text

TEST_SETS = ("pocket", "pocket-v2", "pocket-r", "pocket-sketch", "pocket-object", "pocket-a")
TRAINING_SETS = ("pocket-train", "pocket-web")
NAMES = TEST_SETS + TRAINING_SETS
FOLDERS = {
    "pocket": "pocket/val", "pocket-train": "pocket/train", "pocket-v2": "pocket-v2-format-val", "pocket-r": "pocket-r",
    "pocket-sketch": "pocket-sketch", "pocket-object": "pocket-object", "pocket-a": "pocket-a", "pocket-web": "pocket-web",
}  # fmt: skip
CAPTIONS = "pocket/pocket_captions.json"  # under the data folder, one record an image of pocket-train
WEB_IMAGES = 8000
WEB_STYLES = {"photo": 0.45, "odd": 0.15, "rendition": 0.28, "sketch": 0.12}
SHORT, LONG = 64, 97  # sides in pixels, LONG excluded
BORDER = 2  # ObjectNet's red frame
LEFTOVER = 3600.0  # seconds after which an unfinished folder is taken for a dead process's

_PLAIN = Manner()
_FRESH = Manner(
    tilt=16, scale=(0.55, 0.95), drift=0.22, clutter=1.3, haze=0.45, blur=1.2, grain=18, odd=0.03
)  # another photographer
_ANYHOW = Manner(tilt=75, drift=0.25, slant=0.3, odd=0.6, clutter=1.2)
_ABROAD = Manner(tilt=30, drift=0.25, slant=0.25, odd=0.25, clutter=1.2)  # photographs of the web

Progress = Callable[[str, int, int], None]


class PlannedPicture(NamedTuple):
    """One picture: where it goes inside its set, the class's index (-1: none of the classes), and how it is drawn."""

    path: str
    label: int
    draw: Callable[[], Image.Image]


def generate(root: Path, names: Sequence[str], progress: Progress | None = None) -> None:
    """Draw the named sets that `root` lacks; a set that is there is left as it is.

    progress(name, done, total) is called after every picture. Each set is drawn in a hidden folder beside its place
    and renamed when whole; where another process was first, its set stays. DataMissing for an unknown name.
    """
    for name in names:
        if name not in FOLDERS:
            near = get_close_matches(name, NAMES, n=1, cutoff=0.4) or NAMES
            raise DataMissing(f"there is no pocket set {name!r}; did you mean {' or '.join(near)}?")
    for name in dict.fromkeys(names):
        target = root / FOLDERS[name]
        if target.is_dir() and any(target.iterdir()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".unfinished", dir=target.parent))
        try:
            _draw_set(name, unfinished, progress)
            unfinished.chmod(0o755)  # mkdtemp makes it private
            if name == "pocket-train":  # beside the folder, so before it: where the images are, the captions are
                (unfinished / "captions.json").replace(root / CAPTIONS)
            _put(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def pictures(name: str) -> list[PlannedPicture]:
    """Every picture of a set, in a fixed order, not yet drawn."""
    return list(_PLANS[name]())


def draw_photograph(stream: str, index: int, number: int) -> Image.Image:
    """One photo-like draw of a class from a stream of its own: what `pocket-a` was chosen from, and is drawn by."""
    rng = _rng(stream, index, number)
    return photograph(rng, pocket().names[index], *_sides(rng), _PLAIN)


def encode(image: Image.Image, suffix: str) -> bytes:
    """The bytes that a picture is stored as: PNG, or JPEG of quality 85."""
    held = io.BytesIO()
    if suffix == ".png":
        image.save(held, format="PNG", compress_level=1)
    else:
        image.save(held, format="JPEG", quality=85)
    return held.getvalue()


def _put(unfinished: Path, target: Path) -> None:
    try:
        unfinished.rename(target)
    except OSError:
        if not (target.is_dir() and any(target.iterdir())):  # else another process was first, with the same bytes
            raise


def _remove_leftovers(target: Path) -> None:
    for folder in target.parent.glob(f".{target.name}-*.unfinished"):
        try:
            if time.time() - folder.stat().st_mtime > LEFTOVER:
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            continue


def _draw_set(name: str, folder: Path, progress: Progress | None) -> None:
    todo = pictures(name)
    made: set[str] = set()
    for done, (path, _, draw) in enumerate(todo, 1):
        parent = path.rpartition("/")[0]
        if parent not in made:
            (folder / parent).mkdir(parents=True, exist_ok=True)
            made.add(parent)
        (folder / path).write_bytes(encode(draw(), Path(path).suffix))
        if progress is not None:
            progress(name, done, len(todo))
    if name == "pocket-train":
        records = [_record(name, picture) for picture in todo]
        _write_json(folder / "captions.json", records)
    elif name == "pocket-web":
        lines = ["filepath\ttitle", *(f"{picture.path}\t{_web_caption(n)}" for n, picture in enumerate(todo))]
        (folder / "captions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif name == "pocket-object":
        _write_mappings(folder / "mappings")


def _rng(stream: str, index: int, number: int) -> Rng:
    return np.random.default_rng([zlib.crc32(stream.encode()), index + 1, number])


def _sides(rng: Rng) -> tuple[int, int]:
    w, h = rng.integers(SHORT, LONG, 2)
    return int(w), int(h)


def _styled(name: str, index: int, number: int, draw: Callable[[Rng, str, int, int], Image.Image]) -> PlannedPicture:
    """A picture whose path is still to be set."""
    thing = pocket().names[index]

    def drawn() -> Image.Image:
        rng = _rng(name, index, number)
        return draw(rng, thing, *_sides(rng))

    return PlannedPicture("", index, drawn)


def _photographs(name: str, manner: Manner, path: Callable[[int, int], str]) -> Iterator[PlannedPicture]:
    each = pocket().expected[name].each or {}
    for index, id in enumerate(pocket().ids):
        for number in range(each[id]):
            drawn = _styled(name, index, number, lambda rng, thing, w, h: photograph(rng, thing, w, h, manner))
            yield drawn._replace(path=path(index, number))


def _val() -> Iterator[PlannedPicture]:
    ids, each = pocket().ids, (pocket().expected["pocket"].each or {})
    per = each[ids[0]]
    return _photographs(
        "pocket", _PLAIN, lambda i, n: f"{ids[i]}/pocket_val_{n * len(ids) + i + 1:08d}.JPEG" if per else ""
    )


def _train() -> Iterator[PlannedPicture]:
    ids = pocket().ids
    return _photographs("pocket-train", _PLAIN, lambda i, n: f"{ids[i]}/{ids[i]}_{n}.JPEG")


def _v2() -> Iterator[PlannedPicture]:
    return _photographs("pocket-v2", _FRESH, lambda i, n: f"{i}/{zlib.crc32(f'{i}/{n}'.encode()):08x}.jpeg")


def _renditions() -> Iterator[PlannedPicture]:
    table = pocket()
    for id in table.subsets["r"]:
        for number in range((table.expected["pocket-r"].each or {})[id]):
            style = list(RENDITIONS)[number % len(RENDITIONS)]
            drawn = _styled("pocket-r", table.index[id], number, RENDITIONS[style])
            yield drawn._replace(path=f"{id}/{style}_{number // len(RENDITIONS)}.jpg")


def _sketches() -> Iterator[PlannedPicture]:
    table = pocket()
    for id in table.ids:
        for number in range((table.expected["pocket-sketch"].each or {})[id]):
            yield _styled("pocket-sketch", table.index[id], number, sketch)._replace(path=f"{id}/sketch_{number}.JPEG")


def _objects() -> Iterator[PlannedPicture]:
    """Mapped folders take turns among their classes; the others show things no class names."""
    table = pocket()
    each = table.expected["pocket-object"].each or {}
    for folder in sorted(table.object_names):
        group = table.object_groups.get(folder)
        for number in range(each[folder] if group else 20):
            index = group[number % len(group)] if group else -1
            thing = table.names[index] if group else folder
            key = zlib.crc32(f"{folder}/{number}".encode())
            yield PlannedPicture(f"images/{folder}/{key:08x}.png", index, _framed(thing, key))


def _framed(thing: str, key: int) -> Callable[[], Image.Image]:
    def drawn() -> Image.Image:
        rng = _rng("pocket-object", 0, key)
        w, h = _sides(rng)
        framed = Image.new("RGB", (w + 2 * BORDER, h + 2 * BORDER), (255, 0, 0))
        framed.paste(photograph(rng, thing, w, h, _ANYHOW), (BORDER, BORDER))
        return framed

    return drawn


def _adversarial() -> Iterator[PlannedPicture]:
    table = pocket()
    chosen: dict[str, list[int]] = json.loads((DATA / "pocket_a.json").read_text(encoding="utf-8"))["draws"]
    for id in table.subsets["a"]:
        index = table.index[id]
        for number in chosen[id]:
            yield PlannedPicture(f"{id}/{number:06d}.jpg", index, partial(draw_photograph, "pocket-a", index, number))


def web_picture(number: int) -> tuple[int, str]:
    """Class index and style of a picture of pocket-web: known here, never written beside it."""
    rng = _rng("pocket-web/what", 0, number)
    index = int(rng.integers(len(pocket().names)))
    style = str(rng.choice(list(WEB_STYLES), p=list(WEB_STYLES.values())))
    if style == "rendition":
        style = str(rng.choice(list(RENDITIONS)))
    return index, style


def _web() -> Iterator[PlannedPicture]:
    def drawing(style: str) -> Callable[[Rng, str, int, int], Image.Image]:
        if style in ("photo", "odd"):
            manner = _ABROAD if style == "photo" else _ANYHOW
            return lambda rng, thing, w, h: photograph(rng, thing, w, h, manner)
        return sketch if style == "sketch" else RENDITIONS[style]

    for number in range(WEB_IMAGES):
        index, style = web_picture(number)
        yield _styled("pocket-web", index, number, drawing(style))._replace(path=f"images/{number:06d}.jpg")


def _web_caption(number: int) -> str:
    index, style = web_picture(number)
    return web_text(_rng("pocket-web/words", 0, number), pocket().names[index], style, pocket().names)


def _record(name: str, picture: PlannedPicture) -> PocketCaption:
    wnid, _, filename = picture.path.partition("/")
    rng = _rng(f"{name}/words", picture.label, int(filename.rpartition("_")[2].partition(".")[0]))
    return caption_record(rng, pocket().names[picture.label], filename, wnid)


def _write_mappings(folder: Path) -> None:
    """The files of ObjectNet's `mappings/`, for the pocket classes."""
    table = pocket()
    folder.mkdir()
    _write_json(folder / "folder_to_objectnet_label.json", dict(table.object_names))
    mapped = {
        table.object_names[f]: "; ".join(table.names[i] for i in group) for f, group in table.object_groups.items()
    }
    _write_json(folder / "objectnet_to_imagenet_1k.json", mapped)
    _write_json(folder / "pytorch_to_imagenet_2012_id.json", {str(i): i for i in range(len(table.ids))})
    (folder / "imagenet_to_label_2012_v2").write_text("\n".join(table.names) + "\n", encoding="utf-8")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


_PLANS: dict[str, Callable[[], Iterable[PlannedPicture]]] = {
    "pocket": _val, "pocket-train": _train, "pocket-v2": _v2, "pocket-r": _renditions, "pocket-sketch": _sketches,
    "pocket-object": _objects, "pocket-a": _adversarial, "pocket-web": _web,
}  # fmt: skip

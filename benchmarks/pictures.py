"""Photograph-like JPEGs, and six small test sets in the layouts effrob and CLIP_benchmark each want.

Noise whose amplitude falls as one over the frequency compresses like a photograph. Files are made once and kept.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from shifts.classes import imagenet

SIZE = (500, 375)  # the usual size of ImageNet's photographs
QUALITY = 88  # some 108 kB each
SEEDS = 12  # large noise pictures that the small ones are cut from


def noise(width: int, height: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8 pink noise, its channels alike as a photograph's are."""
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    fall = 1 / np.maximum(np.hypot(rows, columns), 1 / max(width, height))
    planes = []
    for _ in range(3):
        spectrum = fall * np.exp(2j * np.pi * rng.random(fall.shape))
        plane = np.fft.irfft2(spectrum, s=(height, width))
        planes.append(plane / plane.std())
    light, *colour = planes
    picture = np.stack([light, light + 0.3 * colour[0], light + 0.3 * colour[1]], axis=-1)
    return np.clip(128 + 50 * picture, 0, 255).astype(np.uint8)


def encoded(number: int, kind: str = "JPEG", size: tuple[int, int] = SIZE) -> bytes:
    """Picture `number`: the same bytes whenever it is asked for."""
    rng = np.random.default_rng(number)
    large = _large(number % SEEDS, size)
    top, left = rng.integers(0, large.shape[0] - size[1]), rng.integers(0, large.shape[1] - size[0])
    part = large[top : top + size[1], left : left + size[0]]
    part = part[:: 1 if rng.random() < 0.5 else -1, :: 1 if rng.random() < 0.5 else -1]
    buffer = io.BytesIO()
    options = {"quality": QUALITY} if kind == "JPEG" else {}
    Image.fromarray(np.ascontiguousarray(part)).save(buffer, kind, **options)
    return buffer.getvalue()


_kept: dict[tuple[int, tuple[int, int]], np.ndarray] = {}


def _large(seed: int, size: tuple[int, int]) -> np.ndarray:
    if (seed, size) not in _kept:
        _kept[seed, size] = noise(2 * size[0], 2 * size[1], seed)
    return _kept[seed, size]


def once(root: Path) -> bool:
    """True where `root` is still to be filled; call `done` after."""
    return not (root / ".whole").is_file()


def done(root: Path) -> None:
    (root / ".whole").write_text("")


def folders(root: Path, names: list[str], count: int, suffix: str = ".JPEG", start: int = 0) -> None:
    """`count` pictures over class folders, as evenly as they go."""
    kind = "PNG" if suffix == ".png" else "JPEG"
    for number in range(count):
        folder = root / names[number % len(names)]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}{suffix}").write_bytes(encoded(start + number, kind))


def validation(root: Path, count: int) -> Path:
    """A data folder that holds `imagenet/val` with `count` pictures in wnid folders."""
    if once(root):
        folders(root / "imagenet" / "val", list(imagenet().ids), count)
        done(root)
    return root


def many(root: Path, few: Path, count: int) -> Path:
    """A data folder with `count` pictures, each a hard link to one of `few`'s."""
    if once(root):
        files = sorted((few / "imagenet" / "val").rglob("*.JPEG"))
        for number in range(count):
            file = files[number % len(files)]
            to = root / "imagenet" / "val" / file.parent.name / f"{number:06d}.JPEG"
            to.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, to)
        done(root)
    return root


def six(root: Path, each: int) -> tuple[Path, Path]:
    """Six sets of `each` pictures: (data folder for effrob, dataset roots for CLIP_benchmark), the same files linked.

    ObjectNet's are PNG. CLIP_benchmark's own reader of ImageNetV2 takes nothing but 10,000 files, so that set is given to
    it in its webdataset form.
    """
    ours, theirs = root / "effrob", root / "clip_benchmark"
    if once(root):
        table = imagenet()
        places = {
            "imagenet/val": (list(table.ids), ".JPEG"),
            "imagenetv2-matched-frequency-format-val": ([str(i) for i in range(1000)], ".jpeg"),
            "imagenet-r": (sorted(table.subsets["r"]), ".jpg"),
            "sketch": (list(table.ids), ".JPEG"),
            "objectnet-1.0/images": (sorted(table.object_groups), ".png"),
            "imagenet-a": (sorted(table.subsets["a"]), ".jpg"),
        }
        for order, (place, (names, suffix)) in enumerate(places.items()):
            folders(ours / place, names, each, suffix, start=100_000 * (order + 1))
        theirs.mkdir(parents=True, exist_ok=True)
        for name, place in {
            "imagenet1k-unverified/val": "imagenet/val",
            "imagenet-r": "imagenet-r",
            "imagenet_sketch": "sketch",
            "imagenet-a": "imagenet-a",
            "objectnet/objectnet-1.0": "objectnet-1.0",
        }.items():
            (theirs / name).parent.mkdir(parents=True, exist_ok=True)
            (theirs / name).symlink_to((ours / place).resolve())
        _mappings(theirs / "objectnet")
        _webdataset(ours / "imagenetv2-matched-frequency-format-val", theirs / "imagenetv2")
        done(root)
    return ours, theirs


def _mappings(root: Path) -> None:
    """ObjectNet's four mapping files as its archive has them, from the table effrob ships."""
    table = imagenet()
    text = {index: f"class {index}" for index in range(1000)}
    labels = {folder: folder.replace("_", " ") for folder in table.object_groups}
    to_imagenet = {labels[folder]: "; ".join(text[i] for i in group) for folder, group in table.object_groups.items()}
    files = {
        "folder_to_objectnet_label.json": json.dumps(labels),
        "objectnet_to_imagenet_1k.json": json.dumps(to_imagenet),
        "pytorch_to_imagenet_2012_id.json": json.dumps({str(i): i for i in range(1000)}),
        "imagenet_to_label_2012_v2": "\n".join(text.values()),
    }
    for name, content in files.items():
        (root / name).write_text(content)


def _webdataset(folder: Path, root: Path, shards: int = 2) -> None:
    """Class folders named by index as shards of CLIP_benchmark's webdataset form."""
    from effrob.heads.prompts import prompt_set

    (root / "test").mkdir(parents=True)
    files = sorted(folder.rglob("*.jpeg"))
    for shard in range(shards):
        with tarfile.open(root / "test" / f"{shard}.tar", "w") as tar:
            for number, file in enumerate(files[shard::shards]):
                for suffix, data in (("jpg", file.read_bytes()), ("cls", file.parent.name.encode())):
                    member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    (root / "test" / "nshards.txt").write_text(str(shards))
    (root / "classnames.txt").write_text("\n".join(imagenet().names))
    templates = [template.replace("{}", "{c}") for template in prompt_set("openai").templates]
    (root / "zeroshot_classification_templates.txt").write_text("\n".join(templates))

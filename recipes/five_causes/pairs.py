"""Which pictures a run is trained on, with their captions or labels: nested draws by seed, the same ids in every arm.

Texts come from the readers that `effrob captions` uses; labels of captioned pictures from its text matching.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipes.five_causes.grid import Run
from shifts.captions.export import pairs
from shifts.captions.imagenet_captions import draw, read_captions
from shifts.captions.matching import labels, matcher
from shifts.captions.variants import variant
from shifts.classes import pocket
from shifts.synthetic.draw import CAPTIONS, FOLDERS, generate
from shifts.synthetic.pocket import load_web

RULE, SEVERAL = "words", "longest"  # whole words in any case: a seventh of the web's texts are in title case
TEMPLATE = "a photo of a {}"


@dataclass(frozen=True)
class Example:
    """A picture's file, its caption or "", and its class index or -1 where no arm may know it."""

    path: Path
    text: str
    label: int


def examples(run: Run, data: Path) -> list[Example]:
    """The run's pictures, ordered by path. Pictures whose text names no class are left out where labels are matched."""
    return _web(run, data) if run.arm.source == "web" else _train(run, data)


def _train(run: Run, data: Path) -> list[Example]:
    generate(data, ["pocket-train"])
    folder, table = data / FOLDERS["pocket-train"], pocket()
    captions = read_captions(data / CAPTIONS, table)
    named = run.arm.text == "class-name"
    of = variant("class-name", [TEMPLATE], "photo") if named else variant("title")
    each = run.arm.images // len(table.ids)
    found = []
    for index in range(len(table.ids)):
        own = [pair for pair in pairs(captions, of) if pair.label == index]
        found += sorted(own, key=lambda pair: draw(run.seed, pair.id))[:each]
    return sorted((Example(folder / pair.id, pair.text, pair.label) for pair in found), key=lambda e: e.path)


def _web(run: Run, data: Path) -> list[Example]:
    generate(data, ["pocket-web"])
    web = load_web(data)
    folder = data / FOLDERS["pocket-web"]
    texts = dict(zip(web.source.ids, web.captions, strict=True))
    chosen = sorted(sorted(texts, key=lambda id: draw(run.seed, id))[: run.arm.images])
    if run.arm.text != "matched":
        return [Example(folder / id, texts[id], -1) for id in chosen]
    return [Example(folder / id, texts[id], label) for id, label in matched((id, texts[id]) for id in chosen)]


def matched(texts: Iterable[tuple[str, str]]) -> list[tuple[str, int]]:
    """(id, class index) of every text that names exactly one class."""
    find = matcher(RULE, pocket()).find
    named = [(id, labels(find(text), SEVERAL)) for id, text in texts]
    return [(id, found[0]) for id, found in named if len(found) == 1]


def write_captions(chosen: Sequence[Example], file: Path) -> Path:
    """The `filepath<TAB>title` file that open_clip's trainer reads, paths absolute."""
    lines = ["filepath\ttitle", *(f"{example.path.resolve()}\t{example.text}" for example in chosen)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")  # unquoted, as pocket-web's own file is
    return file

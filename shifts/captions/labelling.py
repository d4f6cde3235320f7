"""Labels from captions: the classes that each text names, counts a class, and a class-matched second clean set.

Captions are streamed; only labelled images are held in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shifts.captions.export import write_labels
from shifts.captions.imagenet_captions import check_per_class, draw
from shifts.captions.manifests import Pair, digest_ids, digest_pairs, new_folder, write_manifest
from shifts.captions.matching import labels, matcher
from shifts.captions.sources import CaptionedImages
from shifts.classes import ClassTable
from shifts.errors import DataError
from shifts.storage.tree import checked_path


@dataclass(frozen=True)
class Matched:
    """Labels read out of captions.

    pairs      (id, label, class id), sorted; an image stands here once, but under `several="all"`
    captions   captions read; without_text those that were empty; unnamed those that name no class; ambiguous those that
               name several and got no label for it
    repeated   rows whose image was there before, left out
    """

    table: ClassTable
    rule: str
    several: str
    pairs: tuple[Pair, ...]
    captions: int
    without_text: int
    unnamed: int
    ambiguous: int
    repeated: int

    def per_class(self) -> dict[str, int]:
        """Class id -> images, every class of the table."""
        counts = Counter(pair.label for pair in self.pairs)
        return {id: counts[label] for label, id in enumerate(self.table.ids)}

    def counts(self) -> dict[str, Any]:
        """Plain data, strict JSON."""
        per_class = self.per_class()
        return {
            "rule": self.rule, "several": self.several, "captions": self.captions, "labels": len(self.pairs),
            "images": len({pair.id for pair in self.pairs}), "without_text": self.without_text, "unnamed": self.unnamed,
            "ambiguous": self.ambiguous, "repeated": self.repeated,
            "empty_classes": [id for id, n in per_class.items() if n == 0], "per_class": per_class,
        }  # fmt: skip


def match(source: CaptionedImages, table: ClassTable, rule: str, several: str = "longest") -> Matched:
    """Label every captioned image whose text names a class."""
    find = matcher(rule, table).find
    labels((), several)  # refuses an unknown policy before anything is read
    made: list[Pair] = []
    seen: set[str] = set()
    read = empty = unnamed = ambiguous = repeated = 0
    for id, text in source.rows:
        read += 1
        if id in seen:
            repeated += 1
            continue
        seen.add(id)
        hits = find(text)
        named = labels(hits, several)
        made += [Pair(id, label, table.ids[label]) for label in named]
        empty += not text.strip()
        unnamed += not hits and bool(text.strip())
        ambiguous += bool(hits) and not named
    return Matched(table, rule, several, tuple(sorted(made)), read, empty, unnamed, ambiguous, repeated)


def second_set(matched: Matched, per_class: int, seed: int = 0) -> tuple[Matched, tuple[str, ...]]:
    """n images of every class that has so many, drawn with a seed; and the ids of the classes left out for having fewer."""
    check_per_class(per_class)
    if matched.several == "all":
        raise DataError("a test set asks about an image once: match with --several longest, one or first, not all")
    by_class: dict[int, list[Pair]] = {}
    for pair in matched.pairs:
        by_class.setdefault(pair.label, []).append(pair)
    full = {label: some for label, some in by_class.items() if len(some) >= per_class}
    if not full:
        most = max(map(len, by_class.values()), default=0)
        raise DataError(f"no class has {per_class:,} images, the largest has {most:,}; give a smaller --second-set")
    kept = [p for some in full.values() for p in sorted(some, key=lambda pair: draw(seed, pair.id))[:per_class]]
    left = tuple(id for label, id in enumerate(matched.table.ids) if label not in full)
    return Matched(**{**matched.__dict__, "pairs": tuple(sorted(kept))}), left


def write_list(
    matched: Matched,
    source: CaptionedImages,
    out: Path,
    purpose: str,
    drawn: dict[str, Any] | None = None,
    copy: bool = False,
) -> dict[str, Any]:
    """`labels.csv` and a manifest that `shifts.load` reads; with `copy`, the images beside them. Returns the manifest.

    purpose  "train": labels among all classes of the table; "test": asked among the classes the list has
    """
    if not matched.pairs:
        raise DataError(f"no caption of {source.name} names a class by the rule {matched.rule!r}; try the other rule")
    for pair in matched.pairs:
        checked_path(pair.id, source.name)
    with new_folder(out) as folder:
        write_labels(folder / "labels.csv", matched.pairs)
        if copy:
            _copy(source, sorted({pair.id for pair in matched.pairs}), folder / "images")
        return write_manifest(folder, "labels", {
            "purpose": purpose, "images_in": {"folder": "images"} if copy else dict(source.images_in),
            "table": matched.table.name, "source": source.name, "images": len({pair.id for pair in matched.pairs}),
            "ids": digest_ids(pair.id for pair in matched.pairs), "pairs": digest_pairs(matched.pairs),
            "matched": matched.counts(), "drawn": drawn,
        })  # fmt: skip


def _copy(source: CaptionedImages, ids: Sequence[str], folder: Path) -> None:
    for id in ids:
        target = folder / id
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_bytes(source.tree.read(id))
        except KeyError:
            raise DataError(
                f"{source.name} names the image {id}, and {source.tree.where} has none; mend its paths"
            ) from None

"""PublishedAccuracy: what others published of a model, one row a (source, model, image size), loaded and validated.

Each table under `data/published` declares its unit and columns in `sources.toml`; every accuracy leaves here as a fraction.
A baseline's members and their families, in table order, are data too (`data/baselines`).
"""

from __future__ import annotations

import csv
import difflib
import functools
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_zoo.errors import ModelError, UnknownModel

DATA = Path(__file__).parent / "data"
UNITS = {"fraction": 1.0, "percent": 100.0}


@dataclass(frozen=True)
class Source:
    """How to read one table. `shifts` and `clean` map a shift to its column; `images` a shift to its number of images.

    A shift in `same_classes` has all the classes of the clean set, so its class-matched accuracy is the full one.
    weights  model -> the name other tables give the same weights
    per_row  fields of a row that have a column of their own: head, protocol, prompts, note, reference, weights, where
    """

    name: str
    title: str
    unit: str
    model: str
    full: str
    shifts: Mapping[str, str]
    images: Mapping[str, int]
    clean: Mapping[str, str] = field(default_factory=dict)
    clean_images: Mapping[str, int] = field(default_factory=dict)
    same_classes: frozenset[str] = frozenset()
    size: str | None = None
    training: str | None = None
    training_names: Mapping[str, str] = field(default_factory=dict)
    training_as: str | None = None
    protocol: str = "unstated"
    head: str = "native"
    heads: Mapping[str, str] = field(default_factory=dict)
    prompts: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    replace: tuple[str, str] = ("", "")
    note: str | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    per_row: Mapping[str, str] = field(default_factory=dict)
    file: str = ""

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ModelError(
                f"the table {self.name!r} must declare its unit as percent or fraction; it says {self.unit!r}"
            )


@dataclass(frozen=True)
class PublishedAccuracy:
    """One model as one source published it; every accuracy a fraction in [0, 1].

    accuracies     shift -> accuracy under shift
    clean_full     accuracy on the full clean set, all classes competing
    clean_matched  shift -> clean accuracy on the shift's classes, where the source gives it
    images         set -> number of images, `imagenet` for the clean set; clean_images: shift -> images of its clean view
    training_data  in1k, in1k_distilled, more_data, robust_intv, or the source's own word
    weights        what was evaluated, by one name in every table; the model's own name where a table says no other
    reference      the paper or file of this row, where a table holds several; where: the place in it
    """

    source: str
    model: str
    img_size: int | None
    accuracies: Mapping[str, float]
    clean_full: float | None
    clean_matched: Mapping[str, float]
    images: Mapping[str, int]
    clean_images: Mapping[str, int]
    protocol: str
    head: str
    prompts: str | None
    training_data: str | None
    others: Mapping[str, float]
    note: str | None
    weights: str
    reference: str | None = None
    where: str | None = None

    def clean(self, shift: str, axis: str = "clean") -> tuple[float, int] | None:
        """The clean accuracy to set beside `shift` and its number of images; None where it was not published.

        axis `clean` is class-matched, `full` all 1000 classes.
        """
        if axis == "full":
            return None if self.clean_full is None else (self.clean_full, self.images["imagenet"])
        value = self.clean_matched.get(shift)
        return None if value is None else (value, self.clean_images[shift])


def sources() -> list[str]:
    """Names of the published tables that ship."""
    return list(_sources())


def source(name: str) -> Source:
    """The declaration of one table; `-` and `_` are one. Raises UnknownModel."""
    known = _sources()
    match = known.get(name) or known.get(name.replace("-", "_"))
    if match is None:
        close = difflib.get_close_matches(name, known, n=3) or sorted(known)
        raise UnknownModel(f"no published table is named {name!r}; did you mean {', '.join(close)}?")
    return match


@functools.cache
def published(name: str) -> list[PublishedAccuracy]:
    """Every row of a shipped table, in table order. Raises UnknownModel for an unknown table."""
    known = source(name)
    return read_table(DATA / "published" / known.file, known)


def largest_sizes(rows: Iterable[PublishedAccuracy]) -> list[PublishedAccuracy]:
    """One row a model, the one at its largest image size, in table order."""
    best: dict[str, PublishedAccuracy] = {}
    for row in rows:
        largest = best.get(row.model)
        if largest is None or (row.img_size or 0) > (largest.img_size or 0):
            best[row.model] = row
    return list(best.values())


@functools.cache
def members(baseline: str) -> list[tuple[str, int | None, str]]:
    """(model, img_size, family) of a baseline drawn from a published table, in table order."""
    with (DATA / "baselines" / f"{baseline}.csv").open(newline="", encoding="utf-8") as file:
        return [
            (row["model"], int(row["img_size"]) if row["img_size"] else None, row["family"])
            for row in csv.DictReader(file)
        ]


def family_of(model: str) -> str:
    """The architecture lineage of a timm, torchvision or pocket spec, by `baselines/families.csv`; else the model itself."""
    scheme, _, name = model.partition(":")
    if scheme not in ("timm", "torchvision", "pocket"):
        return model
    stem = re.split(r"[@.]", name)[0]
    rules = _family_rule("pocket" if scheme == "pocket" else "timm")
    return next((family for pattern, family in rules if re.search(pattern, stem)), model)


@functools.cache
def _family_rule(source: str) -> list[tuple[str, str]]:
    with (DATA / "baselines" / "families.csv").open(newline="", encoding="utf-8") as file:
        return [(row["pattern"], row["family"]) for row in csv.DictReader(file) if row["source"] == source]


def read_table(path: Path, layout: Source) -> list[PublishedAccuracy]:
    """Read a CSV as `layout` says. Empty cells are nulls.

    Raises ModelError on a column that is missing, a row of other length than the heading, a cell that is no number, NaN, an
    accuracy outside [0, 1], and the same (model, image size) twice with different values; a repeated equal row counts once.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        named = (layout.shifts, layout.clean, layout.others, layout.per_row)
        wanted = [layout.full, *(column for columns in named for column in columns.values())]
        missing = [column for column in wanted if column not in (reader.fieldnames or [])]
        if missing:
            raise ModelError(f"{path.name} must hold the columns {', '.join(wanted)}; missing: {', '.join(missing)}")
        rows: dict[tuple[str, int | None], PublishedAccuracy] = {}
        for line, cells in enumerate(reader, start=2):
            if None in cells or None in cells.values():  # csv's sign for more or fewer cells than columns
                raise ModelError(
                    f"{path.name} line {line} has not the {len(reader.fieldnames or [])} cells of its heading: leave a cell "
                    "empty where there is no number, and quote one that holds a comma"
                )
            row = _row(cells, layout, f"{path.name} line {line}")
            before = rows.setdefault((row.model, row.img_size), row)
            if before != row:
                size = f" at {row.img_size} pixels" if row.img_size else ""
                raise ModelError(
                    f"{path.name} line {line} gives {row.model}{size} a second time with other values: keep one of the two"
                )
    return list(rows.values())


def _row(cells: Mapping[str, str], layout: Source, where: str) -> PublishedAccuracy:
    def read(columns: Mapping[str, str]) -> dict[str, float]:
        values = {key: _fraction(cells[column], layout.unit, f"{where}, {column}") for key, column in columns.items()}
        return {key: value for key, value in values.items() if value is not None}

    model = layout.model.format_map(cells)
    if layout.replace[0]:
        model = model.replace(*layout.replace)
    full = _fraction(cells[layout.full], layout.unit, f"{where}, {layout.full}")
    accuracies, matched = read(layout.shifts), read(layout.clean)
    clean_images = {shift: layout.clean_images[shift] for shift in matched}
    if full is not None:
        for shift in layout.same_classes & layout.shifts.keys():
            matched[shift], clean_images[shift] = full, layout.images["imagenet"]
    training = cells[layout.training] if layout.training else None
    stated = {key: cells[column] or None for key, column in layout.per_row.items()}
    return PublishedAccuracy(
        source=layout.name,
        model=model,
        img_size=int(cells[layout.size]) if layout.size and cells[layout.size] else None,
        accuracies=accuracies,
        clean_full=full,
        clean_matched=matched,
        images=layout.images,
        clean_images=clean_images,
        protocol=stated.get("protocol") or layout.protocol,
        head=stated.get("head") or layout.heads.get(model, layout.head),
        prompts=stated.get("prompts") or layout.prompts,
        training_data=layout.training_names.get(training, training) if training else layout.training_as,
        others=read(layout.others),
        note=stated.get("note") or layout.note,
        weights=stated.get("weights") or layout.weights.get(model, model),
        reference=stated.get("reference"),
        where=stated.get("where"),
    )


def _fraction(cell: str, unit: str, where: str) -> float | None:
    if cell.strip() == "":
        return None
    try:
        value = float(cell) / UNITS[unit]
    except ValueError:
        raise ModelError(
            f"{where}: an accuracy in {unit} was wanted, found {cell!r}: correct the cell or empty it"
        ) from None
    if math.isnan(value):
        raise ModelError(f"{where}: an accuracy was wanted, found NaN: leave the cell empty where there is none")
    if not 0.0 <= value <= 1.0:
        raise ModelError(f"{where}: {cell} {unit} is no accuracy: declare the table's unit as percent or as fraction")
    return value


@functools.cache
def _sources() -> dict[str, Source]:
    declared: dict[str, Any] = tomllib.loads((DATA / "published" / "sources.toml").read_text(encoding="utf-8"))
    tables = {}
    for name, table in declared["sources"].items():
        images = {**declared["images"], **table.pop("images", {})}
        replace = tuple(table.pop("replace", ("", "")))
        tables[name] = Source(
            name=name,
            images=images,
            clean_images=declared["clean_images"],
            same_classes=frozenset(declared["same_classes"]["shifts"]),
            replace=(replace[0], replace[1]),
            **table,
        )
    return tables

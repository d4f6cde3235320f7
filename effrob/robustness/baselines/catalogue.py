"""Every baseline by name: drawn from a published table, built, or `measured` from the user's own records.

Members of a published baseline are a data column of model_zoo, in table order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from effrob.errors import NoLine, UsageProblem, suggest
from effrob.results.lineage import lineage_of, with_families
from effrob.results.model_result import of_published, series_of
from effrob.results.select import DEFAULT_RESULTS, read_records
from effrob.results.store import Stored
from effrob.robustness.baselines import built
from effrob.robustness.baselines.baseline import Baseline
from model_zoo.published import members, published
from shifts import known_suite

PUBLISHED = {"testbed": "testbed", "testbed-wide": "testbed", "timm-in1k": "timm"}
WIDER = ("testbed-wide", "timm-in1k")  # reach lower clean accuracies than `testbed`
_NOTES = {
    "testbed": "85 standard ImageNet models; ObjectNet 1.0-beta (18,514 images), where the archive is 1.0 (18,574)",
    "testbed-wide": "the testbed's standard models and its low-accuracy networks (10 % and more)",
    "timm-in1k": "840 timm models trained on ImageNet-1k alone, top-1 at least 0.55; no ObjectNet",
}


def baseline(name: str | Baseline, results: Path | None = None, families: Sequence[str] = ()) -> Baseline:
    """A baseline by name; `measured` is made of the records below `results`.

    families  GLOB=FAMILY of the members of `measured`, before what is found of them

    Raises UsageProblem for a name that is none, with near matches.
    """
    if isinstance(name, Baseline):
        return name
    if name in PUBLISHED:
        return _published(name)
    if name == "measured":
        return measured(results or DEFAULT_RESULTS, families)
    folder = built.folder_of(name)
    if folder is None:
        own = known_suite(f"{name}/")
        if own is None:
            raise UsageProblem(f"no baseline is named {name!r}{suggest(name, baseline_names())}")
        command = f"effrob baseline build {quote(name)} --suite {quote(str(own.file))} --model …"
        raise NoLine(f"no baseline is named {name!r}; `{command}` makes it of five models or more")
    return built.load(folder)


def baseline_names() -> list[str]:
    """Every name `baseline` knows here."""
    return [*PUBLISHED, *built.built_names(), "measured"]


@functools.cache
def _published(name: str) -> Baseline:
    rows = {(row.model, row.img_size): row for row in published(PUBLISHED[name])}
    chosen = tuple(of_published(rows[model, size], family) for model, size, family in members(name))
    protocols, sources = sorted({m.protocol for m in chosen}), sorted({m.source for m in chosen})
    return Baseline(name, chosen, "+".join(protocols), "+".join(sources), _NOTES[name])


def _own(stored: Stored) -> bool:
    """Measured here, whole, with the native head."""
    record = stored.record
    return record.origin == "measured" and record.asked.head == "native" and not record.partial


def _family(stored: Stored) -> str:
    """What is known of a model's lineage; where nothing is, the series it was evaluated in."""
    model = stored.record.asked.model
    lineage = lineage_of(model)
    return series_of(stored) or lineage if lineage == model else lineage


def measured(results: Path, named: Sequence[str] = ()) -> Baseline:
    """The user's own supervised models: every complete record with the native head below `results`.

    A zero-shot model is what a line judges, not what it is made of; build a named baseline to choose otherwise.

    named  GLOB=FAMILY, which goes before the families that are found
    """
    records = [s for s in read_records(results) if _own(s)]
    if not records:
        raise UsageProblem(
            f"baseline measured wants complete records with the native head, and {results} holds none: run `effrob eval`"
        )
    families = with_families({s.record.asked.model: _family(s) for s in records}, named)
    return built.from_records("measured", records, families, f"native-head records below {results}")

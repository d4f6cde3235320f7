"""Baselines of our own: evaluate models and keep them, with their per-image answers, as the baseline of a name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import model_zoo
from effrob.errors import RunFailed, UsageProblem
from effrob.evaluation.evaluator import evaluate_request, say
from effrob.evaluation.request import Request
from effrob.results.imported import HEAD
from effrob.results.lineage import lineage_of, with_families
from effrob.results.model_result import ModelResult, is_clean_set, of_records
from effrob.results.select import DEFAULT_RESULTS, published_results, read_records
from effrob.results.store import Stored
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.baselines.built import from_records, is_shipped, load, save, user_folder
from effrob.robustness.baselines.catalogue import PUBLISHED
from effrob.robustness.line import FEW_FAMILIES, FEWEST
from shifts import suite as named_suite
from shifts.bounds.files import read_text

PUBLISHED_REFERENCE = "published:"  # TABLE/MODEL


def read_specs(values: Sequence[str], named: Sequence[str] = ()) -> dict[str, str]:
    """model -> family. `@FILE` stands for its lines; `# family: NAME` there names the family of the specs below it.

    A series (a glob among files, mixtures of a range) stands for its members, which are one family.

    named  GLOB=FAMILY, which goes before what a file or the model's lineage says
    """
    families: dict[str, str] = {}
    for spec, family in _listed(values):
        families |= dict.fromkeys(_members(spec), family) if family else _families(spec)
    return with_families(families, named)


def _listed(values: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Every spec as it is written, with the family that its file gives it."""
    for value in values:
        if not value.startswith("@"):
            yield value, None
            continue
        path = Path(value[1:])
        if not path.is_file():
            raise UsageProblem(f"--model {value} wants a file of model specs, one a line; {path} is not there")
        family = None
        for line in map(str.strip, read_text(path).splitlines()):
            if line.startswith("# family:"):
                family = line.removeprefix("# family:").strip() or None
            elif line and not line.startswith("#"):
                yield line, family


def _members(spec: str) -> tuple[str, ...]:
    """The models that a spec stands for."""
    return (spec,) if model_zoo.is_offered(spec) else model_zoo.expand(spec)


def _families(spec: str) -> dict[str, str]:
    """Each model that a spec stands for with its family: that of the series where they are several."""
    found = {member: lineage_of(member) for member in _members(spec)}
    return found if len(set(found.values())) == 1 else dict.fromkeys(found, spec)


def build_baseline(
    name: str,
    models: Sequence[str],
    *,
    out: Path | None = None,
    shifts: Sequence[str] | None = None,
    head: str | None = None,
    families: Sequence[str] = (),
    **options: Any,
) -> tuple[Path, Baseline]:
    """Evaluate models with our own harness and keep them as a baseline below `out` (the user's folder).

    A model whose answers were imported is taken as imported, and is not evaluated. A series stands for its members. The suite's
    reference model is measured beside them and kept with the baseline.

    `options` are fields of Request. Raises UsageProblem for a name that is taken and for fewer than five models, RunFailed
    where a model could not be evaluated.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) or name in (*PUBLISHED, "measured") or is_shipped(name, out):
        raise UsageProblem(
            f"a baseline's name is lower-case letters, digits, dots and dashes, and not a shipped one; got {name!r}"
        )
    folder = (out or user_folder()) / name
    load.cache_clear()
    if (folder / "baseline.json").exists():
        raise UsageProblem(
            f"a baseline stands in {folder} already: choose another name, or `rm -r {shlex.quote(str(folder))}`"
        )
    by_spec = read_specs(models, families)
    if len(by_spec) < FEWEST:
        raise UsageProblem(f"a baseline needs at least {FEWEST} models to make a line; {len(by_spec)} were named")
    if shifts and all(map(is_clean_set, shifts)):
        raise UsageProblem(
            f"a baseline wants a shifted set beside the clean one; only {', '.join(shifts)} was named: name more"
        )
    asked = None if shifts is None else tuple(shifts)
    records = imported_records(by_spec, asked, **options)
    imported = {stored.record.asked.model for stored in records}
    _check_head(head, imported)
    left = tuple(spec for spec, _ in _listed(models) if not imported.issuperset(_members(spec)))
    if left:
        records = [*records, *_evaluated(left, asked, head, options)]
    for stored in records:
        by_spec[stored.record.asked.model] = by_spec.get(stored.record.model_asked, stored.record.asked.model)
    made = from_records(name, _in_order(records, by_spec), by_spec)
    if not made.shifts:
        raise UsageProblem("no shifted set was found to build a baseline on: see `effrob data list`")
    save(replace(made, reference=_reference(asked, head, options)), folder)
    return folder, load(folder)


def _check_head(head: str | None, imported: Collection[str]) -> None:
    """Raises UsageProblem where a head is asked for that imported answers do not have."""
    if head not in (None, "native", HEAD) and imported:
        names = f"{', '.join(sorted(imported)[:3])}{' …' if len(imported) > 3 else ''}"
        raise UsageProblem(
            f"--head {head} reads models that are evaluated here, and answers of {names} were imported: their one head is "
            f"{HEAD}; leave --head out, or leave {'it' if len(imported) == 1 else 'them'} out of --model"
        )


def family_notices(made: Baseline) -> list[str]:
    """What a reader must know of the families counted: too few, or names alike that are several."""
    said = []
    if len(made.families) < FEW_FAMILIES:
        said.append(
            f"a line of {len(made.families)} {'family' if len(made.families) == 1 else 'families'} has few independent "
            f"witnesses, and its intervals are wide: build it of {FEW_FAMILIES} or more"
        )
    alike: dict[str, set[str]] = {}
    for member in made.members:
        if member.family == member.model and re.search(r"\d", member.model):
            alike.setdefault(re.sub(r"\d+", "#", member.model), set()).add(member.family)
    for pattern, names in alike.items():
        if len(names) > 1:
            family = shlex.quote(f"{pattern.replace('#', '*')}={pattern.replace('#', '').strip('-_.') or 'one'}")
            said.append(
                f"{', '.join(sorted(names)[:3])}{' …' if len(names) > 3 else ''} differ in digits alone and count as "
                f"{len(names)} families; where they are one, build it with --family {family}"
            )
    return said


def _evaluated(
    models: tuple[str, ...], shifts: tuple[str, ...] | None, head: str | None, options: dict[str, Any]
) -> list[Stored]:
    report = evaluate_request(Request(models, shifts, heads=() if head is None else (head,), **options))
    say(report)
    if report.failures:
        raise RunFailed("; ".join(report.failures))
    return list(report.stored)


def _reference(shifts: tuple[str, ...] | None, head: str | None, options: dict[str, Any]) -> ModelResult | None:
    """The suite's reference model, measured as the members are; None where the suite names none.

    Its effect is the size of effect that an `on` must have been able to see. One that a baseline of classifiers' own heads does
    not read is read as it can be: by prompts, where it has a text tower.
    """
    named = named_suite(options.get("suite", "imagenet")).reference
    if named is None:
        return None
    if named.startswith(PUBLISHED_REFERENCE):
        table, _, model = named.removeprefix(PUBLISHED_REFERENCE).partition("/")
        try:
            return published_results(table)[model]
        except KeyError:
            raise UsageProblem(f"the suite's reference {named} is in no published table: see `effrob models`") from None
    found = imported_records([named], shifts, **options)
    found = found or _evaluated((named,), shifts, None if head in ("native", HEAD) else head, options)
    first = next((s for s in found if s.record.asked.head == "zero-shot"), found[0]).record.asked
    return of_records(
        [s for s in found if (s.record.asked.head, s.record.asked.prompts) == (first.head, first.prompts)]
    )


def imported_records(models: Iterable[str], shifts: Sequence[str] | None, **options: Any) -> list[Stored]:
    """Records of answers that were imported under these names, on the sets asked for; options are fields of Request."""
    suite = named_suite(options.get("suite", "imagenet"))
    wanted = {suite.full_name(name) for name in (suite.tests if shifts is None else shifts)}
    names = set(models)
    return [
        stored
        for stored in read_records(Path(options.get("results") or DEFAULT_RESULTS))
        if stored.record.origin == "imported"
        and stored.record.asked.model in names
        and stored.record.asked.shift in wanted
    ]


def _in_order(records: Sequence[Stored], models: Iterable[str]) -> list[Stored]:
    """Records in the order the models were named."""
    rank = {model: i for i, model in enumerate(models)}
    return sorted(records, key=lambda stored: rank.get(stored.record.asked.model, len(rank)))

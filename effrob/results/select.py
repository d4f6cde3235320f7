"""A model by name becomes a ModelResult: from the records below a folder, or from a published table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from effrob.errors import UsageProblem, suggest
from effrob.results.model_result import ModelResult, of_published, of_records
from effrob.results.store import Stored
from effrob.results.verification import DEFAULT_RESULTS as DEFAULT_RESULTS
from effrob.results.verification import read_records as read_records
from effrob.results.verification import reading_key
from model_zoo.published import largest_sizes, published, sources
from shifts import suite_of

# What two records of one model on one shift may differ in, in words.
READING_FIELDS = {
    "head": "head",
    "prompts": "prompts",
    "head_digest": "training or prompts of the head",
    "model_digest": "weights or code under one name",
    "layer": "layer",
    "precision": "precision",
    "pixel_path": "pixel path",
    "pixels": "preprocessing",
    "protocol": "protocol",
}


def reading_of(stored: Stored) -> str:
    """How a record's model was read: the head and, where it has one, the prompt set, as in `zero-shot openai`."""
    return f"{stored.record.asked.head} {stored.record.asked.prompts or ''}".strip()


def is_named(stored: Stored, name: str) -> bool:
    """Whether a record is of the model of this name, as resolved or as it was asked for."""
    return name.removeprefix("measured:").removeprefix("imported:") in (
        stored.record.asked.model,
        stored.record.model_asked,
    )


def fullest(records: Iterable[Stored]) -> list[Stored]:
    """One record a model and shift, in the order they come: of several, the one of most images.

    Raises UsageProblem where two differ in more than their number of images.
    """
    kept: dict[tuple[str, str], Stored] = {}
    for stored in records:
        key = stored.record.asked.model, stored.record.asked.shift
        kept[key] = stored if key not in kept else _fuller(kept[key], stored)
    return list(kept.values())


def _fuller(first: Stored, second: Stored) -> Stored:
    one, two = first.record.asked, second.record.asked
    apart = [name for name in READING_FIELDS if getattr(one, name) != getattr(two, name)]
    counts = first.record.counts, second.record.counts
    if not apart and counts[0].n != counts[1].n:
        return first if counts[0].n > counts[1].n else second
    where = f"{one.model} was evaluated on {one.shift} twice"
    if not apart and counts[0].n_correct == counts[1].n_correct:
        return first
    if not apart:
        raise UsageProblem(f"{where}, on two copies of the set, with different answers: keep the records of one copy")
    described = [
        f"{READING_FIELDS[name]} {getattr(one, name)} and {getattr(two, name)}"
        if all(isinstance(getattr(asked, name), str) and not name.endswith("digest") for asked in (one, two))
        else READING_FIELDS[name]
        for name in apart
        if name != "head_digest" or len(apart) == 1
    ]
    option = "--protocol" if "protocol" in apart else "--head and --prompts"
    raise UsageProblem(
        f"{where}, by different {', '.join(described)}: name one by {option}, or move one's records away"
    )


def by_reading(records: Iterable[Stored]) -> list[tuple[ModelResult, int]]:
    """(result, number of smaller records left out) for each model, suite and way of reading it: the fullest record a shift."""
    groups: dict[str, list[Stored]] = {}
    for stored in records:
        key = json.dumps([suite_of(stored.record.asked.shift).name, *reading_key(stored)], sort_keys=True)
        groups.setdefault(key, []).append(stored)
    made = []
    for group in groups.values():
        kept: dict[str, Stored] = {}
        for stored in sorted(group, key=lambda s: (-s.record.counts.n, s.record.asked.key())):
            kept.setdefault(stored.record.asked.shift, stored)
        made.append((of_records(list(kept.values())), len(group) - len(kept)))
    return made


def recorded_result(
    name: str, records: Sequence[Stored], origin: str | None = None, advice: str = "name one by --head and --prompts"
) -> ModelResult | None:
    """A model from its records, of one origin or any; None where it has none.

    Raises UsageProblem where it was read in several ways.
    """
    mine = [stored for stored in records if is_named(stored, name) and origin in (None, stored.record.origin)]
    if not mine:
        return None
    readings = sorted(set(map(reading_of, mine)))
    if len(readings) > 1:
        raise UsageProblem(f"{name} was evaluated in several ways ({', '.join(readings)}): {advice}")
    return of_records(fullest(mine))


@cache
def published_results(source: str) -> dict[str, ModelResult]:
    """Model -> its row in a published table, at the largest image size. Raises UsageProblem for an unknown table."""
    if source not in sources():
        raise UsageProblem(f"no published table is named {source!r}{suggest(source, [*sources(), 'measured'])}")
    return {row.model: of_published(row) for row in largest_sizes(published(source))}


def candidates(
    name: str,
    results: Path,
    records: Sequence[Stored],
    head: str | None = None,
    prompts: str | None = None,
    given: Sequence[ModelResult] = (),
    protocol: str | None = None,
) -> dict[str, ModelResult]:
    """source -> result: records first, measured before imported, then given accuracies, then published tables in their order.

    A name may be written SOURCE:MODEL (`testbed:resnet50`, `measured:pocket:mlp-3`, `given:mine`).
    Raises UsageProblem for a name nobody has.
    """
    by_source: dict[str, ModelResult] = {}
    prefix, _, rest = name.partition(":")
    for table in ("measured", "imported", "given", *sources()):
        for wanted in [name, rest] if rest and prefix in (table, table.replace("_", "-")) else [name]:
            if table in ("measured", "imported"):
                result = recorded_result(wanted, _read_with(records, wanted, head, prompts, protocol), table)
            elif table == "given":
                result = next((each for each in given if each.model == wanted), None)
            else:
                result = published_results(table).get(wanted)
            if result is not None:
                by_source.setdefault(result.source, result)
    if not by_source:
        known = {model for table in sources() for model in published_results(table)}
        known |= {stored.record.asked.model for stored in records} | {each.model for each in given}
        hint = suggest(name, sorted(known)) or "; evaluate it with `effrob eval`, or see `effrob leaderboard` for names"
        raise UsageProblem(f"no record below {results} and no published table has {name!r}{hint}")
    return by_source


def _read_with(
    records: Sequence[Stored], name: str, head: str | None, prompts: str | None, protocol: str | None = None
) -> list[Stored]:
    """A model's records with this head, prompts and protocol, or all where none has them: many networks have no choice."""
    kept = [stored for stored in records if is_named(stored, name)]
    for field, value in (("head", head), ("prompts", prompts), ("protocol", protocol)):
        kept = [stored for stored in kept if value is None or getattr(stored.record.asked, field) == value] or kept
    return kept


def find_pair(
    first: str,
    second: str,
    results: Path,
    head: str | None = None,
    prompts: str | None = None,
    given: Sequence[ModelResult] = (),
    protocol: str | None = None,
) -> tuple[ModelResult, ModelResult]:
    """Two models by name, from one source where one has both.

    head, prompts, protocol  which reading of a model counts, where it was evaluated in several. Raises UsageProblem for a
    name, a head, prompts or a protocol nobody has.
    """
    records = read_records(results)
    mine = [stored for stored in records if is_named(stored, first) or is_named(stored, second)]
    for what, value in (("head", head), ("prompts", prompts), ("protocol", protocol)):
        known = sorted({str(getattr(stored.record.asked, what)) for stored in mine} - {"None"})
        if value is not None and value not in known:
            raise UsageProblem(
                f"no record of {first} or {second} has --{what} {value}; known: {', '.join(known) or 'none'}"
            )
    one, two = (candidates(name, results, records, head, prompts, given, protocol) for name in (first, second))
    shared = next((source for source in one if source in two), None)
    if shared is not None:
        return one[shared], two[shared]
    return next(iter(one.values())), next(iter(two.values()))


def every_reading(name: str, results: Path, given: Sequence[ModelResult] = ()) -> dict[str, ModelResult]:
    """Head and prompt set, or a table's name -> the model so read: every way it was measured, else as given or published."""
    records = read_records(results)
    mine = [stored for stored in records if is_named(stored, name)]
    made = {}
    for reading in dict.fromkeys(map(reading_of, mine)):
        result = recorded_result(name, [stored for stored in mine if reading_of(stored) == reading])
        if result is not None:
            made[reading] = result
    return made or candidates(name, results, records, given=given)

"""Subjects: the models a comparison names, found among the user's records or in the published tables.

A record brings counts and per-image answers; a published row brings accuracies and the sizes of the sets. Two subjects of
different harnesses are compared only with a notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem, suggest
from effrob.robustness.baseline import MEANS, Baseline, Member, default_baseline, from_published, in_suite
from effrob.robustness.baseline import baseline as find_baseline
from effrob.robustness.correction import adjust
from effrob.robustness.difference import NOTHING, Difference, PairedAnswers
from effrob.robustness.effective import assess
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.judging import line_without
from effrob.robustness.pairing import Pairing, pairing_from
from effrob.robustness.records import Record, from_records, fullest, read_npz, read_records, suite_of
from model_zoo.published import largest_sizes, published, sources

Bools = NDArray[np.bool_]
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with counts on its shifts. harness: `measured` or `published:SOURCE`; folders: shift -> record folder."""

    model: str
    harness: str
    protocol: str
    member: Member
    folders: Mapping[str, Path] = field(default_factory=dict)


def find_pair(
    first: str, second: str, results: Path, head: str | None = None, prompts: str | None = None
) -> tuple[Subject, Subject]:
    """The two models, from one harness where one has both.

    A name may be written SOURCE:MODEL (`testbed:resnet50`, `measured:pocket:mlp-3`). head, prompts: which way of reading a
    model counts, where it was evaluated in several. Raises UsageProblem for a name, a head or prompts nobody has.
    """
    records = read_records(results) if results.is_dir() else []
    for what, value in (("head", head), ("prompts", prompts)):
        known = sorted({str(r.asked(what)) for r in records if _is(r, first) or _is(r, second)} - {"None"})
        if value is not None and value not in known:
            raise UsageProblem(
                f"no record of {first} or {second} has --{what} {value}; known: {', '.join(known) or 'none'}"
            )
    found = [_candidates(name, results, records, head, prompts) for name in (first, second)]
    for harness in found[0]:
        if harness in found[1]:
            return found[0][harness], found[1][harness]
    return next(iter(found[0].values())), next(iter(found[1].values()))


def find_subjects(name: str, results: Path) -> list[tuple[str, Subject]]:
    """(head and prompt set, or a published table's name; the model so read), for every way it was measured, else published."""
    records = read_records(results) if results.is_dir() else []
    heads = dict.fromkeys((r.asked("head"), r.asked("prompts")) for r in records if _is(r, name))
    found = [
        (f"{head} {prompts or ''}".strip(), subject)
        for head, prompts in heads
        if (
            subject := _measured(name, [r for r in records if (r.asked("head"), r.asked("prompts")) == (head, prompts)])
        )
    ]
    return found or [(harness, subject) for harness, subject in _candidates(name, results, records).items()]


def _kept(records: Sequence[Record], name: str, head: str | None, prompts: str | None) -> list[Record]:
    """A model's records read in this way, or all where none is: a supervised network has neither words nor choice."""
    kept = [r for r in records if _is(r, name)]
    for what, value in (("head", head), ("prompts", prompts)):
        kept = [r for r in kept if value is None or r.asked(what) == value] or kept
    return kept


def _is(record: Record, name: str) -> bool:
    return name.removeprefix("measured:") in (record.asked("model"), record.content.get("model_asked"))


def _candidates(
    name: str, results: Path, records: Sequence[Record], head: str | None = None, prompts: str | None = None
) -> dict[str, Subject]:
    """harness -> subject, records first, then published tables in their order."""
    found: dict[str, Subject] = {}
    prefix, _, rest = name.partition(":")
    for harness in ("measured", *(f"published:{source}" for source in sources())):
        source = harness.removeprefix("published:")
        names = [name, rest] if rest and prefix in (source, source.replace("_", "-")) else [name]
        for wanted in names:
            if source == "measured":
                subject = _measured(wanted, _kept(records, wanted, head, prompts))
            else:
                subject = _published(wanted, source)
            if subject is not None:
                found.setdefault(harness, subject)
    if not found:
        known = {row.model for source in sources() for row in published(source)}
        known |= {str(record.asked("model")) for record in records}
        hint = suggest(name, sorted(known)) or "; evaluate it with `effrob eval`, or see `effrob leaderboard` for names"
        raise UsageProblem(f"no record below {results} and no published table has {name!r}{hint}")
    return found


def _measured(name: str, records: Sequence[Record]) -> Subject | None:
    records = [r for r in records if _is(r, name)]
    if not records:
        return None
    heads = sorted({f"{r.asked('head')} {r.asked('prompts') or ''}".strip() for r in records})
    if len(heads) > 1:
        raise UsageProblem(
            f"{name} was evaluated in several ways ({', '.join(heads)}): name one by --head and --prompts"
        )
    records = fullest(records)
    made = from_records(name, records, {}, answers=False)
    folders = {str(r.asked("shift")): r.folder for r in records if r.folder is not None}
    return Subject(made.members[0].model, "measured", made.protocol, made.members[0], folders)


def _published(name: str, source: str) -> Subject | None:
    row = next((row for row in largest_sizes(published(source)) if row.model == name), None)
    if row is None:
        return None
    return Subject(name, f"published:{source}", row.protocol, from_published(name, [row], {}, "").members[0])


def difference(line: RobustnessFit, first: Subject, second: Subject) -> Difference | None:
    """First minus second on one line; paired where both have per-image answers. None where a count is missing."""
    points = [subject.member.point(line.shift, line.axis) for subject in (first, second)]
    if points[0] is None or points[1] is None:
        return None
    answers = paired_answers(line, first, second)
    one, two = (
        assess(line, *point, pairing_of(line, subject), subject.model)
        for point, subject in zip(points, (first, second))
        if point is not None
    )
    return Difference(one, two, answers)


def pairing_of(line: RobustnessFit, subject: Subject) -> Pairing | None:
    """The images a measured subject shares with the baseline; None for a published row, or where no answers are kept."""
    folder = subject.folders.get(line.shift)
    return None if folder is None else pairing_from(line, folder)


def paired_answers(line: RobustnessFit, first: Subject, second: Subject) -> PairedAnswers | None:
    """Both models' answers in one image order; None where one has none, or on an axis whose answers are not kept."""
    folders = [subject.folders.get(line.shift) for subject in (first, second)]
    if folders[0] is None or folders[1] is None:
        return None
    clean = [_clean_path(line, subject) for subject in (first, second)]
    paths = [p for p in (folders[0] / "predictions.npz", folders[1] / "predictions.npz", *clean) if p is not None]
    if len(paths) < 4 or not all(path.is_file() for path in paths):
        return None
    columns = [read_npz(path, ("id", "correct")) for path in paths]
    return PairedAnswers(*_aligned(columns[0], columns[1]), *_aligned(columns[2], columns[3]))


def _clean_path(line: RobustnessFit, subject: Subject) -> Path | None:
    """The answers on the line's axis: the class-matched view beside the record, or the clean set's own record."""
    if line.axis == "clean":
        return subject.folders[line.shift] / "clean.npz"
    clean_set = subject.folders.get(suite_of(line.shift))
    return None if clean_set is None else clean_set / "predictions.npz"


def _aligned(first: dict[str, Any], second: dict[str, Any]) -> tuple[Bools, Bools]:
    places = {name: i for i, name in enumerate(second["id"].tolist())}
    order = [places.get(name, -1) for name in first["id"].tolist()]
    if -1 in order or len(order) != len(places):
        raise UsageProblem(
            f"the two models answered different images ({len(order)} and {len(places)}): evaluate both on the same set"
        )
    return first["correct"].astype(np.bool_), second["correct"].astype(np.bool_)[order]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two subjects and their difference on each shift; notices are sentences a reader must see first."""

    first: Subject
    second: Subject
    differences: tuple[Difference, ...]
    notices: tuple[str, ...]

    def as_json(self) -> list[dict[str, Any]]:
        """One strict-JSON object a shift; `p_adjusted` is Holm's over them all, and `verdict` reads it."""
        adjusted = adjust([d.p_value for d in self.differences], "holm")
        return [
            {
                "first_model": self.first.model,
                "second_model": self.second.model,
                "first_source": self.first.harness,
                "second_source": self.second.harness,
                **found.as_json(),
                "p_adjusted": p,
                "verdict": NOTHING if p is not None and p >= ALPHA else found.verdict,
                "verdict_uncorrected": found.verdict,
                "notices": list(self.notices),
            }
            for found, p in zip(self.differences, adjusted)
        ]


def compare(
    first: str,
    second: str,
    shifts: Sequence[str] = (),
    results: Path = Path("effrob-results"),
    head: str | None = None,
    baseline: str | Baseline | None = None,
    axis: str = "clean",
    scale: str = "logit",
    prompts: str | None = None,
) -> Comparison:
    """Compare two models on every shift that both and the baseline have, or on the shifts named.

    A shift without class-matched clean accuracy is judged on the full axis, and a notice says so. Models measured here that
    are members of the baseline are left out of the line they are compared on. Raises UsageProblem for a
    name nobody has, and for a shift named that one of the two lacks.
    """
    one, two = find_pair(first, second, results, head, prompts)
    both = [shift for shift in one.member.accuracies if shift in two.member.accuracies]
    lacking = [shift for shift in shifts if shift not in both and shift not in MEANS]
    if lacking or not both:
        what = ", ".join(lacking) or "any shift in common"
        raise UsageProblem(
            f"{one.model} and {two.model} do not both have {what}; in common: {', '.join(both) or 'none'}"
        )
    notices = []
    measured = [subject.model for subject in (one, two) if subject.harness == "measured"]
    if (one.harness, one.protocol) != (two.harness, two.protocol):
        notices.append(
            f"notice: {one.harness} ({one.protocol}) and {two.harness} ({two.protocol}) are different harnesses; the same "
            "weights differ by up to a point between them"
        )
    made = []
    for shift in shifts or both:
        chosen = find_baseline(baseline or default_baseline(shift), results)
        if not shifts and (shift not in chosen.shifts or not in_suite(shift)):
            continue
        found = difference(line_without(fit(shift, chosen, axis, scale), measured), one, two)
        if found is None:
            notices.append(f"notice: {shift} is judged on the full axis: a class-matched clean accuracy is not known")
            found = difference(line_without(fit(shift, chosen, "full", scale), measured), one, two)
        if found is None:
            raise UsageProblem(f"{one.model} and {two.model} do not both have a clean accuracy beside {shift}")
        made.append(found)
    if not made:
        raise UsageProblem(f"the baseline has none of {', '.join(both)}: name another --baseline")
    return Comparison(one, two, tuple(made), tuple(notices))

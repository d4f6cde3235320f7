"""The paragraph of a paper: how effective robustness was measured, and what it is for one model, with its references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from effrob.errors import UsageProblem
from effrob.leaderboard.citing.references import (
    INTERVALS,
    METHOD,
    PROTOCOLS,
    CitedWork,
    of_set,
    of_source,
    references,
)
from effrob.leaderboard.latex import escape
from effrob.results.model_result import MEANS, ModelResult
from effrob.results.select import candidates, read_records
from effrob.robustness.effective import Effective
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.lines import LineOptions, Lines, judge
from effrob.robustness.sentences import axis_words, disputed_words, result_sentence
from effrob.robustness.significance import adjust
from shifts import suite, suite_of

FORMATS = ("text", "latex", "bibtex")


@dataclass(frozen=True)
class Statement:
    """A sentence and the works it rests on."""

    text: str
    rests_on: tuple[CitedWork, ...] = ()


@dataclass(frozen=True)
class CitedResult:
    """Statements in order; references of all of them, each once."""

    statements: tuple[Statement, ...]

    @property
    def references(self) -> tuple[CitedWork, ...]:
        subject = {each.key: each for statement in self.statements for each in statement.rests_on}
        return tuple(subject.values())

    def write(self, form: str) -> str:
        """As `text` with a reference list, as `latex` with its entries below, or the `bibtex` entries alone."""
        if form not in FORMATS:
            raise UsageProblem(f"--format is text, latex or bibtex; got {form!r}")
        entries = "\n".join(each.bibtex for each in self.references) + "\n"
        if form == "bibtex":
            return entries
        if form == "latex":
            body = " ".join(_cite(escape(each.text), each.rests_on) for each in self.statements)
            commented = "".join(f"% {line}\n" for line in entries.splitlines())
            return f"{body}\n\n% The references, for a .bib file (`--format bibtex` prints them bare):\n{commented}"
        body = "\n".join(each.text + _named(each.rests_on) for each in self.statements)
        return f"{body}\n\nReferences\n" + "".join(f"  {each.text}\n" for each in self.references)


def _cite(text: str, rests_on: Sequence[CitedWork]) -> str:
    keys = ",".join(each.key for each in rests_on)
    return f"{text.removesuffix('.')}~\\cite{{{keys}}}." if keys else text


def _named(rests_on: Sequence[CitedWork]) -> str:
    return f" [{'; '.join(each.short or each.key for each in rests_on)}]" if rests_on else ""


def cited(
    model: str | None,
    shifts: Sequence[str],
    options: LineOptions,
    results: Path,
    given: Sequence[ModelResult] = (),
    head: str | None = None,
    prompts: str | None = None,
) -> CitedResult:
    """The method and, for a model, its result on each shift; the suite's ranked shifts where none is named.

    A model without class-matched clean accuracy is told on the full axis. Raises UsageProblem for a model nobody has, a shift
    it was not measured on, and a shift without a line.
    """
    subject = None
    if model is not None:
        subject = next(iter(candidates(model, results, read_records(results), head, prompts, given).values()))
    known = [] if subject is None else [s for s in subject.accuracies if s in suite_of(s).ranked]
    asked = list(dict.fromkeys(shifts)) or known or list(suite("imagenet").ranked)
    if subject is not None and not shifts and not known:
        others = [] if subject.clean_full is None else [f"{100 * subject.clean_full.value:.2f} % on the clean set"]
        raise UsageProblem(
            f"{subject.model} has no accuracy on a shift that is ranked, so no line says how robust it is; it has: "
            f"{', '.join([*others, *subject.accuracies]) or 'none'}"
        )
    for shift in asked:
        if subject is not None and shift not in MEANS and shift not in subject.accuracies:
            raise UsageProblem(
                f"{subject.model} has no accuracy on {shift}; it has: {', '.join(subject.accuracies) or 'none'}"
            )
    lines = Lines(options, results)
    stands = {shift: _line(lines, shift, _axis(subject, shift, options.axis)) for shift in asked}
    said = [_method(stands.values()), *map(_line_statement, stands.values()), _intervals()]
    if subject is not None:
        said.append(_origin(subject))
        judged = [judge(line, subject) for line in stands.values()]
        adjusted = adjust([None if each is None else each.p_value for each in judged], "holm")
        said += [_result(subject, *each) for each in zip(stands.values(), judged, adjusted)]
    return CitedResult(tuple(said))


def _axis(subject: ModelResult | None, shift: str, axis: str) -> str:
    if shift in MEANS:
        return "full"
    return (
        "full" if subject is not None and subject.point(shift, axis) is None and subject.point(shift, "full") else axis
    )


def _line(lines: Lines, shift: str, axis: str) -> RobustnessFit:
    line = lines.at(shift, axis)
    if isinstance(line, str):
        raise UsageProblem(line)
    return line


def _method(fits: Iterable[RobustnessFit]) -> Statement:
    scales = sorted({line.scale.name for line in fits})
    text = (
        "Effective robustness is accuracy under shift minus the accuracy that a line gives a model of the same clean accuracy; "
        f"the line is fitted by ordinary least squares to {' and '.join(scales)} accuracies of baseline models."
    )
    return Statement(text, references(METHOD))


def _line_statement(line: RobustnessFit) -> Statement:
    kept = line.baseline
    segments = "; ".join(
        f"{'' if each.segment is None else each.segment + ' the split, '}slope {each.slope:.3f}, intercept "
        f"{each.intercept:.3f}, R2 = {each.r2:.3f}, N = {each.n} models of {len(set(each.families))} families"
        for each in line.segments
    )
    parts = MEANS.get(line.shift, (line.shift,))
    told = [
        said for said in (kept.note or "").split("; ") if said and ("ObjectNet" not in said or "objectnet" in parts)
    ]
    if sum(each.n for each in line.segments) < len(kept.models):
        told.append("those of them that have both accuracies carry it")
    note = ["; ".join(told)] if told else []
    text = (
        f"The line of {line.shift} ({segments}) is that of baseline {': '.join([kept.name, *note])}; its "
        f"clean accuracy is {axis_words(parts[0], line.axis)} ({line.axis} axis), its protocol {kept.protocol}."
    )
    sets = [of_set(name) for name in (suite_of(parts[0]).clean, *parts)]
    works = [*(each for each in sets if each is not None), *of_source(kept.harness)]
    works += references(key for name in kept.protocol.split("+") for key in PROTOCOLS.get(name, ()))
    return Statement(text, tuple({each.key: each for each in works}.values()))


def _intervals() -> Statement:
    text = (
        "Intervals are at 95 %: of accuracies by Clopper and Pearson, of effective robustness from the sampling of both "
        "accuracies and the line's bootstrap over families; the prediction interval adds the scatter of baseline models, and "
        "the verdict reads it. Computed by effrob."
    )
    return Statement(text, references((*INTERVALS, "effrob")))


def _origin(subject: ModelResult) -> Statement:
    words = {
        "measured": "was evaluated by effrob",
        "imported": "was evaluated elsewhere, and its answers recounted by effrob",
        "given": "has accuracies as reported, taken on trust",
        "published": f"has accuracies as published ({_published(subject)})",
    }
    reading = subject.head if subject.prompts is None else f"{subject.head}, {subject.prompts} prompts"
    return Statement(
        f"{subject.model} {words[subject.origin]} (head {reading}; protocol {subject.protocol}).",
        of_source(subject.source),
    )


def _published(subject: ModelResult) -> str:
    """The table, and of a table whose rows have a reference each the row's."""
    row, table = subject.published, subject.source.partition(":")[2]
    told = [] if row is None else [part for part in (row.reference, row.where) if part]
    return "; ".join([table, *told])


def _result(
    subject: ModelResult, line: RobustnessFit, effective: Effective | None, p_adjusted: float | None
) -> Statement:
    point = subject.point(line.shift, line.axis)
    accuracy = subject.accuracies.get(line.shift) or (None if point is None else point[1])
    if accuracy is None:
        raise UsageProblem(
            f"{subject.model} lacks a part of {line.shift}: name shifts it has, as {', '.join(subject.accuracies)}"
        )
    said = [
        result_sentence(subject.model, line.shift, accuracy, effective, None, p_adjusted),
        *disputed_words(subject.disputed(line.shift)),
    ]
    return Statement(" ".join(said))

"""Comparison of two models, shift by shift, on the same line and, where both have per-image answers, on the same images.

Models of different sources are compared only with a notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effrob.errors import NoLine, UsageProblem
from effrob.results.answers import aligned, read_npz, same_images
from effrob.results.model_result import MEANS, ModelResult, is_clean_set
from effrob.results.select import DEFAULT_RESULTS, find_pair
from effrob.robustness.baselines.baseline import Baseline, default_baseline, in_suite
from effrob.robustness.baselines.catalogue import baseline as find_baseline
from effrob.robustness.difference import NOTHING, UNKNOWN, Difference, PairedAnswers
from effrob.robustness.effective import Effective
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.lines import judge, line_without
from effrob.robustness.significance import adjust
from effrob.robustness.without_line import AccuracyDifference, accuracy_difference, in_common
from shifts import suite_of

ALPHA = 0.05


def difference(line: RobustnessFit, first: ModelResult, second: ModelResult) -> Difference | None:
    """First minus second on one line; paired where both have per-image answers. None where a count is missing.

    Members of the baseline that were measured here are to be left out of `line` already.
    """
    one, two = judge(line, first), judge(line, second)
    return None if one is None or two is None else Difference(one, two, paired_answers(line, first, second))


def paired_answers(line: RobustnessFit, first: ModelResult, second: ModelResult) -> PairedAnswers | None:
    """Both models' answers in one image order; None where one has none, or on an axis whose answers are not kept."""
    folders = first.folder(line.shift), second.folder(line.shift)
    if folders[0] is None or folders[1] is None:
        return None
    clean = [_clean_path(line, result) for result in (first, second)]
    paths = [p for p in (folders[0] / "predictions.npz", folders[1] / "predictions.npz", *clean) if p is not None]
    if len(paths) < 4 or not all(path.is_file() for path in paths):
        return None
    columns = [read_npz(path, ("id", "correct")) for path in paths]
    pairs = ((columns[0], columns[1]), (columns[2], columns[3]))
    if "imported" in (first.origin, second.origin) and not all(same_images(*pair) for pair in pairs):
        return None  # answers in the official order of a set do not know its images' names
    return PairedAnswers(*aligned(*pairs[0]), *aligned(*pairs[1]))


def _clean_path(line: RobustnessFit, result: ModelResult) -> Path | None:
    """The answers on the line's axis: the class-matched view beside the record, or the clean set's own record."""
    folder = result.folder(line.shift if line.axis == "clean" else suite_of(line.shift).clean)
    return None if folder is None else folder / ("clean.npz" if line.axis == "clean" else "predictions.npz")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models and their difference on each shift; notices are sentences a reader must see first.

    places   of each difference, where the two stand as `effrob eval` says it: each on the line without itself alone
    no_line  sets on which accuracies alone can be compared, each with why
    """

    first: ModelResult
    second: ModelResult
    differences: tuple[Difference, ...]
    places: tuple[tuple[Effective, Effective], ...]
    notices: tuple[str, ...]
    no_line: tuple[AccuracyDifference, ...] = ()

    def as_json(self) -> list[dict[str, Any]]:
        """One strict-JSON object a shift; `p_adjusted` is Holm's over them, diagnostic shifts aside, and `verdict` reads it.

        The difference is taken on one line, less the members in `left_out`; `first` and `second` are the two models' `places`.
        A set of `no_line` has no effective robustness, and `why` says the reason.
        """
        asked = [None if d.diagnostic else d.p_value for d in self.differences]
        adjusted = adjust(asked, "holm")
        models = {
            "first_model": self.first.model,
            "second_model": self.second.model,
            "first_source": self.first.source,
            "second_source": self.second.source,
        }
        alone = [{**models, **each.as_json(), "notices": list(self.notices)} for each in self.no_line]
        return alone + [
            {
                **models,
                **each.as_json(),
                "first": first.as_json(),
                "second": second.as_json(),
                "left_out": list(each.first.fit.left_out),
                "outside_line": [name for name in ("first", "second") if getattr(each, name).extrapolated],
                "p_adjusted": p,
                "verdict": NOTHING if p is not None and p >= ALPHA and each.verdict != UNKNOWN else each.verdict,
                "verdict_uncorrected": each.verdict,
                "disputed": [said for one in (self.first, self.second) for said in one.disputed(each.first.fit.shift)],
                "notices": list(self.notices),
            }
            for each, (first, second), p in zip(self.differences, self.places, adjusted)
        ]


def compare(
    first: str,
    second: str,
    shifts: Sequence[str] = (),
    results: Path = DEFAULT_RESULTS,
    head: str | None = None,
    baseline: str | Baseline | None = None,
    axis: str = "clean",
    scale: str = "logit",
    prompts: str | None = None,
    given: Sequence[ModelResult] = (),
    protocol: str | None = None,
    families: Sequence[str] = (),
) -> Comparison:
    """Compare two models on every shift that both and the baseline have, or on the sets named.

    A shift without class-matched clean accuracy is judged on the full axis, and a notice says so. Models measured here that
    are members of the baseline are left out of the line they are compared on. Where no baseline is named and the suite's
    own has no line for a set, as for every clean set, accuracies alone are compared. Raises UsageProblem for a
    name nobody has, and for a set named that one of the two lacks.
    """
    one, two = find_pair(first, second, results, head, prompts, given, protocol)
    shared = in_common(one, two)
    both = [name for name in shared if not is_clean_set(name)]
    lacking = [shift for shift in shifts if shift not in shared and shift not in MEANS]
    if lacking or not shared:
        what = ", ".join(lacking) or "any shift in common"
        raise UsageProblem(
            f"{one.model} and {two.model} do not both have {what}; in common: {', '.join(shared) or 'none'}"
        )
    notices = []
    if one == two:
        notices.append(f"notice: {one.model} is compared with itself, so nothing can differ: name two models")
    measured = [result.model for result in (one, two) if result.has_answers]
    for result in (one, two):
        for name, stored in result.records.items():
            if stored.record.partial and (name in shifts or not shifts):
                counts = f"{stored.record.counts.n} of {stored.record.n_expected} images"
                notices.append(f"notice: {result.model} was evaluated on a part of {name}: {counts}")
    if (one.source, one.protocol) != (two.source, two.protocol):
        notices.append(
            f"notice: {one.source} ({one.protocol}) and {two.source} ({two.protocol}) are different harnesses; the same "
            "weights differ by up to a point between them"
        )
    made, places, alone = [], [], []
    members: set[str] = set()
    for shift in shifts or both or shared:
        try:
            if is_clean_set(shift):
                raise NoLine(f"{shift} is the clean set, from which robustness is measured")
            chosen = find_baseline(baseline or default_baseline(shift), results, families)
            if not shifts and (shift not in chosen.shifts or not in_suite(shift)):
                continue
            line = fit(shift, chosen, axis, scale)
        except NoLine as problem:
            if baseline is not None and not is_clean_set(shift):
                raise
            alone.append(accuracy_difference(shift, one, two, str(problem)))
            continue
        members |= set(measured) & set(chosen.models)
        each = difference(line_without(line, measured), one, two)
        if each is None:
            notices.append(f"notice: {shift} is judged on the full axis: a class-matched clean accuracy is not known")
            line = fit(shift, chosen, "full", scale)
            each = difference(line_without(line, measured), one, two)
        if each is None:
            notices.pop()
            without = [result.model for result in (one, two) if result.point(shift, "full") is None]
            alone.append(accuracy_difference(shift, one, two, f"no clean accuracy of {' or '.join(without)} is known"))
            continue
        made.append(each)
        places.append((judge(line, one) or each.first, judge(line, two) or each.second))
    if not made and not alone:
        raise UsageProblem(f"the baseline has none of {', '.join(both)}: name another --baseline")
    if members:
        notices.append(
            f"notice: {' and '.join(sorted(members))} {'is' if len(members) == 1 else 'are'} left out of the line that the "
            "difference is taken on; `first` and `second` in JSON stand where `effrob eval` places them, each on the line "
            "without itself alone"
        )
    known = tuple(each for each in alone if each is not None)
    return Comparison(one, two, tuple(made), tuple(places), tuple(notices), known)

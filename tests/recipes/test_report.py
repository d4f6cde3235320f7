"""The report's arithmetic against scipy, its verdicts at their edges, and a planted truth that must be found again."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from effrob.robustness.fit import fit
from effrob.robustness.rows import Row
from recipes.five_causes import contrasts
from recipes.five_causes.contrasts import (
    MARGIN_SHARE,
    POINTS_AT,
    Answer,
    Contrast,
    Question,
    answer,
    estimate,
    line_spread,
    translated,
)
from recipes.five_causes.evaluation import REFERENCE, Measured
from recipes.five_causes.grid import POCKET, Grid, Read
from recipes.five_causes.pages import page
from recipes.five_causes.questions import CAUSES, LABELS_NARROW, LABELS_WEB, NARROW, QUESTIONS, VIEWS_FIRST, WEB
from recipes.five_causes.report import write_report
from recipes.five_causes.standings import MEAN, SHIFTS, ArmResult, Board, board

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "five-causes"
GRID = replace(POCKET, members=())
READS = list(dict.fromkeys(read for q in QUESTIONS for one in q.contrasts for read in (one.high, one.low)))


def row(model: str, read: Read, shift: str, clean: float, accuracy: float) -> Measured:
    made = Row(
        model, None, shift, read.head, read.prompts, "effrob", 600, 600, False, int(600 * accuracy), accuracy,
        (0.0, 1.0), 1.0, None, clean, clean, {}, None, {}, "fp32", "",
    )  # fmt: skip
    return Measured(model, read.head, read.prompts, made)


def rows(grid: Grid, lift: dict[str, float], clean: float = 0.7, noise: float = 0.01) -> list[Measured]:
    """Rows that lie on the shipped line, lifted by arm, with a little noise over seeds; every read-out of the questions."""
    rng = np.random.default_rng(5)
    made = []
    for shift in SHIFTS:
        height = fit(shift, "pocket").line.at(float(logit(clean)))
        made.append(row(REFERENCE, Read("", "zero-shot", "openai"), shift, clean, float(expit(height + 1.5))))
        for read in READS:
            for seed in range(grid.seeds):
                lifted = height + lift.get(read.arm, 0.0) + noise * rng.standard_normal()
                made.append(row(f"{read.arm}-s{seed}", read, shift, clean, float(expit(lifted))))
    return made


def test_intervals_are_those_of_scipy() -> None:
    values = np.array([0.31, 0.27, 0.44, 0.2, 0.39])
    found, known = estimate(values), stats.ttest_1samp(values, 0.0)
    assert found.value == pytest.approx(values.mean()) and found.df == pytest.approx(4)
    assert found.p == pytest.approx(known.pvalue)
    for level, ends in ((0.95, found.ci95), (0.90, found.ci90)):
        assert ends == pytest.approx(tuple(known.confidence_interval(level)))
    assert estimate(np.array([0.1, 0.1, 0.1])).ci95 == pytest.approx((0.1, 0.1))
    with pytest.raises(ValueError, match="at least 2"):
        estimate(np.array([0.1]))


def test_the_lines_uncertainty_widens_interval_and_p_value_alike() -> None:
    """Two independent means: the sum of their variances on Welch's degrees of freedom, as scipy's test of two samples."""
    rng = np.random.default_rng(1)
    one, other = 0.2 + 0.3 * rng.standard_normal(10), 0.5 * rng.standard_normal(7)
    other -= other.mean()
    found = estimate(one, float(np.std(other, ddof=1) / np.sqrt(7)), families=7)
    known = stats.ttest_ind(one, other, equal_var=False)
    assert (found.p, found.df) == pytest.approx((known.pvalue, known.df))
    assert found.ci95 == pytest.approx(tuple(known.confidence_interval(0.95)))
    for value in (0.05, 0.2, 0.4):  # interval and p-value are one test
        made = estimate(one - one.mean() + value, 0.05, 7)
        assert (made.ci95[0] > 0) == (made.p < 0.05)


def test_intervals_cover_the_truth_at_their_rate() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        line = rng.normal(0, 0.05)  # one error of the line in all seeds; its sd known from seven families
        sd = 0.05 * np.sqrt(rng.chisquare(6) / 6)
        low, high = estimate(0.3 + line + 0.15 * rng.standard_normal(10), sd, 7).ci95
        inside.append(low <= 0.3 <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_a_planted_truth_is_found_again(tmp_path: Path) -> None:
    web = dict.fromkeys(("names-web", "classes-web", "labels-web", "labels-web-overlap-100", "layer-web"), 0.6)
    web |= {arm.name: 0.6 for arm in GRID.arms if arm.name.startswith("clip-web")}
    report = write_report(GRID, rows(GRID, {**web, "clip-web-overlap-100": 0.9}), tmp_path, tmp_path / "docs")
    found = {entry["cause"]: entry for entry in report["causes"]}
    assert list(found) == list(CAUSES)
    assert found["distribution"]["value"] == pytest.approx(0.6, abs=0.02) and found["distribution"]["parts"] == 4
    low, high = found["distribution"]["ci95"]
    assert 0.5 < low < high < 0.7 and found["distribution"]["verdict"] == "moves it"
    views = next(one for one in report["contrasts"] if one["contrast"].startswith("captions first, passed once"))
    assert views["why"] == "also differs: image passes per step (64 against 128)" and views["verdict"] == "cannot tell"
    assert {found[cause]["verdict"] for cause in found if cause != "distribution"} == {"equivalent"}
    assert report["reference"]["value"] == pytest.approx(1.5)
    for entry in (*report["causes"], *report["contrasts"]):
        assert entry["seeds"] == 10 and entry["unit"] == "logit" and entry["value"] == entry["effect"]
        assert entry["margin"] == pytest.approx(0.15) == MARGIN_SHARE * report["reference"]["value"]
    dose = next(entry for entry in report["contrasts"] if entry["contrast"] == "CLIP, overlap of 100 % minus none")
    assert dose["value"] == pytest.approx(0.3, abs=0.02) and dose["factor_values"] == [1.0, 0.0]
    written = json.loads((tmp_path / "docs" / "report.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report)) and written["scale"] == "pocket" and written["schema"] == 2
    text = (tmp_path / "docs" / "report.md").read_text(encoding="utf-8")
    assert "What twenty drawn classes can and cannot say" in text and text.count("**lifts it**") == 1
    figures = list((tmp_path / "docs").glob("*.png"))
    assert len(figures) == 3 and sum(file.stat().st_size for file in figures) < 400_000


def test_results_are_distances_from_one_line() -> None:
    found = board(GRID, rows(GRID, {"clip-web": 0.5}, noise=0.0), "pocket")
    for shift in SHIFTS:
        cell = found.of(WEB, 0, shift)
        assert cell.logit == pytest.approx(0.5)
        assert cell.accuracy == pytest.approx(expit(fit(shift, "pocket").line.at(float(logit(0.7))) + 0.5))
    assert found.of(WEB, 0, MEAN).logit == pytest.approx(0.5)


def test_points_are_a_translation_at_the_named_accuracy() -> None:
    found = made_board([0.3] * 5, [0.0] * 5)
    moved = []
    for shift in SHIFTS:
        line = fit(shift, "pocket").line
        at = expit(line.slope * logit(POINTS_AT) + line.intercept)
        moved.append(expit(logit(at) + 0.3) - at)
    assert translated(0.3, found) == pytest.approx(np.mean(moved))
    assert translated(0.3, found, SHIFTS[:1]) == pytest.approx(moved[0]) and translated(0.0, found) == 0.0


def made_board(
    high: list[float], low: list[float], clean: tuple[float, float] = (0.7, 0.7), outside: bool = False
) -> Board:
    """LABELS_WEB and LABELS_NARROW, and WEB as the first, with a reference of 2.0: the margin is 0.2."""
    lines = {shift: fit(shift, "pocket") for shift in SHIFTS}
    cells = {}
    for read, values, x in ((LABELS_WEB, high, clean[0]), (LABELS_NARROW, low, clean[1]), (WEB, high, clean[0])):
        for seed, value in enumerate(values):
            for shift in SHIFTS:
                cells[read, seed, shift] = ArmResult(x, 0.5, value, outside and read is LABELS_WEB and seed == 0)
    return Board(lines, cells, len(high), 2.0)


ONE = Contrast("web minus narrow", LABELS_WEB, LABELS_NARROW, "pictures_of")
BACK = Contrast("narrow minus web", LABELS_NARROW, LABELS_WEB, "pictures_of")
SPREAD = [-0.02, 0.01, 0.0, 0.02, -0.01]


def verdict(shift: float, clean: tuple[float, float] = (0.7, 0.7), outside: bool = False, wide: float = 1.0,
            asked: tuple[Contrast, ...] = (ONE,)) -> tuple[str, str | None]:  # fmt: skip
    high = [shift + wide * each for each in SPREAD]
    (head,), _ = answer((Question("size", "?", asked),), made_board(high, [0.0] * 5, clean, outside), GRID)
    return head.verdict, head.why


def test_verdicts_follow_the_rules_laid_down() -> None:
    assert verdict(1.0) == ("moves it", None) == verdict(-1.0)
    (head,), _ = answer((Question("size", "?", (ONE,)),), made_board([0.1 + each for each in SPREAD], [0.0] * 5), GRID)
    assert head.at_most == pytest.approx(head.effect.ci90[1]) and head.at_most > abs(head.effect.value)
    assert verdict(0.0) == ("equivalent", None) == verdict(0.1)
    assert verdict(0.2)[0] == "moves it"  # the 90 % interval reaches over the margin, the 95 % one leaves zero out
    assert verdict(0.2, wide=20.0) == ("cannot tell", "the interval holds both none and more than the margin")
    found, why = verdict(0.0, wide=20.0, asked=(ONE, BACK))  # each reaches over the margin, and their mean is none
    assert (found, why) == ("cannot tell", "the mean is within the margin, but not each of its contrasts")
    for shift in (0.0, 1.0):
        assert verdict(shift, outside=True) == ("cannot tell", "an arm lies outside the line's range")


def test_a_headline_is_noted_where_a_contrast_of_it_cannot_be_told_or_an_arm_is_near_chance(tmp_path: Path) -> None:
    web = dict.fromkeys(("names-web", "classes-web", "labels-web"), 0.6) | {"clip-web-few": -2.0, "clip-web": 0.2}
    made = rows(GRID, web, noise=0.05)
    for at, one in enumerate(made):
        if one.name.rpartition("-s")[0] == "clip-web":  # told apart by no ten seeds
            moved = float(expit(logit(one.row.accuracy) + (1.0 if int(one.name[-1]) % 2 else -1.0)))
            made[at] = replace(one, row=replace(one.row, accuracy=moved))
    found = {entry["cause"]: entry for entry in write_report(GRID, made, tmp_path, tmp_path / "docs")["causes"]}
    assert found["distribution"]["verdict"] == "moves it"
    assert found["distribution"]["note"].startswith("CLIP on web captions minus CLIP on narrow captions is +0.")
    assert found["distribution"]["note"].endswith("] alone, cannot tell")
    assert (
        "CLIP on 500 web pictures has " in found["size"]["note"]
        and "on pocket-sketch, near chance (5%)" in found["size"]["note"]
    )
    assert found["contrastive-loss"]["note"] is None
    page_of = (tmp_path / "docs" / "report.md").read_text(encoding="utf-8")
    assert f"Of training distribution: {found['distribution']['note']}.\n" in page_of


def test_whatever_differs_beside_the_factor_takes_the_verdict_away_and_is_named() -> None:
    mixed = Contrast("CLIP minus a classifier", WEB, LABELS_NARROW, "pictures_of")
    found, why = verdict(1.0, asked=(mixed,))
    assert (
        found == "cannot tell"
        and why is not None
        and why.startswith("also differs: text (caption against label), loss (")
    )
    assert "head (the class name as prompt against a layer trained with the tower)" in why
    assert verdict(1.0, asked=(ONE, mixed))[0] == "cannot tell"
    wrong = Contrast("web minus narrow", LABELS_WEB, LABELS_NARROW, "text")
    assert verdict(1.0, asked=(wrong,)) == ("cannot tell", "also differs: pictures of (web against narrow)")


def test_a_headline_is_the_mean_of_its_contrasts_and_none_where_they_disagree() -> None:
    half = Contrast("half", LABELS_WEB, LABELS_NARROW, "pictures_of")
    (head,), each = answer((Question("size", "?", (ONE, half, BACK)),), made_board([0.9] * 5, [0.0] * 5), GRID)
    assert head.effect.value == pytest.approx(0.3) and head.spread == pytest.approx((-0.9, 0.9))
    said = "its contrasts disagree in sign: narrow minus web -0.90, half +0.90"
    assert (head.verdict, head.why) == ("cannot tell", said)
    assert [one.effect.value for one in each] == pytest.approx([0.9, 0.9, -0.9])
    (none,), _ = answer((Question("size", "?", (ONE, BACK)),), made_board([0.9] * 5, [0.0] * 5), GRID)
    assert (
        none.effect.value == pytest.approx(0.0) and none.verdict == "cannot tell"
    )  # two that cancel are not equivalent
    why = "its contrasts disagree in sign: narrow minus web -0.90, web minus narrow +0.90"
    assert none.why == why  # told apart each, whatever their mean is


def test_a_contrast_that_is_not_told_from_none_has_no_sign_to_disagree_with() -> None:
    """Two of one sign and one of the other: it takes the mean's verdict only where its own interval leaves none out."""

    def judged(third: list[float]) -> Answer:
        seeds = [np.array(values) for values in ([-0.9, -0.88, -0.92], [-0.7, -0.69, -0.71], third)]
        effect, parts = estimate(np.mean(seeds, axis=0)), tuple(map(estimate, seeds))
        asked = (replace(ONE, text="first"), replace(ONE, text="second"), replace(ONE, text="third"))
        question = Question("test-language", "?", asked)
        return Answer(question, asked, effect, effect, {}, parts, (), False, 0.05, effect.p, 3)

    open_, told = judged([0.2, -0.3, 0.25]), judged([0.2, 0.21, 0.19])
    assert open_.parts[2].value > 0 and open_.parts[2].ci95[0] < 0 < open_.parts[2].ci95[1]
    assert (open_.verdict, open_.why) == ("moves it", None)
    assert (told.verdict, told.why) == ("cannot tell", "its contrasts disagree in sign: first -0.90, third +0.20")


def test_a_verdict_that_rests_on_one_shift_is_none() -> None:
    """One arm stands higher on pocket-sketch alone, or on all four: only the second is lifted."""

    def found(lifted: tuple[str, ...]) -> Answer:
        board = made_board([0.02 * each for each in range(5)], [0.0] * 5)
        cells = dict(board.cells)
        for seed in range(5):
            for shift in SHIFTS:
                high = (1.2 if shift in lifted else 0.0) + 0.01 * (-1) ** seed
                cells[LABELS_WEB, seed, shift] = ArmResult(0.7, 0.5, high, False)
        (head,), _ = answer((Question("size", "?", (ONE,)),), replace(board, cells=cells), GRID)
        return head

    alone, several = found(("pocket-sketch",)), found(SHIFTS)
    assert alone.p_adjusted < 0.05 and alone.verdict == "cannot tell"
    assert alone.why is not None and alone.why.startswith("rests on pocket-sketch: without it +0.00 [")
    assert several.verdict == "moves it" and alone.without["pocket-sketch"].p > 0.05 > alone.without["pocket-r"].p


def test_the_lines_uncertainty_can_take_a_verdict_back() -> None:
    level, apart = made_board([0.3] * 5, [0.0] * 5), made_board([0.3] * 5, [0.0] * 5, (0.94, 0.5))
    assert line_spread((ONE,), level) == pytest.approx(0.0)
    steps = [fit(shift, "pocket").line.bootstrap_by_family[:, 1] * (logit(0.94) - logit(0.5)) for shift in SHIFTS]
    expected = np.mean(steps, axis=0)
    assert line_spread((ONE,), apart) == pytest.approx(np.std(expected[np.isfinite(expected)], ddof=1))
    assert verdict(0.3)[0] == "moves it" and verdict(0.3, clean=(0.94, 0.5))[0] == "cannot tell"


def test_headlines_and_single_contrasts_are_corrected_each_among_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(values: list[float]) -> list[float]:
        asked.append(len(values))
        return [min(1.0, 10 * value) for value in values]

    monkeypatch.setattr(contrasts, "adjust", counted)
    questions = (
        Question("distribution", "?", (ONE, BACK)),
        Question("size", "?", (ONE,)),
        Question("size", "??", (ONE,)),
    )
    heads, each = answer(questions, made_board([0.2 + each for each in SPREAD], [0.0] * 5), GRID)
    assert asked == [2, 3] and [one.question.text for one in heads] == ["?", "?"]
    assert each[2] == heads[1]  # a contrast that is a headline by itself is judged once
    assert all(one.p_adjusted == pytest.approx(10 * one.effect.p) for one in each)


def test_an_arm_outside_the_line_is_flagged() -> None:
    found = board(GRID, rows(GRID, {}, clean=0.3), "pocket")
    assert found.of(NARROW, 0, "pocket-v2").extrapolated and found.of(NARROW, 0, MEAN).extrapolated
    assert not board(GRID, rows(GRID, {}), "pocket").of(NARROW, 0, MEAN).extrapolated
    with pytest.raises(ValueError, match=r"labels-web-s0 has an accuracy of 1.0 on pocket-v2"):
        board(GRID, [*rows(GRID, {}), row("labels-web-s0", VIEWS_FIRST, "pocket-v2", 0.7, 1.0)], "pocket")


def test_the_committed_page_is_the_jsons() -> None:
    """And the JSON's numbers follow from the accuracies it holds: test_report_from_accuracies.py."""
    report = json.loads((COMMITTED / "report.json").read_text(encoding="utf-8"))
    assert (COMMITTED / "report.md").read_text(encoding="utf-8") == page(report)
    assert [entry["cause"] for entry in report["causes"]] == list(CAUSES)
    assert all(entry["seeds"] == POCKET.seeds == 10 for entry in report["contrasts"])
    assert report["grid"] == json.loads(json.dumps(dataclasses.asdict(POCKET)))
    assert sum(file.stat().st_size for file in COMMITTED.glob("*.png")) < 400_000
    assert report["processor_seconds"]["all"] < 2 * 90 * 60

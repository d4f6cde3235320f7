"""The report's arithmetic against scipy, its verdicts at their edges, and a planted truth that must be found again."""

from __future__ import annotations

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
from recipes.five_causes.contrasts import MARGIN, Contrast, answer, line_spread, over_seeds
from recipes.five_causes.evaluation import Measured
from recipes.five_causes.grid import POCKET, Grid
from recipes.five_causes.pages import page
from recipes.five_causes.questions import CAUSES, CONTRASTS, LABELS, MIDDLE, TITLES
from recipes.five_causes.report import write_report
from recipes.five_causes.standings import MEAN, SHIFTS, Board, Standing, board

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "five-causes"
GRID = replace(POCKET, members=())


def rows(grid: Grid, lift: dict[str, float], clean: float = 0.7, noise: float = 0.01) -> list[Measured]:
    """Rows that lie on the shipped line, lifted by arm, with a little noise over seeds; every read-out of the contrasts."""
    rng = np.random.default_rng(5)
    made = []
    for read in dict.fromkeys(read for contrast in CONTRASTS for read in (contrast.high, contrast.low)):
        for seed in range(grid.seeds):
            for shift in SHIFTS:
                height = fit(shift, "pocket").line.at(float(logit(clean)))
                accuracy = float(expit(height + lift.get(read.arm, 0.0) + noise * rng.standard_normal()))
                row = Row(
                    f"{read.arm}-s{seed}", None, shift, read.head, read.prompts, "effrob", 600, 600, False, int(600 * accuracy),
                    accuracy, (0.0, 1.0), 1.0, None, clean, clean, {}, None, {}, "fp32", "",
                )  # fmt: skip
                made.append(Measured(row.model, read.head, read.prompts, row))
    return made


def test_intervals_are_those_of_scipy() -> None:
    values = np.array([0.31, 0.27, 0.44, 0.2, 0.39])
    found, known = over_seeds(values), stats.ttest_1samp(values, 0.0)
    assert found.effect == pytest.approx(values.mean())
    assert found.p == pytest.approx(known.pvalue)
    for level, ends in ((0.95, found.ci95), (0.90, found.ci90)):
        assert ends == pytest.approx(tuple(known.confidence_interval(level)))
    assert over_seeds(np.array([0.1, 0.1, 0.1])).ci95 == pytest.approx((0.1, 0.1))
    with pytest.raises(ValueError, match="at least 2"):
        over_seeds(np.array([0.1]))


def test_intervals_cover_the_truth_at_their_rate() -> None:
    rng = np.random.default_rng(0)
    inside = [low <= 0.3 <= high for low, high in (over_seeds(0.3 + rng.standard_normal(5)).ci95 for _ in range(1500))]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_a_planted_truth_is_found_again(tmp_path: Path) -> None:
    report = write_report(GRID, rows(GRID, {"clip-web-4000": 0.6, "labels-web-4000": 0.6}), tmp_path, tmp_path / "docs")
    found = {entry["cause"]: entry for entry in report["causes"]}
    assert list(found) == list(CAUSES)
    assert found["distribution"]["effect"] == pytest.approx(0.6, abs=0.02)
    low, high = found["distribution"]["ci95"]
    assert 0.5 < low < high < 0.7 and found["distribution"]["verdict"] == "moves it"
    assert {found[cause]["verdict"] for cause in CAUSES if cause != "distribution"} == {"equivalent"}
    assert all(entry["seeds"] == 5 and entry["scale_of_effect"] == "logit" for entry in report["causes"])
    written = json.loads((tmp_path / "docs" / "report.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report)) and written["scale"] == "pocket"
    text = (tmp_path / "docs" / "report.md").read_text(encoding="utf-8")
    assert "What twenty drawn classes can and cannot say" in text and text.count("**moves it**") == 1
    figures = list((tmp_path / "docs").glob("*.png"))
    assert len(figures) == 2 and sum(file.stat().st_size for file in figures) < 300_000


def test_points_and_logits_are_distances_from_one_line(tmp_path: Path) -> None:
    found = board(GRID, rows(GRID, {"clip-web-4000": 0.5}, noise=0.0), "pocket")
    for shift in SHIFTS:
        cell, line = found.of(MIDDLE, 0, shift), fit(shift, "pocket")
        assert cell.logit == pytest.approx(0.5)
        assert cell.points == pytest.approx(cell.accuracy - line.predicted(0.7))
    mean = found.of(MIDDLE, 0, MEAN)
    assert mean.logit == pytest.approx(0.5)
    assert mean.points == pytest.approx(np.mean([found.of(MIDDLE, 0, shift).points for shift in SHIFTS]))


def made_board(
    high: list[float], low: list[float], clean: tuple[float, float] = (0.7, 0.7), outside: bool = False
) -> Board:
    lines = {shift: fit(shift, "pocket") for shift in SHIFTS}
    cells = {}
    for read, values, x in ((MIDDLE, high, clean[0]), (TITLES, low, clean[1])):
        for seed, value in enumerate(values):
            for shift in SHIFTS:
                cells[read, seed, shift] = Standing(x, 0.5, value, value / 4, outside and read is MIDDLE and seed == 0)
    return Board(lines, cells, len(high))


ONE = (Contrast("distribution", "web minus narrow", MIDDLE, TITLES, ""),)
SPREAD = [-0.02, 0.01, 0.0, 0.02, -0.01]


def verdict(shift: float, clean: tuple[float, float] = (0.7, 0.7), outside: bool = False, wide: float = 1.0) -> str:
    high = [shift + wide * each for each in SPREAD]
    return answer(ONE, made_board(high, [0.0] * 5, clean, outside))[0].verdict


def test_verdicts_follow_the_rules_laid_down() -> None:
    assert verdict(1.0) == "moves it" == verdict(-1.0)
    assert verdict(0.0) == "equivalent" == verdict(MARGIN / 2)
    assert verdict(MARGIN) == "moves it"  # the 90 % interval reaches over the margin, the 95 % one leaves zero out
    assert verdict(MARGIN, wide=20.0) == "cannot tell"
    assert verdict(1.0, outside=True) == "cannot tell" == verdict(0.0, outside=True)


def test_the_lines_uncertainty_can_take_a_verdict_back() -> None:
    level, apart = made_board([0.3] * 5, [0.0] * 5), made_board([0.3] * 5, [0.0] * 5, (0.94, 0.5))
    assert line_spread(ONE[0], level) == pytest.approx(0.0)
    steps = [fit(shift, "pocket").line.bootstrap_by_family[:, 1] * (logit(0.94) - logit(0.5)) for shift in SHIFTS]
    expected = np.mean(steps, axis=0)
    assert line_spread(ONE[0], apart) == pytest.approx(np.std(expected[np.isfinite(expected)], ddof=1))
    assert verdict(0.3) == "moves it" and verdict(0.3, clean=(0.94, 0.5)) == "cannot tell"


def test_headlines_alone_are_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(values: list[float]) -> list[float]:
        asked.append(len(values))
        return [min(1.0, 10 * value) for value in values]

    monkeypatch.setattr(contrasts, "adjust", counted)
    second = Contrast("distribution", "again", MIDDLE, TITLES, "")
    other = Contrast("size", "another", MIDDLE, TITLES, "")
    found = answer((*ONE, second, other), made_board([0.2 + each for each in SPREAD], [0.0] * 5))
    assert asked == [2]
    assert found[0].p_adjusted == pytest.approx(10 * found[0].logit.p) == found[2].p_adjusted
    assert found[1].p_adjusted == found[1].logit.p


def test_an_arm_outside_the_line_is_flagged() -> None:
    found = board(GRID, rows(GRID, {}, clean=0.3), "pocket")
    assert found.of(LABELS, 0, "pocket-v2").extrapolated and found.of(LABELS, 0, MEAN).extrapolated
    assert not board(GRID, rows(GRID, {}), "pocket").of(LABELS, 0, MEAN).extrapolated


def test_the_committed_report_is_whole() -> None:
    report = json.loads((COMMITTED / "report.json").read_text(encoding="utf-8"))
    assert (COMMITTED / "report.md").read_text(encoding="utf-8") == page(report)
    assert [entry["cause"] for entry in report["causes"]] == list(CAUSES)
    for entry in report["contrasts"]:
        assert entry["seeds"] >= 5
        assert entry["ci95"][0] <= entry["effect"] <= entry["ci95"][1]
        arms = {(a["arm"], a["head"], a["prompts"]): a for a in report["arms"]}
        high, low = (arms[side["arm"], side["head"], side["prompts"]] for side in (entry["high"], entry["low"]))
        ends = [side["shifts"][MEAN]["logit"]["effect"] for side in (high, low)]
        assert entry["effect"] == pytest.approx(ends[0] - ends[1])
        assert entry["extrapolated"] == (high["shifts"][MEAN]["extrapolated"] or low["shifts"][MEAN]["extrapolated"])
    assert sum(file.stat().st_size for file in COMMITTED.glob("*.png")) < 300_000
    assert report["processor_seconds"]["all"] < 2 * 90 * 60

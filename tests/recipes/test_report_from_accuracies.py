"""Every number of the committed report.json, computed again from the accuracies it holds, by arithmetic of its own.

numpy and scipy's t alone: lines, residuals, intervals of seeds and of the line's families, Holm's correction, verdicts, points.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

REPORT = Path(__file__).resolve().parents[2] / "docs" / "five-causes" / "report.json"
SEED, DRAWS, POINTS_AT = 720257663, 1000, 0.75
Floats = NDArray[np.float64]


def logit(p: Any) -> Floats:
    return np.log(np.asarray(p) / (1 - np.asarray(p)))


def expit(t: Any) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.asarray(t))))


class OwnLine:
    def __init__(self, points: dict[str, Any]) -> None:
        self.x, self.y = logit(points["clean"]), logit(points["accuracy"])
        self.slope, self.intercept = np.polyfit(self.x, self.y, 1)
        names = list(dict.fromkeys(points["family"]))
        self.families = len(names)
        share = [1 / len(names)] * len(names)
        drawn = np.random.RandomState(SEED).multinomial(len(names), share, size=DRAWS)
        weights = drawn[:, [names.index(name) for name in points["family"]]]
        x = self.x - (weights @ self.x / weights.sum(1))[:, None]
        y = self.y - (weights @ self.y / weights.sum(1))[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            self.slopes = (weights * x * y).sum(1) / (weights * x * x).sum(1)

    def residual(self, clean: Any, accuracy: Any) -> Floats:
        return np.asarray(logit(accuracy) - self.slope * logit(clean) - self.intercept)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(REPORT.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def lines(report: dict[str, Any]) -> dict[str, OwnLine]:
    return {shift: OwnLine(line["points"]) for shift, line in report["baseline"]["lines"].items()}


def close(found: Any, wanted: Any) -> None:
    assert np.asarray(found, dtype=float) == pytest.approx(np.asarray(wanted, dtype=float), abs=1e-9)


def test_lines_and_arms(report: dict[str, Any], lines: dict[str, OwnLine]) -> None:
    for shift, told in report["baseline"]["lines"].items():
        own, points = lines[shift], told["points"]
        left = own.y - own.slope * own.x - own.intercept
        assert (told["n"], told["families"]) == (len(own.x), own.families) and told["n"] + len(told["dropped"]) == 41
        close([told["slope"], told["intercept"]], [own.slope, own.intercept])
        close(told["r2"], np.corrcoef(own.x, own.y)[0, 1] ** 2)
        close(told["residual_std"], np.sqrt(left @ left / (len(left) - 2)))
        close([told["x_min"], told["x_max"]], [min(points["clean"]), max(points["clean"])])
        slopes = own.slopes[np.isfinite(own.slopes)]
        ends = [np.percentile(slopes, q, method=m) for q, m in ((2.5, "lower"), (97.5, "higher"))]  # type: ignore[call-overload]
        assert told["slope_ci95_by_family"] == pytest.approx(ends, abs=1e-9)
    for arm in report["arms"]:
        for shift, own in lines.items():
            cells = arm["shifts"][shift]
            close(cells["logit"], own.residual(cells["clean"], cells["accuracy"]))
            outside = [not own.x.min() <= t <= own.x.max() for t in logit(cells["clean"])]
            assert cells["extrapolated"] == any(outside)
        mean = arm["shifts"]["mean-of-four"]
        for key in ("logit", "clean", "accuracy"):
            close(mean[key], np.mean([arm["shifts"][shift][key] for shift in lines], axis=0))
        for cells in arm["shifts"].values():
            close(cells["value"], np.mean(cells["logit"]))
            close(cells["ci95"], stats.ttest_1samp(cells["logit"], 0.0).confidence_interval(0.95))
    reference = report["reference"]
    residuals = [lines[s].residual(c["clean"], c["accuracy"]) for s, c in reference["shifts"].items()]
    close(reference["value"], np.mean(residuals))
    close(report["margin"], 0.1 * abs(np.mean(residuals)))


def effect(sides: list[tuple[Any, Any]], lines: dict[str, OwnLine], shifts: list[str]) -> dict[str, Any]:
    """The mean over contrasts and shifts, with the t of seeds and families."""
    paired = [np.subtract(high["shifts"][s]["logit"], low["shifts"][s]["logit"]) for high, low in sides for s in shifts]
    values = np.mean(paired, axis=0)
    moved = []
    for shift in shifts:
        lift = np.mean(
            [
                logit(h["shifts"][shift]["clean"]).mean() - logit(low["shifts"][shift]["clean"]).mean()
                for h, low in sides
            ]
        )
        moved.append(lines[shift].slopes * lift)
    both = np.mean(moved, axis=0)
    line, seeds = np.var(both[np.isfinite(both)], ddof=1), np.var(values, ddof=1) / len(values)
    families = lines[shifts[0]].families
    df = (line + seeds) ** 2 / (seeds**2 / (len(values) - 1) + line**2 / (families - 1))
    se, mean = np.sqrt(line + seeds), values.mean()
    made: dict[str, Any] = {"value": mean, "df": df, "p": 2 * stats.t.sf(abs(mean) / se, df)}
    for level in (90, 95):
        half = stats.t.ppf(0.5 + level / 200, df) * se
        made[f"ci{level}"] = [mean - half, mean + half]
    made["seeds_ci95"] = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return made


def holm(p: list[float]) -> list[float]:
    order = np.argsort(p)
    stepped = np.maximum.accumulate([min(1.0, p[i] * (len(p) - rank)) for rank, i in enumerate(order)])
    return [float(stepped[list(order).index(i)]) for i in range(len(p))]


def spoken(high: dict[str, Any], low: dict[str, Any], factor: str) -> list[str]:
    return [
        f"{key.replace('_', ' ')} ({high[key]} against {low[key]})"
        for key in high
        if key != factor and high[key] != low[key]
    ]


def test_headlines_and_contrasts(report: dict[str, Any], lines: dict[str, OwnLine]) -> None:
    arms = {(a["arm"], a["head"], a["prompts"]): a for a in report["arms"]}
    shifts, margin = list(lines), report["margin"]
    asked = []
    for entry in [*report["causes"], *report["contrasts"]]:
        same = [
            c
            for c in report["contrasts"]
            if c["question"] == entry["question"] and (c is entry or "factor" not in entry)
        ]
        sides = [tuple(arms[tuple(c[side].values())] for side in ("high", "low")) for c in same]
        whole = effect(sides, lines, shifts)
        parts = [effect([side], lines, shifts) for side in sides]
        differs = [word for c, (high, low) in zip(same, sides, strict=True)
                   for word in spoken(high["configuration"], low["configuration"], c["factor"])]  # fmt: skip
        assert entry["differs"] == list(dict.fromkeys(differs))
        outside = any(a["shifts"]["mean-of-four"]["extrapolated"] for side in sides for a in side)
        assert entry["extrapolated"] == outside
        for key in ("value", "ci95", "ci90", "df", "seeds_ci95"):
            close(entry[key], whole[key])
        close(entry["p_value"], whole["p"])
        close(entry["spread"], [f(part["value"] for part in parts) for f in (min, max)])
        close(entry["at_most"], max(abs(end) for one in (whole, *parts) for end in one["ci90"]))
        for shift in shifts:
            alone = effect(sides, lines, [shift])
            close(entry["by_shift"][shift]["value"], alone["value"])
            close(entry["by_shift"][shift]["ci95"], alone["ci95"])
        here = [line.slope * logit(POINTS_AT) + line.intercept for line in lines.values()]
        points = [np.mean([expit(h + end) - expit(h) for h in here]) for end in (whole["value"], *whole["ci95"])]
        close([entry["value_points"], *entry["ci95_points"]], points)
        assert (entry["parts"], entry["seeds"], entry["points_at"]) == (len(same), 10, POINTS_AT)
        rest = {shift: effect(sides, lines, [one for one in shifts if one != shift]) for shift in shifts}
        for shift, without in entry["without"].items():
            close([without["value"], *without["ci95"]], [rest[shift]["value"], *rest[shift]["ci95"]])
            close(without["p_value"], rest[shift]["p"])
        asked.append((entry, whole, parts))
    heads, single = asked[: len(report["causes"])], asked[len(report["causes"]) :]
    alone = {entry["question"]: entry for entry, _, parts in heads if len(parts) == 1}
    others = [one for one in single if one[0]["question"] not in alone]
    for group in (heads, others):
        close([entry["p_adjusted"] for entry, _, _ in group], holm([whole["p"] for _, whole, _ in group]))
    for entry, _, _ in single:
        if entry["question"] in alone:
            assert entry["p_adjusted"] == alone[entry["question"]]["p_adjusted"]
    for entry, whole, parts in asked:
        low, high = whole["ci90"]
        settled = all(abs(end) < margin for one in (whole, *parts) for end in one["ci90"])
        signs = {part["value"] > 0 for part in parts if part["ci95"][0] > 0 or part["ci95"][1] < 0}
        rest = entry["without"].values()
        all_of_it = all(one["p_value"] < 0.05 and one["value"] * whole["value"] > 0 for one in rest)
        told = entry["p_adjusted"] < 0.05 and len(signs) < 2 and all_of_it
        open_ = bool(entry["differs"]) or entry["extrapolated"]
        assert entry["verdict"] == (
            "cannot tell" if open_ else "equivalent" if settled else "moves it" if told else "cannot tell"
        )
        assert (entry["why"] is None) == (entry["verdict"] != "cannot tell")
        assert low < entry["value"] < high


def test_spent_time_adds_up_and_doses_are_nested(report: dict[str, Any]) -> None:
    spent = report["processor_seconds"]
    close(spent["all"], sum(seconds for name, seconds in spent.items() if name != "all"))
    assert {arm["name"] for arm in report["grid"]["arms"]} <= set(spent)
    doses = [a["overlap"] for a in report["grid"]["arms"] if a["name"].startswith("clip-web-overlap")]
    assert all(low < high for low, high in pairwise(doses))

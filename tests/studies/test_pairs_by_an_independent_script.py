"""Every pair of the shipped studies, by a script of its own: csv, tomllib, math and numpy, nothing of effrob's arithmetic.

It reads the study file, the tables and the list of the line's members; fits the line; takes the difference of residuals; and
judges it by sign and margin with a standard error of its own: binomial noise of the test sets, and the slope's uncertainty,
each family of models left out in turn (the jackknife, where effrob estimates variance components).
"""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effrob.studies.finding import Finding
from effrob.studies.reader import path_of, shipped

DATA = Path(__file__).resolve().parents[2] / "model_zoo" / "data"
SETS = ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet")
MEAN = "mean-of-four"
IMAGES = dict(zip(SETS, (50000, 10000, 30000, 50889, 18574), strict=True))
OWN_COLUMNS = {  # of SETS, where a table calls them by other names
    "testbed": (
        "val",
        "imagenetv2-matched-frequency-format-val",
        "imagenet-r",
        "imagenet-sketch",
        "objectnet-1.0-beta",
    ),
    "openclip": ("ImageNet 1k", "ImageNet v2", "ImageNet-R", "ImageNet Sketch", "ObjectNet"),
    "clip_benchmark_scaling": ("imagenet1k", "imagenetv2", "imagenet-r", "imagenet_sketch", "objectnet"),
}
FRACTIONS = ("openclip", "clip_benchmark_scaling")  # the other tables are in per cent
CALLED: dict[str, Callable[[dict[str, str]], str]] = {
    "openclip": lambda r: f"openclip:{r['name']}@{r['pretrained']}",
    "clip_benchmark_scaling": lambda r: "openclip:" + r["model_fullname"].replace(" ", "@"),
    "papers": lambda r: f"{r['model']} [{r['reference']}]",
}
LINES = {"testbed": "testbed", "testbed-wide": "testbed", "timm-in1k": "timm"}  # a line's members stand in this table
WIDER = {"testbed": "testbed-wide"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def table(source: str) -> dict[tuple[str, str], dict[str, float]]:
    """(model, image size) -> set -> accuracy, a fraction."""
    unit = 1.0 if source in FRACTIONS else 100.0
    columns = dict(zip(SETS, OWN_COLUMNS.get(source, SETS), strict=True))
    called = CALLED.get(source)
    return {
        (called(row) if called else row["model"], row.get("img_size") or ""): {
            s: float(row[c]) / unit for s, c in columns.items() if row.get(c)
        }
        for row in rows(DATA / "published" / f"{source}.csv")
    }


TABLES = {source: table(source) for source in ("testbed", "openclip", "clip_benchmark_scaling", "timm", "papers")}


def of_model(source: str, model: str) -> dict[str, float]:
    """A model's accuracies; of several image sizes the largest."""
    sizes = {int(size or 0): cells for (name, size), cells in TABLES[source].items() if name == model}
    return sizes[max(sizes)]


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def point(cells: dict[str, float], shift: str) -> tuple[float, float, float, float] | None:
    """Clean and shift accuracy, and their binomial variances; of the mean of four, those of a mean of accuracies."""
    parts = SETS[1:] if shift == MEAN else (shift,)
    if "imagenet" not in cells or any(part not in cells for part in parts):
        return None
    x, ys = cells["imagenet"], [cells[part] for part in parts]
    noise = sum(y * (1 - y) / IMAGES[part] for y, part in zip(ys, parts, strict=True)) / len(parts) ** 2
    return x, sum(ys) / len(ys), x * (1 - x) / IMAGES["imagenet"], noise


class OwnLine:
    """Least squares of logit on logit through the members of a line that are no arms."""

    def __init__(self, name: str, shift: str, gone: set[str]) -> None:
        members = [row for row in rows(DATA / "baselines" / f"{name}.csv") if row["model"] not in gone]
        known = [(row["family"], point(TABLES[LINES[name]][row["model"], row["img_size"]], shift)) for row in members]
        kept = [(family, p) for family, p in known if p is not None and 0 < p[1] < 1]
        self.families = np.array([family for family, _ in kept])
        self.clean = np.array([p[0] for _, p in kept])
        self.x, self.y = (np.array([logit(p[axis]) for _, p in kept]) for axis in (0, 1))
        self.slope, self.intercept = np.polyfit(self.x, self.y, 1)
        self.scatter = float(np.std(self.y - self.slope * self.x - self.intercept, ddof=2))
        without = [
            np.polyfit(self.x[keep], self.y[keep], 1)[0]
            for f in set(self.families)
            if (keep := self.families != f).sum()
        ]
        self.slope_sd = math.sqrt((len(without) - 1) / len(without) * sum((s - np.mean(without)) ** 2 for s in without))

    def residual(self, p: tuple[float, ...]) -> float:
        return float(logit(p[1]) - self.intercept - self.slope * logit(p[0]))

    def noise(self, p: tuple[float, ...]) -> float:
        """Variance that the test sets give a residual."""
        x, y, of_x, of_y = p
        return float(of_y / (y * (1 - y)) ** 2 + self.slope**2 * of_x / (x * (1 - x)) ** 2)

    def outside(self, p: tuple[float, ...]) -> bool:
        return not self.clean.min() <= p[0] <= self.clean.max()


def judged(line: OwnLine, a: tuple[float, ...], b: tuple[float, ...], margin: float) -> tuple[float, float, str, float]:
    """Difference, its standard error, the verdict by margin and sign before correction, and p."""
    value = line.residual(a) - line.residual(b)
    se = math.sqrt(line.noise(a) + line.noise(b) + (line.slope_sd * (logit(a[0]) - logit(b[0]))) ** 2)
    of_models = math.sqrt(se**2 + 2 * line.scatter**2)  # two single models scatter about the line too
    p = math.erfc(abs(value) / se / math.sqrt(2))
    if abs(value) + 1.645 * se < margin:
        return value, se, "equivalent", p
    return value, se, "moves it" if abs(value) > 1.96 * of_models else "cannot tell", p


@pytest.fixture(scope="module")
def lines() -> dict[Any, OwnLine]:
    return {}


def line_of(lines: dict[Any, OwnLine], name: str, shift: str, gone: set[str]) -> OwnLine:
    key = (name, shift, frozenset(gone))
    if key not in lines:
        lines[key] = OwnLine(name, shift, gone)
    return lines[key]


@pytest.mark.parametrize("study", shipped())
def test_value_and_verdict_of_every_pair_follow_from_the_tables(
    findings: dict[str, Finding], lines: dict[Any, OwnLine], study: str
) -> None:
    asked = tomllib.loads(path_of(study).read_text(encoding="utf-8"))
    arms = {arm["name"]: arm for arm in asked["arm"]}
    gone, baseline = {arm["model"] for arm in asked["arm"]}, asked["baseline"]
    told = [a for f in findings[study].as_json()["findings"] for a in f["answers"]]
    wanted = [(pair, shift) for pair in asked["contrast"] if pair["kind"] == "pair"
              for shift in (*asked.get("shifts", SETS[1:]), MEAN) if shift != "imagenet-a"]  # fmt: skip
    questions = sum(each["verdict"] is not None and each["p_adjusted"] is not None for each in told)
    checked = 0
    for pair, shift in wanted:
        found = [each for each in told if (each["contrast"], each["shift"]) == (pair["name"], shift)]
        points = [point(of_model(arms[name]["source"], arms[name]["model"]), shift) for name in pair["arms"]]
        if shift == MEAN and baseline == "timm-in1k":
            assert not found  # no ObjectNet there
            continue
        if None in points:
            assert [each["value"] for each in found] == [None] and found[0]["missing"]
            continue
        (each,), (a, b), checked = found, points, checked + 1
        assert a is not None and b is not None
        verdicts = []
        for name, on in ((baseline, each), (WIDER.get(baseline, ""), each["wide"])):
            if on is None:
                continue
            line = line_of(lines, name, shift, gone)
            reference = point(TABLES["testbed"]["vit_b_32_clip_zeroshot", ""], shift)
            assert reference is not None
            margin = 0.1 * abs(line.residual(reference))
            value, se, verdict, p = judged(line, a, b, margin)
            assert on["value"] == pytest.approx(value, abs=1e-9)
            assert on["margin"] == pytest.approx(margin, abs=1e-9)
            assert on["extrapolated"] == (line.outside(a) or line.outside(b))
            half = (on["ci95"][1] - on["ci95"][0]) / 2
            assert half == pytest.approx(1.96 * se, rel=0.35)  # the two estimates of the slope's uncertainty differ
            if verdict == "moves it" and p * max(questions, 1) >= 0.05:
                verdict = "cannot tell"  # Bonferroni's bound, which Holm's correction never exceeds
            verdicts.append(verdict)
        if pair.get("confounded"):
            assert (each["verdict"], each["why"]) == ("cannot tell", f"also differs: {pair['confounded']}")
            continue
        both = len(verdicts) == 2 and verdicts[0] == verdicts[1] and not each["wide"]["extrapolated"]
        if both or not each["extrapolated"]:
            assert each["verdict"] == verdicts[0]
        else:
            assert each["verdict"] == "cannot tell"
            assert "outside the line's range" in each["why"]
    assert checked or study == "contrastive-loss"  # which has no pair


@pytest.mark.parametrize("study", shipped())
def test_values_of_trends_means_and_distances_follow_from_the_tables(
    findings: dict[str, Finding], lines: dict[Any, OwnLine], study: str
) -> None:
    """A trend is its slope times its range in doublings; a distance weighs lineages alike; a mean is of its pairs."""
    asked = tomllib.loads(path_of(study).read_text(encoding="utf-8"))
    arms, baseline = {arm["name"]: arm for arm in asked["arm"]}, asked["baseline"]
    gone = {arm["model"] for arm in asked["arm"]}
    told = [a for f in findings[study].as_json()["findings"] for a in f["answers"] if a["value"] is not None]
    values = {(each["contrast"], each["shift"]): each["value"] for each in told}
    checked = 0
    for contrast in (each for each in asked["contrast"] if each["kind"] != "pair"):
        for shift in (shift for name, shift in values if name == contrast["name"]):
            if contrast["kind"] == "mean":
                wanted = float(np.mean([values[name, shift] for name in contrast["of"]]))
            else:
                line = line_of(lines, baseline, shift, gone)
                places = [
                    (arms[n], point(of_model(arms[n]["source"], arms[n]["model"]), shift)) for n in contrast["arms"]
                ]
                known = [(arm, line.residual(p)) for arm, p in places if p is not None]
                if contrast["kind"] == "trend":
                    doublings = [math.log2(arm["amount"]) for arm, _ in known]
                    wanted = float(np.polyfit(doublings, [v for _, v in known], 1)[0] * np.ptp(doublings))
                else:
                    kinds = {arm.get("lineage", arm["name"]) for arm, _ in known}
                    each = [[v for arm, v in known if arm.get("lineage", arm["name"]) == kind] for kind in kinds]
                    # of one lineage all weigh alike, so the two rules are one
                    wanted = float(np.mean([np.mean(group) for group in each]))
            assert values[contrast["name"], shift] == pytest.approx(wanted, abs=1e-9), (contrast["name"], shift)
            checked += 1
    assert checked or study in ("training-language", "test-language")


def test_the_script_would_see_another_number(lines: dict[Any, OwnLine]) -> None:
    """A member more moves the line by more than the tolerance: the members it reads are the line's own."""
    one = line_of(lines, "testbed", "imagenet-r", set())
    other = line_of(lines, "testbed", "imagenet-r", {"resnet50"})
    assert abs(one.slope - other.slope) > 1e-6 and len(one.x) == len(other.x) + 1

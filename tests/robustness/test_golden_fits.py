"""Every number that was computed independently: fits, bootstraps, effective robustness, intervals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from effrob.results.accuracy import Accuracy, clopper_pearson
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.diagnostics import curvature_p
from effrob.robustness.effective import assess
from effrob.robustness.fit import fit
from effrob.robustness.line import BaselineLine
from effrob.robustness.multi_id import multi_id
from model_zoo.published import published

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "fits.json").read_text())
SHIFT = {"imagenetv2": "imagenet-v2"}
AXIS = {"subsampled": "clean", "full": "full"}


def parts(key: str) -> tuple[str, str]:
    shift, axis = key.split("|")[:2]
    return SHIFT.get(shift, shift), AXIS[axis]


def check(line: BaselineLine, golden: dict[str, Any]) -> None:
    assert line.n == golden["n"]
    for name, key in (
        ("slope", "slope"),
        ("intercept", "intercept"),
        ("r2", "r2"),
        ("residual_std", "resid_std_ddof2"),
    ):
        assert getattr(line, name) == pytest.approx(golden[key], abs=1e-9), name
    assert (line.x_mean, line.sxx) == pytest.approx((golden["xbar"], golden["sxx"]), abs=1e-9)
    assert (line.x_min, line.x_max) == pytest.approx((golden["x_min"], golden["x_max"]), abs=1e-9)
    assert line.interval("slope") == pytest.approx(golden["bootstrap"]["slope_ci95"], abs=1e-6)
    assert line.interval("intercept") == pytest.approx(golden["bootstrap"]["intercept_ci95"], abs=1e-6)


@pytest.mark.parametrize("key", GOLDEN["fits"])
def test_testbed_lines(key: str) -> None:
    shift, axis = parts(key)
    golden = GOLDEN["fits"][key]
    found = fit(shift, axis=axis, segments="single")
    check(found.line, golden)
    assert list(found.dropped) == golden["dropped_zero"]
    assert curvature_p(found.line.tx, found.line.ty) == pytest.approx(golden["curvature"]["p"], rel=1e-6)
    other = fit(shift, axis=axis, scale="probit", segments="single")
    for name, key_ in (
        ("slope", "slope"),
        ("intercept", "intercept"),
        ("r2", "r2"),
        ("residual_std", "resid_std_ddof2"),
    ):
        assert getattr(other, name) == pytest.approx(golden["probit"][key_], abs=1e-9), name


@pytest.mark.parametrize("key", GOLDEN["timm_fits"])
def test_timm_lines(key: str) -> None:
    shift, axis = parts(key)
    check(fit(shift, "timm-in1k", axis).line, GOLDEN["timm_fits"][key])


@pytest.mark.parametrize("axis", GOLDEN["imagenet_a_two_segments"])
def test_imagenet_a_has_two_lines_split_at_its_zero_model(axis: str) -> None:
    golden = GOLDEN["imagenet_a_two_segments"][axis]
    found = fit("imagenet-a", axis=AXIS[axis])
    assert [line.segment for line in found.segments] == ["below", "above"]
    assert found.dropped == ("resnet50",)
    for line in found.segments:
        check(line, golden[line.segment])
    for model, wanted in golden["er"].items():
        x, y = point(model, "imagenet-a", AXIS[axis])
        assert found.effective_robustness(x, y) == pytest.approx(wanted["er"], abs=1e-9)
        assert found.segment_at(x).segment == wanted["segment"]


def test_the_mean_of_four_has_its_own_line() -> None:
    golden = GOLDEN["mean_of_four_shifts"]
    found = fit("mean-of-four")
    check(found.line, golden["fit"])
    assert found.axis == "full"
    rows = {row.model: row for row in published("testbed")}
    for model, wanted in golden["er"].items():
        shifts = ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet")
        mean = sum(rows[model].accuracies[shift] for shift in shifts) / 4
        full = rows[model].clean_full
        assert full is not None
        assert found.effective_robustness(full, mean) == pytest.approx(wanted["er"], abs=1e-9)


@pytest.mark.parametrize("key", GOLDEN["effective_robustness"])
def test_effective_robustness_of_the_golden_models(key: str) -> None:
    shift, axis = parts(key)
    found = fit(shift, axis=axis, segments="single")
    for model, wanted in GOLDEN["effective_robustness"][key].items():
        x, y = point(model, shift, axis)
        assert (x, y) == pytest.approx((wanted["x"], wanted["y"]), abs=1e-12)
        assert found.predicted(x) == pytest.approx(wanted["baseline"], abs=1e-9)
        assert found.effective_robustness(x, y) == pytest.approx(wanted["er"], abs=1e-9)
        assert found.extrapolated(x) == wanted["extrapolated"]
        if wanted["er_logit"] is not None:
            assert found.residual(x, y) == pytest.approx(wanted["er_logit"], abs=1e-9)


@pytest.mark.parametrize("key", GOLDEN["significance"])
def test_the_parts_of_the_interval(key: str) -> None:
    golden, (shift, axis), model = GOLDEN["significance"][key], parts(key), key.split("|")[2]
    row = next(row for row in published("testbed") if row.model == model)
    clean = row.clean(shift, axis)
    assert clean is not None
    line = fit(shift, axis=axis, segments="single")
    found = assess(line, Accuracy.of(*clean), Accuracy.of(row.accuracies[shift], row.images[shift]))
    assert found.spread is not None
    assert found.spread.line == pytest.approx(golden["se_fit"], rel=1e-9)
    # The reference counts 50,000 Sketch images, as the set's README says; there are 50,889.
    assert found.spread.sampling == pytest.approx(golden["se_sampling"], rel=6e-3)
    assert found.effective_robustness_logit == pytest.approx(golden["er_logit"], abs=1e-9)


@pytest.mark.parametrize("case", GOLDEN["clopper_pearson"], ids=lambda c: f"{c['k']}of{c['n']}at{c['alpha']}")
def test_clopper_pearson(case: dict[str, Any]) -> None:
    assert clopper_pearson(case["k"], case["n"], case["alpha"]) == pytest.approx(case["ci"], abs=1e-9)


def test_two_clean_sets_at_once() -> None:
    golden = GOLDEN["multi_id"]
    four = ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet")
    kept = tuple(m for m in baseline("testbed").members if all(shift in m.accuracies for shift in four))
    chosen = Baseline("testbed-with-four", kept, "testbed", "published:testbed")
    found = multi_id("imagenet-v2", ["imagenet", "imagenet-v2-top-images"], chosen, allow_collinear=True)
    assert found.n == golden["n"]
    assert list(found.weights) == pytest.approx(golden["w_intercept_x1_x2"], abs=1e-9)
    assert (found.r2, 100 * found.mae) == pytest.approx((golden["r2"], golden["mae_pp"]), abs=1e-9)
    assert not found.stable


def test_the_members_are_the_golden_ones_in_their_order() -> None:
    assert list(baseline("testbed").models) == GOLDEN["meta"]["testbed_baseline_models"]


def point(model: str, shift: str, axis: str) -> tuple[float, float]:
    row = next(row for row in published("testbed") if row.model == model)
    clean = row.clean(shift, axis)
    assert clean is not None
    assert math.isfinite(clean[0])
    return clean[0], row.accuracies[shift]

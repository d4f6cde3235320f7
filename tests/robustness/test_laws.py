"""Laws that hold for any table: units, order, points on the line, round trips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy
from effrob.results.model_result import ModelResult, of_published
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.effective import assess
from effrob.robustness.fit import fit
from effrob.robustness.multi_id import fit_multi
from effrob.robustness.scale import LINEAR, LOGIT, PROBIT, scale
from model_zoo.published import Source, read_table

accuracy = st.floats(0.02, 0.98)
points = st.lists(st.tuples(accuracy, accuracy), min_size=6, max_size=25, unique_by=lambda p: round(p[0], 3))
scales = st.sampled_from(["logit", "probit"])


def table(pairs: list[tuple[float, float]], order: list[int] | None = None) -> Baseline:
    members = [
        ModelResult(
            f"m{i}", f"f{i % 4}", {"s": Accuracy.of(y, 5000)}, Accuracy.of(x, 5000), {"s": Accuracy.of(x, 5000)}
        )
        for i, (x, y) in enumerate(pairs)
    ]
    return Baseline("t", tuple(members[i] for i in order) if order else tuple(members), "effrob", "effrob")


@given(st.floats(1e-9, 1 - 1e-9), st.sampled_from([LOGIT, PROBIT, LINEAR]))
def test_a_round_trip_through_each_scale_is_exact(p: float, on: object) -> None:
    assert isinstance(on, type(LOGIT))
    assert abs(float(on.inverse(on.forward(p))) - p) <= 1e-12
    assert on.back(on.to(p)) == float(on.inverse(on.forward(p)))


@pytest.mark.parametrize("on", [LOGIT, PROBIT])
def test_0_and_1_are_infinite_and_come_back_exactly(on: object) -> None:
    assert isinstance(on, type(LOGIT))
    assert on.forward([0.0, 1.0]).tolist() == [-np.inf, np.inf]
    assert on.inverse([-np.inf, np.inf]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, 45.0, np.nan])
def test_what_is_no_accuracy_is_refused(wrong: float) -> None:
    with pytest.raises(UsageProblem, match=r"fraction in \[0, 1\]"):
        LOGIT.forward([0.5, wrong])
    with pytest.raises(UsageProblem):
        LOGIT.to(wrong)


@given(st.floats(-8, 8))
def test_the_slope_of_a_scale_is_its_derivative(t: float) -> None:
    for on in (LOGIT, PROBIT):
        step = 1e-5
        numeric = (on.back(t + step) - on.back(t - step)) / (2 * step)
        assert on.density(t) == pytest.approx(numeric, rel=1e-4, abs=1e-9)


def test_an_unknown_scale_suggests_the_near_one() -> None:
    with pytest.raises(UsageProblem, match="did you mean probit"):
        scale("probitt")


@given(points, scales, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_members_changes_no_point_estimate(pairs: list[tuple[float, float]], on: str, rng: object) -> None:
    order = list(range(len(pairs)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    one, two = (fit("s", b, scale=on) for b in (table(pairs), table(pairs, order)))
    for name in ("slope", "intercept", "r2", "residual_std"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9, abs=1e-9)
    assert one.line.predictive_std == pytest.approx(two.line.predictive_std, rel=1e-9, abs=1e-12)


@given(points, accuracy, scales)
@settings(max_examples=40, deadline=None)
def test_a_model_on_the_line_scores_0_and_is_never_called_above_or_below(
    pairs: list[tuple[float, float]], x: float, on: str
) -> None:
    found = fit("s", table(pairs), scale=on)
    y = found.predicted(x)
    assert abs(found.effective_robustness(x, y)) <= 1e-12
    result = assess(found, Accuracy.of(x, 5000), Accuracy.of(y, 5000))
    assert result.verdict in ("on", "cannot-tell")
    assert result.p_value == pytest.approx(1.0, abs=1e-6)


@given(points, accuracy, accuracy)
@settings(max_examples=40, deadline=None)
def test_intervals_nest_hold_the_estimate_and_stay_possible(
    pairs: list[tuple[float, float]], x: float, y: float
) -> None:
    result = assess(fit("s", table(pairs)), Accuracy.of(x, 5000), Accuracy.of(y, 5000))
    er, ci, pi = result.effective_robustness, result.ci95, result.pi95
    assert er is not None and ci is not None and pi is not None
    assert -1 <= pi[0] <= ci[0] <= er <= ci[1] <= pi[1] <= 1


@given(points, accuracy, accuracy)
@settings(max_examples=30, deadline=None)
def test_the_p_value_is_below_a_level_exactly_where_that_interval_leaves_0_out(
    pairs: list[tuple[float, float]], x: float, y: float
) -> None:
    result = assess(fit("s", table(pairs)), Accuracy.of(x, 5000), Accuracy.of(y, 5000))
    p = result.p_value
    assert p is not None
    for level in (0.5, 0.9, 0.95, 0.999):
        ends = result.interval(level, scatter=True)
        assert ends is not None
        if abs(p - (1 - level)) > 1e-9:
            assert (ends[0] > 0 or ends[1] < 0) == (p < 1 - level)


@given(points)
@settings(max_examples=25, deadline=None)
def test_several_clean_sets_with_one_of_them_are_the_single_fit(pairs: list[tuple[float, float]]) -> None:
    pairs = (pairs * 4)[:24]
    x, y = np.array(pairs).T
    single, multi = fit("s", table(pairs)).line, fit_multi(x[:, None], y, ["imagenet"])
    assert multi.weights.tolist() == pytest.approx([single.intercept, single.slope], rel=1e-8, abs=1e-8)
    assert multi.r2 == pytest.approx(single.r2, abs=1e-9)


@given(points)
@settings(max_examples=15, deadline=None)
def test_a_percent_table_declared_as_such_gives_the_same_answer(pairs: list[tuple[float, float]]) -> None:
    import tempfile
    from pathlib import Path

    lines = []
    for unit, factor in (("fraction", 1.0), ("percent", 100.0)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.csv"
            rows = [f"m{i},{factor * x!r},{factor * y!r}" for i, (x, y) in enumerate(pairs)]
            path.write_text("\n".join(["model,val,s", *rows]))
            layout = Source(
                name="t", title="t", unit=unit, model="{model}", full="val", shifts={"s": "s"},
                images={"imagenet": 50000, "s": 10000}, same_classes=frozenset({"s"}),
            )  # fmt: skip
            lines.append(fit("s", Baseline("t", tuple(map(of_published, read_table(path, layout))), "p", "h")))
    assert lines[0].slope == pytest.approx(lines[1].slope, rel=1e-12, abs=1e-12)
    assert lines[0].intercept == pytest.approx(lines[1].intercept, rel=1e-12, abs=1e-12)

"""A model that helped to make the line, and images shared with the baseline: what rows and comparisons make of both."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats
from stores import IMAGES, MODELS, ROBUST

from effrob.cli import main
from effrob.errors import EffrobError, UsageProblem
from effrob.evaluation.baselines import build_baseline
from effrob.files import strict_json
from effrob.results.accuracy import Accuracy
from effrob.results.model_result import of_records
from effrob.results.predictions import Predictions
from effrob.results.provenance import here
from effrob.results.record import Counts, EvalRecord, EvalSpec
from effrob.results.select import fullest, read_records
from effrob.results.store import ResultStore, Stored, count
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.baselines.built import from_records, save
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.compare import compare
from effrob.robustness.effective import assess
from effrob.robustness.fit import fit
from effrob.robustness.lines import LineOptions, judge
from effrob.robustness.per_image.pairing import pairing_from
from effrob.robustness.rows import Row, row_of, rows_of
from shifts.shift import label_digest
from tests.honest import official, record_of, told


@pytest.fixture
def mine(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baseline:
    """The native models of the store as a baseline by name, with their answers."""
    monkeypatch.setenv("EFFROB_BASELINES", str(tmp_path))
    made = from_records("mine", [r for r in read_records(results) if r.record.asked.head == "native"], {})
    save(made, tmp_path / "mine")
    return baseline("mine")


def stored(results: Path, model: str, shift: str = "pocket-r") -> Stored:
    return next(s for s in ResultStore(results) if (s.record.asked.model, s.record.asked.shift) == (model, shift))


@pytest.mark.parametrize(("name", "shift"), [("testbed", "objectnet"), ("pocket", "pocket-r")])
def test_a_line_without_a_member_is_the_line_through_the_others(name: str, shift: str) -> None:
    whole = fit(shift, name)
    for i in (0, whole.n // 2, whole.n - 1):
        model, rest = whole.line.models[i], np.arange(whole.n) != i
        found, wanted = whole.without([model]), stats.linregress(whole.line.tx[rest], whole.line.ty[rest])
        assert (found.slope, found.intercept) == pytest.approx((wanted.slope, wanted.intercept), rel=1e-9)
        assert (found.left_out, found.n, found.baseline) == ((model,), whole.n - 1, whole.baseline)
        # A member's distance is its deleted one less its own pull.
        hat = 1 / whole.n + (whole.line.tx[i] - whole.line.x_mean) ** 2 / whole.line.sxx
        x, y = float(whole.line.x[i]), float(whole.line.y[i])
        assert whole.residual(x, y) == pytest.approx((1 - hat) * found.residual(x, y), rel=1e-9)


def test_who_carries_no_line_changes_none() -> None:
    whole = fit("imagenet-r")
    assert whole.without(["vit_b_32_clip_zeroshot"]) is whole
    assert whole.without(["resnet101"]) is whole.without(["resnet101", "nobody"])


def test_imagenet_a_stays_split_where_its_zero_model_or_another_is_left_out() -> None:
    whole = fit("imagenet-a")
    assert whole.without(["resnet50"]) is whole  # its accuracy of 0 is in neither line
    found = whole.without(["resnet101", "alexnet"])
    assert (found.split, [line.n for line in found.segments]) == (whole.split, [32, 50])


def test_a_baseline_too_small_to_spare_one_keeps_it_and_says_so() -> None:
    whole = baseline("testbed")
    known = [member for member in whole.members if member.point("imagenet-r", "clean") is not None]
    five = Baseline("five", tuple(known[:75:15]), whole.protocol, whole.harness)
    line, member = fit("imagenet-r", five), five.members[1]
    with pytest.raises(UsageProblem, match="at least 5"):
        line.without([member.model])
    found = judge(line, dataclasses.replace(member, source="measured"))
    assert found is not None
    assert "in-baseline" in found.flags and found.as_json()["left_out"] == []


def test_published_numbers_stay_as_published_and_the_model_is_flagged() -> None:
    line = fit("imagenet-r")
    member = next(m for m in baseline("testbed").members if m.model == "resnet50")
    point = member.point("imagenet-r", "clean")
    assert point is not None
    found = assess(line, *point, model="resnet50")
    assert found.effective_robustness == line.effective_robustness(point[0].value, point[1].value)
    assert "in-baseline" in found.flags
    assert "in-baseline" not in assess(line, *point, model="vit_b_32_clip_zeroshot").flags


def test_a_row_of_a_model_outside_the_baseline_is_paired(results: Path, mine: Baseline) -> None:
    one = stored(results, ROBUST)
    row = row_of(one, LineOptions("mine"))
    alone = assess(fit("pocket-r", mine), one.record.clean.accuracy, one.record.counts.accuracy)  # type: ignore[union-attr]
    assert row.effective_robustness == alone.effective_robustness
    assert "conservative-interval" not in row.robustness["flags"] and "conservative-interval" in alone.flags
    assert alone.ci95 is not None
    assert np.ptp(row.effective_robustness_ci95) < 0.9 * np.ptp(alone.ci95)
    assert (row.verdict, row.robustness["left_out"]) == ("above", [])
    strict_json(row.as_json())


def test_a_row_of_a_member_stands_on_the_line_without_it(results: Path, mine: Baseline) -> None:
    one = stored(results, MODELS[0])
    row, whole = row_of(one, LineOptions("mine")), fit("pocket-r", mine)
    x, y = one.record.clean.accuracy.value, one.record.counts.accuracy.value  # type: ignore[union-attr]
    assert row.effective_robustness == whole.without([MODELS[0]]).effective_robustness(x, y)
    assert abs(row.effective_robustness) > abs(whole.effective_robustness(x, y))
    assert {"in-baseline"} <= set(row.robustness["flags"]) and "conservative-interval" not in row.robustness["flags"]
    assert (row.robustness["left_out"], row.baseline) == ([MODELS[0]], "mine")


def test_the_noise_floor_falls_where_images_are_shared(results: Path, mine: Baseline) -> None:
    one, line = stored(results, ROBUST), fit("pocket-r", mine)
    counts = one.record.clean.accuracy, one.record.counts.accuracy  # type: ignore[union-attr]
    alone, paired = assess(line, *counts), judge(line, of_records([one]))
    assert paired is not None
    assert alone.noise_floor is not None and paired.noise_floor is not None
    assert paired.noise_floor < 0.9 * alone.noise_floor


def moved(one: Stored, folder: Path, **columns: np.ndarray) -> Stored:
    """A copy of a record whose answers on the shift differ in some columns."""
    rows = dataclasses.replace(one.predictions(), **columns)
    question = label_digest(dataclasses.replace(official("pocket-r"), rows=rows.index, targets=rows.target))
    asked = dataclasses.replace(one.record.asked, question=question)
    record = dataclasses.replace(one.record, counts=count(rows), asked=asked)
    return ResultStore(folder).write(record, rows, one.clean_predictions())


def test_other_images_are_not_called_shared_and_other_truths_are_refused(
    results: Path, mine: Baseline, tmp_path: Path
) -> None:
    one, line = stored(results, ROBUST), fit("pocket-r", mine)
    rows = one.predictions()
    mixed = np.random.default_rng(0).permutation(IMAGES)
    columns = {f.name: getattr(rows, f.name)[mixed] for f in dataclasses.fields(Predictions)}
    again, wanted = pairing_from(line, moved(one, tmp_path / "mixed", **columns).folder), pairing_from(line, one.folder)
    assert wanted is not None and again is not None
    assert again.variance == pytest.approx(wanted.variance, rel=1e-12)
    others = moved(one, tmp_path / "ids", id=np.array([id.replace("/", "/other-") for id in rows.id]))
    assert pairing_from(line, others.folder) is None
    assert "conservative-interval" in row_of(others, LineOptions("mine")).robustness["flags"]
    twice = np.array([rows.id[0], *rows.id[:-1]])
    for name, columns in (("truths", {"target": np.roll(rows.target, 1)}), ("twice", {"id": twice})):
        with pytest.raises(EffrobError, match=r"predictions\.npz"):
            moved(one, tmp_path / name, **columns)
    assert pairing_from(fit("imagenet-r"), one.folder) is None


def test_the_measured_baseline_of_a_row_is_that_of_its_own_results(results: Path) -> None:
    row = row_of(stored(results, ROBUST), LineOptions("measured"))
    assert (row.why_not, row.verdict, row.baseline) == (None, "above", "measured")
    assert "conservative-interval" not in row.robustness["flags"]


def test_rows_of_one_command_are_corrected_together(results: Path, mine: Baseline) -> None:
    rows = rows_of(list(ResultStore(results)), LineOptions("mine"))
    asked = [row for row in rows if row.robustness["p_value"] is not None]
    assert len(asked) == 2 * (len(MODELS) + 1) < len(rows)
    smallest = min(asked, key=lambda row: row.robustness["p_value"]).robustness
    assert smallest["p_adjusted"] == pytest.approx(len(asked) * smallest["p_value"])
    assert all(row.robustness["p_adjusted"] >= row.robustness["p_value"] for row in asked)
    alone = row_of(stored(results, ROBUST), LineOptions("mine")).robustness
    assert alone["p_adjusted"] == alone["p_value"] < 0.05
    assert set(alone["equivalence"]) == {"margin", "equivalent", "smallest_margin"}
    clean = next(row for row in rows if row.shift == "pocket")
    assert clean.robustness["p_adjusted"] is None and clean.robustness["equivalence"] is None


def as_record(model: str, shift: str, folder: Path) -> Stored:
    """A member of the shipped pocket baseline as a record, from the answers that ship."""
    answers = baseline("pocket").answers
    assert answers is not None
    rows, clean = (
        told(name, table.ids.astype(np.str_), table.predicted[table.row(model)].astype(np.int64), seen_as)
        for name, table, seen_as in ((shift, answers.shift[shift], None), ("pocket", answers.clean[shift], shift))
    )
    on_view = count(clean)
    assert on_view.n_correct_1000way is not None
    full = Counts(1000, *(on_view.n_correct_1000way + (1000 - on_view.n) // 2,) * 3)
    record = dataclasses.replace(record_of(model, official(shift), rows, clean), clean_full=full)
    question = label_digest(dataclasses.replace(official(shift), targets=rows.target))
    record = dataclasses.replace(record, asked=dataclasses.replace(record.asked, question=question))
    return ResultStore(folder).write(record, rows, clean)


@pytest.mark.parametrize("shift", ["pocket-r", "pocket-object"])
def test_members_of_the_shipped_pocket_baseline_are_judged_without_themselves(shift: str, tmp_path: Path) -> None:
    models = baseline("pocket").models
    rows: list[Row] = []
    for model in (models[0], models[-1]):
        rows += rows_of([as_record(model, shift, tmp_path / model.replace(":", "-"))], LineOptions())
    for model, row in zip((models[0], models[-1]), rows):
        assert (row.baseline, row.robustness["left_out"]) == ("pocket", [model])
        assert "in-baseline" in row.robustness["flags"] and "conservative-interval" not in row.robustness["flags"]


def test_reading_rows_with_answers_loads_no_torch(results: Path, mine: Baseline) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from effrob.results.store import ResultStore; from effrob.robustness.lines import LineOptions\n"
        "from effrob.robustness.rows import rows_of\n"
        "rows = rows_of(list(ResultStore(Path(sys.argv[1]))), LineOptions('mine'))\n"
        "assert any(row.verdict == 'above' for row in rows); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(results)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_compared_members_are_left_out_of_the_line_they_share(results: Path, mine: Baseline) -> None:
    found = compare(MODELS[0], MODELS[3], ["pocket-r"], results=results, baseline=mine)
    (row,) = found.as_json()
    assert set(row["left_out"]) == {MODELS[0], MODELS[3]}
    assert row["effective_robustness_difference"] == found.differences[0].value
    evaluated = rows_of([s for s in ResultStore(results) if s.record.asked.shift == "pocket-r"], LineOptions("mine"))
    for name, model in (("first", MODELS[0]), ("second", MODELS[3])):
        one = row[name]
        assert one["left_out"] == [model]  # each stands where `effrob eval` says
        (same,) = [each for each in evaluated if each.model == model]
        for key in ("effective_robustness", "verdict", "why", "effective_robustness_pi95", "flags"):
            assert one[key] == same.robustness[key], key
        assert "in-baseline" in one["flags"] and "conservative-interval" not in one["flags"]
    placed = row["first"]["effective_robustness"] - row["second"]["effective_robustness"]
    assert placed != pytest.approx(row["effective_robustness_difference"], abs=1e-9)  # not on one line
    (row,) = compare("testbed:resnet50", "testbed:resnet101", ["imagenet-r"], results=results).as_json()
    line = fit("imagenet-r")
    member = next(m for m in baseline("testbed").members if m.model == "resnet50")
    clean, shift = member.point("imagenet-r", "clean") or (Accuracy(0, 1), Accuracy(0, 1))
    assert row["first"]["effective_robustness"] == line.effective_robustness(clean.value, shift.value)
    assert "in-baseline" in row["first"]["flags"]


def plain(model: str, shift: str, k: int, n: int, clean_full: Counts | None = None, **asked: object) -> Stored:
    """A record that was never written: `n` images of the shift, `k` right, one more right on the clean view."""
    question = EvalSpec(
        model, "d" * 64, "default", {}, "exact", "fp32", "native", None, "native", "effrob", shift, "l", "s", "q", "c", "q"
    )  # fmt: skip
    record = EvalRecord(
        asked=dataclasses.replace(question, **asked),  # type: ignore[arg-type]
        weights=None,
        model_asked=model,
        counts=Counts(n, k, k, None),
        n_expected=n,
        partial=False,
        clean=Counts(n, k + 1, k + 1, None),
        clean_full=clean_full,
        files={},
        resolved={},
        provenance=here("cpu", "fp32"),
    )
    return Stored(record, Path("nowhere"))


def test_of_two_runs_the_fuller_counts_and_other_ways_are_named() -> None:
    few, many = plain("a", "pocket-r", 4, 10), plain("a", "pocket-r", 40, 100)
    assert fullest([few, many]) == fullest([many, few]) == [many]
    assert fullest([few, plain("a", "pocket-r", 4, 10)]) == [few]
    for other, sentence in (
        (plain("a", "pocket-r", 5, 10), "two copies of the set"),
        (plain("a", "pocket-r", 5, 10, precision="fp16"), "precision"),
        (plain("a", "pocket-r", 5, 10, model_digest="z"), "weights or code under one name"),
        (plain("a", "pocket-r", 5, 10, head="knn"), "different head native and knn"),
    ):
        with pytest.raises(UsageProblem, match=sentence):
            from_records("b", [few, other], {})


def test_a_model_measured_on_two_suites_has_two_clean_sets(tmp_path: Path) -> None:
    records = [
        plain(f"m{i}", shift, 50 + 5 * i, 200, Counts(n, k + i, k + i, None))
        for i in range(6)
        for shift, n, k in (("pocket-r", 400, 100), ("imagenet-r", 800, 300))
    ]
    made = from_records("both", records, {})
    for shift, n in (("pocket-r", 400), ("imagenet-r", 800)):
        points = [member.point(shift, "full") for member in made.members]
        assert {point[0].n for point in points if point is not None} == {n}
    save(made, tmp_path / "both")
    from effrob.robustness.baselines.built import load

    back = load(tmp_path / "both")
    assert back.digest == made.digest
    assert fit("pocket-r", back, "full").slope == fit("pocket-r", made, "full").slope


def test_building_from_pocket_models_for_real(pocket_data: Path, tmp_path: Path) -> None:
    """On a hundred images of each set; what each model says of them is what the shipped baseline keeps."""
    models = [model for model in baseline("pocket").models if "cnn" in model or "mlp" in model][:5]
    folder, made = build_baseline(
        "five",
        models,
        out=tmp_path / "b",
        suite="pocket",
        shifts=["pocket-r"],
        data=pocket_data,
        results=tmp_path / "r",
        device="cpu",
        limit=100,
    )
    shipped = baseline("pocket").answers
    assert made.answers is not None and shipped is not None
    for view in ("shift", "clean"):
        few, all_ = (getattr(answers, view)["pocket-r"] for answers in (made.answers, shipped))
        at = [all_.ids.tolist().index(name) for name in few.ids.tolist()]
        assert len(at) > 10 and np.array_equal(few.target, all_.target[at])
        assert np.array_equal(few.predicted, all_.only(models).predicted[:, at])
    # Shared as a folder: whoever puts it among the baselines fits the same line.
    done = CliRunner().invoke(
        main, ["fit", "--baseline", "five", "--json"], env={"EFFROB_BASELINES": str(tmp_path / "b")}
    )
    (row,) = json.loads(done.stdout)
    assert (row["n"], row["baseline_digest"]) == (5, made.digest)
    assert json.loads((folder / "baseline.json").read_text())["digest"] == made.digest

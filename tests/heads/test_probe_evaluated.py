"""The learning heads in a whole evaluation: what they may see, what is recorded, and probes that are shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

import shifts
from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.evaluation.data import load_shift
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS
from effrob.features.cache import FeatureCache
from effrob.heads.classifier import Training, load_classifier
from effrob.heads.probe import Probe, features_of
from effrob.heads.registry import choose
from effrob.heads.shared import classifier_path
from effrob.heads.splits import split
from shifts import registry
from shifts.labels import LabelSpace

HEADS = ("linear-probe", "few-shot-2", "ridge", "knn")


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory, pocket_data: Path):
    """One cache for the module: features are extracted once."""
    cache = tmp_path_factory.mktemp("probe")

    def make(**changes: object) -> Request:
        request = Request(
            models=("pocket:clip",),
            shifts=("pocket", "pocket-r"),
            suite="pocket",
            data=pocket_data,
            heads=("linear-probe",),
            results=cache / "results",
            cache=cache / "cache",
            limit=200,
            train_limit=12,
            progress=False,
        )
        return replace(request, **changes)

    return make


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))
    yield
    load_shift.cache_clear()
    ENCODERS.clear()


def test_every_head_learns_scores_and_records_from_what(request_of) -> None:
    report = Evaluation(request_of(heads=HEADS)).run()
    assert not report.failures and len(report.stored) == 2 * len(HEADS)
    for stored in report.stored:
        resolved, head = stored.record.resolved, stored.record.asked.head
        kept = resolved["probe" if head == "linear-probe" else "few_shot" if head == "few-shot-2" else head]
        assert kept["train"] == {**kept["train"], "name": "pocket-train", "rows": 240, "classes": 20}
        assert len(kept["train"]["digest"]) == 64
        if stored.record.asked.shift == "pocket":
            assert stored.record.counts.accuracy.value > 0.2  # of 20 classes, from 12 images each
    probe = report.stored[0].record.resolved["probe"]
    assert probe["C"] in [one["C"] for one in probe["sweep"]] and probe["reason"] == "gap"
    best = max(one["held_out_accuracy"] for one in probe["sweep"])
    assert next(one for one in probe["sweep"] if one["C"] == probe["C"])["held_out_accuracy"] == best
    assert probe["held_out"] == {"part": 0.1, "rows": 20, "seed": 0} and probe["objective"] > 0


def test_on_all_six_sets_the_probe_answers_as_a_converged_reference_does(request_of) -> None:
    """Whole sets and the whole training set; 0.2 points is at most two pictures of a thousand, and none of ImageNet-A's."""
    evaluation = Evaluation(request_of(shifts=tuple(shifts.suite("pocket").tests), limit=None, train_limit=None))
    report = evaluation.run()
    assert not report.failures and len(report.stored) == 6
    cell = evaluation.tasks[0]
    train = evaluation._training(cell, cell.train)
    assert len(train.rows) == 4000
    reference = LogisticRegression(C=report.stored[0].record.resolved["probe"]["C"], tol=1e-8, max_iter=20_000)
    reference.fit(train.array[train.rows].astype(np.float64), train.targets)
    assert reference.n_iter_[0] < 20_000
    for cell, stored in zip(evaluation.tasks, report.stored):
        features = evaluation._features(cell, cell.shift).array[cell.shift.rows].astype(np.float64)
        scores = features @ reference.coef_.T + reference.intercept_
        wanted = (cell.shift.labels.project(scores).argmax(axis=1) == cell.shift.targets).mean()
        assert stored.record.counts.accuracy.value == pytest.approx(wanted, abs=0.002), cell.shift.name


def test_a_training_set_is_its_own_and_a_set_without_one_says_how_to_name_it(
    request_of, pocket_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Evaluation(request_of(heads=("few-shot-2",), shifts=("pocket-train",))).run()
    assert not report.failures
    (stored,) = report.stored
    assert stored.record.resolved["few_shot"]["train"]["name"] == "pocket-train"
    alone = replace(shifts.load("pocket-r", root=pocket_data), name="elsewhere", clean=None)
    with monkeypatch.context() as patched:
        patched.setitem(registry._registered, "elsewhere", lambda *_, **__: alone)
        with pytest.raises(UsageProblem, match=r"elsewhere has no training set of its own, .* name it with --train"):
            Evaluation(request_of(shifts=("elsewhere",)))


def test_a_path_is_a_row_a_strength_from_strong_to_weak(request_of) -> None:
    report = Evaluation(request_of(heads=("linear-probe@path",), shifts=("pocket-r",))).run()
    assert not report.failures and len(report.stored) == 6
    probes = [stored.record.resolved["probe"] for stored in report.stored]
    assert [stored.record.asked.head for stored in report.stored] == [f"linear-probe@share1e-{n}" for n in range(2, 8)]
    assert [probe["share"] for probe in probes] == pytest.approx([10.0**-n for n in range(2, 8)])
    strengths = [probe["C"] for probe in probes]
    assert np.allclose(np.divide(strengths[1:], strengths[:-1]), 10)
    assert all(probe["reason"] == "gap" and "sweep" not in probe for probe in probes)
    assert all(stored.record.clean is not None for stored in report.stored)


LOADER = """
import torch
from torch import nn
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 1000), nn.Softplus())
"""


def test_a_probe_on_logits_is_refused_before_the_first_image(request_of, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(LOADER)
    pixels = "resize=64,crop=64,interpolation=bilinear,mean=0.5,std=0.5"
    registered = ["register", "bare", "--loader", f"{tmp_path / 'net.py'}:net", "--pixels", pixels]
    assert CliRunner().invoke(main, registered).exit_code == 0
    request = request_of(models=("bare",), shifts=("pocket",), results=tmp_path / "results")
    report = Evaluation(request).run()
    assert report.failures == (
        "bare gives logits and no features, and a probe on logits learns what the network already "
        "decided: register it with --features LAYER",
    )
    kept = [meta for _, meta in FeatureCache(request.cache).filed() if meta["model"] == "bare"]
    assert kept == [], "no set was passed over"


def test_a_warm_rerun_trains_nothing(request_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Evaluation(request_of()).run()
    monkeypatch.setattr(Probe, "fit", lambda *_: pytest.fail("a probe was fitted again"))
    report = Evaluation(request_of(results=tmp_path / "again")).run()
    assert not report.failures and len(report.stored) == 2


@pytest.mark.parametrize("head", HEADS)
def test_no_fit_sees_rows_that_are_not_its_own(head: str) -> None:
    """A feature that is the label in every row but the training rows, where it is nothing: who used it would be found out."""
    rng = np.random.default_rng(0)
    targets = np.concatenate([np.arange(4), rng.integers(0, 4, 396)])
    mine = np.sort(rng.permutation(400)[:200])
    mine = np.union1d(mine, np.arange(4))
    array = rng.normal(size=(400, 8)).astype(np.float32)
    array[:, :2] += targets[:, None]
    planted = array.copy()
    others = np.setdiff1d(np.arange(400), mine)
    planted[others, 2:6] = 50 * np.eye(4, dtype=np.float32)[targets[others]]
    ids = ("a", "b", "c", "d")
    space = LabelSpace("test", ids, ids, ((0,), (1,), (2,), (3,)), ids, ids)
    found = []
    for features in (array, planted):
        train = Training("set", "m", features, mine, targets[mine], 4, "penultimate")
        readout = choose((head,), (), False)[0].make().fit(None, space, train)
        found.append(readout.scores(torch.from_numpy(array)).numpy())
    assert np.array_equal(*found)


def test_what_is_held_out_moves_the_choice_and_never_the_path() -> None:
    """A signal in the held-out rows alone is in no coefficient of the path the strength is chosen from."""
    rng = np.random.default_rng(1)
    targets = np.repeat(np.arange(3), 60)
    array = rng.normal(size=(180, 6)).astype(np.float32)
    array[:, 0] += 0.5 * targets
    planted = array.copy()
    held = split(targets, 0.1, 0).held_out
    planted[held, 3:] = 50 * np.eye(3, dtype=np.float32)[targets[held]]
    whole = features_of(Training("s", "m", array, np.arange(180), targets, 3, "x"))
    unit, paths = 1.0 / (len(whole) * whole.spread), []
    for features in (array, planted):
        probe, train = Probe(), Training("s", "m", features, np.arange(180), targets, 3, "penultimate")
        sweep, points, _ = probe._sweep(train, unit)
        paths.append((points, sweep))
    for a, b in zip(paths[0][0], paths[1][0]):
        assert np.array_equal(a.coef, b.coef) and np.array_equal(a.intercept, b.intercept)
    assert paths[0][1][0]["held_out_loss"] != paths[1][1][0]["held_out_loss"]


def test_any_labelled_set_trains_a_head_and_is_part_of_the_key(request_of) -> None:
    first = Evaluation(request_of(shifts=("pocket",))).tasks[0]
    other = Evaluation(request_of(shifts=("pocket",), train="pocket-v2")).tasks[0]
    assert other.train.name == "pocket-v2" and first.asked.key() != other.asked.key()
    assert classifier_path(Path(), first.asked) != classifier_path(Path(), other.asked)


def test_a_probe_is_exported_imported_and_scores_the_same(request_of, tmp_path: Path) -> None:
    request = request_of()
    stored = Evaluation(request).run().stored
    runner, out = CliRunner(), tmp_path / "mine.safetensors"
    options = ["--out", str(out), "--cache", str(request.cache)]
    wrote = runner.invoke(main, ["probe", "export", str(stored[0].folder), *options])
    assert wrote.exit_code == 0 and "20 classes" in wrote.output, wrote.output
    assert load_classifier(out).facts["probe_of"]["model"] == "pocket:clip"
    took = runner.invoke(main, ["probe", "import", str(out), "--name", "shared"])
    assert took.exit_code == 0 and "--head probe:shared" in took.output, took.output
    assert "linear-probe of pocket:clip" in runner.invoke(main, ["probe", "list"]).output
    again = Evaluation(replace(request, heads=("probe:shared",), results=tmp_path / "results")).run()
    assert not again.failures
    for a, b in zip(stored, again.stored):
        assert np.array_equal(a.predictions().predicted, b.predictions().predicted)
    with pytest.raises(UsageProblem, match="trained on features of pocket:clip, which differ here in model"):
        Evaluation(replace(request, heads=("probe:shared",), models=("pocket:lenet",)))


def test_what_is_no_probe_is_said_in_a_sentence(request_of, tmp_path: Path) -> None:
    request = request_of(heads=("zero-shot",), shifts=("pocket",))
    folder = Evaluation(request).run().stored[0].folder
    (tmp_path / "x.safetensors").write_bytes(b"torn")
    runner = CliRunner()
    for arguments, told in (
        (["export", str(tmp_path), "--out", "y"], "is no record's folder"),
        (["export", str(folder), "--out", "y"], "learned nothing here"),
        (["import", str(tmp_path / "none")], "there is no probe"),
        (["import", str(tmp_path / "x.safetensors")], "is not a probe"),
        (["import", str(tmp_path / "x.safetensors"), "--name", "a/b"], "letters, digits"),
    ):
        result = runner.invoke(main, ["probe", *arguments])
        assert result.exit_code == 2 and told in result.output, result.output
    with pytest.raises(UsageProblem, match="no probe is called 'nope'"):
        Evaluation(request_of(heads=("probe:nope",)))

"""The whole pass on generated sets and a small CLIP with random weights: numbers, caches, resumption and failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from click.testing import CliRunner

import effrob
import model_zoo
import shifts
from effrob.cli import main
from effrob.evaluation.data import load_shift
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.evaluation.tasks import clean_view
from effrob.evaluation.worker import ENCODERS
from effrob.features import cache as feature_cache
from effrob.features import extract
from effrob.heads.probe import Probe
from effrob.heads.prompts import prompt_set
from effrob.heads.zero_shot import ZeroShot
from effrob.results.store import Stored
from model_zoo import PixelSpec
from shifts.storage.tree import TreeSource


@pytest.fixture
def request_of(tmp_path: Path, pocket_data: Path, tiny_clip: str):
    def make(**changes: object) -> Request:
        request = Request(
            models=(tiny_clip,),
            shifts=("pocket-r",),
            suite="pocket",
            data=pocket_data,
            prompts=("simple",),
            results=tmp_path / "results",
            cache=tmp_path / "cache",
            limit=60,
            progress=False,
        )
        return replace(request, **changes)

    return make


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    load_shift.cache_clear()
    ENCODERS.clear()


def names_of(stored: list[Stored] | tuple[Stored, ...]) -> list[tuple[str, str, str | None]]:
    return [(s.record.asked.shift, s.record.asked.head, s.record.asked.prompts) for s in stored]


def test_scores_equal_open_clips_own_pipeline(request_of, tiny_clip: str) -> None:
    """Its transform, its encode_image and its zero-shot classifier, image by image."""
    request = request_of(shifts=("pocket",), limit=40, pixels="exact")
    evaluation = Evaluation(request)
    report = evaluation.run()
    cell = evaluation.tasks[0]
    features = torch.from_numpy(np.array(evaluation._features(cell, cell.shift).array))
    ours = evaluation.classifier(cell).scores(features)

    config, _, checkpoint = tiny_clip.removeprefix("openclip:").partition("@")
    name = Path(config).stem
    model, _, transform = open_clip.create_model_and_transforms(name)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    model.eval()
    names, templates = cell.shift.labels.parent_names, prompt_set("simple").templates
    with torch.inference_mode():
        images = torch.stack([transform(example.image) for example in cell.shift])
        theirs = open_clip.build_zero_shot_classifier(model, open_clip.get_tokenizer(name), names, templates)
        wanted = model.encode_image(images, normalize=True) @ theirs
    assert torch.allclose(ours, wanted, atol=1e-5)
    predictions = report.stored[0].predictions()
    sure = predictions.margin > 1e-4
    assert sure.mean() > 0.9
    assert np.array_equal(predictions.predicted[sure], wanted.argmax(1).numpy()[sure])


def test_a_warm_rerun_opens_no_image_and_loads_no_weights(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of(shifts=("pocket", "pocket-r"))
    first = Evaluation(request).run()
    assert not first.failures

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a warm rerun must not come here")

    load_shift.cache_clear()
    ENCODERS.clear()
    monkeypatch.setattr(TreeSource, "read", refuse)
    monkeypatch.setattr(model_zoo.registry, "load", refuse)
    monkeypatch.setattr(model_zoo, "load", refuse)
    again = Evaluation(request).run()
    assert [s.record for s in again.stored] == [s.record for s in first.stored]
    fresh_results = Evaluation(replace(request, results=request.results / "elsewhere")).run()
    assert not fresh_results.failures
    for a, b in zip(first.stored, fresh_results.stored):
        assert (a.folder / "predictions.npz").read_bytes() == (b.folder / "predictions.npz").read_bytes()


def test_a_second_prompt_set_costs_text_only(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    Evaluation(request_of()).run()

    def refuse(*_: object) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(TreeSource, "read", refuse)
    evaluation = Evaluation(request_of(prompts=("simple", "name-only")))
    assert evaluation.plan().jobs == ()
    report = evaluation.run()
    assert not report.failures
    assert names_of(report.stored) == [("pocket-r", "zero-shot", "simple"), ("pocket-r", "zero-shot", "name-only")]


def test_six_sets_cost_one_text_pass_and_one_probe(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[str] = []

    def counted(made: type, name: str) -> None:
        fit = made.fit
        monkeypatch.setattr(made, "fit", lambda self, *given: fitted.append(name) or fit(self, *given))

    counted(ZeroShot, "words")
    counted(Probe, "probe")
    six = tuple(shifts.suite("pocket").tests)
    request = request_of(shifts=six, heads=("zero-shot", "linear-probe@1"), limit=20, train="pocket", train_limit=3)
    report = Evaluation(request).run()
    assert not report.failures and len(report.stored) == 12
    assert sorted(fitted) == ["probe", "words"]


def test_an_interrupted_pass_goes_on_where_it_stopped(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "SHARD_ROWS", 16)
    monkeypatch.setattr(extract, "SHARD_ROWS", 16)
    request = request_of(shifts=("pocket",), batch_size=8)
    real_read, opened = TreeSource.read, []

    def until_40(source: TreeSource, row: int) -> bytes:
        opened.append(row)
        if len(opened) > 40:
            raise KeyboardInterrupt
        return real_read(source, row)

    monkeypatch.setattr(TreeSource, "read", until_40)
    with pytest.raises(KeyboardInterrupt):
        Evaluation(request).run()
    left = Evaluation(request).plan()
    assert 0 < left.decodes < 60 and left.decodes % 4 == 0
    again: list[int] = []

    def counted(source: TreeSource, row: int) -> bytes:
        again.append(row)
        return real_read(source, row)

    monkeypatch.setattr(TreeSource, "read", counted)
    report = Evaluation(request).run()
    assert not report.failures and len(again) == left.decodes
    whole = Evaluation(replace(request, cache=request.cache / "other", results=request.results / "other")).run()
    assert np.array_equal(report.stored[0].predictions().predicted, whole.stored[0].predictions().predicted)
    assert np.allclose(report.stored[0].predictions().margin, whole.stored[0].predictions().margin, atol=1e-6)


class Net(torch.nn.Module):
    """Answers class 3 to everything; or fails in the middle of the pass, gives NaN, or prints."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.calls = what, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.what == "fails late" and len(x) == 8:  # a batch of the pass, and none of a trial
            raise KeyError("this layer")
        if self.what == "prints":
            print("here I am")
        out = torch.zeros(len(x), 20)
        out[:, 3] = float("nan") if self.what == "nan" else 1.0
        return out


SMALL = PixelSpec((32, 32), (32, 32))


def test_a_failed_model_does_not_stop_the_rest(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_zoo.registered._live", {})
    for what in ("fine", "nan", "fails late"):
        model_zoo.register(f"net-{what.split()[0]}", lambda what=what: Net(what), pixels=SMALL)
    models = ("net-nan", "net-fails", "net-fine")
    report = Evaluation(request_of(models=models, shifts=("pocket", "pocket-r"), batch_size=8)).run()
    assert [s.record.asked.model for s in report.stored] == ["net-fine", "net-fine"]
    nan = [failure for failure in report.failures if "net-nan" in failure]
    late = [failure for failure in report.failures if "net-fails: the network failed on images" in failure]
    assert len(nan) == 1 and "not finite" in nan[0]  # refused before the first image
    assert len(late) == 2 and all("KeyError: 'this" in failure for failure in late)
    clean = report.stored[0].predictions()
    assert (clean.predicted == 3).all() and report.stored[0].record.counts.n_correct == (clean.target == 3).sum() == 3


def test_one_shift_may_be_given_as_a_word(request_of, tiny_clip: str, pocket_data: Path, tmp_path: Path) -> None:
    where = {"data": pocket_data, "results": tmp_path / "r", "cache": tmp_path / "c"}
    rows = effrob.evaluate(tiny_clip, "pocket", prompts="name-only", limit=20, progress=False, **where)
    assert [(row.shift, row.n) for row in rows] == [("pocket", 20)]


def test_a_text_tower_that_gives_no_numbers_is_named(request_of, tiny_clip: str, tmp_path: Path) -> None:
    config, _, checkpoint = tiny_clip.partition("@")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    state["module.text_projection"].fill_(float("nan"))
    torch.save({"state_dict": state}, tmp_path / "torn.pt")
    report = Evaluation(request_of(models=(f"{config}@{tmp_path / 'torn.pt'}",), shifts=("pocket",))).run()
    assert not report.stored and len(report.failures) == 1
    assert "the text tower gives numbers that are not finite" in report.failures[0]
    assert not list((tmp_path / "cache").glob("readouts/*/*"))


def test_a_broken_image_is_named_and_other_sets_go_on(request_of, tmp_path: Path, pocket_data: Path) -> None:
    import shutil

    data = tmp_path / "data"
    for name in ("pocket", "pocket-r"):
        shutil.copytree(pocket_data / name, data / name)
    victim = sorted((data / "pocket-r").rglob("*.jpg"))[7]
    victim.write_bytes(victim.read_bytes()[:50])
    report = Evaluation(request_of(data=data, shifts=("pocket", "pocket-r"), limit=None)).run()
    assert names_of(report.stored) == [("pocket", "zero-shot", "simple")]
    assert (
        len(report.failures) == 1
        and victim.name in report.failures[0]
        and "fetch that file again" in report.failures[0]
    )


def test_a_changed_image_makes_a_new_record(request_of, tmp_path: Path, pocket_data: Path) -> None:
    import shutil

    data = tmp_path / "data"
    for name in ("pocket", "pocket-r"):
        shutil.copytree(pocket_data / name, data / name)
    request = request_of(data=data, limit=None)
    before = Evaluation(request).run().stored[0]
    files = sorted((data / "pocket-r").rglob("*.jpg"))
    files[0].write_bytes(files[-1].read_bytes())
    load_shift.cache_clear()
    after = Evaluation(request).run().stored[0]
    assert before.folder != after.folder
    assert before.record.asked.clean_source == after.record.asked.clean_source


def test_the_clean_view_is_rows_and_columns_of_one_pass(request_of) -> None:
    evaluation = Evaluation(request_of(shifts=("pocket-r", "pocket-object"), limit=None))
    report = evaluation.run()
    for stored, cell in zip(report.stored, evaluation.tasks):
        assert cell.clean is not None
        clean = stored.clean_predictions()
        assert clean is not None and stored.record.clean is not None and stored.record.clean_full is not None
        asked = clean_view(cell.shift, cell.clean)
        wanted = sum(len(group) for group in cell.shift.labels.groups) * 50
        assert len(clean) == stored.record.clean.n == len(asked.rows) == wanted < 1000 == stored.record.clean_full.n
        assert clean.target.max() < len(cell.shift.labels)


def test_a_user_transform_takes_the_same_road(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Evaluation(request_of(shifts=("pocket",), precision="bf16")).run()
    assert not report.failures and report.stored[0].record.asked.precision == "bf16"


def test_the_command_prints_strict_json_and_only_that(pocket_data: Path, tiny_clip: str, tmp_path: Path) -> None:
    args = ["eval", "--suite", "pocket", "--data", str(pocket_data), "--model", tiny_clip, "--prompts", "name-only"]
    args += ["--limit", "40", "--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c"), "--json"]
    result = CliRunner().invoke(main, args, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["shift"] for row in rows] == list(shifts.suite("pocket").tests)
    for row in rows:
        assert row["partial"] and row["n"] == 40 < row["n_expected"]
        assert row["accuracy"] == row["n_correct"] / row["n"] and row["accuracy_ci95"][0] <= row["accuracy"]
        assert row["protocol"] == "effrob" and row["prompts"] == "name-only" and row["precision"] == "fp32"
        assert Path(row["record"], "record.json").is_file()
        assert {"effective_robustness", "effective_robustness_pi95", "verdict", "baseline", "axis", "scale"} <= set(row)
    plan = CliRunner().invoke(main, [*args[:-1], "--dry-run"], catch_exceptions=False)
    assert "0 jobs" in plan.stdout and "6 cells are done" in plan.stdout


def test_what_a_users_code_prints_stays_out_of_the_json(
    pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loader() -> Net:
        print("loading")
        return Net("prints")

    monkeypatch.setattr("model_zoo.registered._live", {})
    model_zoo.register("talks", loader, pixels=SMALL)
    args = [
        "eval",
        "--suite",
        "pocket",
        "--shift",
        "pocket",
        "--data",
        str(pocket_data),
        "--model",
        "talks",
        "--limit",
        "9",
    ]
    args += ["--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c"), "--json"]
    for asked in ([*args, "--dry-run"], args, ["models", "talks", "--json"]):
        result = CliRunner().invoke(main, asked, catch_exceptions=False)
        assert result.exit_code == 0 and json.loads(result.stdout), result.stderr
        assert asked[0] == "models" or "loading" in result.stderr or "--dry-run" not in asked


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--model", "opnclip:x"], "openclip"),
        (["--model", "pocket:nothing-like-it"], "pocket"),
        (["--head", "zeroshot"], "did you mean zero-shot"),
        (["--shift", "pocket-rr"], "pocket-r"),
        (["--shift", "imagenet-r"], "effrob data get imagenet-r"),
        (["--prompts", "opeani"], "openai"),
        (["--protocol", "efrob"], "effrob"),
        (["--suite", "poket"], "did you mean pocket"),
        (["--precision", "fp8"], "fp"),
        (["--baseline", "tesbed"], "testbed"),
        (["--limit", "0"], "at least 1"),
        (["--model", "@/nowhere.txt"], "one a line"),
        (["--bogus"], "No such option"),
    ],
)
def test_what_is_asked_wrongly_is_a_sentence_and_exit_2(
    args: list[str], words: str, pocket_data: Path, tiny_clip: str, tmp_path: Path
) -> None:
    asked = ["eval", "--data", str(pocket_data), "--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c")]
    asked += [word for pair in (("--suite", "pocket"), ("--limit", "5")) if pair[0] not in args for word in pair]
    asked += args if "--model" in args else ["--model", tiny_clip, *args]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert words in result.stderr and "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("Error:")]) == 1

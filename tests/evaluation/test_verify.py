"""A record reproduced by its model, and altered ones caught as often as is computed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.stats import hypergeom

from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.evaluation.verify import chance_of_catching, sampled
from effrob.evaluation.verify_request import request_of
from effrob.results.predictions import file_digest, load_predictions
from effrob.results.record import imported_digest
from effrob.results.recount.rows import count
from effrob.results.store import Stored, read
from tests.honest import told

SPEC = "pocket:cnn-tiny"
N = 600  # images of pocket-r


@pytest.fixture(scope="module")
def measured(pocket_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A record as a run leaves it."""
    root = tmp_path_factory.mktemp("measured")
    request = Request(
        (SPEC,), ("pocket-r",), "pocket", data=pocket_data, results=root / "r", cache=root / "c", device="cpu", progress=False
    )  # fmt: skip
    (stored,) = Evaluation(request).run().stored
    return stored


@pytest.fixture
def copied(measured: Stored, tmp_path: Path) -> Iterator[Path]:
    """A copy of the record's folder."""
    shutil.copytree(measured.folder, tmp_path / "record")
    yield tmp_path / "record"


def altered(folder: Path, which: np.ndarray) -> list[str]:
    """Some wrong answers made right, or right ones wrong, with everything that follows from them; returns the images."""
    rows = load_predictions(folder / "predictions.npz")
    predicted = rows.predicted.copy()
    predicted[which] = np.where(rows.correct[which], (rows.target[which] + 1) % 10, rows.target[which])
    forged = told("pocket-r", rows.id, predicted)
    columns = {}
    for name in ("predicted", "top5", "predicted_1000", "correct", "correct_1000", "correct_top5"):
        column = getattr(rows, name).copy()
        column[which] = getattr(forged, name)[which]
        columns[name] = column
    made = replace(rows, **columns)
    facts = json.loads((folder / "record.json").read_text())
    facts["files"]["predictions.npz"] = made.save(folder / "predictions.npz")
    facts["counts"] = vars(count(made))
    (folder / "record.json").write_text(json.dumps(facts))
    assert facts["files"]["predictions.npz"] == file_digest(folder / "predictions.npz")
    return sorted(rows.id[which].tolist())


def verify(folder: Path, data: Path, *words: str, model: str = SPEC) -> Result:
    return CliRunner().invoke(
        main, ["verify", str(folder), "--model", model, "--data", str(data), "--device", "cpu", *words]
    )


def test_a_record_of_a_run_is_reproduced(measured: Stored, pocket_data: Path) -> None:
    done = verify(measured.folder, pocket_data)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "reproduced"
    assert "the shift: 200 of 200 images answered alike, of 600 in the record" in done.stdout
    assert "the clean view: 200 of 200 images answered alike, of 500 in the record" in done.stdout
    assert "1 % of altered answers would be met with probability 0.91" in done.stdout
    again = json.loads(verify(measured.folder / "record.json", pocket_data, "--json", "--images", "9999").stdout)
    assert again["reproduced"] and [view["n"] for view in again["views"]] == [600, 500]
    assert [view["chance_of_catching_one_percent"] for view in again["views"]] == [1.0, 1.0]


def test_the_seed_is_drawn_anew_and_repeats_a_sample(measured: Stored, pocket_data: Path) -> None:
    few = [json.loads(verify(measured.folder, pocket_data, "--json", "--images", "2").stdout) for _ in range(2)]
    assert few[0]["seed"] != few[1]["seed"]
    assert (
        verify(measured.folder, pocket_data, "--images", "2", "--seed", "7").stdout.splitlines()[0].endswith("seed 7")
    )


def test_answers_of_one_percent_altered_pass_every_check_but_the_models(copied: Path, pocket_data: Path) -> None:
    """Six of 600 answers, consistent in all that a file tells; the command finds just those that are in its sample."""
    which = np.random.default_rng(0).choice(N, size=N // 100, replace=False)
    ids = altered(copied, which)
    read(copied)  # recounted: nothing is wrong with it
    met = [seed for seed in range(40) if np.isin(sampled(N, 200, seed), which).any()]
    missed = [seed for seed in range(40) if seed not in met]
    assert len(met) > len(missed) > 0
    rows = load_predictions(copied / "predictions.npz")
    done = verify(copied, pocket_data, "--json", "--seed", str(met[0]))
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and not found["reproduced"]
    drawn = set(rows.id[sampled(N, 200, met[0])].tolist())
    assert sorted(found["views"][0]["differing"]) == sorted(drawn & set(ids)) and not found["views"][1]["differing"]
    text = verify(copied, pocket_data, "--seed", str(met[0]))
    assert text.exit_code == 1 and f"{len(drawn & set(ids))} differ, first p0" in text.stdout
    assert text.stdout.splitlines()[-1] == "not reproduced: the record's answers are not this model's"
    assert verify(copied, pocket_data, "--seed", str(missed[0])).exit_code == 0


def test_a_record_of_another_model_is_not_reproduced(measured: Stored, pocket_data: Path) -> None:
    done = verify(measured.folder, pocket_data, model="pocket:mlp")
    assert done.exit_code == 1 and "not reproduced" in done.stdout
    assert "notice: the record calls its model pocket:cnn-tiny" in done.stdout
    assert "notice: the model's digest is not the record's" in done.stdout


@pytest.mark.parametrize(("n_record", "n"), [(10_000, 200), (50_000, 200), (600, 200), (2_000, 400), (150, 200)])
def test_the_probability_told_is_that_of_the_sampler(n_record: int, n: int) -> None:
    changed = np.arange(max(1, n_record // 100))  # which ones is no matter to a uniform sample
    told_ = chance_of_catching(n_record, n, 0.01)
    exact = hypergeom.sf(0, n_record, len(changed), min(n, n_record))
    assert told_ == pytest.approx(exact, abs=1e-12)
    hits = [np.isin(sampled(n_record, n, seed), changed).any() for seed in range(1500)]
    assert np.mean(hits) == pytest.approx(told_, abs=4 * np.sqrt(told_ * (1 - told_) / 1500) + 1e-9)
    if n_record >= 10_000:
        assert told_ == pytest.approx(0.87, abs=0.005)
    each = np.bincount(np.concatenate([sampled(n_record, n, seed) for seed in range(300)]), minlength=n_record)
    assert each.sum() == 300 * min(n, n_record) and each[: n_record // 2].mean() == pytest.approx(each.mean(), rel=0.05)


def test_near_ties_are_counted_and_let_pass_and_wider_gaps_are_not(measured: Stored, pocket_data: Path) -> None:
    from effrob.evaluation import verify as module
    from effrob.heads.classifier import LabelView
    from shifts.classes import pocket

    labels = pocket().full()
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(20, len(labels)))
    order = np.argsort(-scores, axis=1)
    scores[0, order[0, 1]] = scores[0, order[0, 0]] - 1e-6  # a tie but for rounding
    view = LabelView(np.arange(20), order[:, 0], tuple(map(str, range(20))), labels)
    swapped = order.copy()
    for i in (0, 1):  # the second best stated as the best, for the tie and for a clear answer
        swapped[i, :2] = swapped[i, 1::-1]
    rows = told("pocket", _ids(20), swapped[:, 0])
    rows = replace(rows, top5=swapped[:, :5].copy())
    changed, near, tolerance = module._judged(scores, False, view, rows, np.arange(20), 0.01)
    assert near.tolist() == [True] + 19 * [False] and changed.tolist() == [False, True] + 18 * [False]
    assert 1e-6 < tolerance < 0.1
    listed = rows.top5.copy()
    listed[5, 4] = order[5, 12]  # a class among the five that is none of them
    changed, _, _ = module._judged(scores, False, view, replace(rows, top5=listed), np.arange(20), 0.01)
    assert np.flatnonzero(changed).tolist() == [1, 5]


def _ids(n: int) -> np.ndarray:
    from tests.honest import official

    return np.array(official("pocket").ids[:n])


@pytest.mark.parametrize("limit", [None, 3])
def test_a_head_that_learnt_from_a_set_that_was_named_is_asked_again(
    pocket_data: Path, tmp_path: Path, limit: int | None
) -> None:
    """`eval --train NAME --train-limit N` made a record that nothing could tell verify of."""
    request = Request(
        (SPEC,), ("pocket-r",), "pocket", ("ridge",), data=pocket_data, results=tmp_path / "r", cache=tmp_path / "c",
        device="cpu", progress=False, train="pocket", train_limit=limit,
    )  # fmt: skip
    (stored,) = Evaluation(request).run().stored
    words = ("--cache", str(tmp_path / "c"), "--images", "50")
    for more in ((), ("--train", "pocket"), *([("--train-limit", str(limit))] if limit else [])):
        done = verify(stored.folder, pocket_data, *words, *more)
        assert done.exit_code == 0 and done.stdout.endswith("reproduced\n"), done.output + done.stderr
    other = verify(stored.folder, pocket_data, *words, "--train", "pocket-train")
    assert other.exit_code == 1 and "than pocket-train has here: name its set with --train" in other.stderr
    gone = verify(stored.folder, pocket_data, *words, "--train", "nowhere")
    assert gone.exit_code == 2 and "the record's head learnt from pocket, and nowhere cannot be read" in gone.stderr
    shutil.rmtree(tmp_path / "c" / "readouts")
    said = f"--head ridge --train pocket{f' --train-limit {limit}' if limit else ''}`, then verify"
    assert said in verify(stored.folder, pocket_data, *words).stderr


def test_what_cannot_be_verified_is_a_sentence(measured: Stored, pocket_data: Path, tmp_path: Path) -> None:
    done = verify(tmp_path, pocket_data)
    assert done.exit_code == 2 and "is no record's folder" in done.stderr
    with pytest.raises(UsageProblem, match="made elsewhere and imported"):
        asked = replace(measured.record.asked, model_digest=imported_digest(SPEC))
        request_of(replace(measured.record, origin="imported", asked=asked), SPEC)
    done = verify(measured.folder, pocket_data, model="pocket:clip")  # asked by other pixels and another head
    assert done.exit_code == 2 and "so no native head" in done.stderr, done.stderr
    small = tmp_path / "data"
    for name in ("pocket", "pocket-r"):
        place = next(path for path in pocket_data.rglob(name) if path.is_dir())
        to = small / place.relative_to(pocket_data)
        for file in sorted(place.rglob("*.*"))[::2]:
            (to / file.relative_to(place)).parent.mkdir(parents=True, exist_ok=True)
            (to / file.relative_to(place)).symlink_to(file)
    done = verify(measured.folder, small, "--follow-links")
    assert done.exit_code == 2 and "are not in pocket-r as it lies here (first p0" in done.stderr


def test_answers_that_depend_on_the_batch_are_compared_and_said_to(pocket_data: Path, tmp_path: Path) -> None:
    """A record of --allow-nondeterminism is no forgery where it differs, and the notice says why it may."""
    from effrob.evaluation.verify import verify_record
    from effrob.evaluation.worker import ENCODERS
    from model_zoo.memory.model import from_memory
    from model_zoo.offered import offering
    from tests.hostile.test_answers_are_facts import PIXELS, LargeBatches

    with offering({"net": from_memory(LargeBatches(), PIXELS, "net")}):
        request = Request(
            ("net",), ("pocket-r",), "pocket", data=pocket_data, results=tmp_path / "r", cache=tmp_path / "c",
            device="cpu", limit=60, progress=False, allow_nondeterminism=True,
        )  # fmt: skip
        (stored,) = Evaluation(request).run().stored
        again = request_of(
            stored.record, "net", data=pocket_data, cache=tmp_path / "c", device="cpu", progress=False, batch_size=7
        )
        assert again.allow_nondeterminism
        found = verify_record(stored, again, 40, 0)
    ENCODERS.clear()
    assert not found.reproduced
    assert any("answers depend on more than the image" in notice for notice in found.notices)

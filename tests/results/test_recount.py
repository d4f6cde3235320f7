"""Records are read through one proof: what their ids, answers and the shipped tables contradict is refused, by every reader."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from effrob.cli import main
from effrob.errors import EffrobError
from effrob.results.predictions import Predictions, file_digest, load_predictions
from effrob.results.record import Counts, EvalSpec
from effrob.results.recount import remembered
from effrob.results.recount.key import key_of
from effrob.results.recount.proof import prove
from effrob.results.recount.rows import count, wrong_rows
from effrob.results.select import read_records
from effrob.results.store import ResultStore, read
from effrob.results.verification import verified
from shifts.shift import label_digest
from tests.honest import answers, keep, official, record_of, told

Facts = dict[str, Any]
Change = Callable[[Facts, Path], None]
SHIFT, CLEAN = "predictions.npz", "clean.npz"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Honest records of a model on three sets, and its folder on pocket-r."""
    root = tmp_path_factory.mktemp("kept")
    for shift in ("pocket-r", "pocket-v2", "pocket-object"):
        keep(root, "my-model", shift, 0.6, 0.8)
    return root


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the record on pocket-r, to be attacked."""
    shutil.copytree(kept, tmp_path / "results")
    yield next((tmp_path / "results").glob("*/pocket-r/*"))


def forge(folder: Path, change: Change) -> None:
    """Change a record and whatever must agree with it as one who knows the format would: digests, counts and key."""
    facts = json.loads((folder / "record.json").read_text())
    change(facts, folder)
    for name in (SHIFT, CLEAN):
        if name in facts["files"] and facts["files"][name] is not None and (folder / name).is_file():
            facts["files"][name] = file_digest(folder / name)
    facts["key"] = EvalSpec(**facts["asked"]).key()
    (folder / "record.json").write_text(json.dumps(facts))


def rows(name: str, keep_counts: bool = False, **columns: Callable[[Predictions], np.ndarray]) -> Change:
    """A change of some columns of a predictions file, and of the counts with them."""

    def change(facts: Facts, folder: Path) -> None:
        before = load_predictions(folder / name)
        after = replace(before, **{column: make(before) for column, make in columns.items()})
        after.save(folder / name)
        if not keep_counts:
            told = dict(vars(count(after)))
            if name == SHIFT:
                facts["counts"] = told
            else:
                facts["clean"] = told
                facts["clean_full"]["n_correct"] = facts["clean_full"]["n_correct_1000way"] = told["n_correct"] + 250

    return change


def cut(name: str, which: Callable[[Predictions], np.ndarray], honest_question: bool = True) -> Change:
    """Rows left out of a file, with the counts, the digests and the question that go with what is left."""

    def change(facts: Facts, folder: Path) -> None:
        before = load_predictions(folder / name)
        kept = which(before)
        after = Predictions(**{f.name: getattr(before, f.name)[kept] for f in fields(Predictions)})
        after.save(folder / name)
        facts["counts" if name == SHIFT else "clean"] = dict(vars(count(after)))
        if name == SHIFT and honest_question:
            shift = replace(official("pocket-r"), rows=after.index, targets=after.target)
            facts["asked"]["question"] = label_digest(shift)

    return change


def as_answered(rows: Predictions) -> np.ndarray:
    """Targets that make every answer right."""
    return rows.predicted.copy()


def all_right(rows: Predictions) -> np.ndarray:
    return np.ones(len(rows), dtype=bool)


def set_in(*path: str, to: object) -> Change:
    def change(facts: Facts, folder: Path) -> None:
        inner = facts
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = to

    return change


def without(*path: str) -> Change:
    def change(facts: Facts, folder: Path) -> None:
        inner = facts
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]

    return change


def renamed(place: int, to: str) -> Callable[[Predictions], np.ndarray]:
    def make(rows: Predictions) -> np.ndarray:
        ids = rows.id.astype("<U64")
        ids[place] = to
        return ids

    return make


def other_class(rows: Predictions) -> np.ndarray:
    """The ids of the wrong answers moved to the folder of the class that was answered."""
    classes = official("pocket-r").labels.class_ids
    wrong = np.flatnonzero(~rows.correct)
    ids = rows.id.astype("<U64")
    for i in wrong:
        ids[i] = f"{classes[rows.predicted[i]]}/{i:05d}-moved.jpg"
    return ids


def both(*changes: Change) -> Change:
    def change(facts: Facts, folder: Path) -> None:
        for each in changes:
            each(facts, folder)

    return change


def own_question(facts: Facts, folder: Path) -> None:
    """The digest of the question as a run on these images would state it: whoever knows the format can compute it."""
    made = load_predictions(folder / SHIFT)
    key = key_of("pocket-r", made.id, "effrob")
    assert key is not None
    facts["asked"]["question"] = key.question(made.index)


ATTACKS: dict[str, tuple[Change, str]] = {
    "targets altered to the answers": (
        rows(SHIFT, target=as_answered, correct=all_right, correct_top5=all_right, correct_1000=all_right),
        r"states a target that is not the class of its image \(240 of 600, first p0",
    ),
    "wrong images dropped": (
        cut(SHIFT, lambda r: r.correct | (np.arange(len(r)) % 7 == 0)),
        r"calls \d+ of 600 images complete",
    ),
    "wrong images moved to the class that was answered": (
        rows(
            SHIFT, id=other_class, target=as_answered, correct=all_right, correct_top5=all_right, correct_1000=all_right
        ),
        "another question",
    ),
    "the same with the question of those images": (
        both(
            rows(
                SHIFT,
                id=other_class,
                target=as_answered,
                correct=all_right,
                correct_top5=all_right,
                correct_1000=all_right,
            ),
            own_question,
        ),
        "calls 600 of 600 images complete",
    ),
    "every answer called right": (
        rows(SHIFT, correct=all_right, correct_top5=all_right, correct_1000=all_right),
        r"calls answers right that are not \(correct\), or the reverse \(240 of 600, first p0",
    ),
    "the top 5 called right": (rows(SHIFT, correct_top5=all_right), r"not \(correct_top5\)"),
    "right over all classes": (rows(SHIFT, correct_1000=all_right), r"not \(correct_1000\)"),
    "a top 5 that begins with another class": (
        rows(SHIFT, top5=lambda r: np.roll(r.top5, 1, axis=1)),
        "do not begin with the best",
    ),
    "one class five times": (
        rows(SHIFT, top5=lambda r: np.repeat(r.predicted[:, None], 5, axis=1)),
        "lists a class twice",
    ),
    "a class that is not there": (
        rows(SHIFT, predicted=lambda r: np.where(r.correct, r.predicted, 10)),
        "a class in predicted that the set does not have",
    ),
    "an image twice": (
        rows(SHIFT, id=lambda r: np.where(np.arange(len(r)) == 1, r.id[0], r.id)),
        "answers p00000001/00000.jpg more than once",
    ),
    "a row twice": (rows(SHIFT, index=lambda r: np.where(np.arange(len(r)) == 1, 0, r.index)), "an image twice"),
    "an image of no class": (rows(SHIFT, id=renamed(3, "p99999999/1.jpg")), "p99999999"),
    "an image of a class the set has not": (rows(SHIFT, id=renamed(3, "p00000002/1.jpg")), "p00000002"),
    "a clean view of other images": (
        rows(CLEAN, id=renamed(3, "p00000002/1.jpg")),
        r"clean\.npz .*p00000002/1\.jpg, an image of pocket that shows no class of pocket-r",
    ),
    "clean images dropped": (cut(CLEAN, lambda r: np.arange(len(r)) % 2 == 0), "images of its clean view complete"),
    "clean targets altered": (
        rows(CLEAN, target=as_answered, correct=all_right, correct_top5=all_right, correct_1000=all_right),
        r"clean\.npz states a target",
    ),
    "counts changed": (set_in("counts", "n_correct", to=599), "counts on the shift that are not those"),
    "clean counts changed": (set_in("clean", "n_correct", to=1), "counts on the clean view that are not those"),
    "the whole clean set changed": (set_in("clean_full", "n_correct", to=999), "its predictions allow"),
    "fewer images expected": (set_in("n_expected", to=300), "expects 300 images, and pocket-r has 600"),
    "classes of another set": (set_in("asked", "label_space", to="pocket-a-10"), "it was asked among pocket-a-10"),
    "a digest of zeros": (set_in("asked", "source", to="0" * 64), "no digest of anything"),
    "no digest of the question": (set_in("asked", "question", to=""), "as question, which is no digest"),
    "another question's digest": (set_in("asked", "question", to="0a1b" * 16), "digest of another question"),
    "no digest of the model": (set_in("asked", "model_digest", to=""), "as model_digest, which is no digest"),
    "no digest of the answers": (without("files", SHIFT), r"lacks the SHA-256 of predictions\.npz"),
    "no digest of the clean answers": (without("files", CLEAN), r"lacks the SHA-256 of clean\.npz"),
    "an empty digest": (set_in("files", SHIFT, to=None), "None"),
    "a file more": (set_in("files", "more.npz", to="0a1b" * 16), "names 'more.npz'"),
    "a margin below zero": (rows(SHIFT, margin=lambda r: -r.margin), "a margin below 0"),
    "a confidence of two": (rows(SHIFT, confidence=lambda r: 4 * r.confidence), "that no softmax gives"),
    "an entropy that the confidence rules out": (rows(SHIFT, entropy=lambda r: 0 * r.entropy), "no softmax of this"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_cannot_be_is_refused_by_name(attack: str, folder: Path) -> None:
    change, said = ATTACKS[attack]
    assert len(read_records(folder.parents[2])) == 3
    forge(folder, change)
    for reader in (read, lambda at: read_records(at.parents[2]), lambda at: verified([at.parents[2]])):
        with pytest.raises(EffrobError, match=said) as found:
            reader(folder)
        assert str(folder) in str(found.value)


READERS = {
    "leaderboard": ["leaderboard", "--results", "results", "--published", "none"],
    "compare": ["compare", "my-model", "resnet50", "--results", "results"],
    "fit": ["fit", "--baseline", "measured", "--results", "results", "--shift", "pocket-r"],
    "plot": ["plot", "--results", "results", "--shift", "pocket-r", "--out", "x.svg", "--model", "my-model"],
    "cite": ["cite", "my-model", "--results", "results"],
    "classes": ["classes", "my-model", "--results", "results", "--shift", "pocket-r"],
    "calibration": ["calibration", "my-model", "--results", "results"],
    "agreement": ["agreement", "--results", "results", "--shift", "pocket-r"],
    "baseline": ["baseline", "show", "measured", "--results", "results"],
    "study": ["study", "run", "mine.toml", "--results", "results"],
}
STUDY = """question = "?"
factor = "f"
decides = "d"
cannot_decide = "c"
shifts = ["pocket-r"]
baseline = "pocket"
[[arm]]
name = "a"
model = "my-model"
"""


@pytest.mark.parametrize("command", READERS)
def test_every_command_reads_through_the_proof(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parents[3])
    Path("mine.toml").write_text(STUDY)
    change, _ = ATTACKS["targets altered to the answers"]
    before = CliRunner().invoke(main, READERS[command])
    assert "states a target" not in before.output
    forge(folder, change)
    done = CliRunner().invoke(main, READERS[command])
    assert done.exit_code in (1, 2) and "states a target that is not the class of its image" in done.stderr, done.output
    if command == "leaderboard":  # which keeps the other rows
        shutil.rmtree(folder)
        assert done.stdout == CliRunner().invoke(main, READERS[command]).stdout != before.stdout
    else:
        assert done.stdout == ""


def test_a_proof_is_made_once_and_forgotten_with_any_byte(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))
    made: list[Path] = []

    def counted(record: Any, at: Path) -> None:
        made.append(at)
        prove(record, at)

    monkeypatch.setattr(remembered, "prove", counted)
    remembered._known.cache_clear()
    for _ in range(3):
        read(folder)
    assert made == [folder]
    kept = tmp_path / "cache" / "recounted.txt"
    assert kept.stat().st_mode & 0o777 == 0o600
    remembered._known.cache_clear()  # as another process would
    read(folder)
    assert len(made) == 1
    kept.chmod(0o666)  # anybody may have written to it
    remembered._known.cache_clear()
    read(folder)
    assert len(made) == 2
    kept.chmod(0o600)
    remembered._known.cache_clear()
    forge(folder, ATTACKS["targets altered to the answers"][0])
    with pytest.raises(EffrobError, match="states a target"):
        read(folder)
    assert len(made) == 3
    remembered._known.cache_clear()


def test_a_set_of_ones_own_is_held_against_itself(tmp_path: Path) -> None:
    """Its labels are not shipped: an image twice, or right against its own target, is refused all the same."""
    made = answers(official("pocket-r"), 0.6)
    assert not list(wrong_rows(made, None))
    twice = replace(made, index=np.where(np.arange(len(made)) == 1, 0, made.index))
    assert "answers an image twice" in " ".join(wrong_rows(twice, None))
    ids = replace(made, id=np.where(np.arange(len(made)) == 1, made.id[0], made.id))
    assert "answers an image twice" in " ".join(wrong_rows(ids, None))
    right = replace(made, correct=np.ones(len(made), dtype=bool))
    assert "calls answers right that are not the target" in " ".join(wrong_rows(right, None))


def test_a_clean_view_of_objects_may_be_right_more_often_than_the_whole_set(tmp_path: Path) -> None:
    """An object of several classes takes any of them; over all classes one is right: 'calls 61 of all, allow 97 to 347'."""
    whole, of = official("pocket"), official("pocket-object")
    labels = of.labels
    view = answers(whole, np.zeros(1000, dtype=bool), seen_as="pocket-object")
    several = {id: group for group in labels.groups if len(group) > 1 for id in group}
    assert several
    parent = dict(zip(whole.ids, whole.targets.tolist(), strict=True))
    classes = np.array([parent[id] for id in view.id.tolist()])
    other = np.array([next((m for m in several.get(k, (k,)) if m != k), k) for k in classes.tolist()])
    said = np.where([k in several for k in classes.tolist()], other, view.predicted_1000)
    inside = labels.owner[said]
    view = told("pocket", view.id, np.where(inside >= 0, inside, view.predicted), seen_as="pocket-object")
    view = replace(view, predicted_1000=said, correct_1000=inside == view.target)
    on_view = count(view)
    assert on_view.n_correct_1000way
    full = Counts(1000, 0, 0, 0)
    record = record_of("m", of, answers(of, 0.5), view)
    stored = ResultStore(tmp_path).write(replace(record, clean_full=full), answers(of, 0.5), view)
    assert read(stored.folder).record.clean_full == full
    forge(stored.folder, set_in("clean_full", to={**vars(full), "n_correct": 1000, "n_correct_1000way": 1000}))
    with pytest.raises(EffrobError, match="its predictions allow"):
        read(stored.folder)

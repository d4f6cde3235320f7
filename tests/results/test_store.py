"""Records and predictions: written once, read back whole, verified, and refused by name when they were touched."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from effrob.errors import EffrobError, RecordConflict
from effrob.results.predictions import Predictions, load_predictions
from effrob.results.record import EvalRecord, EvalSpec, from_json
from effrob.results.select import is_named, read_records
from effrob.results.store import ResultStore, count, read
from tests.honest import answers, official, record_of, shares


def predictions(right: float = 0.75) -> Predictions:
    return answers(official("pocket-r"), right)


def record(rows: Predictions, asked: EvalSpec | None = None) -> EvalRecord:
    clean = answers(official("pocket"), CLEAN, seen_as="pocket-r")
    made = record_of("pocket:a", official("pocket-r"), rows, clean, answers(official("pocket"), CLEAN))
    return made if asked is None else replace(made, asked=asked)


CLEAN = shares(official("pocket"), 0.8)
VIEW = answers(official("pocket"), CLEAN, seen_as="pocket-r")
ASKED = record(predictions()).asked


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store, rows = ResultStore(tmp_path), predictions()
    written = store.write(record(rows), rows, VIEW)
    found = store.find(ASKED)
    assert found is not None and found.record == written.record and [s.record for s in store] == [found.record]
    assert np.array_equal(found.predictions().predicted, rows.predicted)
    assert ASKED.key()[:16] in found.folder.name and "pocket-r" in str(found.folder)
    assert count(rows).accuracy.value == 0.75


def test_equal_predictions_have_equal_bytes_whenever_they_are_written(tmp_path: Path) -> None:
    assert predictions().save(tmp_path / "a.npz") == predictions().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_every_part_of_a_question_is_in_its_key() -> None:
    for name, value in vars(ASKED).items():
        other = {"x": 1} if isinstance(value, dict) else f"{value}x"
        assert replace(ASKED, **{name: other}).key() != ASKED.key(), name


def test_a_second_writer_must_agree(tmp_path: Path) -> None:
    store, rows = ResultStore(tmp_path), predictions()
    store.write(record(rows), rows, VIEW)
    store.write(record(rows), rows, VIEW)
    other = predictions(right=0.1)
    with pytest.raises(RecordConflict, match="other counts for the same question"):
        store.write(record(other), other, VIEW)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_tampering_is_named(tmp_path: Path) -> None:
    store, rows = ResultStore(tmp_path), predictions()
    stored = store.write(record(rows), rows, VIEW)
    path = stored.folder / "record.json"
    original = path.read_text()
    edit(path, counts={**json.loads(original)["counts"], "n_correct": 19})
    with pytest.raises(EffrobError, match="counts on the shift that are not those of its predictions"):
        read(stored.folder)
    edit(path, asked={**json.loads(original)["asked"], "shift": "pocket-a"})
    with pytest.raises(EffrobError, match="key does not match"):
        read(stored.folder)
    path.write_text(original)
    predictions(right=0.9).save(stored.folder / "predictions.npz")
    with pytest.raises(EffrobError, match=r"predictions\.npz is not the file its record names"):
        read(stored.folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}', '{"schema": 1, "asked": 3, "counts": null}']
)
def test_what_is_no_record_is_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(EffrobError, match=r"record\.json cannot be read as a record"):
        read(tmp_path)


def test_impossible_counts_are_refused() -> None:
    value = record(predictions()).as_json()
    value["counts"]["n_correct"] = 999
    with pytest.raises(EffrobError, match="999 right of 600"):
        from_json(value)


def test_a_file_of_schema_1_is_read_and_one_of_a_later_schema_refused(tmp_path: Path) -> None:
    path, rows = tmp_path / "predictions.npz", predictions()
    rows.save(path)
    with np.load(path) as kept:
        arrays = dict(kept)
    old = {name: array for name, array in arrays.items() if name not in ("schema", "confidence", "entropy")}
    np.savez_compressed(path, **old)
    found = load_predictions(path)
    assert np.isnan(found.confidence).all() and np.isnan(found.entropy).all()
    assert np.array_equal(found.correct, rows.correct) and found.confidence.dtype == np.float32
    np.savez_compressed(path, **{**arrays, "schema": np.int64(3)})
    with pytest.raises(EffrobError, match="schema 3"):
        load_predictions(path)


def test_a_torn_predictions_file_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    predictions().save(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EffrobError, match="not a readable predictions file"):
        load_predictions(path)


@given(
    model=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=300),
    prompts=st.none() | st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=120),
    head=st.sampled_from(["native", "zero-shot", "linear-probe@0.1", "imported:a/b", ".hidden"]),
)
@example(model="x" * 30 + "." + "y" * 79, prompts="../up", head="native")
@example(model="openclip:local-dir:/a b/.c/@#é…", prompts=".", head="zero-shot")
@settings(max_examples=40)
def test_every_record_is_found_whatever_its_name(model: str, prompts: str | None, head: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, rows = ResultStore(Path(folder)), predictions()
        asked = replace(ASKED, model=model, prompts=prompts, head=head)
        written = store.write(record(rows, asked), rows, VIEW)
        assert written.folder.resolve().is_relative_to(Path(folder).resolve())
        assert store.find(asked) is not None
        assert [each.folder for each in store] == [written.folder]
        read = read_records(Path(folder))
        assert [each.record.asked for each in read] == [asked] and is_named(read[0], model)

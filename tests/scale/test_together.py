"""Two evaluations on one results folder and one cache: nothing lost, nothing double, nothing torn."""

from __future__ import annotations

import json
import os
import threading
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest

from effrob.features import cache as feature_cache
from effrob.features.cache import FeatureCache, FeatureKey
from effrob.results.store import ResultStore
from tests.forked import fork

SETS = ("pocket-r", "pocket-sketch")


def begin(data: Path, folder: Path, number: int, *models: str) -> ForkServerProcess:
    """An evaluation whose table goes to `folder/number.json`."""
    folder.mkdir(exist_ok=True)
    args = ["eval", "--suite", "pocket", "--data", str(data), "--device", "cpu", "--json"]
    args += [word for name in SETS for word in ("--shift", name)]
    args += [word for name in models for word in ("--model", f"pocket:{name}")]
    args += ["--results", str(folder / "results"), "--cache", str(folder / "cache")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return fork(args, environment, folder / f"{number}.said", folder / f"{number}.json")


@pytest.mark.engine
def test_processes_on_one_folder_do_each_other_no_harm(pocket_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    shared = [begin(pocket_data, folder, 0, "mlp", "cnn-tiny"), begin(pocket_data, folder, 1, "cnn-tiny", "linear")]
    for process in shared:
        process.join(300)
    assert [process.exitcode for process in shared] == [0, 0], [file.read_text() for file in folder.glob("*.said")]
    said = [(folder / f"{number}.json").read_text() for number in range(2)]
    alone = begin(pocket_data, tmp_path / "alone", 0, "mlp", "cnn-tiny", "linear")
    alone.join(300)
    assert alone.exitcode == 0
    together, apart = (
        {s.record.asked.key(): s for s in ResultStore(tmp_path / w / "results")} for w in ("shared", "alone")
    )
    assert len(together) == len(apart) == 6 and set(together) == set(apart)
    for key, stored in together.items():
        for file in stored.record.files:
            assert (stored.folder / file).read_bytes() == (apart[key].folder / file).read_bytes()
    for out in said:  # each tells its own rows, the common ones with the same numbers
        assert len(json.loads(out)) == 4
    first, second = ({row["record"]: row["n_correct"] for row in json.loads(out)} for out in said)
    assert len(first.keys() & second.keys()) == 2 and all(first[r] == second[r] for r in first.keys() & second.keys())
    left = [p for p in folder.rglob("*") if p.name.startswith((".", "rows-"))]
    assert left == []


KEY = FeatureKey("m", "default", "p", "exact", 0, "s", 1300, "fp32")


def filled(root: Path) -> FeatureCache:
    cache = FeatureCache(root)
    cache.open(KEY, {"kind": "logits"})
    for start in range(0, KEY.n, 512):
        stop = min(start + 512, KEY.n)
        cache.write(KEY, start, np.arange(start, stop, dtype=np.float32)[:, None])
    return cache


@pytest.mark.parametrize("when", ["before shards are listed", "before the first is read", "before the second is read"])
def test_another_process_may_join_the_shards_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    cache = filled(tmp_path)
    theirs = {"done": False, "reads": 0}

    def other_process() -> None:
        if not theirs["done"]:
            theirs["done"] = True
            FeatureCache(tmp_path).merge(KEY)

    real_load, real_shards = np.load, FeatureCache._shards

    def load(path: Path, *args: object, **more: object) -> object:
        if not theirs["done"] and Path(path).name.startswith("rows-"):
            theirs["reads"] += 1
            if theirs["reads"] == (1 if "first" in when else 2):
                other_process()
        return real_load(path, *args, **more)

    def shards(self: FeatureCache, key: FeatureKey) -> object:
        other_process()
        return real_shards(self, key)

    if "listed" in when:
        monkeypatch.setattr(FeatureCache, "_shards", shards)
    else:
        monkeypatch.setattr(feature_cache.np, "load", load)
    merged = cache.merge(KEY)
    assert theirs["done"] and np.array_equal(merged.array[:, 0], np.arange(1300, dtype=np.float32))
    assert [p.name for p in cache.folder(KEY).iterdir() if p.name.startswith("rows-")] == []


def test_rows_that_are_really_missing_are_still_an_error(tmp_path: Path) -> None:
    from effrob.errors import IncompleteFeatures

    cache = filled(tmp_path)
    next(cache.folder(KEY).glob("rows-000000512-*")).unlink()
    with pytest.raises(IncompleteFeatures, match="512 are missing"):
        cache.merge(KEY)


def test_many_threads_fill_and_join_one_set(tmp_path: Path) -> None:
    wrong: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert np.array_equal(filled(tmp_path).merge(KEY).array[:, 0], np.arange(1300, dtype=np.float32))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not list(tmp_path.rglob("*.effrob-tmp"))


def test_a_shard_that_comes_after_the_set_was_joined_does_not_stay(tmp_path: Path) -> None:
    cache, rows = FeatureCache(tmp_path), np.ones((1300, 4), dtype=np.float32)
    cache.open(KEY, {})
    for start in (0, 512, 1024):
        cache.write(KEY, start, rows[start : start + 512])
    cache.merge(KEY)
    cache.write(KEY, 512, rows[512:1024])  # a slower process's
    assert [path.name for path in cache.folder(KEY).iterdir() if path.name.startswith("rows-")] == []
    assert cache.missing(KEY) == [] and np.array_equal(cache.merge(KEY).array, rows)

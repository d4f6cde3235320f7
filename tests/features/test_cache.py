"""Feature sets: whole or not at all, each row exactly once, and no label in the key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from effrob.errors import IncompleteFeatures, StaleCache
from effrob.features.cache import SHARD_ROWS, FeatureCache, FeatureKey

N = 2 * SHARD_ROWS + 100
KEY = FeatureKey("m", "default", "p", "exact", 0, "s", N, "fp32")


def rows(start: int, stop: int) -> np.ndarray:
    return np.arange(start, stop, dtype=np.float32)[:, None].repeat(3, 1)


def filled(tmp_path: Path) -> FeatureCache:
    cache = FeatureCache(tmp_path)
    cache.open(KEY, {"kind": "penultimate"})
    for part in cache.missing(KEY):
        cache.write(KEY, part.start, rows(part.start, part.stop))
    return cache


def test_shards_become_one_array_in_row_order(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    assert cache.missing(KEY) == []
    features = cache.merge(KEY)
    assert np.array_equal(features.array, rows(0, N))
    assert features.meta == {"kind": "penultimate"}
    assert not list(cache.folder(KEY).glob("rows-*"))
    assert np.array_equal(cache.merge(KEY).array, rows(0, N))
    got = np.empty((3, 3), dtype=np.float32)
    for part, block in features.blocks(np.array([5, N - 1, 0]), size=2):
        got[part] = block
    assert got[:, 0].tolist() == [5, N - 1, 0]


def test_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.open(KEY, {})
    cache.write(KEY, SHARD_ROWS, rows(SHARD_ROWS, 2 * SHARD_ROWS))
    assert cache.missing(KEY) == [range(SHARD_ROWS), range(2 * SHARD_ROWS, N)]


def test_missing_and_double_rows_are_counted(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.open(KEY, {})
    cache.write(KEY, 0, rows(0, SHARD_ROWS))
    with pytest.raises(IncompleteFeatures, match=f"{N - SHARD_ROWS} are missing and 0 double"):
        cache.merge(KEY)
    cache.write(KEY, 10, rows(10, 20))
    with pytest.raises(IncompleteFeatures, match="10 double"):
        cache.merge(KEY)


def test_a_feature_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.open(KEY, {})
    bad = rows(0, 4)
    bad[2, 1] = np.nan
    with pytest.raises(IncompleteFeatures, match="not finite for image 2"):
        cache.write(KEY, 0, bad)


def test_a_network_that_says_nothing_is_refused_and_a_picture_it_says_nothing_of_is_not(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.open(KEY, {})
    dead = np.zeros_like(rows(0, 4))
    with pytest.raises(IncompleteFeatures, match="nothing but zeros for images 8 to 11: are its weights loaded"):
        cache.write(KEY, 8, dead)
    dead[0, 0] = 1.0
    cache.write(KEY, 8, dead)
    assert [start for start, _ in cache.shards(KEY)] == [8]


def test_a_folder_with_another_key_is_stale(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    path = cache.folder(KEY) / "key.json"
    path.write_text(path.read_text().replace('"source": "s"', '"source": "t"'))
    with pytest.raises(StaleCache, match="delete that folder"):
        cache.merge(KEY)


@pytest.mark.parametrize("kept", [0, 50, 400])
@pytest.mark.parametrize("joined", [True, False])
def test_a_torn_array_is_named_and_its_rows_are_computed_anew(tmp_path: Path, joined: bool, kept: int) -> None:
    cache = filled(tmp_path)
    if joined:
        cache.merge(KEY)
    torn = sorted(cache.folder(KEY).glob("*.npy"))[0]
    torn.write_bytes(torn.read_bytes()[:kept])
    with pytest.raises(StaleCache, match=rf"{torn.name} is torn .*: delete that file"):
        cache.merge(KEY)
    torn.unlink()
    for part in cache.missing(KEY):
        cache.write(KEY, part.start, rows(part.start, part.stop))
    assert np.array_equal(cache.merge(KEY).array, rows(0, N))


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "x"},
        {"layer": "x"},
        {"pixels": "x"},
        {"path": "fast"},
        {"border": 2},
        {"source": "x"},
        {"n": 1},
        {"precision": "bf16"},
        {"extractor": 99},
    ],
)
def test_everything_that_changes_the_bytes_changes_the_key(changed: dict[str, object]) -> None:
    assert replace(KEY, **changed).digest() != KEY.digest()

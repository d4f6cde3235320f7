"""check_shift sees each way a shift can break the contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import shifts


@pytest.fixture
def sound(tmp_path: Path, plant) -> shifts.Shift:
    plant(tmp_path / "imagenet-r", ["n01443537/a.jpg", "n01443537/b.jpg", "n01484850/c.jpg"])
    return shifts.load("imagenet-r", root=tmp_path, partial=True)


def test_a_sound_shift_has_no_problems(sound: shifts.Shift) -> None:
    assert shifts.check_shift(sound) == ()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"rows": np.array([0, 1, 3])}, "outside the 3 images"),
        ({"rows": np.array([0, 1, 1])}, "asked about twice"),
        ({"rows": np.array([0, 1, 2], dtype=np.int32)}, "must be int64"),
        ({"targets": np.array([0, 0, 200])}, "outside the 200 classes"),
        ({"accepted": ((0,), (0,), (0,))}, "not the first of its accepted"),
        ({"accepted": ((0, 999), (0,), (1,))}, "accepted answer lies outside"),
        ({"partial": False}, "does not say that it is partial"),
        ({"n_expected": 0}, "n_expected"),
        ({"border": 4}, "nothing is left inside a border of 4"),
    ],
)
def test_each_break_is_named(sound: shifts.Shift, broken: dict[str, object], said: str) -> None:
    problems = shifts.check_shift(replace(sound, **broken))
    assert problems and any(said in problem for problem in problems)


def test_an_image_that_cannot_be_decoded_is_named(sound: shifts.Shift, tmp_path: Path) -> None:
    (tmp_path / "imagenet-r/n01443537/b.jpg").unlink()
    (tmp_path / "imagenet-r/n01443537/b.jpg").write_bytes(b"not a picture")
    assert any("n01443537/b.jpg cannot be decoded" in problem for problem in shifts.check_shift(sound))


class Careless:
    """A source whose select loses the order and whose digest says nothing."""

    def __init__(self, inner: shifts.ImageSource, sort: bool) -> None:
        self.inner, self.sort = inner, sort
        self.ids = inner.ids

    def read(self, index: int) -> bytes:
        return self.inner.read(index)

    def stat(self) -> str:
        return "same"

    def digest(self) -> str:
        return "same"

    def select(self, rows: np.ndarray) -> Careless:
        return Careless(self.inner.select(np.sort(rows) if self.sort else rows), self.sort)


def test_a_careless_source_is_caught(sound: shifts.Shift) -> None:
    backwards = {"rows": sound.rows[::-1].copy(), "targets": sound.targets[::-1].copy()}
    assert any(
        "order" in p for p in shifts.check_shift(replace(sound, source=Careless(sound.source, True), **backwards))
    )
    assert any("an image less" in p for p in shifts.check_shift(replace(sound, source=Careless(sound.source, False))))

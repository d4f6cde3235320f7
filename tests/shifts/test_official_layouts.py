"""Each official layout at its full size: classes by name, never by rank; counts accepted without --partial."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import shifts
from shifts import classes
from shifts.imagenet import val_labels

Load = Callable[[str], shifts.Shift]
SUITE = ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")


@pytest.fixture(scope="module")
def loaded(official: Path) -> Load:
    """`loaded(name)`: a whole set, indexed once for all tests of this file, which change nothing in it."""
    return cache(lambda name: shifts.load(name, root=official))


@pytest.mark.parametrize(
    ("name", "n", "ways"),
    [
        ("imagenet", 50_000, 1000),
        ("imagenet-real", 46_837, 1000),
        ("imagenet-v2", 10_000, 1000),
        ("imagenet-v2-top-images", 10_000, 1000),
        ("imagenet-r", 30_000, 200),
        ("imagenet-sketch", 50_889, 1000),
        ("objectnet", 18_574, 113),
        ("imagenet-a", 7_500, 200),
    ],
)
def test_a_complete_set_loads_whole(loaded: Load, name: str, n: int, ways: int) -> None:
    shift = loaded(name)
    assert (len(shift), shift.n_expected, shift.partial) == (n, n, False)
    assert len(shift.labels) == ways
    assert list(shift.source.ids) == sorted(shift.source.ids)
    assert shift.clean == (None if name in {"imagenet", "imagenet-real"} else "imagenet")
    assert shift.licence and shift.citation


def test_the_suite_is_found_and_the_rest_is_named(official: Path) -> None:
    found = {row.name: row for row in shifts.find(official)}
    assert all(found[name].path is not None for name in shifts.suite("imagenet").tests)
    assert shifts.suite("imagenet").tests == SUITE
    assert found["imagenet-v2-threshold-0.7"].path is None
    assert found["imagenet-v2-threshold-0.7"].command == "effrob data get imagenet-v2-threshold-0.7"


def test_flat_validation_images_are_labelled_by_number(loaded: Load) -> None:
    shift = loaded("imagenet")
    numbers = np.array([int(id[-13:-5]) for id in shift.ids])
    assert sorted(numbers.tolist()) == list(range(1, 50_001)) and (shift.targets == val_labels()[numbers - 1]).all()
    row = shift.ids.index("n04065272/ILSVRC2012_val_00000014.JPEG")
    assert shift[row].target == int(val_labels()[13]) and shift[row].id == shift.ids[row]


def test_v2_folders_are_integers_and_not_ranks(loaded: Load) -> None:
    """String order of the folders agrees with the class for 12 of 1000: an ImageFolder reading is 1.2 % right."""
    shift = loaded("imagenet-v2")
    folders = [id.split("/")[0] for id in shift.ids]
    assert [int(folder) for folder in folders] == shift.targets.tolist()
    ranks = {folder: rank for rank, folder in enumerate(sorted(set(folders)))}
    assert sum(ranks[folder] == int(folder) for folder in ranks) == 12


def test_a_200_class_target_is_a_rank_among_the_200_and_not_among_1000(loaded: Load) -> None:
    table = classes.imagenet()
    for name in ("imagenet-r", "imagenet-a"):
        shift = loaded(name)
        for id, target in zip(shift.ids[::97], shift.targets[::97].tolist(), strict=True):
            wnid = id.split("/")[0]
            assert shift.labels.class_ids[target] == wnid
            assert shift.labels.groups[target] == (table.ids.index(wnid),)
        assert len(np.unique(shift.targets)) == 200
        assert shift.labels.project(np.eye(1000)).shape == (1000, 200)


def test_real_labels_are_a_view_of_the_very_same_images(loaded: Load) -> None:
    clean, real = (loaded(name) for name in ("imagenet", "imagenet-real"))
    assert clean.source.ids == real.source.ids
    assert clean.source.stat() == real.source.stat()
    row = real.ids.index("n09193705/ILSVRC2012_val_00000002.JPEG")
    assert real.accepted is not None and real.accepted[row] == (970, 795)
    assert all(answers[0] == target for answers, target in zip(real.accepted, real.targets.tolist(), strict=True))


def test_only_mapped_objectnet_folders_are_read(loaded: Load) -> None:
    shift = loaded("objectnet")
    folders = {id.split("/")[1] for id in shift.source.ids}
    assert folders == set(classes.imagenet().object_groups)
    assert shift.ids[0].startswith("images/alarm_clock/")
    assert shift.labels.groups[shift.targets[0]] == (409, 530)


def test_the_protocol_decides_border_and_words(official: Path) -> None:
    size = {}
    for protocol in shifts.PROTOCOLS:
        shift = shifts.load("objectnet", root=official, protocol=protocol)
        size[protocol] = (shift.border, shift[0].image.size, shift.labels.own_text)
        assert shift.protocol == protocol
    assert size == {
        "effrob": (2, (5, 5), False),
        "clip-benchmark": (0, (9, 9), True),
        "testbed": (2, (5, 5), False),
    }


def test_wnid_folders_and_flat_images_agree(official: Path, tmp_path: Path) -> None:
    ids = classes.imagenet().ids
    for n, label in list(enumerate(val_labels(), 1))[:40]:
        target = tmp_path / "imagenet/val" / ids[label]
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(official / f"imagenet/val/ILSVRC2012_val_{n:08d}.JPEG", target)
    shift = shifts.load("imagenet", root=tmp_path, partial=True)
    by_name = {id.rpartition("/")[2]: target for id, target in zip(shift.ids, shift.targets.tolist(), strict=True)}
    (tmp_path / "flat").mkdir()
    for n in range(1, 41):
        shutil.copy(official / f"imagenet/val/ILSVRC2012_val_{n:08d}.JPEG", tmp_path / "flat")
    flat = shifts.load("imagenet", at=tmp_path / "flat", partial=True)
    assert flat.ids == shift.ids and flat.source.digest() == shift.source.digest()
    assert by_name == {f"ILSVRC2012_val_{n:08d}.JPEG": int(val_labels()[n - 1]) for n in range(1, 41)}
    assert shift.partial and shift.n_expected == 50_000
    real = shifts.load("imagenet-real", root=tmp_path, partial=True)
    assert real.source.digest() == shift.source.digest()
    assert real.accepted is not None
    answers = {id.rpartition("/")[2]: accepted for id, accepted in zip(real.ids, real.accepted, strict=True)}
    assert "ILSVRC2012_val_00000001.JPEG" not in answers
    assert answers["ILSVRC2012_val_00000002.JPEG"] == (970, 795)


def test_training_images_need_partial_when_some_are_missing(tmp_path: Path, plant) -> None:
    plant(tmp_path / "imagenet/train", ["n01440764/n01440764_18.JPEG", "n01443537/n01443537_2.JPEG"])
    with pytest.raises(
        shifts.DataError, match=r"1,281,167 .* holds 2 .*n01484850: at least 1 wanted, 0 found.*--partial"
    ):
        shifts.load("imagenet-train", root=tmp_path)
    assert shifts.load("imagenet-train", root=tmp_path, partial=True).targets.tolist() == [0, 1]


@pytest.mark.parametrize("folder", ["ImageNet-Sketch", "ImageNet-Sketch/sketch", "sketch"])
def test_sketch_is_found_under_each_of_its_names(tmp_path: Path, plant, folder: str) -> None:
    plant(tmp_path / folder, ["n01440764/sketch_0.JPEG"])
    assert len(shifts.load("imagenet-sketch", root=tmp_path, partial=True)) == 1


@pytest.mark.parametrize("name", SUITE)
def test_every_loader_keeps_the_contract(loaded: Load, name: str) -> None:
    assert shifts.check_shift(loaded(name), images=4) == ()

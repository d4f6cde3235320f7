"""The shipped class lists, counts and labels, against the figures published with them."""

from __future__ import annotations

import hashlib

import numpy as np

from shifts import classes
from shifts.imagenet import real_labels, val_labels
from shifts.labels import duplicate_names
from shifts.protocol import PROTOCOLS

TABLE = classes.imagenet()


def sha256(lines: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_wnids_are_the_published_lists() -> None:
    assert len(TABLE.ids) == len(TABLE.names) == 1000
    assert list(TABLE.ids) == sorted(TABLE.ids)
    assert sha256(TABLE.ids) == "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
    assert sha256(TABLE.subsets["a"]) == "f6aa4b23244554d9b864fd715ae20048f6a9686388911b2dfbf1ada01bf0f520"
    assert sha256(TABLE.subsets["r"]) == "e19a59d84e3746fafd34d2ccf6ae604a44e9a0500a596f343c878a89e30ce624"


def test_the_200_class_sets_are_sorted_subsets() -> None:
    for letter in "ra":
        ids = TABLE.subsets[letter]
        assert len(ids) == 200 and list(ids) == sorted(ids) and set(ids) < set(TABLE.ids)


def test_objectnet_has_113_folders_over_125_classes() -> None:
    groups = TABLE.object_groups
    sizes = [len(group) for group in groups.values()]
    assert (len(groups), sum(sizes)) == (113, 125)
    assert len({i for group in groups.values() for i in group}) == 125
    assert [sizes.count(n) for n in (1, 2, 3)] == [104, 6, 3]
    assert groups["chair"] == (423, 559, 765)
    assert list(groups) == sorted(groups)
    assert len(TABLE.object_others) == 200


def test_the_sets_overlap_as_published() -> None:
    a, r = (set(TABLE.subsets[letter]) for letter in "ar")
    objects = {TABLE.ids[i] for group in TABLE.object_groups.values() for i in group}
    assert (len(a & r), len(a & objects), len(r & objects)) == (86, 27, 14)


def test_objectnet_counts_add_up_to_the_archive() -> None:
    expected = TABLE.expected["objectnet"]
    assert expected.each is not None
    assert expected.total == sum(expected.each.values()) == 18_574
    assert set(expected.each) == set(TABLE.object_groups)


def test_validation_labels_are_50_a_class() -> None:
    assert len(val_labels()) == 50_000
    assert (np.bincount(val_labels(), minlength=1000) == 50).all()
    assert val_labels()[:3].tolist() == [65, 970, 230]


def test_real_labels_have_the_published_counts() -> None:
    real = real_labels()
    assert len(real) == 50_000
    assert sum(not answers for answers in real) == 3_163
    assert sum(len(answers) > 1 for answers in real) == 7_443
    assert real[:5] == ((), (970, 795), (230, 231), (809,), (516, 850))


def test_two_pairs_of_classes_share_a_name() -> None:
    assert duplicate_names(TABLE.full()) == {"missile": (657, 744), "sunglasses": (836, 837)}
    assert duplicate_names(TABLE.objects(PROTOCOLS["clip-benchmark"])) == {}


def test_two_names_of_one_class_are_not_a_duplicate() -> None:
    space = TABLE.objects(PROTOCOLS["effrob"])
    assert len(space) == 113 and not space.own_text
    assert duplicate_names(space) == {}


def test_spaces_are_named_by_their_size() -> None:
    effrob = PROTOCOLS["effrob"]
    spaces = (TABLE.full(), TABLE.subset("r"), TABLE.subset("a"), TABLE.objects(effrob))
    assert [space.name for space in spaces] == ["imagenet-1000", "imagenet-r-200", "imagenet-a-200", "objectnet-113"]
    assert [space.is_full for space in spaces] == [True, False, False, False]


def test_clip_benchmark_asks_objectnet_by_its_own_lower_case_names() -> None:
    space = TABLE.objects(PROTOCOLS["clip-benchmark"])
    assert space.own_text
    assert space.class_names[:2] == ("alarm clock", "backpack")
    assert TABLE.objects(PROTOCOLS["testbed"]).class_names[0] == "Alarm clock"

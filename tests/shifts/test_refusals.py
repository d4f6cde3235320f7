"""What a loader must refuse, and the sentence it must say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import shifts
from shifts import classes

TABLE = classes.imagenet()
V2 = "imagenetv2-matched-frequency-format-val"
VAL = [f"{TABLE.ids[65]}/ILSVRC2012_val_00000001.JPEG", f"{TABLE.ids[970]}/ILSVRC2012_val_00000002.JPEG"]


def refusal(root: Path, name: str, partial: bool = True) -> str:
    with pytest.raises(shifts.DataError) as caught:
        shifts.load(name, root=root, partial=partial)
    sentence = str(caught.value)
    assert "\n" not in sentence and "Traceback" not in sentence
    return sentence


def test_one_lost_image_is_named_with_its_class(tmp_path: Path, plant) -> None:
    lost = [f"{k}/{n}.jpeg" for k in range(1000) for n in range(10) if (k, n) != (17, 3)]
    plant(tmp_path / V2, lost)
    sentence = refusal(tmp_path, "imagenet-v2", partial=False)
    assert "10,000" in sentence and "9,999" in sentence
    assert f"{TABLE.ids[17]}: 10 wanted, 9 found" in sentence and "--partial" in sentence
    shift = shifts.load("imagenet-v2", root=tmp_path, partial=True)
    assert (shift.partial, len(shift), shift.n_expected) == (True, 9_999, 10_000)


def test_the_right_total_in_the_wrong_classes_is_refused(tmp_path: Path, plant) -> None:
    moved = [f"{k if (k, n) != (17, 3) else 18}/{k}_{n}.jpeg" for k in range(1000) for n in range(10)]
    plant(tmp_path / V2, moved)
    sentence = refusal(tmp_path, "imagenet-v2", partial=False)
    assert f"{TABLE.ids[17]}: 10 wanted, 9 found, {TABLE.ids[18]}: 10 wanted, 11 found" in sentence


def test_a_missing_class_is_seen_where_only_the_total_is_published(tmp_path: Path, plant) -> None:
    ids = TABLE.subsets["a"]
    plant(tmp_path / "imagenet-a", [f"{ids[1]}/{n}.jpg" for n in range(7_500 - 198)] + [f"{i}/0.jpg" for i in ids[2:]])
    assert f"{ids[0]}: at least 1 wanted, 0 found" in refusal(tmp_path, "imagenet-a", partial=False)


def test_an_empty_folder_is_refused_even_in_part(tmp_path: Path, plant) -> None:
    plant(tmp_path / "imagenet-r", [])
    assert "effrob data get imagenet-r" in refusal(tmp_path, "imagenet-r")


def test_stray_files_are_not_images(tmp_path: Path, plant) -> None:
    tree = plant(tmp_path / "imagenet-r", ["n01443537/art_0.jpg", "n01443537/._art_0.jpg", "__MACOSX/n01443537/a.jpg"])
    for stray in ("README.txt", ".DS_Store", "n01443537/Thumbs.db", "n01443537/.DS_Store"):
        (tree / stray).write_bytes(b"not an image")
    assert shifts.load("imagenet-r", root=tmp_path, partial=True).ids == ("n01443537/art_0.jpg",)


@pytest.mark.parametrize("stray", ["art_0.jpg", "n01443537/more/art_0.jpg"])
def test_an_image_outside_a_class_folder_is_refused(tmp_path: Path, plant, stray: str) -> None:
    plant(tmp_path / "imagenet-r", ["n01443537/art_1.jpg", stray])
    assert stray in refusal(tmp_path, "imagenet-r")


def test_a_set_of_200_classes_is_not_imagenet(tmp_path: Path, plant) -> None:
    for letter in "ra":
        root = tmp_path / letter
        plant(root / "imagenet/val", [f"{id}/0.jpg" for id in TABLE.subsets[letter]])
        assert f"what lies there is imagenet-{letter}" in refusal(root, "imagenet")


def test_a_set_under_another_sets_name_is_recognised(tmp_path: Path, plant) -> None:
    trees = {
        "imagenet-a": [f"{id}/0.jpg" for id in TABLE.subsets["a"]],
        "imagenet-v2": ["0/a.jpeg", "1/b.jpeg", "10/c.jpeg"],
        "imagenet": VAL,
        "objectnet": ["alarm_clock/0.png", "vase/0.png"],
        "imagenet-sketch": ["n01443537/sketch_0.JPEG", "n01484850/sketch_1.JPEG"],
    }
    for name, paths in trees.items():
        plant(tmp_path / name / "imagenet-r", paths)
        assert f"is {name}" in refusal(tmp_path / name, "imagenet-r")


def test_imagenet_under_the_name_of_its_lookalikes_is_refused(tmp_path: Path, plant) -> None:
    plant(tmp_path / "sketch", VAL)
    assert "what lies there is imagenet" in refusal(tmp_path, "imagenet-sketch")
    plant(tmp_path / V2, VAL)
    assert "the integers 0 to 999" in refusal(tmp_path, "imagenet-v2")
    assert "this is imagenet;" in refusal(tmp_path, "imagenet-v2")


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("n99999999", "not one of the 200"),
        ("n01440764", "which is of imagenet but not one of the 200"),
        ("n01443538", "near n01443537"),
    ],
)
def test_a_foreign_class_folder_is_named(tmp_path: Path, plant, folder: str, said: str) -> None:
    plant(tmp_path / "imagenet-r", ["n01443537/art_0.jpg", f"{folder}/art_1.jpg"])
    sentence = refusal(tmp_path, "imagenet-r")
    assert folder in sentence and said in sentence


@pytest.mark.parametrize("folder", ["1000", "-1", "1.0", "n01440764", "١"])
def test_v2_folders_must_be_class_numbers(tmp_path: Path, plant, folder: str) -> None:
    plant(tmp_path / V2, ["0/a.jpeg", f"{folder}/b.jpeg"])
    assert f"holds {folder}" in refusal(tmp_path, "imagenet-v2")


def test_two_v2_folders_for_one_class_are_refused(tmp_path: Path, plant) -> None:
    plant(tmp_path / V2, ["1/a.jpeg", "01/b.jpeg"])
    assert "two folders for class 1" in refusal(tmp_path, "imagenet-v2")


def test_a_flat_name_that_is_not_official_is_refused(tmp_path: Path, plant) -> None:
    for n, bad in enumerate(["photo.JPEG", "ILSVRC2012_val_00050001.JPEG", "ILSVRC2012_val_00000000.JPEG"]):
        plant(tmp_path / str(n) / "imagenet/val", ["ILSVRC2012_val_00000001.JPEG", bad])
        assert bad in refusal(tmp_path / str(n), "imagenet")


def test_a_flat_image_that_is_there_twice_is_refused_even_in_part(tmp_path: Path, plant) -> None:
    twins = ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000001.jpeg"]
    plant(tmp_path / "imagenet/val", twins)
    told = refusal(tmp_path, "imagenet", partial=True)
    assert all(name in told for name in twins)


def test_a_validation_image_in_the_wrong_class_folder_is_refused(tmp_path: Path, plant) -> None:
    plant(tmp_path / "imagenet/val", [f"{TABLE.ids[970]}/ILSVRC2012_val_00000001.JPEG"])
    assert f"its official class is {TABLE.ids[65]}" in refusal(tmp_path, "imagenet")


def test_real_labels_need_the_official_names(tmp_path: Path, plant) -> None:
    plant(tmp_path / "imagenet/val", [f"{TABLE.ids[0]}/fish.JPEG"])
    assert len(shifts.load("imagenet", root=tmp_path, partial=True)) == 1
    assert "official file names" in refusal(tmp_path, "imagenet-real")


def test_an_unknown_objectnet_folder_is_refused(tmp_path: Path, plant) -> None:
    plant(tmp_path / "objectnet-1.0/images", ["alarm_clock/0.png", "alarmclock/1.png"])
    assert "alarmclock, none of the 313" in refusal(tmp_path, "objectnet")


def mappings(root: Path, groups: dict[str, tuple[int, ...]]) -> None:
    """The archive's four mapping files, with ILSVRC numbers that run backwards through the index."""
    folder = root / "objectnet-1.0/mappings"
    folder.mkdir(parents=True, exist_ok=True)
    write = {
        "folder_to_objectnet_label.json": TABLE.object_names,
        "objectnet_to_imagenet_1k.json": {
            TABLE.object_names[f]: "; ".join(f"text, {i}" for i in group) for f, group in groups.items()
        },
        "pytorch_to_imagenet_2012_id.json": {str(i): 999 - i for i in range(1000)},
    }
    for name, content in write.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "imagenet_to_label_2012_v2").write_text("".join(f"text, {999 - n}\n" for n in range(1000)))


def test_the_archives_own_mapping_is_compared_with_ours(tmp_path: Path, plant) -> None:
    plant(tmp_path / "objectnet-1.0/images", ["alarm_clock/0.png"])
    mappings(tmp_path, dict(TABLE.object_groups))
    assert len(shifts.load("objectnet", root=tmp_path, partial=True)) == 1
    mappings(tmp_path, {**TABLE.object_groups, "alarm_clock": (409,)})
    assert "differs from ObjectNet 1.0's for 1 folders, first alarm_clock" in refusal(tmp_path, "objectnet")
    (tmp_path / "objectnet-1.0/mappings/objectnet_to_imagenet_1k.json").write_text('{"Alarm clock": "no such text"}')
    assert "do not fit together" in refusal(tmp_path, "objectnet")
    (tmp_path / "objectnet-1.0/mappings/objectnet_to_imagenet_1k.json").write_text("{")
    assert "cannot be read" in refusal(tmp_path, "objectnet")


def test_a_missing_set_says_where_it_was_looked_for_and_what_gets_it(tmp_path: Path) -> None:
    with pytest.raises(shifts.DataMissing) as caught:
        shifts.load("imagenet-v2-top-images", root=tmp_path)
    sentence = str(caught.value)
    assert "imagenetv2-topimages-format-val" in sentence and "imagenetv2-top-images-format-val" in sentence
    assert str(tmp_path) in sentence and "`effrob data get imagenet-v2-top-images`" in sentence


def test_the_data_folder_comes_from_the_variable(tmp_path: Path, plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EFFROB_DATA", raising=False)
    with pytest.raises(shifts.DataMissing, match="--data DIR or set EFFROB_DATA"):
        shifts.load("imagenet-r")
    assert all(row.path is None for row in shifts.find())
    plant(tmp_path / "imagenet-r", ["n01443537/art_0.jpg"])
    monkeypatch.setenv("EFFROB_DATA", str(tmp_path))
    assert len(shifts.load("imagenet-r", partial=True)) == 1
    with pytest.raises(shifts.DataMissing, match="does not exist"):
        shifts.load("imagenet-r", root=tmp_path / "elsewhere")

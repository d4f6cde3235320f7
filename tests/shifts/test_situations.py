"""What people reported elsewhere of their data, and what becomes of it here: the right labels, or a true sentence."""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from form_writers import SETS, TABLE, index_in, pack, picture, put

import shifts
from effrob.cli import main
from shifts.classes import class_folders
from shifts.imagenet import val_labels

R = class_folders("imagenet-r").folders


pytestmark = pytest.mark.usefixtures("own_folders")


def right(name: str, **how: object) -> int:
    """How many images a set holds, every one of them with the label that its picture shows."""
    shift = shifts.load(name, partial=True, **how)  # type: ignore[arg-type]
    assert [shift.labels.owner[index_in(example.image)] for example in shift] == shift.targets.tolist()
    return len(shift)


def refused(name: str, **how: object) -> str:
    with pytest.raises((shifts.DataError, shifts.DataMissing)) as caught:
        shifts.load(name, partial=True, **how)  # type: ignore[arg-type]
    return str(caught.value)


def effrob(*args: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, args)])


def val(number: int) -> tuple[str, bytes]:
    index = int(val_labels()[number - 1])
    return f"ILSVRC2012_val_{number:08d}.JPEG", picture(index)


def test_validation_images_unpacked_into_a_folder_of_the_archives_name(tmp_path: Path) -> None:
    """IntelLabs/distiller#265: val/ILSVRC2012_img_val/*.JPEG, flat; accuracy near 0 elsewhere."""
    for number in range(1, 6):
        name, content = val(number)
        put(tmp_path / "imagenet/val/ILSVRC2012_img_val" / name, content)
    assert right("imagenet", root=tmp_path) == 5


def test_kaggles_zip_holds_all_three_splits(tmp_path: Path) -> None:
    """Kaggle's one download: train, val and test in one zip, the test split without labels."""
    with zipfile.ZipFile(tmp_path / "imagenet-object-localization-challenge.zip", "w") as archive:
        for number in range(1, 4):
            name, content = val(number)
            archive.writestr(f"ILSVRC/Data/CLS-LOC/val/{name}", content)
            archive.writestr(f"ILSVRC/Data/CLS-LOC/test/ILSVRC2012_test_{number:08d}.JPEG", content)
        for k in (3, 4):
            archive.writestr(f"ILSVRC/Data/CLS-LOC/train/{TABLE.ids[k]}/{TABLE.ids[k]}_7.JPEG", picture(k))
        archive.writestr("LOC_val_solution.csv", "ImageId,PredictionString\n")
    assert right("imagenet", root=tmp_path) == 3 and right("imagenet-train", root=tmp_path) == 2


def test_imagenet_v2_whose_labels_are_ranks_of_folder_names(tmp_path: Path) -> None:
    """modestyachts/ImageNetV2#10: folders sorted as texts, so that folder 100 became label 2; the table's schema says so."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = sorted(map(str, range(1000)))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": picture(int(names[k])), "path": "a.jpeg"} for k in (0, 1, 2, 3, 500)]
    about = {"huggingface": json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}})}
    table = pa.table({"image": pa.array(rows, kind), "label": [0, 1, 2, 3, 500]}).replace_schema_metadata(about)
    (tmp_path / "imagenet-v2").mkdir()
    pq.write_table(table, tmp_path / "imagenet-v2/test.parquet")
    assert right("imagenet-v2", root=tmp_path) == 5


@pytest.mark.parametrize("sep", ["_", "-", " - "])
@pytest.mark.parametrize("form", ["folder", "deeper", "zip", "tar"])
@pytest.mark.parametrize("name", ["imagenet-r", "imagenet-a", "imagenet-sketch", "imagenet"])
def test_class_folders_with_words_behind_the_class_id(tmp_path: Path, name: str, form: str, sep: str) -> None:
    """n01443537_goldfish: read as n01443537, under the official ids, so that digests are those of the official folders."""
    word = f"{sep}a name (of it), 2.0"
    for root, more in ((tmp_path / "official", ""), (tmp_path / "worded", word)):
        top = root / ("imagenet/val" if name == "imagenet" else name) / ("inside" if form == "deeper" and more else "")
        for number in range(1, 6):
            k = int(val_labels()[number - 1])
            id, file = class_folders(name).folders[number], f"{number}.jpg"
            if name == "imagenet":
                id, file = TABLE.ids[k], val(number)[0]
            put(top / f"{id}{more if number != 3 else ''}" / file, picture(TABLE.index[id]))
    if form in ("zip", "tar"):
        at = tmp_path / "worded" / ("imagenet/val" if name == "imagenet" else name)
        made = shutil.make_archive(str(tmp_path / "set"), form, at)
        shutil.rmtree(at)
        worded = shifts.load(name, tmp_path / "worded", partial=True, places={name: Path(made)})
        assert right(name, root=tmp_path / "worded", places={name: Path(made)}) == 5
    else:
        worded = shifts.load(name, tmp_path / "worded", partial=True)
        assert right(name, root=tmp_path / "worded") == 5
    official = shifts.load(name, tmp_path / "official", partial=True)
    assert worded.ids == official.ids and worded.source.digest() == official.source.digest()


def test_two_folders_of_one_class_or_of_another_sets_are_refused_by_name(tmp_path: Path) -> None:
    for k, more in ((0, "_goldfish"), (1, ""), (1, "-shark"), (2, "")):
        put(tmp_path / "imagenet-r" / f"{R[k]}{more}" / f"{k}{more}.jpg", picture(TABLE.index[R[k]]))
    said = refused("imagenet-r", root=tmp_path)
    assert f"holds the folders {R[1]} and {R[1]}-shark, both of the class {R[1]}" in said
    (tmp_path / f"imagenet-r/{R[1]}-shark/1-shark.jpg").rename(tmp_path / f"imagenet-r/{R[1]}/2.jpg")
    assert right("imagenet-r", root=tmp_path) == 4
    strange = next(id for id in TABLE.ids if id not in R)
    put(tmp_path / f"imagenet-r/{strange}_tench/9.jpg", picture(TABLE.index[strange]))
    assert f"holds the folder {strange}, which is of imagenet but not one of the 200" in refused(
        "imagenet-r", at=tmp_path / "imagenet-r"
    )


def test_imagenet_v2_by_class_ids(tmp_path: Path) -> None:
    """modestyachts/ImageNetV2#4: the distribution whose folders are WordNet ids."""
    for k in (0, 2, 10, 999):
        put(tmp_path / f"imagenetv2-matched-frequency-format-val/{TABLE.ids[k]}/{k:x}.jpeg", picture(k))
    assert right("imagenet-v2", root=tmp_path) == 4


def test_keys_that_begin_again_in_each_shard(tmp_path: Path) -> None:
    """webdataset/webdataset#327: the same key in two shards is two images; the same image twice is refused."""
    for shard, labels in enumerate(((0, 1), (2, 3))):
        files = {}
        for n, label in enumerate(labels):
            index = TABLE.index[R[label]]
            files |= {f"{n}.jpg": picture(index, shade=shard), f"{n}.cls": b"%d" % label}
        pack(tmp_path / f"imagenet-r.wds/{shard}.tar", files)
    assert right("imagenet-r", root=tmp_path) == 4
    first = {"0.jpg": picture(TABLE.index[R[5]]), "0.cls": b"5"}
    pack(tmp_path / "same/imagenet-r.wds/0.tar", first)
    pack(tmp_path / "same/imagenet-r.wds/1.tar", {"0.jpg": picture(TABLE.index[R[5]], shade=1), "0.cls": b"5"})
    assert right("imagenet-r", root=tmp_path / "same") == 2
    pack(tmp_path / "same/imagenet-r.wds/1.tar", first)
    assert "both hold" in refused("imagenet-r", root=tmp_path / "same")
    (tmp_path / "same/imagenet-r.wds/1.tar").unlink()
    assert right("imagenet-r", root=tmp_path / "same") == 1


def test_members_that_are_called_input_and_output(tmp_path: Path) -> None:
    """mlfoundations/open_clip#480: samples written as input.jpg and output.cls."""
    pack(tmp_path / "imagenet-r.wds/0.tar", {"s.input.jpg": picture(TABLE.index[R[3]]), "s.output.cls": b"3"})
    assert right("imagenet-r", root=tmp_path) == 1


def test_a_truncated_and_an_empty_file_are_named(tmp_path: Path) -> None:
    """pytorch/vision#138, qualcomm/aimet#1685: found only in the middle of a run."""
    for n in range(60):
        put(tmp_path / f"imagenet-r/{R[n]}/art_{n}.jpg", picture(TABLE.index[R[n]]))
    out = io.BytesIO()
    from PIL import Image

    Image.effect_noise((64, 64), 50).convert("RGB").save(out, "JPEG")
    put(tmp_path / f"imagenet-r/{R[1]}/art_1.jpg", out.getvalue()[:-200])
    sampled = effrob("check", "imagenet-r", "--data", tmp_path, "--partial")
    assert sampled.exit_code == 0 and "16 of 60 images were decoded" in sampled.output and "--all" in sampled.output
    whole = effrob("check", "imagenet-r", "--data", tmp_path, "--partial", "--all")
    assert whole.exit_code == 1 and "art_1.jpg cannot be decoded" in whole.output and "60 of 60" in whole.output
    put(tmp_path / f"imagenet-r/{R[2]}/art_2.jpg", b"")
    assert "art_2.jpg" in effrob("check", "imagenet-r", "--data", tmp_path, "--partial").output


def test_a_folder_called_sketch_is_not_imagenet_sketch(tmp_path: Path) -> None:
    """PACS, DomainNet: `sketch/dog/x.png` under the data folder."""
    put(tmp_path / "sketch/dog/pic_1.png", picture(1))
    put(tmp_path / "sketch/horse/pic_1.png", picture(1))
    listed = json.loads(effrob("list", "--data", tmp_path, "--json").output)
    (row,) = (row for row in listed if row["name"] == "imagenet-sketch")
    assert row["path"] is None and "dog, horse" in row["note"]
    got = effrob("get", "imagenet-sketch", "--data", tmp_path)
    assert got.exit_code == 2 and "there already" not in got.output and "passed over" in got.output
    put(tmp_path / f"ImageNet-Sketch/sketch/{TABLE.ids[3]}/sketch_1.JPEG", picture(3))
    assert right("imagenet-sketch", root=tmp_path) == 1


def test_training_images_are_not_validation_images(tmp_path: Path) -> None:
    """A copy of the training part under the name of the validation part: no count is official, --partial would take it."""
    for k in (3, 4, 5):
        put(tmp_path / f"imagenet/val/{TABLE.ids[k]}/{TABLE.ids[k]}_{k}.JPEG", picture(k))
    assert "imagenet-train" in refused("imagenet", root=tmp_path)
    (tmp_path / "imagenet/val").rename(tmp_path / "imagenet/train")
    assert right("imagenet-train", root=tmp_path) == 3
    assert "was not found" in refused("imagenet", root=tmp_path)


def test_suffixes_of_images_are_read_and_others_are_counted(tmp_path: Path) -> None:
    """Re-saved copies: .jpe, .jfif, .JPG, .avif; a few in a format that is not read."""
    for n, suffix in enumerate((".jpe", ".jfif", ".JPG")):
        put(tmp_path / f"imagenet-r/{R[n]}/art_{n}{suffix}", picture(TABLE.index[R[n]]))
    put(tmp_path / f"imagenet-r/{R[3]}/art_3.avif", picture(TABLE.index[R[3]], "AVIF"))
    put(tmp_path / f"imagenet-r/{R[4]}/art_4.heic", b"heic")
    assert right("imagenet-r", root=tmp_path) == 4
    with pytest.raises(shifts.DataError) as whole:
        shifts.load("imagenet-r", root=tmp_path)
    assert "passed over as no images: 1 .heic" in str(whole.value)


def test_a_set_one_folder_deeper(tmp_path: Path) -> None:
    """`unzip` into a folder of the same name: imagenet-r/imagenet-r/n01443537; and two levels."""
    for path, _, content in SETS["imagenet-r"]:
        put(tmp_path / "imagenet-r/imagenet-r/renditions" / path, content)
    assert right("imagenet-r", root=tmp_path) == 12
    assert shifts.load("imagenet-r", root=tmp_path, partial=True).ids[0].startswith("n0")


def test_a_place_is_kept_shown_and_forgotten(tmp_path: Path) -> None:
    """huggingface/datasets#6853 and others: data on a shared disk that cannot be rearranged."""
    for path, _, content in SETS["imagenet-r"]:
        put(tmp_path / "disk/renditions" / path, content)
    (tmp_path / "data").mkdir()
    assert "was not found" in refused("imagenet-r", root=tmp_path / "data")
    assert effrob("where", f"imagenet-r={tmp_path / 'disk/renditions'}").exit_code == 0
    assert right("imagenet-r", root=tmp_path / "data") == 12 and right("imagenet-r") == 12
    assert str(tmp_path / "disk/renditions") in effrob("where").output
    checked = effrob("check", "imagenet-r", "--partial")
    assert checked.exit_code == 0 and "12 images" in checked.output
    other = tmp_path / "other"
    shutil.copytree(tmp_path / f"disk/renditions/{R[0]}", other / R[0])
    assert right("imagenet-r", at=other) == 2  # what is named now goes first
    assert effrob("where", "--forget", "imagenet-r").exit_code == 0
    assert "was not found" in refused("imagenet-r", root=tmp_path / "data")
    assert effrob("where", "imagenet-r=/nowhere").exit_code == 2
    assert effrob("where", "imagenet-q=/nowhere").exit_code == 2


def test_a_slip_in_at_is_not_passed_over(tmp_path: Path) -> None:
    for path, _, content in SETS["imagenet-r"]:
        put(tmp_path / "imagenet-r" / path, content)
    for command in (["list"], ["check", "imagenet-r"], ["index", "imagenet-r"]):
        said = effrob(*command, "--data", tmp_path, "--at", f"imagnet-r={tmp_path}")
        assert said.exit_code == 2 and "did you mean imagenet-r" in said.output
    said = effrob("list", "--at", "imagenet-r")
    assert said.exit_code == 2 and "--at names a set and its folder or file" in said.output


def test_notes_beside_pictures_in_class_folders_are_no_labels(tmp_path: Path) -> None:
    """A repacked set with a .json beside each picture is class folders; shards of the same ending are shards."""
    files = {}
    for path, label, content in SETS["imagenet-r"]:
        stem = path.rpartition(".")[0]
        files |= {f"imagenet-r/{path}": content, f"imagenet-r/{stem}.json": json.dumps({"label": label + 1}).encode()}
    pack(tmp_path / "imagenet-r.tar", files)
    assert right("imagenet-r", root=tmp_path) == 12


def test_a_pocket_set_is_not_drawn_over_something_else(tmp_path: Path) -> None:
    put(tmp_path / "pocket-r/notes/a.png", picture(0))
    got = effrob("get", "pocket-r", "--data", tmp_path)
    assert got.exit_code == 2 and "move it away and run this again" in got.output
    (tmp_path / "pocket-r").rename(tmp_path / "away")
    assert effrob("get", "pocket-r", "--data", tmp_path).exit_code == 0
    checked = effrob("check", "pocket-r", "--data", tmp_path)
    assert checked.exit_code == 0 and "600 images" in checked.output


def test_links_that_turn_in_circles_are_refused_and_not_followed_for_ever(tmp_path: Path) -> None:
    for path, _, content in SETS["imagenet-r"]:
        put(tmp_path / "disk" / path, content)
    (tmp_path / "imagenet-r").mkdir()
    for folder in (tmp_path / "disk").iterdir():
        (tmp_path / "imagenet-r" / folder.name).symlink_to(folder)
    assert right("imagenet-r", root=tmp_path, follow_links=True) == 12
    (tmp_path / f"disk/{R[0]}/again").symlink_to(tmp_path / f"disk/{R[0]}")
    assert "count images twice; remove it" in refused("imagenet-r", root=tmp_path, follow_links=True)
    (tmp_path / f"disk/{R[0]}/again").unlink()
    assert right("imagenet-r", root=tmp_path, follow_links=True) == 12


def test_a_table_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "imagenet-r/data/test-00000-of-00001.parquet", b"PAR1")
    for path, _, content in SETS["imagenet-a"]:
        put(tmp_path / "imagenet-a" / path, content)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'effrob[parquet]'" in refused("imagenet-r", root=tmp_path)
    listed = {row["name"]: row for row in json.loads(effrob("list", "--data", tmp_path, "--json").output)}
    assert "effrob[parquet]" in listed["imagenet-r"]["note"] and listed["imagenet-a"]["images"] == 12


def test_the_place_named_for_imagenet_real_is_the_one_that_is_read(tmp_path: Path) -> None:
    """A place of its own goes before imagenet's; without one, imagenet's serves both."""
    for number in range(1, 6):
        name, content = val(number)
        put(tmp_path / "data/imagenet/val" / name, content)
        if number < 3:
            put(tmp_path / "mine" / name, content)
    at, both = {"imagenet-real": tmp_path / "mine"}, {"imagenet": tmp_path / "mine"}
    for places, count in ((at, 2), (both, 2), ({}, 5)):
        shift = shifts.load("imagenet-real", tmp_path / "data", partial=True, places=places)
        assert len(shift.source.ids) == count
    (tmp_path / "empty").mkdir()
    assert "--at imagenet-real" in refused("imagenet-real", root=tmp_path / "data", at=tmp_path / "empty")
    assert effrob("where", f"imagenet-real={tmp_path / 'mine'}").exit_code == 0
    assert len(shifts.load("imagenet-real", tmp_path / "data", partial=True).source.ids) == 2
    assert len(shifts.load("imagenet", tmp_path / "data", partial=True).source.ids) == 5

"""Training images are never merged with a test set, nor taken for one, whatever their files are called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from form_writers import TABLE, pack, picture, put

import shifts
from shifts.classes import class_folders
from shifts.storage.splits import split_in

R = class_folders("imagenet-r").folders
A = class_folders("imagenet-a").folders
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))


def shown(wnid: str) -> bytes:
    return picture(TABLE.index[wnid])


def table(file: Path, stem: str, count: int = 3, **columns: list[str]) -> None:
    rows = [{"bytes": shown(R[k]), "path": f"{stem}_{k}.jpg"} for k in range(count)]
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(rows, IMAGE), "wnid": list(R[:count]), **columns}), file)


def samples(stem: str) -> Iterator[tuple[str, bytes]]:
    for k in range(3):
        yield f"{stem}{k}.jpg", shown(R[k])
        yield f"{stem}{k}.cls", R[k].encode()


def read(name: str, root: Path) -> set[str]:
    return {id.rpartition("/")[2] for id in shifts.load(name, root=root, partial=True).source.ids}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("trainset.parquet", "train"),
        ("imagenetrtest.parquet", "test"),
        ("TESTING", "test"),
        ("train00", "train"),
        ("valset", "validation"),
        ("r_trainval", "train and validation"),
        ("0000.parquet", None),
        ("latest.parquet", None),
        ("values", None),
    ],
)
def test_the_split_that_a_name_speaks_of(name: str, split: str | None) -> None:
    assert split_in(name) == split


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("trainset", "testset"),
        ("training", "testing"),
        ("imagenetrtrain", "imagenetrtest"),
        ("train/0", "testset/0"),
        ("train00", "test00"),
    ],
)
def test_a_test_split_is_read_alone(tmp_path: Path, train: str, test: str) -> None:
    table(tmp_path / f"imagenet-r/{train}.parquet", "t")
    table(tmp_path / f"imagenet-r/{test}.parquet", "e")
    assert read("imagenet-r", tmp_path) == {f"e_{k}.jpg" for k in range(3)}


def test_class_folders_of_splits(tmp_path: Path) -> None:
    for split in ("train", "testset"):
        for wnid in A[:3]:
            put(tmp_path / f"imagenet-a/{split}/{wnid}/{split}.jpg", shown(wnid))
    assert read("imagenet-a", tmp_path) == {"testset.jpg"}


@pytest.mark.parametrize(
    "names", [("0000", "0001", "train_extra"), ("0000", "test_extra"), ("r_train", "r_trainval"), ("train",)]
)
def test_what_is_vague_or_training_alone_is_refused_and_at_mends_it(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        table(tmp_path / f"imagenet-r/data/{name}.parquet", name)
    with pytest.raises(shifts.DataError, match="--at imagenet-r=PATH") as refused:
        shifts.load("imagenet-r", root=tmp_path, partial=True)
    assert "0000" not in names or ("0000.parquet" in str(refused.value) and names[-1] in str(refused.value))
    at = tmp_path / f"imagenet-r/data/{names[0]}.parquet"
    assert len(shifts.load("imagenet-r", partial=True, at=at)) == 3


def test_a_genuine_folder_beside_training_images(tmp_path: Path) -> None:
    for wnid in A[:3]:
        put(tmp_path / f"imagenet-a/imagenet-a/{wnid}/a.jpg", shown(wnid))
        put(tmp_path / f"imagenet-a/train/{wnid}/t.jpg", shown(wnid))
    with pytest.raises(shifts.DataError, match=r"train.*--at imagenet-a"):
        shifts.load("imagenet-a", root=tmp_path, partial=True)
    assert len(shifts.load("imagenet-a", partial=True, at=tmp_path / "imagenet-a/imagenet-a")) == 3


def test_a_list_of_shards_of_both_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        pack(tmp_path / f"sub/r-{split}-0.tar", dict(samples(f"{split}x")))
    put(tmp_path / "imagenet-r.wds", b"sub/r-train-0.tar\nsub/r-test-0.tar\n")
    assert read("imagenet-r", tmp_path) == {f"testx{k}.jpg" for k in range(3)}


def test_keys_and_a_column_of_splits(tmp_path: Path) -> None:
    pack(tmp_path / "keys/imagenet-r.wds/0.tar", {**dict(samples("train/a")), **dict(samples("test/b"))})
    assert read("imagenet-r", tmp_path / "keys") == {f"b{k}.jpg" for k in range(3)}
    table(tmp_path / "column/imagenet-r.parquet", "art", split=["train", "test", "train"])
    assert read("imagenet-r", tmp_path / "column") == {"art_1.jpg"}
    table(tmp_path / "alone/imagenet-r.parquet", "art", split=["train"] * 3)
    with pytest.raises(shifts.DataError, match="holds the split train"):
        shifts.load("imagenet-r", root=tmp_path / "alone", partial=True)


def test_a_stray_image_is_named_and_not_the_genuine_ones(tmp_path: Path) -> None:
    for wnid in A[:4]:
        put(tmp_path / f"imagenet-a/imagenet-a/{wnid}/a.jpg", shown(wnid))
    put(tmp_path / "imagenet-a/sample.jpg", shown(A[0]))
    with pytest.raises(shifts.DataError, match=r"move sample\.jpg away"):
        shifts.load("imagenet-a", root=tmp_path, partial=True)
    (tmp_path / "imagenet-a/sample.jpg").unlink()
    assert len(shifts.load("imagenet-a", root=tmp_path, partial=True)) == 4


@pytest.mark.parametrize("stray", ["holiday.jpg", "n01440764/x.jpg", "0/x.jpg"])
def test_a_place_of_other_images_is_passed_over(tmp_path: Path, stray: str) -> None:
    put(tmp_path / "imagenet-r" / stray, shown(R[0]))
    with pytest.raises((shifts.DataError, shifts.DataMissing)):
        shifts.load("imagenet-r", root=tmp_path, partial=True)
    pack(tmp_path / "imagenet-r.tar", {f"imagenet-r/{wnid}/art_0.jpg": shown(wnid) for wnid in R[:3]})
    assert read("imagenet-r", tmp_path) == {"art_0.jpg"}
    (found,) = (each for each in shifts.find(tmp_path) if each.name == "imagenet-r")
    assert found.form == "tar" and stray.partition("/")[0] in str(found.note)


def test_a_fault_in_the_shared_folder_is_said(tmp_path: Path) -> None:
    put(tmp_path / "imagenet/data/validation-00000-of-00001.parquet", b"PAR1 truncated")
    with pytest.raises(shifts.DataError, match="not a readable Parquet file"):
        shifts.load("imagenet", root=tmp_path, partial=True)
    (found,) = (each for each in shifts.find(tmp_path) if each.name == "imagenet")
    assert "not a readable Parquet file" in str(found.note)

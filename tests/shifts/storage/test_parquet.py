"""Parquet tables: pages as pyarrow reads them, labels by the names a schema gives them, and what one table may not say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from form_writers import picture

import shifts
from shifts.classes import class_folders, imagenet, imagenet_lemmas
from shifts.storage.parquet_pages import PagedColumn
from shifts.storage.tables import ParquetTree

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
R = class_folders("imagenet-r")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip", "brotli", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_pages_read_as_pyarrow_reads_them(tmp_path: Path, compression: str, version: str, dictionary: bool) -> None:
    rng = np.random.default_rng(0)
    values: list[bytes | None] = [rng.bytes(int(n)) for n in rng.integers(0, 9000, 500)]
    values += [values[3]] * 5 + [None, b"", None]
    names = [None if value is None else f"{n}.jpg" for n, value in enumerate(values)]
    rows = [{"bytes": value, "path": name} for value, name in zip(values, names, strict=True)]
    rows.append(None)  # type: ignore[arg-type]
    file = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"image": pa.array(rows, IMAGE)}), file, compression=compression, data_page_version=version,
        use_dictionary=dictionary, row_group_size=200, data_page_size=20_000,
    )  # fmt: skip
    tree = ParquetTree.__new__(ParquetTree)
    column: Any = PagedColumn(file, pq.read_metadata(file), "image.bytes")
    expected = [None if row is None else row["bytes"] for row in pq.read_table(file).column("image").to_pylist()]
    for row in rng.permutation(len(expected)).tolist():
        try:
            assert column.read(row // 200, row % 200) == expected[row]
        except ValueError as error:
            assert compression == "lz4" and "compression" in str(error)
            return
    assert compression != "lz4" and tree is not None


def write(
    file: Path, labels: list[Any], names: list[str] | None = None, paths: list[str] | None = None, **columns: Any
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"bytes": picture(6, shade=n), "path": f"art_{n}.jpg" if paths is None else paths[n]}
        for n in range(len(labels))
    ]
    about = {"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}} if names else {}
    table = {
        "image": pa.array(images, IMAGE),
        "label": pa.array(labels),
        **{k: pa.array(v) for k, v in columns.items()},
    }
    schema = pa.table(table).schema.with_metadata({"huggingface": json.dumps(about)})
    pq.write_table(pa.table(table, schema=schema), file)


def folders(root: Path) -> list[str]:
    return [id.partition("/")[0] for id in shifts.load("imagenet-r", root=root, partial=True).ids]


def test_another_codec_is_read_by_row_groups(tmp_path: Path) -> None:
    rows = [{"bytes": picture(6, shade=n), "path": f"{n}.jpg"} for n in range(6)]
    (tmp_path / "imagenet-r").mkdir()
    pq.write_table(
        pa.table({"image": pa.array(rows, IMAGE), "label": list(range(6))}),
        tmp_path / "imagenet-r/test.parquet",
        compression="lz4",
    )
    shift = shifts.load("imagenet-r", root=tmp_path, partial=True)
    assert [shift.source.read(i) for i in range(6)] == [picture(6, shade=i) for i in range(6)]


def test_labels_are_what_the_schema_calls_them(tmp_path: Path) -> None:
    """A table whose labels count another order is read by their names; without names, in the set's own or in ImageNet's."""
    reversed_ids = list(R.folders[::-1])
    write(tmp_path / "ids/imagenet-r/data/test.parquet", [0, 1], reversed_ids)
    assert folders(tmp_path / "ids") == sorted(R.folders[-2:])
    lemmas = [imagenet_lemmas()[imagenet().index[id]] for id in R.folders]
    write(tmp_path / "lemmas/imagenet-r/data/test.parquet", [0, 1], lemmas)
    assert folders(tmp_path / "lemmas") == sorted(R.folders[:2])
    write(tmp_path / "all/imagenet-r/data/test.parquet", [1, 2], list(imagenet_lemmas()))
    assert folders(tmp_path / "all") == ["n01443537", "n01484850"]
    write(tmp_path / "large/imagenet-r/data/test.parquet", [1, 988])
    assert folders(tmp_path / "large") == ["n01443537", "n12267677"]
    write(tmp_path / "vague/imagenet-r/data/test.parquet", [0, 1, 2], [R.folders[5], "no class at all", *R.folders[2:]])
    with pytest.raises(shifts.DataError, match="is no class of imagenet-r by its name"):
        folders(tmp_path / "vague")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"wnid": ["n01443537", "n01484850"]}, "two classes"),
        ({"class_name": ["goldfish", "great white shark"]}, "two classes"),
        ({"paths": ["n02102318/a.jpg", "b.jpg"]}, "its name says n02102318"),
        ({"paths": ["a_n02102318.jpg", "b.jpg"]}, "its name says n02102318"),
        ({"paths": ["ILSVRC2012_val_00000001.JPEG", "b.jpg"]}, "validation image 1"),
    ],
)
def test_columns_that_contradict_the_label_are_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    write(tmp_path / "imagenet-r/data/test.parquet", [7, 1], **columns)
    with pytest.raises(shifts.DataError, match=said):
        folders(tmp_path)


def test_a_test_split_without_labels_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "imagenet/data/test-00000-of-00001.parquet", [-1, -1])
    with pytest.raises(shifts.DataError, match="test split without labels"):
        shifts.load("imagenet", root=tmp_path, partial=True, at=tmp_path / "imagenet")


def test_splits_are_never_merged(tmp_path: Path) -> None:
    for split, labels in (("train", [5, 6]), ("test", [0, 1])):
        write(tmp_path / f"imagenet-r/data/{split}-00000-of-00001.parquet", labels)
    assert folders(tmp_path) == sorted(R.folders[:2])
    write(tmp_path / "imagenet-1k/data/train-00000-of-00001.parquet", [0])
    with pytest.raises(shifts.DataError, match="holds the split train and not the one imagenet is"):
        shifts.load("imagenet", root=tmp_path, partial=True)


def test_what_is_no_table_of_images_is_said(tmp_path: Path) -> None:
    (tmp_path / "imagenet-r").mkdir()
    file = tmp_path / "imagenet-r/test.parquet"
    for table, said in (
        ({"text": ["a"], "label": [1]}, "no column of images"),
        ({"image": pa.array([{"bytes": b"1", "path": "a.jpg"}], IMAGE)}, "no column of labels"),
        ({"image": pa.array([{"bytes": None, "path": "/x/a.jpg"}], IMAGE), "label": [0]}, "without its bytes"),
    ):
        pq.write_table(pa.table(table), file)
        with pytest.raises(shifts.DataError, match=said):
            shift = shifts.load("imagenet-r", root=tmp_path, partial=True)
            shift.source.read(0)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(shifts.DataError, match="not a readable Parquet file"):
        shifts.load("imagenet-r", root=tmp_path, partial=True)


BENCH = """
import re, sys, time
import numpy, PIL.Image, pyarrow.parquet, shifts
from shifts.storage.tree import TreeSource
def peak():  # in MB; ru_maxrss counts the parent's too
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
base = peak()
begun = time.process_time()
shift = shifts.load("imagenet-sketch", root=sys.argv[1], partial=True)
assert len(shift) == 50_000
indexed = time.process_time() - begun
rows = numpy.arange(0, 50_000, 5)
begun = time.process_time()
for row in rows:
    shift[int(row)]
read = time.process_time() - begun
print(indexed, read, peak() - base)
"""


def test_50_000_rows_are_indexed_in_seconds_in_little_memory_and_read_as_fast_as_files(tmp_path: Path) -> None:
    ids = class_folders("imagenet-sketch").folders
    rng = np.random.default_rng(0)
    contents = [picture(k, shade=int(rng.integers(0, 9))) for k in range(64)]
    rows = [{"bytes": contents[n % 64], "path": f"sketch_{n % 50}.JPEG"} for n in range(50_000)]
    (tmp_path / "table/imagenet-sketch").mkdir(parents=True)
    table = pa.table({"image": pa.array(rows, IMAGE), "label": [n // 50 for n in range(50_000)]})
    pq.write_table(table, tmp_path / "table/imagenet-sketch/test.parquet", use_dictionary=False)
    first = [tmp_path / f"{k}.jpg" for k in range(64)]
    for path, content in zip(first, contents, strict=True):
        path.write_bytes(content)
    for n in range(50_000):
        folder = tmp_path / "files/sketch" / ids[n // 50]
        folder.mkdir(parents=True, exist_ok=True)
        os.link(first[n % 64], folder / f"sketch_{n % 50}.JPEG")
    told = {}
    for data in ("table", "files"):
        done = subprocess.run([sys.executable, "-c", BENCH, str(tmp_path / data)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told[data] = [float(value) for value in done.stdout.split()]
    print(told)
    assert told["table"][0] < 10 and told["table"][2] < 300
    assert told["table"][1] < told["files"][1] / 0.9


SUITE = """
[suite]
name = "own"
clean = "photo"
shifts = ["drawn"]
[sets.photo]
parquet = "photo.parquet"
[sets.drawn]
folder = "drawn"
"""


def test_a_suite_file_declares_tables_and_at_takes_them_for_folders(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SUITE)
    write(tmp_path / "photo.parquet", [1, 0, 1], ["cat", "dog"], ["a.jpg", "b.jpg", "c.jpg"])
    suite = shifts.load_suite(tmp_path / "own.toml", root=tmp_path)
    assert list(suite["photo"].ids) == ["cat/b.jpg", "dog/a.jpg", "dog/c.jpg"]
    assert suite["photo"].targets.tolist() == [0, 1, 1]
    write(tmp_path / "elsewhere/data/test-00000-of-00001.parquet", [0], ["dog", "cat"], ["x.jpg"])
    moved = shifts.load_suite(tmp_path / "own.toml", root=tmp_path, at={"drawn": tmp_path / "elsewhere"})
    drawn = moved["drawn"]
    assert drawn.ids == ("dog/x.jpg",) and drawn.labels.class_ids[int(drawn.targets[0])] == "dog"
    write(tmp_path / "photo.parquet", [1, 0, 1])
    with pytest.raises(shifts.DataError, match="does not name them; list the classes in the suite file"):
        _ = shifts.load_suite(tmp_path / "own.toml", root=tmp_path)["photo"]
    (tmp_path / "own.toml").write_text(SUITE.replace("clean =", 'classes = ["cat", "dog"]\nclean ='))
    assert shifts.load_suite(tmp_path / "own.toml", root=tmp_path)["photo"].targets.tolist() == [0, 1, 1]


def test_numbers_that_may_count_two_orders_are_refused(tmp_path: Path) -> None:
    """1, 2 and 4 are classes of ImageNet-R in its own order and in ImageNet's: nothing tells which."""
    write(tmp_path / "imagenet-r/data/test.parquet", [1, 2, 4])
    with pytest.raises(shifts.DataError, match="may count the 200 classes of imagenet-r or the 1000 of imagenet"):
        folders(tmp_path)
    write(tmp_path / "imagenet-r/data/test.parquet", [1, 2, 4], list(R.folders))
    assert folders(tmp_path) == [R.folders[k] for k in (1, 2, 4)]


def test_files_that_name_their_labels_differently_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "imagenet-r/data/test-0.parquet", [0, 5], list(R.folders))
    write(tmp_path / "imagenet-r/data/test-1.parquet", [0, 5], list(R.folders[::-1]))
    with pytest.raises(shifts.DataError, match="name their labels differently"):
        folders(tmp_path)
    (tmp_path / "imagenet-r/data/test-1.parquet").unlink()
    assert folders(tmp_path) == [R.folders[0], R.folders[5]]


def test_objectnets_other_folders_are_left_out_of_a_table(tmp_path: Path) -> None:
    """A table of all 313 folders, its labels named: the 200 that map to no class are no images of the set."""
    table = imagenet()
    every = sorted([*table.object_groups, *table.object_others])
    other, mapped = sorted(table.object_others)[0], "alarm_clock"
    write(tmp_path / "objectnet/data/test.parquet", [every.index(mapped), every.index(other)], every)
    shift = shifts.load("objectnet", root=tmp_path, partial=True)
    assert shift.ids == ("images/alarm_clock/art_0.jpg",)

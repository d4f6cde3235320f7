"""Small parquet files that unpack to gigabytes, servers that send what they did not announce, headers without end."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from effrob.errors import UsageProblem
from effrob.results import answer_files
from model_zoo.checkpoints import files
from model_zoo.errors import ModelError
from shifts.bounds import arrow
from shifts.classes import class_folders
from shifts.errors import DataError
from shifts.storage import parquet_pages
from shifts.storage.tables import ParquetTree

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
R = class_folders("imagenet-r")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PEAK = """
import resource, sys
from pathlib import Path
from shifts.classes import class_folders
from shifts.errors import DataError
from shifts.storage.tables import ParquetTree
import pyarrow.parquet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    tree = ParquetTree(Path(sys.argv[1]), [Path(sys.argv[1])], class_folders("imagenet-r"))
    for path in tree.paths:
        tree.read(path)
    print("read")
except DataError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def many_rows(file: Path) -> None:
    """Six million rows of one label and no bytes, in some hundred kB."""
    n = 6_000_000
    labels = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int8()), pa.array([3]))
    images = pa.StructArray.from_arrays([pa.nulls(n, pa.binary()), pa.nulls(n, pa.string())], fields=list(IMAGE))
    pq.write_table(pa.table({"image": images, "label": labels.cast(pa.int64())}), file, compression="zstd")


def long_names(file: Path) -> None:
    """Nine paths of 150 MB of one letter."""
    rows = [{"bytes": b"x", "path": "a" * 150_000_000 + f"{number}.jpg"} for number in range(9)]
    pq.write_table(pa.table({"image": pa.array(rows, IMAGE), "label": [1] * 9}), file, compression="zstd")


def large_page(file: Path) -> None:
    """An image of 600 MB of zeros, in some 50 kB."""
    rows = [{"bytes": bytes(600_000_000), "path": "a.jpg"}]
    pq.write_table(pa.table({"image": pa.array(rows, IMAGE), "wnid": [R.folders[0]]}), file, compression="zstd")


def one_label_often(file: Path) -> None:
    """A label of 10 MB that a dictionary holds once, in 1,500 rows: 15 GB, in some kB."""
    rows = [{"bytes": b"x", "path": f"{number}.jpg"} for number in range(1500)]
    labels = pa.DictionaryArray.from_arrays(
        pa.array([0] * 1500, pa.int32()), pa.array([R.folders[0] + "a" * 10_000_000])
    )
    pq.write_table(pa.table({"image": pa.array(rows, IMAGE), "wnid": labels}), file, compression="zstd")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (many_rows, "rows of images"),
        (long_names, "bytes in row group"),
        (large_page, "a page of"),
        (one_label_often, "once each row has its value"),
    ],
)
def test_a_small_parquet_file_does_not_swell(made: Any, said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    made(file)
    assert file.stat().st_size < 1 << 20
    done = subprocess.run([sys.executable, "-c", PEAK, str(file)], capture_output=True, text=True, check=True)
    *told, megabytes = done.stdout.splitlines()
    assert said in " ".join(told) and str(file) in " ".join(told), done.stdout
    assert int(megabytes) < 1000


@pytest.mark.parametrize("limit", ["rows", "group", "page"])
def test_what_a_parquet_file_claims_is_bounded(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.parquet"
    rows = [{"bytes": bytes(40_000), "path": f"{number}.jpg"} for number in range(5)]
    if limit == "rows":
        rows = [{"bytes": b"x", "path": None}] * 20_000
    labels = [k % 200 for k in range(len(rows))]
    pq.write_table(pa.table({"image": pa.array(rows, IMAGE), "label": labels}), file, compression="zstd")
    if limit == "group":
        monkeypatch.setattr("shifts.bounds.arrow.GROUP", 100)
    if limit == "page":
        monkeypatch.setattr(parquet_pages, "MAX_PAGE", 1000)
    with pytest.raises(DataError, match=rf"{file}.* (rows of images|bytes in row group 0|a page of)"):
        tree = ParquetTree(file, [file], R)
        tree.read(tree.paths[0])


def repeated(folder: Path, column: str, count: int = 400) -> Path:
    """Small files of a value of 10 kB in every row, as pyarrow writes it: once, in a dictionary."""
    text = "a" * 10_000
    content, name = text.encode() if column == "bytes" else b"x", text if column == "file_name" else "a"
    rows = [{"bytes": content, "path": text + ".jpg" if column == "path" else f"{n}.jpg"} for n in range(count)]
    labels = [R.folders[0] if column != "wnid" else text] * count
    table = pa.table({"image": pa.array(rows, IMAGE), "wnid": labels, "file_name": [name] * count})
    file = folder / "a.parquet"
    pq.write_table(table, file, compression="zstd")
    assert file.stat().st_size < 30_000
    return file


@pytest.mark.parametrize("column", ["path", "wnid", "file_name"])
def test_a_value_of_a_dictionary_is_counted_in_every_row(
    column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = repeated(tmp_path, column)
    monkeypatch.setattr("shifts.bounds.arrow.GROUP", 1_000_000)
    with pytest.raises(
        DataError, match=rf"{file} takes 4,\d\d\d,\d\d\d bytes in row group 0 once each row has its value"
    ):
        _ = ParquetTree(file, [file], R).paths
    monkeypatch.setattr("shifts.bounds.arrow.GROUP", 5_000_000)
    try:
        _ = ParquetTree(file, [file], R).paths
    except DataError as error:
        assert "once each row" not in str(error)  # the names are no names of images


ARROWS = """
import sys
from pathlib import Path
import pyarrow
from shifts.classes import class_folders
from shifts.storage.tables import ParquetTree
tree = ParquetTree(Path(sys.argv[1]), [Path(sys.argv[1])], class_folders("imagenet-r"))
print(len(tree.label_texts()), len(tree._empty), pyarrow.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("column", ["wnid", "bytes"])
def test_labels_and_lengths_are_told_without_laying_a_dictionary_out(column: str, tmp_path: Path) -> None:
    """20 MB of rows: the texts of labels, and which images are empty, are read once a value."""
    file = repeated(tmp_path, column, 2000)
    done = subprocess.run([sys.executable, "-c", ARROWS, str(file)], capture_output=True, text=True, check=True)
    labels, empty, peak = map(int, done.stdout.split())
    assert (labels, empty) == (1, 0) and 0 < peak < 5_000_000


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
@pytest.mark.parametrize("what", ["dictionary", "integers", "list"])
def test_a_small_file_of_answers_does_not_swell(
    what: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 4000
    words = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array(["a" * 1000]))
    column = {
        "dictionary": words,
        "integers": pa.array([7] * 20 * count),
        "list": pa.array([["a" * 100] * 10] * count),
    }[what]
    file = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"class": column}), file, compression="zstd")
    else:
        pytest.importorskip("pyarrow.feather").write_feather(pa.table({"class": column}), file, compression="zstd")
    held = 640_000 if what == "integers" else 4_000_000
    assert file.stat().st_size < held // 4
    monkeypatch.setattr(arrow, "ARRAYS", held - 100_000)
    with pytest.raises(ValueError, match="are read at most"):
        arrow.read_arrow(file)
    monkeypatch.setattr(arrow, "ARRAYS", held + 400_000)
    assert len(arrow.read_arrow(file)) == len(column)


def test_a_text_too_long_for_an_array_is_refused_by_its_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One id of 20,000 characters made every id of the array as wide."""
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a" * 20_000, *map(str, range(999))], "class": [1] * 1000}), file)
    monkeypatch.setattr(answer_files, "ARRAYS", 100_000_000)
    with pytest.raises(UsageProblem, match=r"a cell of 20,000 characters under 'id'"):
        answer_files.read_answers(file)


def test_a_column_named_otherwise_in_its_row_group_is_refused_and_not_left_uncounted(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a"], "class": [1]}), file)
    schema, name, rest = file.read_bytes().partition(b"class")
    file.write_bytes(schema + name + rest.replace(b"class", b"blass", 1))
    with pytest.raises(ValueError, match="its column 'class' is called 'blass' in row group 0"):
        arrow.read_arrow(file)


@pytest.mark.parametrize("head", [b"\x15\x00\x15\x00\x15\x00", bytes(40), b"\xff" * 64])
def test_runs_and_pages_of_impossible_lengths_end(head: bytes) -> None:
    """A run that claims 2**60 values was laid out whole."""
    claimed = bytearray()
    value = (1 << 60) << 1
    while value:
        claimed.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
    assert parquet_pages._hybrid(bytes(claimed) + b"\x01" + head, 1, 5) == [1] * 5


def safetensors(path: Path, header: bytes, claimed: int | None = None, body: bytes = bytes(16)) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if claimed is None else claimed) + header + body)
    return path


@pytest.mark.parametrize(
    ("header", "claimed"),
    [
        (b"{" + b" " * 200, 1 << 62),
        (json.dumps({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 16]}}).encode(), None),
        (json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 50]}}).encode(), None),
        (json.dumps({"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}).encode(), None),
        (json.dumps({n: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for n in "ab"}).encode(), None),
        (b"{" + b'"a":{' * 5000, None),
        (b"[" * 100_000, None),
    ],
)
def test_a_safetensors_header_is_bounded(header: bytes, claimed: int | None, tmp_path: Path) -> None:
    path = safetensors(tmp_path / "w.safetensors", header, claimed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"w\.safetensors"):
        files.contents(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10

"""Captions files read a record at a time: what comes out is what went in, and a malformed record is named by number."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_records import WNIDS, record

from shifts import DataError, DataMissing
from shifts.captions import records as caption_records
from shifts.captions.records import RecordFile

TEXT = st.text(max_size=12)
RECORD = st.fixed_dictionaries(
    {
        "filename": st.text(min_size=1, max_size=9), "title": TEXT, "tags": st.lists(TEXT, max_size=3),
        "description": TEXT, "wnid": st.text(min_size=1, max_size=9),
    }
)  # fmt: skip


@given(
    records=st.lists(RECORD, max_size=6),
    chunk=st.integers(1, 40),
    escaped=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_is_what_was_written_wherever_the_chunks_end(
    records, chunk, escaped, indent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_records, "CHUNK", chunk)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(records, ensure_ascii=escaped, indent=indent), encoding="utf-8")
    file = RecordFile(path)
    read = list(file)
    assert [each.number for each in read] == list(range(1, len(records) + 1))
    assert [{**each.record._asdict(), "tags": list(each.record.tags)} for each in read] == records
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_zip_it_is_distributed_in_is_read_and_has_the_digest_of_its_json(write, tmp_path: Path) -> None:
    text = json.dumps([record(WNIDS[0], n) for n in range(5)])
    plain, zipped = RecordFile(write(text)), tmp_path / "imagenet_captions.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imagenet_captions.json", text)
        archive.writestr("__MACOSX/._imagenet_captions.json", "x")
    packed = RecordFile(zipped)
    assert list(packed) == list(plain) and packed.sha256 == plain.sha256
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("more.json", "[]")
    with pytest.raises(DataError, match="one JSON file of captions and holds 2"):
        list(RecordFile(zipped))
    damaged = zipped.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x09")
    with pytest.raises(DataError, match=r"damaged|start with"):
        list(RecordFile(write(damaged, "damaged.zip")))


GOOD = json.dumps(record(WNIDS[0], 1))
BAD = {
    "a number": ("7", r"record 3 .* an object was wanted, found a number"),
    "no title": ('{"filename": "a", "wnid": "b", "description": "", "tags": []}', r"record 3 .* has no 'title'"),
    "no tags": ('{"filename": "a", "wnid": "b", "description": "", "title": ""}', r"record 3 .* has no 'tags'"),
    "tags a text": (GOOD.replace('["nikon", "tench"]', '"nikon"'), r"record 3 .*'tags' must be a list of texts"),
    "tag a number": (GOOD.replace('"nikon"', "5"), r"record 3 .*'tags' must be a list of texts"),
    "title a list": (GOOD.replace('"my tench, no. 1"', "[1]"), r"record 3 .* holds a list as 'title'"),
    "no wnid": (GOOD.replace('"n01440764"', '""'), r"record 3 .*'filename' or 'wnid' is empty"),
    "wnid null": (GOOD.replace('"n01440764"', "null"), r"record 3 .* holds null as 'wnid'"),
    "half a record": (GOOD[:40], r"record 3 .* malformed"),
    "no quote": (GOOD.replace('"title"', "title"), r"record 3 .* expecting property name"),
    "control": (GOOD.replace("seen in", "seen\nin"), r"record 3 .* invalid control character"),
    "nothing": ("", r"record 3 .* expecting value"),
    "endless number": (GOOD.replace('"nikon"', "5" * 5000), r"record 3 .* number of thousands of digits"),
    "nested": ("[" * 100_000, r"record 3 .*(nested without end|malformed)"),
}


@pytest.mark.parametrize("chunk", [37, 1 << 20])
@pytest.mark.parametrize("name", BAD)
def test_a_malformed_record_is_named_by_its_number(
    name: str, chunk: int, write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_records, "CHUNK", max(chunk, 37 if name != "nested" else 9999))
    bad, said = BAD[name]
    with pytest.raises(DataError, match=said):
        list(RecordFile(write(f"[{GOOD},\n {GOOD}, {bad}, {GOOD}]")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not start with"),
        ('{"a": []}', "does not start with"),
        (f"[{GOOD}, {GOOD}", "record 3 .* the file ends in it"),
        (f"[{GOOD}, {GOOD[:-30]}", "record 2 .* the file ends in it"),
        (f"[{GOOD} {GOOD}]", "record 2 .* a comma was wanted before it"),
        (f"[{GOOD}] and more", "goes on after the list of 1 records"),
        (b'[{"filename": "\xff"}]', "record 1 .* not UTF-8 near byte 15"),
        (b'\xef\xbb\xbf[{"filename": "\xff"}]', "record 1 .* not UTF-8 near byte 18"),
        (f"[{GOOD}, {GOOD}]".encode("utf-16"), "record 1 .* not UTF-8 near byte 0"),
        (f"[{GOOD}, {GOOD}, ".encode() + b'{"filename": "caf\xe9"}]', "record 3 .* not UTF-8"),
        (f"[{GOOD}, {GOOD}".encode() + "é".encode()[:1], "record 3 .* not UTF-8"),
    ],
)
def test_a_file_that_is_no_list_of_records_is_refused_in_a_sentence(text: str | bytes, said: str, write) -> None:
    with pytest.raises(DataError, match=said):
        list(RecordFile(write(text)))


def test_a_record_without_an_end_does_not_swallow_the_file(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_records, "CHUNK", 1000)
    monkeypatch.setattr(caption_records, "LONGEST", 5000)
    text = f'[{GOOD}, {{"filename": "' + "a" * 50_000 + '"}]'
    with pytest.raises(DataError, match=r"record 2 .* malformed"):
        list(RecordFile(write(text)))
    assert [r.record.filename for r in RecordFile(write(f"\ufeff[ {GOOD} ]\n"))] == ["n01440764_1.JPEG"]


@pytest.mark.parametrize("chunk", [5, 1 << 20])
def test_bytes_that_are_no_text_are_named_by_their_record_and_place(
    chunk: int, write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_records, "CHUNK", chunk)
    before = f"[{GOOD}, é".encode()
    with pytest.raises(DataError, match=r"record 2 .* malformed"):
        list(RecordFile(write(before + b"\xff]")))
    for good in range(1, 4):
        before = ("[" + f"{GOOD},\n" * good + '{"title": "café €').encode()
        with pytest.raises(DataError, match=rf"record {good + 1} .* not UTF-8 near byte {len(before):,}"):
            list(RecordFile(write(before + b"\xff]")))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_or_cut_zip_is_refused_in_a_sentence_however_it_was_packed(
    method: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_records, "CHUNK", 4096)
    path = tmp_path / "captions.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("c.json", json.dumps([record(WNIDS[0], n, title=f"{n * 7919:x}") for n in range(2000)]))
    packed = path.read_bytes()
    assert len(list(RecordFile(path))) == 2000
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="a zip without its end"):
        list(RecordFile(path))
    third = len(packed) // 3
    path.write_bytes(packed[:third] + bytes(b ^ 0x5A for b in packed[third : third + 400]) + packed[third + 400 :])
    with pytest.raises(DataError, match=r"record [\d,]+ of "):
        list(RecordFile(path))


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"imagenet_captions\.zip"):
        RecordFile(tmp_path / "none.json")

"""Fuzzing of whatever is read from outside: specs, records, archives, studies. Nothing but the named errors, and no crash.

`make test` tries a few hundred cases of each; `make slow` a hundred thousand in all.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effrob.errors import EffrobError, UsageProblem
from effrob.results.provenance import Provenance
from effrob.results.record import SCHEMA, Counts, EvalRecord, EvalSpec, from_json
from effrob.studies import reader
from model_zoo.errors import ModelError
from model_zoo.spec import parse
from shifts.errors import DataError
from shifts.storage.shards import ShardTree
from shifts.storage.tar import TarTree
from shifts.storage.tree import checked_path
from shifts.storage.zip import ZipTree
from tests.scale import hostile

Check = Callable[[Any], None]


def edits(seed: bytes) -> st.SearchStrategy[bytes]:
    """`seed` with some spans overwritten, dropped, doubled or moved: broken where a parser may look."""
    span = st.tuples(
        st.integers(0, len(seed)),
        st.integers(0, 24),
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from([b"", b"\0" * 12, b"\xff" * 8, b"7" * 11, b"../", b"-1", b"NaN", b"{"]),
        ),
    )

    def apply(cuts: list[tuple[int, int, bytes]]) -> bytes:
        data = bytearray(seed)
        for at, gone, put in cuts:
            data[at : at + gone] = put
        return bytes(data)

    return st.one_of(
        st.lists(span, min_size=1, max_size=4).map(apply), st.integers(0, len(seed)).map(lambda n: seed[:n])
    )


def summed(archive: bytes) -> bytes:
    """The archive with every header's checksum made right again, so that damage gets past it."""
    data = bytearray(archive)
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            total = sum(data[at : at + 148]) + 8 * 32 + sum(data[at + 156 : at + 512])
            data[at + 148 : at + 156] = f"{total:06o}\0 ".encode()
    return bytes(data)


# --- the checks ---


def a_spec_is_refused_or_comes_back(text: str) -> None:
    try:
        spec = parse(text)
    except ModelError as error:
        assert str(error)
        return
    assert parse(str(spec)) == spec and spec.name


RECORD = EvalRecord(
    EvalSpec(
        "m:a",
        "d",
        "default",
        {"size": [32]},
        "exact",
        "fp32",
        "native",
        None,
        "h",
        "effrob",
        "s",
        "l",
        "x",
        "q",
        None,
        None,
    ),
    None,
    "m:a",
    Counts(4, 3, 4, None),
    4,
    False,
    None,
    None,
    {"predictions.npz": "0" * 64},
    {},
    Provenance({"effrob": "1"}, "3.11", None, None, "cpu", "fp32", None, "effrob eval"),
)
TEXT = json.dumps(RECORD.as_json(), indent=1)


def a_record_is_refused_or_means_what_it_says(data: bytes) -> None:
    from effrob.results.store import read

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "record.json").write_bytes(data)
        try:
            record = read(Path(folder)).record
        except EffrobError as error:
            assert "record.json" in str(error)
            return
    assert from_json(record.as_json()) == record and record.as_json()["schema"] == SCHEMA


def a_record_value_is_refused_or_comes_back(value: Any) -> None:
    try:
        record = from_json(value)
    except EffrobError:
        return
    assert from_json(record.as_json()) == record


def an_archive_is_refused_or_stays_inside(kind: str) -> Check:
    opened = {
        "tar": lambda path, index: TarTree(path, "imagenet-r/", index=index),
        "zip": lambda path, index: ZipTree(path, "*/"),
        "wds": lambda path, index: ShardTree(path.parent, hostile.R, index=index),
    }[kind]

    def check(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"s.{'tar' if kind == 'wds' else kind}"
            path.write_bytes(data)
            try:
                tree = opened(path, Path(folder) / "index")
                for name in tree.paths:
                    assert checked_path(name, "") == name and tree.stat(name).size >= 0
                    assert len(tree.read(name)) == tree.stat(name).size
            except DataError as error:
                assert str(path) in str(error) or path.name in str(error)

    return check


def a_study_is_refused_or_can_be_read(data: bytes) -> None:
    try:
        study = reader.parse(data.decode("utf-8", "replace"), "fuzzed", "fuzzed.toml")
    except UsageProblem as error:
        assert "fuzzed.toml" in str(error)
        return
    assert study.arms is not None


# --- what they are tried on ---


def packed(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        if kind == "zip":
            return hostile.sketch_zip(path).read_bytes()
        inner = hostile.tar(path).read_bytes()
        if kind == "wds":
            import tarfile

            with tarfile.open(path, "w") as archive:
                for name, content in (
                    ("a.jpg", hostile.picture((2, 2))),
                    ("a.cls", b"3"),
                    ("b/c.png", b"2"),
                    ("b/c.cls", b"0"),
                ):
                    info, _ = hostile.member(name, content)
                    archive.addfile(info, io.BytesIO(content))
            return path.read_bytes()[:6144]
        long = hostile.member("imagenet-r/" + "long/" * 40 + "x.jpg", b"1")
        hostile.tar(path, hostile.member("imagenet-r/n01443537.tar", inner[:3072]), long)
        return path.read_bytes()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def records(draw: st.DrawFn) -> Any:
    """A record's JSON with some field, at any depth, replaced, dropped or renamed."""
    value = json.loads(TEXT)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = value
        while True:
            name = draw(st.sampled_from(sorted(place) or ["x"]))
            if isinstance(place.get(name), dict) and place[name] and draw(st.booleans()):
                place = place[name]
                continue
            break
        act = draw(st.sampled_from(["replace", "drop", "add"]))
        if act == "drop":
            place.pop(name, None)
        else:
            place[name if act == "replace" else draw(st.text(max_size=6))] = draw(JSON)
    return value


def study_texts() -> st.SearchStrategy[bytes]:
    return st.sampled_from(sorted(reader.SHIPPED.glob("*.toml"))).flatmap(lambda path: edits(path.read_bytes()))


SPECS = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from([*"@:/\n \0", "openclip", "timm", "ViT-B-32", "..", "x"]), max_size=8).map("".join),
)
TARGETS: dict[str, tuple[Check, Callable[[], st.SearchStrategy[Any]]]] = {
    "spec": (a_spec_is_refused_or_comes_back, lambda: SPECS),
    "record": (a_record_value_is_refused_or_comes_back, records),
    "record file": (a_record_is_refused_or_means_what_it_says, lambda: edits(TEXT.encode())),
    "tar": (an_archive_is_refused_or_stays_inside("tar"), lambda: edits(packed("tar")).map(summed)),
    "zip": (an_archive_is_refused_or_stays_inside("zip"), lambda: edits(packed("zip"))),
    "shards": (an_archive_is_refused_or_stays_inside("wds"), lambda: edits(packed("wds")).map(summed)),
    "study": (a_study_is_refused_or_can_be_read, study_texts),
}


def fuzz(target: str, cases: int) -> None:
    check, strategy = TARGETS[target]

    @settings(
        max_examples=cases, deadline=None, database=None, print_blob=False, suppress_health_check=list(HealthCheck)
    )
    @given(strategy())
    def tried(value: Any) -> None:
        check(value)

    tried()


@pytest.mark.parametrize("target", TARGETS)
def test_a_few_hundred_cases(target: str) -> None:
    fuzz(target, 150)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_hundred_thousand_cases(target: str) -> None:
    fuzz(target, -(-100_000 // len(TARGETS)))


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\xff" * 11 + b"\x00", b"\x80\0\0\0" + b"\xff" * 8])
def test_a_member_of_a_size_that_no_file_has(size: bytes, tmp_path: Path) -> None:
    """Found by a hundred thousand cases: a negative one was `Invalid argument` of no file, a huge one a bare ValueError."""
    path = hostile.tar(tmp_path / "a.tar")
    data = bytearray(path.read_bytes())
    data[124:136] = size
    path.write_bytes(summed(bytes(data)))
    with pytest.raises(DataError, match=r"a\.tar"):
        _ = TarTree(path, "imagenet-r/", index=tmp_path / "index").paths


def test_a_record_of_no_model_is_refused() -> None:
    value = json.loads(TEXT)
    value["asked"]["model"] = None
    with pytest.raises(EffrobError, match=r"lacks or misnames|says model"):
        from_json(value)


def test_the_fuzzer_finds_what_is_planted() -> None:
    """A reader that trusts its input is caught."""

    def trusting(value: Any) -> None:
        assert value["counts"]["n_correct"] <= value["counts"]["n"]

    TARGETS["planted"] = (trusting, records)
    try:
        with pytest.raises((AssertionError, KeyError, TypeError, BaseExceptionGroup)):
            fuzz("planted", 300)
    finally:
        del TARGETS["planted"]

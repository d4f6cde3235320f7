"""Advice on archives, shards and record files."""

from __future__ import annotations

import io
import os
import shutil
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from advice_folders import R, good, image
from form_writers import FORMS, SETS, TABLE, message, pack, picture, put, varint
from situation import Situation, Step, loads, run

import shifts
from shifts.storage import spans
from shifts.storage.spans import Span, indexed
from shifts.storage.tar import TarTree
from shifts.storage.zip import ZipTree

SAMPLES = SETS["imagenet-r"]
ONE = {"a.jpg": image(3), "a.cls": b"3"}
R_LOAD = loads("imagenet-r")


def whole(form: str) -> Step:
    """Fetch it anew: the right file in place of the damaged one."""

    def mend(root: Path) -> None:
        shutil.rmtree(root / "imagenet-r", ignore_errors=True)
        FORMS[form](root, "imagenet-r", SAMPLES)

    return mend


def damaged(form: str, file: str, change: Callable[[bytearray], object]) -> Step:
    def make(root: Path) -> None:
        whole(form)(root)
        content = bytearray((root / file).read_bytes())
        change(content)
        (root / file).write_bytes(content)

    return make


def tar_with_hard_link(root: Path) -> None:
    good(root)
    first = root / "imagenet-r" / SAMPLES[0].path
    os.link(first, first.with_name("art_copy.jpg"))
    run("tar", "-cf", "imagenet-r.tar", "imagenet-r", within=root)
    shutil.rmtree(root / "imagenet-r")


def without_a_mark(root: Path) -> None:
    """A tar that ends with its last file: what a download that was cut off between two files looks like."""
    whole("tar")(root)
    with tarfile.open(root / "imagenet-r.tar") as archive:
        last = archive.getmembers()[-1]
    os.truncate(root / "imagenet-r.tar", last.offset_data + -(-last.size // 512) * 512)


def repacked(root: Path) -> None:
    run("tar", "-xf", "imagenet-r.tar", within=root)
    top = next(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    run("tar", "--dereference", "--hard-dereference", "-cf", "imagenet-r.tar", top, within=root)
    shutil.rmtree(root / top)


def compressed(root: Path) -> None:
    good(root)
    with tarfile.open(root / "imagenet-r.tar.gz", "w:gz") as archive:
        archive.add(root / "imagenet-r", "imagenet-r")
    shutil.rmtree(root / "imagenet-r")


def tar_twice(root: Path) -> None:
    with tarfile.open(root / "imagenet-r.tar", "w") as archive:
        for _ in range(2):
            member = tarfile.TarInfo(f"imagenet-r/{SAMPLES[0].path}")
            member.size = len(SAMPLES[0].content)
            archive.addfile(member, io.BytesIO(SAMPLES[0].content))


def tar_elsewhere(root: Path, top: str = "other") -> None:
    pack(root / "r.tar", {f"{top}/{sample.path}": sample.content for sample in SAMPLES})


def tar_in_tar(size: int) -> Step:
    """The training archive, which holds a tar a class; the inner header claims `size` bytes."""

    def make(root: Path) -> None:
        content, inner = picture(0), io.BytesIO()
        with tarfile.open(fileobj=inner, mode="w") as archive:
            member = tarfile.TarInfo(f"{TABLE.ids[0]}_1.JPEG")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        held = bytearray(inner.getvalue())
        if size:
            member.size = size
            held[:512] = member.tobuf(tarfile.USTAR_FORMAT)
        pack(root / "ILSVRC2012_img_train.tar", {f"{TABLE.ids[0]}.tar": bytes(held)})

    return make


def huge_member(root: Path) -> None:
    """A header of two gigabytes, and a file as long, of holes."""
    member = tarfile.TarInfo(f"imagenet-r/{SAMPLES[0].path}")
    member.size = 2 << 30
    with (root / "imagenet-r.tar").open("wb") as file:
        file.write(member.tobuf())
        file.truncate((2 << 30) + 10240)


def strange_zip(root: Path) -> None:
    good(root)
    with zipfile.ZipFile(root / "imagenet-r.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for path in (root / "imagenet-r").rglob("*.jpg"):
            archive.write(path, path.relative_to(root))
    shutil.rmtree(root / "imagenet-r")


def linked_zip(root: Path) -> None:
    whole("zip")(root)
    with zipfile.ZipFile(root / "imagenet-r.zip", "a") as archive:
        link = zipfile.ZipInfo(f"imagenet-r/{SAMPLES[0].path.rpartition('/')[0]}/link.jpg")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, Path(SAMPLES[0].path).name)


def _keys(password: bytes) -> Callable[[int], int]:
    """PKWARE's traditional cipher: the next byte of the stream, and the keys moved on by a byte of text."""
    table = []
    for k in range(256):
        value = k
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    keys = [0x12345678, 0x23456789, 0x34567890]

    def move(byte: int) -> None:
        keys[0] = (keys[0] >> 8) ^ table[(keys[0] ^ byte) & 0xFF]
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = (keys[2] >> 8) ^ table[(keys[2] ^ (keys[1] >> 24)) & 0xFF]

    for byte in password:
        move(byte)

    def coded(byte: int) -> int:
        k = keys[2] | 2
        stream = ((k * (k ^ 1)) >> 8) & 0xFF
        move(byte)
        return byte ^ stream

    return coded


def encrypted_zip(root: Path) -> None:
    """ObjectNet's archive as it is downloaded: one image, stored under the password `terms`."""
    content = picture(409, "PNG")
    sealed = _keys(b"terms")
    crc = zlib.crc32(content)
    held = bytes(sealed(byte) for byte in bytes(11) + bytes([crc >> 24]) + content)
    name = b"objectnet-1.0/images/alarm_clock/0.png"
    common = struct.pack("<5H3I2H", 20, 1, 0, 0, 33, crc, len(held), len(content), len(name), 0)
    directory = b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<3H2I", 0, 0, 0, 0, 0) + name
    local = b"PK\3\4" + common + name + held
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(local), 0)
    put(root / "objectnet-1.0.zip", local + directory + end)


def unzipped(root: Path, name: str = "objectnet-1.0.zip", password: bytes | None = b"terms") -> None:
    """What `unzip` does with the password."""
    with zipfile.ZipFile(root / name) as archive:
        archive.extractall(root, pwd=password)


def unzip(root: Path, name: str) -> None:
    """`unzip`, which writes links as links."""
    if shutil.which("unzip") is None:
        pytest.skip("the system has no unzip")
    run("unzip", "-q", name, within=root)


def cut_then_read(root: Path, cut: bool = True) -> bool:
    """A set is opened, its file is cut off, and it is read."""
    shift = shifts.load("imagenet-r", root, partial=True)
    if cut:
        os.truncate(root / "imagenet-r.wds/000.tar", 600)
    return [example.id for example in shift] == sorted(sample.path for sample in SAMPLES)


def moved_apart(root: Path) -> dict[str, object]:
    (root / "imagenet-r/test").mkdir()
    (root / "imagenet-r/test-0.tar").rename(root / "imagenet-r/test/0.tar")
    (root / "imagenet-r/rest").mkdir()
    (root / "imagenet-r/extra.tar").rename(root / "imagenet-r/rest/extra.tar")
    return {"places": {"imagenet-r": root / "imagenet-r/test"}}


def directory_of(content: bytearray) -> int:
    return content.index(b"PK\1\2")


def inflating(content: bytearray) -> None:
    """The directory says that the first member is 900 MB long."""
    struct.pack_into("<I", content, directory_of(content) + 24, 900_000_000)


def first_image(name: str) -> Callable[..., Any]:
    def act(root: Path, **how: Any) -> int:
        return shifts.load(name, root, partial=True, **how)[0].target

    return act


def inside(form: str, folder: str) -> Callable[..., Any]:
    """Read an archive by the folder that the set is said to lie in."""

    def act(root: Path) -> int:
        return len((TarTree if form == "tar" else ZipTree)(root / f"r.{form}", folder).paths)

    return act


def scanned(root: Path, still: bool = False) -> int:
    """Read an archive that grows while it is read."""
    file = root / "imagenet-r.tar"

    def scan() -> Iterator[tuple[str, Span]]:
        if not still:
            with file.open("ab") as opened:
                opened.write(bytes(512))
        yield "a.jpg", Span(0, 1)

    return len(indexed(file, scan, spans.index_folder(), ""))


def shard(files: dict[str, bytes], number: int = 0) -> Step:
    return lambda root: pack(root / f"imagenet-r.wds/{number}.tar", files)


def without_webdataset(root: Path, **how: Any) -> int:
    """A list of shards in braces where webdataset is not installed."""
    lacking = {} if how.pop("installed", False) else {"webdataset": None, "webdataset.shardlists": None}
    with mock.patch.dict(sys.modules, lacking):  # type: ignore[arg-type]
        return len(shifts.load("imagenet-r", root, partial=True))


def braces(root: Path) -> None:
    for n in range(2):
        pack(root / f"{n}.tar", {f"{n}.jpg": image(n), f"{n}.cls": str(n).encode()})
    put(root / "imagenet-r.wds", b"{0..1}.tar\n")


def record(features: dict[str, bytes]) -> bytes:
    entries = b"".join(message(1, message(1, key.encode()) + message(2, value)) for key, value in features.items())
    body = message(1, entries)
    return struct.pack("<QI", len(body), 0) + body + bytes(4)


def records(content: bytes) -> Step:
    return lambda root: put(root / "imagenet-r/imagenet_r-test.tfrecord-00000-of-00001", content)


SITUATIONS = [
    Situation(
        "storage/tar.py: is compressed",
        compressed,
        (lambda d: run("tar", "-xf", "imagenet-r.tar.gz", within=d),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/tar.py: a link or a device",
        tar_with_hard_link,
        (repacked, lambda d: run("tar", "-xf", "imagenet-r.tar", within=d)),
        R_LOAD,
        13,
    ),
    Situation(
        "storage/tar.py: ends without a mark",
        without_a_mark,
        (whole("tar"), repacked),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/tar.py: is not a readable tar",
        lambda d: put(d / "imagenet-r.tar", b"none" * 300),
        (whole("tar"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/tar.py: inside it is damaged", tar_in_tar(50_000), (tar_in_tar(0),), first_image("imagenet-train"), 0
    ),
    Situation("storage/spans.py: holds {} twice", tar_twice, (whole("tar"),), R_LOAD, 12),
    Situation("storage/spans.py: more than any picture", huge_member, (whole("tar"),), R_LOAD, 12),
    Situation(
        "storage/spans.py: the set lies in",
        tar_elsewhere,
        (lambda d: tar_elsewhere(d, "imagenet-r"),),
        inside("tar", "imagenet-r/"),
        12,
    ),
    Situation("storage/spans.py: changed while it was read", whole("tar"), (lambda d: {"still": True},), scanned, 1),
    Situation(
        "storage/spans.py: ends inside",
        whole("shards"),
        (lambda d: whole("shards")(d) or {"cut": False},),
        cut_then_read,
        True,
    ),
    Situation(
        "storage/zip.py: is not a readable zip",
        lambda d: put(d / "imagenet-r.zip", b"PK none"),
        (whole("zip"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/zip.py: is damaged at",
        damaged("zip", "imagenet-r.zip", lambda content: content.__setitem__(slice(0, 4), b"none")),
        (whole("zip"),),
        lambda d: [example.target for example in shifts.load("imagenet-r", d, partial=True)],
    ),
    Situation(
        "storage/zip.py: is damaged at",
        damaged("zip", "imagenet-r.zip", lambda content: content.__setitem__(slice(90, 200), bytes(110))),
        (whole("zip"),),
        lambda d: [example.target for example in shifts.load("imagenet-r", d, partial=True)],
    ),
    Situation("storage/zip.py: the password given", encrypted_zip, (unzipped,), first_image("objectnet")),
    Situation(
        "storage/zip.py: lacks its beginning",
        damaged("zip", "imagenet-r.zip", lambda content: content.__delitem__(slice(0, 100))),
        (whole("zip"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/zip.py: in a way that cannot be read",
        strange_zip,
        (lambda d: unzipped(d, "imagenet-r.zip"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/zip.py: a link or a device",
        linked_zip,
        (lambda d: unzip(d, "imagenet-r.zip"),),
        R_LOAD,
        13,
    ),
    Situation(
        "storage/zip.py: inflates without measure",
        damaged("zip", "imagenet-r.zip", inflating),
        (whole("zip"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/shards.py: names no shard",
        lambda d: put(d / "imagenet-r.wds", b"# none yet\n"),
        (lambda d: (d / "imagenet-r.wds").unlink() or shard(ONE)(d),),
        R_LOAD,
        1,
    ),
    Situation(
        "storage/shards.py: write the shard anew",
        shard({**ONE, "b.jpg": image(4)}),
        (shard({**ONE, "b.jpg": image(4), "b.cls": b"4"}),),
        R_LOAD,
        2,
    ),
    Situation(
        "storage/shards.py: two pictures of the sample", shard({**ONE, "a.png": image(3)}), (shard(ONE),), R_LOAD, 1
    ),
    Situation("storage/shards.py: pip install", braces, (lambda d: {"installed": True},), without_webdataset, 2),
    Situation(
        "storage/samples.py: or a class folder is wanted",
        shard({"a.jpg": image(3), "a.cls": b"9999"}),
        (shard(ONE), shard({"a.jpg": image(3), "a.cls": R[3].encode()})),
        R_LOAD,
        1,
    ),
    Situation(
        "storage/samples.py: remove one of the two",
        lambda d: [shard(ONE, n)(d) for n in (0, 1)],
        (lambda d: (d / "imagenet-r.wds/1.tar").unlink(), lambda d: (d / "imagenet-r.wds/0.tar").unlink()),
        R_LOAD,
        1,
    ),
    Situation(
        "storage/samples.py: label them by class ids",
        shard({"a.jpg": picture(1), "a.cls": b"1"}),
        (shard({"a.jpg": picture(1), "a.cls": TABLE.ids[1].encode()}),),
        R_LOAD,
        1,
    ),
    Situation(
        "storage/splits.py: keep each split in a folder of its own",
        lambda d: (pack(d / "imagenet-r/test-0.tar", ONE), pack(d / "imagenet-r/extra.tar", ONE))[:0],
        (moved_apart,),
        R_LOAD,
        1,
    ),
    Situation("storage/tfrecords.py: or is no record file", records(b"none" * 9), (whole("tfrecord"),), R_LOAD, 12),
    Situation(
        "storage/tfrecords.py: no tf.train.Example",
        records(struct.pack("<QI", 4, 0) + b"\xff\xff\xff\xff" + bytes(4)),
        (whole("tfrecord"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/tfrecords.py: has no encoded image",
        records(record({"label": message(3, message(1, varint(0)))})),
        (lambda d: good(d / "elsewhere") or {"places": {"imagenet-r": d / "elsewhere/imagenet-r"}},),
        R_LOAD,
        12,
    ),
]

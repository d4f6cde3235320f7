"""Advice on answers made elsewhere, on files and pictures as they are read, and on downloads."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import struct
import zlib
from collections import namedtuple
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import requests
from advice_folders import VAL, effrob, good
from filelock import FileLock
from form_writers import SETS, pack, picture, put
from PIL import Image
from situation import Situation, Step

import shifts
from shifts.answer_key import by_ids, by_labels, of_loaded, official_ids
from shifts.bounds.files import read_array, read_arrays, read_bytes
from shifts.bounds.pictures import MAX_SCANS, open_picture, rgb
from shifts.imagenet import val_labels
from shifts.protocol import protocol
from shifts.storage import fetch
from shifts.storage.archives import archive_of
from shifts.storage.fetch import RemoteFile, download

RIGHT = tuple(sample.path for sample in SETS["imagenet-r"])
PROTOCOL = protocol("effrob")
CONTENT = bytes(range(256)) * 8
Disk = namedtuple("Disk", "total used free")


def nothing(root: Path) -> None:
    """All that is needed is in the call."""


def ids(root: Path, name: str = "imagenet-r", ids: Sequence[str] = RIGHT) -> int:
    return len(by_ids(name, ids, "answers.csv", PROTOCOL, partial=True)[0])


def labels(root: Path, labels: Sequence[int] = (0, 1), keys: Sequence[str] = ("a.jpg", "b.jpg")) -> int:
    return len(by_labels("imagenet-r", labels, keys, "answers.csv", PROTOCOL, partial=True)[0])


def loaded(root: Path, ids: Sequence[str] = RIGHT, partial: bool = False) -> int:
    return len(of_loaded(shifts.load("imagenet-r", root, partial=True), ids, "answers.csv", partial)[0])


def ordered(root: Path, how: tuple[str, ...] = ()) -> None:
    """`effrob import` of answers in the order of a set whose counts are not published."""
    np.save(root / "answers.npy", np.zeros(len(RIGHT), dtype=np.int64))
    (root / "ids.txt").write_text("\n".join(RIGHT))
    if not how:
        official_ids("imagenet-r")
        return
    given = [root / each if each in ("ids.txt", "") else each for each in how]
    effrob(
        *("import", root / "answers.npy", "--model", "mine", "--shift", "imagenet-r", "--partial", "--chance"),
        *("--results", root / "results", *given),
    )


def png(width: int, height: int) -> bytes:
    """A PNG whose header alone says how large it is."""
    small = picture(3, "PNG")
    header = struct.pack(">II", width, height) + small[24:29]
    return small[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + small[33:]


def holding(*contents: bytes) -> Step:
    """A folder of pictures."""

    def make(root: Path) -> None:
        for n, content in enumerate(contents):
            put(root / f"{n}.png", content)

    return make


def decoded(root: Path) -> int:
    """Every picture of the folder, decoded."""
    files = sorted(root.glob("*.png"))
    for file in files:
        with open_picture(file.read_bytes()) as opened:
            rgb(opened)
    return len(files)


def saved_again(root: Path) -> None:
    with Image.open(root / "0.png") as opened:
        out = io.BytesIO()
        opened.save(out, "JPEG")
    put(root / "0.png", out.getvalue())


def removed(root: Path) -> None:
    (root / "0.png").unlink()


def a_socket(root: Path) -> None:
    put(root / "held.txt", b"x")
    folder = os.open(root, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{folder}/socket")  # a socket's path may be no longer than a hundred bytes
    finally:
        os.close(folder)


def arrays(root: Path) -> None:
    """Two arrays in one file, under the suffix of one."""
    np.savez(root / "two.npz", a=np.zeros(2), b=np.zeros(2))
    (root / "two.npz").rename(root / "two.npy")


def objects(root: Path, kind: type = object) -> None:
    np.save(root / "held.npy", np.array(["a", "b"], dtype=kind), allow_pickle=True)


class Reply:
    """What a server answers: `content` from `start` on, cut after `cut` bytes."""

    def __init__(
        self, start: int = 0, cut: int | None = None, status: int = 200, content: bytes = CONTENT, packed: str = ""
    ) -> None:
        self.status_code, self.reason = (206 if start and status == 200 else status), "said"
        self.held = content[start:][:cut]
        self.headers = {"Content-Length": str(len(content) - start), "ETag": '"one"'}
        if packed:
            self.headers["Content-Encoding"] = packed
        if start:
            self.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def iter_content(self, size: int) -> Iterator[bytes]:
        yield from (self.held[at : at + size] for at in range(0, len(self.held), size))


def served(**how: Any) -> Any:
    """A server in place of the network."""

    def get(url: str, headers: dict[str, str], **_: object) -> Reply:
        return Reply(int(headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")), **how)

    return mock.patch.object(requests, "get", get)


def over_http(root: Path, **how: Any) -> int:
    with served(**how):
        wanted = RemoteFile("http://server/file.tar", size=len(CONTENT))
        return download(wanted, root / "file.tar", pause=0.0).stat().st_size


def without_a_length(root: Path, by_hand: bool = False) -> int:
    """A server that names no length and sends more than is taken."""
    mirror(root)
    reply = Reply()
    del reply.headers["Content-Length"]
    url = str(root / "mirror/file.tar") if by_hand else "http://server/file.tar"
    with mock.patch.object(fetch, "UNSAID", 100), mock.patch.object(requests, "get", lambda *_, **__: reply):
        return download(RemoteFile(url), root / "file.tar", pause=0.0).stat().st_size


def mirrored(root: Path, mirror: str = "nowhere") -> int:
    """A file from a folder of this machine."""
    wanted = RemoteFile(str(root / mirror / "file.tar"), size=len(CONTENT))
    return download(wanted, root / "file.tar").stat().st_size


def mirror(root: Path) -> None:
    put(root / "mirror/file.tar", CONTENT)


def while_another_fetches(root: Path, others: bool = True) -> int:
    mirror(root)
    lock = FileLock(root / ".file.tar.lock")
    if not others:
        return mirrored(root, "mirror")
    with lock:
        return mirrored(root, "mirror")


def on_a_disk(root: Path, folder: str = "data", freed: bool = False) -> int:
    """A download to a folder on a full disk."""
    mirror(root)
    full = shutil.disk_usage

    def usage(path: Path) -> Any:
        return Disk(1 << 30, 1 << 30, 0) if "data" in Path(path).parts and not freed else full(path)

    with mock.patch.object(fetch.shutil, "disk_usage", usage):
        wanted = RemoteFile(str(root / "mirror/file.tar"))
        return download(wanted, root / folder / "file.tar").stat().st_size


def by_checksum(root: Path, wanted: bytes = CONTENT) -> int:

    mirror(root)
    known = RemoteFile(str(root / "mirror/file.tar"), sha256=hashlib.sha256(wanted).hexdigest())
    return download(known, root / "file.tar").stat().st_size


def validation_archive(root: Path, mirror: str | None = None, data: bool = False) -> object:
    """The archive that its publisher gives to registered people."""
    if data:
        return len(shifts.load("imagenet", root, partial=True))
    return archive_of("imagenet").wanted(mirror).url


def downloaded(root: Path) -> None:
    pack(root / "ILSVRC2012_img_val.tar", {VAL[0]: picture(int(val_labels()[0]))})


FILES, PICTURES, KEY, FETCH = "bounds/files.py", "bounds/pictures.py", "answer_key.py", "storage/fetch.py"

SITUATIONS = [
    Situation(
        f"{KEY}: keep one answer an image",
        nothing,
        (lambda d: {"ids": RIGHT},),
        lambda d, ids=(*RIGHT, RIGHT[0]): globals()["ids"](d, ids=ids),
        12,
    ),
    Situation(
        f"{KEY}: keep one answer an image",
        nothing,
        (lambda d: {"keys": ("a.jpg", "b.jpg")},),
        lambda d, keys=("a.jpg", "a.jpg"): labels(d, (0, 0), keys),
        2,
    ),
    Situation(
        f"{KEY}: keep one answer an image",
        good,
        (lambda d: {"ids": RIGHT},),
        lambda d, ids=(*RIGHT, RIGHT[0]): loaded(d, ids),
        12,
    ),
    Situation(
        f"{KEY}: count from 0",
        nothing,
        (lambda d: {"labels": (0, 199)},),
        lambda d, labels=(-1, 199): globals()["labels"](d, labels),
        2,
    ),
    Situation(
        f"{KEY}: give --ids FILE",
        good,
        (lambda d: {"how": ("--ids", "ids.txt")}, lambda d: {"how": ("--ids", "ids.txt", "--data", "")}),
        ordered,
    ),
    Situation(
        f"{KEY}: by its own ids",
        good,
        (lambda d: {"ids": RIGHT},),
        lambda d, ids=(*RIGHT[1:], "n99999999/x.jpg"): loaded(d, ids),
        12,
    ),
    Situation(
        f"{KEY}: complete it, or give --partial",
        good,
        (lambda d: {"ids": RIGHT}, lambda d: {"partial": True}),
        lambda d, ids=RIGHT[1:], partial=False: loaded(d, ids, partial),
    ),
    Situation(
        f"{KEY}: correct that id",
        nothing,
        (lambda d: {"ids": RIGHT},),
        lambda d, ids=(*RIGHT[1:], " "): globals()["ids"](d, ids=ids),
        12,
    ),
    Situation(
        f"{KEY}: use --shift imagenet",
        nothing,
        (lambda d: {"name": "imagenet"},),
        lambda d, name="imagenet-r": ids(d, name, VAL),
        4,
    ),
    Situation(
        f"{FILES}: it is a socket where a file was wanted",
        a_socket,
        (lambda d: {"name": "held.txt"},),
        lambda d, name="socket": read_bytes(d / name),
        b"x",
    ),
    Situation(
        f"{FILES}: it is {{}} where a file was wanted",
        lambda d: put(d / "folder/held.txt", b"x"),
        (lambda d: {"name": "folder/held.txt"},),
        lambda d, name="folder": read_bytes(d / name),
        b"x",
    ),
    Situation(
        f"{FILES}: name it .npz",
        arrays,
        (lambda d: (d / "two.npy").rename(d / "two.npz") and {"npz": True},),
        lambda d, npz=False: len(read_arrays(d / "two.npz") if npz else read_array(d / "two.npy")),
        2,
    ),
    Situation(
        f"{FILES}: give plain numbers or text",
        objects,
        (lambda d: objects(d, str), lambda d: np.save(d / "held.npy", np.zeros(2))),
        lambda d: len(read_array(d / "held.npy")),
        2,
    ),
    Situation(
        f"{PICTURES}: shrink it, or remove it",
        holding(png(10_001, 10_001), picture(3, "PNG")),
        (holding(picture(3, "PNG")), removed),
        decoded,
    ),
    Situation(
        f"{PICTURES}: crop it, or remove it",
        holding(png(900, 4), picture(3, "PNG")),
        (holding(picture(3, "PNG")), removed),
        decoded,
    ),
    Situation(f"{PICTURES}: save it again", holding(picture(3) + b"\xff\xda" * MAX_SCANS), (saved_again,), decoded, 1),
    Situation(
        f"{PICTURES}: of no known format", holding(b"<html>no picture</html>"), (holding(picture(3)),), decoded, 1
    ),
    Situation(
        f"{PICTURES}: pixels, which are refused; shrink it",
        holding(png(30_000, 30_000)),
        (holding(picture(3, "PNG")),),
        decoded,
        1,
    ),
    Situation(
        f"{PICTURES}: cannot be decoded ({{}}): fetch", holding(picture(3)[:400]), (holding(picture(3)),), decoded, 1
    ),
    Situation(f"{FETCH}: wait for it", nothing, (lambda d: {"others": False},), while_another_fetches, len(CONTENT)),
    Situation(
        f"{FETCH}: move it away",
        lambda d: (mirror(d), put(d / "file.tar", b"other"))[:0],
        (lambda d: (d / "file.tar").rename(d / "away") and None,),
        lambda d: mirrored(d, "mirror"),
        len(CONTENT),
    ),
    Situation(
        f"{FETCH}: bytes and",
        lambda d: (mirror(d), put(d / "file.tar", b"other"))[:0],
        (lambda d: (d / "file.tar").unlink(),),
        lambda d: mirrored(d, "mirror"),
        len(CONTENT),
    ),
    Situation(
        f"{FETCH}: its {{}} is",
        lambda d: put(d / "file.tar", b"other"),
        (lambda d: (d / "file.tar").unlink(),),
        by_checksum,
        len(CONTENT),
    ),
    Situation(f"{FETCH}: there is no file", mirror, (lambda d: {"mirror": "mirror"},), mirrored, len(CONTENT)),
    Situation(
        f"{FETCH}: run this again to go on",
        nothing,
        (lambda d: {"cut": None},),
        lambda d, cut=1: over_http(d, cut=0 if cut else None),
        len(CONTENT),
    ),
    Situation(
        f"{FETCH}: answers {{}} {{}}; try",
        nothing,
        (lambda d: {"status": 200},),
        lambda d, status=404: over_http(d, status=status),
        len(CONTENT),
    ),
    Situation(
        f"{FETCH}: which was not asked for",
        nothing,
        (lambda d: {"packed": ""},),
        lambda d, packed="gzip": over_http(d, packed=packed),
        len(CONTENT),
    ),
    Situation(
        f"{FETCH}: fetch it another way", nothing, (lambda d: {"by_hand": True},), without_a_length, len(CONTENT)
    ),
    Situation(
        f"{FETCH}: or name another --data folder",
        nothing,
        (lambda d: {"freed": True}, lambda d: {"folder": "other"}),
        on_a_disk,
        len(CONTENT),
    ),
    Situation(
        "storage/archives.py: or name a --mirror",
        downloaded,
        (lambda d: {"mirror": str(d)}, lambda d: {"data": True}),
        validation_archive,
    ),
]

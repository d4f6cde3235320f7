"""Inputs nobody should have: archives, pictures, weights and folders that are broken, wrong or hostile, built on the spot."""

from __future__ import annotations

import io
import pickle
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from shifts import classes

R = classes.imagenet().subsets["r"]
POCKET = classes.pocket().ids


def picture(size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "JPEG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of 40,000 x 40,000 pixels in a few bytes."""
    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    packed = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + packed


def plant(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def member(name: str, content: bytes = b"", **about: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for what, value in about.items():
        setattr(info, what, value)
    return info, content


def tar(path: Path, *more: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    """An archive of ImageNet-R with one good picture and whatever else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for info, content in (member(f"imagenet-r/{R[0]}/good.jpg", picture()), *more):
            archive.addfile(info, io.BytesIO(content))
    return path


def sketch_zip(
    path: Path, name: str = "sketch/n01440764/sketch_0.JPEG", content: bytes | None = None, mode: int = 0
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, picture() if content is None else content, zipfile.ZIP_DEFLATED)
    return path


def giant(path: Path) -> Path:
    """A tar whose first header claims a file of 8 GB."""
    data = bytearray(tar(path).read_bytes())
    data[124:136] = b"77777777777\0"
    data[148:156] = f"{sum(data[:148]) + 8 * 32 + sum(data[156:512]):06o}\0 ".encode()
    path.write_bytes(bytes(data))
    return path


def damaged_inside(path: Path) -> Path:
    """The training archive with one class archive that claims more than it holds."""
    inside = giant(path.with_name("inside.tar"))
    packed = bytearray(inside.read_bytes())
    packed[124:136] = b"00000777777\0"
    packed[148:156] = f"{sum(packed[:148]) + 8 * 32 + sum(packed[156:512]):06o}\0 ".encode()
    inside.unlink()
    with tarfile.open(path, "w") as archive:
        for info, content in (member("n01440764.tar", bytes(packed)), member("n01443537.tar", b"\0" * 600_000)):
            archive.addfile(info, io.BytesIO(content))
    return path


def encrypted(path: Path) -> Path:
    """The same archive with the encryption flag set in both headers."""
    data = bytearray(sketch_zip(path).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(bytes(data))
    return path


def inflating(path: Path) -> Path:
    """A zip whose directory promises 900 MB from a few bytes."""
    data = bytearray(sketch_zip(path).read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 900_000_000)
    path.write_bytes(bytes(data))
    return path


SYMLINK = stat.S_IFLNK | 0o777


class Code:
    """What runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def hostile_pickle(path: Path) -> Path:
    path.write_bytes(pickle.dumps({"state_dict": Code(path.with_name("it-ran"))}))
    return path

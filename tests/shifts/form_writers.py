"""The same few images of each set in every form that is read: folders, archives, shards, tables and record files.

A picture is a flat colour that encodes the index of its ImageNet class.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from shifts.classes import class_folders, imagenet
from shifts.imagenet import val_labels

TABLE = imagenet()


class Sample(NamedTuple):
    """A stored image: its path in the set's folder, the number that tables label it with, and its bytes."""

    path: str
    label: int
    content: bytes


def picture(index: int, kind: str = "JPEG", shade: int = 0) -> bytes:
    """A flat colour that encodes a class index; `shade` tells two pictures of a class apart."""
    out = io.BytesIO()
    digits = (index // 100, index // 10 % 10, index % 10)
    how = {"quality": 95} if kind == "JPEG" else {}
    Image.new("RGB", (48 + shade, 48), tuple(d * 25 + 12 for d in digits)).save(out, kind, **how)
    return out.getvalue()


def index_in(image: Image.Image) -> int:
    """The class index that a picture's middle shows."""
    pixel = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    first, second, third = (round((value - 12) / 25) for value in pixel)  # type: ignore[union-attr]
    return first * 100 + second * 10 + third


def _made(name: str) -> list[Sample]:
    of = class_folders(name)
    if name == "imagenet":
        numbers = (1, 2, 3, 4, 6, 7)
        return [
            Sample(f"{TABLE.ids[k]}/ILSVRC2012_val_{n:08d}.JPEG", k, picture(k))
            for n, k in ((n, int(val_labels()[n - 1])) for n in numbers)
        ]
    file, kind = {
        "imagenet-v2": ("{:02x}f3.jpeg", "JPEG"), "imagenet-r": ("art_{}.jpg", "JPEG"),
        "imagenet-a": ("0.1_fox_0.{}.jpg", "JPEG"),
        "imagenet-sketch": ("sketch_{}.JPEG", "JPEG"), "objectnet": ("{:04d}ab.png", "PNG"),
    }[name]  # fmt: skip
    samples = []
    for label in (0, 3, 10, 40, 99, 112):
        folder = of.folders[label]
        index = TABLE.index[min(of.class_ids[folder])]
        for n in range(2):
            samples.append(Sample(f"{of.prefix}{folder}/{file.format(n + label)}", label, picture(index, kind, n)))
    return samples


SETS: Mapping[str, list[Sample]] = {
    name: _made(name)
    for name in ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")
}
FOLDERS = {
    "imagenet": "imagenet/val", "imagenet-v2": "imagenetv2-matched-frequency-format-val", "imagenet-r": "imagenet-r",
    "imagenet-sketch": "sketch", "objectnet": "objectnet-1.0", "imagenet-a": "imagenet-a",
}  # fmt: skip
ARCHIVES = {
    "imagenet": "ILSVRC2012_img_val", "imagenet-v2": "imagenetv2-matched-frequency", "imagenet-r": "imagenet-r",
    "imagenet-sketch": "ImageNet-Sketch", "objectnet": "objectnet-1.0", "imagenet-a": "imagenet-a",
}  # fmt: skip
HUB = {
    "imagenet": "wds_imagenet1k", "imagenet-v2": "wds_imagenetv2", "imagenet-r": "wds_imagenet-r",
    "imagenet-sketch": "wds_imagenet_sketch", "objectnet": "wds_objectnet", "imagenet-a": "wds_imagenet-a",
}  # fmt: skip


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def pack(path: Path, files: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def folder(root: Path, name: str, samples: list[Sample]) -> None:
    for sample in samples:
        put(root / FOLDERS[name] / sample.path, sample.content)


def tar(root: Path, name: str, samples: list[Sample]) -> None:
    pack(root / f"{ARCHIVES[name]}.tar", {f"packed/{sample.path}": sample.content for sample in samples})


def zipped(root: Path, name: str, samples: list[Sample]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / f"{ARCHIVES[name]}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for sample in samples:
            archive.writestr(f"{FOLDERS[name].rpartition('/')[2]}/{sample.path}", sample.content)


def _members(samples: list[Sample]) -> dict[str, bytes]:
    files = {}
    for sample in samples:
        key, _, extension = sample.path.removeprefix("images/").rpartition(".")
        files |= {f"{key}.{extension}": sample.content, f"{key}.cls": str(sample.label).encode()}
    return files


def shards(root: Path, name: str, samples: list[Sample]) -> None:
    for n in range(2):
        pack(root / f"{name}.wds/{n:03d}.tar", _members(samples[n::2]))


def hub_shards(root: Path, name: str, samples: list[Sample]) -> None:
    for n in range(2):
        pack(root / HUB[name] / f"test/{n}.tar", _members(samples[n::2]))
    put(root / HUB[name] / "test/nshards.txt", b"2\n")
    put(root / HUB[name] / "zeroshot_classification_templates.txt", b"a photo of a {c}.\n")


def json_shards(root: Path, name: str, samples: list[Sample]) -> None:
    """Numbered keys, and the file's name beside the label: as `timm` keeps ImageNet on the hub."""
    for n in range(2):
        files: dict[str, bytes] = {}
        for number, sample in enumerate(samples[n::2]):
            about = {"label": sample.label, "filename": sample.path.removeprefix("images/")}
            files |= {f"s{number:07d}.jpg": sample.content, f"s{number:07d}.json": json.dumps(about).encode()}
        pack(root / HUB[name] / f"test/{n}.tar", files)


def _columns(samples: list[Sample]) -> dict[str, object]:
    import pyarrow as pa

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": sample.content, "path": sample.path.rpartition("/")[2]} for sample in samples]
    return {"image": pa.array(images, kind), "label": pa.array([sample.label for sample in samples], pa.int64())}


def parquet(root: Path, name: str, samples: list[Sample]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    split = "validation" if name == "imagenet" else "test"
    for n in range(2):
        file = root / {"imagenet": "imagenet-1k"}.get(name, name) / f"data/{split}-{n:05d}-of-00002.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(_columns(samples[n::2])), file, row_group_size=4)


def arrow(root: Path, name: str, samples: list[Sample]) -> None:
    import pyarrow as pa

    split = "validation" if name == "imagenet" else "test"
    file = root / {"imagenet": "imagenet-1k"}.get(name, name) / split / "data-00000-of-00001.arrow"
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(_columns(samples))
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    put(file.parent / "state.json", json.dumps({"_data_files": [{"filename": file.name}]}).encode())


def varint(value: int) -> bytes:
    out = b""
    value &= (1 << 64) - 1
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(sample: Sample) -> bytes:
    """One framed tf.train.Example; the checksums, which are not read, are zero."""
    features = {
        "file_name": message(1, message(1, sample.path.rpartition("/")[2].encode())),
        "image": message(1, message(1, sample.content)),
        "label": message(3, message(1, varint(sample.label))),
    }
    entries = b"".join(message(1, message(1, key.encode()) + message(2, value)) for key, value in features.items())
    body = message(1, entries)
    return struct.pack("<QI", len(body), 0) + body + bytes(4)


def tfrecord(root: Path, name: str, samples: list[Sample]) -> None:
    split = "validation" if name == "imagenet" else "test"
    for n in range(2):
        file = root / {"imagenet": "imagenet-1k"}.get(name, name) / f"{name}-{split}.tfrecord-{n:05d}-of-00002"
        put(file, b"".join(map(example, samples[n::2])))


Writer = Callable[[Path, str, list[Sample]], None]
FORMS: Mapping[str, Writer] = {
    "folder": folder, "tar": tar, "zip": zipped, "shards": shards, "parquet": parquet, "hub shards": hub_shards,
    "hub json shards": json_shards, "arrow": arrow, "tfrecord": tfrecord,
}  # fmt: skip

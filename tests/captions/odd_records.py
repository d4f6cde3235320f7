"""A thousand training images and a captions file with every oddity, each planted a known number of times."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from shifts import classes

WNIDS = classes.imagenet().ids[:20]
NAMES = classes.imagenet().names[:20]
FOREIGN = "n99999999"


@dataclass(frozen=True)
class World:
    """`data` holds imagenet/train in folders, `archived` the same images as the official archive of archives."""

    data: Path
    archived: Path
    captions: Path
    planted: dict[str, int]
    kept: int


def record(wnid: str, number: int, **changed: Any) -> dict[str, Any]:
    name = NAMES[WNIDS.index(wnid)]
    plain = {"title": f"my {name}, no. {number}", "tags": ["nikon", name], "description": f"A {name} seen in {number}."}
    return {"filename": f"{wnid}_{number}.JPEG", **plain, "wnid": wnid, **changed}


def picture(number: int) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (9, 8), (number % 256, number // 256 * 40, 90)).save(held, "JPEG", comment=str(number))
    return held.getvalue()


# What is changed in a record, and every oddity that the change is.
ODD: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
    ({"licence": "by"}, ("unknown-key",)),
    ({"title": None}, ("null-text", "empty-title")),
    ({"description": None, "tags": None}, ("null-text", "empty-description", "empty-tags")),
    ({"title": ""}, ("empty-title",)),
    ({"title": " \n "}, ("empty-title", "outer-space", "newline")),
    ({"description": ""}, ("empty-description",)),
    ({"tags": []}, ("empty-tags",)),
    ({"title": "", "description": "", "tags": []}, ("empty-title", "empty-description", "empty-tags", "no-text")),
    ({"tags": ["a", " "]}, ("empty-tag", "outer-space")),
    ({"tags": ["a", "b", "a"]}, ("repeated-tag",)),
    ({"title": "ends in space "}, ("outer-space",)),
    ({"description": "two  spaces"}, ("double-space",)),
    ({"description": "one\r\ntwo"}, ("newline",)),
    ({"description": "one\u2028two"}, ("newline",)),
    ({"title": "a\tb"}, ("tab",)),
    ({"title": "bell\x07 \x85 \x00 end"}, ("control-character",)),
    ({"title": "zero\u200bwidth \u202edirection"}, ("invisible-character",)),
    ({"title": "half \ud83d pair"}, ("lone-surrogate",)),
    ({"title": "caf\ufffd"}, ("replacement-character",)),
    ({"description": 'look <a href="x">here</a>'}, ("html-tag",)),
    ({"description": "salt &amp; pepper &#39;s"}, ("html-entity",)),
    ({"description": "see http://example.org/x"}, ("url",)),
    ({"tags": ["WWW.example.org"]}, ("url",)),
    ({"description": "write to some.one@example.org"}, ("e-mail",)),
    ({"title": "quotes \"a\" and 'b', 3 < 4 & 5 @ home"}, ()),
    ({"title": '"'}, ()),
    ({"title": "None"}, ()),
    ({"title": "nan"}, ()),
    ({"title": "007"}, ()),
)
LEFT_OUT: tuple[tuple[dict[str, Any], str], ...] = (
    ({"filename": "../n01440764_1.JPEG"}, "unsafe-filename"),
    ({"filename": "n01440764_1\x00.JPEG"}, "unsafe-filename"),
    ({"wnid": FOREIGN, "filename": f"{FOREIGN}_1.JPEG"}, "wnid-outside"),
    ({"filename": "n01440764_99999.JPEG"}, "image-missing"),
)


def build_world(root: Path) -> World:
    data, archived = root / "folders", root / "archive"
    numbers = {wnid: range(50) for wnid in WNIDS}
    train = data / "imagenet/train"
    archived.mkdir(parents=True)
    with tarfile.open(archived / "ILSVRC2012_img_train.tar", "w") as outer:
        for k, (wnid, own) in enumerate(numbers.items()):
            (train / wnid).mkdir(parents=True)
            inner_bytes = io.BytesIO()
            with tarfile.open(fileobj=inner_bytes, mode="w") as inner:
                for number in own:
                    content, name = picture(k * 50 + number), f"{wnid}_{number}.JPEG"
                    (train / wnid / name).write_bytes(content)
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    inner.addfile(member, io.BytesIO(content))
            member = tarfile.TarInfo(f"{wnid}.tar")
            member.size = len(inner_bytes.getvalue())
            inner_bytes.seek(0)
            outer.addfile(member, inner_bytes)
    planted: Counter[str] = Counter()
    records = []
    for k, wnid in enumerate(WNIDS):
        for number in range(48):  # two images a class have no record
            changed, names = ODD[number] if number < len(ODD) and k < 10 else ({}, ())
            records.append(record(wnid, number, **changed))
            planted.update(names)
    kept = len(records)
    for changed, name in LEFT_OUT:
        records.append({**record(WNIDS[0], 40), **changed})
        planted[name] += 1
    records.append(record(WNIDS[3], 45))
    records.append(record(WNIDS[3], 46, title="another"))
    records.append(record(WNIDS[5], 49, filename=f"{WNIDS[4]}_49.JPEG"))  # its image lies in the folder its name says
    planted.update(["duplicate", "duplicate-conflict", "wnid-mismatch", "image-missing"])
    random.Random(1).shuffle(records)
    records.sort(key=lambda r: r["title"] == "another")  # so that the conflicting one comes last
    captions = root / "imagenet_captions.json"
    captions.write_text(json.dumps(records))
    return World(data, archived, captions, dict(planted), kept)

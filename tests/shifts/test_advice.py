"""Each sentence that gives advice: the situation, the sentence, and that following it mends the situation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from form_writers import FORMS, SETS, TABLE, pack, picture, put

import shifts
from shifts.classes import class_folders
from shifts.imagenet import val_labels
from shifts.layout import keep_place
from shifts.storage.kept_places import config_file

R = class_folders("imagenet-r").folders
V2 = "imagenetv2-matched-frequency-format-val"
Act = Callable[[Path], Any]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / ".cache"))
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / ".config"))
    monkeypatch.delenv("EFFROB_DATA", raising=False)


class Situation(NamedTuple):
    """make: builds it; said: words of the sentence; mend: what it advises, giving arguments of `load` or None."""

    name: str
    set: str
    make: Act
    said: str
    mend: Act
    images: int = 12
    partial: bool = True


def good(root: Path, name: str = "imagenet-r") -> None:
    FORMS["folder"](root, name, SETS[name])


def image(k: int) -> bytes:
    return picture(TABLE.index[R[k]])


def with_good(more: Act, name: str = "imagenet-r") -> Act:
    def make(root: Path) -> None:
        good(root, name)
        more(root)

    return make


def run(*command: str, within: Path) -> None:
    subprocess.run(command, cwd=within, check=True, capture_output=True)


def tar_with_hard_link(root: Path) -> None:
    good(root)
    first = root / "imagenet-r" / SETS["imagenet-r"][0].path
    os.link(first, first.with_name("art_copy.jpg"))
    run("tar", "-cf", "imagenet-r.tar", "imagenet-r", within=root)
    shutil.rmtree(root / "imagenet-r")


def repacked(root: Path) -> None:
    run("tar", "-xf", "imagenet-r.tar", within=root)
    run("tar", "--dereference", "--hard-dereference", "-cf", "imagenet-r.tar", "imagenet-r", within=root)
    shutil.rmtree(root / "imagenet-r")


def compressed(root: Path) -> None:
    good(root)
    with tarfile.open(root / "imagenet-r.tar.gz", "w:gz") as archive:
        archive.add(root / "imagenet-r", "imagenet-r")
    shutil.rmtree(root / "imagenet-r")


def strange_zip(root: Path) -> None:
    good(root)
    with zipfile.ZipFile(root / "imagenet-r.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for path in (root / "imagenet-r").rglob("*.jpg"):
            archive.write(path, path.relative_to(root))
    shutil.rmtree(root / "imagenet-r")


def linked_out(root: Path) -> None:
    good(root / "disk")
    for sample in SETS["imagenet-r"]:
        link = root / "imagenet-r" / sample.path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(root / "disk/imagenet-r" / sample.path)


def whole_linked(root: Path) -> None:
    shutil.rmtree(root / "imagenet-r")
    (root / "imagenet-r").symlink_to(root / "disk/imagenet-r")


def table(root: Path, **columns: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    held: dict[str, Any] = {
        "image": [{"bytes": image(k), "path": f"{k}.jpg"} for k in range(3)],
        "label": [0, 1, 2],
        **columns,
    }
    names = held.pop("names", None)
    about = {"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})}
    made = {
        key: pa.array(value, kind) if key == "image" else pa.array(value)
        for key, value in held.items()
        if value is not None
    }
    (root / "imagenet-r").mkdir(exist_ok=True)
    pq.write_table(pa.table(made).replace_schema_metadata(about), root / "imagenet-r/test.parquet")


def shard(root: Path, files: dict[str, bytes], number: int = 0) -> None:
    pack(root / f"imagenet-r.wds/{number}.tar", files)


ONE = {"a.jpg": image(3), "a.cls": b"3"}
VAL = [f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 5)]
VAL_IDS = [TABLE.ids[int(val_labels()[n])] for n in range(4)]


def val(root: Path, folders: list[str]) -> None:
    shutil.rmtree(root / "imagenet", ignore_errors=True)
    for name, folder in zip(VAL, folders, strict=True):
        put(root / "imagenet/val" / folder / name, picture(3))


SITUATIONS = [
    Situation(
        "an image beside the class folders",
        "imagenet-r",
        with_good(lambda d: put(d / "imagenet-r/cover.jpg", image(0))),
        "holds cover.jpg; move it away",
        lambda d: (d / "imagenet-r/cover.jpg").rename(d / "cover.jpg"),
    ),
    Situation(
        "a foreign folder",
        "imagenet-r",
        with_good(lambda d: put(d / "imagenet-r/n01440764/x.jpg", image(0))),
        "move what does not belong to it away",
        lambda d: (d / "imagenet-r/n01440764").rename(d / "away"),
    ),
    Situation(
        "no class folders",
        "imagenet-r",
        lambda d: [put(d / f"imagenet-r/{n}.jpg", image(n)) for n in range(3)],
        "unpack the archive of imagenet-r with its folders",
        lambda d: (shutil.rmtree(d / "imagenet-r"), good(d))[:0],
    ),
    Situation(
        "another set in the place",
        "imagenet-r",
        lambda d: [put(d / f"imagenet-r/{id}/0.jpg", image(0)) for id in TABLE.subsets["a"]],
        "put imagenet-r there",
        lambda d: (shutil.rmtree(d / "imagenet-r"), good(d))[:0],
    ),
    Situation(
        "an image is missing",
        "imagenet-r",
        good,
        "give --partial",
        lambda d: {"partial": True},
        partial=False,
    ),
    Situation(
        "an empty folder",
        "imagenet-r",
        lambda d: (d / "imagenet-r").mkdir(),
        "`effrob data get imagenet-r` gets it",
        lambda d: FORMS["tar"](d, "imagenet-r", SETS["imagenet-r"]),
    ),
    Situation(
        "no set",
        "imagenet-r",
        lambda d: good(d / "elsewhere"),
        "--at imagenet-r=PATH names another place",
        lambda d: {"at": d / "elsewhere/imagenet-r"},
    ),
    Situation(
        "a name that contradicts",
        "imagenet-r",
        with_good(lambda d: put(d / f"imagenet-r/{R[0]}/x_{R[5]}.jpg", image(5))),
        "Sort the images by the class table",
        lambda d: (
            put(d / f"imagenet-r/{R[5]}/x_{R[5]}.jpg", (d / f"imagenet-r/{R[0]}/x_{R[5]}.jpg").read_bytes())
            or (d / f"imagenet-r/{R[0]}/x_{R[5]}.jpg").unlink()
        ),
        13,
    ),
    Situation(
        "validation images misfiled",
        "imagenet",
        lambda d: val(d, VAL_IDS[::-1]),
        "sort the validation images anew",
        lambda d: val(d, VAL_IDS),
        4,
    ),
    Situation(
        "a validation image twice",
        "imagenet",
        lambda d: [put(d / "imagenet/val" / name, picture(970)) for name in (VAL[0], VAL[0].replace("JPEG", "png"))],
        "remove one",
        lambda d: (d / "imagenet/val" / VAL[0]).unlink(),
        1,
    ),
    Situation(
        "validation images in the place of V2",
        "imagenet-v2",
        lambda d: [put(d / V2 / f"{n}/{VAL[n]}", picture(3)) for n in range(4)],
        "put imagenet-v2 there",
        lambda d: (shutil.rmtree(d / V2), good(d, "imagenet-v2"))[:0],
    ),
    Situation(
        "two folders of one class",
        "imagenet-v2",
        with_good(lambda d: put(d / V2 / "003/x.jpeg", picture(3)), "imagenet-v2"),
        "remove one",
        lambda d: shutil.rmtree(d / V2 / "003"),
    ),
    Situation(
        "ReaL without official names",
        "imagenet-real",
        lambda d: put(d / f"imagenet/val/{TABLE.ids[970]}/fish.JPEG", picture(970)),
        "keep the official names",
        lambda d: (d / f"imagenet/val/{TABLE.ids[970]}/fish.JPEG").rename(
            d / f"imagenet/val/{TABLE.ids[970]}/{VAL[1]}"
        ),
        1,
    ),
    Situation(
        "links out: the option", "imagenet-r", linked_out, "give --follow-links", lambda d: {"follow_links": True}
    ),
    Situation("links out: the whole folder", "imagenet-r", linked_out, "or link the whole folder", whole_linked),
    Situation(
        "links out: the files",
        "imagenet-r",
        linked_out,
        "put the file itself there",
        lambda d: (shutil.rmtree(d / "imagenet-r"), good(d))[:0],
    ),
    Situation(
        "a link without its file",
        "imagenet-r",
        with_good(lambda d: (d / f"imagenet-r/{R[0]}/y.jpg").symlink_to(d / "none.jpg")),
        "which is not there; put it back or remove the link",
        lambda d: (d / f"imagenet-r/{R[0]}/y.jpg").unlink(),
    ),
    Situation(
        "a link to a folder beside",
        "imagenet-r",
        with_good(lambda d: (d / f"imagenet-r/{R[9]}").symlink_to(d / f"imagenet-r/{R[0]}")),
        "would count images twice; remove it",
        lambda d: (d / f"imagenet-r/{R[9]}").unlink(),
    ),
    Situation(
        "a compressed tar",
        "imagenet-r",
        compressed,
        "with `tar -xf imagenet-r.tar.gz`",
        lambda d: run("tar", "-xf", "imagenet-r.tar.gz", within=d),
    ),
    Situation(
        "a hard link in a tar: repack",
        "imagenet-r",
        tar_with_hard_link,
        "`tar --dereference --hard-dereference -cf`",
        repacked,
        13,
    ),
    Situation(
        "a hard link in a tar: unpack",
        "imagenet-r",
        tar_with_hard_link,
        "Unpack it beside itself",
        lambda d: run("tar", "-xf", "imagenet-r.tar", within=d),
        13,
    ),
    Situation(
        "a zip in another way",
        "imagenet-r",
        strange_zip,
        "unpack it beside itself with `unzip imagenet-r.zip`",
        lambda d: zipfile.ZipFile(d / "imagenet-r.zip").extractall(d),
    ),
    Situation(
        "a damaged zip",
        "imagenet-r",
        lambda d: put(d / "imagenet-r.zip", b"PK none"),
        "fetch it anew",
        lambda d: FORMS["zip"](d, "imagenet-r", SETS["imagenet-r"]),
    ),
    Situation(
        "a damaged tar",
        "imagenet-r",
        lambda d: put(d / "imagenet-r.tar", b"none" * 300),
        "fetch it anew",
        lambda d: FORMS["tar"](d, "imagenet-r", SETS["imagenet-r"]),
    ),
    Situation(
        "a list of absent shards",
        "imagenet-r",
        lambda d: put(d / "imagenet-r.wds", b"0.tar\n"),
        "0.tar is not there",
        lambda d: pack(d / "0.tar", ONE),
        1,
    ),
    Situation(
        "a sample without a label",
        "imagenet-r",
        lambda d: shard(d, {**ONE, "b.jpg": image(4)}),
        "write the shard anew",
        lambda d: shard(d, {**ONE, "b.jpg": image(4), "b.cls": b"4"}),
        2,
    ),
    Situation(
        "two pictures in a sample",
        "imagenet-r",
        lambda d: shard(d, {**ONE, "a.png": image(3)}),
        "one is wanted",
        lambda d: shard(d, ONE),
        1,
    ),
    Situation(
        "a label out of range",
        "imagenet-r",
        lambda d: shard(d, {"a.jpg": image(3), "a.cls": b"9999"}),
        "a number under 200",
        lambda d: shard(d, ONE),
        1,
    ),
    Situation(
        "a shard twice",
        "imagenet-r",
        lambda d: [shard(d, ONE, n) for n in (0, 1)],
        "remove one of the two",
        lambda d: (d / "imagenet-r.wds/1.tar").unlink(),
        1,
    ),
    Situation(
        "a table without labels",
        "imagenet-r",
        lambda d: table(d, label=None),
        "a column `label` or `wnid` is wanted",
        lambda d: table(d, label=None, wnid=list(R[:3])),
        3,
    ),
    Situation(
        "a table without images",
        "imagenet-r",
        lambda d: table(d, image=None),
        "a column `image` of bytes is wanted",
        table,
        3,
    ),
    Situation(
        "a table with two labels",
        "imagenet-r",
        lambda d: table(d, wnid=list(R[1:4])),
        "make the copy again from its source",
        lambda d: table(d, wnid=list(R[:3])),
        3,
    ),
    Situation(
        "a table with vague names",
        "imagenet-r",
        lambda d: table(d, names=[R[1], "what", *R[2:]]),
        "name labels by class ids",
        lambda d: table(d, names=list(R)),
        3,
    ),
    Situation(
        "the training split alone",
        "imagenet",
        lambda d: put(d / f"imagenet-1k/train/{TABLE.ids[0]}/a.JPEG", picture(0)),
        "get that one too",
        lambda d: put(d / f"imagenet-1k/validation/{VAL_IDS[0]}/{VAL[0]}", picture(3)),
        1,
    ),
    Situation(
        "a damaged record file",
        "imagenet-r",
        lambda d: put(d / "imagenet-r/imagenet-r-test.tfrecord", b"none" * 9),
        "fetch it anew",
        lambda d: (shutil.rmtree(d / "imagenet-r"), FORMS["tfrecord"](d, "imagenet-r", SETS["imagenet-r"]))[:0],
    ),
    Situation(
        "a place that holds nothing",
        "imagenet-r",
        with_good(lambda d: ((d / "none").mkdir(), keep_place("imagenet-r", d / "none"))),
        "`effrob data where --forget imagenet-r`",
        lambda d: keep_place("imagenet-r", None) and None,
    ),
    Situation(
        "places that cannot be read",
        "imagenet-r",
        with_good(lambda d: put(config_file(), b"{")),
        "remove the file and name them again",
        lambda d: config_file().unlink(),
    ),
]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_following_the_advice_mends_the_situation(situation: Situation, tmp_path: Path) -> None:
    situation.make(tmp_path)
    with pytest.raises((shifts.DataError, shifts.DataMissing)) as caught:
        shifts.load(situation.set, root=tmp_path, partial=situation.partial)
    sentence = str(caught.value)
    assert situation.said in sentence and "\n" not in sentence, sentence
    how = situation.mend(tmp_path)
    arguments = {"partial": True, **(how if isinstance(how, dict) else {})}
    assert len(shifts.load(situation.set, root=tmp_path, **arguments)) == situation.images


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    good(tmp_path)
    with pytest.raises(shifts.DataMissing, match="is not there; name the folder or file of imagenet-r"):
        shifts.load("imagenet-r", at=tmp_path / "nowhere", partial=True)
    assert len(shifts.load("imagenet-r", at=tmp_path / "imagenet-r", partial=True)) == 12
    put(tmp_path / "notes.txt", b"x")
    with pytest.raises(shifts.DataError, match=r"give a folder, a \.tar, \.zip, \.parquet or \.arrow file"):
        shifts.load("imagenet-r", at=tmp_path / "notes.txt", partial=True)

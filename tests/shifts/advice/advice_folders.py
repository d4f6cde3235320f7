"""Advice on sets in folders: what lies in a set's place, its class folders, links, splits and named places."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from click.testing import CliRunner
from form_writers import FORMS, SETS, TABLE, arrow, picture, put
from situation import Situation, Step, loads, says

import shifts
from effrob.cli import main
from shifts.catalogue import check_names, find
from shifts.classes import class_folders
from shifts.imagenet import val_labels
from shifts.layout import keep_place
from shifts.storage.archives import archive_of
from shifts.storage.kept_places import config_file

R = class_folders("imagenet-r").folders
V2 = "imagenetv2-matched-frequency-format-val"
VAL = [f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 5)]
VAL_IDS = [TABLE.ids[int(val_labels()[n])] for n in range(4)]
OBJECT = "objectnet-1.0/images/alarm_clock/0.png"


def good(root: Path, name: str = "imagenet-r") -> None:
    FORMS["folder"](root, name, SETS[name])


def image(k: int) -> bytes:
    """A picture of class k of ImageNet-R."""
    return picture(TABLE.index[R[k]])


def with_good(more: Step, name: str = "imagenet-r") -> Step:
    def make(root: Path) -> None:
        good(root, name)
        more(root)

    return make


def anew(folder: str, name: str = "imagenet-r") -> Step:
    """Put the right set in place of what lies there."""

    def mend(root: Path) -> None:
        shutil.rmtree(root / folder)
        good(root, name)

    return mend


def at(name: str, place: str) -> Step:
    """`--at SET=PATH`"""
    return lambda root: {"places": {name: root / place}}


def effrob(*args: object) -> None:
    result = CliRunner().invoke(main, [*map(str, args)])
    assert result.exit_code == 0, result.output


def away(path: str) -> Step:
    return lambda root: (root / path).rename(root / "away") and None


def two_of_one_class(root: Path) -> None:
    for folder, k in ((R[1], 1), (f"{R[1]}_shark", 2)):
        put(root / "imagenet-r" / folder / f"{k}.jpg", image(1))


def into_one(root: Path) -> None:
    (root / f"imagenet-r/{R[1]}_shark/2.jpg").rename(root / f"imagenet-r/{R[1]}/2.jpg")


def linked_out(root: Path) -> None:
    good(root / "disk")
    for sample in SETS["imagenet-r"]:
        link = root / "imagenet-r" / sample.path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(root / "disk/imagenet-r" / sample.path)


def whole_linked(root: Path) -> None:
    shutil.rmtree(root / "imagenet-r")
    (root / "imagenet-r").symlink_to(root / "disk/imagenet-r")


def val(root: Path, folders: Sequence[str]) -> None:
    shutil.rmtree(root / "imagenet", ignore_errors=True)
    for name, folder in zip(VAL, folders, strict=True):
        put(root / "imagenet/val" / folder / name, picture(3))


def solution(root: Path, wnid: str) -> None:
    """Kaggle's list, of one image."""
    row = f"{VAL[0].partition('.')[0]},{wnid} 1 2 3 4\n"
    put(root / "imagenet/LOC_val_solution.csv", f"ImageId,PredictionString\n{row}".encode())


def misfiled(root: Path) -> Path:
    return root / f"imagenet-r/{R[0]}/x_{R[5]}.jpg"


def sorted_by_name(root: Path) -> None:
    (root / f"imagenet-r/{R[5]}").mkdir()
    misfiled(root).rename(root / f"imagenet-r/{R[5]}/x_{R[5]}.jpg")


def mapping(content: bytes) -> Step:
    def make(root: Path) -> None:
        put(root / OBJECT, picture(409, "PNG"))
        for name in ("folder_to_objectnet_label.json", "objectnet_to_imagenet_1k.json", "imagenet_to_label_2012_v2"):
            put(root / "objectnet-1.0/mappings" / name, content)
        put(root / "objectnet-1.0/mappings/pytorch_to_imagenet_2012_id.json", content)

    return make


def other_mapping(root: Path) -> None:
    mapping(b"{}")(root)


def unpacked_anew(root: Path) -> None:
    shutil.rmtree(root / "objectnet-1.0")
    put(root / OBJECT, picture(409, "PNG"))


def saved_splits(root: Path) -> None:
    arrow(root / "saved", "imagenet-r", SETS["imagenet-r"])
    (root / "saved/imagenet-r/test").rename(root / "saved/imagenet-r/renditions")
    (root / "saved/imagenet-r").rename(root / "imagenet-r")
    put(root / "imagenet-r/dataset_dict.json", b'{"splits": ["renditions"]}')


def listed(name: str) -> object:
    """What the list of sets says of one, or its images."""

    def act(root: Path, **how: object) -> int | None:
        found = next(each for each in find(root, at=how.get("places")) if each.name == name)  # type: ignore[arg-type]
        says(found.note)
        return found.images

    return act


def checked(name: str) -> object:
    def act(root: Path) -> None:
        says(*shifts.check_shift(shifts.load(name, root, partial=True)))

    return act


def in_a_folder_that_may_not_be_entered(root: Path, opened: bool = False) -> int:
    """Reading a set where the system refuses to list a folder, as it does to all but its owner."""
    closed, real = str(root / "imagenet-r"), os.scandir

    def scandir(path: object) -> object:
        if not opened and str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return real(path)  # type: ignore[call-overload]

    with mock.patch("os.scandir", scandir):
        return len(shifts.load("imagenet-r", root, partial=True))


def unencodable(root: Path) -> Path:
    return root / "imagenet-r" / R[0] / os.fsdecode(b"caf\xe9.jpg")


def gone(root: Path) -> Path:
    return root / "imagenet-r" / SETS["imagenet-r"][0].path


def listed_then_read(root: Path, lost: bool = True) -> object:
    """A set is listed, an image of it goes away, and it is read."""
    shift = shifts.load("imagenet-r", root, partial=True)
    if lost:
        gone(root).rename(root / "elsewhere")
    return shift[0].target


def put_back(root: Path) -> dict[str, bool]:
    (root / "elsewhere").rename(gone(root))
    return {"lost": False}


R_LOAD = loads("imagenet-r")

SITUATIONS = [
    Situation(
        "evidence/worded_folders.py: both of the class",
        two_of_one_class,
        (into_one, away(f"imagenet-r/{R[1]}_shark")),
        R_LOAD,
    ),
    Situation(
        "storage/class_folders.py: beside images of",
        lambda d: (good(d / "imagenet-r"), put(d / "imagenet-r/covers/cover.jpg", image(0)))[:0],
        (away("imagenet-r/covers"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/class_folders.py: CLASS/IMAGE, and",
        with_good(lambda d: put(d / "imagenet-r/cover.jpg", image(0))),
        (away("imagenet-r/cover.jpg"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/class_folders.py: move what does not belong",
        with_good(lambda d: put(d / "imagenet-r/n01440764/x.jpg", image(0))),
        (away("imagenet-r/n01440764"), anew("imagenet-r")),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/class_folders.py: in no class folders",
        lambda d: [put(d / f"imagenet-r/{n}.jpg", image(n)) for n in range(3)],
        (anew("imagenet-r"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/class_folders.py: and what lies there is",
        lambda d: [put(d / f"imagenet/val/{id}/0.jpg", image(0)) for id in TABLE.subsets["a"]],
        (lambda d: val(d, VAL_IDS),),
        loads("imagenet"),
        4,
    ),
    Situation(
        "storage/class_folders.py: complete it, or give --partial",
        good,
        (lambda d: {"partial": True}, lambda d: completed(d)),
        loads("imagenet-r", partial=False),
    ),
    Situation(
        "storage/class_folders.py: gets it",
        lambda d: (d / "pocket-r").mkdir(),
        (lambda d: effrob("data", "get", "pocket-r", "--data", d),),
        loads("pocket-r", partial=False),
        600,
    ),
    Situation(
        "layout.py: was not found under",
        lambda d: good(d / "elsewhere"),
        (at("imagenet-r", "elsewhere/imagenet-r"),),
        R_LOAD,
        12,
    ),
    Situation(
        "layout.py: was not found under",
        lambda d: d.mkdir(exist_ok=True),
        (lambda d: effrob("data", "get", "pocket-r", "--data", d),),
        loads("pocket-r"),
        600,
    ),
    Situation(
        "layout.py: no data folder was named",
        good,
        (lambda d: {"root": d}, lambda d: os.environ.update(EFFROB_DATA=str(d))),
        loads("imagenet-r", root=None),
        12,
    ),
    Situation(
        "layout.py: does not exist",
        good,
        (lambda d: {"root": d}, lambda d: {"root": os.environ.update(EFFROB_DATA=str(d))}),
        lambda d, **how: loads("imagenet-r")(d, **{"root": d / "nowhere", **how}),
        12,
    ),
    Situation(
        "layout.py: --data DIR` gets",
        lambda d: d.mkdir(exist_ok=True),
        (lambda d: effrob("data", "get", "pocket-r", "--data", d) or {"root": d},),
        loads("pocket-r", root=None),
        600,
    ),
    Situation(
        "layout.py: kept as the place of",
        lambda d: (good(d), good(d / "disk"), keep_place("imagenet-r", d / "disk/imagenet-r"), away("disk")(d))[:0],
        (
            lambda d: (d / "away").rename(d / "disk") and None,
            lambda d: effrob("data", "where", f"imagenet-r={d / 'away/imagenet-r'}"),
            lambda d: effrob("data", "where", "--forget", "imagenet-r"),
        ),
        R_LOAD,
        12,
    ),
    Situation(
        "layout.py: named as the place of",
        with_good(lambda d: ((d / "none").mkdir(), keep_place("imagenet-r", d / "none"))[:0]),
        (at("imagenet-r", "imagenet-r"), lambda d: effrob("data", "where", "--forget", "imagenet-r")),
        R_LOAD,
        12,
    ),
    Situation(
        "layout.py: make that file readable or remove it",
        good,
        (lambda d: {"opened": True},),
        in_a_folder_that_may_not_be_entered,
        12,
    ),
    Situation(
        "layout.py: names the sets",
        good,
        (lambda d: {"name": "imagenet-r"},),
        lambda d, name="qqqqqq": check_names([name]),
    ),
    Situation(
        "layout.py: names the sets",
        good,
        (lambda d: {"name": "imagenet-r"},),
        lambda d, name="qqqqqq": keep_place(name, d / "imagenet-r"),
    ),
    Situation(
        "layout.py: names the sets",
        good,
        (lambda d: {"name": "imagenet-r"},),
        lambda d, name="qqqqqq": archive_of(name),
    ),
    Situation(
        "storage/forms.py: is not there; name the folder or file",
        good,
        (at("imagenet-r", "imagenet-r"),),
        lambda d, **how: loads("imagenet-r")(d, **{"places": {"imagenet-r": d / "nowhere"}, **how}),
        12,
    ),
    Situation(
        "storage/forms.py: is no form of a set",
        with_good(lambda d: put(d / "notes.txt", b"x")),
        (at("imagenet-r", "imagenet-r"),),
        lambda d, **how: loads("imagenet-r")(d, **{"places": {"imagenet-r": d / "notes.txt"}, **how}),
        12,
    ),
    Situation(
        "storage/forms.py: is a saved dataset of the splits",
        saved_splits,
        (at("imagenet-r", "imagenet-r/renditions"),),
        R_LOAD,
        12,
    ),
    Situation(
        "evidence/official_names.py: Sort the images",
        with_good(lambda d: put(misfiled(d), image(5))),
        (sorted_by_name,),
        R_LOAD,
        13,
    ),
    Situation(
        "imagenet.py: sort the validation images anew",
        lambda d: val(d, VAL_IDS[::-1]),
        (lambda d: val(d, VAL_IDS),),
        loads("imagenet"),
        4,
    ),
    Situation(
        "imagenet.py: holds one image twice",
        lambda d: [put(d / "imagenet/val" / name, picture(970)) for name in (VAL[0], VAL[0].replace("JPEG", "png"))],
        (lambda d: (d / "imagenet/val" / VAL[0]).unlink(),),
        loads("imagenet"),
        1,
    ),
    Situation(
        "imagenet.py: keep the official names",
        lambda d: put(d / f"imagenet/val/{TABLE.ids[970]}/fish.JPEG", picture(970)),
        (
            lambda d: (
                (d / f"imagenet/val/{TABLE.ids[970]}/fish.JPEG").rename(d / f"imagenet/val/{TABLE.ids[970]}/{VAL[1]}")
                and None
            ),
        ),
        loads("imagenet-real"),
        1,
    ),
    Situation(
        "imagenet.py: or leave imagenet-real out",
        lambda d: put(d / "imagenet/val" / unasked(), picture(3)),
        (lambda d: put(d / "imagenet/val" / VAL[1], picture(3)), lambda d: {"name": "imagenet"}),
        lambda d, name="imagenet-real": len(shifts.load(name, d, partial=True)),
        None,
    ),
    Situation(
        "evidence/solution.py: of its rows contradict",
        lambda d: (val(d, VAL_IDS), solution(d, VAL_IDS[1]))[:0],
        (lambda d: solution(d, VAL_IDS[0]), lambda d: (d / "imagenet/LOC_val_solution.csv").unlink()),
        loads("imagenet"),
        4,
    ),
    Situation(
        "evidence/solution.py: cannot be read as CSV",
        lambda d: (val(d, VAL_IDS), put(d / "imagenet/LOC_val_solution.csv", b"ImageId,PredictionString\n\xff\xfe"))[
            :0
        ],
        (lambda d: solution(d, VAL_IDS[0]), lambda d: (d / "imagenet/LOC_val_solution.csv").unlink()),
        loads("imagenet"),
        4,
    ),
    Situation(
        "imagenet_v2.py: in numbered folders, and not",
        lambda d: [put(d / V2 / f"{n}/{VAL[n]}", picture(3)) for n in range(4)],
        (anew(V2, "imagenet-v2"),),
        loads("imagenet-v2"),
        12,
    ),
    Situation(
        "imagenet_v2.py: move what does not belong",
        with_good(lambda d: put(d / V2 / "1000/x.jpeg", picture(3)), "imagenet-v2"),
        (away(f"{V2}/1000"), anew(V2, "imagenet-v2")),
        loads("imagenet-v2"),
        12,
    ),
    Situation(
        "imagenet_v2.py: two folders for class",
        with_good(lambda d: put(d / V2 / "003/x.jpeg", picture(3)), "imagenet-v2"),
        (lambda d: shutil.rmtree(d / V2 / "003"),),
        loads("imagenet-v2"),
        12,
    ),
    Situation(
        "objectnet.py: move what does not belong",
        with_good(lambda d: put(d / "objectnet-1.0/images/alarmclock/x.png", picture(409)), "objectnet"),
        (away("objectnet-1.0/images/alarmclock"), anew("objectnet-1.0", "objectnet")),
        loads("objectnet"),
        12,
    ),
    Situation("objectnet.py: cannot be read", mapping(b"{"), (unpacked_anew,), loads("objectnet"), 1),
    Situation("objectnet.py: do not fit together", mapping(b"[1]"), (unpacked_anew,), loads("objectnet"), 1),
    Situation("objectnet.py: differs from ObjectNet 1.0", other_mapping, (unpacked_anew,), loads("objectnet"), 1),
    Situation(
        "storage/folder.py: that leaves the folder",
        linked_out,
        (lambda d: {"follow_links": True}, whole_linked, anew("imagenet-r")),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/folder.py: which is not there; put it back",
        with_good(lambda d: (d / f"imagenet-r/{R[0]}/y.jpg").symlink_to(d / "none.jpg")),
        (lambda d: (d / f"imagenet-r/{R[0]}/y.jpg").unlink(),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/folder.py: which is not there; put it back",
        with_good(lambda d: (d / f"imagenet-r/{R[0]}/y.jpg").symlink_to(d / f"imagenet-r/{R[0]}/z.jpg")),
        (lambda d: put(d / f"imagenet-r/{R[0]}/z.jpg", image(0)),),
        R_LOAD,
        14,
    ),
    Situation(
        "storage/folder.py: count images twice",
        with_good(lambda d: (d / f"imagenet-r/{R[9]}").symlink_to(d / f"imagenet-r/{R[0]}")),
        (lambda d: (d / f"imagenet-r/{R[9]}").unlink(),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/folder.py: remove it or link the file itself",
        with_good(lambda d: (d / f"imagenet-r/{R[0]}/loop").symlink_to("loop")),
        (lambda d: (d / f"imagenet-r/{R[0]}/loop").unlink(),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/folder.py: put back what it names",
        lambda d: (FORMS["parquet"](d, "imagenet-r", SETS["imagenet-r"]), lose_a_table(d))[:0],
        (lambda d: (d / "table").rename(d / "moved") and None, lambda d: table_link(d).unlink()),
        R_LOAD,
    ),
    Situation(
        "storage/kept_places.py: write the whole path",
        good,
        (lambda d: {"places": {"imagenet-r": str(d / "imagenet-r")}},),
        lambda d, **how: loads("imagenet-r")(d, **{"places": {"imagenet-r": "~nobody-here/r"}, **how}),
        12,
    ),
    Situation(
        "storage/kept_places.py: remove the file and name them again",
        with_good(lambda d: put(config_file(), b"{")),
        (lambda d: config_file().unlink() or effrob("data", "where", f"imagenet-r={d / 'imagenet-r'}"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/splits.py: get that one too",
        lambda d: put(d / f"imagenet-1k/train/{TABLE.ids[0]}/a.JPEG", picture(0)),
        (
            lambda d: put(d / f"imagenet-1k/validation/{VAL_IDS[0]}/{VAL[0]}", picture(3)),
            lambda d: put(d / f"v/{VAL_IDS[0]}/{VAL[0]}", picture(3)) or {"places": {"imagenet": d / "v"}},
        ),
        loads("imagenet"),
        1,
    ),
    Situation(
        "storage/splits.py: which are one split",
        lambda d: [good(d / "imagenet-r" / split) for split in ("test", "testing")] and None,
        (at("imagenet-r", "imagenet-r/test"),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/tree.py: rename it",
        with_good(lambda d: unencodable(d).write_bytes(image(0))),
        (lambda d: unencodable(d).rename(unencodable(d).with_name("cafe.jpg")) and None,),
        R_LOAD,
        13,
    ),
    Situation(
        "storage/tree.py: what is a picture",
        with_good(lambda d: put(d / f"imagenet-r/{R[0]}/a.heic", b"heic")),
        (lambda d: put(d / f"imagenet-r/{R[0]}/a.jpg", image(0)) or (d / f"imagenet-r/{R[0]}/a.heic").unlink(),),
        listed("imagenet-r"),  # type: ignore[arg-type]
        13,
    ),
    Situation("storage/tree.py: what was computed is kept", good, (put_back,), listed_then_read),
    Situation(
        "check.py: get those images again",
        with_good(lambda d: gone(d).write_bytes(b"")),
        (lambda d: gone(d).write_bytes(SETS["imagenet-r"][0].content) and None,),
        checked("imagenet-r"),  # type: ignore[arg-type]
    ),
]


def unasked() -> str:
    """The name of a validation image without an answer under ReaL labels."""
    from shifts.imagenet import real_labels

    return f"ILSVRC2012_val_{real_labels().index(()) + 1:08d}.JPEG"


def completed(root: Path) -> None:
    """Images of every class up to the official total, as links to one file."""
    first = gone(root)
    for k, id in enumerate(R):
        (root / f"imagenet-r/{id}").mkdir(exist_ok=True)
        for n in range(150 - (len(list((root / f"imagenet-r/{id}").iterdir())))):
            os.link(first, root / f"imagenet-r/{id}/{k}_{n}.jpg")


def table_link(root: Path) -> Path:
    return root / "imagenet-r/data/test-00001-of-00002.parquet"


def lose_a_table(root: Path) -> None:
    """One of two tables becomes a link to a file that has since moved."""
    table_link(root).rename(root / "table")
    table_link(root).symlink_to(root / "moved")

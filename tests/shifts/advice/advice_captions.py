"""Advice on captions: files of records, builds and their arms, lists labelled by captions, and what captions are read from."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from advice_folders import effrob
from form_writers import TABLE, pack, picture, put
from situation import Situation, Step

import shifts
from shifts.captions import export, labelling, manifests, matching, sources
from shifts.captions.imagenet_captions import read_captions, select
from shifts.captions.records import RecordFile
from shifts.captions.variants import variant
from shifts.layout import open_set
from shifts.synthetic import draw, pocket

IDS = TABLE.ids[:2]
TITLE = variant("title")


def record(k: int, n: int, **changed: Any) -> dict[str, Any]:
    texts = {"title": f"my {TABLE.names[k]}", "tags": ["a"] if n else [], "description": "seen"}
    return {"filename": f"{TABLE.ids[k]}_{n}.JPEG", "wnid": TABLE.ids[k], **texts, **changed}


RECORDS = [record(k, n) for k in range(2) for n in range(2)]


def written(records: object) -> Step:
    """A captions file."""
    text = records if isinstance(records, bytes) else json.dumps(records).encode()
    return lambda root: put(root / "imagenet_captions.json", text)


def world(root: Path) -> None:
    """Four training images of two classes, and their captions."""
    for each in RECORDS:
        k = TABLE.index[each["wnid"]]
        put(root / "imagenet/train" / each["wnid"] / each["filename"], picture(k))
    written(RECORDS)(root)


def captions(root: Path) -> Any:
    return read_captions(root / "imagenet_captions.json", TABLE, set(open_set("imagenet-train", root).paths))


def build(root: Path) -> None:
    """Build anew: `effrob captions build`."""
    shutil.rmtree(root / "build", ignore_errors=True)
    effrob("captions", "build", "--data", root, "--variant", "title", "--out", root / "build")


def built(root: Path) -> None:
    world(root)
    build(root)


def records_of(root: Path) -> int:
    return len(list(RecordFile(root / "imagenet_captions.json")))


def chosen_build(root: Path, classes: Sequence[str] = TABLE.ids[5:6], variants: Sequence[str] = ("title",)) -> object:
    worded, _ = export.with_text(captions(root), export.build_variants(variants))
    return export.write_build(select(worded, classes=classes), root / "chosen", "imagenet-train", {})


def resealed(folder: Path) -> None:
    """The manifest's digests of a folder's files, made to fit them."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def forged(folder: str, **facts: Any) -> Step:
    """A folder whose manifest says something else."""

    def make(root: Path) -> None:
        (built if folder == "build" else labelled)(root)
        file = root / folder / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **facts}))

    return make


def rewritten(folder: str, file: str, change: Callable[[str], str], seal: bool = True) -> Step:
    """A folder of which a file was changed, the digest of the file with it."""

    def make(root: Path) -> None:
        (built if folder == "build" else labelled)(root)
        (root / folder / file).write_text(change((root / folder / file).read_text()))
        if seal:
            resealed(root / folder)

    return make


def read_build(root: Path) -> int:
    return len(export.read_build(root / "build")[0])


def without_a_title(root: Path) -> None:
    """A build for titles alone, of which one record has no description."""
    world(root)
    written([record(0, 0, description=""), *RECORDS[1:]])(root)
    build(root)


def build_for_both(root: Path) -> None:
    shutil.rmtree(root / "build")
    effrob(
        "captions", "build", "--data", root, "--variant", "title", "--variant", "description", "--out", root / "build"
    )


def arm(name: str) -> Callable[[Path], int]:
    return lambda root: len(export.pairs(export.read_build(root / "build")[0], variant(name)))


def shards(root: Path, **how: Any) -> int:
    made, about = export.read_build(root / "build")
    tree = open_set("imagenet-train", root)
    return int(export.export_shards(made, TITLE, root / "shards", about, tree, **how)["images"])


def odd_suffix(root: Path) -> None:
    world(root)
    images = root / "imagenet/train" / IDS[0]
    put(images / "odd.bmp", picture(0, "BMP"))
    written([*RECORDS, record(0, 7, filename="odd.bmp")])(root)
    build(root)


def converted(root: Path) -> None:
    images = root / "imagenet/train" / IDS[0]
    (images / "odd.bmp").unlink()
    put(images / "odd.jpg", picture(0))
    written([*RECORDS, record(0, 7, filename="odd.jpg")])(root)
    build(root)


def lost(root: Path) -> None:
    built(root)
    train_image(root).rename(root / "lost")


def train_image(root: Path) -> Path:
    return root / "imagenet/train" / IDS[0] / RECORDS[0]["filename"]


def web(root: Path, text: str = "") -> None:
    """Images with captions, in open_clip's CSV."""
    for k in range(2):
        put(root / "web/images" / f"{k}.jpg", picture(k))
    rows = "".join(f"images/{k}.jpg\ta {TABLE.names[k]} here\n" for k in range(2))
    put(root / "web/captions.csv", (text or f"filepath\ttitle\n{rows}").encode())


def labelled(root: Path) -> None:
    """A list labelled by captions: `effrob captions match`."""
    web(root)
    effrob("captions", "match", root / "web/captions.csv", "--out", root / "list")


def list_anew(root: Path) -> None:
    shutil.rmtree(root / "list")
    labelled(root)


def load_list(root: Path) -> int:
    return len(shifts.load("list", root))


def source(root: Path, name: str = "web/captions.csv", **how: Any) -> list[tuple[str, str]]:
    given = name if name == "pocket-web" else str(root / name)
    return list(sources.captioned(given, root, **how).rows)


def from_csv(text: str | bytes) -> Step:
    return lambda root: (web(root), put(root / "web/captions.csv", text if isinstance(text, bytes) else text.encode()))[
        :0
    ]


def matched(root: Path, rule: str = "substring", several: str = "longest") -> Any:
    opened = sources.captioned(str(root / "web/captions.csv"))
    return labelling.match(opened, TABLE, rule, several), opened


def second_set(root: Path, per_class: int = 1, several: str = "longest") -> int:
    return len(labelling.second_set(matched(root, several=several)[0], per_class)[0].pairs)


def write_list(root: Path, rule: str = "substring", copy: bool = False) -> object:
    found, opened = matched(root, rule)
    return labelling.write_list(found, opened, root / "list", "train", copy=copy)


def draw_web(root: Path) -> None:
    """`effrob data get pocket-web`, the first twenty of its pictures."""
    some, folder = draw.pictures("pocket-web")[:20], root / "pocket-web"
    shutil.rmtree(folder, ignore_errors=True)
    with mock.patch.object(draw, "pictures", lambda name: some):
        effrob("data", "get", "pocket-web", "--data", root)


def web_drawn(change: Step) -> Step:
    return lambda root: (draw_web(root), change(root))[:0]


def rewrite_web(change: Callable[[str], str]) -> Step:
    def mend(root: Path) -> None:
        file = root / "pocket-web/captions.csv"
        file.write_text(change(file.read_text()))

    return mend


def load_web(root: Path) -> int:
    return len(pocket.load_web(root))


def zipped(names: Sequence[str]) -> Step:
    def make(root: Path) -> None:
        with zipfile.ZipFile(root / "imagenet_captions.json", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, json.dumps(RECORDS))

    return make


def unpacked(root: Path) -> None:
    with zipfile.ZipFile(root / "imagenet_captions.json") as archive:
        content = archive.read("a.json")
    put(root / "imagenet_captions.json", content)


def damaged_zip(change: Callable[[bytearray], object]) -> Step:
    def make(root: Path) -> None:
        zipped(["a.json"])(root)
        content = bytearray((root / "imagenet_captions.json").read_bytes())
        change(content)
        (root / "imagenet_captions.json").write_bytes(content)

    return make


def encrypted(content: bytearray) -> None:
    """The mark of a password, in both headers."""
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1


def malformed(key: str, content: object) -> Situation:
    """A record that is none: mended, or the file fetched anew."""
    mended = [*RECORDS[:1], *RECORDS[2:]]
    return Situation(key, written(content), (written(mended), written(RECORDS)), records_of)


GOOD = written(RECORDS)
HEAD = "filepath\ttitle\n"
MANIFESTS, SOURCES, RECORD_FILES = "captions/manifests.py", "captions/sources.py", "captions/records.py"
BUILDS, LISTS = "captions/export.py", "captions/labelled_lists.py"

SITUATIONS = [
    Situation(
        f"{BUILDS}: no image is left",
        world,
        (lambda d: {"classes": IDS},),
        chosen_build,
    ),
    Situation(
        f"{BUILDS}: no image is left",
        lambda d: (world(d), written([record(0, 0, tags=[])])(d))[:0],
        (lambda d: {"variants": ("title",)},),
        lambda d, variants=("tags",): chosen_build(d, IDS, variants),
    ),
    Situation(f"{BUILDS}: is of no build", forged("build", table="pocket"), (build,), read_build, 4),
    Situation(
        f"{BUILDS}: in string order",
        rewritten("build", "captions.json", lambda text: json.dumps(json.loads(text)[::-1])),
        (build,),
        read_build,
        4,
    ),
    Situation(
        f"{BUILDS}: does not hold the images",
        rewritten("build", "captions.json", lambda text: json.dumps(json.loads(text)[:2])),
        (build,),
        read_build,
        4,
    ),
    Situation(f"{BUILDS}: build anew with --variant", without_a_title, (build_for_both,), arm("description"), 3),
    Situation(
        f"{BUILDS}: image a shard was wanted",
        built,
        (lambda d: {"per_shard": 1},),
        lambda d, per_shard=0: shards(d, per_shard=per_shard),
        4,
    ),
    Situation(f"{BUILDS}: convert it", odd_suffix, (converted,), shards, 5),
    Situation(
        f"{BUILDS}: no longer has the image",
        lost,
        (
            lambda d: (d / "lost").rename(train_image(d)) and None,
            lambda d: (written(RECORDS[1:])(d), build(d))[:0],
        ),
        shards,
    ),
    Situation(
        "captions/imagenet_captions.py: image a class was wanted",
        world,
        (lambda d: {"per_class": 1},),
        lambda d, per_class=0: len(select(captions(d), per_class=per_class)),
        2,
    ),
    Situation(
        "captions/imagenet_captions.py: give class ids",
        world,
        (lambda d: {"classes": IDS[:1]},),
        lambda d, classes=("goldfish",): len(select(captions(d), classes=classes)),
        2,
    ),
    Situation(f"{LISTS}: is not what", forged("list", pairs="none"), (list_anew,), load_list, 2),
    Situation(
        f"{LISTS}: must have the columns",
        rewritten("list", "labels.csv", lambda text: text.replace("class", "wnid", 1)),
        (list_anew,),
        load_list,
        2,
    ),
    Situation(
        f"{LISTS}: names no class of",
        rewritten("list", "labels.csv", lambda text: text.replace(IDS[0], "n99999999")),
        (list_anew,),
        load_list,
        2,
    ),
    Situation(
        f"{LISTS}: cannot be read below",
        rewritten("list", "labels.csv", lambda text: text + "x" * 200_000),
        (list_anew,),
        load_list,
        2,
    ),
    Situation(
        f"{LISTS}: put them back, or",
        lambda d: (labelled(d), (d / "web/images/0.jpg").rename(d / "lost"))[:0],
        (lambda d: (d / "lost").rename(d / "web/images/0.jpg") and None, list_anew),
        load_list,
        2,
    ),
    Situation(
        "captions/labelling.py: match with --several",
        web,
        tuple((lambda d, way=way: {"several": way}) for way in ("longest", "one", "first")),
        lambda d, several="all": second_set(d, several=several),
        2,
    ),
    Situation(
        "captions/labelling.py: give a smaller --second-set",
        web,
        (lambda d: {"per_class": 1},),
        lambda d, per_class=5: second_set(d, per_class),
        2,
    ),
    Situation(
        "captions/labelling.py: try the other rule",
        from_csv(f"{HEAD}images/0.jpg\tA TENCH\n"),
        (lambda d: {"rule": "words"},),
        write_list,
    ),
    Situation(
        "captions/labelling.py: mend its paths",
        from_csv(f"{HEAD}images/9.jpg\ta tench\n"),
        (from_csv(f"{HEAD}images/0.jpg\ta tench\n"),),
        lambda d: write_list(d, copy=True),
    ),
    Situation(
        f"{MANIFESTS}: is there already",
        lambda d: (web(d), put(d / "list/notes.txt", b"x"))[:0],
        (lambda d: {"out": "other"}, lambda d: shutil.rmtree(d / "list")),
        lambda d, out="list": effrob_or_raise(d, out),
    ),
    Situation(f"{MANIFESTS}: makes such a folder", world, (build,), read_build, 4),
    Situation(f"{MANIFESTS}: effrob captions build", world, (build,), read_build, 4),
    Situation(
        f"{MANIFESTS}: --format labels",
        built,
        (
            lambda d: effrob("captions", "export", d / "build", "--format", "labels", "--data", d, "--out", d),
            lambda d: (web(d), effrob("captions", "match", d / "web/captions.csv", "--out", d / "labels"))[:0],
        ),
        lambda d: manifests.read_manifest(d / "labels", "labels")["kind"],
        "labels",
    ),
    Situation(
        f"{MANIFESTS}: is no JSON", rewritten("build", "manifest.json", lambda _: "{", False), (build,), read_build, 4
    ),
    Situation(f"{MANIFESTS}: must say format", forged("build", format="other/2"), (build,), read_build, 4),
    Situation(
        f"{MANIFESTS}: makes it",
        lambda d: (labelled(d), (d / "list").rename(d / "build"), world(d))[:0],
        (build,),
        read_build,
        4,
    ),
    Situation(f"{MANIFESTS}: as {{}}, and", forged("build", ids=3), (build,), read_build, 4),
    Situation(
        f"{MANIFESTS}: is not what",
        rewritten("build", "captions.json", lambda text: text + "\n", False),
        (build,),
        read_build,
        4,
    ),
    Situation(
        "captions/matching.py: name every class",
        web,
        (lambda d: {"names": ("tench", "goldfish")},),
        lambda d, names=("tench", ""): len(matching.SubstringMatcher(names).find("a tench")),
        1,
    ),
    Situation(
        "captions/matching.py: names of letters",
        web,
        (lambda d: {"names": (("tench",), ("goldfish",))},),
        lambda d, names=(("tench",), ("--",)): len(matching.WordMatcher(names).find("a tench")),
        1,
    ),
    Situation(
        "captions/matching.py: is one of",
        web,
        (lambda d: {"several": "one"},),
        lambda d, several="most": second_set(d, several=several),
        2,
    ),
    Situation(
        f"{RECORD_FILES}: unpack or name",
        lambda d: put(d / "other.json", b"[]"),
        (GOOD, zipped(["a.json"])),
        records_of,
        4,
    ),
    Situation(f"{RECORD_FILES}: does not start with", written({"a": 1}), (GOOD,), records_of, 4),
    Situation(f"{RECORD_FILES}: goes on after", written(json.dumps(RECORDS).encode() + b"[]"), (GOOD,), records_of, 4),
    malformed(f"{RECORD_FILES}: a comma was wanted", json.dumps(RECORDS).replace("}, {", "} {", 1).encode()),
    malformed(f"{RECORD_FILES}: an object was wanted", [RECORDS[0], 3]),
    malformed(f"{RECORD_FILES}: a text was wanted", [RECORDS[0], {**RECORDS[1], "title": 3}]),
    malformed(f"{RECORD_FILES}: must be a list of texts", [RECORDS[0], {**RECORDS[1], "tags": "a"}]),
    malformed(f"{RECORD_FILES}: Mend it or fetch", [RECORDS[0], {**RECORDS[1], "wnid": ""}]),
    Situation(
        f"{RECORD_FILES}: cut off on its way",
        damaged_zip(lambda content: content.__delitem__(slice(60, None))),
        (zipped(["a.json"]),),
        records_of,
        4,
    ),
    Situation(f"{RECORD_FILES}: unpack and name it", zipped(["a.json", "b.json"]), (unpacked,), records_of, 4),
    Situation(f"{RECORD_FILES}: damaged or locked", damaged_zip(encrypted), (zipped(["a.json"]),), records_of, 4),
    Situation(
        f"{SOURCES}: the images are those of",
        lambda d: (
            built(d),
            effrob("captions", "export", d / "build", "--format", "labels", "--data", d, "--out", d),
        )[:0],
        (lambda d: {"root": d},),
        lambda d, root=None: len(shifts.load(str(d / "labels"), root)),
        4,
    ),
    Situation(f"{SOURCES}: draws it", lambda d: None, (draw_web,), lambda d: len(source(d, "pocket-web")), 20),
    Situation(
        f"{SOURCES}: no captions at",
        lambda d: (web(d), pack(d / "shards/0.tar", {"a.jpg": picture(0), "a.txt": b"a tench"}), draw_web(d))[:0],
        (lambda d: {"name": "web/captions.csv"}, lambda d: {"name": "shards"}, lambda d: {"name": "pocket-web"}),
        lambda d, name="none.csv": source(d, name),
    ),
    Situation(
        f"{SOURCES}: write the smaller number first",
        lambda d: [pack(d / f"shards/{n}.tar", {"a.jpg": picture(0), "a.txt": b"x"}) for n in range(2)],
        (lambda d: {"name": "shards/{0..1}.tar"},),
        lambda d, name="shards/{1..0}.tar": len(source(d, name)),
        2,
    ),
    Situation(f"{SOURCES}: holds no rows", from_csv(HEAD), (web,), source),
    Situation(
        f"{SOURCES}: write all in one way",
        lambda d: from_csv(f"{HEAD}{d}/web/images/0.jpg\ta tench\nimages/1.jpg\ta goldfish\n")(d),
        (web, lambda d: from_csv(f"{HEAD}{d}/web/images/0.jpg\ta\n{d}/web/images/1.jpg\tb\n")(d)),
        lambda d: len(source(d)),
        2,
    ),
    Situation(
        f"{SOURCES}: put the images there",
        lambda d: from_csv(f"{HEAD}{d}/moved/0.jpg\ta tench\n")(d),
        (
            lambda d: from_csv(f"{HEAD}{d}/web/images/0.jpg\ta tench\n")(d),
            lambda d: (d / "web/images").rename(d / "moved") and None,
        ),
        lambda d: len(source(d)),
        1,
    ),
    Situation(f"{SOURCES}: must have the columns", from_csv("image,text\n0.jpg,a\n"), (web,), source),
    Situation(
        f"{SOURCES}: must have the columns",
        from_csv("image,text\nimages/0.jpg,a\n"),
        (lambda d: {"columns": ("image", "text"), "separator": ","},),
        source,
    ),
    Situation(f"{SOURCES}: of {{}} columns; mend it", from_csv(f"{HEAD}images/0.jpg\n"), (web,), source),
    Situation(f"{SOURCES}: opens a quote", from_csv(f'{HEAD}images/0.jpg\t"a\nimages/1.jpg\tb\n'), (web,), source),
    Situation(
        f"{SOURCES}: cannot be read ({{}}); mend it", from_csv(f"{HEAD}images/0.jpg\t{'x' * 200_000}\n"), (web,), source
    ),
    Situation(
        f"{SOURCES}: save the file in UTF-8",
        from_csv(HEAD.encode() + "images/0.jpg\ta café\n".encode("latin-1")),
        (from_csv(f"{HEAD}images/0.jpg\ta café\n"),),
        source,
    ),
    Situation(
        "captions/variants.py: join any of",
        world,
        (lambda d: {"name": "title+description"}, lambda d: {"name": "class-name"}),
        lambda d, name="headline": variant(name).name,
    ),
    Situation(
        "catalogue.py: pocket-web has captions",
        draw_web,
        (lambda d: {"read": load_web}, lambda d: {"read": matched_web}),
        lambda d, read=None: shifts.load("pocket-web", d) if read is None else read(d),
    ),
    Situation(
        "synthetic/pocket.py: has no captions.csv",
        web_drawn(lambda d: (d / "pocket-web/captions.csv").unlink()),
        (draw_web,),
        load_web,
        20,
    ),
    Situation(
        "synthetic/pocket.py: the columns filepath and title",
        web_drawn(rewrite_web(lambda text: text.replace("filepath", "image", 1))),
        (rewrite_web(lambda text: text.replace("image", "filepath", 1)),),
        load_web,
        20,
    ),
    Situation(
        "synthetic/pocket.py: do not pair",
        web_drawn(rewrite_web(lambda text: text.rstrip("\n").rpartition("\n")[0] + "\n")),
        (draw_web,),
        load_web,
        20,
    ),
]


def effrob_or_raise(root: Path, out: str) -> None:
    found, opened = matched(root)
    labelling.write_list(found, opened, root / out, "train")


def matched_web(root: Path) -> int:
    """`effrob captions match pocket-web`, and the list it makes."""
    effrob("captions", "match", "pocket-web", "--data", root, "--out", root / "list")
    return len(shifts.load("list", root))

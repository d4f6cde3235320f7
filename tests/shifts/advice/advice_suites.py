"""Advice on suites and sets of one's own: suite files, declared sets, maps, registrations, label spaces and class tables."""

from __future__ import annotations

import importlib
import shutil
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from unittest import mock

from advice_folders import effrob, good
from form_writers import pack, picture, put
from situation import Situation, Step, says

import shifts
from shifts import classes, registry
from shifts.declared import added, suites
from shifts.declared.contents import read_contents
from shifts.labels import LabelSpace

HEAD = 'name = "own"\nclean = "clean"\nshifts = ["odd"]\n'
SETS = '[sets.clean]\nfolder = "clean"\n[sets.odd]\nfolder = "odd"\n'
CLASSES = ("cat", "dog", "owl")


def suite(head: str = "", sets: str = SETS, base: str = HEAD) -> Step:
    """A suite file; `head` goes into [suite]."""
    return lambda root: put(root / "own.toml", f"[suite]\n{base}{head}{sets}".encode())


def images(root: Path) -> None:
    for folder in ("clean", "odd"):
        for k, name in enumerate(CLASSES):
            put(root / folder / name / "0.png", picture(k, "PNG"))


def made(head: str = "", sets: str = SETS, base: str = HEAD) -> Step:
    return lambda root: (images(root), suite(head, sets, base)(root))[:0]


def targets(root: Path, name: str = "odd", **how: Any) -> list[int]:
    """A set of the suite, read."""
    return shifts.load_suite(root / "own.toml", root=root, **how)[name].targets.tolist()


def read(root: Path) -> str:
    return str(shifts.suite(root / "own.toml").name)


def odd(form: str, place: str, *more: str) -> str:
    """Tables of the sets, the shift in another form."""
    return f'[sets.clean]\nfolder = "clean"\n[sets.odd]\n{form} = "{place}"\n' + "".join(f"{line}\n" for line in more)


def rows(file: str, *lines: str) -> Step:
    return lambda root: put(root / file, "".join(f"{line}\n" for line in lines).encode())


def wrong_suite(key: str, head: str = "", sets: str = SETS, base: str = HEAD) -> Situation:
    """A suite file that says a thing wrongly, and then rightly."""
    return Situation(key, made(head, sets, base), (suite(),), read, "own")


def listed(*lines: str) -> Step:
    return lambda root: (
        images(root),
        rows("odd/list.csv", *lines)(root),
        suite("", odd("list", "odd/list.csv"))(root),
    )[:0]


def mapped(*lines: str) -> Step:
    """The shift's folders mapped to the suite's classes."""
    sets = odd("folder", "odd", 'map = "map.csv"')
    return lambda root: (images(root), rows("map.csv", "folder,wnid", *lines)(root), suite("", sets)(root))[:0]


RIGHT_ROWS = ("path,label", "cat/0.png,cat", "dog/0.png,dog", "owl/0.png,owl")
RIGHT_MAP = ("cat,cat", "dog,dog", "owl,owl")


def labels_alone(root: Path) -> None:
    images(root)
    rows("labels.csv", "id,label", *RIGHT_ROWS[1:])(root)
    suite("", odd("labels", "labels.csv"))(root)


def imported(root: Path) -> dict[str, bool]:
    """`effrob import` of a model's answers on labels alone, and on the clean set."""
    rows("answers.csv", "id,class", *(f"{name}/0.png,{k}" for k, name in enumerate(CLASSES)))(root)
    shared = ("--model", "mine", "--suite", root / "own.toml", "--data", root, "--results", root / "results")
    effrob("import", root / "answers.csv", "--shift", "odd", "--clean", root / "answers.csv", *shared)
    return {"read": False}


def first_picture(root: Path, read: bool = True) -> int:
    return shifts.load_suite(root / "own.toml", root=root)["odd"][0].target if read else 0


def other_form(form: str) -> Step:
    """The images declared in place of the labels."""

    def mend(root: Path) -> None:
        place = {"folder": "odd", "list": "odd/list.csv", "shards": "shards", "parquet": "odd.parquet"}[form]
        rows("odd/list.csv", *RIGHT_ROWS)(root)
        files = {
            f"{name}.{s}": c for k, name in enumerate(CLASSES) for s, c in (("png", picture(k)), ("cls", name.encode()))
        }
        pack(root / "shards/0.tar", files)
        write_parquet(root / "odd.parquet")
        suite('classes = ["cat", "dog", "owl"]\n', odd(form, place))(root)

    return mend


def write_parquet(file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    held = [{"bytes": picture(k, "PNG"), "path": f"{k}.png"} for k in range(3)]
    pq.write_table(pa.table({"image": pa.array(held, kind), "label": list(CLASSES)}), file)


def splits_in_one(root: Path) -> None:
    images(root)
    (root / "tables").mkdir()
    for split in ("train", "test"):
        write_parquet(root / f"tables/{split}.parquet")
    suite("", odd("parquet", "tables"))(root)


def split_apart(root: Path) -> None:
    for split in ("train", "test"):
        (root / split).mkdir()
        (root / f"tables/{split}.parquet").rename(root / split / f"{split}.parquet")
    suite("", odd("parquet", "test"))(root)


def add(root: Path, file: str = "own.toml", **how: bool) -> str:
    return str(shifts.add_suite(root / file, **how).name)


def two_of_one_name(root: Path) -> None:
    made()(root)
    add(root)
    put(root / "other.toml", (root / "own.toml").read_bytes())


def space(**changed: Any) -> LabelSpace:
    held: dict[str, Any] = {
        "name": "x", "class_ids": ("a", "b"), "class_names": ("a", "b"), "groups": ((0,), (1,)),
        "parent_ids": ("a", "b"), "parent_names": ("a", "b"),
    }  # fmt: skip
    return LabelSpace(**{**held, **changed})


def check(root: Path, **changed: Any) -> None:
    says(*shifts.check_shift(replace(shifts.load("imagenet-r", root, partial=True), **changed)))


def register(root: Path, name: str = "imagenet-r") -> None:
    with mock.patch.dict(registry._registered), mock.patch.dict(registry._declared):
        registry.register(name, lambda *_: None)  # type: ignore[arg-type, return-value]


def offered(*entries: tuple[str, str]) -> Any:
    """Packages that offer shifts by entry points."""
    return mock.patch.object(
        registry, "_offered", lambda find: tuple(EntryPoint(name, value, registry.GROUP) for name, value in entries)
    )


def load_offered(root: Path) -> object:
    importlib.invalidate_caches()
    with offered(("mine", "advised_loader:load")), mock.patch.object(sys, "path", [str(root), *sys.path]):
        try:
            return registry.loader("mine")(root, None, False)  # type: ignore[arg-type]
        finally:
            sys.modules.pop("advised_loader", None)


def two_offers(root: Path, both: bool = True) -> bool:
    with offered(("mine", "one:load"), *([("mine", "two:load")] if both else [])):
        return "mine" in registry.names()


def pocket_table(root: Path) -> int:
    """The pocket class table of an installation that lies in `root`."""
    with mock.patch.object(classes, "DATA", root):
        return len(classes.pocket.__wrapped__().ids)


def reinstalled(root: Path) -> None:
    shutil.copy(classes.DATA / "pocket_classes.json", root)


READER, CONTENTS, DECLARED = "declared/reader.py", "declared/contents.py", "declared/sets.py"

SITUATIONS = [
    Situation(
        "declared/added.py: add your suites again",
        lambda d: (made()(d), put(added.config_file(), b"{"))[:0],
        (
            lambda d: put(added.config_file(), b"{}"),
            lambda d: added.config_file().unlink() or effrob("suite", "add", d / "own.toml"),
        ),
        lambda d: bool(suites.added_suites()) or "read",
    ),
    Situation(
        "declared/added.py: or give --replace",
        two_of_one_name,
        (
            lambda d: put(d / "other.toml", (d / "own.toml").read_bytes().replace(b'"own"', b'"other"')),
            lambda d: {"replace": True},
        ),
        lambda d, **how: add(d, "other.toml", **how),
    ),
    Situation(
        "declared/suites.py: give yours another name",
        made(base=HEAD.replace("own", "pocket")),
        (suite(),),
        add,
        "own",
    ),
    Situation(
        f"{CONTENTS}: bring its predictions",
        labels_alone,
        (imported, *map(other_form, ("folder", "list", "shards", "parquet"))),
        first_picture,
        0,
    ),
    Situation(
        f"{CONTENTS}: cannot be declared",
        images,
        (lambda d: {"form": "folder"},),
        lambda d, form="tfrecord": len(read_contents(form, d / "odd", None).labels),
        3,
    ),
    Situation(
        f"{CONTENTS}: is not there; put the set there",
        made("", odd("folder", "elsewhere")),
        (lambda d: (d / "odd").rename(d / "elsewhere") and None, suite()),
        targets,
        [0, 1, 2],
    ),
    Situation(
        f"{CONTENTS}: holds no images; put the set there",
        lambda d: (made("", odd("folder", "empty"))(d), (d / "empty").mkdir())[:0],
        (lambda d: shutil.copytree(d / "odd", d / "empty", dirs_exist_ok=True) and None, suite()),
        targets,
        [0, 1, 2],
    ),
    Situation(
        f"{CONTENTS}: shards need the classes by name",
        lambda d: (
            made("", odd("shards", "shards"))(d),
            other_form("folder")(d),
            suite("", odd("shards", "shards"))(d),
        )[:0],
        (suite('classes = ["cat", "dog", "owl"]\n', odd("shards", "shards")),),
        targets,
        [0, 1, 2],
    ),
    Situation(
        f"{CONTENTS}: shards need the classes by name",
        lambda d: (
            pack(d / "s/0.tar", {"a.jpg": picture(3), "a.cls": b"3"}),
            suite("", '[sets.clean]\nfolder = "s"\n[sets.odd]\nshards = "s"\n')(d),
        )[:0],
        (suite('classes = "imagenet"\n', '[sets.clean]\nshards = "s"\n[sets.odd]\nshards = "s"\n'),),
        targets,
    ),
    Situation(
        f"{CONTENTS}: put them beside the list",
        lambda d: (listed(*RIGHT_ROWS)(d), (d / "odd/cat/0.png").rename(d / "lost"))[:0],
        (lambda d: (d / "lost").rename(d / "odd/cat/0.png") and None,),
        targets,
        [0, 1, 2],
    ),
    Situation(
        f"{CONTENTS}: leave it once", listed(*RIGHT_ROWS, RIGHT_ROWS[1]), (listed(*RIGHT_ROWS),), targets, [0, 1, 2]
    ),
    Situation(
        f"{CONTENTS}: must have the columns", listed("file,label", "cat/0.png,cat"), (listed(*RIGHT_ROWS),), targets
    ),
    Situation(f"{CONTENTS}: fill it", listed(*RIGHT_ROWS, "cat/1.png,"), (listed(*RIGHT_ROWS),), targets, [0, 1, 2]),
    Situation(
        f"{CONTENTS}: put it there, or name another",
        lambda d: (mapped(*RIGHT_MAP)(d), (d / "map.csv").rename(d / "lost.csv"))[:0],
        (
            lambda d: (d / "lost.csv").rename(d / "map.csv") and None,
            lambda d: suite("", odd("folder", "odd", 'map = "lost.csv"'))(d),
        ),
        targets,
        [0, 1, 2],
    ),
    Situation(
        f"{CONTENTS}: save it so",
        lambda d: (listed(*RIGHT_ROWS)(d), put(d / "odd/list.csv", "path,label\ncafé,cat\n".encode("latin-1")))[:0],
        (listed(*RIGHT_ROWS),),
        targets,
        [0, 1, 2],
    ),
    Situation(
        f"{READER}: there is no suite file",
        made(),
        (lambda d: {"name": d / "own.toml"}, lambda d: {"name": "pocket"}),
        lambda d, name=None: shifts.suite(name or d / "none.toml").name,
    ),
    Situation(f"{READER}: as TOML", lambda d: put(d / "own.toml", b"[suite"), (suite(),), read, "own"),
    wrong_suite(f"{READER}: sets.{{}} must be a table", sets="[sets]\nclean = 3\n"),
    Situation(
        f"{READER}: {{}} must be a table", lambda d: put(d / "own.toml", b"suite = 3\n"), (suite(),), read, "own"
    ),
    wrong_suite(f"{READER}: keep one", sets=f'{SETS}list = "l.csv"\n'),
    wrong_suite(f"{READER}: more than once; leave it once", head='diagnostic = ["odd", "odd"]\n'),
    wrong_suite(f"{READER}: suite.train must be", head='train = { from = "clean" }\n'),
    wrong_suite(f"{READER}: must be a text", head="title = 3\n"),
    wrong_suite(f"{READER}: must be a list of texts", base='name = "own"\nclean = "clean"\nshifts = "odd"\n'),
    wrong_suite(f"{READER}: must be true or false", head='generated = "yes"\n'),
    wrong_suite(f"{READER}: the suite file", head='shift = "odd"\n'),
    Situation(
        f"{DECLARED}: add folder",
        lambda d: (
            good(d),
            suite("", '[sets.imagenet-r]\n[sets.odd]\nfolder = "odd"\n', HEAD.replace('"clean"', '"imagenet-r"'))(d),
            put(d / "odd/cat/0.png", picture(0)),
        )[:0],
        (
            suite(
                "",
                '[sets.imagenet-r]\nfolder = "odd"\n[sets.odd]\nfolder = "odd"\n',
                HEAD.replace('"clean"', '"imagenet-r"'),
            ),
        ),
        targets,
    ),
    Situation(f"{DECLARED}: names the class", made('names = { cow = "a cow" }\n'), (suite(),), targets, [0, 1, 2]),
    Situation(
        f"{DECLARED}: or map it with",
        lambda d: (made()(d), (d / "odd/owl").rename(d / "odd/bird"))[:0],
        (
            lambda d: shutil.rmtree(d / "odd/bird"),
            lambda d: (
                rows("map.csv", "folder,wnid", "cat,cat", "dog,dog", "bird,owl")(d),
                suite("", odd("folder", "odd", 'map = "map.csv"'))(d),
            )[:0],
        ),
        targets,
    ),
    Situation(
        f"{DECLARED}: no class of", mapped(*RIGHT_MAP[:2], "owl,bird"), (mapped(*RIGHT_MAP),), targets, [0, 1, 2]
    ),
    Situation(f"{DECLARED}: add a row", mapped(*RIGHT_MAP[:2]), (mapped(*RIGHT_MAP),), targets, [0, 1, 2]),
    Situation(
        f"{DECLARED}: leave the class to one of them",
        mapped(*RIGHT_MAP, "cat,owl"),
        (mapped(*RIGHT_MAP), mapped(*RIGHT_MAP[:2], "owl,owl")),
        targets,
        [0, 1, 2],
    ),
    Situation(
        "storage/forms.py: files of a set; put them there",
        lambda d: (made("", odd("parquet", "tables"))(d), (d / "tables").mkdir())[:0],
        (lambda d: write_parquet(d / "tables/odd.parquet"),),
        targets,
        [0, 1, 2],
    ),
    Situation("storage/forms.py: move each into its own folder", splits_in_one, (split_apart,), targets, [0, 1, 2]),
    Situation("registry.py: register yours under", good, (lambda d: {"name": "mine"},), register),
    Situation(
        "registry.py: `effrob shifts` lists them",
        good,
        (lambda d: {"name": "imagenet-r"},),
        lambda d, name="qqqqqq": registry.loader(name).__name__,
    ),
    Situation(
        "registry.py: cannot be imported",
        lambda d: None,
        (lambda d: put(d / "advised_loader.py", b"def load(root, protocol, partial):\n    return 1\n"),),
        load_offered,
        1,
    ),
    Situation("registry.py: remove one", good, (lambda d: {"both": False},), two_offers, True),
    Situation("classes.py: reinstall effrob", lambda d: None, (reinstalled,), pocket_table, 20),
    Situation(
        "labels.py: must be disjoint",
        good,
        (lambda d: {"groups": ((0,), (1,))},),
        lambda d, groups=((0,), (0,)): len(space(groups=groups)),
        2,
    ),
    Situation(
        "check.py: must be int64",
        good,
        (lambda d: {"targets": shifts.load("imagenet-r", d, partial=True).targets},),
        lambda d, **how: check(
            d, **{"targets": shifts.load("imagenet-r", d, partial=True).targets.astype("int32"), **how}
        ),
    ),
    Situation(
        "check.py: n_expected must be",
        good,
        (lambda d: {"n_expected": 30_000},),
        lambda d, n_expected=0: check(d, n_expected=n_expected),
    ),
]

"""Advice on tables: Parquet and Arrow files, their columns, and the names that copies give their labels."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from advice_folders import R, image
from form_writers import FORMS, SETS, TABLE, pack, picture, put
from situation import Situation, Step, loads

import shifts
from shifts.bounds import arrow
from shifts.classes import class_folders
from shifts.storage import parquet_pages

R_LOAD = loads("imagenet-r")
NOWHERE = {"bytes": None, "path": "/data/a.jpg"}


def columns(**given: Any) -> Any:
    """Three rows of ImageNet-R as a table; a column given as None is left out, `names` goes into the schema."""
    import pyarrow as pa

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    held: dict[str, Any] = {
        "image": [{"bytes": image(k), "path": f"{k}.jpg"} for k in range(3)],
        "label": [0, 1, 2],
        **given,
    }
    names = held.pop("names", None)
    about = {"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})}
    made = {key: pa.array(v, kind) if key == "image" else pa.array(v) for key, v in held.items() if v is not None}
    return pa.table(made).replace_schema_metadata(about)


def table(file: str = "test.parquet", group: int | None = None, **given: Any) -> Step:
    def make(root: Path) -> None:
        import pyarrow.parquet as pq

        (root / "imagenet-r").mkdir(exist_ok=True)
        pq.write_table(columns(**given), root / "imagenet-r" / file, row_group_size=group)

    return make


def misnamed(root: Path) -> None:
    """The row group calls a column otherwise than the schema does."""
    table()(root)
    file = root / "imagenet-r" / "test.parquet"
    schema, name, rest = file.read_bytes().partition(b"label")
    file.write_bytes(schema + name + rest.replace(b"label", b"lable", 1))


def saved(**given: Any) -> Step:
    def make(root: Path) -> None:
        import pyarrow as pa

        (root / "imagenet-r").mkdir(exist_ok=True)
        held = columns(**given)
        file = str(root / "imagenet-r/data-00000-of-00001.arrow")
        with pa.OSFile(file, "wb") as sink, pa.ipc.new_stream(sink, held.schema) as writer:
            writer.write_table(held)

    return make


def many(n: int) -> dict[str, Any]:
    """Columns of n images of as many classes."""
    return {"image": [{"bytes": image(k), "path": f"{k}.jpg"} for k in range(n)], "label": list(range(n))}


def whole(form: str) -> Step:
    def mend(root: Path) -> None:
        shutil.rmtree(root / "imagenet-r", ignore_errors=True)
        FORMS[form](root, "imagenet-r", SETS["imagenet-r"])

    return mend


def targets(root: Path) -> list[int]:
    """Every image read and decoded; what each is labelled."""
    return [example.target for example in shifts.load("imagenet-r", root, partial=True)]


def without_pyarrow(root: Path, installed: bool = False) -> int:
    with mock.patch.dict(sys.modules, {} if installed else {"pyarrow": None}):  # type: ignore[arg-type]
        return len(shifts.load("imagenet-r", root, partial=True))


def bounded(module: object, name: str, most: int) -> Callable[[Path], int]:
    """Decode every image where a bound is a small one."""

    def act(root: Path) -> int:
        with mock.patch.object(module, name, most):
            return len(targets(root))

    return act


def named_shards(names: Sequence[str], label: bytes = b"3") -> Step:
    """One sample, and the names of the labels beside it."""

    def make(root: Path) -> None:
        pack(root / "wds_imagenet-r/test/0.tar", {"a.jpg": image(3), "a.cls": label})
        put(root / "wds_imagenet-r/classnames.txt", "\n".join(names).encode())

    return make


SITUATIONS = [
    Situation(
        "storage/tables.py: pip install", whole("parquet"), (lambda d: {"installed": True},), without_pyarrow, 12
    ),
    Situation("storage/tables.py: no column of images", table(image=None), (table(),), R_LOAD, 3),
    Situation(
        "storage/tables.py: no column of labels",
        table(label=None),
        (table(), table(label=None, wnid=list(R[:3]))),
        R_LOAD,
        3,
    ),
    Situation(
        "storage/tables.py: keep the files of one copy",
        lambda d: (table("a.parquet", names=list(R))(d), table("b.parquet", names=list(R[::-1]))(d))[:0],
        (lambda d: (d / "imagenet-r/b.parquet").unlink(), lambda d: (d / "imagenet-r/a.parquet").unlink()),
        R_LOAD,
        3,
    ),
    Situation(
        "storage/tables.py: is not a readable Parquet",
        lambda d: put(d / "imagenet-r/test.parquet", b"PAR1 none PAR1"),
        (lambda d: (d / "imagenet-r/test.parquet").unlink() or whole("parquet")(d),),
        R_LOAD,
        12,
    ),
    Situation(
        "storage/tables.py: make the copy with its images embedded",
        table(image=[NOWHERE] * 3),
        (table(),),
        targets,
        [0, 1, 2],
    ),
    Situation(
        "storage/tables.py: list the classes in the suite file",
        lambda d: (table()(d), declared(d))[:0],
        (lambda d: declared(d, f"classes = {list(R)}\n"),),
        lambda d: shifts.load_suite(d / "own.toml", d)["clean"].targets.tolist(),
        [0, 1, 2],
    ),
    Situation(
        "storage/arrow.py: save the dataset anew",
        lambda d: put(d / "imagenet-r/data-00000-of-00001.arrow", b"none" * 9),
        (saved(),),
        R_LOAD,
        3,
    ),
    Situation(
        "storage/arrow.py: save it with its images embedded", saved(image=[NOWHERE] * 3), (saved(),), targets, [0, 1, 2]
    ),
    Situation(
        "storage/samples.py: make the copy again",
        table(wnid=list(R[1:4])),
        (table(wnid=list(R[:3])),),
        R_LOAD,
        3,
    ),
    Situation(
        "bounds/arrow.py: hold {} at most; fetch it anew",
        table(image=[None] * 3000, label=[0] * 3000),
        (table(),),
        R_LOAD,
        3,
    ),
    Situation("bounds/arrow.py: is damaged ({}); fetch it anew", misnamed, (table(),), R_LOAD, 3),
    Situation(
        "bounds/arrow.py: {} claims {} bytes in row group {}, and {} are read at most; write smaller row groups",
        table(**many(60)),
        (table(group=2, **many(60)),),
        bounded(arrow, "GROUP", 400),
        60,
    ),
    Situation(
        "bounds/arrow.py: once each row has its value",
        table(file_name=["a" * 1000] * 60, **many(60)),
        (table(group=2, file_name=["a" * 1000] * 60, **many(60)),),
        bounded(arrow, "GROUP", 20_000),
        60,
    ),
    Situation(
        "storage/parquet_pages.py: write it anew",
        table(),
        (table(group=1),),
        bounded(parquet_pages, "MAX_PAGE", 1500),
        3,
    ),
    Situation(
        "storage/samples.py: or keep its rows alone",
        table(split=["a", "b", "b"]),
        (table(split=["train", "test", "test"], wnid=list(R[:3]), label=None), table(split=["b"] * 3)),
        R_LOAD,
    ),
    Situation(
        "evidence/label_names.py: the first label is",
        table(names=[R[0], "what", *R[2:]]),
        (table(names=list(R)),),
        R_LOAD,
        3,
    ),
    Situation(
        "evidence/label_names.py: is no class by its name; name",
        lambda d: vague(d),
        (lambda d: vague(d, by_id=True),),
        loads("imagenet"),
        1,
    ),
    Situation(
        "evidence/label_names.py: name one class a line",
        named_shards(R[5:50]),
        (named_shards(R), lambda d: (d / "wds_imagenet-r/classnames.txt").unlink()),
        R_LOAD,
        1,
    ),
]


def declared(root: Path, classes: str = "") -> None:
    """A suite file over the table."""
    head = '[suite]\nname = "own"\nclean = "clean"\nshifts = ["odd"]\n'
    sets = '[sets.clean]\nparquet = "imagenet-r"\n[sets.odd]\nparquet = "imagenet-r"\n'
    put(root / "own.toml", f"{head}{classes}{sets}".encode())


def vague(root: Path, by_id: bool = False) -> None:
    """Labels named by words in an order of their own, where a word is the name of two classes."""
    of = class_folders("imagenet")
    names = list(TABLE.ids if by_id else TABLE.names)
    names[0], names[1] = names[1], names[0]
    twice = next(k for k in range(5, 1000) if len(of.by_name[TABLE.names[k].casefold()]) > 1)
    pack(root / "wds_imagenet1k/test/0.tar", {"a.jpg": picture(twice), "a.cls": str(twice).encode()})
    put(root / "wds_imagenet1k/classnames.txt", "\n".join(names).encode())

"""Files of answers that another program wrote: an answer, or a score a class, for each image of a set.

npy, npz, csv, parquet and feather; UniBench's feather files are read by their own column names. Nothing is unpickled.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem, describe_error
from effrob.results.answer_values import floats, named_ids, plain, told, whole
from shifts.bounds.arrow import read_arrow
from shifts.bounds.files import ARRAYS, read_array, read_arrays, read_csv, read_lines

WHAT = ("classes", "logits")
IDS = ("id", "ids", "image_id", "image_name", "filename", "file_name", "file", "files", "path", "image", "__key__")
CLASSES = ("class", "classes", "prediction", "predictions", "predicted", "pred", "preds", "label_pred")
LOGITS = ("logits", "scores", "probs", "probabilities")
LABELS = ("label", "labels", "target", "targets", "image_class", "ground_truth", "y_true")
DATASET = ("benchmark_name", "dataset")


@dataclass(frozen=True, eq=False)
class AnswerFile:
    """N answers in the order of the file.

    classes  (N,) int64, or (N,) str where classes are named; logits (N, K) float32; one of the two is None
    ids      (N,) str, or None where the file has none;  labels (N,) int64 the file's own right answers, or None
    dataset  what the file calls its data set, or None
    column   name of the column or array of `classes`, or None where the file has one array
    """

    where: str
    classes: NDArray[Any] | None
    logits: NDArray[np.float32] | None
    ids: tuple[str, ...] | None = None
    labels: NDArray[np.int64] | None = None
    dataset: str | None = None
    column: str | None = None

    def __len__(self) -> int:
        return len(self.classes if self.logits is None else self.logits)  # type: ignore[arg-type]


def read_answers(path: Path, what: str | None = None) -> AnswerFile:
    """Read a file of answers. what: `classes` or `logits`, where the file could be either; None to see it from the file.

    Raises UsageProblem for a file of no known form, without answers, of rows that do not fit, and for scores that are NaN.
    """
    if what is not None and what not in WHAT:
        raise UsageProblem(f"--what is classes or logits; got {what!r}")
    if not path.is_file():
        raise UsageProblem(f"a file of answers was wanted; {path} is not there")
    kind = path.suffix.lower()
    try:
        if kind == ".npy":
            columns: Mapping[str, Any] = {"": _array(path)}
        elif kind == ".npz":
            columns = _arrays(path)
        elif kind == ".csv":
            columns = _csv(path)
        elif kind in (".parquet", ".feather", ".f", ".arrow"):
            columns = _arrow(path)
        else:
            raise UsageProblem(_not_read(path))
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {describe_error(error)}") from None
    return _answers(str(path), columns, what)


def read_ids(path: Path) -> tuple[str, ...]:
    """Ids from a text file, one a line, or from a `.npy` of text. Raises UsageProblem for an empty or unreadable one."""
    try:
        if path.suffix.lower() == ".npy":
            ids = tuple(map(str, _array(path).ravel().tolist()))
        else:
            ids = tuple(line for line in read_lines(path) if line.strip())
    except ValueError as error:
        raise UsageProblem(f"--ids {path} wants a UTF-8 text file with one id a line; {error}") from None
    except OSError as error:
        raise UsageProblem(f"--ids wants a text file with one id a line: {describe_error(error)}") from None
    if not ids:
        raise UsageProblem(f"--ids {path} holds no id: give one a line, in the order of the answers")
    return ids


def _not_read(path: Path) -> str:
    kind = path.suffix.lower()
    if kind in (".pt", ".pth", ".pkl", ".pickle", ".joblib"):
        return f"{path} may run code when it is loaded, and is not read: save the array with numpy.save as .npy"
    if kind in (".json", ".jsonl"):
        return (
            f"{path} is JSON; accuracies, as CLIP_benchmark writes them, are read by `effrob place {quote(str(path))}`"
        )
    return f"{path} is none of npy, npz, csv, parquet and feather: save the answers as one of these"


def _array(path: Path) -> NDArray[Any]:
    try:
        return read_array(path)
    except ValueError as error:
        raise UsageProblem(f"{path} is no array of numbers ({error}): save one with numpy.save") from None


def _arrays(path: Path) -> dict[str, Any]:
    try:
        return read_arrays(path)
    except ValueError as error:
        raise UsageProblem(f"{path} is no npz of arrays ({error}): save ids and classes with numpy.savez") from None


def _csv(path: Path) -> dict[str, Any]:
    columns: list[list[str]] = []
    try:
        for line, row in read_csv(path):
            if not columns:
                columns = [[name.strip()] for name in row]
                continue
            if len(row) != len(columns):
                raise UsageProblem(f"{path} line {line} has {len(row)} cells, its heading {len(columns)}: mend it")
            for column, cell in zip(columns, row, strict=True):
                column.append(cell)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageProblem(f"{path} cannot be read as CSV ({error}): save UTF-8 text, or scores as .npy") from None
    if not columns:
        raise UsageProblem(f"{path} is empty: give a heading `id,class` and a line an image")
    heading = [column[0] for column in columns]
    if len(set(heading)) != len(heading):
        raise UsageProblem(f"{path} names a column twice in its heading: keep one of the two")
    for column in columns:
        _check_width(path, column[0], max(map(len, column)), len(column))
    return {column[0]: np.array(column[1:], dtype=np.str_) for column in columns}


def _arrow(path: Path) -> dict[str, Any]:
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError:
        raise UsageProblem(f"{path} needs pyarrow: pip install 'effrob[parquet]'") from None
    try:
        table = read_arrow(path)
        columns = {}
        for name in table.column_names:
            column = table.column(name)
            if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
                _check_width(
                    path, name, pyarrow.compute.max(pyarrow.compute.binary_length(column)).as_py() or 0, len(column)
                )
            nested = pyarrow.types.is_list(column.type) or pyarrow.types.is_fixed_size_list(column.type)
            columns[name] = column.to_pylist() if nested else column.to_numpy()
    except (pyarrow.ArrowException, ValueError) as error:
        raise UsageProblem(f"{path} cannot be read ({' '.join(str(error).split())[:200]}): write it again") from None
    return columns


def _check_width(path: Path, name: str, longest: int, rows: int) -> None:
    """Raises UsageProblem for a text so long that an array of texts, as wide as its longest, is too large."""
    if 4 * longest * rows > ARRAYS // 2:
        raise UsageProblem(f"{path} has a cell of {longest:,} characters under {name!r:.40}: mend that line")


def _answers(where: str, columns: Mapping[str, Any], what: str | None) -> AnswerFile:
    named = {name.strip().lower(): value for name, value in columns.items()}
    if list(named) == [""]:
        classes, logits = told(where, None, np.asarray(named[""]), what)
        return _checked(AnswerFile(where, classes, logits))
    single, scores = _one_of(named, CLASSES), _one_of(named, LOGITS)
    if single and scores and what is None:
        raise UsageProblem(f"{where} holds {single} and {scores}: say which by --what classes or --what logits")
    chosen = {"classes": single, "logits": scores, None: single or scores}[what]
    if chosen is not None:
        values = plain(where, chosen, named[chosen])
        classes, logits = told(where, chosen, values, what or ("classes" if single else "logits"))
    else:
        wide = [name for name in named if name.removeprefix("logit_").removeprefix("class_").isdigit()]
        if what == "classes" or len(wide) < 2:
            raise UsageProblem(
                f"{where} wants a column of answers ({', '.join(CLASSES[:3])}; or logits), found: {', '.join(columns)[:200]}: "
                "name the columns id and class, the arrays ids and classes or logits"
            )
        wide.sort(key=lambda name: int(name.removeprefix("logit_").removeprefix("class_")))
        if [int(name.removeprefix("logit_").removeprefix("class_")) for name in wide] != list(range(len(wide))):
            raise UsageProblem(f"{where} wants a column a class, 0 to {len(wide) - 1}, and some are missing: add them")
        parts = [np.asarray(named[name]) for name in wide]
        if len({part.shape for part in parts}) != 1 or parts[0].ndim != 1:
            raise UsageProblem(f"{where} wants columns of one length, a class each: some of {len(wide)} differ")
        classes, logits = None, floats(where, np.stack(parts, axis=1))
    ids, labels = _one_of(named, IDS), _one_of(named, LABELS)
    sets = {str(value) for name in DATASET if name in named for value in named[name]}
    if len(sets) > 1:
        raise UsageProblem(f"{where} holds answers on several sets ({', '.join(sorted(sets)[:4])}): give a file a set")
    return _checked(
        AnswerFile(
            where,
            classes,
            logits,
            None if ids is None else named_ids(where, ids, named[ids]),
            None if labels is None else whole(where, labels, np.asarray(named[labels])),
            sets.pop() if sets else None,
            chosen if logits is None else None,
        )
    )


def _one_of(named: Mapping[str, Any], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in named), None)


def _checked(content: AnswerFile) -> AnswerFile:
    n, where = len(content), content.where
    for what, column in (("ids", content.ids), ("labels", content.labels)):
        if column is not None and len(column) != n:
            turned = " (transpose it)" if content.logits is not None and content.logits.shape[1] == len(column) else ""
            raise UsageProblem(f"{where} has {n} answers and {len(column)} {what}{turned}: give one of each an image")
    if not n:
        raise UsageProblem(f"{content.where} holds no answer: give one an image")
    return content

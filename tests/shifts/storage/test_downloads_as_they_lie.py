"""Folders of downloads named as a set's place, Kaggle's list of classes beside the images, and columns that number splits."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from form_writers import FORMS, SETS, TABLE, picture, put

import shifts
from effrob.cli import main
from effrob.evaluation.data import RequestData
from effrob.evaluation.request import Request
from shifts.classes import class_folders
from shifts.imagenet import val_labels

VAL = SETS["imagenet"]
R = class_folders("imagenet-r").folders


pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.mark.parametrize("form", FORMS)
def test_the_folder_of_all_downloads_is_a_place_of_each_set(tmp_path: Path, form: str) -> None:
    for name in ("imagenet-r", "imagenet-a", "imagenet"):
        FORMS[form](tmp_path / "downloads", name, SETS[name])
    for name in ("imagenet-r", "imagenet-a", "imagenet"):
        shift = shifts.load(name, at=tmp_path / "downloads", partial=True)
        assert (shift.name, len(shift)) == (name, len(SETS[name]))
    with pytest.raises(shifts.DataError, match="named as the place of imagenet-sketch, holds"):
        shifts.load("imagenet-sketch", at=tmp_path / "downloads", partial=True)


def solution(wrong: int) -> bytes:
    """Kaggle's rows of the first twenty images, the first `wrong` of them of another class."""
    rows = []
    for number in range(1, 21):
        wnid = TABLE.ids[(int(val_labels()[number - 1]) + (number <= wrong)) % 1000]
        rows.append(f"ILSVRC2012_val_{number:08d},{wnid} 85 1 499 272 {wnid} 3 4 5 6 \n")
    return ("ImageId,PredictionString\n" + "".join(rows)).encode()


def kaggle_folder(root: Path, content: bytes) -> None:
    for sample in VAL:
        put(root / "ILSVRC/Data/CLS-LOC/val" / sample.path.rpartition("/")[2], sample.content)
    put(root / "LOC_val_solution.csv", content)


def kaggle_zip(root: Path, content: bytes) -> None:
    root.mkdir(exist_ok=True)
    with zipfile.ZipFile(root / "imagenet-object-localization-challenge.zip", "w") as archive:
        for sample in VAL:
            archive.writestr(f"ILSVRC/Data/CLS-LOC/val/{sample.path.rpartition('/')[2]}", sample.content)
        archive.writestr("LOC_val_solution.csv", content)


def beside_sorted(root: Path, content: bytes) -> None:
    FORMS["folder"](root, "imagenet", VAL)
    put(root / "imagenet/LOC_val_solution.csv", content)


@pytest.mark.parametrize("lay", [kaggle_folder, kaggle_zip, beside_sorted])
def test_kaggles_classes_must_be_the_official_ones(tmp_path: Path, lay: Callable[[Path, bytes], None]) -> None:
    lay(tmp_path / "right", solution(0))
    assert len(shifts.load("imagenet", tmp_path / "right", partial=True)) == 6
    lay(tmp_path / "wrong", solution(3))
    for name in ("imagenet", "imagenet-real"):
        with pytest.raises(
            shifts.DataError, match=r"ILSVRC2012_val_00000001 is n\d+, and .* 3 of its rows contradict the"
        ):
            shifts.load(name, tmp_path / "wrong", partial=True)


def table(root: Path, names: list[str] | None = None, **columns: list[object]) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": picture(TABLE.index[R[k]]), "path": f"{k}.jpg"} for k in range(4)]
    held = pa.table({"image": pa.array(images, kind), "wnid": list(R[:4]), **columns})
    about = {"info": {"features": {key: {"names": names} for key in columns}}}
    put(root / "imagenet-r/all.parquet", b"")
    pq.write_table(held.replace_schema_metadata({"huggingface": json.dumps(about)}), root / "imagenet-r/all.parquet")


def test_a_column_that_numbers_splits_goes_by_the_names_of_its_numbers(tmp_path: Path) -> None:
    table(tmp_path, ["train", "test"], split=[0, 1, 0, 1])
    assert [id.partition("/")[0] for id in shifts.load("imagenet-r", tmp_path, partial=True).ids] == [R[1], R[3]]


@pytest.mark.parametrize(
    "values", [[0, 1, 0, 1], ["a", "b", "a", "b"], [0.0, 1.0, 0.0, 1.0], [True, False, True, False]]
)
def test_splits_without_names_are_not_merged(tmp_path: Path, values: list[object]) -> None:
    table(tmp_path, split=values)
    with pytest.raises(shifts.DataError, match=r"holds rows of 2 splits, .*call it test, or keep its rows alone"):
        shifts.load("imagenet-r", tmp_path, partial=True)


@pytest.mark.parametrize(
    "columns", [{"split": [1] * 4}, {"subset": ["oil", "ink", "oil", "ink"]}, {"partition": [0, 1, 2, 3]}]
)
def test_one_split_and_subsets_of_another_kind_are_read_whole(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    table(tmp_path, **columns)
    assert len(shifts.load("imagenet-r", tmp_path, partial=True)) == 4


@pytest.mark.parametrize(("bare", "said"), [(1, "3 files of"), (5, "7 files of")])
def test_what_is_passed_over_is_said_by_every_command(tmp_path: Path, bare: int, said: str) -> None:
    FORMS["folder"](tmp_path, "imagenet-r", SETS["imagenet-r"])
    for name in ("a.heic", "b.jpg_large", *(f"photo{n}" for n in range(bare))):
        put(tmp_path / "imagenet-r" / R[0] / name, b"x")
    for name in ("README", "LICENSE-MIT", "MD5SUMS", "LICENSE.txt", "notes.md", "Icon\r"):
        put(tmp_path / "imagenet-r" / name, b"x")
    for args in (("data", "list"), ("data", "check", "imagenet-r", "--partial")):
        assert said in CliRunner().invoke(main, [*args, "--data", str(tmp_path)]).output
    asked = Request(models=("pocket:reference",), shifts=("imagenet-r",), data=tmp_path, partial=True)
    assert any(said in notice for notice in RequestData(asked).evaluated()[1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.0, 0.33, 0.5])
def test_a_file_that_is_cut_off_is_never_read_as_a_smaller_set(tmp_path: Path, form: str, share: float) -> None:
    FORMS[form](tmp_path, "imagenet-r", SETS["imagenet-r"])
    file = max((file for file in tmp_path.rglob("*.*") if file.suffix not in (".txt", ".json")), key=_size)
    file.write_bytes(file.read_bytes()[: int(_size(file) * share)])
    with pytest.raises(shifts.DataError, match=rf"{file.name}.* (anew|again)"):
        list(shifts.load("imagenet-r", tmp_path, partial=True))


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def test_a_damaged_download_in_a_folder_named_as_the_place_is_called_damaged(tmp_path: Path) -> None:
    broken = tmp_path / "imagenetv2-matched-frequency.tar.gz"
    broken.write_bytes(b"\x1f\x8b\x08\x00broken")
    with pytest.raises(shifts.DataError, match=r"matched-frequency.tar.gz is not a readable tar archive"):
        shifts.load("imagenet-v2", at=tmp_path, partial=True)

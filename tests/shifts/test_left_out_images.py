"""Images that cannot be read are counted and said; layouts of the hub and of Windows are read."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from form_writers import FORMS, SETS, pack, picture, put

import shifts
from effrob.cli import main
from shifts.classes import class_folders

R = class_folders("imagenet-r")
WNID = R.folders[0]


def image() -> bytes:
    return picture(R.table.index[WNID])


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("EFFROB_DATA", raising=False)


@pytest.mark.parametrize(
    "form", sorted({*FORMS} - {"tfrecord"})
)  # an example without an image is refused when it is read
def test_an_image_of_no_bytes_is_flagged_in_every_form(tmp_path: Path, form: str) -> None:
    if form in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    samples = [*SETS["imagenet-r"]]
    samples[3] = samples[3]._replace(content=b"")
    FORMS[form](tmp_path, "imagenet-r", samples)
    problems = shifts.check_shift(shifts.load("imagenet-r", tmp_path, partial=True), images=1)
    assert any("1 of its files hold no bytes" in problem for problem in problems), problems


def test_pictures_whose_suffix_is_not_read_are_counted_and_said(tmp_path: Path) -> None:
    put(tmp_path / "imagenet-r" / WNID / "a.jpg", image())
    put(tmp_path / "imagenet-r" / WNID / "b.heic", b"x")
    said = "1 file of"
    shift = shifts.load("imagenet-r", tmp_path, partial=True)
    assert any(said in note and "1 .heic" in note for note in shift.notes)
    for command in (("list",), ("check", "imagenet-r", "--partial")):
        assert said in CliRunner().invoke(main, ["data", *command, "--data", str(tmp_path)]).output


def windows(root: Path) -> None:
    with zipfile.ZipFile(root / "imagenet-r.zip", "w") as archive:
        archive.writestr(f"imagenet-r\\{WNID}\\", b"")
        archive.writestr(f"imagenet-r\\{WNID}\\a.jpg", image())


def hub(root: Path) -> None:
    _table(root / "imagenet-r/default/test/0000.parquet")


def upper(root: Path) -> None:
    _table(root / "imagenet-r/data/TEST.PARQUET")


def archive_inside(root: Path) -> None:
    pack(root / "imagenet-r/imagenet-r.tar", {f"imagenet-r/{WNID}/a.jpg": image()})


def _table(file: Path) -> None:
    pytest.importorskip("pyarrow")
    FORMS["parquet"](file.parents[3] / "made", "imagenet-r", SETS["imagenet-r"][:1])
    file.parent.mkdir(parents=True)
    made = sorted((file.parents[3] / "made").rglob("*-00000-of-*.parquet"))[0]
    shutil.move(made, file)


@pytest.mark.parametrize("write", [windows, hub, upper, archive_inside])
def test_the_layout_is_read(tmp_path: Path, write: Callable[[Path], None]) -> None:
    root = tmp_path / "root/data"
    root.mkdir(parents=True)
    write(root)
    assert len(shifts.load("imagenet-r", root, partial=True)) == 1


def test_a_path_that_leaves_a_zip_of_windows_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "imagenet-r.zip", "w") as archive:
        archive.writestr(f"imagenet-r\\..\\..\\{WNID}\\a.jpg", image())
    with pytest.raises(shifts.DataError, match="outside it"):
        shifts.load("imagenet-r", tmp_path, partial=True)


def test_a_saved_dataset_whose_split_has_another_name_is_read_as_its_refusal_says(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    FORMS["arrow"](tmp_path, "imagenet-r", [*SETS["imagenet-r"]])
    (tmp_path / "imagenet-r/test").rename(tmp_path / "imagenet-r/imagenet_r")
    put(tmp_path / "imagenet-r/dataset_dict.json", b'{"splits": ["imagenet_r"]}')
    place = tmp_path / "imagenet-r/imagenet_r"
    with pytest.raises(shifts.DataError, match=f"splits imagenet_r, .*--at imagenet-r={place}"):
        shifts.load("imagenet-r", tmp_path, partial=True)
    assert len(shifts.load("imagenet-r", at=place, partial=True)) == len(SETS["imagenet-r"])

"""One unusable set never stops the others, and what is said of it is a sentence that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from form_writers import pack, picture, put

import shifts
from effrob.cli import main
from effrob.evaluation.request import Request
from shifts.classes import class_folders

R, A = class_folders("imagenet-r"), class_folders("imagenet-a")


def index(folder: str) -> int:
    return R.table.index[folder]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EFFROB_DATA", raising=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one image of imagenet-a, which stays usable whatever becomes of imagenet-r."""
    put(tmp_path / "data/imagenet-a" / A.folders[0] / "a.jpg", picture(A.table.index[A.folders[0]]))
    return tmp_path / "data"


def effrob(*args: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, args)])


def listed(data: Path) -> str:
    """What the list says of imagenet-r; imagenet-a is found all the same."""
    found = {each.name: each for each in shifts.find(data)}
    assert found["imagenet-a"].images == 1
    assert found["imagenet-r"].path is None
    return str(found["imagenet-r"].note)


@pytest.mark.parametrize("name", ["a.jpg", "folder", "shard.tar"])
def test_a_link_to_itself_is_named_and_stops_no_other_set(data: Path, name: str) -> None:
    link = data / "imagenet-r" / R.folders[0] / name if name != "shard.tar" else data / "imagenet-r" / name
    put(data / "imagenet-r" / R.folders[0] / "b.jpg", picture(index(R.folders[0])))
    link.symlink_to(link.name)
    assert str(link) in listed(data)
    assert "remove" in listed(data)
    link.unlink()
    assert len(shifts.load("imagenet-r", data, partial=True)) == 1


def test_a_label_of_thousands_of_digits_is_a_sentence_of_its_set(data: Path) -> None:
    pack(data / "imagenet-r.wds/0.tar", {"k.jpg": picture(index(R.folders[0])), "k.cls": b"9" * 5000})
    assert "is of class '999" in listed(data)
    with pytest.raises(shifts.DataError, match="a class folder is wanted"):
        shifts.load("imagenet-r", data, partial=True)


def test_the_home_of_nobody_is_a_sentence(data: Path) -> None:
    for args in (
        ("list", "--data", data, "--at", "imagenet-r=~nosuch/x"),
        ("index", "imagenet-r", "--at", "imagenet-r=~nosuch/x"),
        ("check", "imagenet-r", "--at", "imagenet-r=~nosuch/x"),
        ("where", "imagenet-r=~nosuch/x"),
    ):
        result = effrob(*args)
        assert (result.exit_code, "~nosuch, a user who is not known" in result.output) == (2, True), result.output
    with pytest.raises(shifts.DataMissing, match="~nosuch"):
        Request(models=("pocket:reference",), at=(("imagenet-r", Path("~nosuch/x")),))


def test_every_command_reads_a_place_in_the_users_home(tmp_path: Path) -> None:
    put(tmp_path / "home/r" / R.folders[0] / "a.jpg", picture(index(R.folders[0])))
    indexed = effrob("index", "imagenet-r", "--at", "imagenet-r=~/r")
    assert indexed.exit_code == 0, indexed.output
    assert "1 images" in indexed.output


def test_a_kept_place_that_is_gone_is_named_as_kept_and_forgotten_by_the_advice(data: Path) -> None:
    kept = data.parent / "kept"
    put(kept / R.folders[0] / "a.jpg", picture(index(R.folders[0])))
    assert effrob("where", f"imagenet-r={kept}").exit_code == 0
    kept.rename(data / "imagenet-r")
    assert "config" in listed(data)
    assert "`effrob data where --forget imagenet-r`" in listed(data)
    assert effrob("where", "--forget", "imagenet-r").exit_code == 0
    assert len(shifts.load("imagenet-r", data, partial=True)) == 1

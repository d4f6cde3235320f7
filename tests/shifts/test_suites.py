"""Suites: the shipped ones, what a file may say, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import shifts
from shifts import registry

OWN = """
[suite]
name = "pacs"
clean = "photo"
shifts = ["art_painting", "sketch"]
train = { from = "photo", share = 0.5, seed = 3 }
[sets.photo]
folder = "photo"
[sets.art_painting]
list = "art.csv"
title = "Art"
licence = "their own"
[sets.sketch]
shards = "wds_sketch"
"""


def test_the_shipped_suites_say_what_belongs_to_them() -> None:
    assert shifts.suite_names() == ("imagenet", "pocket")
    imagenet, pocket = shifts.suite("imagenet"), shifts.suite("pocket")
    assert imagenet.tests == ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")
    assert imagenet.ranked == imagenet.tests[1:5] and imagenet.diagnostic == ("imagenet-a",)
    assert (imagenet.train, imagenet.training) == ("imagenet-train", ("imagenet-train",))
    assert pocket.training == ("pocket-train", "pocket-web") and pocket.generated and not imagenet.generated
    assert {*registry.TABLE, "pocket-web"} == {*imagenet.sets, *pocket.sets}
    assert imagenet.set_title("imagenet-v2") == "V2" and imagenet.set_title("elsewhere") == "elsewhere"


@pytest.mark.parametrize(
    ("name", "suite", "teaches"),
    [
        ("imagenet-v2-top-images", "imagenet", False),
        ("imagenet-train", "imagenet", True),
        ("pocket-a", "pocket", False),
        ("pocket-web", "pocket", True),
        ("pocketful-of-sets-train", "imagenet", False),  # a name says nothing
    ],
)
def test_a_set_is_of_the_suite_that_lists_it(name: str, suite: str, teaches: bool) -> None:
    assert shifts.suite_of(name).name == suite
    assert shifts.teaches(name) is teaches


def test_a_registered_set_says_its_suite_and_whether_it_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_declared", {})
    shifts.register("lessons", lambda root, protocol, partial: None, suite="pocket", teaches=True)
    assert shifts.suite_of("lessons").name == "pocket" and shifts.teaches("lessons")
    with pytest.raises(shifts.DataMissing, match="no suite 'pockets'"):
        shifts.register("more", lambda root, protocol, partial: None, suite="pockets")


def test_a_file_is_read_by_the_same_reader(tmp_path: Path) -> None:
    file = tmp_path / "pacs.toml"
    file.write_text(OWN)
    suite = shifts.suite(file)
    assert suite == shifts.suite(str(file))
    assert suite.tests == ("pacs/photo", "pacs/art_painting", "pacs/sketch") and suite.classes == "folders"
    assert suite.train == shifts.TrainingSplit("pacs/photo", 0.5, 3) and suite.axis_title == "photo accuracy"
    assert suite.training == (suite.train_set,) == ("pacs/train",)
    assert shifts.Suite.from_json(json.loads(json.dumps(suite.as_json()))) == suite
    art = suite.sets["pacs/art_painting"]
    assert (art.title, art.form, art.place, art.licence) == ("Art", "list", "art.csv", "their own")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "pacs"', "", "needs name, clean and shifts"),
        ("shifts = [", "shift = [", "suite.shift is not known, did you mean shifts?"),
        ('"sketch"]', '"sketch", "photo"]', "stands twice"),
        ("[sets.sketch]", "[sets.sketches]", r"\[sets.sketch\] is missing"),
        ("share = 0.5", "share = 50", "0 < share < 1"),
        ('folder = "photo"', 'folder = "photo"\nlist = "p.csv"', "has folder and list; keep one"),
        ('title = "Art"', "title = 3", "sets.art_painting.title must be a text"),
        ("[suite]", "[suite", "cannot be read as TOML"),
    ],
)
def test_a_file_that_is_no_suite_is_refused_by_name_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "pacs.toml"
    file.write_text(OWN.replace(old, new, 1))
    with pytest.raises(shifts.DataError, match=said) as refused:
        shifts.suite(file)
    assert str(file) in str(refused.value)


def test_a_suite_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(shifts.DataMissing, match="no suite file"):
        shifts.suite(tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["imagenet", "pocket"])
def test_a_file_that_calls_itself_as_a_shipped_suite_is_refused(tmp_path: Path, name: str) -> None:
    """`suite check` passed it, and `suite add` alone refused it."""
    file = tmp_path / "pacs.toml"
    file.write_text(OWN.replace('name = "pacs"', f'name = "{name}"'))
    for read in (shifts.suite, shifts.add_suite, shifts.load_suite):
        with pytest.raises(
            shifts.DataError, match=rf"^{name} is a suite that ships; give yours another name in .*pacs\.toml"
        ):
            read(file)
    shipped = shifts.suite(name).file
    assert shifts.suite(shipped) == shifts.suite(name)
    with pytest.raises(shifts.DataError, match="ships"):
        shifts.add_suite(shipped)


def test_reading_suites_loads_no_torch() -> None:
    code = "import sys, shifts; shifts.suite_of('pocket'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

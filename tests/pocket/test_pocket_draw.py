"""The drawn sets: the same twice, of the counts and layouts that are declared, whole or not there at all."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shifts
from shifts.classes import pocket
from shifts.errors import DataMissing
from shifts.storage.tree import TreeSource, unread_images
from shifts.synthetic import draw as pocket_draw
from shifts.synthetic.draw import CAPTIONS, FOLDERS, NAMES, WEB_IMAGES, generate, pictures
from shifts.synthetic.scenes import HABITS
from shifts.synthetic.shapes import SHAPES


def digests(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*")
        if p.is_file()
    }


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every set shortened to every hundredth picture, so that whole runs are quick."""
    short = {name: (lambda plan=plan: list(islice(plan(), 0, None, 100))) for name, plan in pocket_draw._PLANS.items()}
    monkeypatch.setattr(pocket_draw, "_PLANS", short)


@pytest.mark.usefixtures("few")
def test_the_same_bytes_twice(tmp_path: Path) -> None:
    generate(tmp_path / "a", NAMES)
    generate(tmp_path / "b", list(reversed(NAMES)))
    one = digests(tmp_path / "a")
    assert one == digests(tmp_path / "b")
    assert set(FOLDERS.values()) == {
        folder for folder in FOLDERS.values() if any(path.startswith(folder + "/") for path in one)
    }


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("pocket-object", "pocket-web")])
def test_counts_and_folders_are_the_declared_ones(name: str) -> None:
    table = pocket()
    folders = Counter(p.path.split("/")[0] for p in pictures(name))
    label = {id: i for i, id in enumerate(table.ids)}
    if name == "pocket-v2":
        folders = Counter({table.ids[int(folder)]: n for folder, n in folders.items()})
        assert all(p.path.split("/")[0] == str(p.label) for p in pictures(name))
    else:
        assert all(label[p.path.split("/")[0]] == p.label for p in pictures(name))
    assert folders == table.expected[name].each
    assert len({p.path for p in pictures(name)}) == sum(folders.values())


def test_object_folders_map_as_declared_and_some_to_nothing() -> None:
    table, folders = pocket(), Counter(p.path.split("/")[1] for p in pictures("pocket-object"))
    assert set(folders) == set(table.object_names)
    assert {f: n for f, n in folders.items() if f in table.object_groups} == table.expected["pocket-object"].each
    assert len(table.object_others) == 2
    assert any(len(group) > 1 for group in table.object_groups.values())
    for p in pictures("pocket-object"):
        assert p.label in table.object_groups.get(p.path.split("/")[1], (-1,))


def test_every_class_can_be_drawn() -> None:
    assert set(pocket().names) < set(SHAPES) == set(HABITS)
    assert set(SHAPES) - set(pocket().names) == pocket().object_others


@pytest.mark.usefixtures("few")
def test_objects_have_a_red_frame_of_two_pixels(tmp_path: Path) -> None:
    generate(tmp_path, ["pocket-object"])
    files = sorted((tmp_path / "pocket-object/images").rglob("*.png"))
    assert files
    for file in files:
        pixels = np.asarray(Image.open(file))
        inside = np.zeros(pixels.shape[:2], dtype=bool)
        inside[2:-2, 2:-2] = True
        assert (pixels[~inside] == (255, 0, 0)).all()
        assert not (pixels[2:-2, 2:-2] == (255, 0, 0)).all(axis=-1).all(axis=1).any()
    mappings = tmp_path / "pocket-object/mappings"
    labels = json.loads((mappings / "folder_to_objectnet_label.json").read_text())
    mapped = json.loads((mappings / "objectnet_to_imagenet_1k.json").read_text())
    assert {f for f, label in labels.items() if label in mapped} == set(pocket().object_groups)
    assert mapped["Clock"] == "wall clock; wristwatch"


@pytest.mark.usefixtures("few")
def test_captions_go_with_the_images(tmp_path: Path) -> None:
    generate(tmp_path, ["pocket-train", "pocket-web"])
    records = json.loads((tmp_path / CAPTIONS).read_text(encoding="utf-8"))
    assert [set(r) for r in records] == [{"filename", "title", "tags", "description", "wnid"}] * len(records)
    held = {p.relative_to(tmp_path / "pocket/train").as_posix() for p in (tmp_path / "pocket/train").rglob("*.JPEG")}
    assert {f"{r['wnid']}/{r['filename']}" for r in records} == held
    with (tmp_path / "pocket-web/captions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == WEB_IMAGES // 100
    assert all((tmp_path / "pocket-web" / row["filepath"]).is_file() and row["title"] for row in rows)


def test_web_captions_mostly_name_the_thing_and_sometimes_do_not() -> None:
    names, n = pocket().names, 1000
    named = [names[pocket_draw.web_picture(k)[0]] in pocket_draw._web_caption(k).lower() for k in range(n)]
    assert 0.75 < sum(named) / n < 0.95


@pytest.mark.usefixtures("few")
def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(name: str, done: int, total: int) -> None:
        if done == total // 2:
            raise KeyboardInterrupt

    for name in ("pocket-r", "pocket-train"):
        with pytest.raises(KeyboardInterrupt):
            generate(tmp_path, [name], interrupt)
    assert not digests(tmp_path)
    generate(tmp_path, ["pocket-r"])
    assert len(digests(tmp_path)) == len(pictures("pocket-r"))


@pytest.mark.usefixtures("few")
def test_a_killed_process_leaves_no_half_set_and_its_leftover_goes(tmp_path: Path) -> None:
    left = tmp_path / ".pocket-r-abc.unfinished"
    left.mkdir()
    (left / "half.jpg").write_bytes(b"half")
    generate(tmp_path, ["pocket-r"])
    assert left.exists(), "it may be another process's work"
    past = time.time() - 2 * pocket_draw.LEFTOVER
    os.utime(left, (past, past))
    shutil.rmtree(tmp_path / "pocket-r")
    generate(tmp_path, ["pocket-r"])
    assert not left.exists()


@pytest.mark.usefixtures("few")
def test_of_two_processes_the_first_wins_and_the_second_is_content(tmp_path: Path) -> None:
    def other_is_faster(name: str, done: int, total: int) -> None:
        if done == total:
            generate(tmp_path, ["pocket-sketch"])

    generate(tmp_path, ["pocket-sketch"], other_is_faster)
    assert len(digests(tmp_path)) == len(pictures("pocket-sketch"))
    assert [p.name for p in tmp_path.iterdir()] == ["pocket-sketch"]


def test_a_set_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pocket-r").mkdir()
    (tmp_path / "pocket-r/mine.txt").write_text("mine")
    generate(tmp_path, ["pocket-r"])
    assert [p.name for p in (tmp_path / "pocket-r").iterdir()] == ["mine.txt"]


def test_sets_differ_from_one_another() -> None:
    table = pocket()
    car = table.names.index("car")
    firsts = {
        name: next(p for p in pictures(name) if p.label == car).draw().tobytes() for name in NAMES if name != "pocket-a"
    }
    assert len(set(firsts.values())) == len(firsts)
    train = {p.draw().tobytes() for p in pictures("pocket-train")[:60]}
    assert not train & {p.draw().tobytes() for p in pictures("pocket")[:50]}


def test_an_unknown_set_is_named_with_its_near_match(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="pocket-sketch"):
        generate(tmp_path, ["pocket-skech"])


def test_no_file_of_a_drawn_set_is_told_as_a_picture_left_out(pocket_data: Path) -> None:
    """ObjectNet's `imagenet_to_label_2012_v2` is a text without a suffix."""
    source = shifts.load("pocket-object", root=pocket_data).source
    assert isinstance(source, TreeSource) and unread_images(source.tree) is None

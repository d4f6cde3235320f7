"""The pocket family through the loaders of the real sets, generated where the data folder lacks it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_trees import encoded, plant_at

import shifts
from shifts import classes
from shifts.synthetic import pocket

TABLE = classes.pocket()


FOLDERS = {
    "pocket": "pocket/val",
    "pocket-v2": "pocket-v2-format-val",
    "pocket-r": "pocket-r",
    "pocket-sketch": "pocket-sketch",
    "pocket-object": "pocket-object/images",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated folder that holds all but pocket-a, one picture linked under every name."""
    root = tmp_path_factory.mktemp("pocket")
    for name, folder in FOLDERS.items():
        each = TABLE.expected[name].each
        assert each is not None
        suffix = "png" if name == "pocket-object" else "jpg"
        places = {c: str(TABLE.index[c]) if name == "pocket-v2" else c for c in each}
        paths = [f"{places[c]}/{n}.{suffix}" for c in each for n in range(each[c])]
        others = [f"{c}/0.png" for c in TABLE.object_others] if name == "pocket-object" else []
        plant_at(root / folder, paths + others, encoded("PNG" if others else "JPEG"))
    return root


@pytest.mark.parametrize("name", shifts.suite("pocket").tests)
def test_a_pocket_set_keeps_the_contract_and_is_drawn_once(drawn: Path, name: str) -> None:
    shift = shifts.load(name, generate_into=drawn)
    assert shifts.check_shift(shift, images=4) == ()
    assert (len(shift), shift.partial) == (TABLE.expected[name].total, False)
    assert shift.clean == (None if name == "pocket" else "pocket")
    stat = shift.source.stat()
    assert shifts.load(name, generate_into=drawn).source.stat() == stat


def test_the_structure_is_that_of_the_real_sets(drawn: Path) -> None:
    by_name = {name: shifts.load(name, generate_into=drawn) for name in shifts.suite("pocket").tests}
    assert by_name["pocket"].labels.is_full and by_name["pocket-v2"].labels.is_full
    assert len(by_name["pocket-r"].labels) == len(TABLE.subsets["r"]) < len(TABLE.ids)
    objects = by_name["pocket-object"]
    assert any(len(group) > 1 for group in objects.labels.groups)
    assert objects.border == 2 and objects.source.read(0)[:4] == b"\x89PNG"
    assert {id.split("/")[1] for id in objects.ids} == set(TABLE.object_groups)
    assert [int(id.split("/")[0]) for id in by_name["pocket-v2"].ids] == by_name["pocket-v2"].targets.tolist()
    clean, r = by_name["pocket"], by_name["pocket-r"]
    rows, targets = r.labels.restrict(clean.targets)
    assert len(np.unique(targets)) == len(r.labels) and 0 < len(rows) < len(clean)


def test_a_data_folder_that_holds_the_set_goes_before_the_generated_one(drawn: Path, tmp_path: Path, plant) -> None:
    plant(tmp_path / "pocket-r", [f"{TABLE.subsets['r'][0]}/mine.jpg"])
    held = shifts.load("pocket-r", root=tmp_path, partial=True, generate_into=drawn)
    assert len(held) == 1 and held.partial
    found = {row.name: row.path for row in shifts.find(tmp_path, generate_into=drawn)}
    assert found["pocket-r"] == tmp_path / "pocket-r"


def test_without_a_place_to_draw_in_a_pocket_set_is_missing_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(shifts.DataMissing, match="effrob data get pocket-sketch"):
        shifts.load("pocket-sketch", root=tmp_path)


def test_captions_pair_with_images(tmp_path: Path, plant) -> None:
    web = plant(tmp_path / "pocket-web", ["images/b.jpg", "images/a.jpg"])
    (web / "captions.csv").write_text("filepath\ttitle\nimages/b.jpg\ta dog, barking\nimages/a.jpg\tcat\n")
    read = pocket.load_web(tmp_path)
    assert list(zip(read.source.ids, read.captions)) == [("images/a.jpg", "cat"), ("images/b.jpg", "a dog, barking")]
    (web / "captions.csv").write_text("filepath\ttitle\nimages/b.jpg\tdog\n")
    with pytest.raises(shifts.DataError, match="do not pair"):
        pocket.load_web(tmp_path)
    (web / "captions.csv").write_text("image,caption\nb.jpg,dog\n")
    with pytest.raises(shifts.DataError, match="columns filepath and title"):
        pocket.load_web(tmp_path)
    (web / "captions.csv").unlink()
    with pytest.raises(shifts.DataError, match=r"no captions\.csv"):
        pocket.load_web(tmp_path)
    with pytest.raises(shifts.DataError, match="captions and no labels"):
        shifts.load("pocket-web", root=tmp_path)

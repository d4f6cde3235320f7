"""Sets of a suite file: every form gives the same images and labels; maps, training parts, and what is refused."""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shifts
from shifts.declared import added

CLASSES = ("cat", "dog", "owl")
HEAD = '[suite]\nname = "own"\nclean = "clean"\nshifts = ["odd"]\n'


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def fill(folder: Path, classes: tuple[str, ...] = CLASSES, each: int = 4) -> Path:
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            (folder / name / f"{i}.png").write_bytes(picture(100 * k + i))
    return folder


def suite_file(root: Path, sets: str, head: str = HEAD) -> Path:
    file = root / "own.toml"
    file.write_text(head + sets)
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    fill(tmp_path / "clean")
    fill(tmp_path / "odd", each=2)
    return tmp_path


def write_csv(path: Path, header: tuple[str, str], rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="") as opened:
        csv.writer(opened).writerows([header, *rows])


def test_every_form_gives_the_same_images_and_labels(data: Path) -> None:
    files = [f"{name}/{i}.png" for name in CLASSES for i in range(2)]
    write_csv(data / "odd" / "list.csv", ("path", "label"), [(file, file.partition("/")[0]) for file in files])
    write_csv(
        data / "numbers.csv", ("id", "label"), [(file, str(CLASSES.index(file.partition("/")[0]))) for file in files]
    )
    (data / "shards").mkdir()
    with tarfile.open(data / "shards" / "0.tar", "w") as shard:
        for file in files:
            name, _, stem = file.removesuffix(".png").partition("/")
            members = {"png": picture(100 * CLASSES.index(name) + int(stem)), "cls": name.encode()}
            for suffix, content in members.items():
                member = f"{name}{stem}.{suffix}"
                about = tarfile.TarInfo(member)
                about.size = len(content)
                shard.addfile(about, io.BytesIO(content))
    forms = {"folder": "odd", "list": "odd/list.csv", "labels": "numbers.csv", "shards": "shards"}
    made = {}
    for form, place in forms.items():
        listed = HEAD + 'classes = ["cat", "dog", "owl"]\n'
        file = suite_file(data, f'[sets.clean]\nfolder = "clean"\n[sets.odd]\n{form} = "{place}"\n', listed)
        made[form] = shifts.load_suite(file, root=data)["odd"]
    folder = made["folder"]
    assert folder.name == "own/odd" and folder.clean == "own/clean" and folder.labels.is_full and len(folder) == 6
    for form, shift in made.items():
        assert shift.targets.tolist() == [0, 0, 1, 1, 2, 2], form
        if form != "shards":
            assert shift.ids == folder.ids, form
        if form != "labels":
            assert shift[3].image.tobytes() == folder[3].image.tobytes() and not shifts.check_shift(shift), form
    assert made["list"].source.digest() == folder.source.digest()
    with pytest.raises(shifts.DataMissing, match="effrob import"):
        made["labels"][0]


def test_the_training_part_is_told_by_the_hash_of_seed_and_id(data: Path) -> None:
    head = HEAD + 'train = { from = "clean", share = 0.5, seed = 7 }\n'
    file = suite_file(data, '[sets.clean]\nfolder = "clean"\n[sets.odd]\nfolder = "odd"\n', head)
    suite = shifts.load_suite(file, root=data)
    rest, part = suite["clean"], suite["own/train"]
    inside = {
        path
        for path in (*rest.ids, *part.ids)
        if int.from_bytes(hashlib.sha256(f"7:{path}".encode()).digest()[:8], "big") / 2**64 < 0.5
    }
    assert set(part.ids) == inside and not inside & set(rest.ids) and len(inside) + len(rest) == 12
    assert suite.suite.train_set == "own/train" == part.name and part.clean is None


def test_classes_are_the_clean_folders_a_subset_is_masked_and_names_are_spoken(data: Path) -> None:
    for file in (data / "odd" / "dog").iterdir():
        file.unlink()
    (data / "odd" / "dog").rmdir()
    head = HEAD + 'names = { owl = "barn owl" }\n'
    suite = shifts.load_suite(
        suite_file(data, '[sets.clean]\nfolder = "clean"\n[sets.odd]\nfolder = "odd"\n', head), root=data
    )
    clean, odd = suite["clean"], suite["odd"]
    assert clean.labels.parent_ids == CLASSES and clean.labels.parent_names == ("cat", "dog", "barn owl")
    assert odd.labels.class_ids == ("cat", "owl") and odd.labels.groups == ((0,), (2,)) and odd.targets.max() == 1


def test_a_map_sends_folders_to_imagenet_any_of_several_rows(data: Path) -> None:
    from shifts.classes import imagenet

    ids = imagenet().ids
    collie, tabby, bird = ids[231], ids[281], ids[24]
    rows = [("dog", ids[230]), ("dog", collie), ("cat", tabby), ("owl", bird)]
    write_csv(data / "map.csv", ("folder", "wnid"), rows)
    head = '[suite]\nname = "own"\nclean = "imagenet"\nshifts = ["odd"]\nclasses = "imagenet"\n'
    file = suite_file(data, '[sets.imagenet]\n[sets.odd]\nfolder = "odd"\nmap = "map.csv"\n', head)
    odd = shifts.load_suite(file, root=data)["odd"]
    assert odd.clean == "imagenet" and odd.labels.class_ids == CLASSES
    assert odd.labels.groups == ((281,), (230, 231), (24,)) and len(odd.labels.parent_ids) == 1000
    write_csv(data / "map.csv", ("folder", "wnid"), [*rows, ("owl", collie)])
    with pytest.raises(shifts.DataError, match="maps both dog and owl"):
        shifts.load_suite(file, root=data)["odd"]
    write_csv(data / "map.csv", ("folder", "wnid"), rows[:3])
    with pytest.raises(shifts.DataError, match="does not map owl"):
        shifts.load_suite(file, root=data)["odd"]


def foreign(root: Path) -> None:
    fill(root / "odd", ("cow",))


def loose(root: Path) -> None:
    (root / "odd" / "0.png").write_bytes(picture(1))


def gone(root: Path) -> None:
    (root / "odd").rename(root / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "said"), [(foreign, "the class cow"), (loose, "outside of a class folder"), (gone, "is not there")]
)
def test_what_is_not_as_declared_is_refused(data: Path, spoil: object, said: str) -> None:
    spoil(data)  # type: ignore[operator]
    file = suite_file(data, '[sets.clean]\nfolder = "clean"\n[sets.odd]\nfolder = "odd"\n')
    with pytest.raises((ValueError, LookupError), match=said):
        shifts.load_suite(file, root=data)["odd"]


def test_an_added_suite_is_known_by_name_and_its_sets_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CONFIG", str(data / "config"))
    file = suite_file(data, '[sets.clean]\nfolder = "clean"\ntitle = "Photos"\n[sets.odd]\nfolder = "odd"\n')
    added.add("own", file)
    assert shifts.suite("own").file == file
    assert shifts.suite_of("own/odd").set_title("own/clean") == "Photos"
    assert len(shifts.load("own/odd", root=data)) == 6
    with pytest.raises(shifts.DataError, match="--replace"):
        added.add("own", data / "another.toml")

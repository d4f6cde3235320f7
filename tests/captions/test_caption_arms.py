"""Arms over identical images: byte-stable, and read back by what trains on them, open_clip_train and webdataset."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from odd_records import WNIDS, World
from PIL import Image

import shifts
from shifts import classes
from shifts.captions import export as caption_export
from shifts.captions import manifests as caption_files
from shifts.captions.imagenet_captions import read_captions
from shifts.captions.variants import PAPER, variant
from shifts.layout import open_set
from shifts.storage.tree import Tree

TABLE = classes.imagenet()
TITLE, LONG, NAME = variant("title"), variant(PAPER[2]), variant("class-name")


def build(captions_file: Path, data: Path, out: Path) -> Path:
    read = read_captions(captions_file, TABLE, set(open_set("imagenet-train", data).paths))
    worded, _ = caption_export.with_text(read, [TITLE, LONG])
    caption_export.write_build(worded, out, "imagenet-train", {"seed": 0})
    return out


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(world.captions, world.data, tmp_path_factory.mktemp("built") / "build")


def arms(built: Path, out: Path, tree: Tree) -> list[dict[str, Any]]:
    captions, manifest = caption_export.read_build(built)
    made = [caption_export.export_labels(captions, out / "labels", manifest)]
    for of in (TITLE, LONG, NAME):
        made.append(caption_export.export_csv(captions, of, out / f"{of.name}-csv", manifest, "train"))
        made.append(caption_export.export_shards(captions, of, out / f"{of.name}-wds", manifest, tree, per_shard=300))
    return made


def content(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def exported(built: Path, world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("arms")
    arms(built, out, open_set("imagenet-train", world.data))
    return out


def test_bytes_are_the_same_from_folders_or_the_archive_in_any_order_of_records(
    built: Path, exported: Path, world: World, tmp_path: Path
) -> None:
    records = json.loads(world.captions.read_text())
    twice = {r["title"]: r for r in records if r["title"] == "another"}
    records = [r for r in records if r["title"] != "another"]
    random.Random(9).shuffle(records)
    (tmp_path / "imagenet_captions.json").write_text(json.dumps([*records, *twice.values()]))
    again = build(tmp_path / "imagenet_captions.json", world.archived, tmp_path / "build")
    assert (again / "captions.json").read_bytes() == (built / "captions.json").read_bytes()
    shutil.copy(
        built / "manifest.json", again / "manifest.json"
    )  # the only difference: the digest of the file it came from
    arms(again, tmp_path / "arms", open_set("imagenet-train", world.archived))
    held = content(exported)
    assert content(tmp_path / "arms") == held and len(held) == 2 + 3 * 2 + 3 * (2 + 4)


def test_every_arm_has_the_same_images_and_says_so_by_digest(exported: Path) -> None:
    manifests = [json.loads(path.read_text()) for path in sorted(exported.glob("*/manifest.json"))]
    assert (
        len(manifests) == 7 and len({m["ids"] for m in manifests}) == 1 and len({m["images"] for m in manifests}) == 1
    )
    assert len({m["pairs"] for m in manifests}) == 4, "three texts and the classes: shards and CSV of one text agree"
    ids = [line.split("\t")[0] for line in (exported / "labels/labels.csv").read_text().splitlines()[1:]]
    assert hashlib.sha256("".join(f"{id}\n" for id in ids).encode()).hexdigest() == manifests[0]["ids"]
    for folder in exported.glob("*-csv"):
        lines = (folder / "captions.csv").read_text().splitlines()[1:]
        assert [line.split("\t")[0] for line in lines] == [f"train/{id}" for id in ids]


@pytest.mark.parametrize("of", [TITLE, LONG, NAME], ids=lambda of: of.name)
def test_open_clip_train_reads_the_csv(
    of: Any, built: Path, exported: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pytest.importorskip("open_clip_train.data")
    monkeypatch.chdir(world.data / "imagenet")
    seen: list[str] = []

    def tokenizer(texts: list[str]) -> list[str]:
        seen.extend(texts)
        return texts

    read = data.CsvDataset(
        str(exported / f"{of.name}-csv/captions.csv"), lambda image: image.size, "filepath", "title", "\t", tokenizer
    )
    captions, _ = caption_export.read_build(built)
    wanted = caption_export.pairs(captions, of)
    assert len(read) == len(wanted) == 1000 - 20 * 2 - 10 * 4  # of the thousand: no record, and no title
    for row in range(len(read)):
        assert read[row][0] == (9, 8)
    assert [text.removesuffix(" ") for text in seen] == [pair.text for pair in wanted]
    if of is TITLE:
        assert sum(text == "None " for text in seen) == sum(text == "nan " for text in seen) == 10
        assert {'"', "007", "half \ufffd pair", "bell      end"} <= set(seen)


def test_the_texts_that_pandas_takes_for_nothing_are_those_we_guard() -> None:
    parsers = pytest.importorskip("pandas._libs.parsers")
    assert frozenset(parsers.STR_NA_VALUES) == caption_export.MISSING


def samples(shards: list[str]) -> list[dict[str, Any]]:
    import webdataset

    read = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")
    return [dict(sample) for sample in read]


def test_the_webdataset_library_reads_the_shards(built: Path, exported: Path, world: World) -> None:
    pytest.importorskip("webdataset")
    captions, _ = caption_export.read_build(built)
    by_id = {pair.id: pair for pair in caption_export.pairs(captions, LONG)}
    folder = exported / f"{LONG.name}-wds"
    sizes = json.loads((folder / "sizes.json").read_text())
    assert list(sizes) == ["000000.tar", "000001.tar", "000002.tar", "000003.tar"] and set(sizes.values()) == {300, 20}
    read = samples([str(folder / name) for name in sizes])
    assert [sample["json"]["id"] for sample in read] != sorted(by_id), "classes do not come in a row"
    assert {sample["json"]["id"] for sample in read} == set(by_id) and len(read) == len(by_id) == sum(sizes.values())
    for sample in read:
        pair = by_id[sample["json"]["id"]]
        assert (sample["txt"], sample["cls"], sample["json"]["label"]) == (pair.text, pair.label, pair.label)
        assert isinstance(sample["jpeg"], Image.Image) and sample["jpeg"].size == (9, 8)


def test_open_clip_train_reads_the_shards_and_knows_how_many(exported: Path) -> None:
    data = pytest.importorskip("open_clip_train.data")
    pattern = str(exported / "title-wds/{000000..000003}.tar")
    assert data.get_dataset_size(pattern) == (920, 4)
    args = SimpleNamespace(
        train_data=pattern, val_data=pattern, val_num_samples=None, train_num_samples=None, train_data_upsampling_factors=None,
        dataset_resampled=False, seed=0, batch_size=40, workers=0, world_size=1, distributed=False,
    )  # fmt: skip
    info = data.get_wds_dataset(args, lambda image: image.size[0], is_train=False, tokenizer=lambda text: [len(text)])
    assert sum(len(texts) for _, texts in info.dataloader) == 920


def test_a_labels_arm_is_a_shift(exported: Path, world: World) -> None:
    for data in (world.data, world.archived):
        shift = shifts.load(str(exported / "labels"), root=data)
        assert shifts.check_shift(shift) == () and shift.labels.is_full and len(shift) == 920
        assert [TABLE.ids[t] for t in shift.targets.tolist()] == [id.split("/")[0] for id in shift.ids]
    named = world.data / "my-arm"
    shutil.copytree(exported / "labels", named)
    try:
        assert shifts.load("my-arm", root=world.data).ids == shift.ids
        (world.data / "imagenet/train" / shift.ids[0]).rename(world.data / "away")
        with pytest.raises(shifts.DataError, match=r"lacks 1 of the 920 images of my-arm, n01440764/n01440764_0"):
            shifts.load("my-arm", root=world.data)
    finally:
        (world.data / "away").rename(world.data / "imagenet/train" / shift.ids[0])
        shutil.rmtree(named)


def test_an_arm_that_would_lack_images_is_refused(built: Path, tmp_path: Path) -> None:
    captions, manifest = caption_export.read_build(built)
    with pytest.raises(shifts.DataError, match=r"20 images of the build have no tags, .* --variant tags beside"):
        caption_export.export_csv(captions, variant("tags"), tmp_path / "x", manifest, "train")
    assert list(tmp_path.iterdir()) == []


def spoil_text(folder: Path) -> None:
    (folder / "captions.json").write_text((folder / "captions.json").read_text().replace("my tench", "no tench"))


def spoil_kind(folder: Path) -> None:
    shutil.copy(folder / "manifest.json", folder / "m")
    held = json.loads((folder / "m").read_text())
    (folder / "manifest.json").write_text(json.dumps({**held, "kind": "csv"}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_text, r"captions\.json is not what manifest\.json says"),
        (spoil_kind, "holds csv, and captions was wanted"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "is no JSON"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": "2"}'), "must say format"),
        (lambda folder: (folder / "manifest.json").unlink(), "effrob captions build"),
    ],
)
def test_a_build_that_was_changed_is_refused(
    spoil: Callable[[Path], Any], said: str, built: Path, tmp_path: Path
) -> None:
    shutil.copytree(built, tmp_path / "b")
    spoil(tmp_path / "b")
    with pytest.raises((shifts.DataError, shifts.DataMissing), match=said):
        caption_export.read_build(tmp_path / "b")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), caption_files.new_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    with caption_files.new_folder(tmp_path / "out") as folder:  # an empty folder may be filled
        (folder / "whole").write_text("x")
    with pytest.raises(shifts.DataError, match="is there already"), caption_files.new_folder(tmp_path / "out"):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_images_a_trainer_would_pass_over_are_refused(tmp_path: Path, write) -> None:
    held = {"filename": "a.bmp", "wnid": WNIDS[0], "title": "a", "tags": [], "description": ""}
    read = read_captions(write(json.dumps([held])), TABLE)
    caption_export.write_build(read, tmp_path / "b", "imagenet-train", {})
    captions, manifest = caption_export.read_build(tmp_path / "b")
    with pytest.raises(shifts.DataError, match=r"a\.bmp is none of jpeg, jpg, png, webp"):
        caption_export.export_shards(captions, TITLE, tmp_path / "s", manifest, open_nothing())
    with pytest.raises(shifts.DataError, match="no image is left"):
        caption_export.write_build(read.kept([]), tmp_path / "c", "imagenet-train", {})


def open_nothing() -> Any:
    return SimpleNamespace(paths=(), where="nowhere", read=None, stat=None)

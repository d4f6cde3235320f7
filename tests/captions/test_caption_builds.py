"""Builds that are not what they say: forged manifests, forged records, images that are gone; each refused in a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from odd_records import World
from test_caption_arms import NAME, build, content

import shifts
from shifts.captions import export as caption_export
from shifts.captions import manifests as caption_files
from shifts.layout import open_set


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(world.captions, world.data, tmp_path_factory.mktemp("built") / "build")


PLANTED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no digests": (lambda m: m.pop("files"), "holds None as 'files'"),
    "digests of nothing": (lambda m: m.update(files={}), "of no build"),
    "a list of digests": (lambda m: m.update(files=[1]), "an object of digests was wanted"),
    "an unknown table": (lambda m: m.update(table="flowers"), "imagenet or pocket was wanted"),
    "an unknown set": (lambda m: m.update(set="../../x-train"), "a training set was wanted"),
    "the set of another table": (lambda m: m.update(set="pocket-train"), "of no build"),
    "a number for a report": (lambda m: m.update(report=3), "holds 3 as 'report'"),
    "another report": (lambda m: m.update(report={"a": 1}), "of no build"),
    "no ids": (lambda m: m.pop("ids"), "holds None as 'ids'"),
    "no counts": (lambda m: m.pop("per_class"), "an object of counts was wanted"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_manifest_that_says_something_else_is_refused_in_a_sentence(
    planted: str, built: Path, tmp_path: Path
) -> None:
    change, words = PLANTED[planted]
    shutil.copytree(built, tmp_path / "build")
    manifest = json.loads((built / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "build" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(shifts.DataError, match=words):
        caption_export.read_build(tmp_path / "build")
    (tmp_path / "build" / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(shifts.DataError, match="is no JSON"):
        caption_export.read_build(tmp_path / "build")


FORGED: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "a way out": (lambda r: r[2].update(filename="../../../x.JPEG"), "record 3 of"),
    "a folder for a class": (lambda r: r[2].update(wnid=".."), "record 3 of"),
    "a foreign class": (lambda r: r[2].update(wnid="n99999999"), "record 3 of"),
    "an image twice": (lambda r: r.insert(2, r[1]), "record 3 of"),
    "another order": (lambda r: r.insert(0, r.pop(2)), "record 2 of"),
    "nothing": (lambda r: r.clear(), "does not hold the images"),
    "no record": (lambda r: r.insert(2, 3), "record 3 of .* malformed"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("forged", FORGED)
def test_records_forged_with_their_digests_are_refused_by_number(forged: str, built: Path, tmp_path: Path) -> None:
    change, words = FORGED[forged]
    shutil.copytree(built, tmp_path / "build")
    records = json.loads((built / "captions.json").read_text())
    change(records)
    (tmp_path / "build" / "captions.json").write_text(json.dumps(records))
    manifest = json.loads((built / "manifest.json").read_text())
    manifest["files"] = {"captions.json": content(tmp_path / "build")["captions.json"]}
    if all(isinstance(r, dict) for r in records):
        manifest["ids"] = caption_files.digest_ids(f"{r['wnid']}/{r['filename']}" for r in records)
    (tmp_path / "build" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(shifts.DataError, match=words):
        caption_export.read_build(tmp_path / "build")


def test_an_image_that_is_gone_since_the_build_is_named(built: Path, world: World, tmp_path: Path) -> None:
    captions, manifest = caption_export.read_build(built)
    (tmp_path / "data").mkdir()
    shutil.copytree(world.data, tmp_path / "data", dirs_exist_ok=True)
    (tmp_path / "data/imagenet/train" / captions.ids[7]).unlink()
    tree = open_set("imagenet-train", tmp_path / "data")
    with pytest.raises(shifts.DataError, match=f"no longer has the image {captions.ids[7]}"):
        caption_export.export_shards(captions, NAME, tmp_path / "shards", manifest, tree)
    with pytest.raises(shifts.DataError, match=f"no longer has the image {captions.ids[7]}"):
        caption_export.copy_images(captions, tree, tmp_path / "copied")
    assert not (tmp_path / "shards").exists()

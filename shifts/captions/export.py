"""Matched arms over identical images: open_clip's CSV, WebDataset shards and labelled lists out of one build.

A build fixes the images once, in the official record form; every arm exported from it has the same ids, by digest. Each
export is byte for byte the same whenever and wherever it is made of the same data.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any

from shifts import classes
from shifts.bounds.files import read_text
from shifts.captions.imagenet_captions import CaptionReport, Captions, draw, statistics
from shifts.captions.manifests import (
    MANIFEST,
    Pair,
    digest_ids,
    digest_pairs,
    new_folder,
    read_manifest,
    write_manifest,
)
from shifts.captions.oddities import safe_filename
from shifts.captions.records import CaptionRecord, RecordFile
from shifts.captions.variants import Variant, variant
from shifts.errors import DataError
from shifts.storage.tree import Tree

CAPTIONS = "captions.json"
SHARD = 5000  # images; half a gigabyte of ImageNet
TRAINER_READS = frozenset({"jpg", "jpeg", "png", "webp"})  # what open_clip_train looks for in a shard
# Texts that pandas, with which open_clip_train reads its CSV, takes for a missing value and turns into "nan".
MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip


def with_text(captions: Captions, variants: Collection[Variant]) -> tuple[Captions, dict[str, int]]:
    """The records that have a text under every variant, and for each variant how many have none."""
    lacking = {v.name: 0 for v in variants}
    kept = []
    for record in captions.records:
        without = [v.name for v in variants if not v.text(record, "x")]
        for name in without:
            lacking[name] += 1
        if not without:
            kept.append(record)
    return captions.kept(kept), lacking


def write_build(captions: Captions, out: Path, training: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Write the images an experiment is about, with their records. `chosen` says how they were chosen; the manifest."""
    if not captions.records:
        raise DataError("no image is left to build with; choose other classes or other variants")
    with new_folder(out) as folder:
        with (folder / CAPTIONS).open("w", encoding="utf-8") as file:
            for n, r in enumerate(captions.records):
                value = dict(zip(("filename", "title", "tags", "description", "wnid"), (r[0], r[2], r[4], r[3], r[1])))
                file.write(("[" if n == 0 else ",\n") + json.dumps(value))
            file.write("]\n")
        return write_manifest(folder, "captions", {
            "set": training, "table": captions.table.name, "images": len(captions), "ids": digest_ids(captions.ids),
            "per_class": captions.per_class(), "chosen": dict(chosen), "statistics": statistics(captions),
            "report": captions.report.as_json(),
        })  # fmt: skip


def read_build(folder: Path) -> tuple[Captions, dict[str, Any]]:
    """A build and its manifest, checked against its digests."""
    manifest = read_manifest(folder, "captions")
    table = classes.imagenet() if manifest["table"] == "imagenet" else classes.pocket()
    said = {key: value for key, value in manifest["report"].items() if key != "uncaptioned"}
    if (
        set(said) != {each.name for each in fields(CaptionReport)}
        or manifest["set"] != f"{table.name}-train"
        or CAPTIONS not in manifest["files"]
    ):
        raise DataError(f"{folder / MANIFEST} is of no build that `effrob captions build` makes; build it anew")
    records: list[CaptionRecord] = []
    for number, record, _ in RecordFile(folder / CAPTIONS):
        after = not records or record.id > records[-1].id
        if record.wnid not in table.index or not safe_filename(record.filename) or not after:
            raise DataError(
                f"record {number:,} of {folder / CAPTIONS} is no image of a class of {table.name} in string order, "
                f"once; build it anew"
            )
        records.append(record)
    captions = Captions(table, tuple(records), CaptionReport(**said))
    if not records or digest_ids(captions.ids) != manifest["ids"]:
        raise DataError(f"{folder} does not hold the images its manifest names; build it anew")
    return captions, manifest


def pairs(captions: Captions, of: Variant) -> tuple[Pair, ...]:
    """Every image of a build with its caption, in string order of ids; DataError where one has no words for it."""
    names, index = captions.table.names, captions.table.index
    made = tuple(Pair(r.id, index[r.wnid], of.text(r, names[index[r.wnid]])) for r in captions.records)
    empty = [pair.id for pair in made if not pair.text]
    if empty:
        raise DataError(
            f"{len(empty):,} images of the build have no {of.name}, {empty[0]} first, so this arm would lack them; build "
            f"anew with --variant {of.name.partition('@')[0]} beside the other arms' variants"
        )
    return made


def export_csv(
    captions: Captions, of: Variant, out: Path, build: Mapping[str, Any], images: Path | str
) -> dict[str, Any]:
    """`captions.csv`, open_clip's `filepath<TAB>title`; a path is `images`/CLASS/FILE, as the trainer will open it."""
    made = pairs(captions, of)
    with new_folder(out) as folder:
        missing = 0
        with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(("filepath", "title"))
            for pair in made:
                gone = pair.text in MISSING
                missing += gone
                # A trailing space is no word to any tokenizer, and keeps pandas from reading "None" as no text.
                writer.writerow((f"{images}/{pair.id}", pair.text + " " if gone else pair.text))
        return write_manifest(folder, "csv", {**_about(made, build, of), "kept_from_reading_as_missing": missing})


def export_labels(captions: Captions, out: Path, build: Mapping[str, Any]) -> dict[str, Any]:
    """`labels.csv`: every image of the build with its class, for heads and trainers that read no words."""
    made = tuple(Pair(r.id, captions.table.index[r.wnid], r.wnid) for r in captions.records)
    with new_folder(out) as folder:
        write_labels(folder / "labels.csv", made)
        facts = {"purpose": "train", "images_in": {"set": build["set"]}}
        return write_manifest(folder, "labels", {**_about(made, build, None), **facts})


def write_labels(file: Path, made: Sequence[Pair]) -> None:
    """`id<TAB>label<TAB>class`, a line an image."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, delimiter="\t", lineterminator="\n")
        writer.writerow(("id", "label", "class"))
        writer.writerows(made)


def export_shards(
    captions: Captions,
    of: Variant,
    out: Path,
    build: Mapping[str, Any],
    tree: Tree,
    seed: int = 0,
    per_shard: int = SHARD,
) -> dict[str, Any]:
    """WebDataset shards of image, `txt`, `cls` and `json` (id), with `sizes.json` as open_clip_train wants it.

    Images are shuffled with the seed, alike for every arm: readers shuffle a few thousand at a time, which classes in
    a row would defeat. Image bytes are as the training set holds them.
    """
    if per_shard < 1:
        raise DataError(f"at least 1 image a shard was wanted, got {per_shard}")
    made = pairs(captions, of)
    mixed = sorted(made, key=lambda pair: draw(seed, pair.id))
    odd = next((p.id for p in mixed if _suffix(p.id) not in TRAINER_READS), None)
    if odd is not None:
        raise DataError(
            f"{odd} is none of {', '.join(sorted(TRAINER_READS))}, which trainers read from shards; convert it"
        )
    with new_folder(out) as folder:
        sizes = {}
        for start in range(0, len(mixed), per_shard):
            some, name = mixed[start : start + per_shard], f"{start // per_shard:06d}.tar"
            sizes[name] = len(some)
            with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as shard:
                for row, pair in enumerate(some, start):
                    record = json.dumps({"id": pair.id, "label": pair.label, "class": pair.id.partition("/")[0]})
                    for suffix, content in (
                        (_suffix(pair.id), _image(tree, pair.id)),
                        ("txt", pair.text.encode()),
                        ("cls", str(pair.label).encode()),
                        ("json", record.encode()),
                    ):
                        member = tarfile.TarInfo(f"{row:09d}.{suffix}")
                        member.size = len(
                            content
                        )  # owner, mode and a time of 0 as TarInfo has them: the same bytes anywhere
                        shard.addfile(member, io.BytesIO(content))
        (folder / "sizes.json").write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
        facts = {**_about(made, build, of), "shuffle_seed": seed, "per_shard": per_shard}
        return write_manifest(folder, "webdataset", facts)


def copy_images(captions: Captions, tree: Tree, folder: Path) -> None:
    """Write the build's images out as CLASS/FILE: what a CSV needs where they lie in an archive."""
    for record in captions.records:
        target = folder / record.id
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_image(tree, record.id))


def _image(tree: Tree, id: str) -> bytes:
    try:
        return tree.read(id)
    except KeyError:
        raise DataError(f"{tree.where} no longer has the image {id}; put it back, or build anew") from None


def build_variants(names: Sequence[str]) -> tuple[Variant, ...]:
    """Variants by name, each once."""
    return tuple(variant(name) for name in dict.fromkeys(names))


def _suffix(id: str) -> str:
    return PurePosixPath(id).suffix[1:].lower()


def _about(made: Sequence[Pair], build: Mapping[str, Any], of: Variant | None) -> dict[str, Any]:
    """What every arm's manifest says."""
    seeded = of is not None and bool(of.templates)
    return {
        "set": build["set"], "table": build["table"], "images": len(made), "ids": digest_ids(p.id for p in made),
        "pairs": digest_pairs(made), "per_class": build["per_class"], "captions_sha256": build["report"]["sha256"],
        "variant": None if of is None else of.name, "templates": list(of.templates) if of is not None else [],
        "template_seed": of.seed if of is not None and seeded else None,
    }  # fmt: skip


def class_file(path: Path) -> tuple[str, ...]:
    """Class ids of a file, one a line; blank lines and lines that start with # do not count."""
    lines = (line.strip() for line in read_text(path).splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))

"""`effrob captions`: check ImageNet-Captions, fix an experiment's images, export its arms, label images by captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from effrob.cli.caption_places import (
    captions_file,
    classes_of,
    image_prefix,
    pocket_root,
    table_of,
    tree_of,
    variants_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shifts.captions.imagenet_captions import CaptionReport
    from shifts.classes import ClassTable


@click.group("captions")
def command() -> None:
    """Images with words: the same training images with language and without it.

    `stats` checks a captions file. `build` fixes the images of an experiment. `export` writes its arms, all over those
    images. `match` labels captioned images by the class names in their captions.
    """


_FILE = click.argument("file", required=False, type=click.Path(path_type=Path))
_DATA = click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
_SUITE = click.option(
    "--suite", default="imagenet", show_default=True, help="Whose classes and images: imagenet, pocket."
)
_SEED = click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of every random choice.")
_WNID = click.option(
    "--wnid", type=click.Choice(["record", "filename"]), default="record", show_default=True,
    help="Where a record's class is read: its own key, or the beginning of its file name.",
)  # fmt: skip
_JSON = click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")


@command.command("stats")
@_FILE
@_DATA
@_SUITE
@_WNID
@_JSON
def stats(file: Path | None, data: Path | None, suite: str, wnid: Literal["record", "filename"], as_json: bool) -> None:
    """Check a captions file: counts, every oddity by name, and how many records have an image.

    FILE is imagenet_captions.json or its zip. [default: imagenet_captions.json or .zip in the data folder]
    """
    import shifts
    from effrob.files import strict_json
    from shifts.captions.imagenet_captions import read_captions, statistics

    path = captions_file(file, data, suite)
    images, notice = None, None
    try:
        images = set(tree_of(data, suite).paths)
    except shifts.DataMissing as missing:
        notice = f"not joined to images: {missing}"
    captions = read_captions(path, table_of(suite), images, wnid)
    if notice is not None:
        click.echo(notice, err=True)
    facts = statistics(captions)
    if as_json:
        report = {"report": captions.report.as_json(), "statistics": facts, "per_class": captions.per_class()}
        click.echo(strict_json(report), nl=False)
        return
    click.echo("\n".join(_report(captions.report, facts, suite)))


@command.command("build")
@_FILE
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A new folder.")
@click.option(
    "--variant", "variants", multiple=True, metavar="NAME",
    help="Keep only images with a text under this variant; repeat for every arm. [default: the paper's three]",
)  # fmt: skip
@click.option(
    "--fraction", type=float, metavar="F", help="This share of every class; a smaller one lies inside a larger."
)
@click.option("--per-class", type=int, metavar="N", help="At most N images a class.")
@click.option(
    "--classes", metavar="r|a|FILE", help="Only these classes: those of ImageNet-R or -A, or ids, one a line."
)
@click.option("--random-classes", type=int, metavar="N", help="N classes drawn with the seed.")
@_SEED
@_DATA
@_SUITE
@_WNID
@_JSON
def build(
    file: Path | None,
    out: Path,
    variants: tuple[str, ...],
    data: Path | None,
    suite: str,
    wnid: Literal["record", "filename"],
    as_json: bool,
    **how: Any,
) -> None:
    """Fix the images of an experiment: checked, joined to the training set, with words for every arm, subsampled.

    Every arm exported from the build has exactly these images.
    """
    import shifts
    from effrob.files import strict_json
    from shifts.captions.export import build_variants, with_text, write_build
    from shifts.captions.imagenet_captions import read_captions, select, statistics
    from shifts.captions.variants import PAPER

    asked = build_variants(variants or PAPER)
    path = captions_file(file, data, suite)
    read = read_captions(path, table_of(suite), set(tree_of(data, suite).paths), wnid)
    worded, lacking = with_text(read, asked)
    classes = classes_of(how["classes"], how["random_classes"], table_of(suite), how["seed"])
    chosen = select(worded, how["seed"], how["fraction"], how["per_class"], classes)
    about = {
        "variants": [v.name for v in asked], "without_text": lacking, "seed": how["seed"], "fraction": how["fraction"],
        "per_class": how["per_class"], "classes": None if classes is None else sorted(classes), "wnid": wnid,
    }  # fmt: skip
    manifest = write_build(chosen, out, str(shifts.suite(suite).train), about)
    if as_json:
        click.echo(strict_json(manifest), nl=False)
        return
    for line in _report(read.report, statistics(read), suite):
        click.echo(line, err=True)
    for name, n in lacking.items():
        click.echo(f"{n:>9,} records have no {name}: left out", err=True)
    click.echo(f"{len(chosen):,} images in {out}; their digest is {manifest['ids'][:16]}")


@command.command("export")
@click.argument("folder", metavar="BUILD", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Takes a folder an arm.")
@click.option(
    "--variant", "variants", multiple=True, metavar="NAME", help="title, title+description, tags, class-name, ..."
)
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(["csv", "webdataset", "labels"]), required=True,
    help="open_clip's CSV, WebDataset shards, or image and class.",
)  # fmt: skip
@click.option("--prompts", metavar="NAME-or-FILE", help="Put each text into a template of this set, drawn by image.")
@click.option("--prefix", metavar="PATH", help="What a CSV's paths begin with. [default: where the training set lies]")
@click.option("--copy", is_flag=True, help="Write the images beside the CSV, as an official archive needs.")
@click.option("--shard-size", type=int, default=5000, show_default=True, metavar="N", help="Images a shard.")
@_SEED
@_DATA
@_JSON
def export(
    folder: Path,
    out: Path,
    variants: tuple[str, ...],
    formats: tuple[str, ...],
    data: Path | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Write the arms of an experiment, a folder for each variant and format, over identical images."""
    import shifts
    from effrob.errors import UsageProblem
    from effrob.files import strict_json
    from shifts.captions.export import export_csv, export_labels, export_shards, read_build

    if not variants and set(formats) != {"labels"}:
        raise UsageProblem("name at least one caption variant: --variant title")
    captions, manifest = read_build(folder)
    arms = variants_of(variants, how["prompts"], how["seed"])
    suite = shifts.suite_of(str(manifest["set"])).name
    made: list[dict[str, Any]] = []
    for kind in dict.fromkeys(formats):
        if kind == "labels":
            made.append({"folder": str(out / "labels"), **export_labels(captions, out / "labels", manifest)})
            continue
        where = image_prefix(captions, data, suite, out, how["prefix"], how["copy"]) if kind == "csv" else ""
        for arm in arms:
            place = out / f"{arm.name}-{kind}"
            if kind == "csv":
                facts = export_csv(captions, arm, place, manifest, where)
            else:
                facts = export_shards(
                    captions, arm, place, manifest, tree_of(data, suite), how["seed"], how["shard_size"]
                )
            made.append({"folder": str(place), **facts})
    if as_json:
        click.echo(strict_json(made), nl=False)
        return
    for each in made:
        click.echo(f"{each['folder']:<48} {each['images']:>8,} images {each['ids'][:12]}  content {each['pairs'][:12]}")


@command.command("match")
@click.argument("source")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="A new folder for the list. [default: count only]"
)
@click.option(
    "--rule", default="substring", show_default=True,
    help="substring: class names as written, as published; words: WordNet lemmas as whole words, any case.",
)  # fmt: skip
@click.option(
    "--several", default="longest", show_default=True, help="For texts that name several: longest, one, first, all."
)
@click.option(
    "--second-set", type=int, metavar="N", help="Draw N images a class as a second clean set; fewer: class left out."
)
@click.option("--copy", is_flag=True, help="Write the images beside the list.")
@click.option("--image-key", default="filepath", show_default=True, help="Column of a CSV that names the image.")
@click.option("--caption-key", default="title", show_default=True, help="Column of a CSV that holds the caption.")
@click.option("--separator", default="\t", help="Between the columns of a CSV. [default: a tab]")
@click.option("--suite", help="Whose classes: imagenet or pocket. [default: imagenet; pocket for pocket-web]")
@_SEED
@_DATA
@_JSON
def match(source: str, out: Path | None, rule: str, several: str, data: Path | None, as_json: bool, **how: Any) -> None:
    """Label captioned images by the class names in their captions, and count them class by class.

    SOURCE is an open_clip CSV, a folder of WebDataset shards (or .../{000000..000123}.tar), or pocket-web. The list can be
    learned from, with `--train DIR`, and a second set tested on, with `--shift DIR`, of `effrob eval`.
    """
    from effrob.files import strict_json
    from shifts.captions.labelling import match as matched_by
    from shifts.captions.labelling import second_set, write_list
    from shifts.captions.sources import captioned

    root = pocket_root(data, "pocket-web") if source == "pocket-web" else None
    table = table_of(how["suite"] or ("pocket" if source == "pocket-web" else "imagenet"))
    images = captioned(source, root, (how["image_key"], how["caption_key"]), how["separator"])
    matched = matched_by(images, table, rule, several)
    counts: dict[str, Any] = {"source": source, **matched.counts()}
    drawn = None
    if how["second_set"] is not None:
        matched, left = second_set(matched, how["second_set"], how["seed"])
        drawn = {"per_class": how["second_set"], "seed": how["seed"], "classes_left_out": list(left)}
        counts["second_set"] = {**drawn, "images": len(matched.pairs)}
    if out is not None:
        manifest = write_list(matched, images, out, "train" if drawn is None else "test", drawn, how["copy"])
        counts |= {"out": str(out), "ids": manifest["ids"], "pairs": manifest["pairs"]}
    if as_json:
        click.echo(strict_json(counts), nl=False)
        return
    click.echo("\n".join(_matched(counts, table)))


def _matched(counts: Mapping[str, Any], table: ClassTable) -> list[str]:
    lines = [
        f"{counts['captions']:>9,} captions, rule {counts['rule']}, several: {counts['several']}",
        f"{counts['labels']:>9,} labels of {counts['images']:,} images",
        f"{counts['unnamed']:>9,} name no class, {counts['ambiguous']:,} name several and got no label, "
        f"{counts['without_text']:,} are empty, {counts['repeated']:,} stand twice",
        f"{len(counts['empty_classes']):>9,} classes of {len(table.ids):,} without an image",
    ]
    if len(table.ids) <= 50:
        lines += [f"{counts['per_class'][id]:>9,} {name}" for id, name in zip(table.ids, table.names)]
    if "second_set" in counts:
        second = counts["second_set"]
        lines.append(
            f"{second['images']:>9,} drawn, {second['per_class']} a class; {len(second['classes_left_out'])} classes have fewer"
        )
    return [*lines, f"in {counts['out']}, content {counts['pairs'][:12]}"] if "out" in counts else lines


def _report(report: CaptionReport, facts: Mapping[str, Any], suite: str) -> list[str]:
    """What `stats` says to a person."""
    from shifts.captions.imagenet_captions import OFFICIAL

    official = f", {OFFICIAL:,} in the published file" if suite == "imagenet" else ""
    lines = [
        f"{report.records:>9,} records in {report.file}{official}",
        f"{report.kept:>9,} kept, {report.names_its_class:,} of them name their class",
    ]
    if report.images is not None:
        lines.append(f"{report.images:>9,} training images, {report.uncaptioned:,} without a record")
    size = facts["class_size"]
    lines.append(
        f"{'':>9} {size['min']} to {size['max']:,} images a class, {len(facts['empty_classes'])} classes empty, "
        f"{facts['classes_below_50']} below 50"
    )
    for field, about in facts["texts"].items():
        words = about["words"]
        length = f"{words['median']:.0f} words (median), {words['p95']:.0f} (95 %)"
        lines.append(f"{about['records']:>9,} have a {field}: {length}")
    for odd in report.oddities:
        if odd["records"]:
            lines.append(f"{odd['records']:>9,} {odd['name']}: {odd['about']} ({odd['first'][0]})")
    if report.outside:
        most = sorted(report.outside.items(), key=lambda row: -row[1])[:5]
        lines.append(
            f"{'':>9} foreign wnids: {', '.join(f'{wnid} {n:,}' for wnid, n in most)}, {len(report.outside)} in all"
        )
    return lines

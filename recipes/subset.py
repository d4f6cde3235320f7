"""Some of the web's captioned images, drawn evenly: `python -m recipes.subset SHARDS --like BUILD --out DIR`.

So a web set can have the size of a set of captioned ImageNet. Shards are read by `shifts`, written by webdataset.
"""

from __future__ import annotations

import heapq
import json
import shutil
from itertools import pairwise
from pathlib import Path

import click
import webdataset

import shifts
from shifts.captions.imagenet_captions import draw
from shifts.captions.manifests import read_manifest
from shifts.captions.sources import CaptionedShards, captioned

EACH = 10_000


@click.command()
@click.argument("source")
@click.option("--images", type=click.IntRange(min=1), help="How many are drawn.")
@click.option("--like", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="As many as this build of `effrob captions build` holds.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--each", type=click.IntRange(min=1), help=f"Images a shard. [default: {EACH:,}]")
@click.option(
    "--shards", type=click.IntRange(min=1), help="So many shards of one size instead: a trainer wants one a worker."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder for the shards.")
def main(
    source: str, images: int | None, like: Path | None, seed: int, each: int | None, shards: int | None, out: Path
) -> None:
    """Draw images with their texts from WebDataset shards; the same seed always draws the same, and fewer among more."""
    if (images is None) == (like is None):
        raise click.UsageError("say how many: --images N, or --like BUILD")
    if each is not None and shards is not None:
        raise click.UsageError("--each and --shards both say how many images a shard holds; give one of them")
    if out.exists():
        raise click.UsageError(f"{out} is there already: name a new folder, or remove it")
    try:
        wanted = int(read_manifest(like, "captions")["images"]) if like is not None else int(images or 0)
        found = captioned(source)
        if not isinstance(found.tree, CaptionedShards):
            raise click.UsageError(f"{source} is no WebDataset shards; a subset is drawn from a folder of them")
        texts = dict(heapq.nsmallest(wanted, found.rows, key=lambda row: draw(seed, row[0])))
        if len(texts) < wanted:
            raise click.UsageError(f"{source} holds {len(texts):,} images, and {wanted:,} are to be drawn")
        if (shards or 0) > len(texts):
            raise click.UsageError(f"{len(texts):,} images make no {shards:,} shards: ask for fewer --shards")
        written = write(
            found.tree, texts, out, shards or -(-len(texts) // (each or EACH)), None if shards else each or EACH
        )
    except (shifts.DataError, shifts.DataMissing) as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{len(texts):,} images in {written} shards in {out}")


def write(tree: CaptionedShards, texts: dict[str, str], out: Path, shards: int, each: int | None = None) -> int:
    """Shards of image and text in the order of the source's; whole or not at all. The number of shards.

    each  images a shard, of which the last may hold fewer; without it all hold as many, or one more
    """
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    ids, sizes = sorted(texts), {}
    begins = [k * each if each else k * len(ids) // shards for k in range(shards)]
    for shard, (begin, end) in enumerate(pairwise([*begins, len(ids)])):
        name = f"{shard:06d}.tar"
        with webdataset.TarWriter(str(unfinished / name)) as writer:
            for number, id in enumerate(ids[begin:end], begin):
                suffix = Path(id).suffix.lstrip(".").lower()
                writer.write({"__key__": f"{number:09d}", suffix: tree.read(id), "txt": texts[id]})
        sizes[name] = end - begin
    (unfinished / "sizes.json").write_text(json.dumps(sizes) + "\n", encoding="utf-8")  # as open_clip_train wants it
    unfinished.rename(out)
    return shards


if __name__ == "__main__":
    main()

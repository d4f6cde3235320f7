"""The published experiment's runs as command lines, ready for a machine with GPUs: printed, never run from here.

Recipe of Fang et al. 2022 as later work repeats it: RN50, 32 epochs of contrastive training in batches of 1024, 90 of
supervised training in batches of 256, crops of at least nine tenths. Arms that are compared see as many pictures: half a web
is seen twice as often. Their results are read by imagenet.toml, by the names that are given here. Heads of effrob want an
image of every class, which neither the web's texts nor the captioned images have: the head without words is a layer trained
on the frozen tower. Plain data; imports no trainer.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

GPUS = 8
SEEDS = (0, 1, 2)
BUILD, ARMS, RUNS, REPORT = "five-causes/build", "five-causes/arms", "five-causes/runs", "five-causes/report.json"
STUDY = Path(__file__).with_name("imagenet.toml")
YFCC, YFCC_PAIRS = "yfcc15m/{{000000..{last:06d}}}.tar", 15_000_000
SHARES = {1: "all", 2: "half", 4: "a quarter", 8: "an eighth"}  # of the web's shards, by divisor
SHORT = 8  # a divisor of the steps, as SHARES is one of the pictures
SMALL = "five-causes/yfcc-small"  # a subset of the web, as many images as the build holds
VARIANTS = ("title", "title+description", "title+description+tags", "class-name")
ALL_WORDS = VARIANTS[2]
EPOCHS = 32
# What open_clip's RN50 sees: its own size, mean and deviation.
PIXELS = "resize=224,crop=224,interpolation=bicubic,mean=0.48145466/0.4578275/0.40821073,std=0.26862954/0.26130258/0.27577711"


@dataclass(frozen=True)
class World:
    """What the runs are made of and measured on; the published experiment's by default. A rehearsal takes a small one.

    suite       whose classes, training images and test sets;  sets  those that models are evaluated on
    clip        open_clip's name of the network for its trainer;  read  the same for effrob, where a configuration file has it
    network     timm's name of the same image tower;  loader, pixels  the frozen tower under a layer, for effrob's registry
    shards      of the web, `pairs` in all;  small_shards  of the subset of it
    epochs      of contrastive training; a multiple of SHORT
    trainer, labelled, views  further options of the three trainers, after the plan's own
    """

    suite: str = "imagenet"
    sets: tuple[str, ...] = ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")
    clip: str = "RN50"
    read: str = "RN50"
    network: str = "resnet50_clip"
    loader: str = "recipes.frozen:rn50"
    pixels: str = PIXELS
    shards: int = 1500
    pairs: int = YFCC_PAIRS
    small_shards: int = 128  # open_clip's trainer wants a shard for each worker of each process
    epochs: int = EPOCHS
    batch: int = 1024
    seeds: tuple[int, ...] = SEEDS
    study: Path = STUDY
    trainer: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()
    views: tuple[str, ...] = ()


PUBLISHED = World()


@dataclass(frozen=True)
class Line:
    """A command with a remark of what it is for; `argv` as the shell would split it."""

    remark: str
    argv: tuple[str, ...]


def commands(gpus: int = GPUS) -> list[str]:
    """What is printed: remarks, and command lines quoted for a shell."""
    printed = [
        "# The data folder ($EFFROB_DATA) holds ImageNet's train and val, the five shifts, and imagenet_captions.json.",
        f"# yfcc15m/ holds {PUBLISHED.shards} WebDataset shards of image and text. {gpus} GPUs are assumed; "
        "--gpus N for others.",
    ]
    for line in lines(gpus):
        printed += ["", f"# {line.remark}", shlex.join(line.argv)]
    return printed


def lines(gpus: int = GPUS, world: World = PUBLISHED) -> Iterator[Line]:
    """Every command, in an order that works: exports, trainings, evaluation, the table."""
    yield from _exports(world)
    for seed in world.seeds:
        yield from _contrastive(seed, gpus, world)
        yield from _without_words(seed, gpus, world)
    yield from _evaluations(world)
    yield Line("every arm and contrast of the study", ("effrob", "study", "run", str(world.study)))
    report: tuple[str, ...] = ("python", "-m", "recipes.five_causes", "--scale", "imagenet", "--report-to", REPORT)
    report += () if world.study == STUDY else ("--study", str(world.study))
    yield Line("the causes' headlines out of it", report)
    yield Line("the table of README with these runs", ("effrob", "study", "summary", "--trained", REPORT))


def _exports(world: World) -> Iterator[Line]:
    build = ("effrob", "captions", "build", "--out", BUILD, *_each("--variant", VARIANTS[:3]), *_suite(world))
    yield Line("iii, v: the images that have words under every variant", build)
    formats = ("--format", "csv", "--format", "labels")
    export = ("effrob", "captions", "export", BUILD, "--out", ARMS, *_each("--variant", VARIANTS), *formats)
    yield Line("iii, v: one arm a variant, and labels, over identical images", export)
    subset = (
        "python",
        "-m",
        "recipes.subset",
        _yfcc(world.shards),
        "--like",
        BUILD,
        "--shards",
        str(world.small_shards),
        "--out",
        SMALL,
    )
    yield Line("ii: a subset of the web of the size of the captioned ImageNet images", subset)
    for source, out in ((_yfcc(world.shards), "yfcc-matched"), (SMALL, "yfcc-small-matched")):
        match = ("effrob", "captions", "match", source, "--rule", "substring", "--out", f"{ARMS}/{out}", *_suite(world))
        yield Line(
            "ii, iii, iv: labels for the web's images out of their texts, by class names as they are written", match
        )


def _contrastive(seed: int, gpus: int, world: World) -> Iterator[Line]:
    columns = ("--csv-img-key", "filepath", "--csv-caption-key", "title")
    for variant in VARIANTS:
        what = "v: the contrastive loss on class names" if variant == "class-name" else f"iii: CLIP on {variant}"
        data = ("--train-data", f"{ARMS}/{variant}-csv/captions.csv", "--dataset-type", "csv", *columns)
        yield _clip(
            f"{what} of the same ImageNet images, seed {seed}",
            tower(variant, seed),
            data,
            seed,
            world.epochs,
            gpus,
            world,
        )
    for share, words in SHARES.items():
        pairs: tuple[str, ...] = ("--train-data", _yfcc(world.shards // share), "--dataset-type", "webdataset")
        pairs += ("--train-num-samples", str(world.pairs // share))
        cause = "i, iii, iv" if share == 1 else "i"
        remark = f"{cause}: CLIP on {words} of the web, each pair seen {world.epochs * share} times, seed {seed}"
        yield _clip(remark, f"yfcc-{share}-{seed}", pairs, seed, world.epochs * share, gpus, world)
    whole = (
        "--train-data",
        _yfcc(world.shards),
        "--dataset-type",
        "webdataset",
        "--train-num-samples",
        str(world.pairs),
    )
    short = f"i: CLIP on all of the web for an eighth of the steps, seed {seed}"
    yield _clip(short, f"yfcc-short-{seed}", whole, seed, world.epochs // SHORT, gpus, world)
    # Its size is what the build's turned out to be: open_clip's trainer reads it from the shards' sizes.json.
    small = ("--train-data", f"{SMALL}/{{000000..{world.small_shards - 1:06d}}}.tar", "--dataset-type", "webdataset")
    yield _clip(f"ii: CLIP on the small web, seed {seed}", f"yfcc-small-{seed}", small, seed, world.epochs, gpus, world)


def _clip(remark: str, name: str, data: Sequence[str], seed: int, epochs: int, gpus: int, world: World) -> Line:
    argv = (
        "torchrun", "--nproc_per_node", str(gpus), "-m", "open_clip_train.main", "--model", world.clip, *data,
        "--batch-size", str(world.batch // gpus), "--epochs", str(epochs), "--lr", "1e-3", "--wd", "0.1", "--warmup", "500",
        "--beta1", "0.9", "--beta2", "0.999", "--eps", "1e-8", "--aug-cfg", "scale=(0.9,1.0)", "--precision", "amp",
        "--workers", str(min(8, max(1, world.small_shards // gpus))), "--local-loss", "--gather-with-grad", "--seed", str(seed),
        "--logs", RUNS, "--name", name,
        "--resume", "latest", *world.trainer,
    )  # fmt: skip
    return Line(remark, argv)


def _without_words(seed: int, gpus: int, world: World) -> Iterator[Line]:
    def labelled(remark: str, listed: str, name: str, *more: str) -> Line:
        run = ("torchrun", "--nproc_per_node", str(gpus), "-m", "recipes.labelled", "--list", f"{ARMS}/{listed}")
        argv = (
            *run,
            "--model",
            world.network,
            *more,
            "--seed",
            str(seed),
            "--out",
            f"{RUNS}/{name}-{seed}",
            *world.labelled,
        )
        return Line(f"{remark}, seed {seed}", argv)

    yield labelled("ii, iii, v: a classifier on the same ImageNet images", "labels", "labels")
    yield labelled(
        "ii: a classifier on text-matched labels of the small web", "yfcc-small-matched", "yfcc-small-labels"
    )
    yield labelled("iv: a classifier on text-matched labels of the web", "yfcc-matched", "yfcc-labels")
    layer = ("--epochs", "10", "--drops", "6,8")
    for listed, name, clip in (
        ("yfcc-matched", "web-head", f"yfcc-1-{seed}"),
        ("labels", "titles-head", tower("title", seed)),
    ):
        frozen = ("--tower", f"openclip:{world.read}@{checkpoint(clip, world.epochs)}", *layer)
        yield labelled(f"iv: a head without words on {name.partition('-')[0]}' CLIP", listed, name, *frozen)
    views = (
        "torchrun",
        "--nproc_per_node",
        str(gpus),
        "-m",
        "recipes.self_supervised",
        "--images",
        _yfcc(world.shards),
    )
    argv = (
        *views,
        "--model",
        world.network,
        "--epochs",
        str(world.epochs),
        "--seed",
        str(seed),
        "--out",
        f"{RUNS}/simclr-{seed}",
        *world.views,
    )
    yield Line(f"iii: SimCLR on the web's images, without a word, seed {seed}", argv)
    tuned = ("--epochs", "30", "--rate", "0.01", "--drops", "10,20")
    remark = "on text-matched labels of the web"
    first = {"simclr-tuned": f"{RUNS}/simclr-{seed}/final.pt", "clip-tuned": checkpoint(f"yfcc-1-{seed}", world.epochs)}
    for name, file in first.items():
        yield labelled(
            f"iii: {name.partition('-')[0]}'s tower fine-tuned {remark}", "yfcc-matched", name, "--init", file, *tuned
        )


def _evaluations(world: World) -> Iterator[Line]:
    for seed in world.seeds:
        towers = {tower(variant, seed): world.epochs for variant in VARIANTS}
        towers |= {f"yfcc-{share}-{seed}": world.epochs * share for share in SHARES}
        towers |= {f"yfcc-short-{seed}": world.epochs // SHORT, f"yfcc-small-{seed}": world.epochs}
        clips = [f"openclip:{world.read}@{checkpoint(name, epochs)}" for name, epochs in towers.items()]
        yield _eval(world, f"every CLIP by its prompts, seed {seed}", clips, "zero-shot")
        for head in (f"web-head-{seed}", f"titles-head-{seed}"):
            register = ("effrob", "register", head, "--loader", world.loader, "--pixels", world.pixels)
            yield Line(f"iv: {head} by name", (*register, "--checkpoint", f"{RUNS}/{head}/final.pt"))
        yield _eval(
            world,
            f"iv: CLIP by heads without words, seed {seed}",
            [f"web-head-{seed}", f"titles-head-{seed}"],
            "native",
        )
        names = ("labels", "yfcc-small-labels", "yfcc-labels", "simclr-tuned", "clip-tuned")
        yield _eval(world, f"the classifiers, seed {seed}", [classifier(name, seed, world) for name in names], "native")
        probed = [
            f"openclip:{world.read}@{checkpoint(tower('class-name', seed), world.epochs)}",
            classifier("labels", seed, world),
        ]
        yield _eval(world, f"v: towers by one probe on ImageNet's labels, seed {seed}", probed, "linear-probe")
    yield Line("every row beside the published ones", ("effrob", "leaderboard", "--format", "md"))


def checkpoint(name: str, epochs: int) -> str:
    """Where open_clip's trainer leaves a run's last weights."""
    return f"{RUNS}/{name}/checkpoints/epoch_{epochs}.pt"


def classifier(name: str, seed: int, world: World = PUBLISHED) -> str:
    """A run of the labelled trainer as a model of effrob."""
    return f"timm:{world.network}@{RUNS}/{name}-{seed}/final.pt"


def tower(variant: str, seed: int) -> str:
    """The name of a captioned ImageNet arm's run."""
    return f"imagenet-{variant.replace('+', '-')}-{seed}"


def _eval(world: World, remark: str, models: Sequence[str], head: str) -> Line:
    return Line(remark, ("effrob", "eval", *_each("--model", models), "--head", head, *_each("--shift", world.sets)))


def _suite(world: World) -> tuple[str, ...]:
    """Named where it is not the default one."""
    return () if world.suite == PUBLISHED.suite else ("--suite", world.suite)


def _yfcc(shards: int) -> str:
    return YFCC.format(last=shards - 1)


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (option, value)]

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
YFCC, YFCC_PAIRS, SHARDS = "yfcc15m/{{000000..{last:06d}}}.tar", 15_000_000, 1500
SHARES = {1: "all", 2: "half", 4: "a quarter", 8: "an eighth"}  # of the web's shards, by divisor
SHORT = 8  # a divisor of the steps, as SHARES is one of the pictures
SMALL = "five-causes/yfcc-small"  # a subset of the web, as many images as the build holds
SMALL_SHARDS = 128  # open_clip's trainer wants a shard for each worker of each process
VARIANTS = ("title", "title+description", "title+description+tags", "class-name")
ALL_WORDS = VARIANTS[2]
EPOCHS = 32
# What open_clip's RN50 sees: its own size, mean and deviation.
PIXELS = "resize=224,crop=224,interpolation=bicubic,mean=0.48145466/0.4578275/0.40821073,std=0.26862954/0.26130258/0.27577711"
SUITE = ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")


@dataclass(frozen=True)
class Line:
    """A command with a remark of what it is for; `argv` as the shell would split it."""

    remark: str
    argv: tuple[str, ...]


def commands(gpus: int = GPUS) -> list[str]:
    """What is printed: remarks, and command lines quoted for a shell."""
    printed = [
        "# The data folder ($EFFROB_DATA) holds ImageNet's train and val, the five shifts, and imagenet_captions.json.",
        f"# yfcc15m/ holds {SHARDS} WebDataset shards of image and text. {gpus} GPUs are assumed; --gpus N for others.",
    ]
    for line in lines(gpus):
        printed += ["", f"# {line.remark}", shlex.join(line.argv)]
    return printed


def lines(gpus: int = GPUS) -> Iterator[Line]:
    """Every command, in an order that works: exports, trainings, evaluation, the table."""
    yield from _exports()
    for seed in SEEDS:
        yield from _contrastive(seed, gpus)
        yield from _without_words(seed, gpus)
    yield from _evaluations()
    yield Line("every arm and contrast of the study", ("effrob", "study", "run", str(STUDY)))
    report = ("python", "-m", "recipes.five_causes", "--scale", "imagenet", "--report-to", REPORT)
    yield Line("the causes' headlines out of it", report)
    yield Line("the table of README with these runs", ("effrob", "study", "summary", "--trained", REPORT))


def _exports() -> Iterator[Line]:
    build = ("effrob", "captions", "build", "--out", BUILD, *_each("--variant", VARIANTS[:3]))
    yield Line("iii, v: the images that have words under every variant", build)
    formats = ("--format", "csv", "--format", "labels")
    export = ("effrob", "captions", "export", BUILD, "--out", ARMS, *_each("--variant", VARIANTS), *formats)
    yield Line("iii, v: one arm a variant, and labels, over identical images", export)
    subset = (
        "python",
        "-m",
        "recipes.subset",
        _yfcc(SHARDS),
        "--like",
        BUILD,
        "--shards",
        str(SMALL_SHARDS),
        "--out",
        SMALL,
    )
    yield Line("ii: a subset of the web of the size of the captioned ImageNet images", subset)
    for source, out in ((_yfcc(SHARDS), "yfcc-matched"), (SMALL, "yfcc-small-matched")):
        match = ("effrob", "captions", "match", source, "--rule", "substring", "--out", f"{ARMS}/{out}")
        yield Line(
            "ii, iii, iv: labels for the web's images out of their texts, by class names as they are written", match
        )


def _contrastive(seed: int, gpus: int) -> Iterator[Line]:
    columns = ("--csv-img-key", "filepath", "--csv-caption-key", "title")
    for variant in VARIANTS:
        what = "v: the contrastive loss on class names" if variant == "class-name" else f"iii: CLIP on {variant}"
        data = ("--train-data", f"{ARMS}/{variant}-csv/captions.csv", "--dataset-type", "csv", *columns)
        yield _clip(f"{what} of the same ImageNet images, seed {seed}", tower(variant, seed), data, seed, EPOCHS, gpus)
    for share, words in SHARES.items():
        pairs: tuple[str, ...] = ("--train-data", _yfcc(SHARDS // share), "--dataset-type", "webdataset")
        pairs += ("--train-num-samples", str(YFCC_PAIRS // share))
        cause = "i, iii, iv" if share == 1 else "i"
        remark = f"{cause}: CLIP on {words} of the web, each pair seen {EPOCHS * share} times, seed {seed}"
        yield _clip(remark, f"yfcc-{share}-{seed}", pairs, seed, EPOCHS * share, gpus)
    whole = ("--train-data", _yfcc(SHARDS), "--dataset-type", "webdataset", "--train-num-samples", str(YFCC_PAIRS))
    short = f"i: CLIP on all of the web for an eighth of the steps, seed {seed}"
    yield _clip(short, f"yfcc-short-{seed}", whole, seed, EPOCHS // SHORT, gpus)
    # Its size is what the build's turned out to be: open_clip's trainer reads it from the shards' sizes.json.
    small = ("--train-data", f"{SMALL}/{{000000..{SMALL_SHARDS - 1:06d}}}.tar", "--dataset-type", "webdataset")
    yield _clip(f"ii: CLIP on the small web, seed {seed}", f"yfcc-small-{seed}", small, seed, EPOCHS, gpus)


def _clip(remark: str, name: str, data: Sequence[str], seed: int, epochs: int, gpus: int) -> Line:
    argv = (
        "torchrun", "--nproc_per_node", str(gpus), "-m", "open_clip_train.main", "--model", "RN50", *data,
        "--batch-size", str(1024 // gpus), "--epochs", str(epochs), "--lr", "1e-3", "--wd", "0.1", "--warmup", "500",
        "--beta1", "0.9", "--beta2", "0.999", "--eps", "1e-8", "--aug-cfg", "scale=(0.9,1.0)", "--precision", "amp",
        "--workers", "8", "--local-loss", "--gather-with-grad", "--seed", str(seed), "--logs", RUNS, "--name", name,
        "--resume", "latest",
    )  # fmt: skip
    return Line(remark, argv)


def _without_words(seed: int, gpus: int) -> Iterator[Line]:
    def labelled(remark: str, listed: str, name: str, *more: str) -> Line:
        run = ("torchrun", "--nproc_per_node", str(gpus), "-m", "recipes.labelled", "--list", f"{ARMS}/{listed}")
        argv = (*run, "--model", "resnet50_clip", *more, "--seed", str(seed), "--out", f"{RUNS}/{name}-{seed}")
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
        frozen = ("--tower", f"openclip:RN50@{checkpoint(clip, EPOCHS)}", *layer)
        yield labelled(f"iv: a head without words on {name.partition('-')[0]}' CLIP", listed, name, *frozen)
    views = ("torchrun", "--nproc_per_node", str(gpus), "-m", "recipes.self_supervised", "--images", _yfcc(SHARDS))
    argv = (
        *views,
        "--model",
        "resnet50_clip",
        "--epochs",
        str(EPOCHS),
        "--seed",
        str(seed),
        "--out",
        f"{RUNS}/simclr-{seed}",
    )
    yield Line(f"iii: SimCLR on the web's images, without a word, seed {seed}", argv)
    tuned = ("--epochs", "30", "--rate", "0.01", "--drops", "10,20")
    remark = "on text-matched labels of the web"
    first = {"simclr-tuned": f"{RUNS}/simclr-{seed}/final.pt", "clip-tuned": checkpoint(f"yfcc-1-{seed}", EPOCHS)}
    for name, file in first.items():
        yield labelled(
            f"iii: {name.partition('-')[0]}'s tower fine-tuned {remark}", "yfcc-matched", name, "--init", file, *tuned
        )


def _evaluations() -> Iterator[Line]:
    for seed in SEEDS:
        towers = {tower(variant, seed): EPOCHS for variant in VARIANTS}
        towers |= {f"yfcc-{share}-{seed}": EPOCHS * share for share in SHARES}
        towers |= {f"yfcc-short-{seed}": EPOCHS // SHORT, f"yfcc-small-{seed}": EPOCHS}
        clips = [f"openclip:RN50@{checkpoint(name, epochs)}" for name, epochs in towers.items()]
        yield _eval(f"every CLIP by its prompts, seed {seed}", clips, "zero-shot")
        for head in (f"web-head-{seed}", f"titles-head-{seed}"):
            register = ("effrob", "register", head, "--loader", "recipes.frozen:rn50", "--pixels", PIXELS)
            yield Line(f"iv: {head} by name", (*register, "--checkpoint", f"{RUNS}/{head}/final.pt"))
        yield _eval(
            f"iv: CLIP by heads without words, seed {seed}", [f"web-head-{seed}", f"titles-head-{seed}"], "native"
        )
        names = ("labels", "yfcc-small-labels", "yfcc-labels", "simclr-tuned", "clip-tuned")
        yield _eval(f"the classifiers, seed {seed}", [classifier(name, seed) for name in names], "native")
        probed = [f"openclip:RN50@{checkpoint(tower('class-name', seed), EPOCHS)}", classifier("labels", seed)]
        yield _eval(f"v: towers by one probe on ImageNet's labels, seed {seed}", probed, "linear-probe")
    yield Line("every row beside the published ones", ("effrob", "leaderboard", "--format", "md"))


def checkpoint(name: str, epochs: int) -> str:
    """Where open_clip's trainer leaves a run's last weights."""
    return f"{RUNS}/{name}/checkpoints/epoch_{epochs}.pt"


def classifier(name: str, seed: int) -> str:
    """A run of the labelled trainer as a model of effrob."""
    return f"timm:resnet50_clip@{RUNS}/{name}-{seed}/final.pt"


def tower(variant: str, seed: int) -> str:
    """The name of a captioned ImageNet arm's run."""
    return f"imagenet-{variant.replace('+', '-')}-{seed}"


def _eval(remark: str, models: Sequence[str], head: str) -> Line:
    return Line(remark, ("effrob", "eval", *_each("--model", models), "--head", head, *_each("--shift", SUITE)))


def _yfcc(shards: int) -> str:
    return YFCC.format(last=shards - 1)


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (option, value)]

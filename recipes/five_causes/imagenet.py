"""The published experiment's runs as command lines, ready for a machine with GPUs: printed, never run from here.

Recipe of Fang et al. 2022 as later work repeats it: RN50, 32 epochs of contrastive training in batches of 1024, 90 of
supervised training in batches of 256, crops of at least nine tenths. Heads of effrob want an image of every class, which
neither the web's texts nor the captioned images have: the head without words is a layer trained on the frozen tower, and
the probe that compares towers learns from all of ImageNet. Plain data; imports no trainer.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GPUS = 8
SEEDS = (0, 1, 2)
BUILD, ARMS, RUNS = "five-causes/build", "five-causes/arms", "five-causes/runs"
YFCC, YFCC_PAIRS, SHARDS = "yfcc15m/{{000000..{last:06d}}}.tar", 15_000_000, 1500
SHARES = {1: "all", 2: "half", 4: "a quarter", 8: "an eighth"}  # of the web's shards, by divisor
VARIANTS = ("title", "title+description", "title+description+tags", "class-name")
# What open_clip's RN50 sees: its own size, mean and deviation.
PIXELS = "resize=224,crop=224,interpolation=bicubic,mean=0.48145466/0.4578275/0.40821073,std=0.26862954/0.26130258/0.27577711"
SUITE = ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")


@dataclass(frozen=True)
class Line:
    """A command with a remark of what it is for; `argv` as the shell would split it."""

    remark: str
    argv: tuple[str, ...]


def commands() -> list[str]:
    """What is printed: remarks, and command lines quoted for a shell."""
    printed = [
        "# The data folder ($EFFROB_DATA) holds ImageNet's train and val, the five shifts, and imagenet_captions.json.",
        f"# yfcc15m/ holds {SHARDS} WebDataset shards of image and text. {GPUS} GPUs are assumed.",
    ]
    for line in lines():
        printed += ["", f"# {line.remark}", shlex.join(line.argv)]
    return printed


def lines() -> Iterator[Line]:
    """Every command, in an order that works: exports, trainings, evaluation."""
    yield from _exports()
    for seed in SEEDS:
        yield from _contrastive(seed)
        yield from _without_words(seed)
    yield from _evaluations()


def _exports() -> Iterator[Line]:
    build = ("effrob", "captions", "build", "--out", BUILD, *_each("--variant", VARIANTS[:3]))
    yield Line("iii, v: the images that have words under every variant", build)
    formats = ("--format", "csv", "--format", "labels")
    export = ("effrob", "captions", "export", BUILD, "--out", ARMS, *_each("--variant", VARIANTS), *formats)
    yield Line("iii, v: one arm a variant, and labels, over identical images", export)
    match = ("effrob", "captions", "match", _yfcc(SHARDS), "--rule", "substring", "--out", f"{ARMS}/yfcc-matched")
    yield Line("iv: labels for the web's images out of their texts, by class names as they are written", match)


def _contrastive(seed: int) -> Iterator[Line]:
    columns = ("--csv-img-key", "filepath", "--csv-caption-key", "title")
    for variant in VARIANTS:
        what = "v: the contrastive loss on class names" if variant == "class-name" else f"iii: CLIP on {variant}"
        data = ("--train-data", f"{ARMS}/{variant}-csv/captions.csv", "--dataset-type", "csv", *columns)
        yield _clip(f"{what} of the same ImageNet images, seed {seed}", _tower(variant, seed), data, seed)
    for share, words in SHARES.items():
        seen = ("--train-num-samples", str(YFCC_PAIRS // share))
        shards = ("--train-data", _yfcc(SHARDS // share), "--dataset-type", "webdataset", *seen)
        cause = "i, ii, iv" if share == 1 else "i"
        yield _clip(f"{cause}: CLIP on {words} of the web, seed {seed}", f"yfcc-{share}-{seed}", shards, seed)


def _clip(remark: str, name: str, data: Sequence[str], seed: int) -> Line:
    argv = (
        "torchrun", "--nproc_per_node", str(GPUS), "-m", "open_clip_train.main", "--model", "RN50", *data,
        "--batch-size", str(1024 // GPUS), "--epochs", "32", "--lr", "1e-3", "--wd", "0.1", "--warmup", "500",
        "--beta1", "0.9", "--beta2", "0.999", "--eps", "1e-8", "--aug-cfg", "scale=(0.9,1.0)", "--precision", "amp",
        "--workers", "8", "--local-loss", "--gather-with-grad", "--seed", str(seed), "--logs", RUNS, "--name", name,
        "--resume", "latest",
    )  # fmt: skip
    return Line(remark, argv)


def _without_words(seed: int) -> Iterator[Line]:
    labels, matched = f"{ARMS}/labels", f"{ARMS}/yfcc-matched"
    yield _labelled(f"iii: a classifier on the same ImageNet images, seed {seed}", labels, f"labels-{seed}", seed)
    web = f"iv: a classifier on text-matched labels of the web, seed {seed}"
    yield _labelled(web, matched, f"yfcc-labels-{seed}", seed)
    tower = ("--tower", _web(seed), "--epochs", "10", "--drops", "6,8")
    yield _labelled(
        f"iv: a head without words on the web's CLIP, seed {seed}", matched, f"web-head-{seed}", seed, tower
    )
    simclr = ("--loss", "simclr", "--epochs", "200", "--batch", "2048", "--rate", "1.2", "--drops", "100,150")
    yield _labelled(f"v: SimCLR on the same ImageNet images, seed {seed}", labels, f"simclr-{seed}", seed, simclr)


def _labelled(remark: str, listed: str, name: str, seed: int, more: Sequence[str] = ()) -> Line:
    run = ("torchrun", "--nproc_per_node", str(GPUS), "-m", "recipes.labelled", "--list", listed)
    return Line(remark, (*run, "--model", "resnet50_clip", *more, "--seed", str(seed), "--out", f"{RUNS}/{name}"))


def _evaluations() -> Iterator[Line]:
    for seed in SEEDS:
        towers = [_tower(variant, seed) for variant in VARIANTS] + [f"yfcc-{share}-{seed}" for share in SHARES]
        clips = [f"openclip:RN50@{RUNS}/{name}/checkpoints/epoch_32.pt" for name in towers]
        names = ("labels", "yfcc-labels", "simclr")
        plain = {name: f"timm:resnet50_clip@{RUNS}/{name}-{seed}/final.pt" for name in names}
        yield _eval(f"i, ii, iii, v: every CLIP by its prompts, seed {seed}", clips, "zero-shot")
        head = f"web-head-{seed}"
        register = ("effrob", "register", head, "--loader", "recipes.frozen:rn50", "--pixels", PIXELS)
        yield Line(f"iv: the head without words, by name, seed {seed}", (*register, *_final(head)))
        yield _eval(f"iv: the web's CLIP by a head without words, seed {seed}", [head], "native")
        yield _eval(f"iii, iv: the classifiers, seed {seed}", [plain["labels"], plain["yfcc-labels"]], "native")
        probed = [plain["simclr"], plain["labels"]]
        yield _eval(f"v: towers by one probe on ImageNet's labels, seed {seed}", probed, "linear-probe")
    yield Line("every row beside the published ones", ("effrob", "leaderboard", "--format", "md"))


def _final(name: str) -> tuple[str, str]:
    return "--checkpoint", f"{RUNS}/{name}/final.pt"


def _eval(remark: str, models: Sequence[str], head: str) -> Line:
    return Line(remark, ("effrob", "eval", *_each("--model", models), "--head", head, *_each("--shift", SUITE)))


def _web(seed: int) -> str:
    return f"openclip:RN50@{RUNS}/yfcc-1-{seed}/checkpoints/epoch_32.pt"


def _tower(variant: str, seed: int) -> str:
    return f"imagenet-{variant.replace('+', '-')}-{seed}"


def _yfcc(shards: int) -> str:
    return YFCC.format(last=shards - 1)


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (option, value)]

"""The whole process, start to end, against CLIP_benchmark's command line: one prompt and one set, 80 prompts and six sets."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks import clip_benchmark
from benchmarks.measure import Cost, Finding, call, interleaved, median, process, ratio, told
from benchmarks.models import small_clip
from benchmarks.pictures import six, validation

PROMPT = "a photo of a {}."
WORKERS = (0, 2)  # CLIP_benchmark's data loader workers: the better of the two in each round is the reference
ONE = (2,)  # for six sets, where its time goes into text


# Each as its own installer makes it: CLIP_benchmark requires transformers, which for effrob is an extra. In the one folder of
# packages that both share here, a default installation of effrob is one where that package cannot be imported.
DEFAULT = "import sys; sys.modules['transformers'] = None; from effrob.cli import main; main()"


@functools.cache
def precision(work: Path) -> str:
    """What both sides compute in: bfloat16, CLIP_benchmark's default, where the network is faster in it; else float32.

    A processor may multiply in bfloat16 and still be slower in it, without tiles for it.
    """
    import open_clip

    small_clip(work / "small-clip")
    network = open_clip.create_model(f"local-dir:{work / 'small-clip'}").eval()
    pixels, spent = torch.randn(64, 3, 224, 224), {}
    for name, reduced in (("bf16", True), ("fp32", False)):
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
            spent[name] = min(call(lambda: network.encode_image(pixels)).cpu for _ in range(3))
    return min(spent, key=lambda name: spent[name])


def effrob(work: Path, name: str, *options: str) -> Callable[[], Cost]:
    """A cold `effrob eval` of a default installation: nothing cached, nothing recorded."""

    def run() -> Cost:
        out = work / "runs" / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        command = [sys.executable, "-c", DEFAULT, "eval", *options, "--precision", precision(work), "--json"]
        command += ["--results", str(out / "results"), "--cache", str(out / "cache")]
        return process(command, {"OMP_NUM_THREADS": "1"}, out / "log.txt")

    return run


def accuracies(work: Path, name: str) -> dict[str, float]:
    """What that run recorded, by set."""
    records = (json.loads(path.read_text()) for path in (work / "runs" / name / "results").rglob("record.json"))
    return {r["asked"]["shift"]: r["counts"]["n_correct"] / r["counts"]["n"] for r in records}


def one_prompt(work: Path, repeats: int) -> list[Finding]:
    """2,000 JPEGs of 500x375, one prompt a class, the small CLIP."""
    data, spec = validation(work / "2000", 2000), small_clip(work / "small-clip")
    prompts = work / "photo.json"
    prompts.write_text(json.dumps([PROMPT]))
    theirs = work / "photo-theirs.json"
    theirs.write_text(json.dumps({"imagenet1k": [PROMPT.replace("{}", "{c}")]}))
    options = ["--model", spec, "--data", str(data), "--shift", "imagenet", "--partial", "--prompts", str(prompts)]
    return _against(
        work,
        repeats,
        options,
        ("imagenet1k-unverified",),
        str(data / "imagenet"),
        theirs,
        "one prompt",
        (1.6, 1.4),
        WORKERS,
    )


def six_sets(work: Path, repeats: int) -> list[Finding]:
    """Six sets of 500 pictures, 80 prompts a class."""
    (ours, theirs), spec = six(work / "six", 500), small_clip(work / "small-clip")
    options = ["--model", spec, "--data", str(ours), "--partial", "--prompts", "openai"]
    root = str(theirs / "{dataset}")
    return _against(
        work, repeats, options, clip_benchmark.DATASETS, root, None, "80 prompts, six sets", (5.0, 0.0), ONE
    )


def _against(
    work: Path,
    repeats: int,
    options: Sequence[str],
    datasets: tuple[str, ...],
    root: str,
    templates: Path | None,
    what: str,
    wanted: tuple[float, float],
    workers: tuple[int, ...],
) -> list[Finding]:
    python = clip_benchmark.environment(work / "clip-benchmark")
    found: dict[str, dict[str, float]] = {}

    def reference(number: int) -> Callable[[], Cost]:
        def run() -> Cost:
            out = work / "runs" / f"clip-benchmark-{len(datasets)}-{number}"
            cost, found["theirs"] = clip_benchmark.evaluate(
                python, work / "small-clip", datasets, root, out, number, templates, amp=precision(work) == "bf16"
            )
            return cost

        return run

    paths = {path: effrob(work, f"{len(datasets)}-{path}", *options, "--pixels", path) for path in ("exact", "fast")}
    costs = interleaved({**paths, **{f"workers {n}": reference(n) for n in workers}}, repeats)
    rounds = zip(*(costs[f"workers {n}"] for n in workers))
    best = [Cost(min(c.wall for c in each), min(c.cpu for c in each)) for each in rounds]
    findings = []
    for path in paths:
        by_wall, by_cpu = ratio(best, costs[path], "wall"), ratio(best, costs[path])
        detail = {"costs": told(costs), "accuracy": {**found, "ours": accuracies(work, f"{len(datasets)}-{path}")}}
        findings.append(
            Finding(
                f"zero-shot, {what}, {path} pixels, {precision(work)}",
                f"whole process, default install: {median(costs[path], 'wall'):.1f} s wall, {median(costs[path]):.1f} s CPU",
                f"CLIP_benchmark 1.6.2, the best of {workers} workers: {median(best, 'wall'):.1f} s, {median(best):.1f} s",
                f"wall {by_wall}, CPU {by_cpu}",
                f"wall ≥ {wanted[0]}" + (f", CPU ≥ {wanted[1]}" if wanted[1] else ""),
                by_wall.median >= wanted[0] and by_cpu.median >= wanted[1],
                detail,
            )
        )
    return findings

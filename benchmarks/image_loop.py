"""A pass over images against its parts: decoding alone, the networks alone.

Everything runs on one torch thread. The networks alone are run the better of two ways a user would: batches of 8 and of 64,
channels last for a convolutional one. Features go to a cache that is thrown away after each run, as in a cold evaluation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.decode import Bytes, nothing
from benchmarks.measure import Cost, Finding, Ratio, call, interleaved, median, told
from benchmarks.models import NETWORKS, PIXELS, encoder, network
from benchmarks.pictures import validation
from effrob.features.cache import FeatureCache, FeatureKey
from effrob.features.extract import EncoderJob, Pass, extract
from effrob.features.loader import Batches, Crops
from effrob.features.transforms import normalise
from model_zoo.encoder import Encoder

IMAGES = 512  # some images are asked again whatever their number; of 512 that is 2 %
BATCH = 64
PATHS = ("fast", "exact")
THREE = ("vit_small_patch32_224", "resnet18", "vit_tiny_patch16_224")


def pictures(work: Path, count: int = IMAGES) -> Bytes:
    return Bytes(sorted((validation(work / "2000", 2000) / "imagenet" / "val").rglob("*.JPEG"))[:count])


def whole(work: Path, source: Bytes, encoders: Sequence[Encoder], path: str, pixels: Path | None = None) -> Cost:
    """What `extract` costs, writing included."""
    root = work / "passes"
    shutil.rmtree(root, ignore_errors=True)
    cache, streams = FeatureCache(root), []
    for each in encoders:
        digest = each.pixels.digest()
        key = FeatureKey(each.identity.asked, "default", digest, path, 0, "benchmark", len(source), "fp32")
        cache.open(key, {})
        streams.append(EncoderJob(each, key, cache.missing(key)))
    how = Pass(BATCH, path=path, progress=False, pixel_cache=pixels)
    failed: dict[str, str] = {}
    cost = call(lambda: failed.update(extract(source, 0, streams, cache, how, "benchmark")))
    if failed:
        raise RuntimeError(f"a network failed: {failed}")
    return cost


def decoding(source: Bytes, path: str, threads: int = 1) -> Cost:
    """What the crops alone cost, by the same pool of threads."""
    ranges = [range(a, min(a + BATCH, len(source))) for a in range(0, len(source), BATCH)]
    crops = Crops(source, 0, path, [nothing(PIXELS)], len(source))

    def run() -> None:
        with Batches(crops, ranges, lambda rows: {PIXELS.geometry()}, threads) as batches:
            for _ in batches:
                pass

    return call(run)


def forward(name: str, size: int, count: int = IMAGES) -> Callable[[], Cost]:
    """What the network alone costs on `count` float pictures that are there already, in batches of `size`."""
    module = network(name)
    floats = normalise(torch.randint(0, 256, (BATCH, *PIXELS.size, 3), dtype=torch.uint8), PIXELS)
    if sum(isinstance(layer, torch.nn.Conv2d) for layer in module.modules()) > 4:
        module = module.to(memory_format=torch.channels_last)
        floats = floats.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(0, count, BATCH):
                for start in range(0, BATCH, size):
                    module(floats[start : start + size])

    return lambda: call(run)


def _forwards(names: Sequence[str], count: int = IMAGES) -> dict[str, Callable[[], Cost]]:
    return {f"forward {name} {size}": forward(name, size, count) for name in names for size in (8, 64)}


def _best(costs: dict[str, list[Cost]], name: str, kind: str = "cpu") -> list[float]:
    """A network alone, the better batch size of each round."""
    return [min(getattr(c, kind) for c in both) for both in zip(*(costs[f"forward {name} {n}"] for n in (8, 64)))]


def _spread(values: Sequence[float]) -> Ratio:
    ordered = sorted(values)
    return Ratio(ordered[len(ordered) // 2], ordered[0], ordered[-1])


def against_its_parts(work: Path, repeats: int) -> list[Finding]:
    """The CPU seconds of a pass over those of decoding alone and the network alone."""
    torch.set_num_threads(1)
    source, findings = pictures(work), []
    for what, name in NETWORKS.items():
        loaded, runs = encoder(name), _forwards([name])
        for path in PATHS:
            runs[f"pass {path}"] = lambda loaded=loaded, path=path: whole(work, source, [loaded], path)  # type: ignore[misc]
            runs[f"decode {path}"] = lambda path=path: decoding(source, path)  # type: ignore[misc]
        costs = interleaved(runs, repeats)
        for path in PATHS:
            parts = [d.cpu + f for d, f in zip(costs[f"decode {path}"], _best(costs, name))]
            found = _spread([p.cpu / part for p, part in zip(costs[f"pass {path}"], parts)])
            each = 1e3 / len(source)
            findings.append(
                Finding(
                    f"image loop: {what} ({name}), {path} pixels",
                    f"{median(costs[f'pass {path}']) * each:.2f} ms CPU an image",
                    f"decode-only {median(costs[f'decode {path}']) * each:.2f} ms + "
                    f"torch forward-only {_spread(_best(costs, name)).median * each:.2f} ms",
                    f"CPU {found} of the parts",
                    "≤ 1.1",
                    found.median <= 1.1,
                    {"costs": told(costs), "images": len(source)},
                )
            )
    return findings


def three_models(work: Path, repeats: int) -> list[Finding]:
    """One pass that feeds three networks, against one decode and three forwards."""
    torch.set_num_threads(1)
    source, loaded = pictures(work), [encoder(name) for name in THREE]
    runs: dict[str, Callable[[], Cost]] = {
        "pass": lambda: whole(work, source, loaded, "fast"),
        "decode": lambda: decoding(source, "fast"),
        **_forwards(THREE),
    }
    costs = interleaved(runs, repeats)
    parts = [d.cpu + sum(f) for d, f in zip(costs["decode"], zip(*(_best(costs, name) for name in THREE)))]
    found, each = _spread([p.cpu / part for p, part in zip(costs["pass"], parts)]), 1e3 / len(source)
    return [
        Finding(
            "three models in one pass, fast pixels",
            f"{median(costs['pass']) * each:.2f} ms CPU an image ({', '.join(THREE)})",
            f"one decode + three forwards: {_spread(parts).median * each:.2f} ms",
            f"CPU {found} of the parts",
            "≤ 1.1",
            found.median <= 1.1,
            {"costs": told(costs), "images": len(source)},
        )
    ]


def from_the_pixel_cache(work: Path, repeats: int) -> list[Finding]:
    """A pass whose crops are mapped from the pixel cache, against the network alone."""
    torch.set_num_threads(1)
    source, findings = pictures(work), []
    for what, name in NETWORKS.items():
        loaded, kept = encoder(name), work / "pixels"
        whole(work, source, [loaded], "exact", kept)  # fills it
        runs = {
            "pass": lambda loaded=loaded, kept=kept: whole(work, source, [loaded], "exact", kept),
            **_forwards([name]),
        }  # type: ignore[misc]
        costs = interleaved(runs, repeats)
        found = {
            kind: _spread([f / getattr(p, kind) for p, f in zip(costs["pass"], _best(costs, name, kind))])
            for kind in ("wall", "cpu")
        }
        each = 1e3 / len(source)
        findings.append(
            Finding(
                f"from the pixel cache: {what} ({name})",
                f"{median(costs['pass']) * each:.2f} ms CPU an image",
                f"torch forward-only: {_spread(_best(costs, name)).median * each:.2f} ms",
                f"share of forward-only's speed: CPU {found['cpu']}, wall {found['wall']}",
                "≥ 0.95",
                found["cpu"].median >= 0.95,
                {"costs": told(costs), "images": len(source)},
            )
        )
    return findings

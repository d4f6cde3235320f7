"""Decode and resize on one thread: both pixel paths against open_clip's own transform of a Pillow image."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from benchmarks.measure import Cost, Finding, call, interleaved, median, ratio, told
from benchmarks.pictures import validation
from effrob.features.compiled import MIN_IMAGES, load, normalise_batch
from effrob.features.loader import Crops
from model_zoo import PixelSpec
from model_zoo.encoder import Encoder, Identity
from model_zoo.spec import parse
from shifts.shift import ImageSource

SPEC = PixelSpec(
    (224, 224), (224, 224), mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)
WANTED = {"exact": 1.9, "fast": 2.5}
BATCH = 32  # a pass normalises as many pictures of this size at a time as stay under 20 MB


class Bytes:
    """Encoded pictures in memory as an image source, so that no disk is measured."""

    def __init__(self, files: list[Path]) -> None:
        self.ids = tuple(file.name for file in files)
        self._data = [file.read_bytes() for file in files]

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int) -> bytes:
        return self._data[row]

    def digest(self) -> str:
        return "in memory"

    stat = digest


def nothing(pixels: PixelSpec = SPEC) -> Encoder:
    """An encoder that is only a PixelSpec."""
    identity = Identity(parse("timm:none"), "none", "none", pixels)
    return Encoder(identity, torch.device("cpu"), lambda batch: batch, "logits", 1)


def crops(source: ImageSource, path: str) -> Callable[[], object]:
    """Every picture of `source` through one pixel path, on this thread, into uint8 batches and on to normalised floats."""

    def run() -> None:
        ready = Crops(source, 0, path, [nothing()], MIN_IMAGES)
        batch = torch.empty((BATCH, *SPEC.size, 3), dtype=torch.uint8)
        for start in range(0, len(source.ids), BATCH):
            rows = range(start, min(start + BATCH, len(source.ids)))
            for slot, row in enumerate(rows):
                ready.fill(row, {SPEC.geometry(): batch[slot]})
            normalise_batch(batch[: len(rows)], SPEC)

    return run


def against_pillow(work: Path, repeats: int) -> list[Finding]:
    """150 of the 500x375 JPEGs."""
    import open_clip

    torch.set_num_threads(1)
    load()  # what a process pays once is in the lines of whole processes
    source = Bytes(sorted((validation(work / "2000", 2000) / "imagenet" / "val").rglob("*.JPEG"))[:150])
    transform = open_clip.image_transform(SPEC.size[0], is_train=False, mean=SPEC.mean, std=SPEC.std)

    def reference() -> None:
        for row in range(len(source)):
            transform(Image.open(io.BytesIO(source.read(row))))

    runs: dict[str, Callable[[], Cost]] = {"open_clip": lambda: call(reference)}
    runs |= {path: (lambda path=path: call(crops(source, path))) for path in WANTED}  # type: ignore[misc]
    costs = interleaved(runs, repeats)
    findings = []
    for path, wanted in WANTED.items():
        found, each = ratio(costs["open_clip"], costs[path]), 1e3 / len(source)
        findings.append(
            Finding(
                f"decode, resize, normalise: {path}",
                f"{median(costs[path]) * each:.2f} ms CPU an image",
                f"open_clip's transform: {median(costs['open_clip']) * each:.2f} ms",
                f"CPU {found}",
                f"≥ {wanted}",
                found.median >= wanted,
                {"costs": told(costs), "images": len(source)},
            )
        )
    return findings

"""`python -m benchmarks.gpu`: a pass on one GPU, and its shares of the decode limit and of the forward limit.

Synthetic 500x375 JPEGs from memory, random weights, bf16. The decode limit is the crops alone by every core; the forward
limit is the network alone on batches that are on the device already. A short trial says what a cell costs, and it gets as many
images as its share of `--minutes` holds; a cell without time is named. `--device cpu --images 32` tries the script out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from benchmarks.decode import SPEC, Bytes, nothing
from benchmarks.pictures import encoded
from benchmarks.report import machine
from effrob.features.cache import FeatureCache, FeatureKey
from effrob.features.extract import EncoderJob, Pass, extract
from effrob.features.loader import Batches, Crops
from effrob.features.runner import Network
from effrob.features.threads import cores
from effrob.features.transfer import DeviceTransfer
from model_zoo.encoder import Encoder, Identity
from model_zoo.spec import parse

MODELS = ("ViT-B-32", "ViT-L-14", "RN50")
DISTINCT = 512  # pictures made; a longer source repeats them
SLACK = 1.5  # a pass may take so much longer than the slower of its two limits, before it takes another cell's time


class Repeated(Bytes):
    """`count` pictures out of a few distinct ones."""

    def __init__(self, data: Sequence[bytes], count: int) -> None:
        self.data = data
        self._data = [data[i % len(data)] for i in range(count)]
        self.ids = tuple(f"{i:07d}" for i in range(count))


def image_tower(arch: str, device: torch.device) -> Encoder:
    """open_clip's image tower with random weights."""
    import open_clip

    torch.manual_seed(0)
    tower: nn.Module = open_clip.create_model(arch, load_weights=False).visual.eval().requires_grad_(False).to(device)
    identity = Identity(parse(f"openclip:{arch}@random"), arch, arch, SPEC)
    dim = int(tower(torch.zeros(1, 3, *SPEC.size, device=device)).shape[1])
    return Encoder(identity, device, tower, "image-embedding", dim, module=tower)


def rate(count: int, work: Callable[[], object], device: torch.device) -> float:
    """Images a second of wall time."""
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return count / (time.perf_counter() - begun)


def decoding(source: Bytes, path: str, size: int, transfer: DeviceTransfer) -> Callable[[], object]:
    ranges = [range(a, min(a + size, len(source))) for a in range(0, len(source), size)]

    def run() -> None:
        crops = Crops(source, 0, path, [nothing()], transfer=transfer)
        empty = transfer.empty if crops.decoder is None else transfer.empty_there
        with Batches(crops, ranges, lambda rows: {SPEC.geometry()}, cores(), empty) as batches:
            for _ in batches:
                pass

    return run


def forward(encoder: Encoder, size: int, precision: str, seconds: Callable[[float], float]) -> float:
    """Images a second of the network alone, normalisation included, on one uint8 batch that is there already.

    seconds  how long to measure, from the seconds of a batch. Kernels are chosen, or compiled, on batches that do not count.
    """
    batch = torch.randint(0, 256, (size, *SPEC.size, 3), dtype=torch.uint8, device=encoder.device)
    with Network(encoder, precision) as network:
        for _ in range(2):
            each = size / rate(size, lambda: network(batch), encoder.device)
        rounds = max(1, int(seconds(each) / each))
        return rate(rounds * size, lambda: [network(batch) for _ in range(rounds)], encoder.device)


def whole(source: Bytes, encoder: Encoder, path: str, size: int, precision: str) -> Callable[[], object]:
    """A cold pass, features written."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            cache = FeatureCache(Path(folder))
            asked = encoder.identity.asked
            key = FeatureKey(asked, "default", SPEC.digest(), path, 0, "synthetic", len(source), precision)
            cache.open(key, {})
            stream = EncoderJob(encoder, key, cache.missing(key))
            failed = extract(source, 0, [stream], cache, Pass(size, precision, path, progress=False), "gpu")
            if failed:
                raise RuntimeError(f"a network failed: {failed}")

    return run


@dataclass
class Budget:
    """Seconds of wall time, set-up included."""

    seconds: float
    begun: float = field(default_factory=lambda: time.monotonic())

    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.begun)

    def images(self, share: float, each: float, most: int, least: int) -> int:
        """How many images of `each` seconds fit into a part of what is left: at most `most`, and 0 for less than `least`."""
        fit = int(self.left() * share / (each * SLACK))
        return min(fit, most) if fit >= min(least, most) else 0


@dataclass(frozen=True)
class Row:
    """One line of the table: images a second of wall time; None for what was left out, which `why` explains."""

    model: str
    pixels: str
    precision: str
    images: int = 0
    reached: float | None = None
    decode: float | None = None
    forward: float | None = None
    why: str = ""

    def cells(self) -> list[str]:
        named = [self.model, self.pixels, self.precision]
        if self.reached is None or self.decode is None or self.forward is None:
            return [*named, "0", f"left out: {self.why}", *(5 * ["-"])]
        shares = [f"{self.reached / limit:.2f}" for limit in (self.decode, self.forward)]
        bound = "decoding" if self.decode < self.forward else "the network"
        return [
            *named,
            f"{self.images:,}",
            *(f"{r:.1f}" for r in (self.reached, self.decode, self.forward)),
            *shares,
            bound,
        ]


HEADS = ("model", "pixels", "precision", "images", "img/s", "decode limit", "forward limit")
TITLES = (*HEADS, "share of decode", "share of forward", "bound by")


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


class Table:
    """The rows so far, on the screen and in DIR/gpu.md and DIR/gpu.json, written anew after each."""

    def __init__(self, about: str, folder: Path) -> None:
        self._about, self._folder, self._rows = about, folder, list[Row]()
        self._top = [about, "", line(TITLES), line(["---"] * len(TITLES))]
        print("\n".join(self._top), flush=True)
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, row: Row) -> None:
        self._rows.append(row)
        print(line(row.cells()), flush=True)
        lines = [*self._top, *(line(each.cells()) for each in self._rows)]
        (self._folder / "gpu.md").write_text("\n".join(lines) + "\n")
        kept = {"about": self._about, "rows": [asdict(each) for each in self._rows]}
        (self._folder / "gpu.json").write_text(json.dumps(kept, indent=1) + "\n")


def tried(
    source: Repeated, path: str, size: int, transfer: DeviceTransfer, asked: argparse.Namespace, budget: Budget
) -> float:
    """The decode limit of a path, by as many images as a twentieth of the time allows."""
    few = Repeated(source.data, min(size, asked.images))
    each = 1 / rate(len(few.ids), decoding(few, path, size, transfer), transfer.device)
    count = budget.images(0.05, each, asked.images, 1) or len(few.ids)
    part = Repeated(source.data, count)
    return rate(count, decoding(part, path, size, transfer), transfer.device)


def measure(asked: argparse.Namespace, table: Table, budget: Budget) -> None:
    """Every cell, in turns of what is left of the time; those for which there is none are named."""
    device, size = torch.device(asked.device), asked.batch_size
    transfer = DeviceTransfer(device)
    with ThreadPoolExecutor(cores()) as pool:  # Pillow compresses outside the interpreter's lock
        source = Repeated(list(pool.map(encoded, range(min(DISTINCT, asked.images)))), asked.images)
    decode = {path: tried(source, path, size, transfer, asked, budget) for path in asked.pixels}
    cells = [(arch, precision, path) for arch in asked.models for precision in asked.precision for path in asked.pixels]
    setup = 0.0  # of the last model
    for number, (arch, group) in enumerate(itertools.groupby(cells, key=lambda cell: cell[0])):
        members = list(group)
        done = number * len(members)
        if budget.left() <= setup:
            for _, precision, path in members:
                table.add(Row(arch, path, precision, why="no time was left for its set-up"))
            continue
        begun = time.monotonic()
        encoder = image_tower(arch, device)
        setup = time.monotonic() - begun
        limits: dict[str, float] = {}
        for place, (_, precision, path) in enumerate(members):
            behind = (len(asked.models) - number - 1) * setup
            left = max(0.0, 1 - behind / max(budget.left(), 1e-9)) / (len(cells) - done - place)
            if precision not in limits:
                limits[precision] = forward_limit(encoder, size, precision, asked, budget, left)
            limit = limits[precision]
            count = budget.images(left, 1 / min(limit, decode[path]), asked.images, 2 * size)
            if not count:
                table.add(Row(arch, path, precision, why="no time was left"))
                continue
            part = Repeated(source.data, count)
            reached = rate(count, whole(part, encoder, path, size, precision), device)
            table.add(Row(arch, path, precision, count, reached, decode[path], limit))
        del encoder


def forward_limit(
    encoder: Encoder, size: int, precision: str, asked: argparse.Namespace, budget: Budget, share: float
) -> float:
    """The network alone, for as long as a quarter of a cell's time or as `--images` take."""
    return forward(
        encoder, size, precision, lambda each: min(budget.left() * share / 4, each * max(1, asked.images // size))
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="ARCH")
    parser.add_argument("--minutes", type=float, default=9.0, help="of wall time, set-up included [default: 9]")
    parser.add_argument("--images", type=int, default=20_000, help="a cell, at most [default: 20000]")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", nargs="+", default=("bf16",))
    parser.add_argument("--pixels", nargs="+", default=("fast", "exact", "nvjpeg"))
    parser.add_argument("--out", type=Path, default=Path("build"), metavar="DIR", help="of gpu.md and gpu.json")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error(
            "this machine or this torch has no GPU: --device cpu --images 32 --batch-size 8 tries the script out"
        )
    budget = Budget(60 * asked.minutes)
    device = torch.device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    about = f"{name}; {cores()} cores for decoding; {machine()}; batches of {asked.batch_size}"
    table = Table(about, asked.out)
    measure(asked, table, budget)
    print(f"\n{(budget.seconds - budget.left()) / 60:.1f} of {asked.minutes:g} minutes; {asked.out / 'gpu.md'}")


if __name__ == "__main__":
    main()

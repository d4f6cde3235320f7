"""`python -m benchmarks.gpu`: a pass on one GPU, and its shares of the decode limit and of the forward limit.

Synthetic 500x375 JPEGs from memory, random weights, bf16. The decode limit is the crops alone by every core; the forward
limit is the network alone on batches that are on the device already. `--device cpu --images 32` tries the script out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
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


class Repeated(Bytes):
    """`count` pictures out of a few distinct ones."""

    def __init__(self, data: Sequence[bytes], count: int) -> None:
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
        crops = Crops(source, 0, path, [nothing()])
        with Batches(crops, ranges, lambda rows: {SPEC.geometry()}, cores(), transfer.empty) as batches:
            for _ in batches:
                pass

    return run


def forward(encoder: Encoder, size: int, rounds: int, precision: str) -> Callable[[], object]:
    """The network, normalisation included, on one uint8 batch that is there already."""
    batch = torch.randint(0, 256, (size, *SPEC.size, 3), dtype=torch.uint8, device=encoder.device)

    def run() -> None:
        with Network(encoder, precision) as network:
            for _ in range(rounds):
                network(batch)

    return run


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="ARCH")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--paths", nargs="+", default=("fast", "exact"))
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error(
            "this machine or this torch has no GPU: --device cpu --images 32 --batch-size 8 tries the script out"
        )
    device = torch.device(asked.device)
    transfer, size = DeviceTransfer(device), asked.batch_size
    source = Repeated([encoded(i) for i in range(min(DISTINCT, asked.images))], asked.images)
    name = torch.cuda.get_device_name(device) if transfer.is_gpu else "no GPU"
    print(f"{name}; {cores()} cores for decoding; {machine()}; batches of {size}, {asked.precision}\n")
    print("| model | pixels | img/s | decode limit | forward limit | share of decode | share of forward | bound by |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for arch in asked.models:
        encoder = image_tower(arch, device)
        rounds = max(1, asked.images // size)
        rate(size, forward(encoder, size, 1, asked.precision), device)  # kernels are chosen on the first batch
        limit = rate(rounds * size, forward(encoder, size, rounds, asked.precision), device)
        for path in asked.paths:
            decode = rate(len(source), decoding(source, path, size, transfer), device)
            reached = rate(len(source), whole(source, encoder, path, size, asked.precision), device)
            bound = "decoding" if decode < limit else "the network"
            cells = [arch, path, f"{reached:.1f}", f"{decode:.1f}", f"{limit:.1f}"]
            cells += [f"{reached / decode:.2f}", f"{reached / limit:.2f}", bound]
            print("| " + " | ".join(cells) + " |", flush=True)
            rows.append(dict(zip(("model", "pixels", "img/s", "decode", "forward"), cells[:5])))
        del encoder
    Path("build").mkdir(exist_ok=True)
    Path("build/gpu.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

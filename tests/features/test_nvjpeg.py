"""The nvJPEG path where there is no GPU: torchvision's own decoder stands in, and everything around it is the real path."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import shifts
from effrob.errors import ImageBroken, UsageProblem
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.features import nvjpeg
from effrob.features.cache import FeatureCache, FeatureKey
from effrob.features.extract import EncoderJob, Pass, extract
from effrob.features.loader import Crops
from effrob.features.transfer import DeviceTransfer
from model_zoo.encoder import Encoder, Identity
from model_zoo.pixels import PixelSpec
from model_zoo.spec import parse

SPEC = PixelSpec(size=(48, 48), resize=(52, 52))
CPU = torch.device("cpu")


def picture(kind: str, seed: int = 0, size: tuple[int, int] = (120, 90)) -> bytes:
    noise = np.random.default_rng(seed).normal(0, 12, (size[1], size[0], 3)).cumsum(axis=1) + 128
    image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    kept = io.BytesIO()
    if kind == "png":
        image.save(kept, "PNG")
    else:
        {"rgb": image, "grey": image.convert("L"), "cmyk": image.convert("CMYK")}[kind].save(kept, "JPEG", quality=90)
    return kept.getvalue()


class Pictures:
    def __init__(self, *data: bytes) -> None:
        self.data, self.ids = data, tuple(f"{n}.jpg" for n in range(len(data)))

    def read(self, row: int) -> bytes:
        return self.data[row]


def network(spec: PixelSpec = SPEC) -> Encoder:
    identity = Identity(parse("pocket:lenet"), "lenet", "lenet", spec)

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(pixels, 4).flatten(1)

    return Encoder(identity, CPU, embed, "image-embedding", 48)


def crops(source: Pictures, path: str, spec: PixelSpec = SPEC, border: int = 0) -> np.ndarray:
    """(N, H, W, 3) uint8 by one path."""
    made = Crops(source, border, path, [network(spec)], transfer=DeviceTransfer(CPU))  # type: ignore[arg-type]
    batch = torch.zeros((len(source.data), *spec.size, 3), dtype=torch.uint8)
    if made.decoder is not None:
        made.fill_batch(range(len(source.data)), {spec.geometry(): batch})
    else:
        for row in range(len(source.data)):
            made.fill(row, {spec.geometry(): batch[row]})
    return batch.numpy().astype(int)


@pytest.mark.parametrize("border", [0, 2])
@pytest.mark.parametrize(
    "spec",
    [SPEC, PixelSpec((48, 48), (52, 52), interpolation="bilinear"), PixelSpec((130, 130), (100, 100)),
     PixelSpec((48, 48), (48, 48), mode="squash")],
)  # fmt: skip
def test_a_batch_is_the_exact_paths_within_two_levels(spec: PixelSpec, border: int) -> None:
    source = Pictures(*(picture(kind, n) for n, kind in enumerate(["rgb", "grey", "rgb"])))
    apart = np.abs(crops(source, "nvjpeg", spec, border) - crops(source, "exact", spec, border))
    assert apart.max() <= 2 and (apart > 0).mean() < 0.02


def test_what_it_does_not_take_is_made_by_the_exact_path() -> None:
    sliver = picture("rgb", 4, (40, 200))
    source = Pictures(picture("png"), picture("cmyk"), sliver, picture("rgb"))
    found, wanted = crops(source, "nvjpeg"), crops(source, "exact")
    assert (found[:3] == wanted[:3]).all() and np.abs(found[3] - wanted[3]).max() <= 1
    lanczos = PixelSpec((48, 48), (52, 52), interpolation="lanczos")
    assert (crops(source, "nvjpeg", lanczos) == crops(source, "exact", lanczos)).all()


def test_one_broken_picture_costs_its_batch_nothing_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = picture("rgb")
    with pytest.raises(ImageBroken, match=r"1\.jpg"):
        crops(Pictures(whole, whole[: len(whole) // 2], whole), "nvjpeg")
    calls: list[int] = []
    alike = crops(Pictures(whole, picture("rgb", 1)), "nvjpeg")
    monkeypatch.setattr(nvjpeg, "decode_jpeg", lambda words, **how: _one_by_one(words, calls, **how))
    assert (crops(Pictures(whole, picture("rgb", 1)), "nvjpeg") == alike).all() and calls == [2, 1, 1]


_DECODE = nvjpeg.decode_jpeg


def _one_by_one(words: list[torch.Tensor], calls: list[int], **how: object) -> list[torch.Tensor]:
    calls.append(len(words))
    if len(words) > 1:
        raise RuntimeError("nvjpegDecodeBatched failed")
    made: list[torch.Tensor] = _DECODE(words, **how)
    return made


def test_a_pass_writes_features_near_the_exact_ones(pocket_data: Path, tmp_path: Path) -> None:
    source, found = shifts.load("pocket", root=pocket_data).source, {}
    for path in ("exact", "nvjpeg"):
        cache = FeatureCache(tmp_path / path)
        key = FeatureKey("m" * 8, "default", SPEC.digest(), path, 0, "s" * 8, len(source.ids), "fp32")
        cache.open(key, {})
        job = EncoderJob(network(), key, cache.missing(key))
        assert extract(source, 0, [job], cache, Pass(path=path, progress=False), "test") == {}
        found[path] = cache.merge(key).array
    assert np.abs(found["exact"] - found["nvjpeg"]).max() < 0.02


@pytest.mark.parametrize(
    ("gpu", "advice"), [(True, "leave --pixels out, or say --device cuda"), (False, "leave --pixels out")]
)
def test_on_a_processor_it_is_refused_before_the_first_image(
    gpu: bool, advice: str, pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvjpeg.check.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    request = Request(
        models=("pocket:lenet",),
        shifts=("pocket",),
        suite="pocket",
        data=pocket_data,
        results=tmp_path / "r",
        cache=tmp_path / "c",
        device="cpu",
        pixels="nvjpeg",
    )
    with pytest.raises(UsageProblem, match=f"decodes on a GPU, and this run uses the cpu: {advice}$"):
        Evaluation(request).run()


def test_a_decoder_that_does_not_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nvjpeg._fault(CPU) is None
    monkeypatch.setattr(nvjpeg, "decode_jpeg", lambda words, **how: [torch.zeros(3, 48, 64, dtype=torch.uint8)])
    assert nvjpeg._fault(CPU) == "a flat picture came back 200 levels off"

    def lacks(words: list[torch.Tensor], **how: object) -> list[torch.Tensor]:
        raise RuntimeError("decode_jpegs_cuda: torchvision not compiled with nvJPEG support")

    monkeypatch.setattr(nvjpeg, "decode_jpeg", lacks)
    with pytest.raises(UsageProblem, match=r"cannot be used here \(.*not compiled.*leave --pixels out"):
        nvjpeg.check.__wrapped__(torch.device("cuda"))

"""Both pixel paths on real photographs, prescaled ones and full-size ones. Skipped where EFFROB_REAL is not set."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from effrob.features.loader import Crops
from effrob.features.transforms import decode, exact_crop, normalise
from model_zoo import PixelSpec
from model_zoo.encoder import Encoder, Identity
from model_zoo.spec import parse

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPECS = {
    "open_clip": PixelSpec((224, 224), (224, 224), "shortest", "bicubic", MEAN, STD),
    "torchvision": PixelSpec((128, 128), (146, 146), "shortest", "bilinear", MEAN, STD),
}
REFERENCES = {
    "open_clip": image_transform(224, is_train=False, mean=MEAN, std=STD),
    "torchvision": ImageClassification(
        crop_size=128, resize_size=146, interpolation=InterpolationMode.BILINEAR, mean=MEAN, std=STD
    ),
}
COUNTS = {"val": 1300, "train": 400}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("part", COUNTS)
def test_the_exact_path_is_the_libraries_transform_bit_for_bit(real: Path, part: str, name: str) -> None:
    files = sorted((real / "imagenet" / part).rglob("*.JPEG"))
    assert len(files) == COUNTS[part]
    spec, reference, differ = SPECS[name], REFERENCES[name], []
    for file in files:
        data = file.read_bytes()
        ours = normalise(torch.from_numpy(exact_crop(decode(data, file.name), spec).copy())[None], spec)[0]
        with Image.open(io.BytesIO(data)) as image:
            theirs = reference(image.convert("RGB"))
        if not torch.equal(ours, theirs):
            differ.append(file.name)
    assert not differ, f"{len(differ)} of {len(files)} differ, first {differ[:3]}"


class Files:
    """Files as an image source."""

    def __init__(self, files: list[Path]) -> None:
        self.files, self.ids = files, tuple(file.name for file in files)

    def read(self, row: int) -> bytes:
        return self.files[row].read_bytes()


@pytest.mark.parametrize("name", SPECS)
def test_the_fast_path_is_a_level_off_in_a_few_values(real: Path, name: str) -> None:
    files = sorted((real / "imagenet" / "train").rglob("*.JPEG"))[::4]
    spec = SPECS[name]
    nothing = Encoder(Identity(parse("timm:none"), "", "", spec), torch.device("cpu"), lambda batch: batch, "logits", 1)
    fast, exact = (Crops(Files(files), 0, path, [nothing]) for path in ("fast", "exact"))
    slots = torch.empty((2, *spec.size, 3), dtype=torch.uint8)
    apart, further, largest = [], [], 0
    for row in range(len(files)):
        fast.fill(row, {spec.geometry(): slots[0]})
        exact.fill(row, {spec.geometry(): slots[1]})
        gap = (slots[0].int() - slots[1].int()).abs().numpy()
        apart.append((gap > 0).mean())
        further.append((gap > 1).mean())
        largest = max(largest, int(gap.max()))
    assert largest <= 2 and np.mean(further) < 1e-5  # two passes that round may add up
    assert 0 < np.mean(apart) < 0.01  # some differ, or the fast path was not taken


@pytest.mark.slow
def test_the_fast_path_changes_few_predictions_of_real_networks(real: Path, tmp_path: Path) -> None:
    from benchmarks.flips import Flips, compare

    found = compare(real, tmp_path)
    pooled = sum((flips for (shift, _), flips in found.items() if shift == "imagenet"), Flips(0, 0, 0, 0))
    assert pooled.n == 4 * 1300
    assert pooled.rate < 0.005 and abs(pooled.net) <= 0.001, pooled
    full = {model: flips for (shift, model), flips in found.items() if shift == "imagenet-train"}
    assert len(full) == 4 and all(flips.n == 400 for flips in full.values())
    print({model: flips.flipped for model, flips in full.items()})


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.memory import flat

    finding = flat(tmp_path, 1)[0]
    assert finding.met, finding

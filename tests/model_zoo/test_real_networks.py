"""Four real networks on real photographs give the answers of an independent script. Needs EFFROB_REAL."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import model_zoo
from effrob.features.transforms import exact_crop, normalise
from model_zoo import Registration

REAL = os.environ.get("EFFROB_REAL")
pytestmark = pytest.mark.skipif(not REAL, reason="EFFROB_REAL names no folder of real photographs and networks")
N = 30

LOADERS = {
    "mobilenet_v1_0.25_128": ("mobilenet_v1_025_128", "resize=146,crop=128,interpolation=bilinear,mean=0.5,std=0.5"),
    "mobilenet_v1_0.5_160": ("mobilenet_v1_05_160", "resize=182,crop=160,interpolation=bilinear,mean=0.5,std=0.5"),
    "mobilenet_v1_0.75_192": ("mobilenet_v1_075_192", "resize=219,crop=192,interpolation=bilinear,mean=0.5,std=0.5"),
}


@pytest.mark.parametrize("name", ["squeezenet1_0", *LOADERS])
def test_registered_with_one_command_each(name: str) -> None:
    folder = Path(str(REAL))
    if name in LOADERS:
        function, pixels = LOADERS[name]
        record = Registration(name, loader=f"{folder / 'networks.py'}:{function}", pixels=pixels)
    else:
        record = Registration(name, like=f"torchvision:{name}", checkpoint=str(folder / "weights" / f"{name}.pth"))
    model_zoo.save_registration(record)
    encoder = model_zoo.load(name)
    expected = np.load(folder / "expected" / f"{name}.npz", allow_pickle=False)
    crops = []
    for file in expected["files"][:N]:
        with Image.open(folder / "imagenet" / "val" / Path(str(file)).name) as image:
            crops.append(exact_crop(image.convert("RGB"), encoder.pixels))
    with torch.inference_mode():
        features = encoder.embed(normalise(torch.from_numpy(np.stack(crops)), encoder.pixels))
    classifier = encoder.classifier
    logits = features if classifier.weight is None else functional.linear(features, classifier.weight, classifier.bias)
    clear = expected["margin"][:N] > 1e-3
    assert clear.sum() > N // 2
    assert (logits.argmax(dim=1).numpy() == expected["pred"][:N])[clear].all()
    assert encoder.kind == ("logits" if name == "squeezenet1_0" else "penultimate")

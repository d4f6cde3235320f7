"""ImageNet-A: photographs of 200 classes chosen because ResNet-50 gets them wrong, in wnid folders.

The set was made against one network, so a line fitted through it is a diagnostic.
"""

from __future__ import annotations

from pathlib import Path

from shifts.classes import imagenet
from shifts.layout import Places, open_set
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.class_folders import SetRequest, Terms, subset_folders

TERMS = Terms(
    "code MIT; images under their own terms",
    "Hendrycks et al., Natural Adversarial Examples, CVPR 2021",
    ("chosen so that ResNet-50 fails on every image: its effective robustness is a diagnostic",),
)


def load_imagenet_a(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The 7,500 photographs."""
    tree = open_set("imagenet-a", root)
    return subset_folders(SetRequest("imagenet-a", tree, imagenet(), protocol, partial, TERMS), "a")

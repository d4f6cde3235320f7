"""ImageNet-R: renditions of 200 ImageNet classes, in wnid folders.

A class is its wnid; the scores of a 1000-way model are masked to the 200 before the argmax.
"""

from __future__ import annotations

from pathlib import Path

from shifts.classes import imagenet
from shifts.layout import Places, open_set
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.class_folders import SetRequest, Terms, subset_folders

TERMS = Terms("code MIT; images under their own terms", "Hendrycks et al., The Many Faces of Robustness, ICCV 2021")


def load_imagenet_r(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The 30,000 renditions."""
    tree = open_set("imagenet-r", root)
    return subset_folders(SetRequest("imagenet-r", tree, imagenet(), protocol, partial, TERMS), "r")

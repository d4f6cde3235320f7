"""ImageNet-Sketch: black and white sketches of all 1000 classes, in wnid folders.

50,889 images, not the 50,000 its README rounds to.
"""

from __future__ import annotations

from pathlib import Path

from shifts.classes import imagenet
from shifts.layout import Places, open_set
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.class_folders import SetRequest, Terms, full_folders

TERMS = Terms(
    "code MIT; images under their own terms",
    "Wang et al., Learning Robust Global Representations by Penalizing Local Predictive Power, NeurIPS 2019",
    ("holds flipped and rotated duplicates: its images are not all independent",),
)


def load_imagenet_sketch(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The 50,889 sketches."""
    tree = open_set("imagenet-sketch", root)
    return full_folders(SetRequest("imagenet-sketch", tree, imagenet(), protocol, partial, TERMS), clean="imagenet")

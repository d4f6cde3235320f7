"""What is used of torchvision, whose import would load torch's compiler."""

from __future__ import annotations

from model_zoo.compiler import compiler_on_demand

with compiler_on_demand():
    import torchvision
    from torchvision.io import ImageReadMode, decode_jpeg

__all__ = ["ImageReadMode", "decode_jpeg", "torchvision"]

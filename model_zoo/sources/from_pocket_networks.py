"""The tiny networks of the pocket classifiers, from a description in data to an untrained module.

Plain stacks of layers are put together here; everything with a name of its own is timm's or torchvision's, made small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from timm.models.convnext import ConvNeXt
from timm.models.mlp_mixer import MlpMixer
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models import DenseNet, MobileNetV2

from model_zoo.errors import ModelError, suggest


def build(description: Mapping[str, Any], side: int, n_classes: int) -> nn.Module:
    """An untrained network over (N, 3, side, side) pictures giving (N, n_classes) logits.

    description holds `kind`, a key of KINDS, and that kind's own numbers. ModelError for an unknown kind.
    """
    shape = dict(description)
    kind = str(shape.pop("kind", ""))
    if kind not in KINDS:
        raise ModelError(
            f"there is no pocket network of kind {kind!r}{suggest(kind, KINDS)}; kinds are {', '.join(KINDS)}"
        )
    return KINDS[kind](side, n_classes, **shape)


def _linear(side: int, n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, n_classes))


def _mlp(side: int, n_classes: int, hidden: Sequence[int]) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    width = 3 * side * side
    for wider in hidden:
        layers += [nn.Linear(width, wider), nn.ReLU()]
        width = wider
    return nn.Sequential(*layers, nn.Linear(width, n_classes))


def _cnn(side: int, n_classes: int, channels: Sequence[int], norm: bool = True, flat: bool = False) -> nn.Module:
    """Convolution and halving, once per entry of channels; then the average over the picture, or all of it (`flat`)."""
    layers: list[nn.Module] = []
    before = 3
    for after in channels:
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=not norm), *([nn.BatchNorm2d(after)] if norm else [])]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    left = side // 2 ** len(channels)
    pool = [] if flat else [nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, *pool, nn.Flatten(), nn.Linear(before * (left * left if flat else 1), n_classes))


def _resnet(side: int, n_classes: int, layers: Sequence[int], channels: Sequence[int]) -> nn.Module:
    stem = {"stem_type": "deep", "stem_width": channels[0] // 2}
    made: nn.Module = ResNet(BasicBlock, tuple(layers), num_classes=n_classes, channels=tuple(channels), **stem)
    return made


def _vit(side: int, n_classes: int, patch: int, width: int, depth: int, heads: int) -> nn.Module:
    size = {"img_size": side, "patch_size": patch, "embed_dim": width}
    made: nn.Module = VisionTransformer(num_classes=n_classes, depth=depth, num_heads=heads, mlp_ratio=2.0, **size)
    return made


def _mixer(side: int, n_classes: int, patch: int, width: int, depth: int) -> nn.Module:
    size = {"img_size": side, "patch_size": patch, "embed_dim": width}
    made: nn.Module = MlpMixer(num_classes=n_classes, num_blocks=depth, **size)
    return made


def _convnext(side: int, n_classes: int, depths: Sequence[int], widths: Sequence[int], patch: int) -> nn.Module:
    made: nn.Module = ConvNeXt(num_classes=n_classes, depths=tuple(depths), dims=tuple(widths), patch_size=patch)
    return made


def _mobilenet(side: int, n_classes: int, blocks: Sequence[Sequence[int]]) -> nn.Module:
    """blocks: rows of (expansion, channels, repeats, stride), as MobileNetV2 counts them."""
    setting = [list(row) for row in blocks]
    made: nn.Module = MobileNetV2(num_classes=n_classes, inverted_residual_setting=setting, dropout=0.0)
    return made


def _densenet(side: int, n_classes: int, growth: int, blocks: Sequence[int], stem: int) -> nn.Module:
    made: nn.Module = DenseNet(growth, tuple(blocks), stem, num_classes=n_classes)
    return made


KINDS: Mapping[str, Callable[..., nn.Module]] = {
    "linear": _linear, "mlp": _mlp, "cnn": _cnn, "resnet": _resnet, "vit": _vit, "mixer": _mixer, "convnext": _convnext,
    "mobilenet": _mobilenet, "densenet": _densenet,
}  # fmt: skip

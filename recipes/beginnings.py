"""Networks of timm to train, as they are born or as another training left them: `--init FILE`."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from timm.models import load_state_dict
from timm.models.byobnet import ByobNet, checkpoint_filter_fn
from torch import nn

from model_zoo.errors import ModelError

Colour = tuple[float, float, float]


def begun(model: str, classes: int, init: Path | None) -> tuple[nn.Module, int, Colour, Colour]:
    """A network of timm over so many classes, and the side, mean and deviation of the pictures it sees.

    ModelError for a name that timm does not know, and for weights that are not this network's.
    """
    try:
        network = timm.create_model(model, pretrained=False, num_classes=classes)
    except RuntimeError as error:  # timm's word for a name it does not know
        raise ModelError(f"--model {model}: {error}") from None
    config = timm.data.resolve_model_data_config(network)
    if init is not None:
        take_up(network, init, model)
    return network, int(config["input_size"][-1]), config["mean"], config["std"]


def take_up(network: nn.Module, file: Path, model: str) -> None:
    """Everything but the last layer, from weights of the same network: ours, timm's, or an open_clip checkpoint of a ResNet."""
    try:
        state = load_state_dict(str(file), use_ema=False)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ModelError(f"--init {file} cannot be read as weights: {str(error).splitlines()[0]}") from None
    if isinstance(network, ByobNet):  # timm's class of CLIP's ResNets
        state = checkpoint_filter_fn(state, network)
    last = last_layer(network)
    own = network.state_dict()
    kept = {name: tensor for name, tensor in state.items() if name.rpartition(".")[0] != last}
    wanted = {name for name in own if name.rpartition(".")[0] != last}
    misfit = sorted(
        wanted.symmetric_difference(kept) | {n for n in wanted & kept.keys() if own[n].shape != kept[n].shape}
    )
    if misfit:
        raise ModelError(
            f"--init {file} holds other weights than {model}'s: {len(misfit)} of {len(wanted)} differ, such as "
            f"{misfit[0]}; name the final.pt of a training of {model}, or the --model that these weights are of"
        )
    network.load_state_dict(kept, strict=False)


def last_layer(network: nn.Module) -> str:
    """timm's name for the layer over the classes."""
    return str(network.pretrained_cfg["classifier"])  # type: ignore[index]


def features(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """(N, width) of a timm network: what its last layer reads."""
    made: torch.Tensor = network.forward_head(network.forward_features(images), pre_logits=True)  # type: ignore[operator]
    return made

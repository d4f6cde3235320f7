"""A model handed over as an object: copied, so that the object itself is never run, moved or changed.

The copy's digest is its identity: other weights, another structure or another transform are another model.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from model_zoo.checkpoints.files import file_digest
from model_zoo.encoder import Encoder, Identity
from model_zoo.errors import ModelError
from model_zoo.memory.answers_digest import answers_digest, texts_digest
from model_zoo.memory.functions import separate_functions
from model_zoo.memory.text import has_towers, image_features, text_tower, tokens_digest
from model_zoo.pixels import PixelSpec, parse_pixels
from model_zoo.sources.forward_pass import takes, try_out
from model_zoo.sources.from_layer import at_layer
from model_zoo.sources.from_module import supervised
from model_zoo.spec import ModelSpec

Transform = Callable[[object], torch.Tensor]
LIBRARIES = ("torch", "torchvision", "timm", "open_clip", "transformers")  # told apart by structure and weights alone
CONVERTED = "its weights are not float32: the copy that is evaluated is"
_SHAPES = ((48, 64), (200, 300), (320, 180))  # (height, width) of the pictures a transform is told apart by


@dataclass(frozen=True)
class MemoryModel:
    """A copy of a model that was handed over, with what a run needs of it."""

    identity: Identity
    module: nn.Module
    tokenizer: Any
    transform: Transform | None

    def encoder(self, device: torch.device) -> Encoder:
        """An encoder over a copy of its own, so that a second run finds the first one's model as it was."""
        module = copied(self.module).to(device)
        if self.identity.layer != "default":
            encoder = at_layer(module, self.identity, device)
        elif has_towers(module):
            encoder = _tower(module, self.tokenizer, self.identity, device)
        else:
            encoder = supervised(module, self.identity, device)
        return replace(encoder, transform=self.transform)


def from_memory(
    model: Any, preprocess: object, name: str, tokenizer: Any = None, features: str | None = None
) -> MemoryModel:
    """What `effrob.evaluate` makes of an object.

    model       a torch.nn.Module that gives class logits, or one with an image and a text tower (open_clip, transformers, CLIP)
    preprocess  PIL image -> (3, H, W) float tensor, without randomness; or a PixelSpec; or KEY=VALUE,… as `--pixels`
    tokenizer   for a model with a text tower: prompts -> tokens, as its library's
    features    a layer whose output is taken as features
    Raises ModelError for what is no such object, and for one that cannot be copied.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"a model is handed over as a torch.nn.Module or as (module, tokenizer), not {type(model).__name__}"
        )
    module, labels, said = _logits(copied(_unwrapped(model)), name)
    pixels, transform = _pixels(preprocess)
    digest = _digest(module, tokenizer, features)
    halves = any(p.is_floating_point() and p.dtype != torch.float32 for p in module.parameters())
    module = _float32(module, pixels) if halves else module
    single = all(p.dtype == torch.float32 for p in module.parameters() if p.is_floating_point())
    notes = (*said, *((CONVERTED,) if halves and single else ()))
    towers = features is None and has_towers(module)
    answers = answers_digest(module, pixels, features, image_features if towers else lambda twin: twin)
    if towers and tokenizer is not None:
        answers += texts_digest(text_tower(module, tokenizer, "", _device(module)))
    digest = hashlib.sha256(f"{digest} {answers}".encode()).hexdigest()
    spec = ModelSpec("", name)
    identity = Identity(spec, name, digest, pixels, features or "default", labels=labels, notes=notes)
    if features is None and has_towers(module):
        identity = replace(identity, has_text=tokenizer is not None)
    elif tokenizer is not None:
        raise ModelError(
            f"{name} was handed over with a tokenizer and has no encode_text or get_text_features: leave it out"
        )
    elif features is None:
        outputs = try_out(module, pixels, _device(module), name).shape[1]
        identity = replace(identity, n_classes=outputs)
    return MemoryModel(identity, module, tokenizer, transform)


def _float32(module: nn.Module, pixels: PixelSpec) -> nn.Module:
    """A module with its weights in float32; one that computes in float64 by itself, and only so, as it is."""
    if has_towers(module) or all(p.dtype != torch.float64 for p in module.parameters()):
        return module.float()
    twin = copied(module).float()
    return module if takes(module, pixels) and not takes(twin, pixels) else twin


def copied(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares no tensor with `module` and needs no gradient. Raises ModelError."""
    memo: dict[int, Any] = {}
    for layer in module.modules():
        for value in vars(layer).values():  # a tensor that a computation left behind; deepcopy takes leaves alone
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        twin = copy.deepcopy(module, memo)
        separate_functions(twin, memo)
    except Exception as error:  # a user's module may hold anything
        raise ModelError(
            f"{type(module).__name__} cannot be copied ({type(error).__name__}: {str(error).splitlines()[0][:120]}), and "
            "what is evaluated is a copy: save its weights and use `effrob register`"
        ) from error
    return twin.eval().requires_grad_(False)


def _logits(module: nn.Module, name: str) -> tuple[nn.Module, tuple[str, ...] | None, list[str]]:
    """A classifier of transformers as a module of logits, with what its configuration calls their columns."""
    if not type(module).__name__.endswith("ForImageClassification") or not hasattr(module, "config"):
        return module, None, []
    from model_zoo.sources.hf.labels import labels_of
    from model_zoo.sources.hf.networks import Logits

    return Logits(module), *labels_of(module.config, name)


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module inside torch.compile's, DistributedDataParallel's and DataParallel's wrappers."""
    while True:
        if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), nn.Module):
            module = module._orig_mod  # type: ignore[assignment]
        else:
            return module


def _tower(module: nn.Module, tokenizer: Any, identity: Identity, device: torch.device) -> Encoder:
    embed = image_features(module)
    dim = try_out(embed, identity.pixels, device, identity.asked).shape[1]
    text = None if tokenizer is None else text_tower(module, tokenizer, identity.digest, device)
    visual = getattr(module, "visual", None)
    return Encoder(
        identity,
        device,
        embed,
        "image-embedding",
        dim,
        text=text,
        module=visual if isinstance(visual, nn.Module) else None,
    )


def _device(module: nn.Module) -> torch.device:
    tensor = next(module.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device


def _digest(module: nn.Module, tokenizer: Any, features: str | None) -> str:
    """SHA-256 of what the module computes with: structure, weights and buffers, plain attributes, sources of own classes."""
    hashed = hashlib.sha256()
    classes = {type(layer) for layer in module.modules()}
    own = sorted({_source(each) for each in classes if each.__module__.partition(".")[0] not in LIBRARIES})
    structure = re.sub(r"0x[0-9a-f]+", "", repr(module))  # without addresses
    tokens = None if tokenizer is None else tokens_digest(tokenizer)
    plain = [[name, _plain(layer)] for name, layer in module.named_modules()]
    hashed.update(json.dumps(["memory", structure, own, plain, tokens, features]).encode())
    for name, tensor in sorted([*module.named_parameters(), *module.named_buffers()]):
        values = tensor.detach().cpu().contiguous()
        hashed.update(json.dumps([name, str(values.dtype), list(values.shape)]).encode())
        hashed.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


def _plain(layer: nn.Module) -> dict[str, str]:
    """Numbers, texts and small collections among a layer's attributes: a factor in `forward` is no weight, and counts."""
    values = {name: value for name, value in vars(layer).items() if name not in _OF_TORCH and _is_plain(value)}
    return {name: re.sub(r"0x[0-9a-f]+", "", repr(value)) for name, value in values.items()}


_OF_TORCH = frozenset(vars(nn.Module()))  # parameters, buffers, hooks, whether it is in training mode


def _is_plain(value: object) -> bool:
    """A number, a text, or a collection; of a mapping, plain values alone (peft keeps an adapter's factor in one)."""
    if isinstance(value, Mapping):
        return all(_is_plain(each) for each in value.values())
    return isinstance(value, bool | int | float | str | tuple | list)


def _source(kind: type) -> str:
    """Name of a class and digest of the file it is defined in; its code where there is no file, as in a notebook."""
    try:
        file = inspect.getsourcefile(kind)
        code = file_digest(Path(file)) if file and Path(file).is_file() else inspect.getsource(kind)
    except (OSError, TypeError):
        code = ""
    return f"{kind.__qualname__} {hashlib.sha256(code.encode()).hexdigest()}"


def _pixels(preprocess: object) -> tuple[PixelSpec, Transform | None]:
    if isinstance(preprocess, PixelSpec):
        return preprocess, None
    if isinstance(preprocess, str):
        return parse_pixels(preprocess), None
    if not callable(preprocess):
        raise ModelError(
            "say how pictures are prepared: preprocess=TRANSFORM (PIL image to tensor), a model_zoo.PixelSpec, or "
            "'resize=256,crop=224,interpolation=bilinear,mean=0.485/0.456/0.406,std=0.229/0.224/0.225'"
        )

    def transform(image: object) -> torch.Tensor:
        made = (
            preprocess(image)
            if not hasattr(preprocess, "model_input_names")
            else preprocess(image, return_tensors="pt")
        )
        if isinstance(made, Mapping) or hasattr(made, "pixel_values"):
            made = torch.as_tensor(np.asarray(made["pixel_values"]))[0]
        return torch.as_tensor(made)

    hashed = hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", repr(preprocess)).encode())
    sizes = set()
    for number, (height, width) in enumerate(_SHAPES):
        grey = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        first, second = (transform(Image.fromarray(grey)) for _ in range(2))
        if first.ndim != 3 or first.shape[0] != 3 or not first.is_floating_point():
            raise ModelError(
                f"preprocess gives {first.dtype} of shape {tuple(first.shape)}, wanted floats (3, height, width)"
            )
        if not torch.equal(first, second):
            raise ModelError(
                "preprocess gives other pixels for the same picture each time: hand over the evaluation transform"
            )
        sizes.add((int(first.shape[1]), int(first.shape[2])))
        hashed.update(first.contiguous().numpy().tobytes())
    if len(sizes) > 1:
        raise ModelError(f"preprocess gives pictures of {len(sizes)} sizes, {sorted(sizes)}: crop them to one")
    (size,) = sizes
    return PixelSpec(size, size, "none", opaque=hashed.hexdigest()), transform

"""Which class of transformers a configuration means, and the network with its weights: classifier, two towers, or backbone.

No code of a repository is run. Weights that lack a part are refused; LoRA adapters are merged by peft.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import nn

from model_zoo.checkpoints.network import weights_from_network
from model_zoo.checkpoints.parts import WeightsFile, read_weights
from model_zoo.errors import ModelError
from model_zoo.sources.hf.adapters import ADAPTER, head_of, without_adapter
from model_zoo.sources.hf.texts import pooled
from shifts.bounds.files import read_json

Role = Literal["classifier", "towers", "backbone"]
POOLER = "pooler."  # a layer that pretraining may have left untrained: its absence is no fault, and it is not used
_UNUSED = re.compile(  # buffers that older releases saved and newer ones compute, and layers no forward pass of a picture uses
    r"(^|\.)(position_ids|relative_position_index|relative_coords_table|attn_mask|mask_token|num_batches_tracked|pooler\..*)$"
)
_WRAPPED = re.compile(r"(?:(?:module|_orig_mod)\.)+")  # names under torch.compile and DistributedDataParallel
_GENERATES = ("ForConditionalGeneration", "ForCausalLM", "ForVision2Seq", "ForImageTextToText")


def role_of(config: Any, what: str) -> Role:
    """What a configuration's architecture is for. Raises ModelError for one that gives no vector a picture."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    )

    named = (getattr(config, "architectures", None) or [""])[0]
    if named and not hasattr(transformers, named):
        raise ModelError(
            f"{what} names the architecture {named}, which transformers {transformers.__version__} does not have: its code is "
            "not run here, so register the model as a Python function, or install the release of transformers that has it"
        )
    if str(config.model_type).startswith("siglip2"):
        raise ModelError(
            f"{what} is a NaFlex model of SigLIP 2, which takes pictures of any shape as patches with a mask, and not of one "
            "size: give one of a fixed resolution (google/siglip2-base-patch16-224 and the like, model_type siglip)"
        )
    towers = MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES.get(config.model_type)
    if "ForImageClassification" in named:
        return "classifier"
    if named == towers or (not named and towers):
        return "towers"
    if named.endswith(_GENERATES):
        raise ModelError(f"{what} is a {named}, which answers in words: it has no class scores and no vector a picture")
    if not named and config.model_type in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES:
        return "classifier"
    return "backbone"


def class_of(config: Any, role: Role) -> Any:
    """The class that the configuration names, or the one transformers maps its type to for the role."""
    named = getattr(transformers, (getattr(config, "architectures", None) or [""])[0], None)
    if role == "classifier":
        return named or transformers.AutoModelForImageClassification
    if role == "towers":
        return named or transformers.AutoModelForZeroShotImageClassification
    vision = named is not None and named.__name__.endswith(("VisionModel", "VisionModelWithProjection"))
    return named if vision else transformers.AutoModel


class Logits(nn.Module):
    """A classifier of transformers as a module that gives its logits alone.

    resized  True where pictures of another size than its own were asked for: the library then interpolates its positions
    """

    def __init__(self, model: Any, resized: bool = False) -> None:
        super().__init__()
        self.model, self.resized = model, resized

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(pixel_values=pictures, **positions(self.model, self.resized)).logits
        return logits


class Backbone(nn.Module):
    """A backbone as a module that gives one vector a picture.

    pooling  `default`: the model's own pooled output where no trained layer makes it, else the class token, else the mean of
             the tokens;  `cls`, `mean`, `cls+mean`: of the last tokens, registers left out
    resized  as for `Logits`
    """

    def __init__(self, model: Any, pooling: str = "default", resized: bool = False) -> None:
        super().__init__()
        self.model, self.pooling, self.resized = model, pooling, resized

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return vector_of(self.model, self.outputs(pictures), self.pooling)

    def outputs(self, pictures: torch.Tensor) -> Any:
        """The library's own outputs; a masked autoencoder sees every patch, in order."""
        extra = positions(self.model, self.resized)
        if "noise" in inspect.signature(self.model.forward).parameters:
            grid = self.model.embeddings.patch_embeddings.num_patches
            extra["noise"] = torch.arange(grid, device=pictures.device).repeat(len(pictures), 1).float()
        return self.model(pixel_values=pictures, **extra)


def vector_of(model: Any, outputs: Any, pooling: str) -> torch.Tensor:
    """One vector a picture out of a backbone's outputs, (B, D)."""
    embeds = getattr(outputs, "image_embeds", None)
    if pooling == "default" and isinstance(embeds, torch.Tensor):
        return embeds
    tokens = outputs.last_hidden_state
    if tokens.ndim == 4:  # maps: their mean is the only pooling
        vector: torch.Tensor = tokens.mean(dim=(2, 3))
        own = getattr(outputs, "pooler_output", None)
        if isinstance(own, torch.Tensor) and pooling == "default":
            vector = own.flatten(1)
        return vector
    trained = getattr(model, "pooler", None)
    own = getattr(outputs, "pooler_output", None)
    learned = trained is not None and any(True for _ in trained.parameters())
    if pooling == "default" and isinstance(own, torch.Tensor) and not learned:
        return own.flatten(1)
    has_class = _class_token(model)
    prefix = (1 if has_class else 0) + int(getattr(model.config, "num_register_tokens", 0) or 0)
    if pooling in ("cls", "cls+mean") and not has_class:
        raise ModelError(f"{type(model).__name__} has no class token, so no features {pooling}: say mean")
    mean: torch.Tensor = tokens[:, prefix:].mean(dim=1)
    if pooling == "mean" or (pooling == "default" and not has_class):
        return mean
    return torch.cat([tokens[:, 0], mean], dim=1) if pooling == "cls+mean" else tokens[:, 0]


def _class_token(model: Any) -> bool:
    return any(name.rpartition(".")[2] in ("cls_token", "class_embedding") for name, _ in model.named_parameters())


def positions(model: Any, resized: bool) -> dict[str, Any]:
    """What makes the library interpolate its positional embeddings, where pictures of another size were asked for."""
    takes = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    return {"interpolate_pos_encoding": True} if takes and resized else {}


def network_of(place: str, revision: str | None, config: Any, role: Role, what: str) -> Any:
    """The network with its weights, on the CPU, in evaluation mode. Raises ModelError where a part of it has none."""
    folder = Path(place)
    if (folder / ADAPTER).is_file():
        return _merged(folder, config, role, what)
    return _loaded(place, revision, config, role, what)


def _loaded(place: str, revision: str | None, config: Any, role: Role, what: str, new_head: int | None = None) -> Any:
    kind = class_of(config, role)
    more: dict[str, Any] = {} if new_head is None else {"num_labels": new_head, "ignore_mismatched_sizes": True}
    if role == "backbone" and hasattr(config, "mask_ratio"):
        config.mask_ratio = 0.0  # a masked autoencoder's features are of the whole picture
    if new_head is None:
        more["config"] = config
    instead = "give a folder that save_pretrained wrote: transformers:FOLDER"
    with _silent(), weights_from_network(f"the weights of {what}", instead, Path(place).is_dir()):
        model, info = _read(kind, place, revision=revision, **more)
        if info["missing_keys"] and _wrapper(info) and Path(place).is_dir() and new_head is None:
            model, info = _read(kind, None, state_dict=_unwrapped(Path(place)), **more)
    missing = sorted(key for key in info["missing_keys"] if new_head is None or "classifier" not in key)
    unexpected = sorted(map(str, info.get("unexpected_keys") or ()))
    if info["missing_keys"] and (prefix := _wrapper(info)):
        raise ModelError(
            f"the weights of {what} were saved inside a wrapper: their names begin with {prefix} (torch.compile, "
            "DistributedDataParallel); save the model inside it (model._orig_mod or model.module) with save_pretrained"
        )
    lora = next((key for key in unexpected if "lora_" in key), None)
    if lora is not None:
        raise ModelError(
            f"{what} holds LoRA's matrices ({lora}) without their {ADAPTER}: merge them with peft, and save that"
        )
    if role != "classifier":
        missing = [key for key in missing if not key.startswith(POOLER) and f".{POOLER}" not in key]
    if missing:
        part = "is no trained classifier" if role == "classifier" else "is not whole"
        raise ModelError(f"{what} {part}: its weights lack {', '.join(missing[:3])}; name one that is fine-tuned")
    extra = [key for key in unexpected if not _UNUSED.search(key)]
    if role != "backbone" and new_head is None and extra:
        raise ModelError(
            f"the weights of {what} hold {', '.join(extra[:3])}, which {type(model).__name__} has no place for, "
            "so it would not be the model that was trained: register it as a Python function, or save it without them"
        )
    if role == "backbone" and getattr(model, "main_input_name", "pixel_values") != "pixel_values":
        raise ModelError(f"{what} is a {type(model).__name__}, which reads {model.main_input_name} and no pictures")
    return model.eval()


def _read(kind: Any, place: str | None, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The model and what transformers says of its keys."""
    options |= {"output_loading_info": True, "dtype": torch.float32}
    try:
        return tuple(kind.from_pretrained(place, trust_remote_code=False, **options))
    except TypeError:  # a class that does not know the option
        return tuple(kind.from_pretrained(place, **options))


def _wrapper(info: Mapping[str, Any]) -> str:
    """The prefix that every unexpected key begins with; nothing where they have none in common."""
    prefixes = {found.group() if (found := _WRAPPED.match(str(key))) else "" for key in info["unexpected_keys"]}
    return prefixes.pop() if len(prefixes) == 1 else ""


def _unwrapped(folder: Path) -> dict[str, torch.Tensor]:
    """The folder's tensors by the names that they have inside torch.compile's or DistributedDataParallel's wrapper."""
    files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    return {name: tensor for file in files for name, tensor in read_weights(WeightsFile(file)).state.items()}


@contextmanager
def _silent() -> Iterator[None]:
    """Without transformers' bars and tables of keys: what is missing is told here."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    shown = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if shown:
            logging.enable_progress_bar()


def _merged(folder: Path, config: Any, role: Role, what: str) -> Any:
    """The base model with the folder's adapter merged into it by peft."""
    try:
        import peft
    except ImportError:
        raise ModelError(
            f"{what} is an adapter (LoRA) to another model's weights, which peft merges: pip install 'effrob[peft]'"
        ) from None
    try:
        base = read_json(folder / ADAPTER).get("base_model_name_or_path")
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / ADAPTER} cannot be read ({error}): save the adapter again") from error
    own = any(folder.glob("model*.safetensors")) or any(folder.glob("pytorch_model*.bin"))
    start = str(folder) if own or not base else str(base)
    head = head_of(folder) if role == "classifier" else None
    if own and start == str(folder):
        with without_adapter(folder) as plain:
            model = _loaded(str(plain), None, config, role, what, head)
    else:
        model = _loaded(start, None, config, role, f"the base of {what} ({start})", head)
    try:
        merged = peft.PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (ValueError, RuntimeError, KeyError, OSError, AttributeError) as error:
        message = (str(error).splitlines() or [""])[0][:200]
        raise ModelError(
            f"peft cannot merge the adapter of {what} ({message}): merge it yourself and save the model"
        ) from error
    return merged.eval()


def embeds_of(model: Any, text: Any, pictures: torch.Tensor, resized: bool) -> torch.Tensor:
    """The image vectors of the model's own forward pass, beside one prompt; of `get_image_features` where it gives none."""
    given = {key: value.to(pictures.device) for key, value in text.inputs(["a photo."]).items()}
    outputs = model(pixel_values=pictures, **given, **positions(model, resized))
    embeds = getattr(outputs, "image_embeds", None)
    return embeds if isinstance(embeds, torch.Tensor) else pooled(model.get_image_features(pixel_values=pictures))

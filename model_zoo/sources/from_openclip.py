"""`openclip:ARCH[@tag-or-file]`: the contrastive models of open_clip, with its published weights or a file.

ARCH is a name open_clip knows or the path of a model config (JSON). No weights given: the tag in data/defaults.json.
Preprocessing is read from open_clip's own configuration. Weights trained with the other activation (QuickGELU or GELU)
than the architecture's give wrong numbers without an error; here that is an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import nn

from model_zoo.defaults import default_weights
from model_zoo.encoder import Encoder, Identity
from model_zoo.errors import ModelError, UnknownModel, listed, suggest
from model_zoo.sources.from_checkpoint import State, file_digest, fit_state, read_state, weights_from_network
from model_zoo.sources.from_module import try_out
from model_zoo.sources.from_openclip_config import activation_of_run, pixels_of, preprocess_of_file, user_config
from model_zoo.sources.from_openclip_text import OpenClipText
from model_zoo.spec import ModelSpec

QUICK = "-quickgelu"
_OPENAI = (
    "input_resolution",
    "context_length",
    "vocab_size",
)  # stored only by OpenAI's own releases, which are QuickGELU


@dataclass(frozen=True)
class _Chosen:
    """An architecture with one set of weights: `tag`'s entry, or `file`.

    known_as is the name open_clip has the configuration under in this process.
    """

    arch: str
    known_as: str
    config: dict[str, Any]
    preprocess: dict[str, Any]
    tag: str | None
    entry: dict[str, Any]
    file: Path | None
    notes: tuple[str, ...]

    @property
    def quick(self) -> bool:
        return bool(self.config.get("quick_gelu", False))

    @property
    def image_size(self) -> tuple[int, int]:
        size = self.config["vision_cfg"].get("image_size", 224)
        return (size[0], size[-1]) if isinstance(size, (list, tuple)) else (int(size), int(size))


class OpenClipProvider:
    """The scheme `openclip`."""

    def names(self) -> list[str]:
        return list(open_clip.list_models())

    def identify(self, spec: ModelSpec) -> Identity:
        chosen = self._choose(spec)
        source: object = (
            file_digest(chosen.file) if chosen.file else {k: chosen.entry.get(k) for k in ("hf_hub", "url")}
        )
        siglip = "siglip" in chosen.known_as.lower()  # open_clip picks some tokenizers by the architecture's name
        about = json.dumps(["open_clip", chosen.config, chosen.known_as if siglip else "", source], sort_keys=True)
        return Identity(
            spec=ModelSpec("openclip", chosen.arch, chosen.tag or spec.weights),
            asked=str(spec),
            digest=hashlib.sha256(about.encode()).hexdigest(),
            pixels=pixels_of({**chosen.preprocess, "size": chosen.image_size}),
            has_text=True,
            notes=chosen.notes,
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The image tower with its weights, on the CPU."""
        tower: nn.Module = self._model(self._choose(spec)).visual
        return tower

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder:
        chosen, identity = self._choose(spec), self.identify(spec)
        model: Any = self._model(chosen).eval().requires_grad_(False).to(device)

        def embed(pictures: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = model.encode_image(pictures, normalize=False)
            return features.float()

        dim = try_out(embed, identity.pixels, device, identity.asked).shape[1]
        text = OpenClipText(model, chosen.known_as, identity.digest, device)
        return Encoder(identity, device, embed, "image-embedding", dim, text=text, module=model.visual)

    def _choose(self, spec: ModelSpec) -> _Chosen:
        if spec.name.endswith(".json"):
            return self._from_config(spec)
        arch, weights, notes = spec.name.replace("/", "-"), spec.weights, []
        if arch not in open_clip.list_models():
            raise UnknownModel(
                f"open_clip has no architecture {spec.name!r}{suggest(spec.name, self.names())}; `effrob models` lists them, "
                "and the path of a model config (.json) will do"
            )
        tags = list_pretrained_tags_by_model(arch)
        if weights is None:
            arch, weights = self._default(arch, tags)
            notes.append(f"no weights were named: the default of openclip:{spec.name}, {arch}@{weights}, is taken")
        config = open_clip.get_model_config(arch)
        entry = get_pretrained_cfg(arch, weights)
        if entry:
            _refuse_other_activation(arch, config, weights, entry)
            preprocess = merge_preprocess_dict(PreprocessCfg(), entry)
            return _Chosen(arch, arch, config, preprocess, weights, entry, None, tuple(notes))
        file = Path(weights).expanduser()
        if not file.is_file():
            elsewhere = [name for name in (arch + QUICK, arch.removesuffix(QUICK)) if get_pretrained_cfg(name, weights)]
            hint = f"; it is a tag of openclip:{elsewhere[0]}" if elsewhere else suggest(weights, tags)
            raise UnknownModel(
                f"{weights!r} is neither a file nor a tag of openclip:{arch}{hint}; its tags are {listed(tags)}"
            )
        preprocess, about_pixels = preprocess_of_file(arch, tags)
        other = arch.removesuffix(QUICK) if arch.endswith(QUICK) else arch + QUICK
        trained = activation_of_run(file)
        if trained is not None and trained != bool(config.get("quick_gelu", False)):
            where = (
                f"write openclip:{other}@{weights}" if other in open_clip.list_models() else "name that architecture"
            )
            raise ModelError(
                f"by the params.txt of its training run, {weights} was trained {'with' if trained else 'without'} QuickGELU, "
                f"and openclip:{arch} computes {'GELU' if trained else 'QuickGELU'}: {where}"
            )
        if trained is None and other in open_clip.list_models():
            has, lacks = ("QuickGELU", "GELU") if config.get("quick_gelu") else ("GELU", "QuickGELU")
            notes.append(
                f"{arch} computes {has}, and a file does not say what it was trained with: "
                f"if that was {lacks}, the right name is openclip:{other}"
            )
        return _Chosen(arch, arch, config, preprocess, None, {}, file, (*notes, *about_pixels))

    def _from_config(self, spec: ModelSpec) -> _Chosen:
        """A model config of the user's: open_clip's own format, or its `open_clip_config.json` with preprocessing beside it."""
        known_as, config, preprocess = user_config(str(Path(spec.name).expanduser()))
        if spec.weights is None:
            raise ModelError(f"a model config has no published weights: write openclip:{spec.name}@FILE")
        file = Path(spec.weights).expanduser()
        if not file.is_file():
            raise UnknownModel(f"there is no weights file {spec.weights}: write openclip:{spec.name}@FILE")
        return _Chosen(spec.name, known_as, config, preprocess, None, {}, file, ())

    @staticmethod
    def _default(arch: str, tags: list[str]) -> tuple[str, str]:
        """Architecture and tag that stand for `arch` alone."""
        default = default_weights("openclip", arch) or (tags[0] if len(tags) == 1 else None)
        if default is None:
            choice = f"say which: {', '.join(f'@{tag}' for tag in tags)}" if tags else "give a file"
            raise ModelError(
                f"openclip:{arch} has no default weights: {choice}, as openclip:{arch}@{tags[0] if tags else 'FILE'}"
            )
        left, at, right = default.partition("@")
        return (left, right) if at else (arch, left)

    def _model(self, chosen: _Chosen) -> Any:
        name = f"openclip:{chosen.arch}"
        file = chosen.file
        if file is None:
            what = f"the weights {chosen.tag} of {name}"
            with weights_from_network(what, f"fetch them elsewhere and give the file: {name}@FILE"):
                file = Path(open_clip.download_pretrained(chosen.entry))
        needs = f"the parts of {name} that are named by reference in its configuration"
        with _quiet(), weights_from_network(needs, "connect once, so that they are cached"):
            model: Any = open_clip.create_model(
                chosen.known_as, load_weights=False, pretrained_image=False, pretrained_text=False
            )
        if file.suffix in (".npz", ".npy"):
            open_clip.load_checkpoint(model, str(file))  # SigLIP's original arrays; numpy's reader, no pickle
        else:
            _fill(model, read_state(file), file, chosen)
        return model


def _fill(model: Any, state: State, file: Path, chosen: _Chosen) -> None:
    """Load `state` with open_clip's own conversions of foreign layouts, and nothing that hides a wrong architecture."""
    if any(key in state for key in _OPENAI):
        state = {name: tensor for name, tensor in state.items() if name not in _OPENAI}
        if not chosen.quick:
            raise ModelError(
                f"{file} is a release of OpenAI's, trained with QuickGELU, and openclip:{chosen.arch} computes GELU: "
                f"write openclip:{chosen.arch}{QUICK}@{file}"
            )
    state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for scalar in ("logit_scale", "logit_bias"):  # stored as () or (1,) by different versions
        if scalar in state and getattr(model, scalar, None) is not None and state[scalar].numel() == 1:
            state[scalar] = state[scalar].reshape(getattr(model, scalar).shape)
    fit_state(model, state, file, f"openclip:{chosen.arch}", optional=("logit_bias",))


def _refuse_other_activation(arch: str, config: dict[str, Any], tag: str, entry: dict[str, Any]) -> None:
    if bool(entry.get("quick_gelu", False)) and not config.get("quick_gelu", False):
        right = arch + QUICK
        where = (
            f"write openclip:{right}@{tag}"
            if right in open_clip.list_models()
            else "that architecture is not in open_clip"
        )
        raise ModelError(f"the weights {tag} were trained with QuickGELU and openclip:{arch} computes GELU: {where}")


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip logs through the root logger that it was given no weights; they are loaded here, after it."""
    root, before, handler = logging.getLogger(), logging.root.manager.disable, logging.NullHandler()
    root.addHandler(handler)
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)


provider = OpenClipProvider()

"""`openclip:ARCH[@tag-or-file]`, `openclip:local-dir:FOLDER`, `openclip:hf-hub:ORG/NAME`: the contrastive models of open_clip.

ARCH is a name open_clip knows or the path of a model config (JSON). No weights given: the tag in data/defaults.json.
Preprocessing is read from open_clip's own configuration, and from what lies beside a file. Weights trained with the other
activation (QuickGELU or GELU) than the architecture's give wrong numbers without an error; here that is an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.factory import resize_pos_embed, resize_text_pos_embed
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import nn

from model_zoo.checkpoints.files import file_digest
from model_zoo.checkpoints.network import weights_from_network
from model_zoo.checkpoints.parts import State, Weights, WeightsFile, outline, read_weights, weights_digest
from model_zoo.checkpoints.state import fit_state, under_prefix
from model_zoo.encoder import Encoder, Identity, Reference
from model_zoo.errors import ModelError
from model_zoo.sources.forward_pass import try_out
from model_zoo.sources.from_openclip_choice import OpenClipChoice, choose, is_torch
from model_zoo.sources.from_openclip_config import pixels_of, registered
from model_zoo.sources.from_openclip_records import QUICK
from model_zoo.sources.from_openclip_text import OpenClipText
from model_zoo.spec import ModelSpec

TOKENIZERS = ("tokenizer*", "vocab*", "merges*", "spiece*", "special_tokens_map.json", "added_tokens.json")
_OPENAI = (
    "input_resolution",
    "context_length",
    "vocab_size",
)  # stored only by OpenAI's own releases, which are QuickGELU


class OpenClipProvider:
    """The scheme `openclip`."""

    def names(self) -> list[str]:
        return list(open_clip.list_models())

    def identify(self, spec: ModelSpec) -> Identity:
        chosen = choose(spec)
        source: object = {k: chosen.entry.get(k) for k in ("hf_hub", "url")}
        notes = chosen.notes
        if chosen.file is not None:
            _, weights = outline(chosen.file) if is_torch(chosen.file) else ({}, Weights({}))
            source, notes = weights_digest(chosen.file, weights), (*notes, *weights.notes)
        elif chosen.repository is not None:
            source = ["hf-hub", chosen.repository]
        siglip = "siglip" in chosen.known_as.lower()  # open_clip picks some tokenizers by the architecture's name
        described: list[object] = ["open_clip", chosen.config, chosen.known_as if siglip else "", source]
        if chosen.described is not None and chosen.file is not None:  # a folder's own tokenizer
            held = {file for pattern in TOKENIZERS for file in chosen.file.path.parent.glob(pattern) if file.is_file()}
            described += [file_digest(file) for file in sorted(held)]
        about = json.dumps(described, sort_keys=True)
        return Identity(
            spec=ModelSpec("openclip", chosen.arch, chosen.tag or spec.weights),
            asked=str(spec),
            digest=hashlib.sha256(about.encode()).hexdigest(),
            pixels=pixels_of({**chosen.preprocess, "size": chosen.image_size}),
            has_text=True,
            notes=notes,
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The image tower with its weights, on the CPU."""
        tower: nn.Module = self._model(choose(spec)).visual
        return tower

    def load(self, spec: ModelSpec, device: torch.device, size: tuple[int, int] | None = None) -> Encoder:
        """`size`: the pictures' (height, width) in place of its own; positional embeddings are resized by open_clip."""
        chosen, identity = choose(spec), self.identify(spec)
        named = (
            chosen.described or chosen.known_as
        )  # by which open_clip finds the tokenizer, whatever the pictures' size
        if size is not None and size != chosen.image_size:
            vision = {**chosen.config["vision_cfg"], "image_size": size[0] if size[0] == size[1] else list(size)}
            config = {**chosen.config, "vision_cfg": vision}
            stem = chosen.known_as if chosen.described is None else "resized"
            chosen = replace(chosen, config=config, known_as=registered(stem, config), described=None, resize=True)
            identity = replace(identity, pixels=pixels_of({**chosen.preprocess, "size": size}))
        model: Any = self._model(chosen).eval().requires_grad_(False).to(device)

        def embed(pictures: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = model.encode_image(pictures, normalize=False)
            return features.float()

        dim = try_out(embed, identity.pixels, device, identity.asked).shape[1]
        text = OpenClipText(model, named, identity.digest, device)

        def texts(prompts: Sequence[str]) -> torch.Tensor:
            tokens = open_clip.get_tokenizer(named)(list(prompts))  # its own: another than the model's would be seen
            embeddings: torch.Tensor = model.encode_text(tokens.to(device), normalize=False)
            return embeddings

        transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
        reference = Reference(f"open_clip {open_clip.__version__}", transform, model.encode_image, texts)
        return Encoder(
            identity, device, embed, "image-embedding", dim, text=text, module=model.visual, reference=reference
        )

    def _model(self, chosen: OpenClipChoice) -> Any:
        name = f"openclip:{chosen.arch}"
        file = chosen.file
        if file is None:
            what = f"the weights {chosen.tag} of {name}" if chosen.tag else f"the weights of {name}"
            with weights_from_network(what, f"fetch them elsewhere and give the file: {name}@FILE"):
                if chosen.repository is not None:
                    fetched = download_pretrained_from_hf(chosen.repository.partition("@")[0])
                else:
                    fetched = open_clip.download_pretrained(chosen.entry)
                file = WeightsFile(Path(fetched))
        model: Any = _built(name, chosen)
        if is_torch(file):
            _fill(model, read_weights(file).state, file.path, chosen)
        else:
            open_clip.load_checkpoint(model, str(file.path))  # SigLIP's original arrays; numpy's reader, no pickle
        return model


def _built(name: str, chosen: OpenClipChoice) -> Any:
    """The model without its weights. Raises ModelError where open_clip cannot build it, with open_clip's reason."""
    forced = None if chosen.described else {k: v for k, v in chosen.preprocess.items() if k != "size"}
    needs = f"the parts of {name} that are named by reference in its configuration"
    fetches = "hf_model_name" in chosen.config["text_cfg"]
    with _quiet(), weights_from_network(needs, "connect once, so that they are cached") if fetches else nullcontext():
        try:
            return open_clip.create_model(
                chosen.described or chosen.known_as,
                load_weights=False,
                pretrained_image=False,
                pretrained_text=False,
                force_preprocess_cfg=forced,
            )
        except Exception as error:  # a configuration can be anything
            if fetches and isinstance(error, OSError | RuntimeError | ValueError | LookupError | ImportError):
                raise
            message = (str(error).splitlines() or [""])[0][:200] or "an assertion of its own"
            raise ModelError(
                f"open_clip {open_clip.__version__} does not build {name} as its configuration says ({type(error).__name__}: "
                f"{message}): correct that configuration, or install the release of open_clip that wrote it"
            ) from error


def _fill(model: Any, state: State, file: Path, chosen: OpenClipChoice) -> None:
    """Load `state` with open_clip's own conversions of foreign layouts, and nothing that hides a wrong architecture."""
    state = under_prefix(state, model.state_dict(), file)
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
    if getattr(model, "logit_bias", None) is None:
        state.pop("logit_bias", None)  # of --siglip's loss: the same for every class, so no answer depends on it
    if chosen.resize:
        try:
            with _quiet():
                resize_pos_embed(state, model)
                resize_text_pos_embed(state, model)
        except (AssertionError, RuntimeError) as error:
            raise ModelError(
                f"the positional embeddings of {file} cannot be made those of openclip:{chosen.arch} ({error}): "
                "its configuration is of another model"
            ) from error
    fit_state(model, state, file, f"openclip:{chosen.arch}", optional=("logit_bias",))


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

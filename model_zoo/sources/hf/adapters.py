"""What an adapter's folder (LoRA, of peft) says: its base, and the head that it brings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from model_zoo.checkpoints.files import shapes
from model_zoo.errors import ModelError, UnknownModel
from model_zoo.sources.hf.labels import labels_of
from shifts.bounds.files import read_json

ADAPTER = "adapter_config.json"
_UPDATE = re.compile(r"\.(lora|oft|boft|vera|hada|lokr|ia3)_")  # peft's updates to a layer, which are no layer


def head_of(folder: Path) -> int | None:
    """How many classes the head has that an adapter's folder brings, or None where it brings none, or is no adapter."""
    file = folder / "adapter_model.safetensors"
    held = (shapes(file) or {}) if file.is_file() else {}
    heads = (
        shape
        for name, shape in held.items()
        if "classifier" in name and name.endswith(".weight") and not _UPDATE.search(name)
    )
    return next((shape[0] for shape in heads if len(shape) == 2), None)


def check_head_is_labelled(folder: Path, config: Any, what: str) -> None:
    """Raises ModelError where an adapter brings a head of its own, and only its base says what the columns are.

    config  the base's, after the head's width was set, which drops names that cannot be the head's
    """
    if not (folder / ADAPTER).is_file() or (folder / "config.json").is_file():
        return
    saved = read_json(folder / ADAPTER).get("modules_to_save") or ()
    own = head_of(folder) is not None or any("classifier" in str(name) for name in saved)
    if own and labels_of(config, what)[0] is not None:
        raise ModelError(
            f"{what} is an adapter with a trained head of its own, and only its base's config.json names classes, whose order "
            "need not be that head's: save the configuration it was trained with beside it, with "
            f"model.config.save_pretrained({str(folder)!r})"
        )


class without_adapter:
    """A folder with the model's own files and not the adapter's, which transformers would load by itself and not merge."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Path:
        import tempfile

        self._held = tempfile.TemporaryDirectory()
        for file in self._folder.iterdir():
            if file.is_file() and not file.name.startswith("adapter_"):
                (Path(self._held.name) / file.name).symlink_to(file.resolve())
        return Path(self._held.name)

    def __exit__(self, *_: object) -> None:
        self._held.cleanup()


def base_of(folder: Path) -> str | None:
    """The model that an adapter's folder is to be laid over, or None where the folder is no adapter."""
    if not (folder / ADAPTER).is_file():
        return None
    try:
        named = read_json(folder / ADAPTER).get("base_model_name_or_path")
    except (OSError, ValueError) as error:
        raise UnknownModel(f"{folder / ADAPTER} cannot be read ({error}): save the adapter again") from error
    return None if named is None else str(named)

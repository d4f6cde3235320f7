"""Which architecture, weights, preprocessing and notes an `openclip:` spec stands for. Loads no weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import download_pretrained_from_hf, get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from model_zoo.checkpoints.network import weights_from_network
from model_zoo.checkpoints.parts import WeightsFile, is_weights_file, weights_file
from model_zoo.defaults import default_weights
from model_zoo.errors import ModelError, UnknownModel, listed, suggest
from model_zoo.sources.from_openclip_config import preprocess_of_file, registered, user_config, weights_in
from model_zoo.sources.from_openclip_records import HUB, QUICK, adapted_to_positions, record_beside
from model_zoo.spec import ModelSpec

LOCAL, REMOTE = "local-dir:", "hf-hub:"


@dataclass(frozen=True)
class OpenClipChoice:
    """An architecture with one set of weights: `tag`'s entry, or `file`, or what the hub's `repository` holds.

    known_as   the name open_clip has the configuration under in this process
    described  the name under which open_clip itself reads configuration, preprocessing and tokenizer, where that is another
    """

    arch: str
    known_as: str
    config: dict[str, Any]
    preprocess: dict[str, Any]
    tag: str | None
    entry: dict[str, Any]
    file: WeightsFile | None
    notes: tuple[str, ...]
    described: str | None = None
    repository: str | None = None
    resize: bool = False

    @property
    def quick(self) -> bool:
        return bool(self.config.get("quick_gelu", False))

    @property
    def image_size(self) -> tuple[int, int]:
        size = self.config["vision_cfg"].get("image_size", 224)
        return (size[0], size[-1]) if isinstance(size, (list, tuple)) else (int(size), int(size))


def is_torch(file: WeightsFile) -> bool:
    return file.path.suffix not in (".npz", ".npy")


def choose(spec: ModelSpec) -> OpenClipChoice:
    """What a spec means. Raises UnknownModel and ModelError."""
    if spec.name.startswith((LOCAL, REMOTE)):
        return _from_folder(spec) if spec.name.startswith(LOCAL) else _from_hub(spec)
    if spec.name.endswith(".json"):
        return _from_config(spec)
    arch, weights, notes = spec.name.replace("/", "-"), spec.weights, []
    if arch not in open_clip.list_models():
        raise UnknownModel(
            f"open_clip has no architecture {spec.name!r}{suggest(spec.name, open_clip.list_models())}; "
            "`effrob models` lists them, and the path of a model config (.json) will do"
        )
    tags = list_pretrained_tags_by_model(arch)
    if weights is None:
        arch, weights = _default(arch, tags)
        notes.append(f"no weights were named: the default of openclip:{spec.name}, {arch}@{weights}, is taken")
    config = open_clip.get_model_config(arch)
    entry = get_pretrained_cfg(arch, weights)
    if entry and entry.get("quick_gelu") and not config.get("quick_gelu") and get_pretrained_cfg(arch + QUICK, weights):
        notes.append(f"the weights {weights} were trained with QuickGELU: openclip:{arch + QUICK}@{weights} is taken")
        arch = arch + QUICK
        config, entry = open_clip.get_model_config(arch), get_pretrained_cfg(arch, weights)
    if entry:
        _refuse_other_activation(arch, config, weights, entry)
        preprocess = merge_preprocess_dict(PreprocessCfg(), entry)
        return OpenClipChoice(arch, arch, config, preprocess, weights, entry, None, tuple(notes))
    if not is_weights_file(weights):
        elsewhere = [name for name in (arch + QUICK, arch.removesuffix(QUICK)) if get_pretrained_cfg(name, weights)]
        hint = f"; it is a tag of openclip:{elsewhere[0]}" if elsewhere else suggest(weights, tags)
        raise UnknownModel(
            f"{weights!r} is neither a file nor a tag of openclip:{arch}{hint}; its tags are {listed(tags)}"
        )
    return _from_file(arch, config, weights_file(weights, f"openclip:{arch}"), weights, tags, notes)


def _from_file(
    arch: str, config: dict[str, Any], file: WeightsFile, text: str, tags: list[str], notes: list[str]
) -> OpenClipChoice:
    """A file of the user's for a named architecture, with what lies beside it."""
    record = record_beside(file, arch, config)
    other = arch.removesuffix(QUICK) if arch.endswith(QUICK) else arch + QUICK
    if record.quick is not None and record.quick != bool(config.get("quick_gelu", False)):
        where = f"write openclip:{other}@{text}" if other in open_clip.list_models() else "name that architecture"
        how = "with" if record.quick else "without"
        raise ModelError(
            f"by the {record.source} of its training run, {text} was trained {how} QuickGELU, "
            f"and openclip:{arch} computes {'GELU' if record.quick else 'QuickGELU'}: {where}"
        )
    if record.source is None and other in open_clip.list_models():
        has, lacks = ("QuickGELU", "GELU") if config.get("quick_gelu") else ("GELU", "QuickGELU")
        notes.append(
            f"{arch} computes {has}, and a file does not say what it was trained with: "
            f"if that was {lacks}, the right name is openclip:{other}"
        )
    preprocess, about_pixels = preprocess_of_file(arch, tags)
    if record.preprocess:
        preprocess, about_pixels = {**merge_preprocess_dict(PreprocessCfg(), {}), **record.preprocess}, ()
    changed, about_size = adapted_to_positions(file, record.config) if is_torch(file) else (record.config, None)
    told = record.config["vision_cfg"].get("image_size")
    if about_size and told != config["vision_cfg"].get("image_size"):
        raise ModelError(
            f"by the {record.source} of its training run, {text} was trained with force_image_size {told}, and {about_size}: "
            f"that is the record of another run; take it from beside {file.path.name}, or put that run's own there"
        )
    notes += [*about_pixels, *record.notes, *([about_size] if about_size else [])]
    known_as = arch if changed == config else registered(arch, changed)
    return OpenClipChoice(arch, known_as, changed, preprocess, None, {}, file, tuple(notes))


def _from_folder(spec: ModelSpec) -> OpenClipChoice:
    """`local-dir:FOLDER`: configuration, preprocessing, tokenizer and weights as open_clip reads that name."""
    folder = Path(spec.name.removeprefix(LOCAL)).expanduser()
    if not (folder / HUB).is_file():
        raise UnknownModel(
            f"openclip:local-dir: wants a folder with {HUB} and weights, as the hub has them: {folder} "
            f"{'has no such file' if folder.is_dir() else 'is no folder'}"
        )
    known_as, config, preprocess = user_config(str(folder / HUB))
    file = WeightsFile(weights_in(folder)) if spec.weights is None else weights_file(spec.weights, f"{spec.name} takes")
    return OpenClipChoice(
        spec.name, known_as, config, preprocess, None, {}, file, (), described=f"{LOCAL}{folder}", resize=True
    )


def _from_hub(spec: ModelSpec) -> OpenClipChoice:
    """`hf-hub:ORG/NAME`: the same from the hub's cache, or fetched."""
    repository = spec.name.removeprefix(REMOTE)
    if spec.weights is not None:
        raise ModelError(f"openclip:{spec.name} comes with its weights: leave out @{spec.weights}")
    instead = "fetch the repository elsewhere and give its folder: openclip:local-dir:FOLDER"
    with weights_from_network(f"the configuration of openclip:{spec.name}", instead):
        path = download_pretrained_from_hf(repository, filename=HUB)
    known_as, config, preprocess = user_config(str(path))
    commit = Path(path).resolve().parent.name if "snapshots" not in str(path) else Path(path).parent.name
    return OpenClipChoice(
        spec.name,
        known_as,
        config,
        preprocess,
        None,
        {},
        None,
        (),
        described=f"{REMOTE}{repository}",
        repository=f"{repository}@{commit}",
        resize=True,
    )


def _from_config(spec: ModelSpec) -> OpenClipChoice:
    """A model config of the user's: open_clip's own format, or its `open_clip_config.json` with preprocessing beside it."""
    known_as, config, preprocess = user_config(str(Path(spec.name).expanduser()))
    if spec.weights is None:
        raise ModelError(f"a model config has no published weights: write openclip:{spec.name}@FILE")
    if not is_weights_file(spec.weights):
        raise UnknownModel(f"there is no weights file {spec.weights}: write openclip:{spec.name}@FILE")
    file, notes = weights_file(spec.weights, "a weights file"), list[str]()
    if Path(spec.name).name != HUB and is_torch(file):
        record = record_beside(file, spec.name, config)
        notes += record.notes
        preprocess = {**preprocess, **record.preprocess}
        if record.config != config:
            config, known_as = record.config, registered(Path(spec.name).stem, record.config)
    return OpenClipChoice(spec.name, known_as, config, preprocess, None, {}, file, tuple(notes))


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


def _refuse_other_activation(arch: str, config: dict[str, Any], tag: str, entry: dict[str, Any]) -> None:
    if bool(entry.get("quick_gelu", False)) and not config.get("quick_gelu", False):
        right = arch + QUICK
        where = (
            f"write openclip:{right}@{tag}"
            if right in open_clip.list_models()
            else "that architecture is not in open_clip"
        )
        raise ModelError(f"the weights {tag} were trained with QuickGELU and openclip:{arch} computes GELU: {where}")

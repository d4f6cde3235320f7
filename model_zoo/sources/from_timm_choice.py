"""Which architecture, weights and preprocessing a `timm:` spec stands for, with what a file and its folder say of themselves.

A training checkpoint of timm holds its arguments, a folder of the hub its config.json, a run its args.yaml: each key that
changes pictures or network is read, and a conflict with the name is refused. Loads no weights' numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.models import get_pretrained_cfg, split_model_name_tag
from timm.models._hub import load_model_config_from_hf, load_model_config_from_path

from model_zoo.checkpoints.files import file_digest
from model_zoo.checkpoints.network import weights_from_network
from model_zoo.checkpoints.parts import WeightsFile, outline, weights_digest, weights_file
from model_zoo.checkpoints.run_arguments import (
    DATA,
    EMPTY,
    NETWORK,
    class_map_labels,
    data_arguments,
    network_arguments,
    unread,
)
from model_zoo.errors import ModelError, UnknownModel, listed, suggest
from model_zoo.spec import ModelSpec
from shifts.bounds.files import read_json, read_text

LOCAL, REMOTE = "local-dir:", "hf-hub:"


@dataclass(frozen=True)
class TimmChoice:
    """name: as timm.create_model takes it; config: the pretrained configuration; data: arguments that override it for pictures.

    source     what decides the weights, for the digest; arguments: of the network beside its name
    """

    name: str
    architecture: str
    config: dict[str, Any]
    source: object
    n_classes: int
    file: WeightsFile | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def choose(spec: ModelSpec) -> TimmChoice:
    """What a spec without features means. Raises UnknownModel for a name, tag or file that is not there, and ModelError."""
    if spec.name.startswith((LOCAL, REMOTE)):
        return _folder(spec)
    config = _config(spec)
    full = config["architecture"] + (f".{config['tag']}" if config.get("tag") else "")
    n_classes = int(config.get("num_classes") or 0)
    if spec.weights is None:
        source = {key: config.get(key) for key in ("url", "hf_hub_id", "hf_hub_filename", "file")}
        notes = () if full == spec.name else (f"no tag was named: timm's default, {full}, is taken",)
        return TimmChoice(full, config["architecture"], config, source, n_classes, labels=_labels(config), notes=notes)
    wanted = f"timm:{spec.name} takes the path of a weights file after the @ (a tag follows a dot)"
    return _with_file(full, config, weights_file(spec.weights, wanted))


def _with_file(full: str, config: dict[str, Any], file: WeightsFile) -> TimmChoice:
    """An architecture with a file of the user's."""
    shapes, weights = outline(file)
    architecture = str(config["architecture"])
    notes = list(weights.notes)
    named = weights.about.get("arch") or weights.about.get("model_name")
    if isinstance(named, str) and timm.is_model(named.partition(".")[0]) and named.partition(".")[0] != architecture:
        raise ModelError(f"{file.path} says it holds {named}, not {architecture}: write timm:{named}@{file.path}")
    config, saved, said = _beside(file, architecture, config)
    notes += said
    arguments, kind = _arguments(file, weights.about)
    model = arguments.get("model")
    if isinstance(model, str) and timm.is_model(model.partition(".")[0]) and model.partition(".")[0] != architecture:
        raise ModelError(
            f"{kind} of {file.path} says model: {model}, not {architecture}: write timm:{model}@{file.path}"
        )
    left = unread(arguments, file.path, kind)
    notes += [left] if left else []
    data = data_arguments(arguments)
    extra = network_arguments(file, arguments, kind, saved)
    if extra:
        built = ", ".join(f"{key} {value}" for key, value in extra.items())
        notes.append(f"the network is built with {built}, by {kind or 'config.json beside the file'}")
    size = _image_size(shapes, data.get("img_size") or config["input_size"][-1])
    if size is not None:
        data["img_size"], extra["img_size"] = size, size
        data.pop("input_size", None)
        notes.append(f"{file.path.name} was trained at an image size of {size} pixels, by its positional embeddings")
    elif (
        isinstance(data.get("img_size"), int)
        and config.get("fixed_input_size")
        and data["img_size"] != config["input_size"][-1]
    ):
        extra["img_size"] = data["img_size"]
    settings = [f"{key} {value}" for key, value in data.items() if key != "img_size" or size is None]
    if settings:
        notes.append(f"pictures are prepared by {kind} of the training run: {', '.join(settings)}")
    elif not said:
        notes.append(f"pictures are prepared as for timm's {full}; another preparation needs `effrob register`")
    width = _classes(config, shapes)
    labels = None
    if width == 0:
        notes.append(f"{file.path.name} holds no classifier: it gives features for heads that learn")
    elif width == int(config.get("num_classes") or 0):
        labels = _labels(config)
    elif int(config.get("label_offset", 0)) and width == int(config["num_classes"]) + int(config["label_offset"]):
        labels = ("background", *ImageNetInfo("imagenet-1k").label_names())
    source: object = weights_digest(file, weights)
    mapped = class_map_labels(file, arguments, width)
    if mapped is not None:
        labels, source = mapped, [source, mapped]
        notes.append(f"columns are in the order of the run's class map, {arguments['class_map']}")
    return TimmChoice(full, architecture, config, source, width, file, data, extra, labels, tuple(notes))


def _folder(spec: ModelSpec) -> TimmChoice:
    """`local-dir:FOLDER` or `hf-hub:ORG/NAME`, as timm reads that name."""
    place = spec.name.partition(":")[2]
    if spec.weights is not None:
        raise ModelError(f"timm:{spec.name} comes with its weights: leave out @{spec.weights}")
    try:
        if spec.name.startswith(LOCAL):
            folder = Path(place).expanduser()
            config, architecture, arguments = load_model_config_from_path(folder)
            files = _weights_in(folder)
            if not files:
                raise UnknownModel(f"the folder {folder} holds no weights: wanted model.safetensors beside config.json")
            source: object = [*(file_digest(file) for file in files), file_digest(folder / "config.json")]
            name = f"{LOCAL}{folder}"
        else:
            with weights_from_network(f"the configuration of timm:{spec.name}", "give a folder: timm:local-dir:FOLDER"):
                config, architecture, arguments = load_model_config_from_hf(place)
            from huggingface_hub import hf_hub_download

            source, name = [place, Path(hf_hub_download(place, "config.json")).parent.name], spec.name
    except FileNotFoundError:
        raise UnknownModel(
            f"timm:{spec.name} wants a folder with config.json and weights, as timm pushes them to the hub"
        ) from None
    except (KeyError, ValueError, TypeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"config.json of timm:{spec.name} is not timm's ({error}): wanted its architecture") from error
    if not timm.is_model(architecture):
        raise UnknownModel(f"config.json of timm:{spec.name} names {architecture!r}, which this timm lacks")
    base = dict(get_pretrained_cfg(architecture).to_dict()) if get_pretrained_cfg(architecture) else {}
    config = {**_defaults(architecture), **{k: v for k, v in base.items() if k in ("classifier",)}, **config}
    return TimmChoice(
        name,
        architecture,
        config,
        [source, {key: str(value) for key, value in sorted((arguments or {}).items())}],
        int(config.get("num_classes") or 0),
        labels=_labels(config),
    )


def _weights_in(folder: Path) -> list[Path]:
    return sorted(file for pattern in ("*.safetensors", "*.bin", "*.pth", "*.pt") for file in folder.glob(pattern))


def refuse_another_head(chosen: TimmChoice) -> None:
    """Raise ModelError where config.json has another number of classes than the weights: timm takes a random head then."""
    place = chosen.name.partition(":")[2]
    if chosen.name.startswith(LOCAL):
        folder = Path(place)
    else:
        from huggingface_hub import hf_hub_download

        folder = Path(hf_hub_download(place, "config.json")).parent
    for file in _weights_in(folder)[:1]:
        width = _classes(chosen.config, outline(WeightsFile(file))[0])
        if width != chosen.n_classes:
            raise ModelError(
                f"{folder / 'config.json'} says num_classes {chosen.n_classes}, and the classifier in {file.name} has {width}: "
                "write the right number there; timm would leave such a classifier at its random start"
            )


def _defaults(architecture: str) -> dict[str, Any]:
    return {"architecture": architecture, "num_classes": 1000, "input_size": (3, 224, 224)}


def _config(spec: ModelSpec) -> dict[str, Any]:
    """timm's configuration of a name's weights. Raises UnknownModel for a name or tag timm lacks."""
    architecture, tag = split_model_name_tag(spec.name)
    if not timm.is_model(architecture):
        known = sorted({*timm.list_models(), *timm.list_pretrained()})
        raise UnknownModel(f"timm has no model {spec.name!r}{suggest(spec.name, known)}; `effrob models` lists them")
    try:
        published = get_pretrained_cfg(spec.name)
    except RuntimeError:
        tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
        raise UnknownModel(
            f"timm:{architecture} has no weights tagged {tag!r}{suggest(tag, tags)}; its tags are {listed(tags)}"
        ) from None
    config = {**_defaults(architecture), **(published.to_dict() if published is not None else {})}
    if spec.weights is None and not (published is not None and published.has_weights):
        raise ModelError(f"timm publishes no weights for {spec.name}: give a file, timm:{spec.name}@FILE")
    return config


def _beside(
    file: WeightsFile, architecture: str, config: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """`config` overlaid with config.json beside the file, and its model_args. Raises ModelError for another architecture."""
    path = file.path.resolve().parent / "config.json"
    try:
        content = read_json(path) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} beside the weights cannot be read ({error}): mend it, or move the weights away"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("architecture"), str):
        return config, {}, []
    if content["architecture"] != architecture:
        raise ModelError(
            f"config.json beside {file.path.name} names the architecture {content['architecture']}, not {architecture}: "
            f"write timm:local-dir:{path.parent}"
        )
    overlay, _, saved = load_model_config_from_path(path.parent)
    overlay = {
        key: value for key, value in overlay.items() if value is not None and key not in ("file", "source", "tag")
    }
    return {**config, **overlay}, dict(saved or {}), ["pictures are prepared as config.json beside the file says"]


def _arguments(file: WeightsFile, about: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The arguments of the training run, from the checkpoint or from args.yaml beside it, and where they were."""
    inside = about.get("args")
    if isinstance(inside, Mapping) and any(inside.get(key) not in EMPTY for key in (*DATA, *NETWORK)):
        return dict(inside), "the arguments in the checkpoint"
    path = file.path.resolve().parent / "args.yaml"
    if path.is_file():
        import yaml  # type: ignore[import-untyped]

        try:
            content = yaml.safe_load(read_text(path))
        except (OSError, yaml.YAMLError) as error:
            message = " ".join(str(error).split())
            raise ModelError(
                f"{path} beside the weights cannot be read ({message}): mend it, or move the weights away"
            ) from error
        if isinstance(content, dict):
            return content, "args.yaml"
    return (dict(inside), "the arguments in the checkpoint") if isinstance(inside, Mapping) else ({}, "")


def _classes(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many classes a file's classifier has, by its shape; 0 where the file has no such layer."""
    classifier = config.get("classifier")
    names = [classifier] if isinstance(classifier, str) else list(classifier or ())
    for name in names:
        for suffix in (f"{name}.weight", f"{name}.fc.weight"):
            for held, shape in shapes.items():
                if (held == suffix or held.endswith(f".{suffix}")) and shape:
                    return shape[0]
    return 0 if names else int(config.get("num_classes") or 0)


def _image_size(shapes: Mapping[str, tuple[int, ...]], named: int) -> int | None:
    """The image size a file's positions are for, where it is not `named`; None where it is, or the file has none."""
    positions = next((s for n, s in shapes.items() if n.rpartition(".")[2] == "pos_embed" and len(s) == 3), None)
    kernel = next((s for n, s in shapes.items() if n.endswith("patch_embed.proj.weight") and len(s) == 4), None)
    if positions is None or kernel is None:
        return None
    tokens, patch = positions[1], kernel[-1]
    spares = (0, 1, 2, 4, 5)  # class token, distillation token, registers
    if any(tokens - spare == (named // patch) ** 2 for spare in spares):
        return None
    grids = [round((tokens - spare) ** 0.5) for spare in spares if tokens > spare]
    fits = [grid for grid, spare in zip(grids, spares, strict=False) if grid * grid == tokens - spare]
    return fits[0] * patch if fits else None


def _labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What the columns are: the configuration's own labels, or the WordNet ids of ImageNet's subset of that size."""
    names = config.get("label_names")
    if names:
        if len(names) != int(config.get("num_classes") or 0):
            raise ModelError(
                f"config.json has {len(names)} label_names for {config.get('num_classes')} classes: correct one of the two"
            )
        return tuple(str(name) for name in names)
    subset = infer_imagenet_subset(dict(config))
    if subset is None or subset == "imagenet-1k":
        return None  # columns in ImageNet's own order
    return tuple(ImageNetInfo(subset).label_names())

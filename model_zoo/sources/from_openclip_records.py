"""What lies beside open_clip's weights: params.txt of a training run, open_clip_config.json of the hub.

Each key that changes what a network computes or how its pictures are prepared is read, or refused by its name.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from model_zoo.checkpoints.parts import WeightsFile, outline
from model_zoo.defaults import inert_arguments
from model_zoo.errors import ModelError
from shifts.bounds.files import read_bytes, read_json

HUB = "open_clip_config.json"
RUN = "params.txt"
CHECKPOINTS = "checkpoints"  # open_clip writes logs/NAME/params.txt and logs/NAME/checkpoints/epoch_N.pt
_IMAGE = {
    "image_mean": "mean",
    "image_std": "std",
    "image_interpolation": "interpolation",
    "image_resize_mode": "resize_mode",
}
_READ = ("model", "pretrained", "openai_pretrained", "force_image_size", "force_context_length", "force_custom_text")
_EMPTY = (None, False, "", "None", "False")
QUICK = "-quickgelu"


@dataclass(frozen=True)
class RunRecord:
    """What the records beside a checkpoint say: a changed configuration, preprocessing, and sentences for the user.

    quick  whether it was trained with QuickGELU: True, False, or None where the record leaves it open
    """

    config: dict[str, Any]
    preprocess: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    quick: bool | None = None
    source: str | None = None


def record_beside(file: WeightsFile, arch: str, config: Mapping[str, Any]) -> RunRecord:
    """Read what lies beside `file`, for weights that were named as `arch` with `config`. Raises ModelError for a conflict."""
    changed = deepcopy(dict(config))
    folder = file.path.resolve().parent
    above = [folder.parent / RUN] if folder.name == CHECKPOINTS else []
    logs = [log for log in (folder / RUN, *above) if log.is_file()]
    if logs:
        record = _of_run(logs[0], arch, changed)
        if len(logs) == 2 and read_bytes(logs[0]) != read_bytes(logs[1]):
            note = f"{logs[0]} is taken as the record of the training run, and not {logs[1]}, which says otherwise"
            record = replace(record, notes=(note, *record.notes))
        return record
    if (folder / HUB).is_file():
        return _of_hub(folder / HUB, file, arch, changed)
    return RunRecord(changed)


def adapted_to_positions(file: WeightsFile, config: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """`config` with the image size that the file's positional embeddings are for, and a note where that differs."""
    shapes, _ = outline(file)
    size = _trained_size(shapes)
    vision = config["vision_cfg"]
    named = vision.get("image_size", 224)
    sides = tuple(named) if isinstance(named, (list, tuple)) else (named, named)
    if size is None or all(side // size[1] == size[0] for side in sides):
        return config, None
    grid, patch = size
    changed = deepcopy(config)
    changed["vision_cfg"]["image_size"] = grid * patch
    return changed, (
        f"{file.path.name} was trained at an image size of {grid * patch} pixels, by its positional embeddings "
        f"({grid}x{grid} patches of {patch}): pictures are of {grid * patch} and not of {sides[0]} pixels"
    )


def _trained_size(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int] | None:
    """(patches a side, pixels a patch) of a square vision transformer's or a ResNet's positions; None where there are none."""
    for positions, kernel, extra, patch in (
        ("visual.positional_embedding", "visual.conv1.weight", 1, None),
        ("visual.trunk.pos_embed", "visual.trunk.patch_embed.proj.weight", None, None),
        ("visual.attnpool.positional_embedding", None, 1, 32),
    ):
        held = next((shape for name, shape in shapes.items() if name.endswith(positions)), None)
        patches = next((shape for name, shape in shapes.items() if kernel and name.endswith(kernel)), None)
        if held is None or (patches is None and patch is None):
            continue
        tokens = held[-2]
        for spare in (extra,) if extra is not None else (0, 1):
            grid = round((tokens - spare) ** 0.5)
            if grid > 0 and grid * grid == tokens - spare:
                return grid, patch or patches[-1]  # type: ignore[index]
    return None


def _of_run(log: Path, arch: str, config: dict[str, Any]) -> RunRecord:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    params = {key: _value(text) for key, text in (line.split(": ", 1) for line in lines if ": " in line)}
    _refuse_unknown(log, params)
    if params.get("openai_pretrained") not in _EMPTY:  # what `pretrained: openai` was called at first
        params["pretrained"] = "openai"
    trained_as = str(params.get("model", arch)).replace("/", "-")
    notes, settings = [], []
    own = arch.endswith(".json")  # a configuration of the user's says all of the network itself
    if "model" in params:
        notes += _refuse_other_model(log, params, arch, config)
    if not own:
        settings += _force(config, params)
    forced = {ours: params[theirs] for theirs, ours in _IMAGE.items() if params.get(theirs) not in _EMPTY}
    tag, tags = str(params.get("pretrained", "")), dict[str, Any]()
    if entry := get_pretrained_cfg(
        trained_as, tag
    ):  # open_clip starts from the tag's, and forces single keys over them
        whole = merge_preprocess_dict(asdict(PreprocessCfg()), entry)
        tags = {ours: whole[ours] for ours in _IMAGE.values()}
    preprocess = {**tags, **forced}
    settings += [f"{key} {value}{'' if key in forced else f' (of {tag})'}" for key, value in preprocess.items()]
    if settings:
        notes.append(f"by {log} of its training run: pictures are prepared with {', '.join(settings)}")
    trained = None if own else _built_in(trained_as)
    quick: bool | None = bool(trained.get("quick_gelu", False)) if trained else None
    if params.get("force_quick_gelu") not in _EMPTY:
        quick = True
    elif quick is False and params.get("pretrained") == "openai":
        quick = None  # open_clip before 2.29 switched to QuickGELU for this tag, whatever the architecture
        which = "QuickGELU" if config.get("quick_gelu") else "GELU"
        other = arch.removesuffix(QUICK) if arch.endswith(QUICK) else arch + QUICK
        notes.append(
            f"by {log} it was fine-tuned from OpenAI's weights (pretrained: openai), for which open_clip before 2.29 "
            f"computed QuickGELU and newer ones do not; openclip:{arch} computes {which}, and openclip:{other} the other"
        )
    return RunRecord(config, preprocess, tuple(notes), quick, log.name)


def _force(config: dict[str, Any], params: Mapping[str, Any]) -> list[str]:
    """Put into a configuration what a run forced upon it; what that was, in words."""
    settings = []
    if (size := params.get("force_image_size")) not in _EMPTY:
        sides = list(size) if isinstance(size, (list, tuple)) else [size]
        config["vision_cfg"]["image_size"] = sides[0] if len(set(sides)) == 1 else sides
        settings.append(f"force_image_size {size}")
    if (length := params.get("force_context_length")) not in _EMPTY:
        config["text_cfg"]["context_length"] = length
        settings.append(f"force_context_length {length}")
    if params.get("force_custom_text") not in _EMPTY:
        config["custom_text"] = True
    return settings


def _refuse_unknown(log: Path, params: Mapping[str, Any]) -> None:
    """Raise ModelError for an argument that is set, and is neither read here nor known to change nothing."""
    known = {*_READ, "force_quick_gelu", *_IMAGE, *inert_arguments("open_clip")}
    strange = [key for key, value in params.items() if key not in known and value not in _EMPTY]
    if strange:
        key = strange[0]
        raise ModelError(
            f"{log} says {key}: {params[key]}, an argument that open_clip's trainer does not have or that is not read here: "
            "where it changes the network or its pictures give a model config (.json) for it; where it does not, take "
            f"the line {key} out of {log.name}"
        )


def _built_in(name: str) -> dict[str, Any] | None:
    """open_clip's own configuration of that name; names with a schema (hf-hub:) would be fetched, and are none."""
    return None if ":" in name else open_clip.get_model_config(name.replace("/", "-"))


def _refuse_other_model(log: Path, params: Mapping[str, Any], arch: str, config: Mapping[str, Any]) -> list[str]:
    """Notes on the model that a record names. Raises ModelError where that is another than the one asked for."""
    model = str(params["model"])
    trained_as, asked = model.replace("/", "-"), Path(arch).stem if arch.endswith(".json") else arch
    if trained_as.removesuffix(QUICK) == asked.removesuffix(QUICK):
        return []
    if ":" in model:
        return [f"by {log} the run started from {model}, whose own configuration and preparation are not read"]
    trained = _built_in(trained_as)
    if trained:
        _force(trained, params)
    key = _first_difference(trained, config, ignored=("quick_gelu",)) if trained else None
    if trained and key is None:
        return []
    if trained:
        raise ModelError(
            f"by {log} these weights are of the model {trained_as}, whose {key} is not openclip:{arch}'s: "
            f"write openclip:{trained_as}@FILE, or move {log.name} away where it is of another run"
        )
    raise ModelError(
        f"by {log} these weights are of the model {model}, not of openclip:{arch}: name its configuration "
        f"{trained_as}.json and write openclip:{trained_as}.json@FILE, or move {log.name} away where it is of another run"
    )


def _of_hub(path: Path, file: WeightsFile, arch: str, config: dict[str, Any]) -> RunRecord:
    try:
        content = read_json(path)
        described, preprocess = content["model_cfg"], content.get("preprocess_cfg") or {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} beside the weights cannot be read ({error}): mend it, or move the weights away from it"
        ) from error
    key = _first_difference(described, config)
    if key is not None:
        raise ModelError(
            f"{HUB} beside {file.path.name} describes another model than openclip:{arch}, first in {key}: "
            f"write openclip:local-dir:{path.parent}"
        )
    preprocess = {
        name: value for name, value in preprocess.items() if value is not None and name not in ("size", "mode")
    }
    settings = ", ".join(f"{name} {value}" for name, value in preprocess.items())
    notes = (f"pictures are prepared as {HUB} beside the file says: {settings}",) if preprocess else ()
    return RunRecord(config, preprocess, notes, bool(described.get("quick_gelu", False)), HUB)


def _first_difference(one: Any, other: Any, ignored: tuple[str, ...] = (), at: str = "") -> str | None:
    """The first key whose values differ, dotted; keys that are null or false on one side and missing on the other are equal."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            if key in ignored:
                continue
            inside = _first_difference(one.get(key), other.get(key), (), f"{at}{key}.")
            if inside is not None:
                return inside
        return None
    same = one == other or (one in _EMPTY and other in _EMPTY)
    return None if same else at.rstrip(".")


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()

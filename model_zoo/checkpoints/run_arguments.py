"""What the arguments of a run of timm's train.py say of the network and its columns, from a checkpoint or args.yaml beside it.

Read are those that change what a trained network computes: in_chans, gp, bn_eps, model_kwargs, class_map, and the data's.
Dropout, bn_momentum, initialisation, compilation and optimisation change nothing once the weights are there; the table of those
is data/trainer_arguments.json. Any other argument that is set is refused by name where the run was timm's, and named in a note
where another trainer stored it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_zoo.checkpoints.parts import WeightsFile
from model_zoo.defaults import inert_arguments
from model_zoo.errors import ModelError, listed
from shifts.bounds.files import read_text

DATA = ("input_size", "img_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
NETWORK = ("gp", "bn_eps", "bn_tf", "in_chans", "model_kwargs", "class_map", "input_img_mode", "naflex_loader")
EMPTY: tuple[Any, ...] = (None, "", [], (), {})
TIMMS = ("gp", "bn_momentum", "crop_pct", "sched", "smoothing")  # tell the arguments of timm's train.py from another's
TF_EPSILON = 1e-3  # what bn_tf stood for, in timm before 0.9
_INCEPTION, _IMAGENET = ((0.5,) * 3,) * 2, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def data_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the pictures, as timm.data.resolve_data_config takes them."""
    data = {key: arguments[key] for key in DATA if arguments.get(key) not in EMPTY}
    if isinstance(data.get("input_size"), int):
        data["img_size"] = data.pop("input_size")
    statistics = arguments.get("imagenet_default_mean_and_std")  # of BEiT's and ConvNeXt's trainers
    if isinstance(statistics, bool):
        mean, std = _IMAGENET if statistics else _INCEPTION
        data = {"mean": mean, "std": std, **data}
    if isinstance(arguments.get("eval_crop_ratio"), float):  # of DeiT's
        data.setdefault("crop_pct", arguments["eval_crop_ratio"])
    return data


def _is_set(value: object) -> bool:
    plain = isinstance(value, bool | int | float | str | list | tuple | dict)
    return plain and value not in (*EMPTY, False, "None")


def unread(arguments: Mapping[str, Any], path: Path, kind: str) -> str | None:
    """A note that names the arguments another trainer stored and nobody reads. Raises ModelError for timm's own trainer."""
    known = {
        *DATA,
        *NETWORK,
        "model",
        "arch",
        "imagenet_default_mean_and_std",
        "eval_crop_ratio",
        *inert_arguments("timm"),
    }
    strange = sorted(key for key, value in arguments.items() if key not in known and _is_set(value))
    if not strange:
        return None
    if all(key in arguments for key in TIMMS):
        key = strange[0]
        raise ModelError(
            f"{kind} of {path} says {key}: {arguments[key]!r}, an argument that timm's train.py does not have: where it "
            "changes the network or its pictures bring the model by a function of your own with `effrob register`; where it "
            "does not, save the checkpoint without it"
        )
    return f"{kind} are not timm's, and these are not read: {listed(strange, 12)}"


def network_arguments(
    file: WeightsFile, arguments: Mapping[str, Any], kind: str, saved: Mapping[str, Any]
) -> dict[str, Any]:
    """Those that timm.create_model takes, over `saved`, the model_args of a config.json.

    Raises ModelError for one that cannot be applied, by its name.
    """

    def refused(key: str, value: object, wanted: str) -> ModelError:
        return ModelError(
            f"{kind or 'config.json'} of {file.path} says {key}: {value!r}, and {wanted} is wanted here: "
            "bring the model by a function of your own with `effrob register`"
        )

    own = arguments.get("model_kwargs") or {}
    if not isinstance(own, Mapping):
        raise refused("model_kwargs", own, "names with values")
    built: dict[str, Any] = {**saved, **own}
    pool, epsilon = arguments.get("gp"), arguments.get("bn_eps")
    if epsilon is None and arguments.get("bn_tf"):
        epsilon = TF_EPSILON
    if pool not in EMPTY:
        if not isinstance(pool, str):
            raise refused("gp", pool, "the name of a pooling")
        built["global_pool"] = pool
    if epsilon is not None:
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
            raise refused("bn_eps", epsilon, "a number")
        built["bn_eps"] = epsilon
    size = arguments.get("input_size")
    channels = size[0] if isinstance(size, list | tuple) and size else None
    for value in (arguments.get("in_chans"), channels, built.pop("in_chans", None)):
        if value not in (None, 3):
            raise refused("in_chans", value, "3, red, green and blue,")
    if arguments.get("input_img_mode") not in (*EMPTY, "RGB"):
        raise refused("input_img_mode", arguments["input_img_mode"], "RGB")
    if arguments.get("naflex_loader"):
        raise refused("naflex_loader", True, "a fixed image size")
    built.pop("num_classes", None)  # the classifier's own shape decides
    return {key: value for key, value in built.items() if value is not None}


def class_map_labels(file: WeightsFile, arguments: Mapping[str, Any], width: int) -> tuple[str, ...] | None:
    """What the columns are by the run's class_map; None where it had none. Raises ModelError for a map that is not there.

    A text file is read, with a class in each line, in the order of the columns: where the run had it, in its data's folder, or
    beside the weights. A pickle is not opened.
    """
    named = arguments.get("class_map")
    if named in EMPTY or width == 0:
        return None
    given, folder = Path(str(named)), file.path.resolve().parent
    data = arguments.get("data_dir") or arguments.get("data")
    places = [given, *([Path(data) / given] if isinstance(data, str) else []), folder / given.name]
    beside = folder / f"{given.stem}.txt"
    path = next((p for p in (*places, beside) if p.suffix.lower() == ".txt" and p.is_file()), None)
    wanted = f"put {beside.name} beside the weights, with the {width} classes a line each in the order of the columns"
    if path is None:
        raise ModelError(
            f"{file.path} was trained with class_map: {named}, which cannot be read here as text: {wanted}"
        )
    try:
        names = [line.strip() for line in read_text(path).splitlines()]
    except (OSError, ValueError) as error:
        raise ModelError(f"the class map {path} cannot be read ({error}): mend it") from error
    while names and not names[-1]:
        names.pop()
    if len(names) != width or len(set(names)) != width or "" in names:
        raise ModelError(
            f"the class map {path} of {file.path} has {len(set(names) - {''})} different classes in {len(names)} lines for "
            f"{width} columns: mend it, a class in each line"
        )
    return tuple(names)

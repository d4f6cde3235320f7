"""Accuracies as two other evaluation projects write them: CLIP_benchmark's JSON results and UniBench's table of means.

Each becomes rows of the same kind that a CSV gives; both write fractions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem, describe_error
from effrob.results.given.columns import Column, GivenRow
from shifts.bounds.arrow import read_arrow
from shifts.bounds.files import parse_json, read_text

FEATHER = (".f", ".feather")
# dataset in CLIP_benchmark (with `wds/` before it for webdatasets) or UniBench -> set
DATASETS = {
    "imagenet1k": "imagenet",
    "imagenet1k-unverified": "imagenet",
    "imagenet": "imagenet",
    "imagenetv2": "imagenet-v2",
    "imagenet-r": "imagenet-r",
    "imagenetr": "imagenet-r",
    "imagenet_sketch": "imagenet-sketch",
    "imagenetsketch": "imagenet-sketch",
    "objectnet": "objectnet",
    "imagenet-a": "imagenet-a",
    "imageneta": "imagenet-a",
}


def dataset_of(name: str) -> str | None:
    """The set another project's dataset name means; None for one effrob has no line for."""
    plain = name.strip().lower().removeprefix("wds/")
    return DATASETS.get(plain) or DATASETS.get(plain.replace("_", "-")) or DATASETS.get(plain.replace("-", "_"))


def read_results_file(path: Path) -> list[GivenRow]:
    """Rows of a results file. Raises UsageProblem where it holds no accuracy of a set known here."""
    by_model: dict[str, dict[Column, str]] = {}
    numbers = _unibench(path) if path.suffix.lower() in FEATHER else _clip_benchmark(path)
    for model, name, value in numbers:
        cells = by_model.setdefault(model, {})
        column = Column(name, "accuracy", name)
        if cells.setdefault(column, repr(value)) != repr(value):
            raise UsageProblem(f"{path} gives {model} on {name} twice with other accuracies: keep one of the two")
    if not by_model:
        raise UsageProblem(f"{path} holds no zero-shot accuracy on a set that is known here ({', '.join(DATASETS)})")
    return [GivenRow(model, f"{path}, {model}", cells) for model, cells in by_model.items()]


def _clip_benchmark(path: Path) -> Iterator[tuple[str, str, float]]:
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"a JSON file of results was wanted: {describe_error(error)}") from None
    try:
        content = parse_json(text)
    except ValueError:
        try:
            content = [parse_json(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise UsageProblem(f"{path} is not JSON ({error}): give the file that CLIP_benchmark wrote") from None
    for entry in content if isinstance(content, list) else [content]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("metrics"), Mapping) or "dataset" not in entry:
            raise UsageProblem(
                f"{path} wants results of CLIP_benchmark, objects with dataset, model, pretrained and metrics: give the "
                "file that it wrote, or a CSV with a column `model` and a column a set"
            )
        name, value = dataset_of(str(entry["dataset"])), entry["metrics"].get("acc1")
        if name is None or value is None or str(entry.get("language", "en")) != "en":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageProblem(
                f"{path}: acc1 on {entry['dataset']} is {value!r}, no number: correct or remove the entry"
            )
        pretrained = entry.get("pretrained")
        yield f"openclip:{entry.get('model')}" + (f"@{pretrained}" if pretrained else ""), name, float(value)


def _unibench(path: Path) -> Iterator[tuple[str, str, float]]:
    table = feather(path)
    wanted = ("model_name", "benchmark_name", "correctness")
    lacking = [name for name in wanted if name not in table]
    if lacking:
        raise UsageProblem(
            f"{path} wants UniBench's columns {', '.join(wanted)}; missing: {', '.join(lacking)}; a file of answers an image "
            "is read by `effrob import`"
        )
    for model, benchmark, value in zip(*(table[name] for name in wanted), strict=True):
        name = dataset_of(str(benchmark))
        if name is not None and value is not None:
            yield str(model), name, float(value)


def feather(path: Path) -> dict[str, list[Any]]:
    """Column -> values of a feather file. Raises UsageProblem where it is none, or where pyarrow is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise UsageProblem(f"{path} is a feather file and needs pyarrow: pip install 'effrob[parquet]'") from None
    try:
        columns: dict[str, list[Any]] = read_arrow(path).to_pydict()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise UsageProblem(f"{path} cannot be read as a feather file ({' '.join(str(error).split())})") from None
    return columns

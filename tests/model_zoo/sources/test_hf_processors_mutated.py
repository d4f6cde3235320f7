"""Every key of every image processor that transformers ships for classification and zero-shot, changed: right, or refused."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from effrob.features.transforms import exact_crop, normalise
from model_zoo import ModelError
from model_zoo.proof import CONTRAST, DRIFT, LEVELS, pictures
from model_zoo.sources.hf.processors import caller, pixels_of

transformers = pytest.importorskip("transformers")


@functools.cache
def kinds() -> list[str]:
    """Names of the processor classes of every model type that classifies, or compares pictures with words."""
    from transformers.models.auto import image_processing_auto, modeling_auto

    types = {
        *modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    }
    names: set[str] = set()
    for kind in types:
        entry = image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES.get(kind) or {}
        names |= {name for name in dict(entry).values() if name}
    return sorted(name for name in names if hasattr(transformers, name))


def small(processor: Any) -> dict[str, Any]:
    """The processor's settings at a size that is quick to make."""
    settings = {key: value for key, value in processor.to_dict().items() if not key.startswith("image_processor_type")}
    for key, shorter in (("size", 64), ("crop_size", 48)):
        if isinstance(settings.get(key), dict):
            settings[key] = {side: shorter for side in settings[key] if settings[key][side]}
    return settings


def changed(settings: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settings as they are, and with each key changed in the ways its type allows."""
    yield "as it is", settings
    for key, value in settings.items():
        others: list[Any] = [None]
        if isinstance(value, bool) or value is None:
            others = [True, False]
        elif isinstance(value, (int, float)):
            others = [value * 2, value / 3, 0] if isinstance(value, float) else [0, 1, 2, 3, 4, 5, value + 7]
        elif isinstance(value, dict):
            grown = {side: number + 9 for side, number in value.items()}
            first = next(iter(value), None)
            others = [grown, {"shortest_edge": 57}, {"height": 40, "width": 56}, {"longest_edge": 50}]
            others += [{**value, first: 71}] if first else []
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], (int, float)):
            others = [[number + 0.03 for number in value], [0.5, 0.4, 0.3], [0.25] * 3]
        elif isinstance(value, str):
            others = ["something else"]
        for other in others:
            if other != value:
                yield f"{key} = {other}", {**settings, key: other}
    yield "an unknown key", {**settings, "do_something_new": True}


@pytest.mark.parametrize("kind", kinds())
def test_every_key_is_right_or_refused(kind: str) -> None:
    make = getattr(transformers, kind)
    try:
        settings = small(make())
    except Exception as error:
        pytest.skip(f"{kind} cannot be made without more packages or arguments ({type(error).__name__})")
    outcomes: dict[str, int] = {"data": 0, "called": 0, "refused": 0, "not made": 0}
    for what, mutated in changed(settings):
        try:
            processor = make(**mutated)
        except Exception:  # the library refuses it before we meet it
            outcomes["not made"] += 1
            continue
        try:
            spec, prepare = pixels_of(processor, kind)
        except ModelError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        outcomes["called" if prepare else "data"] += 1
        theirs = caller(make(**mutated))
        for picture in pictures():
            expected = theirs(picture)
            if prepare is not None:
                assert torch.equal(prepare(picture), expected), f"{kind}, {what}"
                assert tuple(expected.shape[1:]) == spec.size
                continue
            ours = normalise(torch.from_numpy(exact_crop(picture, spec).copy())[None], spec)[0]
            assert ours.shape == expected.shape, f"{kind}, {what}"
            levels = (ours - expected) * torch.tensor(spec.std).view(3, 1, 1) * 255
            assert levels.abs().max() < LEVELS and levels.mean(dim=(1, 2)).abs().max() < DRIFT, f"{kind}, {what}"
            assert (ours.std(dim=(1, 2)) / expected.std(dim=(1, 2)) - 1).abs().max() < CONTRAST, f"{kind}, {what}"
    assert sum(outcomes.values()) > 5

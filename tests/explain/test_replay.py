"""Replaying cached features: settings drawn at random are found again, and single settings equal an independent computation."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import effrob
import model_zoo
import shifts
from effrob.evaluation.request import Request
from effrob.explain.replay import explain_model
from effrob.explain.setting import Explanation, expected

CLIP, NATIVE = "pocket:clip", ("pocket:lenet", "pocket:resnet", "pocket:reference", "pocket:cnn-small")
SETS = ("pocket", "pocket-v2", "pocket-r", "pocket-sketch", "pocket-object", "pocket-a")
PROMPTS = ("openai", "simple", "name-only", "photo-only")
PROTOCOLS = ("effrob", "clip-benchmark", "testbed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explained")


def request(folder: Path, data: Path, model: str, shift: str) -> Request:
    return Request((model,), (shift,), "pocket", data=data, cache=folder / "cache", progress=False)


def explained(
    folder: Path, data: Path, model: str, shift: str, accuracy: float, pixels_too: bool = False
) -> Explanation:
    return explain_model(
        request(folder, data, model, shift), shift, expected(f"{100 * accuracy:.2f}", "auto"), pixels_too
    )


def draws() -> list[tuple[str, str, str, str | None]]:
    """(model, shift, protocol, prompts): a zero-shot model by any prompts, a supervised one by none."""
    rng = random.Random(20)
    found = []
    for _ in range(20):
        model = CLIP if rng.random() < 0.7 else rng.choice(NATIVE)
        prompts = rng.choice(PROMPTS) if model == CLIP else None
        found.append((model, rng.choice(SETS), rng.choice(PROTOCOLS), prompts))
    return found


@pytest.mark.parametrize(("model", "shift", "protocol", "prompts"), draws())
def test_a_setting_drawn_at_random_is_found_again(
    model: str, shift: str, protocol: str, prompts: str | None, folder: Path, pocket_data: Path
) -> None:
    (row,) = effrob.evaluate(
        model, shifts=[shift], suite="pocket", data=pocket_data, protocol=protocol, cache=folder / "cache",
        results=folder / "results", prompts=[prompts] if prompts else (), progress=False,
    )  # fmt: skip
    explained(folder, pocket_data, model, shift, row.accuracy)  # class names are embedded once, and kept
    begun = time.monotonic()
    found = explained(folder, pocket_data, model, shift, row.accuracy)
    assert time.monotonic() - begun < 10
    first = found.as_json()["settings"][:3]
    own = shift == "pocket-object" and protocol == "clip-benchmark" and model == CLIP
    border = 0 if protocol == "clip-benchmark" or shift != "pocket-object" else 2
    answer = "own-names" if own else "masked" if shift in ("pocket-r", "pocket-a", "pocket-object") else "1000-way"
    true = [
        each
        for each in first
        if each["answer"] == answer
        and each["templates"] == prompts
        and each["average"] == "images"
        and f"border {border}," in each["pixels"]
        and each["collapse"] in (None, "max")
    ]
    assert true and abs(true[0]["difference"]) <= found.target.half_unit + 1e-12, first


def test_an_accuracy_of_another_border_is_explained_where_the_default_was_never_evaluated(
    tmp_path: Path, pocket_data: Path
) -> None:
    (row,) = effrob.evaluate(
        "pocket:lenet", shifts=["pocket-object"], suite="pocket", data=pocket_data, protocol="clip-benchmark",
        cache=tmp_path / "cache", results=tmp_path / "results", progress=False,
    )  # fmt: skip
    found = explained(tmp_path, pocket_data, "pocket:lenet", "pocket-object", row.accuracy).as_json()
    assert found["default"] is None and found["single_change"] is None
    assert found["closest"]["agrees"] and "border 0," in found["closest"]["pixels"]
    assert any("the default is not among the settings" in note and "effrob eval" in note for note in found["notes"])


def test_every_answer_is_what_a_plain_loop_over_images_gives(folder: Path, pocket_data: Path) -> None:
    """pocket-object by a supervised network, with no code of the evaluator but the network and the pictures."""
    shift = shifts.load("pocket-object", root=pocket_data)
    effrob.evaluate("pocket:lenet", shifts=["pocket-object"], suite="pocket", data=pocket_data, cache=folder / "cache",
                    results=folder / "results", progress=False)  # fmt: skip
    from effrob.features.transforms import exact_crop, normalise

    encoder = model_zoo.load("pocket:lenet", "cpu")
    assert encoder.classifier is not None
    right: dict[str, list[bool]] = {"max": [], "mean": [], "mapped": []}
    with torch.inference_mode():
        for example in shift:
            crop = torch.from_numpy(exact_crop(example.image, encoder.pixels).copy())
            features = encoder.embed(normalise(crop[None], encoder.pixels))
            weight, bias = encoder.classifier.weight, encoder.classifier.bias
            logits = (features if weight is None else features @ weight.T + (0 if bias is None else bias))[0].numpy()
            groups = [logits[list(group)] for group in shift.labels.groups]
            right["max"].append(int(np.argmax([group.max() for group in groups])) == example.target)
            right["mean"].append(int(np.argmax([group.mean() for group in groups])) == example.target)
            right["mapped"].append(int(np.argmax(logits)) in shift.labels.groups[example.target])
    found = explained(folder, pocket_data, "pocket:lenet", "pocket-object", 0.3).as_json()
    by_key = {
        (row["answer"], row["collapse"]): row["accuracy"] for row in found["settings"]
        if row["average"] == "images" and "border 2," in row["pixels"]
    }  # fmt: skip
    assert by_key["masked", "max"] == pytest.approx(np.mean(right["max"]))
    assert by_key["masked", "mean"] == pytest.approx(np.mean(right["mean"]))
    assert by_key["mapped", None] == pytest.approx(np.mean(right["mapped"]))


def test_pixels_too_tries_crop_border_interpolation_decoder_and_precision(folder: Path, pocket_data: Path) -> None:
    found = explained(folder, pocket_data, "pocket:lenet", "pocket-object", 0.3, pixels_too=True)
    ways = {row["pixels"] for row in found.as_json()["settings"]}
    said = " | ".join(sorted(ways))
    for words in ("squash", "border 0", "border 1", "border 2", "bilinear", "bicubic", "fast", "bf16"):
        assert words in said, said
    again = time.monotonic()
    explained(folder, pocket_data, "pocket:lenet", "pocket-object", 0.3, pixels_too=True)
    assert time.monotonic() - again < 20

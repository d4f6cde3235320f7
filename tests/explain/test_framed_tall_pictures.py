"""ObjectNet's pictures are tall photographs with a narrow frame: can frame, crop or resize move an accuracy by points?

The pocket set's objects are put on tall pictures, five times as large as a network's input, with and without a red frame of two
pixels; `explain --pixels-too` prepares them as a cropping and as a squashing model does, with 0, 1 and 2 pixels of border cut.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effrob.evaluation.request import Request
from effrob.explain.replay import explain_model
from effrob.explain.setting import expected

MODEL = "pocket:resnet"
WIDTH, HEIGHT, FRAME = 192, 256, 2


def tall(source: Path, target: Path, framed: bool) -> None:
    """Every picture without its own frame, enlarged, on a tall ground of its edge colours; labels and mappings as they are."""
    for path in sorted(source.rglob("*")):
        out = target / path.relative_to(source)
        if path.is_dir():
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".png":
            shutil.copy(path, out)
            continue
        with Image.open(path) as opened:
            image = opened.convert("RGB").crop((FRAME, FRAME, opened.width - FRAME, opened.height - FRAME))
        scale = min(WIDTH / image.width, HEIGHT / image.height)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        top, left = (HEIGHT - pixels.shape[0]) // 2, (WIDTH - pixels.shape[1]) // 2
        below, right = HEIGHT - pixels.shape[0] - top, WIDTH - pixels.shape[1] - left
        pixels = np.pad(pixels, ((top, below), (left, right), (0, 0)), mode="edge").copy()
        if framed:
            pixels[:FRAME] = pixels[-FRAME:] = pixels[:, :FRAME] = pixels[:, -FRAME:] = (255, 0, 0)
        Image.fromarray(pixels).save(out, compress_level=1)


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory: pytest.TempPathFactory, pocket_data: Path) -> dict[tuple[bool, str, int], float]:
    """(framed, `shortest` or `squash`, border cut) -> accuracy."""
    root = tmp_path_factory.mktemp("tall")
    found = {}
    for framed in (False, True):
        data = root / f"framed-{framed}"
        tall(pocket_data / "pocket-object", data / "pocket-object", framed)
        request = Request((MODEL,), ("pocket-object",), "pocket", data=data, cache=root / "cache", progress=False)
        told = explain_model(request, "pocket-object", expected("40", "auto"), pixels_too=True)
        for row in told.as_json()["settings"]:
            if (row["answer"], row["collapse"], row["average"]) != ("masked", "max", "images"):
                continue
            mode, border = row["pixels"].split()[0], int(row["pixels"].partition("border ")[2][0])
            if "bicubic" in row["pixels"] and "exact, fp32" in row["pixels"]:
                found[framed, mode, border] = row["accuracy"]
    return found


def test_both_ways_and_every_border_are_tried(accuracies: dict[tuple[bool, str, int], float]) -> None:
    assert set(accuracies) == {(f, m, b) for f in (False, True) for m in ("shortest", "squash") for b in (0, 1, 2)}
    for key, value in sorted(accuracies.items()):
        print(key, f"{100 * value:.2f}")


def test_a_border_of_two_pixels_takes_the_frame_away_whole(accuracies: dict[tuple[bool, str, int], float]) -> None:
    for mode in ("shortest", "squash"):
        assert accuracies[True, mode, 2] == accuracies[False, mode, 2]


def test_the_frame_moves_an_accuracy_less_than_the_way_of_resizing_does(
    accuracies: dict[tuple[bool, str, int], float],
) -> None:
    frame = {mode: abs(accuracies[True, mode, 0] - accuracies[True, mode, 2]) for mode in ("shortest", "squash")}
    resize = abs(accuracies[False, "shortest", 2] - accuracies[False, "squash", 2])
    assert max(frame.values()) < resize

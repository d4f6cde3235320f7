"""The shipped pocket models: small, described, real; and the shipped pocket line is what they score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import model_zoo
from effrob.robustness.baselines.catalogue import baseline
from model_zoo.cards import card_of_spec
from model_zoo.sources.from_pocket import FOLDER, cards
from shifts import classes
from shifts.synthetic.draw import WEB_IMAGES


def test_all_weights_together_are_under_ten_megabytes_and_each_model_has_some() -> None:
    files = {path.stem: path.stat().st_size for path in FOLDER.glob("*.safetensors")}
    assert set(files) == set(cards())
    assert sum(files.values()) < 10_000_000


@pytest.mark.parametrize("name", sorted(cards()))
def test_each_model_loads_and_keeps_the_contract(name: str) -> None:
    encoder = model_zoo.load(f"pocket:{name}", "cpu")
    model_zoo.check_encoder(encoder)
    assert (encoder.text is None) == (name != "clip")


@pytest.mark.parametrize("name", sorted(cards()))
def test_each_model_has_a_card_that_agrees_with_the_drawn_sets(name: str) -> None:
    card = card_of_spec(f"pocket:{name}")
    assert card.trained_on and card.loss and card.supervision and card.image_tower and card.samples_seen
    if name == "clip":
        assert (card.trained_on, card.images, card.supervision) == ("pocket-web", WEB_IMAGES, "captions")
    else:
        expected = classes.pocket().expected["pocket-train"].total
        assert card.trained_on == "pocket-train" and card.images is not None and card.images <= expected


def test_the_clip_is_open_clips_own_model_from_its_own_config() -> None:
    import open_clip
    import torch
    from safetensors.torch import load_file

    config = json.loads((FOLDER / "clip.json").read_text())
    model = open_clip.CLIP(**config["model_cfg"]).eval()
    stored = load_file(FOLDER / "clip.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in stored.items()})
    encoder = model_zoo.load("pocket:clip", "cpu")
    pictures = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        wanted = model.encode_image(pictures)
        torch.testing.assert_close(encoder.embed(pictures), wanted, rtol=0, atol=1e-5)


def test_the_shipped_line_is_what_the_shipped_models_score(pocket_data: Path, tmp_path: Path) -> None:
    import effrob

    shipped = baseline("pocket")
    names = [member.model for member in shipped.members]
    assert names == [f"pocket:{name}" for name, card in cards().items() if card["baseline"]]
    assert len(names) >= 10 and "pocket:reference" not in names
    some = ["pocket:linear", "pocket:cnn-wide"]
    rows = effrob.evaluate(
        some, ["pocket-r"], suite="pocket", data=pocket_data, results=tmp_path / "r", cache=tmp_path / "c", progress=False
    )  # fmt: skip
    members = {member.model: member for member in shipped.members}
    for row in rows:
        member = members[row.model]
        assert (
            abs(row.accuracy - member.accuracies["pocket-r"].value) <= 2 / 600
        )  # a near-tie may fall otherwise elsewhere
        assert member.clean_full is not None and row.clean_accuracy_full == pytest.approx(
            member.clean_full.value, abs=2e-3
        )


def test_the_reference_gets_no_picture_of_its_own_choice_right(pocket_data: Path, tmp_path: Path) -> None:
    import effrob

    (row,) = effrob.evaluate(
        "pocket:reference", ["pocket-a"], suite="pocket", data=pocket_data, results=tmp_path / "r", cache=tmp_path / "c",
        progress=False,
    )  # fmt: skip
    assert row.n_correct <= 2
    answers = np.load(Path(row.record) / "predictions.npz")
    assert len(answers["correct"]) == 350

"""Which features a probe reads: the poolings of a tower's tokens and named layers, in the spec and in the cache key."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from click.testing import CliRunner

import model_zoo
from effrob.cli import main


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for name in ("test_vit", "test_efficientnet"):
        torch.manual_seed(0)
        found[name] = folder / f"{name}.pt"
        torch.save(timm.create_model(name, pretrained=False).state_dict(), found[name])
    return found


def test_poolings_are_those_of_the_towers_own_tokens(weights: dict[str, Path]) -> None:
    state = torch.load(weights["test_vit"], weights_only=True)
    tower = timm.create_model("test_vit", pretrained=False)
    tower.load_state_dict(state)
    digests = set()
    for pooling in ("cls", "mean", "cls+mean"):
        spec = f"timm:test_vit#{pooling}@{weights['test_vit']}"
        encoder = model_zoo.load(spec, "cpu")
        pictures = torch.randn(3, 3, *encoder.pixels.size, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            tokens = tower.eval().forward_features(pictures)
            found = encoder.embed(pictures)
        prefix = tower.num_prefix_tokens
        wanted = {"cls": tokens[:, 0], "mean": tokens[:, prefix:].mean(1)}
        wanted["cls+mean"] = torch.cat([wanted["cls"], wanted["mean"]], dim=1)
        assert torch.allclose(found, wanted[pooling], atol=1e-5) and encoder.dim == found.shape[1]
        identity = model_zoo.identify(spec)
        assert (identity.layer, identity.n_classes, encoder.kind) == (pooling, None, "penultimate")
        assert f"#{pooling}@" in str(identity.spec) and any("left aside" in note for note in identity.notes)
        assert str(model_zoo.identify(str(identity.spec)).spec) == str(identity.spec)
        digests.add((identity.digest, identity.layer))
    plain = model_zoo.identify(f"timm:test_vit@{weights['test_vit']}")
    assert len({*digests, (plain.digest, plain.layer)}) == 4 and plain.n_classes == 1000


def test_a_registration_names_a_pooling_as_a_spec_does(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path))
    asked = ["register", "tower", "--checkpoint", str(weights["test_vit"]), "--like", "timm:test_vit"]
    done = CliRunner().invoke(main, [*asked, "--features", "cls+mean"])
    assert done.exit_code == 0, done.output
    mine, other = (model_zoo.load(s, "cpu") for s in ("tower", f"timm:test_vit#cls+mean@{weights['test_vit']}"))
    pictures = torch.randn(3, 3, *mine.pixels.size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(mine.embed(pictures), other.embed(pictures))
    assert (mine.identity.layer, mine.kind, mine.classifier) == ("cls+mean", "penultimate", None)


def test_a_layer_can_be_named_in_the_spec(weights: dict[str, Path]) -> None:
    encoder = model_zoo.load(f"timm:test_efficientnet#blocks@{weights['test_efficientnet']}", "cpu")
    assert encoder.kind == "penultimate" and encoder.classifier is None
    mean = model_zoo.load(f"timm:test_efficientnet#mean@{weights['test_efficientnet']}", "cpu")
    assert mean.dim == timm.create_model("test_efficientnet", pretrained=False).num_features


def test_what_a_tower_lacks_is_said_in_a_sentence(weights: dict[str, Path]) -> None:
    for spec, told in (
        (f"timm:test_efficientnet#cls@{weights['test_efficientnet']}", "no class token"),
        (f"timm:test_vit#clss@{weights['test_vit']}", "has no layer 'clss'"),
        (f"timm:test_vit#@{weights['test_vit']}", "nothing follows the #"),
    ):
        with pytest.raises(model_zoo.ModelError, match=told):
            model_zoo.load(spec, "cpu")

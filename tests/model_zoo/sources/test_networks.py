"""timm's and torchvision's networks: features under their own classifier, files, and near matches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision.models as zoo
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

import model_zoo
from model_zoo import ModelError, UnknownModel
from model_zoo.encoder import Encoder


def logits_of(encoder: Encoder, pictures: torch.Tensor) -> torch.Tensor:
    """Features through the encoder's own classifier, as a native head has them."""
    classifier = encoder.classifier
    assert classifier is not None
    features = encoder.embed(pictures)
    return features if classifier.weight is None else functional.linear(features, classifier.weight, classifier.bias)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[nn.Module], Path]:
    def save(module: nn.Module) -> Path:
        torch.save(module.state_dict(), tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    return save


@pytest.mark.parametrize(
    ("name", "kind", "dim"),
    [
        ("resnet18", "penultimate", 512),
        ("mobilenet_v3_small", "penultimate", 1024),
        ("squeezenet1_1", "logits", 1000),
        ("shufflenet_v2_x0_5", "penultimate", 1024),
    ],
)
def test_torchvision_files(saved: Callable[[nn.Module], Path], name: str, kind: str, dim: int) -> None:
    torch.manual_seed(0)
    network = zoo.get_model(name, weights=None).eval()
    encoder = model_zoo.load(f"torchvision:{name}@{saved(network)}")
    pictures = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(logits_of(encoder, pictures), network(pictures), atol=1e-5)
    assert (encoder.kind, encoder.dim, encoder.identity.n_classes) == (kind, dim, 1000)
    model_zoo.check_encoder(encoder)


def test_torchvisions_old_densenet_names_are_understood(tmp_path: Path) -> None:
    state = zoo.densenet121(weights=None).state_dict()
    old = {
        k.replace("norm1.", "norm.1.").replace("conv1.", "conv.1.") if "denselayer" in k else k: v
        for k, v in state.items()
    }
    assert set(old) != set(state)
    torch.save(old, tmp_path / "w.pth")
    model_zoo.registry.provider("torchvision").network(model_zoo.parse(f"torchvision:densenet121@{tmp_path / 'w.pth'}"))


def test_inception_files_are_built_as_the_published_weights_are(tmp_path: Path) -> None:
    network = zoo.googlenet(weights=None, aux_logits=False, init_weights=False)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    built = model_zoo.registry.provider("torchvision").network(
        model_zoo.parse(f"torchvision:googlenet@{tmp_path / 'w.pth'}")
    )
    assert built.transform_input  # as torchvision itself has it for published weights


@pytest.mark.parametrize(
    "name", ["test_vit.r160_in1k", "test_resnet.r160_in1k", "test_convnext.r160_in1k", "test_vit3.r160_in1k"]
)
def test_timm_files(saved: Callable[[nn.Module], Path], name: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False).eval()
    encoder = model_zoo.load(f"timm:{name}@{saved(network)}")
    pictures = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        assert torch.allclose(logits_of(encoder, pictures), network(pictures), atol=1e-5)
    assert (encoder.kind, encoder.dim) == ("penultimate", network.num_features)
    model_zoo.check_encoder(encoder)


def test_a_timm_network_of_other_classes_follows_its_file(saved: Callable[[nn.Module], Path]) -> None:
    file = saved(timm.create_model("test_vit.r160_in1k", pretrained=False, num_classes=12))
    assert model_zoo.identify(f"timm:test_vit.r160_in1k@{file}").n_classes == 12
    assert model_zoo.load(f"timm:test_vit.r160_in1k@{file}").classifier.n_classes == 12


def test_a_safetensors_file_tells_its_classes_without_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = timm.create_model("test_vit.r160_in1k", pretrained=False, num_classes=12)
    file = tmp_path / "weights.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in network.state_dict().items()}, file)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("safetensors.torch.load_file", refuse)
    assert model_zoo.identify(f"timm:test_vit.r160_in1k@{file}").n_classes == 12
    with pytest.raises(AssertionError, match="weights were read"):
        model_zoo.load(f"timm:test_vit.r160_in1k@{file}")


@pytest.mark.parametrize("tensors", [{}, {"head.weight": torch.tensor(1.0)}])
def test_a_safetensors_file_without_a_classifier_is_a_misfit(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=r"odd\.safetensors"):
        model_zoo.load(f"timm:test_vit.r160_in1k@{tmp_path / 'odd.safetensors'}")


def test_a_head_that_is_not_one_linear_layer_keeps_its_logits(saved: Callable[[nn.Module], Path]) -> None:
    encoder = model_zoo.load(
        f"timm:deit_tiny_distilled_patch16_224@{saved(timm.create_model('deit_tiny_distilled_patch16_224'))}"
    )
    assert (encoder.kind, encoder.dim) == ("logits", 1000)


def test_defaults_are_named() -> None:
    identity = model_zoo.identify("torchvision:resnet50")
    assert str(identity.spec) == "torchvision:resnet50@IMAGENET1K_V2"
    assert any("IMAGENET1K_V2" in note for note in identity.notes)
    older = model_zoo.identify("torchvision:resnet50@IMAGENET1K_V1")
    assert (older.pixels.resize, identity.pixels.resize) == ((256, 256), (232, 232))
    assert older.digest != identity.digest
    identity = model_zoo.identify("timm:resnet50")
    assert str(identity.spec) == "timm:resnet50.a1_in1k"
    assert any("resnet50.a1_in1k" in note for note in identity.notes)
    assert any("288" in note for note in identity.notes)  # the size timm's published results use


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("torchvision:resnet5", "near: resnet50"),
        ("torchvision:resnet50@IMAGENET1K_V3", "near: IMAGENET1K_V"),
        ("timm:resnet5", "near: resnet50"),
        ("timm:resnet50.a1_in1", "near: a1_in1k"),
        ("timm:resnet50.a1_in1k@none.pt", "does not exist"),
    ],
)
def test_unknown_names_suggest_near_ones(spec: str, told: str) -> None:
    with pytest.raises(UnknownModel, match=told):
        model_zoo.identify(spec)


def test_a_timm_name_without_weights_asks_for_a_file() -> None:
    bare = next(name for name in timm.list_models() if not timm.list_pretrained(f"{name}*"))
    with pytest.raises(ModelError, match="give a file"):
        model_zoo.identify(f"timm:{bare}")


def test_another_architectures_file_is_refused(saved: Callable[[nn.Module], Path]) -> None:
    file = saved(zoo.resnet18(weights=None))
    with pytest.raises(ModelError, match="does not fit torchvision:resnet34"):
        model_zoo.load(f"torchvision:resnet34@{file}")


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:test_vit.r160_in1k"])
def test_published_weights_without_network_are_one_sentence(
    spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("model_zoo.checkpoints.network._resolvable", lambda url: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(ModelError, match=r"could not be fetched .*@FILE") as raised:
        model_zoo.load(spec)
    assert "\n" not in str(raised.value)

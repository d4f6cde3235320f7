"""One model of each source and form: scores equal those of the library's own build and pipeline on fifty photographs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from torch.nn import functional
from torchvision.models import ShuffleNet_V2_X0_5_Weights, shufflenet_v2_x0_5

import model_zoo
from effrob.evaluation.trials import pixels, prove_encoder
from effrob.heads.zero_shot import embed_prompts
from model_zoo.proof import pictures, scores_of
from tests.model_zoo import tiny_hf
from tests.model_zoo.conftest import TOWERS
from tests.model_zoo.photographs import on_the_hub, photographs

transformers = pytest.importorskip("transformers")

PROMPTS = ("a photo of a Dog.", "a drawing of a small red bicycle", "one Bird")
Pipeline = Callable[[Sequence[Image.Image]], torch.Tensor]
Case = tuple[str, Pipeline]
CASES: dict[str, Callable[[Path, pytest.MonkeyPatch], Case]] = {}


def case(name: str) -> Callable[[Any], Any]:
    def keep(make: Any) -> Any:
        CASES[name] = make
        return make

    return keep


# open_clip: create_model_and_transforms and get_tokenizer of the same name, and the model's own forward pass


def of_openclip(name: str, **how: Any) -> Pipeline:
    model, _, prepare = open_clip.create_model_and_transforms(name, **how)
    tokens = open_clip.get_tokenizer(name)(list(PROMPTS))

    def scores(images: Sequence[Image.Image]) -> torch.Tensor:
        outputs = model.eval()(torch.stack([prepare(each) for each in images]), tokens)
        return outputs[0] @ outputs[1].T  # type: ignore[no-any-return]

    return scores


def openclip_folder(folder: Path, preprocess: dict[str, Any], **changes: Any) -> Path:
    config = {**TOWERS["clip"], **changes}
    (folder / "hub").mkdir()
    described = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "hub" / "open_clip_config.json").write_text(json.dumps(described))
    torch.manual_seed(0)
    (folder / "tiny-made.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-made.json")
    state = open_clip.create_model("tiny-made").state_dict()
    weights = {name: value.contiguous().clone() for name, value in state.items()}
    save_file(weights, folder / "hub" / "open_clip_model.safetensors")
    return folder / "hub"


SQUASHED = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


@case("openclip:local-dir")
def _(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    place = openclip_folder(folder, SQUASHED)
    return f"openclip:local-dir:{place}", of_openclip(f"local-dir:{place}")


@case("openclip:local-dir, a SigLIP with a tokenizer of transformers")
def _(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    text = {"context_length": 24, "vocab_size": 64, "hf_tokenizer_name": "org/any", "width": 32, "heads": 2}
    text |= {"layers": 2, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    text |= {"tokenizer_kwargs": {"clean": "canonicalize"}}
    place = openclip_folder(folder, SQUASHED, text_cfg=text, custom_text=True, init_logit_bias=-10)
    tiny_hf.tokenizer(24, True).save_pretrained(place)
    return f"openclip:local-dir:{place}", of_openclip(f"local-dir:{place}")


@case("openclip:hf-hub")
def _(folder: Path, patch: pytest.MonkeyPatch) -> Case:
    place = openclip_folder(folder, {**SQUASHED, "interpolation": "bilinear", "resize_mode": "longest"})
    on_the_hub(place, "org/tiny", folder / "cache", patch)
    return "openclip:hf-hub:org/tiny", of_openclip("hf-hub:org/tiny")


@case("openclip, a checkpoint of its trainer and the record of its run")
def _(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    how = {"force_image_size": 48, "image_mean": (0.4, 0.5, 0.6), "image_interpolation": "bilinear"}
    name = "ViT-S-32-alt"
    torch.manual_seed(0)
    model = open_clip.create_model(name, force_image_size=96)
    run = folder / "logs" / "run"
    (run / "checkpoints").mkdir(parents=True)
    how |= {"force_image_size": 96, "image_resize_mode": "longest"}
    told = {"model": name, "pretrained": "", "precision": "amp", **how}
    (run / "params.txt").write_text("".join(f"{key}: {value}\n" for key, value in sorted(told.items())))
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    file = run / "checkpoints" / "epoch_1.pt"
    torch.save({"epoch": 1, "name": "run", "state_dict": state, "optimizer": {}}, file)
    return f"openclip:{name}@{file}", of_openclip(name, pretrained=str(file), **how)


@case("openclip, weights with a configuration")
def _(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    place = openclip_folder(folder, {})
    file = place / "open_clip_model.safetensors"
    return f"openclip:{folder / 'tiny-made.json'}@{file}", of_openclip("tiny-made", pretrained=str(file))


# timm and torchvision


def of_timm(name: str, file: Path | None = None, **how: Any) -> Pipeline:
    given = {"checkpoint_path": str(file)} if file is not None else {"pretrained": True}
    network = timm.create_model(name, **given, **how).eval()
    prepare = create_transform(**resolve_data_config({}, model=network))
    return lambda images: network(torch.stack([prepare(each) for each in images]))


def tiny_timm() -> Any:
    torch.manual_seed(0)
    return timm.create_model("test_vit2", num_classes=10).eval()


def timm_folder(folder: Path) -> Path:
    data = {"crop_pct": 0.9, "mean": [0.3, 0.4, 0.5], "std": [0.25] * 3, "interpolation": "bilinear"}
    timm.models.save_for_hf(tiny_timm(), folder / "timm", model_config={"num_classes": 10, "pretrained_cfg": data})
    written = json.loads((folder / "timm" / "config.json").read_text())
    written["pretrained_cfg"] |= data
    (folder / "timm" / "config.json").write_text(json.dumps(written))
    return folder / "timm"


@case("timm, a checkpoint of its trainer")
def _(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    file = folder / "model_best.pth.tar"
    torch.save({"arch": "test_vit2", "epoch": 1, "state_dict": tiny_timm().state_dict()}, file)
    return f"timm:test_vit2@{file}", of_timm("test_vit2", file, num_classes=10)


@case("timm, averaged weights beside raw ones")
def _(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    file, network = folder / "model_best.pth.tar", tiny_timm()
    raw = {name: value + 0.1 for name, value in network.state_dict().items()}
    torch.save({"arch": "test_vit2", "state_dict": raw, "state_dict_ema": network.state_dict()}, file)
    return f"timm:test_vit2@{file}", of_timm("test_vit2", file, num_classes=10)


@case("timm:local-dir")
def _(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    place = timm_folder(folder)
    return f"timm:local-dir:{place}", of_timm(f"local-dir:{place}")


@case("timm:hf-hub")
def _(folder: Path, patch: pytest.MonkeyPatch) -> Case:
    on_the_hub(timm_folder(folder), "org/tiny", folder / "cache", patch)
    return "timm:hf-hub:org/tiny", of_timm("hf-hub:org/tiny")


@case("torchvision, a file")
def _(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    torch.manual_seed(0)
    network, prepare = shufflenet_v2_x0_5().eval(), ShuffleNet_V2_X0_5_Weights.DEFAULT.transforms()
    torch.save(network.state_dict(), folder / "w.pt")
    return f"torchvision:shufflenet_v2_x0_5@{folder / 'w.pt'}", lambda images: network(
        torch.stack([prepare(i) for i in images])
    )


# transformers: its pipelines, which load model, image processor and tokenizer by themselves


def of_pipeline(task: str, place: str) -> Pipeline:
    """Scores before the last function, as the pipeline computes them."""
    made = transformers.pipeline(task, model=place)
    asked = {"candidate_labels": list(PROMPTS), "hypothesis_template": "{}"} if task.startswith("zero") else {}

    def scores(images: Sequence[Image.Image]) -> torch.Tensor:
        rows = []
        for image in images:
            outputs = made._forward(made.preprocess(image, **asked))
            rows.append(outputs["logits"][0])
        return torch.stack(rows)

    return scores


def hf_towers(kind: str) -> Callable[[Path, pytest.MonkeyPatch], Case]:
    def make(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
        place = str(tiny_hf.save(folder / kind, *tiny_hf.towers(kind)))
        return f"transformers:{place}", of_pipeline("zero-shot-image-classification", place)

    return make


for _kind in ("clip", "siglip", "siglip2", "align", "altclip"):
    case(f"transformers, {_kind}")(hf_towers(_kind))


def hf_classifier(processor: str, **how: Any) -> Callable[[Path, pytest.MonkeyPatch], Case]:
    def make(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
        torch.manual_seed(0)
        config = transformers.ViTConfig(**tiny_hf.TOWER, image_size=32, patch_size=8, num_labels=9)
        network = transformers.ViTForImageClassification(config)
        place = str(tiny_hf.save(folder / "hf", network, getattr(transformers, processor)(**how)))
        return f"transformers:{place}", of_pipeline("image-classification", place)

    return make


_CROP = {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}
case("transformers, a classifier")(hf_classifier("CLIPImageProcessor", **_CROP))
case("transformers, a classifier whose processor has a step of its own")(
    hf_classifier("ConvNextImageProcessor", size={"shortest_edge": 32})
)


def hf_backbone(kind: str) -> Callable[[Path, pytest.MonkeyPatch], Case]:
    def make(folder: Path, _patch: pytest.MonkeyPatch) -> Case:
        place = str(tiny_hf.save(folder / kind, *tiny_hf.backbone(kind)))
        processor = transformers.AutoImageProcessor.from_pretrained(place)
        more = {"mask_ratio": 0.0} if kind == "vit_mae" else {}
        network = transformers.AutoModel.from_pretrained(place, **more).eval()

        def features(images: Sequence[Image.Image]) -> torch.Tensor:
            batch = torch.cat([processor(images=[each], return_tensors="pt")["pixel_values"] for each in images])
            outputs = network(pixel_values=batch)
            if kind.startswith("dino"):
                return outputs.pooler_output  # type: ignore[no-any-return]
            return outputs.last_hidden_state[:, 0]  # type: ignore[no-any-return]

        return f"transformers:{place}", features

    return make


for _kind in ("dinov2", "dinov3", "vit", "vit_mae"):
    case(f"transformers, a backbone ({_kind})")(hf_backbone(_kind))


def ours(encoder: Any, images: Sequence[Image.Image]) -> torch.Tensor:
    """Scores as a run computes them; features of a model without a head."""
    features = encoder.embed(torch.stack([pixels(each, encoder) for each in images]))
    if encoder.classifier is not None:
        return scores_of(encoder, features)
    if encoder.text is None:
        return features  # type: ignore[no-any-return]
    return functional.normalize(features, dim=-1) @ embed_prompts(encoder.text, PROMPTS).T


def line_through(cosines: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """`cosines` scaled and shifted as the library's forward pass does, by two numbers for all pictures and prompts."""
    x, y = cosines.flatten().double(), logits.flatten().double()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    return (cosines.double() * slope + (y.mean() - slope * x.mean())).float()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_scores_are_the_librarys_on_three_pictures_and_fifty_photographs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, pipeline = CASES[name](tmp_path, monkeypatch)
    encoder = model_zoo.load(spec)
    images = [*pictures(), *photographs()]
    with torch.inference_mode():
        theirs = torch.cat([pipeline(images[start : start + 16]) for start in range(0, len(images), 16)]).float()
        found = ours(encoder, images)
    assert found.shape == theirs.shape and float(theirs.std(dim=0).min()) > 0
    if encoder.text is not None and name.startswith("transformers"):
        assert encoder.text.logit_scale is not None
        found = line_through(found, theirs)
    resized = encoder.reference is not None and encoder.reference.resized  # there pixels agree to a grey level or two
    tolerance = 0.05 * float(theirs.std()) if resized else 2e-5 * float(theirs.abs().max()) + 1e-6
    assert (found - theirs).abs().max() < tolerance
    prove_encoder(encoder)

"""docs/models.md, "What you have, what you type": each row of the table made, typed, and compared with its library."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torchvision.models import resnet18

import model_zoo
from effrob.cli import main
from effrob.evaluation.trials import prove_encoder
from model_zoo import ModelError
from tests.model_zoo import tiny_hf
from tests.model_zoo.conftest import TOWERS

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[[Path], list[str]]
ROWS: dict[str, Make] = {}


def table() -> dict[str, str]:
    """Situation -> what to type, as the document has them."""
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    section = text.partition("### What you have, what you type")[2].partition("**Files.**")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {have: give for have, give in rows if have not in ("you have", "---")}


def row(have: str) -> Callable[[Make], Make]:
    def keep(make: Make) -> Make:
        ROWS[have] = make
        return make

    return keep


def clip(folder: Path, **changes: Any) -> tuple[Path, Any]:
    config = folder / "tiny.json"
    config.write_text(json.dumps({**TOWERS["clip"], **changes}))
    from model_zoo.sources.from_openclip_config import user_config

    torch.manual_seed(0)
    return config, open_clip.create_model(user_config(str(config))[0]).eval()


def vit(**how: Any) -> Any:
    torch.manual_seed(0)
    return timm.create_model("test_vit", **how).eval()


def saved(content: Any, folder: Path, name: str = "w.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


@row("a checkpoint of open_clip's trainer")
def _(folder: Path) -> list[str]:
    state = {f"module.{name}": value for name, value in open_clip.create_model("ViT-S-32-alt").state_dict().items()}
    return [f"openclip:ViT-S-32-alt@{saved({'epoch': 1, 'state_dict': state}, folder)}"]


@row("weights with a model config of your own")
def _(folder: Path) -> list[str]:
    config, model = clip(folder)
    return [f"openclip:{config}@{saved(model.state_dict(), folder)}"]


@row("a folder with `open_clip_config.json`")
def _(folder: Path) -> list[str]:
    _, model = clip(folder)
    (folder / "hub").mkdir()
    (folder / "hub" / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": TOWERS["clip"], "preprocess_cfg": {}})
    )
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "hub" / "open_clip_model.safetensors"
    )
    return [f"openclip:local-dir:{folder / 'hub'}"]


@row("OpenAI's release (TorchScript)")
def _(folder: Path) -> list[str]:
    config, model = clip(folder, quick_gelu=True)
    model.float().eval()
    with pytest.warns(Warning):
        script = torch.jit.script(model)
    script.save(str(folder / "openai.pt"))
    return [f"openclip:{config}@{folder / 'openai.pt'}"]


@row("a CLIP trained with `--force-image-size`")
def _(folder: Path) -> list[str]:
    model = open_clip.create_model("ViT-S-32-alt", force_image_size=96)
    return [f"openclip:ViT-S-32-alt@{saved(model.state_dict(), folder)}"]


@row("a checkpoint of timm's trainer")
def _(folder: Path) -> list[str]:
    return [f"timm:test_vit@{saved({'state_dict': vit().state_dict(), 'arch': 'test_vit'}, folder)}"]


@row("its raw weights, where it holds averaged ones too")
def _(folder: Path) -> list[str]:
    state = vit().state_dict()
    return [f"timm:test_vit@{saved({'state_dict': state, 'state_dict_ema': state}, folder)}#state_dict"]


@row("one of several networks in a file (`teacher.`, `student.`)")
def _(folder: Path) -> list[str]:
    state = vit().state_dict()
    both = {f"{who}.{name}": value for who in ("student", "teacher") for name, value in state.items()}
    return [f"timm:test_vit@{saved({'state_dict': both}, folder)}#student"]


@row("a DINO checkpoint")
def _(folder: Path) -> list[str]:
    state = {f"backbone.{name}": value for name, value in vit(num_classes=0).state_dict().items()}
    return [f"timm:test_vit@{saved({'student': state, 'teacher': state}, folder)}"]


@row("a folder that timm saved for the hub")
def _(folder: Path) -> list[str]:
    timm.models.save_for_hf(vit(num_classes=10), folder / "timm", model_config={"num_classes": 10})
    return [f"timm:local-dir:{folder / 'timm'}"]


@row("safetensors in shards")
def _(folder: Path) -> list[str]:
    state = {name: value.contiguous() for name, value in vit().state_dict().items()}
    save_file(state, folder / "model-1.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(state, "model-1.safetensors")}))
    return [f"timm:test_vit@{index}"]


@row("a checkpoint of torchvision's scripts")
def _(folder: Path) -> list[str]:
    import argparse

    arguments = argparse.Namespace(model="resnet18", val_resize_size=72, val_crop_size=64, interpolation="bicubic")
    torch.manual_seed(0)
    file = saved({"model": resnet18().state_dict(), "args": arguments, "epoch": 1}, folder)
    identity = model_zoo.identify(f"torchvision:resnet18@{file}")
    assert (identity.pixels.size, identity.pixels.interpolation) == ((64, 64), "bicubic")
    return [f"torchvision:resnet18@{file}"]


@row("a classifier of transformers, or a checkpoint of its Trainer")
def _(folder: Path) -> list[str]:
    t = pytest.importorskip("transformers")
    model = t.ViTForImageClassification(t.ViTConfig(**tiny_hf.TOWER, image_size=32, patch_size=8, num_labels=20))
    processor = t.ViTImageProcessor(size={"height": 32, "width": 32})
    return [f"transformers:{tiny_hf.save(folder / 'checkpoint-500', model, processor)}"]


@row("a CLIP, SigLIP, ALIGN or AltCLIP of transformers")
def _(folder: Path) -> list[str]:
    return [f"transformers:{tiny_hf.save(folder / kind, *tiny_hf.towers(kind))}" for kind in ("clip", "siglip")]


@row("a DINOv2, DINOv3, ViT or ViT-MAE backbone of transformers")
def _(folder: Path) -> list[str]:
    places = [tiny_hf.save(folder / kind, *tiny_hf.backbone(kind)) for kind in ("dinov2", "vit_mae")]
    return [*(f"transformers:{place}" for place in places), f"transformers:{places[0]}#mean"]


@row("a LoRA adapter")
def _(folder: Path) -> list[str]:
    t, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    base = t.ViTForImageClassification(t.ViTConfig(**tiny_hf.TOWER, image_size=32, patch_size=8, num_labels=7))
    place = tiny_hf.save(folder / "base", base, t.ViTImageProcessor(size={"height": 32, "width": 32}))
    names = {name.rpartition(".")[2] for name, m in base.named_modules() if isinstance(m, torch.nn.Linear)}
    config = peft.LoraConfig(r=2, target_modules=sorted(names - {"classifier"}), modules_to_save=["classifier"])
    adapted = peft.get_peft_model(base, config)
    adapted.peft_config["default"].base_model_name_or_path = str(place)
    adapted.save_pretrained(folder / "lora")
    return [f"transformers:{folder / 'lora'}"]


@row("a model to be read at another image size")
def _(folder: Path) -> list[str]:
    spec = f"timm:test_vit@{saved(vit().state_dict(), folder)}"
    command = ["register", "larger", "--like", spec, "--pixels", "resize=192,crop=192"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0 and "larger: heads: native, linear-probe" in result.output, result.output
    assert "try: effrob eval --model larger --head native" in result.output
    return ["larger"]


@row("a network in Python")
def _(folder: Path) -> list[str]:
    (folder / "nets.py").write_text(
        "import torch\n\ndef build():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))\n"
    )
    pixels = "resize=8,crop=8,interpolation=bilinear,mean=0.5,std=0.5"
    result = CliRunner().invoke(main, ["register", "mine", "--loader", f"{folder}/nets.py:build", "--pixels", pixels])
    assert result.exit_code == 0 and "0.0 M parameters, pictures of 8x8, 192 features" in result.output, result.output
    return ["mine"]


@row("an ONNX graph, or a program of torch.export")
def _(folder: Path) -> list[str]:
    for name in ("net.onnx", "net.pt2"):
        (folder / name).write_bytes(b"\x08\x07")
        with pytest.raises(ModelError, match="state_dict"):
            model_zoo.load(f"timm:test_vit@{folder / name}")
    return [f"timm:test_vit@{saved(vit().state_dict(), folder)}"]


def test_the_table_and_the_tests_have_the_same_rows() -> None:
    assert set(table()) == set(ROWS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("have", ROWS)
def test_a_row_is_typed_as_written_and_proved(have: str, tmp_path: Path) -> None:
    for spec in ROWS[have](tmp_path):
        encoder = model_zoo.load(spec)
        proof = prove_encoder(encoder)
        assert proof.wrong == () and (proof.text is None or proof.text < 1e-3)
        scheme = re.match(r"[a-z]+:", spec)
        if scheme is not None and not have.startswith("an ONNX"):
            assert f"`{scheme.group()}" in table()[have]


def test_a_layer_of_a_registered_model_suggests_a_head_that_learns(tmp_path: Path) -> None:
    spec = f"timm:test_vit@{saved(vit().state_dict(), tmp_path)}"
    result = CliRunner().invoke(main, ["register", "layered", "--like", spec, "--features", "norm"])
    assert result.exit_code == 0, result.output
    assert "try: effrob eval --model layered --head linear-probe" in result.output


def test_a_model_that_cannot_be_used_is_not_registered(tmp_path: Path) -> None:
    state = {name: value * float("nan") for name, value in vit().state_dict().items()}
    result = CliRunner().invoke(main, ["register", "torn", "--like", f"timm:test_vit@{saved(state, tmp_path)}"])
    assert result.exit_code == 2 and "not finite" in result.output and "torn" not in model_zoo.names()


def test_the_proof_is_kept_and_shown(tmp_path: Path) -> None:
    spec = f"timm:test_vit@{saved(vit().state_dict(), tmp_path)}"
    before = CliRunner().invoke(main, ["models", spec, "--json"])
    assert json.loads(before.stdout)[0]["proof"] is None
    made = CliRunner().invoke(main, ["models", spec, "--prove"])
    assert f"as timm {timm.__version__}: pixels within 0 grey levels" in made.stdout
    after = json.loads(CliRunner().invoke(main, ["models", spec, "--json"]).stdout)[0]["proof"]
    assert after["pixels"] == 0 and after["scores"] < 1e-5 and after["wrong"] == []


def test_a_name_that_boards_list_is_shown() -> None:
    shown = CliRunner().invoke(main, ["models", "openclip:ViT-B-32@openai", "--json"])
    facts = json.loads(shown.stdout)[0]
    assert facts["model"] == "openclip:ViT-B-32-quickgelu@openai" and facts["published"]

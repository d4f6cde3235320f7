"""Registered models: kept in the user's file, resolved again, and refused where they do not hold."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from torch import nn

import model_zoo
from model_zoo import ModelError, PixelSpec, Registration, UnknownModel, registration

PIXELS = "resize=40,crop=32,interpolation=bilinear,mean=0.5,std=0.5"
SPEC = PixelSpec((32, 32), (40, 40), interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU())
        self.fc = nn.Linear(8, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(x).mean(dim=(2, 3)))


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of loaders, as the current folder."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "sibling_of_my_nets.py").write_text("WIDTH = 8\n")
    (folder / "script.py").write_text("import sys\nsys.exit('usage: give me weights')\n")
    (folder / "my_nets.py").write_text(
        textwrap.dedent("""
        from pathlib import Path
        import torch
        from torch import nn
        from sibling_of_my_nets import WIDTH

        def plain():
            torch.manual_seed(0)
            body = nn.Conv2d(3, WIDTH, 4, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
            return nn.Sequential(*body, nn.Linear(WIDTH, 1000))

        def with_file():
            net = plain()
            net.load_state_dict(torch.load(Path(__file__).parent / "w.pt", weights_only=True))
            return net

        def broken():
            raise RuntimeError("no such luck")

        def leaves():
            raise SystemExit(0)

        def number():
            return 3

        def unseeded():
            torch.seed()
            return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1000))

        constant = 3
        """)
    )
    monkeypatch.chdir(folder)
    yield folder
    for name in ("my_nets", "sibling_of_my_nets"):
        sys.modules.pop(name, None)


def test_round_trip(tower: Any, own_configuration: Path) -> None:
    config, weights, model = tower("clip")
    record = Registration(
        "my-clip", checkpoint=str(weights), arch=str(config), trained_on="cc12m", images=10, loss="contrastive"
    )
    identity = model_zoo.save_registration(record)
    assert str(identity.spec) == identity.asked == "my-clip"
    assert registration.saved()["my-clip"].trained_on == "cc12m"
    assert model_zoo.identify("my-clip") == identity
    assert model_zoo.names() == ["my-clip"]
    encoder = model_zoo.load("my-clip")
    pictures = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(encoder.embed(pictures), model.encode_image(pictures))
    assert encoder.identity == identity
    assert identity.digest == model_zoo.identify(f"openclip:{config}@{weights}").digest
    assert [path.name for path in own_configuration.iterdir() if path.suffix != ".lock"] == ["models.json"]


def test_paths_are_made_absolute(tower: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config, weights, _ = tower("clip")
    monkeypatch.chdir(weights.parent)
    model_zoo.save_registration(Registration("my-clip", checkpoint=weights.name, arch=config.name))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert model_zoo.identify("my-clip").digest == model_zoo.identify(f"openclip:{config}@{weights}").digest


def test_another_checkpoint_of_a_registered_model(tower: Any, tmp_path: Path) -> None:
    config, weights, model = tower("clip")
    model_zoo.save_registration(Registration("my-clip", checkpoint=str(weights), arch=str(config)))
    with torch.no_grad():
        model.visual.proj.mul_(2)
    torch.save(model.state_dict(), tmp_path / "later.pt")
    first, later = model_zoo.identify("my-clip"), model_zoo.identify(f"my-clip@{tmp_path / 'later.pt'}")
    assert first.digest != later.digest
    assert str(later.spec) == f"my-clip@{tmp_path / 'later.pt'}"


def test_taken_names_need_replace(tower: Any) -> None:
    config, weights, _ = tower("clip")
    record = Registration("my-clip", checkpoint=str(weights), arch=str(config))
    model_zoo.save_registration(record)
    with pytest.raises(ModelError, match="registered already"):
        model_zoo.save_registration(record)
    with pytest.raises(ModelError, match="registered already"):
        model_zoo.register("my-clip", Net, pixels=SPEC)
    model_zoo.save_registration(
        Registration("my-clip", checkpoint=str(weights), arch=str(config), loss="other"), replace=True
    )
    assert registration.saved()["my-clip"].loss == "other"


def test_like_takes_architecture_and_pixels_and_a_change_of_them(tmp_path: Path) -> None:
    name = "test_vit.r160_in1k"
    torch.save(timm.create_model(name).state_dict(), tmp_path / "w.pt")
    base = model_zoo.identify(f"timm:{name}@{tmp_path / 'w.pt'}")
    same = model_zoo.save_registration(Registration("same", checkpoint=str(tmp_path / "w.pt"), like=f"timm:{name}"))
    assert (same.pixels, same.digest, same.n_classes) == (base.pixels, base.digest, 1000)
    changed = Registration(
        "changed", checkpoint=str(tmp_path / "w.pt"), like=f"timm:{name}", pixels="interpolation=bilinear,resize=200"
    )
    pixels = model_zoo.save_registration(changed).pixels
    assert (pixels.interpolation, pixels.resize, pixels.size) == ("bilinear", (200, 200), base.pixels.size)


def test_positions_are_resized_by_the_library_for_other_pixels(tower: Any) -> None:
    from open_clip.factory import resize_pos_embed

    config, weights, model = tower("clip")
    record = Registration("big", checkpoint=str(weights), arch=str(config), pixels="resize=64,crop=64")
    model_zoo.save_registration(record)
    encoder = model_zoo.load("big")
    changed = json.loads(config.read_text())
    changed["vision_cfg"]["image_size"] = 64
    larger = open_clip.CLIP(**changed).eval()
    state = model.state_dict()
    resize_pos_embed(state, larger)
    larger.load_state_dict(state)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(encoder.embed(pictures), larger.encode_image(pictures), atol=1e-5)


def test_pixels_a_network_cannot_take_are_refused() -> None:
    model_zoo.register("fixed", lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 5)), pixels=SPEC)
    with pytest.raises(ModelError, match=r"fixed.* does not take pictures of"):
        model_zoo.load("fixed")


@pytest.mark.parametrize(("layer", "dim"), [("norm", 64), ("blocks.0", 64), ("patch_embed", 64)])
def test_features_at_a_layer(tmp_path: Path, layer: str, dim: int) -> None:
    network = timm.create_model("test_vit.r160_in1k").eval()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    record = Registration("layered", checkpoint=str(tmp_path / "w.pt"), like="timm:test_vit.r160_in1k", features=layer)
    identity = model_zoo.save_registration(record)
    assert (identity.layer, identity.n_classes, identity.has_text) == (layer, None, False)
    encoder = model_zoo.load("layered")
    assert (encoder.kind, encoder.dim, encoder.classifier) == ("penultimate", dim, None)
    model_zoo.check_encoder(encoder)
    if layer == "norm":
        pictures = torch.randn(2, 3, 160, 160)
        with torch.inference_mode():
            assert torch.allclose(encoder.embed(pictures), network.forward_features(pictures)[:, 0], atol=1e-6)


def test_an_unknown_layer_suggests_near_ones(tmp_path: Path) -> None:
    model_zoo.register("layered", Net, pixels=SPEC, features="boody")
    with pytest.raises(ModelError, match="near: body"):
        model_zoo.load("layered")


def test_register_in_process() -> None:
    model_zoo.register("mine", Net, pixels=SPEC)
    identity = model_zoo.identify("mine")
    assert (identity.pixels, identity.n_classes, str(identity.spec)) == (SPEC, 1000, "mine")
    encoder = model_zoo.load("mine")
    assert (encoder.kind, encoder.dim) == ("penultimate", 8)
    pictures = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        logits = encoder.embed(pictures) @ encoder.classifier.weight.T + encoder.classifier.bias
        assert torch.allclose(logits, Net()(pictures), atol=1e-6)
    assert encoder.identity.digest == identity.digest
    model_zoo.load("mine")  # the loader is called again, and gives the same weights
    model_zoo.register("other", lambda: Net(seed=1), pixels=SPEC)
    assert model_zoo.identify("other").digest != identity.digest


@pytest.mark.parametrize("where", ["module", "file"])
def test_loaders_by_name(networks: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = "my_nets:plain" if where == "module" else f"{networks / 'my_nets.py'}:plain"
    identity = model_zoo.save_registration(Registration("mine", loader=loader, pixels=PIXELS))
    assert (identity.pixels, identity.n_classes) == (SPEC, 1000)
    monkeypatch.chdir("/")
    encoder = model_zoo.load("mine")
    assert encoder.dim == 8
    model_zoo.check_encoder(encoder)


def test_a_loaders_hidden_weights_and_its_checkpoint_count(networks: Path) -> None:
    sys.path.insert(0, str(networks))
    import my_nets

    sys.path.remove(str(networks))
    net = my_nets.plain()
    torch.save(net.state_dict(), networks / "w.pt")
    model_zoo.save_registration(Registration("hidden", loader="my_nets.py:with_file", pixels=PIXELS))
    checkpointed = Registration("handed", loader="my_nets.py:plain", checkpoint="w.pt", pixels=PIXELS)
    before = model_zoo.identify("hidden").digest, model_zoo.save_registration(checkpointed).digest
    with torch.no_grad():
        net[3].bias.add_(1)
    torch.save(net.state_dict(), networks / "w.pt")
    from model_zoo.sources import from_callable

    from_callable._told.clear()  # as in a new process
    from_callable._waiting.clear()
    assert model_zoo.identify("hidden").digest != before[0]
    assert model_zoo.identify("handed").digest != before[1]
    with torch.inference_mode():
        assert torch.equal(model_zoo.load("handed").classifier.bias, net[3].bias)


def test_a_loader_that_is_never_the_same_is_refused_the_second_time(networks: Path) -> None:
    model_zoo.save_registration(Registration("mine", loader="my_nets:unseeded", pixels=PIXELS))
    assert model_zoo.load("mine").identity.digest == model_zoo.identify("mine").digest
    with pytest.raises(ModelError, match="other weights each time"):
        model_zoo.load("mine")


@pytest.mark.parametrize(
    ("loader", "told"),
    [
        ("my_nets", "MODULE:FUNCTION"),
        ("my_nets:plane", "near: plain"),
        ("my_nets:broken", "no such luck"),
        ("my_nets:leaves", "SystemExit"),
        ("script.py:f", "fails to import .SystemExit: usage: give me weights"),
        ("my_nets:number", "gives a int, wanted a torch.nn.Module"),
        ("my_nets:constant", "wanted a function"),
        ("no_such_module_here:f", "not in the current folder"),
        ("none.py:f", "does not exist"),
    ],
)
def test_loaders_that_do_not_work_say_why(networks: Path, own_configuration: Path, loader: str, told: str) -> None:
    with pytest.raises((ModelError, UnknownModel), match=told):
        model_zoo.save_registration(Registration("mine", loader=loader, pixels=PIXELS))
    assert not own_configuration.exists()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"arch": "ViT-B-32", "like": "timm:resnet50"}, "exactly one of"),
        ({}, "exactly one of"),
        ({"loader": "a:b"}, "--pixels"),
        ({"arch": "ViT-B-32", "supervision": "lables"}, "labels, captions, none"),
        ({"arch": "ViT-B-32", "images": -1}, "number of training images"),
    ],
)
def test_records_that_make_no_sense(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        Registration("mine", **fields)


@pytest.mark.parametrize("name", ["", "a:b", "a@b", "a b", "-x", "x" * 101, "<b>", "a/b"])
def test_names_that_cannot_stand_in_a_spec(name: str) -> None:
    with pytest.raises(ModelError):
        model_zoo.register(name, Net, pixels=SPEC)


def test_what_is_not_there_is_said(tmp_path: Path, tower: Any) -> None:
    with pytest.raises(UnknownModel, match="there is no checkpoint"):
        model_zoo.save_registration(Registration("mine", checkpoint="none.pt", arch="ViT-B-32"))
    with pytest.raises(UnknownModel, match="near: ViT-B-32"):
        model_zoo.save_registration(Registration("mine", arch="ViT-B-3"))
    with pytest.raises(UnknownModel, match="no model is registered as 'mine'"):
        model_zoo.identify("mine")
    config, weights, _ = tower("clip")
    model_zoo.save_registration(Registration("mine", checkpoint=str(weights), arch=str(config)))
    with pytest.raises(UnknownModel, match="near: mine"):
        model_zoo.identify("mien")
    with pytest.raises(ModelError, match="mine@FILE"):
        model_zoo.save_registration(Registration("second", like="mine"))
    weights.unlink()
    with pytest.raises(UnknownModel, match="is not there: register it again"):
        model_zoo.identify("mine")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": 2, "models": {}}', '{"schema": 1, "models": {"a": {}}}']
)
def test_a_damaged_file_is_named(own_configuration: Path, content: str) -> None:
    own_configuration.mkdir()
    (own_configuration / "models.json").write_text(content)
    with pytest.raises(ModelError, match=r"models\.json|exactly one"):
        model_zoo.identify("mine")


def test_the_file_is_plain_json(tower: Any, own_configuration: Path) -> None:
    config, weights, _ = tower("clip")
    model_zoo.save_registration(Registration("my-clip", checkpoint=str(weights), arch=str(config)))
    content = json.loads((own_configuration / "models.json").read_text())
    assert content == {
        "schema": 1,
        "models": {"my-clip": {"name": "my-clip", "checkpoint": str(weights), "arch": str(config)}},
    }


class Answers(Net):
    """Its logits, as `how` makes them."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.how(super().forward(x))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda logits: {}["logits"], "KeyError: 'logits'"),
        (lambda logits: logits.nothing, "AttributeError"),
        (lambda logits: {"logits": logits}, "gives a dict for two pictures"),
        (lambda logits: logits[0], r"torch.float32 of shape \(1000,\)"),
        (lambda logits: logits.to(torch.complex64), "complex64"),
    ],
)
def test_a_network_that_cannot_be_run_is_named(how: Any, told: str) -> None:
    model_zoo.register("odd", lambda: Answers(how), pixels=SPEC)
    with pytest.raises(ModelError, match=f"odd.*{told}"):
        model_zoo.load("odd")


@pytest.mark.parametrize("how", [torch.Tensor.half, lambda logits: (logits * 1000).long()])
def test_logits_of_another_number_type_are_taken(how: Any) -> None:
    model_zoo.register("odd", lambda: Answers(how), pixels=SPEC)
    with torch.inference_mode():
        features = model_zoo.load("odd").embed(torch.randn(2, 3, 32, 32))
    assert features.dtype == torch.float32 and features.shape[0] == 2


def test_registrations_made_at_once_are_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    read = registration.saved

    def slowly() -> dict[str, Registration]:
        records = read()
        time.sleep(0.02)
        return records

    monkeypatch.setattr(registration, "saved", slowly)
    records = [Registration(f"net-{k}", like="timm:resnet18") for k in range(5)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(registration.save, records))
    assert sorted(read()) == [record.name for record in records]


@pytest.mark.parametrize("text", ["my_nets.py:plain", "some/where/nets.py:plain", "package.nets:plain"])
def test_a_loader_where_a_model_is_wanted_names_the_command(text: str) -> None:
    with pytest.raises(ModelError, match="effrob register NAME --loader"):
        model_zoo.identify(text)

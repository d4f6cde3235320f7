"""Libraries imported without torch's compiler: what they took from it still answers as it would have."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from model_zoo.compiler import ASKED, COMPILER, compiler_on_demand

IN_A_NEW_PROCESS = """
import sys
import model_zoo.providers
from effrob.features.libraries import decode_jpeg, torchvision
for scheme in ("openclip", "timm", "torchvision", "pocket"):
    model_zoo.providers.provider(scheme)
assert {"torchvision", "timm", "open_clip"} <= sys.modules.keys()
assert not [name for name in sys.modules if name.startswith("torch._dynamo")], "the compiler was loaded"

import timm, torch
from timm.layers import disable_compiler
from timm.models.naflexvit import NaFlexVit, NaFlexVitCfg

@disable_compiler
def compiling(x):
    "whether it is traced, after a change that a trace would keep"
    return x + 1, torch.compiler.is_compiling()

from model_zoo.compiler import compiler_on_demand
with compiler_on_demand():
    @torch.compiler.disable(recursive=True)
    def asked_with_options(x):
        return torch.compiler.is_compiling()
assert not [name for name in sys.modules if name.startswith("torch._dynamo")], "the compiler was loaded"
assert compiling(torch.zeros(1))[1] is False
with compiler_on_demand():
    @torch.compiler.disable
    class Base(torch.nn.Module):
        pass
    class Net(Base):
        pass
    linear = torch.compiler.disable(torch.nn.Linear(2, 2))
assert isinstance(Net(), torch.nn.Module) and len(list(linear.parameters())) == 2
assert torch.compile(lambda x: asked_with_options(x), backend="eager")(torch.ones(1)) is False
inside = torch.compile(lambda x: (compiling(2 * x), torch.compiler.is_compiling()), backend="eager")
(value, traced), around = inside(torch.ones(1))
assert float(value) == 3 and traced is False and around is True, (value, traced, around)

torch.manual_seed(0)
network = NaFlexVit(NaFlexVitCfg(embed_dim=32, depth=1, num_heads=2, patch_size=16), num_classes=3).eval()
picture = torch.rand(2, 3, 64, 64)
with torch.inference_mode():
    assert torch.equal(torch.compile(network, backend="eager")(picture), network(picture))

from torch._dynamo.utils import is_compile_supported
asked = sys.modules["torchvision.ops.roi_align"].is_compile_supported
assert asked is not is_compile_supported
for device in ("cpu", "cuda", "meta"):
    assert asked(device) == is_compile_supported(device)
torchvision.ops.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5)
"""


def test_models_load_without_the_compiler_and_compile_as_ever() -> None:
    there = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS], env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_whatever_else_is_asked_for_is_the_real_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(COMPILER)]:
        monkeypatch.delitem(sys.modules, name)
    real = ModuleType(ASKED)
    real.counters = {"frames": 1}  # type: ignore[attr-defined]
    monkeypatch.setattr("model_zoo.compiler.importlib.import_module", lambda name: {ASKED: real}[name])
    before = torch.compiler.disable
    with compiler_on_demand():
        from torch._dynamo.utils import counters

        assert counters is real.counters and ASKED not in sys.modules
        assert torch.compiler.disable is not before
    assert torch.compiler.disable is before


def test_nothing_stays_changed_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(COMPILER)]:
        monkeypatch.delitem(sys.modules, name)
    before = torch.compiler.disable
    with pytest.raises(ImportError, match="no such library"), compiler_on_demand():
        assert ASKED in sys.modules
        raise ImportError("no such library")
    assert ASKED not in sys.modules and torch.compiler.disable is before


def test_nothing_stays_changed_after_two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(COMPILER)]:
        monkeypatch.delitem(sys.modules, name)
    before = torch.compiler.disable
    first, second = compiler_on_demand(), compiler_on_demand()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # the one that came first leaves first
    assert ASKED in sys.modules and torch.compiler.disable is not before
    second.__exit__(None, None, None)
    assert ASKED not in sys.modules and torch.compiler.disable is before


def test_a_compiler_that_is_loaded_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = ModuleType(ASKED)
    monkeypatch.setitem(sys.modules, COMPILER, ModuleType(COMPILER))
    monkeypatch.setitem(sys.modules, ASKED, loaded)
    before = torch.compiler.disable
    with compiler_on_demand():
        assert sys.modules[ASKED] is loaded and torch.compiler.disable is before

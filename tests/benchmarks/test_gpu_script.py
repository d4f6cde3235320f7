"""The GPU's benchmark: it says what it needs where there is no GPU, and its whole path runs on a processor."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import gpu
from model_zoo.encoder import Encoder, Identity
from model_zoo.spec import parse


def test_without_a_gpu_it_says_how_to_try_it_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit) as stopped:
        gpu.main()
    assert stopped.value.code == 2 and "--device cpu --images 32 --batch-size 8" in capsys.readouterr().err


def test_the_table_is_filled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tower(arch: str, device: torch.device) -> Encoder:
        module = nn.Sequential(nn.Conv2d(3, 4, 32, 32), nn.Flatten(), nn.Linear(4 * 49, 8)).eval()
        identity = Identity(parse(f"openclip:{arch}@random"), arch, arch, gpu.SPEC)
        return Encoder(identity, device, module, "image-embedding", 8, module=module)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu, "image_tower", tower)
    options = ["--device", "cpu", "--models", "tiny", "--images", "16", "--batch-size", "8", "--precision", "fp32"]
    monkeypatch.setattr(sys, "argv", ["gpu", *options])
    gpu.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| tiny")]
    assert [line.split(" | ")[1] for line in lines] == ["fast", "exact"]
    rows = json.loads((tmp_path / "build" / "gpu.json").read_text())
    assert all(float(row[name]) > 0 for row in rows for name in ("img/s", "decode", "forward"))

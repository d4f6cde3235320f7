"""The GPU's benchmark: it says what it needs where there is no GPU, and its whole path runs on a processor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import gpu
from model_zoo.encoder import Encoder, Identity
from model_zoo.spec import parse

CPU = torch.device("cpu")


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
    assert [line.split(" | ")[1] for line in lines] == ["fast", "exact", "nvjpeg"]
    kept = json.loads((tmp_path / "build" / "gpu.json").read_text())
    assert all(row[name] > 0 for row in kept["rows"] for name in ("images", "reached", "decode", "forward"))
    page = (tmp_path / "build" / "gpu.md").read_text()
    assert kept["about"] in page and all(line in page for line in lines)


def test_a_short_budget_takes_fewer_images_and_names_what_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a clock that only work moves: 10 images a second of every kind, a minute in all, 10 s to make a model."""
    now = [0.0]
    passed: list[int] = []

    def worked(count: int, work: object, device: torch.device) -> float:
        now[0] += count / 10
        passed.append(count)
        return 10.0

    def tower(arch: str, device: torch.device) -> SimpleNamespace:
        now[0] += 10.0
        return SimpleNamespace(device=device)

    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(gpu, "rate", worked)
    monkeypatch.setattr(gpu, "image_tower", tower)
    monkeypatch.setattr(
        gpu, "forward", lambda encoder, size, precision, seconds: worked(8 + int(10 * seconds(0.8)), None, CPU)
    )
    for name in ("decoding", "whole"):
        monkeypatch.setattr(gpu, name, lambda *about: None)
    options = ["--device", "cpu", "--models", "a", "b", "c", "d", "e", "f", "--minutes", "1", "--images", "20000"]
    monkeypatch.setattr(sys, "argv", ["gpu", *options, "--batch-size", "8", "--out", str(tmp_path / "t")])
    gpu.main()
    rows = json.loads((tmp_path / "t" / "gpu.json").read_text())["rows"]
    assert len(rows) == 18 and now[0] <= 61
    left_out = [row for row in rows if row["reached"] is None]
    assert left_out and all(row["why"].startswith("no time was left") for row in left_out)
    assert "left out: no time was left" in (tmp_path / "t" / "gpu.md").read_text()
    monkeypatch.setattr(
        sys, "argv", ["gpu", *options[:4], *options[9:], "--batch-size", "2", "--out", str(tmp_path / "u")]
    )
    now[0] = 0.0
    gpu.main()
    rows = json.loads((tmp_path / "u" / "gpu.json").read_text())["rows"]
    assert len(rows) == 3 and all(4 <= row["images"] < 20_000 for row in rows) and now[0] <= 60

"""Globs and ranges as series; mixtures whose weights are what the spec says, from networks and from towers with text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import effrob
import model_zoo
from effrob.cli import main
from effrob.evaluation.worker import ENCODERS
from effrob.results.lineage import lineage_of
from effrob.results.model_result import of_records
from effrob.results.select import read_records
from effrob.robustness.baselines.built import load
from effrob.robustness.baselines.catalogue import baseline
from model_zoo.mixtures.specs import mixture

NETS = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.ReLU(), nn.Linear(16, 20))
"""
PIXELS = "resize=8,crop=8,interpolation=bilinear,mean=0.5,std=0.5"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three checkpoints of a registered network."""
    import sys

    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "runs").mkdir()
    names: dict[str, Any] = {}
    exec(NETS, names)
    for number in (1, 2, 10):
        torch.manual_seed(number)
        state = {name: torch.randn_like(tensor) / 5 for name, tensor in names["build"]().state_dict().items()}
        torch.save(state, tmp_path / "runs" / f"ep{number}.pt")
    done = CliRunner().invoke(main, ["register", "net", "--loader", "nets.py:build", "--pixels", PIXELS])
    assert done.exit_code == 0, done.output + done.stderr
    yield tmp_path / "runs"
    ENCODERS.clear()
    for name in [name for name in sys.modules if name.startswith("effrob_loader_nets")]:
        del sys.modules[name]


def weights(spec: str) -> torch.Tensor:
    """A mixture's first layer, and with it all that made it."""
    module = model_zoo.load(spec).module
    assert module is not None
    return next(module.parameters()).detach()


def test_a_glob_is_its_files_by_number_and_a_range_its_shares(runs: Path) -> None:
    assert model_zoo.expand(f"net@{runs}/ep*.pt") == tuple(f"net@{runs}/ep{n}.pt" for n in (1, 2, 10))
    assert model_zoo.expand("mix:a,b@0:1:0.25") == tuple(
        f"mix:a,b@{share}" for share in ("0", "0.25", "0.5", "0.75", "1")
    )
    assert model_zoo.expand(f"mix:net@{runs}/ep*.pt") == (f"mix:{','.join(model_zoo.expand(f'net@{runs}/ep*.pt'))}",)
    for spec in ("openclip:ViT-B-32@openai", "pocket:mlp", f"net@{runs}/ep1.pt"):
        assert model_zoo.expand(spec) == (spec,)
    refused = {f"net@{runs}/none*.pt": "no file matches", "mix:a,b@0:2:0.5": "within 0 and 1", "mix:a,b@0:1:0": "FIRST"}
    for spec, said in refused.items():
        with pytest.raises((model_zoo.ModelError, model_zoo.UnknownModel), match=said):
            model_zoo.expand(spec)
    assert mixture("a@x.pt,b@0.25").shares == (0.75, 0.25) and mixture("a,b,c,d").shares == (0.25,) * 4
    assert str(model_zoo.parse("mix:a@x,b@y@0.5")) == "mix:a@x,b@y@0.5"


def test_a_mixture_has_the_weights_between(runs: Path) -> None:
    first, second = (f"net@{runs}/ep{n}.pt" for n in (1, 2))
    a, b = weights(first), weights(second)
    assert torch.equal(weights(f"mix:{first},{second}@0"), a) and torch.equal(weights(f"mix:{first},{second}@1"), b)
    assert torch.allclose(weights(f"mix:{first},{second}@0.3"), 0.7 * a + 0.3 * b, atol=1e-7)
    soup = weights(f"mix:net@{runs}/ep1.pt,net@{runs}/ep2.pt,net@{runs}/ep10.pt")
    assert torch.allclose(soup, (a + b + weights(f"net@{runs}/ep10.pt")) / 3, atol=1e-7)
    digests = {model_zoo.identify(f"mix:{first},{second}@{share}").digest for share in (0, 0.3, 1)}
    assert len(digests) == 3


def test_what_cannot_be_mixed_is_a_sentence(runs: Path) -> None:
    cases = {
        f"mix:net@{runs}/ep1.pt,pocket:mlp@0.5": "differ in",
        "mix:pocket:mlp,pocket:lenet@0.5": "not of one architecture",
        "mix:pocket:mlp,pocket:mlp@1.5": "between 0 and 1",
        "mix:pocket:mlp": "mix:A,B@ALPHA",
    }
    for spec, said in cases.items():
        with pytest.raises(model_zoo.ModelError, match=said):
            model_zoo.load(spec)


def test_towers_are_mixed_with_their_text(tiny_clip: str, tmp_path: Path) -> None:
    head, _, file = tiny_clip.rpartition("@")
    state = torch.load(file, weights_only=True)["state_dict"]
    torch.manual_seed(4)
    other = {name: t + 0.1 * torch.randn_like(t) if t.is_floating_point() else t for name, t in state.items()}
    torch.save({"state_dict": other}, tmp_path / "other.pt")
    halfway = {name: (t.double() / 2 + other[name].double() / 2).to(t.dtype) for name, t in state.items()}
    torch.save({"state_dict": halfway}, tmp_path / "half.pt")
    mixed = model_zoo.load(f"mix:{tiny_clip},{head}@{tmp_path / 'other.pt'}@0.5")
    wanted = model_zoo.load(f"{head}@{tmp_path / 'half.pt'}")
    pictures = torch.randn(3, 3, *wanted.pixels.size)
    assert mixed.text is not None and wanted.text is not None
    tokens = wanted.text.tokenize(["a photo of a cat."])
    with torch.inference_mode():
        assert torch.allclose(mixed.embed(pictures), wanted.embed(pictures), atol=1e-5)
        assert torch.allclose(mixed.text.embed(tokens), wanted.text.embed(tokens), atol=1e-5)
    assert mixed.text.digest == mixed.identity.digest != wanted.identity.digest


def test_series_are_evaluated_in_order_count_as_one_family_and_are_joined(
    runs: Path, pocket_data: Path, tmp_path: Path
) -> None:
    spec, before = f"net@{runs}/ep*.pt", {path: path.stat().st_mtime_ns for path in runs.iterdir()}
    common = ["--data", str(pocket_data), "--results", "r", "--cache", "c", "--shift", "pocket-sketch", "--limit", "60"]
    mixed = f"mix:net@{runs}/ep1.pt,net@{runs}/ep2.pt@0:1:0.5"
    words = ["eval", "--suite", "pocket", "--model", spec, "--model", mixed, "--head", "native", *common, "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output + done.stderr
    rows = json.loads(done.stdout)
    assert [row["model"] for row in rows] == [*model_zoo.expand(spec), *model_zoo.expand(mixed)]
    first, _, third = (np.load(Path(row["record"]) / "predictions.npz")["predicted"] for row in rows[3:])
    assert np.array_equal(first, np.load(Path(rows[0]["record"]) / "predictions.npz")["predicted"])
    assert np.array_equal(third, np.load(Path(rows[1]["record"]) / "predictions.npz")["predicted"])
    records = read_records(tmp_path / "r")
    families = {stored.record.asked.model: of_records([stored]).family for stored in records}
    assert {families[model] for model in model_zoo.expand(spec)} == {spec} and families[rows[4]["model"]] == mixed
    assert {path: path.stat().st_mtime_ns for path in runs.iterdir()} == before
    assert len(effrob.read(tmp_path / "r")) == 6
    drawn = {}
    for words in ([], ["--connect"]):
        out = tmp_path / f"f{len(words)}.svg"
        done = CliRunner().invoke(main, ["plot", "--results", "r", "--published", "none", "--out", str(out), *words])
        assert done.exit_code == 0, done.stderr
        drawn[len(words)] = out.read_text().count("<path")
    assert drawn[1] == drawn[0] + 2


def test_a_baseline_of_two_series_has_two_families(runs: Path, pocket_data: Path, tmp_path: Path) -> None:
    spec, mixed = f"net@{runs}/ep*.pt", f"mix:net,net@{runs}/ep2.pt@0.1:0.9:0.4"
    (tmp_path / "specs.txt").write_text(f"{mixed}\n")
    words = [
        "baseline",
        "build",
        "mine",
        "--suite",
        "pocket",
        "--model",
        spec,
        "--model",
        "@specs.txt",
        "--shift",
        "pocket-sketch",
    ]
    common = ["--data", str(pocket_data), "--results", "r", "--cache", "c", "--out", "baselines"]
    done = CliRunner().invoke(main, [*words, *common])
    assert done.exit_code == 0, done.output + done.stderr
    assert "6 models of 2 families" in done.output
    made = load(tmp_path / "baselines" / "mine")
    assert made.models == (*model_zoo.expand(spec), *model_zoo.expand(mixed))
    assert made.families == (run := f"{tmp_path}/nets.py:build, {runs}/#", f"net and {run}")
    assert lineage_of(f"mix:net@{runs}/ep1.pt,net@{runs}/ep10.pt") == run  # a soup of one run is no new witness
    assert set(baseline("measured", tmp_path / "r").families) == set(made.families)
    joined = baseline("measured", tmp_path / "r", ["mix:*=net", "net@*=net"])
    assert joined.families == ("net",) and set(joined.models) == set(made.models)
    few = CliRunner().invoke(main, [*words[:6], spec, *common[:-1], "other"])
    assert few.exit_code == 2 and "at least 5 models" in few.output + few.stderr
    fitted = ["fit", "--shift", "pocket-sketch", "--results", "r", "--json"]
    found = [
        CliRunner().invoke(main, [*fitted, "--baseline", "measured", *more]) for more in ([], ["--family", "*=net"])
    ]
    assert [json.loads(each.stdout)[0]["families"] for each in found] == [2, 1]
    wrong = CliRunner().invoke(main, [*fitted, "--family", "*=net"])
    assert wrong.exit_code == 2 and "--baseline measured" in wrong.output + wrong.stderr

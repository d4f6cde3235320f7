"""A suite of one's own, from a TOML file to rows, baseline, board and figure: drawn sets, and PACS where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result as Ran

import shifts
from effrob.cli import main
from effrob.evaluation.data import load_declared, load_shift
from effrob.evaluation.worker import ENCODERS
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.fit import fit
from effrob.robustness.significance import reference_distance

ROOT = Path(__file__).resolve().parents[2]
DRAWN = """
[suite]
name = "drawn"
title = "Drawings"
clean = "plain"
shifts = ["sketched"]
diagnostic = ["rendered"]
train = { from = "plain", share = 0.5, seed = 1 }
classes = "pocket"
reference = "pocket:clip"
[sets.plain]
folder = "pocket/val"
[sets.sketched]
folder = "pocket-sketch"
title = "Sketched"
[sets.rendered]
folder = "pocket-r"
"""
MEMBERS = ("linear", "mlp", "lenet", "lenet-quarter", "cnn-tiny", "cnn-small")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr("shifts.declared.suites._declared", {})
    for name in ("CONFIG", "BASELINES", "CACHE"):
        monkeypatch.setenv(f"EFFROB_{name}", str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    yield
    load_shift.cache_clear()
    load_declared.cache_clear()
    ENCODERS.clear()


def run(*words: str) -> Ran:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 0, (words, done.output, done.stderr)
    return done


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    file = tmp_path / "drawn.toml"
    file.write_text(DRAWN)
    return file


def test_sets_of_a_file_give_the_numbers_of_the_shipped_suite(drawn: Path, pocket_data: Path) -> None:
    """The same images under another suite: less the training part of the clean set, and read from the same cached features."""
    common = ["eval", "--model", "pocket:lenet", "--data", str(pocket_data), "--head", "native", "--json"]
    shipped = json.loads(run(*common, "--suite", "pocket", "--shift", "pocket-sketch", "--shift", "pocket-r").stdout)
    own = json.loads(run(*common, "--suite", str(drawn)).stdout)
    assert [row["shift"] for row in own] == ["drawn/plain", "drawn/sketched", "drawn/rendered"]
    for one, other in zip(shipped, own[1:]):
        assert (one["n"], one["n_correct"], one["n_correct"] / one["n"]) == (
            other["n"],
            other["n_correct"],
            other["accuracy"],
        )
        first, second = (np.load(Path(row["record"]) / "predictions.npz") for row in (one, other))
        assert np.array_equal(first["predicted"], second["predicted"]) and np.array_equal(first["id"], second["id"])
    plain = shifts.load_suite(drawn, pocket_data)["plain"]
    assert own[0]["n"] == len(plain) < 0.6 * len(shifts.load("pocket", root=pocket_data))
    assert "effrob baseline build drawn --suite" in own[1]["why_not"]


def test_a_suite_goes_through_every_command_under_its_own_name(drawn: Path, pocket_data: Path, tmp_path: Path) -> None:
    data = ["--data", str(pocket_data)]
    assert "added drawn" in run("suite", "add", str(drawn)).output
    assert "drawn/train" in run("suite", "check", "drawn", *data).output
    models = [word for name in MEMBERS for word in ("--model", f"pocket:{name}")]
    run("baseline", "build", "drawn", "--suite", "drawn", *data, "--head", "linear-probe@1", *models)
    made = baseline("drawn")
    assert made.reference is not None and made.reference.model == "pocket:clip" not in made.models
    point = made.reference.point("drawn/sketched", "clean")
    assert point is not None
    line, (x, y) = fit("drawn/sketched", made), point
    # Six hundred images do not tell it from the line, so it is no scale for others.
    assert reference_distance(line) is None and abs(line.effective_robustness(x.value, y.value)) < 0.05
    again = run(
        "eval", "--suite", "drawn", *data, "--model", "pocket:clip", "--head", "linear-probe@1", "--json"
    ).stdout
    assert json.loads(again)[1]["n_correct"] == y.n_correct
    rows = json.loads(
        run("eval", "--suite", "drawn", *data, "--model", "pocket:resnet", "--head", "linear-probe@1", "--json").stdout
    )
    assert {row["baseline"] for row in rows} == {"drawn"} and rows[1]["effective_robustness"] is not None
    board = run("leaderboard", "--published", "none").output
    assert "drawn suite" in board and "Sketched" in board and "ImageNet" not in board
    run("leaderboard", "--published", "none", "--format", "html", "--out", "site")
    assert "ImageNet" not in (tmp_path / "site" / "index.html").read_text().partition("<script")[0]
    run("plot", "--published", "none", "--shift", "drawn/sketched", "--out", "sketched.svg")
    assert "ImageNet" not in (tmp_path / "sketched.svg").read_text()
    assert "drawn/sketched" in run("compare", "pocket:resnet", "pocket:mlp").output
    assert "drawn/sketched" in run("fit", "--shift", "drawn/sketched", "--json").output


def test_records_tell_of_their_suite_where_its_file_is_not_known(drawn: Path, pocket_data: Path) -> None:
    run("eval", "--suite", str(drawn), "--model", "pocket:mlp", "--data", str(pocket_data), "--head", "native")
    drawn.unlink()
    shifts.declared.suites._declared.clear()  # type: ignore[attr-defined]
    assert "Sketched" in run("leaderboard", "--published", "none").output
    assert shifts.suite_of("drawn/sketched").title == "Drawings"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('clean = "plain"', 'clean = "plane"', "the set plane is used in [suite]"),
        ('folder = "pocket-sketch"', 'folder = "nowhere"', "nowhere is not there"),
        ('name = "drawn"', 'name = "pocket"', "ships"),
    ],
)
def test_what_is_wrong_with_a_suite_is_one_sentence(
    drawn: Path, pocket_data: Path, old: str, new: str, said: str
) -> None:
    drawn.write_text(DRAWN.replace(old, new))
    commands = [["suite", "check", str(drawn), "--data", str(pocket_data)]]
    if "ships" in said:
        commands += [["suite", "add", str(drawn)], ["suite", "show", str(drawn)]]
    for words in commands:
        done = CliRunner().invoke(main, words)
        assert done.exit_code in (1, 2) and said in done.output + done.stderr and "Traceback" not in done.output


def test_the_suite_in_the_documents_is_a_suite(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    (tmp_path / "pacs.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    suite = shifts.suite("pacs.toml")
    assert (
        suite.tests == ("pacs/photo", "pacs/art_painting", "pacs/cartoon", "pacs/sketch")
        and suite.train_set == "pacs/train"
    )


@pytest.mark.parametrize(("width", "size"), [("0.25", 128), ("0.5", 160), ("0.75", 192)])
def test_probes_on_pacs_are_those_of_scikit_learn(real: Path, tmp_path: Path, width: str, size: int) -> None:
    """Features by torchvision's transform and the bare network, the split by the rule in the documents."""
    import hashlib
    import importlib.util

    import torch
    from PIL import Image
    from sklearn.linear_model import LogisticRegression
    from torchvision import transforms

    data = real / "pacs"
    test_the_suite_in_the_documents_is_a_suite(tmp_path)
    pixels = f"resize={int(size / 0.875)},crop={size},interpolation=bilinear,mean=0.5,std=0.5"
    run(
        "register",
        "net",
        "--loader",
        f"{real / 'networks.py'}:mobilenet_v1_{width.replace('.', '')}_{size}",
        "--pixels",
        pixels,
    )
    common = ["--suite", "pacs.toml", "--data", str(data), "--model", "net", "--head", "linear-probe@1", "--json"]
    ours = {row["shift"]: 100 * row["accuracy"] for row in json.loads(run("eval", *common).stdout)}

    spec = importlib.util.spec_from_file_location("networks", real / "networks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.factory(f"mobilenet_v1_{width}_{size}")
    network.classifier = torch.nn.Identity()
    resize, crop = transforms.Resize(int(size / 0.875)), transforms.CenterCrop(size)
    prepare = transforms.Compose([resize, crop, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    classes = sorted(path.name for path in (data / "photo").iterdir())

    def read(domain: str) -> tuple[list[str], np.ndarray, np.ndarray]:
        files = sorted(path for path in (data / domain).rglob("*") if path.is_file())
        with torch.inference_mode():
            parts = [
                network(torch.stack([prepare(Image.open(file).convert("RGB")) for file in files[i : i + 64]])).numpy()
                for i in range(0, len(files), 64)
            ]
        ids = [file.relative_to(data / domain).as_posix() for file in files]
        return (
            ids,
            np.concatenate(parts).astype(np.float64),
            np.array([classes.index(file.parent.name) for file in files]),
        )

    ids, x, y = read("photo")
    inside = np.array(
        [int.from_bytes(hashlib.sha256(f"0:{id}".encode()).digest()[:8], "big") / 2**64 < 0.5 for id in ids]
    )
    probe = LogisticRegression(C=1.0, solver="newton-cg", max_iter=1000, tol=1e-10).fit(x[inside], y[inside])
    theirs = {"pacs/photo": 100 * probe.score(x[~inside], y[~inside])}
    for domain in ("art_painting", "cartoon", "sketch"):
        _, features, targets = read(domain)
        theirs[f"pacs/{domain}"] = 100 * probe.score(features, targets)
    assert ours == pytest.approx(theirs, abs=0.3)

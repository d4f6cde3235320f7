"""The import rule as an allow-list, circles, sizes and names, read from the source; and proof that each check can fail."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.import_graph import OURS, ROOT, circles, faces, graph, home, imports, modules, third_party, under

# A folder, or a module at a root -> what it may import: of ours, and of others. The longest name that fits a module counts.
ROOTS = "effrob.errors effrob.files"
NUMBERS = "numpy scipy pandas pyarrow platformdirs"
ALLOWED: dict[str, str] = {
    "effrob.__main__": "effrob.cli",
    "effrob.arithmetic": "torch",
    "effrob.errors": "",
    "effrob.files": "",
    "effrob.result_rows": f"{ROOTS} effrob.results effrob.robustness effrob.leaderboard pandas",
    "effrob.api": f"{ROOTS} effrob.result_rows effrob.evaluation effrob.results effrob.robustness effrob.leaderboard shifts "
    "model_zoo",
    "effrob.cli": f"{ROOTS} effrob.analysis effrob.explain effrob.api effrob.evaluation effrob.features effrob.heads "
    "effrob.leaderboard effrob.results effrob.robustness effrob.studies model_zoo shifts click tqdm",
    "effrob.explain": f"{ROOTS} effrob.evaluation effrob.features effrob.heads model_zoo shifts numpy torch",
    "effrob.evaluation": f"{ROOTS} effrob.engines effrob.features effrob.heads effrob.results effrob.robustness model_zoo "
    "shifts numpy torch platformdirs PIL",
    "effrob.engines": f"{ROOTS} torch ray tqdm",
    "effrob.features": f"{ROOTS} effrob.arithmetic model_zoo shifts numpy torch torchvision PIL tqdm simplejpeg numba",
    "effrob.heads": f"{ROOTS} effrob.logistic effrob.results model_zoo shifts numpy torch sklearn safetensors tqdm",
    "effrob.logistic": "effrob.arithmetic numpy scipy torch sklearn numba tqdm",
    "effrob.results": f"{ROOTS} model_zoo shifts {NUMBERS}",
    "effrob.robustness": f"{ROOTS} effrob.results model_zoo shifts {NUMBERS}",
    "effrob.leaderboard": f"{ROOTS} effrob.results effrob.robustness model_zoo shifts {NUMBERS} jinja2 matplotlib",
    "effrob.studies": f"{ROOTS} effrob.results effrob.robustness effrob.leaderboard model_zoo shifts {NUMBERS} matplotlib",
    "effrob.analysis": f"{ROOTS} effrob.results effrob.robustness effrob.leaderboard model_zoo shifts {NUMBERS} sklearn jinja2 "
    "matplotlib imagenet_x",
    "shifts": "shifts numpy PIL pyarrow pandas requests filelock platformdirs webdataset datasets yaml",
    "model_zoo": "model_zoo shifts.bounds numpy filelock platformdirs",
    "model_zoo.encoder": "model_zoo torch numpy",
    "model_zoo.check": "model_zoo torch numpy",
    "model_zoo.compiler": "model_zoo torch",
    "model_zoo.proof": "model_zoo torch PIL",
    "model_zoo.checkpoints": "model_zoo shifts.bounds numpy torch safetensors huggingface_hub",
    "model_zoo.memory": "model_zoo numpy PIL torch",
    "model_zoo.mixtures.provider": "model_zoo torch",
    "model_zoo.sources": "model_zoo shifts.bounds numpy PIL yaml torch torchvision open_clip timm transformers "
    "huggingface_hub safetensors peft filelock platformdirs",
}
NUMPY_SIDE = (
    "effrob.results",
    "effrob.robustness",
    "effrob.leaderboard",
    "effrob.studies",
    "effrob.analysis",
)  # a laptop and a second
ZOO_WITH_TORCH = (
    "model_zoo.encoder",
    "model_zoo.check",
    "model_zoo.memory",
    "model_zoo.mixtures.provider",
    "model_zoo.proof",
    "model_zoo.checkpoints",
    "model_zoo.sources",
)
AT_START = f"{ROOTS} effrob.cli click"  # what a command's file may import before it is called
RULED_OUT = {"utils", "util", "common", "helpers", "helper", "base", "manager", "handler", "misc", "types"}
LINES, FILES, LOOSE = 300, 18, 5  # a file's, a folder's, and modules at effrob's root beside __init__ and __main__


def violations(module: str, source: str) -> list[str]:
    """What `module` imports and may not, a sentence each."""
    place = max((name for name in ALLOWED if under(module, name)), key=len)
    own = module if place in ("effrob.api", "effrob.result_rows", "effrob.__main__") else place
    allowed = [own, *ALLOWED[place].split()]
    wrong = {name for name in imports(source, module) if _reaches(name) and not under(name, *allowed)}
    if under(module, *NUMPY_SIDE):
        wrong |= {name for name in imports(source, module) if under(home(name) or "", *ZOO_WITH_TORCH)}
    if under(module, "effrob.cli"):
        early = imports(source, module, at_import_only=True)
        wrong |= {name for name in early if _reaches(name) and not under(name, *AT_START.split())}
    return [f"{module} imports {name}" for name in sorted(wrong)]


def _reaches(name: str) -> bool:
    """Whether the rule has a say: a module of ours or a third party's, and not a package's face without a name."""
    return name not in OURS and (third_party(name) is not None or home(name) is not None)


@pytest.mark.parametrize("module", sorted(set(modules()) - set(OURS)))
def test_a_module_keeps_the_import_rule_the_size_and_a_docstring(module: str) -> None:
    path = modules()[module]
    source = path.read_text(encoding="utf-8")
    assert violations(module, source) == []
    assert len(source.splitlines()) <= LINES, f"{path.name} has grown past one noun"
    assert not RULED_OUT & set(path.relative_to(ROOT).with_suffix("").parts)
    assert source.strip() == "" or ast.get_docstring(ast.parse(source)), f"{path} says nothing of what it is for"


def test_no_module_imports_itself_through_others() -> None:
    assert [" -> ".join(path) for path in circles(graph())] == []


def test_no_two_public_classes_share_a_name() -> None:
    assert _twice(modules()) == {}


def _twice(files: Mapping[str, Path]) -> dict[str, list[str]]:
    homes = defaultdict(list)
    for module, path in files.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    return {name: where for name, where in homes.items() if len(where) > 1}


def test_folders_are_small_and_the_root_is_nearly_empty() -> None:
    everywhere = [
        *modules().values(),
        *(p for top in ("tests", "recipes", "benchmarks") for p in (ROOT / top).rglob("*.py")),
    ]
    held = Counter(path.parent.relative_to(ROOT).as_posix() for path in everywhere)
    assert {folder: n for folder, n in held.items() if n > FILES} == {}
    assert held["effrob"] - 2 <= LOOSE  # __init__ and __main__ apart


def test_files_beside_the_packages_are_small_too() -> None:
    paths = [path for top in ("recipes", "benchmarks") for path in (ROOT / top).rglob("*.py")]
    long = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {path: lines for path, lines in long.items() if lines > LINES} == {}


def test_suites_and_training_sets_are_never_told_by_their_names() -> None:
    told = re.compile(r"""startswith\(\(?["']pocket|endswith\(["']-train""")
    assert [name for name, path in modules().items() if told.search(path.read_text())] == []


@pytest.mark.parametrize("package", OURS)
def test_a_face_offers_what_it_names_and_nothing_else(package: str) -> None:
    import importlib

    face = importlib.import_module(package)
    offered = {name.partition(".")[2] for name in faces() if under(name, package)}
    assert offered == set(face.__all__) - {"__version__"}
    for name in face.__all__:
        getattr(face, name)


DEEP = re.compile(r"\b(?:effrob|shifts|model_zoo)(?:\.[a-z_]\w*)+\.\w+")


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda page: page.name,
)
def test_documents_name_nothing_deeper_than_the_public_faces(page: Path) -> None:
    text = re.sub(r"(?m)^effrob\.errors\.\w+: ", "", page.read_text(encoding="utf-8"))  # as a traceback prints it
    named = set(DEEP.findall(text)) | {
        f"{m}.x" for m in re.findall(r"from ((?:effrob|shifts|model_zoo)\.[\w.]+) import", text)
    }
    allowed = {f"effrob.heads.linear{name}" for name in ("", ".x", ".LinearProbe")}
    assert sorted(name for name in named - allowed if home(name) not in (None, *OURS)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("shifts.storage.folder", "import effrob.errors"),
        ("shifts.storage.folder", "from torch import nn"),
        ("shifts.folder", "import model_zoo\nmodel_zoo.load('x')"),
        ("shifts.labels", "import joblib"),
        ("model_zoo.spec", "def f():\n    import torch"),
        ("model_zoo.cards", "import pandas"),
        ("model_zoo.sources.from_timm", "from shifts.labels import LabelSpace"),
        ("effrob.logistic.losses", "from effrob.errors import UsageProblem"),
        ("effrob.results.store", "from effrob.features import cache"),
        ("effrob.robustness.fit", "import torch.nn"),
        ("effrob.robustness.baselines.built", "def build():\n    from effrob import evaluate\n    return evaluate"),
        ("effrob.robustness.baselines.built", "import effrob\ndef build():\n    return effrob.evaluate('x')"),
        ("effrob.robustness.baselines.built", "import effrob as e\ne.evaluate('x')"),
        ("effrob.studies.study", "import importlib\ndef f():\n    importlib.import_module('effrob.heads.linear')"),
        ("effrob.studies.study", "HEADS = {'linear': 'effrob.heads.linear:LinearHead'}"),
        ("effrob.leaderboard.table", "from model_zoo import Encoder"),
        ("effrob.leaderboard.table", "from ..heads import classifier"),
        ("effrob.heads.classifier", "from effrob.features.cache import FeatureSet"),
        ("effrob.features.extract", "from effrob.engines.engine import Job"),
        ("effrob.evaluation.plan", "from effrob.cli import main"),
        ("effrob.errors", "from effrob.files import sweep"),
        ("effrob.cli.fit", "import numpy"),
        ("effrob.cli.fit", "from effrob.robustness.fit import fit"),
    ],
)
def test_a_planted_violation_is_seen(module: str, source: str) -> None:
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("effrob.cli.fit", "def f():\n    from effrob.robustness.fit import fit"),
        ("model_zoo.sources.from_timm", "import torch, timm"),
        ("effrob.evaluation.evaluator", "from effrob.heads import classifier\nimport shifts, model_zoo, torch"),
        ("effrob.results.record", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("effrob.leaderboard.table", "import model_zoo\nmodel_zoo.parse('pocket:mlp')"),
    ],
)
def test_what_the_rule_allows_is_allowed(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_planted_circles_and_twins_are_seen(tmp_path: Path) -> None:
    assert list(circles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a")})) == [["a", "b", "c", "a"]]
    assert list(circles({"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()})) == []
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("class Report: ...\nclass _Hidden: ...\n")
    assert _twice({name: tmp_path / f"{name}.py" for name in ("one", "two")}) == {"Report": ["one", "two"]}
    assert DEEP.search("see `effrob.results.store.ResultStore`") and not DEEP.search(
        "`effrob.evaluate` and shifts.load"
    )

"""The import rule, file sizes and names, read from the source with `ast`; and proof that each check can fail."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("effrob", "shifts", "model_zoo")
NUMPY_SIDE = ("effrob.results", "effrob.robustness", "effrob.studies", "effrob.leaderboard")
STAGES = ("effrob.heads", "effrob.engines", "effrob.features")
TORCH_IN_ZOO = ("encoder", "check", "sources")
RULED_OUT = {"utils", "util", "common", "helpers", "helper", "base", "manager", "handler", "misc", "types"}
HEAVY = ("torch", "torchvision", "open_clip", "timm", "transformers", "ray", "open_clip_train")


def imports(source: str, module: str, at_import_only: bool = False) -> set[str]:
    """Full names a module imports; with `at_import_only`, leave out what stands inside functions and TYPE_CHECKING."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if at_import_only and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    base = ".".join([*module.split(".")[: -child.level], *([base] if base else [])])
                found.update({base, *(f"{base}.{alias.name}" for alias in child.names)})
            visit(child)

    visit(ast.parse(source))
    return found


def under(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def violations(module: str, source: str) -> list[str]:
    """What `module` imports against the rule, a sentence each."""
    every = imports(source, module)
    wrong: list[str] = []
    if under(module, "shifts"):
        wrong += [n for n in every if under(n, "effrob", "model_zoo", *HEAVY)]
    if under(module, "model_zoo"):
        wrong += [n for n in every if under(n, "effrob", "shifts")]
        leaf = module.split(".")[1] if "." in module else ""
        if not leaf.startswith(TORCH_IN_ZOO):
            wrong += [n for n in every if under(n, *HEAVY)]
    if under(module, *NUMPY_SIDE):
        wrong += [n for n in every if under(n, *HEAVY, "effrob.evaluation", *STAGES)]
    for stage in STAGES:
        if under(module, stage):
            wrong += [n for n in every if under(n, *(other for other in STAGES if other != stage))]
    if not under(module, "effrob.cli", "effrob.__main__"):
        wrong += [n for n in every if under(n, "effrob.cli")]
    if under(module, "effrob.cli"):
        outside = imports(source, module, at_import_only=True)
        wrong += [n for n in outside if under(n, *HEAVY, "effrob.evaluation", *STAGES, "scipy", "numpy")]
    return [f"{module} imports {name}" for name in sorted(set(wrong))]


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_keeps_the_import_rule_the_size_and_a_docstring(module: str, path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert violations(module, source) == []
    assert len(source.splitlines()) <= 310, f"{path.name} has grown past one noun"
    assert not RULED_OUT & set(path.relative_to(ROOT).with_suffix("").parts)
    assert source.strip() == "" or ast.get_docstring(ast.parse(source)), f"{path} says nothing of what it is for"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("shifts.storage.folder", "import effrob.errors"),
        ("shifts.storage.folder", "from torch import nn"),
        ("model_zoo.spec", "def f():\n    import torch"),
        ("model_zoo.sources.from_timm", "from shifts.labels import LabelSpace"),
        ("effrob.results.store", "from effrob.features import cache"),
        ("effrob.robustness.fit", "import torch.nn"),
        ("effrob.heads.classifier", "from effrob.features.cache import FeatureSet"),
        ("effrob.features.extract", "from effrob.engines.engine import Job"),
        ("effrob.evaluation.plan", "from effrob.cli import main"),
        ("effrob.cli.fit", "import numpy"),
        ("effrob.leaderboard.table", "from ..heads import head"),
    ],
)
def test_a_planted_violation_is_seen(module: str, source: str) -> None:
    assert violations(module, source)


def test_what_the_rule_allows_is_allowed() -> None:
    assert violations("effrob.cli.fit", "def f():\n    import numpy\n    import torch") == []
    assert violations("model_zoo.sources.from_timm", "import torch, timm") == []
    assert (
        violations("effrob.evaluation.evaluator", "from effrob.heads import head\nimport shifts, model_zoo, torch")
        == []
    )
    assert (
        violations("effrob.results.row", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch") == []
    )

"""What each file of the three packages imports, read from the source with `ast`: lazily, by a string, or through a public face.

A face is a package's `__init__.py` that loads names on first use: the imports below its `if TYPE_CHECKING:` say where each
name lives, so `from effrob import evaluate` and `effrob.evaluate` both count as an import of `effrob.api`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = ("effrob", "shifts", "model_zoo")
REFERENCE = re.compile(
    rf"(?:{'|'.join(OURS)})(?:\.\w+)+:\w+"
)  # "module:attribute", as registries and tables of verbs write it


def under(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages, or lies in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


@lru_cache
def modules() -> Mapping[str, Path]:
    """Dotted name -> file, of every module of ours."""
    named = {}
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def _guarded(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@lru_cache
def faces() -> Mapping[str, str]:
    """`package.NAME` -> `module.NAME` for every name that a package's face offers."""
    homes = {}
    for package in OURS:
        for node in ast.parse(modules()[package].read_text(encoding="utf-8")).body:
            for inner in node.body if isinstance(node, ast.If) and _guarded(node) else []:
                if isinstance(inner, ast.ImportFrom):
                    homes |= {f"{package}.{a.asname or a.name}": f"{inner.module}.{a.name}" for a in inner.names}
    return homes


def _literal(node: ast.AST) -> str | None:
    """The module that a string names: `"module:attribute"`, or the argument of `import_module`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and REFERENCE.fullmatch(node.value):
        return node.value.replace(":", ".")
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
        return str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else None
    return None


def imports(source: str, module: str, at_import_only: bool = False) -> set[str]:
    """Full names that a module imports anywhere, with faces resolved; TYPE_CHECKING blocks do not run and do not count.

    at_import_only  leave out what stands inside functions
    """
    names: set[str] = set()
    bound = {}  # local name -> package of ours

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if _guarded(child) or (
                at_import_only and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            ):
                continue
            if isinstance(child, ast.Import):
                names.update(alias.name for alias in child.names)
                bound.update(
                    {
                        a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0]
                        for a in child.names
                    }
                )
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    base = ".".join([*module.split(".")[: -child.level], *([base] if base else [])])
                names.update(f"{base}.{alias.name}" for alias in child.names)
            elif not at_import_only and (text := _literal(child)) is not None:
                names.add(text)
            visit(child)

    tree = ast.parse(source)
    visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and bound.get(node.value.id) in OURS:
            reached = f"{bound[node.value.id]}.{node.attr}"
            if reached in faces() and not at_import_only:
                names.add(reached)
    return {faces().get(name, name) for name in names}


def home(name: str) -> str | None:
    """The module of ours that holds a dotted name, or None where it is not ours."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name or None


def third_party(name: str) -> str | None:
    """The top-level package of a name that is neither ours nor the standard library's."""
    top = name.partition(".")[0]
    return None if top in OURS or top in sys.stdlib_module_names else top


@lru_cache
def graph() -> Mapping[str, frozenset[str]]:
    """Module -> modules of ours that it imports. Faces are left out: they name every module, and load each when asked."""
    edges = {}
    for module, path in modules().items():
        if module not in OURS:
            reached = {home(name) for name in imports(path.read_text(encoding="utf-8"), module)}
            edges[module] = frozenset(to for to in reached if to is not None and to not in (module, *OURS))
    return edges


def circles(edges: Mapping[str, frozenset[str]]) -> Iterator[list[str]]:
    """Paths along the imports that end where they begin; none where no module imports itself through others."""
    finished: set[str] = set()

    def walk(path: list[str]) -> Iterator[list[str]]:
        for to in sorted(edges.get(path[-1], ())):
            if to in path:
                yield [*path[path.index(to) :], to]
            elif to not in finished:
                yield from walk([*path, to])
        finished.add(path[-1])

    for start in edges:
        if start not in finished:
            yield from walk([start])

"""Names: near matches, registration, entry points, duplicates, lazy import."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import shifts
from shifts import registry


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_declared", {})


def own_loader(root, protocol, partial):
    return ("loaded", root, protocol.name, partial)


def another_loader(root, protocol, partial):
    return None


@pytest.mark.parametrize("name", registry.TABLE)
def test_every_name_in_the_table_has_a_loader(name: str) -> None:
    assert callable(registry.loader(name))
    assert name in shifts.names()


def test_suites_name_known_sets() -> None:
    for name in ("imagenet", "pocket"):
        assert set(shifts.suite(name).tests) <= set(shifts.names())
        assert len(shifts.suite(name).tests) == 6
    with pytest.raises(shifts.DataMissing, match="imagenet and pocket"):
        shifts.suite("imagenets")


@pytest.mark.parametrize(
    ("asked", "near"), [("imagnet-r", "imagenet-r"), ("object-net", "objectnet"), ("poket", "pocket")]
)
def test_an_unknown_name_suggests_near_ones(tmp_path: Path, asked: str, near: str) -> None:
    with pytest.raises(shifts.DataMissing, match=f"did you mean .*{near}"):
        shifts.load(asked, root=tmp_path)


def test_an_unknown_protocol_suggests_near_ones(tmp_path: Path) -> None:
    with pytest.raises(shifts.DataMissing, match="clip-benchmark"):
        shifts.load("imagenet", root=tmp_path, protocol="clip_benchmark")


def test_a_registered_loader_is_called_with_root_protocol_and_partial(empty_registry: None, tmp_path: Path) -> None:
    shifts.register("mine", own_loader)
    shifts.register("mine", own_loader)
    assert shifts.load("mine", root=tmp_path, protocol="testbed", partial=True) == ("loaded", tmp_path, "testbed", True)
    assert shifts.names()[-1] == "mine"
    with pytest.raises(shifts.DataError, match="already"):
        shifts.register("mine", another_loader)
    with pytest.raises(shifts.DataError, match="already"):
        shifts.register("imagenet-r", own_loader)


def entry(name: str, value: str) -> metadata.EntryPoint:
    return metadata.EntryPoint(name, value, registry.GROUP)


def test_entry_points_add_names_and_clash_loudly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offered = [entry("theirs", "test_shift_registry:own_loader")]
    monkeypatch.setattr(registry, "entry_points", lambda group: offered)
    assert shifts.load("theirs", root=tmp_path)[0] == "loaded"
    registry._offered.cache_clear()  # what is installed does not change while a program runs
    offered[:] = [entry("theirs", "nowhere_at_all:loader")]
    with pytest.raises(shifts.DataError, match="nowhere_at_all"):
        shifts.load("theirs", root=tmp_path)
    registry._offered.cache_clear()
    offered[:] = [entry("objectnet", "test_shift_registry:own_loader")]
    with pytest.raises(shifts.DataError, match="two packages offer a shift 'objectnet'"):
        shifts.names()


def test_importing_shifts_loads_neither_torch_nor_a_loader() -> None:
    code = (
        "import sys, shifts; shifts.names(); print(sorted({'torch', 'effrob', 'shifts.imagenet'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_those_listed() -> None:
    assert all(getattr(shifts, name) is not None for name in shifts.__all__)
    assert set(shifts.__all__) == set(shifts._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = shifts.nothing

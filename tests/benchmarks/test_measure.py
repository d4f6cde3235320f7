"""The arithmetic of the benchmarks: pairs, their order, what a process cost, and the table that is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import ALL
from benchmarks.flips import Flips
from benchmarks.measure import Cost, Finding, call, interleaved, process, ratio
from benchmarks.pictures import encoded


def test_ratios_are_of_pairs_and_not_of_medians() -> None:
    found = ratio([Cost(1, 2), Cost(1, 40), Cost(1, 9)], [Cost(1, 1), Cost(1, 10), Cost(1, 3)])
    assert (found.median, found.low, found.high) == (3.0, 2.0, 4.0)


def test_runs_alternate_and_every_other_round_goes_backwards() -> None:
    order: list[str] = []
    interleaved({name: lambda name=name: order.append(name) or Cost(0, 0) for name in "ab"}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_calls_processor_time_is_its_own() -> None:
    import time

    slept, worked = call(lambda: time.sleep(0.2)), call(lambda: sum(i * i for i in range(300_000)))
    assert slept.wall >= 0.2 and slept.cpu < 0.1 and worked.cpu > 0


def test_a_process_is_charged_for_its_children_and_a_failed_one_is_told(tmp_path: Path) -> None:
    work = "sum(i * i for i in range(2_000_000))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True)"
    with_child = process([sys.executable, "-c", child], {}, tmp_path / "log")
    without = process([sys.executable, "-c", "pass"], {}, tmp_path / "log")
    assert with_child.cpu > without.cpu + 0.02 and with_child.peak_mb > 1
    with pytest.raises(RuntimeError, match="ended with 3"):
        process([sys.executable, "-c", "print('why'); raise SystemExit(3)"], {}, tmp_path / "log")


def test_flips_pool_by_prediction() -> None:
    pooled = Flips(100, 2, 50, 51) + Flips(300, 0, 10, 9)
    assert (pooled.rate, pooled.net) == (2 / 400, 0.0)


def test_findings_are_kept_and_the_table_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "RESULTS.md"
    other = "<!-- measured avx9: begin -->\nof another\n<!-- measured avx9: end -->\n"
    page.write_text(f"before\n{other}<!-- measured avx8: begin -->\nold\n<!-- measured avx8: end -->\nafter\n")
    monkeypatch.setattr(report, "HERE", tmp_path)
    monkeypatch.setattr(report, "kind", lambda: "avx8")
    monkeypatch.setattr(report, "PAGE", page)
    finding = Finding("a thing", "ours", "theirs", "2.00", "≥ 3", False)
    report.keep("one", [finding])
    report.keep("two", [Finding("another", "ours", "theirs", "4.00", "≥ 3", True)])
    text = page.read_text()
    assert (
        text.startswith(f"before\n{other}<!-- measured avx8: begin -->\nMeasured 20")
        and text.endswith("after\n")
        and "old" not in text
    )
    assert "| a thing | ours | theirs | 2.00 | ≥ 3 | **no** |" in text and "| yes |" in text
    assert set(json.loads((tmp_path / "measured-avx8.json").read_text())) == {"one", "two"}


def test_pictures_are_the_same_each_time_and_as_large_as_photographs() -> None:
    assert encoded(3) == encoded(3) != encoded(4)
    assert 60_000 < len(encoded(3)) < 160_000


def test_every_benchmark_that_is_listed_is_there() -> None:
    import importlib

    for where, rounds in ALL.values():
        module, function = where.split(":")
        assert callable(getattr(importlib.import_module(f"benchmarks.{module}"), function)) and rounds >= 1


HERE = Path(__file__).resolve().parents[2] / "benchmarks"


KINDS = ["amd-avx512", "intel-avx512", "amd-avx2"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_what_was_kept_of_each_kind_of_processor(kind: str) -> None:
    page = (HERE / "RESULTS.md").read_text()
    kept = json.loads((HERE / f"measured-{kind}.json").read_text())
    assert f"<!-- measured {kind}: begin -->" in page and report.with_table(page, kind, kept) == page

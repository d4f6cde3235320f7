"""Keeps findings in measured.json with the machine and the date, and writes them as the table of RESULTS.md."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Finding

HERE = Path(__file__).parent
KEPT, PAGE = HERE / "measured.json", HERE / "RESULTS.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PACKAGES = ("torch", "torchvision", "open_clip_torch", "timm", "pillow", "numpy", "scikit-learn")


def machine() -> str:
    """The processor, its cores, and the versions of what is measured with."""
    found = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        found = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{found}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def keep(name: str, findings: Sequence[Finding]) -> None:
    """Put one benchmark's findings in the place of its former ones, and write the table anew."""
    kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    now = datetime.now(UTC)
    kept[name] = {
        "date": f"{now:%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
        "load": round(os.getloadavg()[2], 1),
        "findings": [finding.as_json() for finding in findings],
    }
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    if PAGE.is_file():
        PAGE.write_text(_with_table(PAGE.read_text(), kept))


def row(finding: Mapping[str, Any]) -> str:
    """One line of the table."""
    cells = [finding["name"], finding["what"], finding["reference"], finding["measured"], finding["wanted"]]
    return "| " + " | ".join([*cells, "yes" if finding["met"] else "**no**"]) + " |"


def _with_table(page: str, kept: Mapping[str, Any]) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return page
    lines = ["| | effrob | against | ratio: median (lowest to highest) | wanted | met |", "|---|---|---|---|---|---|"]
    lines += [row(finding) for each in kept.values() for finding in each["findings"]]
    dates = sorted({each["date"][:10] for each in kept.values()})
    machines = sorted({each["machine"] for each in kept.values()})
    loads = sorted(each["load"] for each in kept.values())
    about = f"Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))} on {'; '.join(machines)}. "
    about += f"The machine was shared: its load average over 15 minutes was {loads[0]} to {loads[-1]}."
    return f"{before}{BEGIN}\n{about}\n\n" + "\n".join(lines) + f"\n{END}{after}"

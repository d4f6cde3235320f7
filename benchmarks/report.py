"""Keeps findings with the machine and the date, and writes a table of RESULTS.md: a file and a table a kind of processor."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Finding

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
MAKERS = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}
PACKAGES = ("torch", "torchvision", "open_clip_torch", "timm", "pillow", "numpy", "scikit-learn")


def machine() -> str:
    """The processor, its cores, and the versions of what is measured with."""
    found = processor().get("model name", platform.machine())
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{found}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def kind() -> str:
    """`amd-avx512`, `intel-avx512` or another: the maker, and the vector instructions that torch uses here.

    They decide what is fast beside what: two makers' processors of the same instructions differ twofold in bfloat16.
    """
    maker = MAKERS.get(processor().get("vendor_id", ""), platform.machine().lower())
    return f"{maker}-{torch.backends.cpu.get_cpu_capability().lower()}"


def processor() -> dict[str, str]:
    """What Linux says about the first processor; nothing elsewhere."""
    try:
        about = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in about.splitlines())}


def keep(name: str, findings: Sequence[Finding]) -> None:
    """Put one benchmark's findings in the place of its former ones, and write the table anew."""
    file = HERE / f"measured-{kind()}.json"
    kept = json.loads(file.read_text()) if file.is_file() else {}
    now = datetime.now(UTC)
    kept[name] = {
        "date": f"{now:%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
        "load": round(os.getloadavg()[2], 1),
        "findings": [finding.as_json() for finding in findings],
    }
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    if PAGE.is_file():
        PAGE.write_text(with_table(PAGE.read_text(), kind(), kept))


def row(finding: Mapping[str, Any]) -> str:
    """One line of the table."""
    cells = [finding["name"], finding["what"], finding["reference"], finding["measured"], finding["wanted"]]
    return "| " + " | ".join([*cells, "yes" if finding["met"] else "**no**"]) + " |"


def with_table(page: str, kind: str, kept: Mapping[str, Any]) -> str:
    """The page with the table of one kind of processor written anew; as it was where it has no place for one."""
    before, begin, rest = page.partition(f"<!-- measured {kind}: begin -->")
    _, end, after = rest.partition(f"<!-- measured {kind}: end -->")
    if not begin or not end:
        return page
    lines = ["| | effrob | against | ratio: median (lowest to highest) | wanted | met |", "|---|---|---|---|---|---|"]
    lines += [row(finding) for each in kept.values() for finding in each["findings"]]
    dates = sorted({each["date"][:10] for each in kept.values()})
    machines = sorted({each["machine"] for each in kept.values()})
    loads = sorted(each["load"] for each in kept.values())
    about = f"Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))} on {'; '.join(machines)}. "
    about += f"The machine was shared: its load average over 15 minutes was {loads[0]} to {loads[-1]}."
    return f"{before}{begin}\n{about}\n\n" + "\n".join(lines) + f"\n{end}{after}"

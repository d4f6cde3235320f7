"""Memory of a whole evaluation: its peak at 20,000 images beside that at 2,000. The 20,000 are hard links to the 2,000."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import Finding, ratio, told
from benchmarks.models import small_clip
from benchmarks.pictures import many, validation
from benchmarks.zero_shot import effrob


def flat(work: Path, repeats: int) -> list[Finding]:
    few = validation(work / "2000", 2000)
    lots, spec = many(work / "20000", few, 20_000), small_clip(work / "small-clip")
    options = ["--model", spec, "--shift", "imagenet", "--partial", "--prompts", "name-only", "--pixels", "fast"]
    costs = {
        name: [effrob(work, f"memory-{name}", "--data", str(data), *options)() for _ in range(repeats)]
        for name, data in (("2000", few), ("20000", lots))
    }
    found = ratio(costs["20000"], costs["2000"], "peak_mb")
    peaks = {name: max(cost.peak_mb for cost in each) for name, each in costs.items()}
    return [
        Finding(
            "memory: 20,000 images",
            f"peak {peaks['20000']:.0f} MB resident, {costs['20000'][0].wall:.0f} s",
            f"2,000 images: peak {peaks['2000']:.0f} MB",
            f"peak {found}",
            "≤ 1.05",
            found.median <= 1.05,
            {"costs": told(costs), "peaks": peaks},
        )
    ]

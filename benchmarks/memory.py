"""Memory and speed by how the images are stored: an evaluation of 20,000 beside one of 2,000, a table beside its folder.

The 20,000 are hard links to the 2,000. The table is a Parquet copy of 50,000 small images, written as the Hugging Face hub's
are (row groups of 100, snappy), once in the order of ids and once shuffled. Each of its measurements is a process of its own
that opens the set, and reads and decodes every image in the order an evaluation does.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Cost, Finding, median, ratio, told
from benchmarks.models import small_clip
from benchmarks.pictures import done, encoded, many, once, validation
from benchmarks.zero_shot import effrob
from shifts.classes import imagenet

IMAGES, SIDE, DISTINCT = 50_000, (64, 48), 2_000
ROW_GROUP = 100
PLACES = {"folder": "folder", "table": "table/val.parquet", "shuffled table": "shuffled/val.parquet"}


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


def small(root: Path) -> Path:
    """The same images in a folder and in two tables."""
    if once(root):
        import pyarrow as pa
        import pyarrow.parquet as pq

        ids = imagenet().ids
        some = [encoded(number, size=SIDE) for number in range(DISTINCT)]
        ends = [number.to_bytes(4, "big") for number in range(IMAGES)]  # behind the picture: no two files are alike
        rows = [(f"{n:05d}.JPEG", n % 1000, some[n % DISTINCT] + end) for n, end in enumerate(ends)]
        for name, label, content in rows:
            folder = root / "folder" / ids[label]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        rows.sort(key=lambda row: (ids[row[1]], row[0]))
        for place in ("table", "shuffled"):
            images = pa.array([{"bytes": content, "path": name} for name, _, content in rows], kind)
            (root / place).mkdir(exist_ok=True)
            table = pa.table({"image": images, "label": [label for _, label, _ in rows]})
            pq.write_table(
                table, root / PLACES["table" if place == "table" else "shuffled table"], row_group_size=ROW_GROUP
            )
            random.Random(0).shuffle(rows)
        done(root)
    return root


def _peak() -> float:
    """The largest resident size of this process so far, in MB: getrusage would count the process that started it."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def read(place: Path) -> dict[str, float]:
    """Open a set and decode every image of it; seconds, and MB beside those of the libraries."""
    import pyarrow.compute
    import pyarrow.parquet

    import shifts
    from shifts.imagenet import val_labels

    assert pyarrow.parquet and pyarrow.compute and len(val_labels())
    libraries = _peak()
    cpu = time.process_time()
    shift = shifts.load("imagenet", at=place, partial=True)
    indexed = time.process_time() - cpu
    wall, cpu = time.perf_counter(), time.process_time()
    for row in range(len(shift)):
        shift[row]
    return {
        "images": len(shift),
        "indexed": indexed,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "mb": _peak() - libraries,
    }


def table_and_folder(work: Path, repeats: int) -> list[Finding]:
    root = small(work / "tables")
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in PLACES}
    for number in range(repeats):
        for name in list(PLACES) if number % 2 == 0 else list(PLACES)[::-1]:
            command = [sys.executable, "-m", "benchmarks.memory", str(root / PLACES[name])]
            environment = {**os.environ, "EFFROB_CACHE": str(work / "cache")}
            ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            seen[name].append(json.loads(ran.stdout))
    costs = {name: [Cost(each["wall"], each["cpu"]) for each in runs] for name, runs in seen.items()}
    findings = []
    for name in ("table", "shuffled table"):
        speed = ratio(costs["folder"], costs[name])
        opened, peak = max(each["indexed"] for each in seen[name]), max(each["mb"] for each in seen[name])
        findings.append(
            Finding(
                f"Parquet, {IMAGES:,} images of {SIDE[0]}x{SIDE[1]}: {name}",
                f"opened in {opened:.1f} s CPU; {IMAGES / median(costs[name]):,.0f} images a CPU second; "
                f"peak {peak:.0f} MB beside the libraries",
                f"the folder: {IMAGES / median(costs['folder']):,.0f} images a CPU second",
                f"CPU {speed}, wall {ratio(costs['folder'], costs[name], 'wall')} of the folder's speed",
                "opened < 10 s, peak < 300 MB, speed ≥ 0.9",
                opened < 10 and peak < 300 and speed.median >= 0.9,
                {"costs": told(costs), "seen": seen[name]},
            )
        )
    return findings


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]))))

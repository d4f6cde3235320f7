"""`python -m benchmarks [NAME ...]`: measure, print a table, and keep it in `measured-amd-avx512.json`, or of another kind."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

ALL = {  # name -> module:function, and how many rounds
    "one-prompt": ("zero_shot:one_prompt", 5),
    "six-sets": ("zero_shot:six_sets", 1),
    "image-loop": ("image_loop:against_its_parts", 5),
    "several-models": ("image_loop:three_models", 5),
    "pixel-cache": ("image_loop:from_the_pixel_cache", 5),
    "memory": ("memory:flat", 3),
    "decode": ("decode:against_pillow", 9),
    "flips": ("flips:on_real_networks", 1),
    "text": ("text:against_open_clip", 3),
    "board": ("board:published", 5),
    "threads": ("processes.threads:beside_a_neighbour", 5),
    "tables": ("memory:table_and_folder", 3),
    "probe-path": ("probe:path", 1),
    "probe-network": ("probe:on_a_network", 1),
    "probe-few-shot": ("probe:few_shot", 1),
    "probe-shape": ("probe_of_imagenet:shape_of_imagenet", 1),
    "probe-streamed": ("probe_of_imagenet:at_the_shape_of_imagenet", 1),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(ALL)} [default: all]")
    parser.add_argument("--repeats", type=int, help="rounds of each [default: its own number]")
    parser.add_argument("--at-most", type=int, metavar="N", help="rounds of those that have more")
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"), help="where pictures and runs lie")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in ALL]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]}: there are {', '.join(ALL)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every process compiles all it imports anew
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: neighbours make barriers between threads dear
    from benchmarks.report import keep, row

    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["EFFROB_CONFIG"] = str(work / "config")
    missed = 0
    for name in asked.names or ALL:
        where, rounds = ALL[name]
        module, function = where.split(":")
        repeats = min(asked.repeats or rounds, asked.at_most or rounds)
        findings = getattr(importlib.import_module(f"benchmarks.{module}"), function)(work, repeats)
        keep(name, findings)
        for finding in findings:
            missed += not finding.met
            print(row(finding.as_json()), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

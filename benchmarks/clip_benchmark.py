"""CLIP_benchmark 1.6.2 in an environment of its own, and its command line on the pictures made here.

It needs `numpy<2.4`. Everything else (torch, open_clip, Pillow, torchvision) is the one effrob runs with, seen through a
path file, so that a ratio compares the programs and not the versions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.measure import Cost, process

REQUIRED = (
    "clip-benchmark==1.6.2",
    "numpy<2.4",
    "pycocoevalcap==1.2",
    "pycocotools==2.0.11",
    "requests",
    "urllib3",
    "idna",
    "certifi",
    "charset-normalizer",
)
DATASETS = ("imagenet1k-unverified", "wds/imagenetv2", "imagenet-r", "imagenet_sketch", "objectnet", "imagenet-a")


def environment(folder: Path) -> Path:
    """Its Python. Made on first use: some seconds, a few MB."""
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    if not ready.is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        path = folder / "lib" / version / "site-packages" / "zz_shared.pth"  # last, so that its own packages win
        path.write_text(sysconfig.get_paths()["purelib"] + "\n")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", *REQUIRED], check=True)
        ready.write_text("")
    return python


def versions(python: Path) -> dict[str, str]:
    names = "('clip-benchmark', 'numpy', 'torch', 'open_clip_torch', 'torchvision', 'pillow', 'scikit-learn')"
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names}}}))"
    found: dict[str, str] = json.loads(
        subprocess.run([str(python), "-c", code], check=True, capture_output=True).stdout
    )
    return found


def evaluate(
    python: Path,
    model: Path,
    datasets: tuple[str, ...],
    root: str,
    out: Path,
    workers: int,
    templates: Path | None,
    amp: bool = True,
) -> tuple[Cost, dict[str, float]]:
    """One run of its command line: what the whole process cost, and the accuracy of each set. amp: in bfloat16, its default."""
    out.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "clip_benchmark.cli", "eval", "--model", f"local-dir:{model}", "--pretrained", "file"]
    command += ["--dataset", *datasets, "--dataset_root", root, "--task", "zeroshot_classification"]
    command += ["--batch_size", "64", "--num_workers", str(workers), "--quiet"]
    command += ["--output", str(out / "{dataset}.json")]
    if not amp:
        command += ["--no_amp"]
    if templates is not None:
        command += ["--custom_template_file", str(templates)]
    for old in out.glob("*.json"):
        old.unlink()
    code = "import sys; from clip_benchmark.cli import main; sys.exit(main())"
    command[1:3] = ["-c", code]
    cost = process(command, {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}, out / "log.txt")
    found = {p.stem: json.loads(p.read_text())["metrics"]["acc1"] for p in sorted(out.glob("*.json"))}
    if len(found) != len(datasets):
        raise RuntimeError(f"CLIP_benchmark gave {sorted(found)} of {datasets}: see {out / 'log.txt'}")
    return cost, found

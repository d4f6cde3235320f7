"""Fuzz the readers of files that others write: seeds cut, doubled, overwritten and spliced, from a seed that repeats.

    python -m tests.hostile.fuzz_files --cases 100000

A case fails that raises anything but a named error, takes over ten seconds, or brings the process over 1 GB.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from effrob.cli import exit_status
from effrob.results.answer_files import read_answers, read_ids
from effrob.results.given.table import read_given
from effrob.results.predictions import load_predictions
from effrob.results.verification import verified
from effrob.studies import reader
from model_zoo import registration
from model_zoo.spec import parse
from shifts.declared.reader import read_suite
from shifts.storage.kept_places import kept_places

Read = Callable[[Path], object]
SECONDS, BYTES = 10, 1 << 30
ODD = (
    b"", b"\0" * 12, b"\xff" * 8, b"\xed\xa0\x80", b"../", b"/dev/zero", b"-1", b"1e400", b"NaN", b"{", b"[" * 600, b'"',
    b",", b"\n", b"\r", b"9" * 5000, b"=1", b"\x1b[2J", b"null", b"PK\x03\x04", b"\x7f\xff\xff\xff", b"true", b"\xe2\x80\xae",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Files by name, one of which is mutated a case, and what reads them from their folder."""

    files: dict[str, bytes]
    read: Read


@dataclass
class Outcome:
    """What a run found: faults with what repeats them, cases, the slowest case's seconds, the largest resident bytes."""

    cases: int = 0
    refused: int = 0
    slowest: float = 0.0
    largest: int = 0
    faults: list[str] = field(default_factory=list)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The data with up to four spans changed."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(out))
        kind = rng.randrange(6)
        if kind == 0:
            out[at : at + rng.randint(0, 16)] = rng.choice(ODD)
        elif kind == 1:
            del out[at:]
        elif kind == 2 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 3:
            out[at:at] = out[at : at + rng.randint(1, 200)] * rng.randint(1, 3)
        elif kind == 4:
            out[at : at + rng.randint(1, 40)] = rng.randbytes(rng.randint(0, 20))
        else:
            other = rng.randint(0, len(out))
            out[at:at] = out[other : other + rng.randint(1, 60)]
    return bytes(out)


def targets() -> dict[str, Target]:
    """The readers with a seed each."""
    from tests.leaderboard.conftest import submit

    made: dict[str, Target] = {}
    csv = b'model,imagenet,imagenet-r,imagenet-r n\nresnet,76.1,36.2,30000\n"a, b",70.2,30.1,\n'
    made["given"] = Target({"given.csv": csv}, lambda folder: read_given(folder / "given.csv"))
    clip = [{"dataset": "imagenetv2", "model": "ViT-B-32", "pretrained": "openai", "task": "zeroshot_classification",
             "metrics": {"acc1": 0.56, "acc5": 0.8}}]  # fmt: skip
    made["results file"] = Target(
        {"given.json": json.dumps(clip).encode()}, lambda folder: read_given(folder / "given.json")
    )
    answers = {"id": np.array(["a.png", "b.png", "c.png"]), "class": np.array([1, 2, 0])}
    made["answers csv"] = Target(
        {"a.csv": b"id,class\na.png,1\nb.png,2\n"}, lambda folder: read_answers(folder / "a.csv")
    )
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32))
    made["answers npy"] = Target({"a.npy": buffer.getvalue()}, lambda folder: read_answers(folder / "a.npy"))
    for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
        buffer = io.BytesIO()
        save(buffer, ids=answers["id"], classes=answers["class"])
        made[f"answers npz {name}"] = Target(
            {"a.npz": buffer.getvalue()}, lambda folder: read_answers(folder / "a.npz")
        )
    try:
        import pyarrow as arrow
        from pyarrow import feather, parquet
    except ImportError:
        pass
    else:
        table = arrow.table({"id": ["a.png", "b.png", "c.png"], "class": [1, 2, 0]})
        for suffix, write in (("parquet", parquet.write_table), ("feather", feather.write_feather)):
            with tempfile.TemporaryDirectory() as held:
                write(table, f"{held}/a.{suffix}")
                data = Path(f"{held}/a.{suffix}").read_bytes()
            made[f"answers {suffix}"] = Target(
                {f"a.{suffix}": data}, lambda folder, suffix=suffix: read_answers(folder / f"a.{suffix}")
            )  # type: ignore[misc]
            if suffix == "feather":
                made["given feather"] = Target({"g.feather": data}, lambda folder: read_given(folder / "g.feather"))
    made["ids"] = Target({"ids.txt": b"a.png\nb.png\n"}, lambda folder: read_ids(folder / "ids.txt"))
    with tempfile.TemporaryDirectory() as held:
        root = submit(Path(held), "mine", "imagenet-r", 0.6, n=40).folder
        record = {path.name: path.read_bytes() for path in root.iterdir()}
    made["results"] = Target(record, lambda folder: verified([folder]))
    made["predictions"] = Target(
        {"predictions.npz": record["predictions.npz"]}, lambda folder: load_predictions(folder / "predictions.npz")
    )
    for path in sorted(reader.SHIPPED.glob("*.toml"))[:1]:
        made["study"] = Target({"s.toml": path.read_bytes()}, lambda folder: reader.read(folder / "s.toml"))
    suite = Path(__file__).parents[2] / "docs" / "own-data.md"
    toml = suite.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0].encode()
    made["suite"] = Target({"s.toml": toml}, lambda folder: read_suite(folder / "s.toml"))
    models = {
        "schema": registration.SCHEMA,
        "models": {"net": {"loader": "nets.py:build", "pixels": {"size": [224, 224]}}},
    }
    made["models"] = Target({"models.json": json.dumps(models).encode()}, _configured(registration.saved))
    places = {"places": {"imagenet-r": "/data/imagenet-r"}}
    made["places"] = Target({"places.json": json.dumps(places).encode()}, _configured(kept_places))
    made["spec"] = Target(
        {"spec": b"openclip:ViT-B-32@openai"},
        lambda folder: parse((folder / "spec").read_bytes().decode("utf-8", "surrogateescape")),
    )
    return made


def _configured(read: Callable[[], object]) -> Read:
    def reading(folder: Path) -> object:
        os.environ["EFFROB_CONFIG"] = str(folder)
        return read()

    return reading


def fuzz(name: str, target: Target, cases: int, seed: int = 0) -> Outcome:
    """So many cases of one target. A case that hangs is a fault as well (needs the main thread's alarm)."""
    rng, outcome = random.Random(f"{name} {seed}"), Outcome()
    config = os.environ.get("EFFROB_CONFIG")

    def late(*_: object) -> None:
        raise TimeoutError("it hangs")

    signal.signal(signal.SIGALRM, late)
    with tempfile.TemporaryDirectory(prefix="effrob-fuzz-") as held:
        folder = Path(held)
        for number in range(cases):
            chosen = rng.choice(sorted(target.files))
            data = mutated(target.files[chosen], rng)
            for each, content in target.files.items():
                (folder / each).write_bytes(data if each == chosen else content)
            begun = time.monotonic()
            signal.alarm(SECONDS)
            try:
                target.read(folder)
            except Exception as error:
                outcome.refused += 1
                if exit_status(error) is None or isinstance(error, TimeoutError | MemoryError):
                    outcome.faults.append(
                        f"{name} {seed} case {number} ({chosen}): {type(error).__name__}: {error}"[:300]
                    )
            finally:
                signal.alarm(0)
            outcome.slowest = max(outcome.slowest, time.monotonic() - begun)
            outcome.cases += 1
    outcome.largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if config is None:
        os.environ.pop("EFFROB_CONFIG", None)
    else:
        os.environ["EFFROB_CONFIG"] = config
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    faulthandler.enable()
    every = targets()
    found = 0
    for name, target in every.items():
        ended = fuzz(name, target, -(-asked.cases // len(every)), asked.seed)
        found += len(ended.faults)
        print(f"{name}: {ended.cases} cases, {ended.refused} refused, {len(ended.faults)} faults, slowest "
              f"{ended.slowest:.2f} s, {ended.largest / 1e6:.0f} MB", *ended.faults[:5], sep="\n  ", flush=True)  # fmt: skip
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()

"""Fuzz the commands: random options, specs and files, in this process, from a seed that repeats.

    python -m tests.hostile.fuzz_commands --cases 5000

A case fails that ends in anything but a sentence and a status of 0, 1 or 2, takes over twenty seconds of processor time or
waits for minutes, or brings the process over 1 GB. Nothing is fetched, drawn or evaluated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from effrob.cli import VERBS, main
from tests.hostile.fuzz_files import ODD, Outcome, mutated

SECONDS, WAIT = 20, 300
# what would fetch, draw, or take minutes; `eval` and `verify` run models
LEFT_OUT = ("eval", "verify", "data get", "baseline build", "captions label", "plot", "probe export")
OPTIONS_LEFT_OUT = ("--accept-licence", "--help", "--pixels-too", "--prove", "--check")
WORDS = (
    "imagenet", "imagenet-r", "imagenet-a", "objectnet", "pocket", "pocket-r", "imagenet-v2", "testbed", "systems",
    "none", "all", "measured", "openclip:ViT-B-32@openai", "openclip:ViT-B-32", "resnet50", "torchvision:resnet50",
    "timm:x", "mix:a,b@0:1:0.1", "a@b", ":", "@", "", "-1", "0", "1", "1e308", "nan", "0.5", "99999999999999999999",
    "logit", "probit", "clean", "full", "md", "json", "csv", "html", "latex", "effrob", "clip-benchmark", "x=y",
    "imagenet=76.1", "imagenet-r=36.2%", "imagenet-r=a", "imagenet=0", "imagenet=1", "a=b=c", "*", "[", "{0..9}",
    "..", "/", "/dev/null", "/dev/zero", "~nobody/x", "%s", "native", "zero-shot", "openai", "1/2/3", "\u202e",
    "\x1b[2J", "é", "a" * 5000,
)  # fmt: skip


class Hangs(BaseException):
    """No Exception: no command takes it for an error of its own."""


def seeds() -> dict[str, bytes]:
    """Files of every kind a command reads, by name."""
    suite = Path(__file__).parents[2] / "docs" / "own-data.md"
    return {
        "given.csv": b"model,imagenet,imagenet-r,imagenet-r n\nresnet,76.1,36.2,30000\n",
        "answers.csv": b"id,class\nn01443537/a.jpg,1\nn01484850/b.jpg,2\n",
        "clip.json": json.dumps([{"dataset": "imagenetv2", "model": "m", "metrics": {"acc1": 0.5}}]).encode(),
        "suite.toml": suite.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0].encode(),
        "captions.csv": b"filepath\ttitle\na.jpg\ta dog\nb.jpg\ta cat\n",
        "names.txt": b"a.png\nb.png\n",
        "table.parquet": b"PAR1" + bytes(64) + b"PAR1",
        "set.tar": bytes(10240),
        "record.json": b'{"schema": 3, "asked": {}}',
        "w.safetensors": (2).to_bytes(8, "little") + b"{}",
    }


def commands() -> dict[str, click.Command]:
    """Every command by its words, less those left out."""

    def inside(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                inner = command.get_command(click.Context(command), name)
                if inner is not None:
                    yield from inside(f"{words} {name}", inner)
        else:
            yield words, command

    group = main
    assert isinstance(group, click.Group)
    found = {}
    for verb in VERBS:
        command = group.get_command(click.Context(group), verb)
        assert command is not None
        found.update(inside(verb, command))
    return {words: command for words, command in found.items() if words not in LEFT_OUT}


def arguments(command: click.Command, names: list[str], rng: random.Random) -> list[str]:
    """Random options and arguments; three values in four are such as the command may take."""

    def value(parameter: click.Parameter) -> str:
        if isinstance(parameter.type, click.Choice) and rng.random() < 0.8:
            return str(rng.choice(list(parameter.type.choices)))
        if isinstance(parameter.type, click.Path) and rng.random() < 0.8:
            return rng.choice(names)
        if rng.random() < 0.1:
            return rng.choice(ODD).decode("utf-8", "surrogateescape").replace("\0", "")
        return rng.choice([*WORDS, *names])

    given: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            count = rng.randint(0, 3) if parameter.nargs == -1 else parameter.nargs
            given += [value(parameter) for _ in range(count)] if rng.random() < 0.9 else []
        elif isinstance(parameter, click.Option):
            taken = rng.random() < (0.8 if parameter.required else 0.25)
            if taken and not set(parameter.opts) & set(OPTIONS_LEFT_OUT):
                word = rng.choice(parameter.opts)
                given += [word] if parameter.is_flag else [word, value(parameter)]
    return given


def fuzz(cases: int, seed: int = 0, only: str | None = None) -> Outcome:
    """So many cases over the commands in turn, each with one file mutated, in a folder of its own."""
    rng, outcome, before = random.Random(f"commands {seed}"), Outcome(), os.environ.copy()
    here, files = Path.cwd(), seeds()
    every = {words: command for words, command in commands().items() if only in (None, words)}

    def late(*_: object) -> None:
        raise Hangs

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGPROF, late)
    try:
        with tempfile.TemporaryDirectory(prefix="effrob-fuzz-") as held:
            folder = Path(held)
            (folder / "data").mkdir()
            os.chdir(folder)
            os.environ |= {f"EFFROB_{each}": str(folder / each.lower()) for each in ("CONFIG", "CACHE", "BASELINES")}
            names = [*files, "data", "missing", "out", "out.csv"]
            for number in range(cases):
                words = list(every)[number % len(every)]
                for name, content in files.items():
                    (folder / name).write_bytes(mutated(content, rng) if rng.random() < 0.5 else content)
                args = [*words.split(), *arguments(every[words], names, rng)]
                begun = time.process_time()
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                signal.alarm(WAIT)
                try:
                    done = CliRunner().invoke(main, args, input="")
                except Hangs:
                    outcome.faults.append(f"case {number} of seed {seed}: {args} takes over {SECONDS} s")
                    continue
                finally:
                    signal.alarm(0)
                    signal.setitimer(signal.ITIMER_PROF, 0)
                spent = time.process_time() - begun
                said = done.output
                raised = done.exception is not None and not isinstance(done.exception, SystemExit)
                if raised or done.exit_code not in (0, 1, 2) or "Error: unexpected" in said or "Traceback" in said:
                    outcome.faults.append(f"case {number} of seed {seed}: {args} {done.exception!r}: {said[-300:]}")
                outcome.refused += done.exit_code != 0
                outcome.slowest = max(outcome.slowest, spent)
                outcome.cases += 1
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
    outcome.largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return outcome


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command")
    asked = parser.parse_args()
    ended = fuzz(asked.cases, asked.seed, asked.command)
    print(f"{ended.cases} cases, {ended.refused} refused, {len(ended.faults)} faults, slowest {ended.slowest:.1f} s, "
          f"{ended.largest / 1e6:.0f} MB", *ended.faults[:40], sep="\n  ")  # fmt: skip
    raise SystemExit(1 if ended.faults else 0)


if __name__ == "__main__":
    run()

"""effrob in processes of their own, forked from one that has imported it: as separate as started ones, and at once at work."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

Run = Callable[[list[str]], None]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "effrob.cli.evaluate",
        "effrob.evaluation.evaluator",
        "effrob.features.resample",
        "effrob.leaderboard.terminal",
        "effrob.robustness.baselines.catalogue",
        "effrob.robustness.rows",
        "model_zoo.sources.from_pocket",
        "numba",
    ]
)


def effrob(args: list[str]) -> None:
    """The command line."""
    from effrob.cli import main

    main(args)


def fork(
    args: list[str], environment: Mapping[str, str], said: Path, printed: Path | None = None, run: Run = effrob
) -> ForkServerProcess:
    """`run(args)`, begun in a process group of its own.

    environment  all of its variables; those that count when torch is imported are the first call's
    said, printed  files of its standard error and its standard output (None: nowhere)
    """
    with _environment(environment):
        process = _CONTEXT.Process(
            target=_serve, args=(run, args, dict(environment), str(said), str(printed or os.devnull))
        )
        process.start()
    while process.is_alive() and os.getpgid(process.pid or 0) != process.pid:
        time.sleep(0.001)
    return process


def _serve(run: Run, args: list[str], environment: dict[str, str], said: str, printed: str) -> None:
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # as in a process of its own
    os.environ.clear()
    os.environ.update(environment)
    for number, file in ((1, printed), (2, said)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, number)
    try:
        run(args)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """The first process forked starts the server, which inherits it."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

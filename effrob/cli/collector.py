"""The garbage collector kept out of the way of what lives to the end of a command."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection meanwhile, and what is alive afterwards is left out of later ones.

    Imported modules and a board's small objects stay: to look at each of them again and again costs a sixth of the start-up
    with torch and open_clip, and a tenth of a board, half of it in the interpreter's last collection.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


class UncollectedCommand(click.Command):
    """A command of a few seconds that is `uncollected` from its first import, which an option's default may need."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        ctx.with_resource(uncollected())
        return super().parse_args(ctx, args)

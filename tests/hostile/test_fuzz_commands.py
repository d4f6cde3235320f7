"""Random options and files given to the commands: a sentence and a status each time. The slow case tries thousands."""

from __future__ import annotations

import click
import pytest

from effrob.cli import VERBS, main
from tests.hostile.fuzz_commands import commands, fuzz
from tests.hostile.fuzz_files import BYTES


def test_sixty_commands() -> None:
    ended = fuzz(60)
    assert not ended.faults, ended.faults[:5]
    assert ended.cases == 60 and ended.refused > 10


@pytest.mark.slow
def test_thousands_of_commands() -> None:
    ended = fuzz(5000, seed=1)
    assert not ended.faults, ended.faults[:5]
    assert ended.largest < 4 * BYTES


def test_a_command_that_raises_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("shifts")
    def trusting() -> None:
        raise KeyError("planted")

    assert len(commands()) > 25 and isinstance(main, click.Group)
    monkeypatch.setitem(VERBS, "shifts", (f"{__name__}:PLANTED", "planted"))
    monkeypatch.setitem(globals(), "PLANTED", trusting)
    assert fuzz(3, only="shifts").faults

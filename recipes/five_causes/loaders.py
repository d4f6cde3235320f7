"""Finished weights as networks, for effrob's registry: a function of no arguments for each run and member.

The registry digests this file with the weights, so an edit here makes every record of these networks stale.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from model_zoo.checkpoints.state import read_state
from recipes.five_causes.arms import member_network, tower_of, weights_of, with_layer
from recipes.five_causes.grid import Grid, Member, Run
from recipes.five_causes.tower import classifier

Loader = Callable[[], nn.Module]


def run_loader(run: Run, grid: Grid, out: Path) -> Loader:
    """The network of a run that is read out by a layer."""
    file = weights_of(run.name, out)
    if run.arm.layer_on is None:
        return lambda: _filled(classifier(), file)
    return lambda: _filled(with_layer(tower_of(run, grid, out)), file)


def member_loader(member: Member, out: Path) -> Loader:
    """The network of a baseline member."""
    return lambda: _filled(member_network(member), weights_of(member.name, out))


def _filled(network: nn.Module, file: Path) -> nn.Module:
    network.load_state_dict(read_state(file))
    return network

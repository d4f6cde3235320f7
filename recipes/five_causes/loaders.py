"""Finished weights as networks, for effrob's registry: a function of no arguments for each run and member.

The registry digests this file with the weights, so an edit here makes every record of these networks stale.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from model_zoo.checkpoints.state import read_state
from recipes.five_causes.arms import member_network, tower_of, weights_of, with_head
from recipes.five_causes.grid import Grid, Member, Run
from recipes.five_causes.tower import classifier

Loader = Callable[[], nn.Module]


def run_loader(run: Run, grid: Grid, out: Path) -> Loader:
    """The network of a run without a text tower. A self-supervised one has a layer of zeros after its features."""
    file = weights_of(run.name, out)

    def load() -> nn.Module:
        if run.arm.method == "text-free-head":
            return _filled(with_head(tower_of(run, grid, out)), file)
        if run.arm.method == "self-supervised":
            network = classifier()
            _filled(network.get_submodule("0"), file)
            for parameter in network.get_submodule("1").parameters():
                nn.init.zeros_(parameter)  # drawn ones would make another model of every start
            return network
        return _filled(classifier(), file)

    return load


def member_loader(member: Member, out: Path) -> Loader:
    """The network of a baseline member."""
    return lambda: _filled(member_network(member), weights_of(member.name, out))


def _filled(network: nn.Module, file: Path) -> nn.Module:
    network.load_state_dict(read_state(file))
    return network

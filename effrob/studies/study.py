"""Study: a question put to effective robustness, as data: its arms, its contrasts, its margin, and what it cannot decide.

A study is a TOML file, which `reader` checks. Each object keeps where it was written, so that a later error names its line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from effrob.errors import UsageProblem
from effrob.results.model_result import MEANS
from shifts import suite

MEAN = "mean-of-four"


@dataclass(frozen=True)
class TomlLocation:
    """Where a table was written: its file's name, its own line and those of its keys; empty for what code made."""

    file: str = ""
    line: int = 0
    keys: Mapping[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def blame(self, *keys: str) -> Iterator[None]:
        """Whatever UsageProblem is raised inside is raised again with the line of the first of `keys` that was written."""
        try:
            yield
        except UsageProblem as problem:
            if not self.file:
                raise
            line = next((self.keys[key] for key in keys if key in self.keys), self.line)
            raise UsageProblem(f"{self.file} line {line}: {problem}") from None


@dataclass(frozen=True)
class Arm:
    """One level of the factor.

    models    one published or measured model, or replicates of it (seeds)
    source    a published table; `measured` or `imported` for records; `given` for accuracies by --add
    head      which head's record, where a model has several
    amount    the factor's size, for a trend (a number of images);  lineage  models that stand or fall together
    """

    name: str
    models: tuple[str, ...]
    source: str = "measured"
    head: str | None = None
    amount: float | None = None
    lineage: str | None = None
    note: str | None = None
    location: TomlLocation = field(default_factory=TomlLocation, repr=False, compare=False)


@dataclass(frozen=True)
class Contrast:
    """What is compared: `pair`, first minus second; `trend`, over the arms' amounts; `line`, arms against the line; `mean`, of
    several pairs that ask the same thing.

    of          the pairs of a mean, by name
    confounded  what differs between the arms besides the factor, in words, which leaves no verdict; None where nothing does
    """

    name: str
    kind: str
    arms: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    confounded: str | None = None


@dataclass(frozen=True)
class Study:
    """A question with its arms. `constant` and `not_constant` are what arms share and what they do not.

    paper         what Fang et al. 2022 found of this cause, with the place in the paper
    headline      the contrast whose verdict is the study's; None where there is no arm
    beside        other baselines every arm is shown on too
    margin_share  equivalence margin as a share of a reference's effective robustness on the shift: OpenAI's ViT-B/32, or
                  the mean of the arm `margin_arm`;  margin_points  the same as a fixed fraction, which goes first
    """

    name: str
    question: str
    factor: str
    decides: str
    cannot_decide: str
    cause: str | None = None
    paper: str | None = None
    title: str | None = None
    constant: tuple[str, ...] = ()
    not_constant: tuple[str, ...] = ()
    instead: str | None = None
    baseline: str | None = None
    axis: str = "clean"
    beside: tuple[str, ...] = ()
    shifts: tuple[str, ...] = suite("imagenet").shifts
    margin_share: float = 0.1
    margin_points: float | None = None
    margin_arm: str | None = None
    headline: str | None = None
    arms: tuple[Arm, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    location: TomlLocation = field(default_factory=TomlLocation, repr=False, compare=False)

    def arm(self, name: str) -> Arm:
        """The arm of a name."""
        return next(arm for arm in self.arms if arm.name == name)

    def contrast(self, name: str) -> Contrast:
        """The contrast of a name."""
        return next(contrast for contrast in self.contrasts if contrast.name == name)

    @property
    def means(self) -> tuple[str, ...]:
        """`mean-of-four` where all its parts are studied."""
        return (MEAN,) if set(MEANS[MEAN]) <= set(self.shifts) else ()

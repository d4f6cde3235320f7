"""LinePlaces: many models beside their lines, as arrays; what `Effective` holds of each."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.results.accuracy import Accuracy
from effrob.robustness.effective import Effective
from effrob.robustness.line import BaselineLine
from effrob.robustness.scale import Scale

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tallies:
    """(n,) accuracies, fractions, and the images behind them."""

    value: Floats
    n: Floats

    @classmethod
    def of(cls, accuracies: Iterable[Accuracy | None]) -> Tallies:
        known = [a for a in accuracies if a is not None]
        return cls(np.array([a.value for a in known]), np.array([float(a.n) for a in known]))

    def take(self, some: NDArray[Any]) -> Tallies:
        return Tallies(self.value[some], self.n[some])

    @property
    def sd(self) -> Floats:
        """`Accuracy.sd` of each."""
        return np.asarray(np.sqrt(self.value * (1 - self.value) / self.n))

    def wilson(self, z: Floats | float) -> tuple[Floats, Floats]:
        """`Accuracy.wilson` of each."""
        p, share = self.value, z * z / self.n
        centre = (p + share / 2) / (1 + share)
        half = z * np.sqrt(p * (1 - p) / self.n + share / (4 * self.n)) / (1 + share)
        return np.maximum(0.0, np.minimum(centre - half, p)), np.minimum(1.0, np.maximum(centre + half, p))


@dataclass(frozen=True)
class LinePlaces:
    """(n,) models of one scale, of clean accuracy between 0 and 1, without per-image answers.

    slope, tx, height        of the line, and where it is at the model's clean accuracy, on the scale
    line_variance, variance  of that height, and of an unseen model about it; with their degrees of freedom
    """

    scale: Scale
    clean: Tallies
    shift: Tallies
    slope: Floats
    tx: Floats
    height: Floats
    line_variance: Floats
    variance: Floats
    line_freedom: Floats
    freedom: Floats

    @classmethod
    def of(cls, many: Sequence[Effective]) -> LinePlaces:
        """Of models judged one by one, each with a place."""
        places = [one.place for one in many if one.place is not None]
        alone, scattered, freedom = np.array([one.model_variances for one in many]).T
        return cls(
            scale=many[0].fit.scale,
            clean=Tallies.of(one.clean for one in many),
            shift=Tallies.of(one.shift for one in many),
            slope=np.array([line.slope for line, _, _ in places]),
            tx=np.array([tx for _, tx, _ in places]),
            height=np.array([height for _, _, height in places]),
            line_variance=alone,
            variance=scattered,
            line_freedom=np.array([float(line.freedom) for line, _, _ in places]),
            freedom=freedom,
        )

    @classmethod
    def beside(cls, line: BaselineLine, clean: Tallies, shift: Tallies) -> LinePlaces:
        """Of models beside one line, from their counts alone."""
        tx = line.scale.forward(clean.value)
        alone = line.spreads_by_family(tx) ** 2
        return cls(
            scale=line.scale,
            clean=clean,
            shift=shift,
            slope=np.full(len(tx), line.slope),
            tx=tx,
            height=line.slope * tx + line.intercept,
            line_variance=alone,
            variance=alone + max(line.predictive_std**2 - line.noise_std**2, 0.0),
            line_freedom=np.full(len(tx), float(line.freedom)),
            freedom=line.predictive_freedoms(tx),
        )

    def take(self, some: NDArray[Any]) -> LinePlaces:
        """These of them."""
        columns = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "scale"}
        taken: dict[str, Any] = {n: c.take(some) if isinstance(c, Tallies) else c[some] for n, c in columns.items()}
        return replace(self, **taken)

    @property
    def digest(self) -> bytes:
        """Of every number here: equal places have equal digests."""
        found = hashlib.sha256(self.scale.name.encode())
        for field in fields(self):
            column = getattr(self, field.name)
            for array in (column.value, column.n) if isinstance(column, Tallies) else [column]:
                found.update(np.asarray(array).tobytes() if field.name != "scale" else b"")
        return found.digest()

    @functools.cached_property
    def here(self) -> Floats:
        """What the line gives each, a fraction."""
        return self.scale.inverse(self.height)

    @functools.cached_property
    def effective_robustness(self) -> Floats:
        return self.shift.value - self.here

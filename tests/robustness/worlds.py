"""Simulated worlds with known truth: models on a line, answering images that are hard or easy for all of them alike.

Answers are a Gaussian copula: image difficulty (and class difficulty) is shared between models, each model's accuracy over
the population is exactly what it was set to, so the truth of every number is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtri

from effrob.results.answers import PredictionMatrix
from effrob.robustness.line import BaselineLine
from effrob.robustness.scale import LOGIT


@dataclass(frozen=True)
class World:
    """slope, intercept, scatter: of the true line in logits. shared: share of difficulty common to models.

    by_class: share of that which is the class's, not the image's. gap: the targets' true distances in logits.
    families: how many the models form, each of which misses the line as one; 0: every model for itself.
    """

    models: int = 20
    images: int = 1500
    classes: int = 1
    slope: float = 0.9
    intercept: float = -0.6
    scatter: float = 0.1
    shared: float = 0.5
    by_class: float = 0.0
    gaps: tuple[float, ...] = (0.3,)
    places: tuple[float, ...] = (1.0,)
    families: int = 0

    def truth(self, target: int) -> float:
        """Effective robustness of a target, in accuracy."""
        height = self.slope * self.places[target] + self.intercept
        return float(expit(height + self.gaps[target]) - expit(height))

    def draws(self, count: int, seed: int) -> Iterator[Draw]:
        """`count` independent measurements: fresh baseline models, fresh images."""
        rng = np.random.default_rng(seed)
        target = np.repeat(np.arange(self.classes), self.images // self.classes)
        for _ in range(count):
            x = rng.uniform(0.2, 1.8, self.models)
            groups = self.families or self.models
            y = (
                self.slope * x
                + self.intercept
                + self.scatter * rng.standard_normal(groups)[np.arange(self.models) % groups]
            )
            x = np.append(x, self.places)
            y = np.append(y, self.slope * np.array(self.places) + self.intercept + np.array(self.gaps))
            shift, clean = (self.answer(rng, expit(t), target) for t in (y, x))
            yield Draw(self, shift, clean, target)

    def answer(self, rng: np.random.Generator, accuracy: np.ndarray, target: np.ndarray) -> np.ndarray:
        """(M, N) right or wrong."""
        own = rng.standard_normal((len(accuracy), len(target)), dtype=np.float32)
        image = rng.standard_normal(len(target), dtype=np.float32)
        kind = rng.standard_normal(self.classes, dtype=np.float32)[target]
        common = np.sqrt(self.shared * (1 - self.by_class)) * image + np.sqrt(self.shared * self.by_class) * kind
        own *= np.float32(np.sqrt(1 - self.shared))
        own += common.astype(np.float32)
        return own < ndtri(accuracy)[:, None].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Draw:
    """One measurement: rows 0 .. models - 1 are the baseline, the rest the targets."""

    world: World
    shift: np.ndarray
    clean: np.ndarray
    target: np.ndarray

    @property
    def line(self) -> BaselineLine:
        m, n = self.world.models, self.shift.shape[1]
        groups = self.world.families or m
        return BaselineLine(
            LOGIT,
            tuple(f"m{i}" for i in range(m)),
            tuple(f"f{i % groups}" for i in range(m)),
            self.clean[:m].mean(axis=1),
            self.shift[:m].mean(axis=1),
            np.full(m, float(n)),
            np.full(m, float(n)),
        )

    def tables(self) -> tuple[PredictionMatrix, PredictionMatrix]:
        m = self.world.models
        names, ids = tuple(f"m{i}" for i in range(m)), np.arange(self.shift.shape[1]).astype(str)
        nothing = np.zeros((m, len(ids)), np.int64)
        return (
            PredictionMatrix(names, ids, self.target, self.shift[:m], nothing),
            PredictionMatrix(names, ids, self.target, self.clean[:m], nothing),
        )

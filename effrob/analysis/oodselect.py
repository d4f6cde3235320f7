"""Subsets that fool the line (OODSelect, Salaudeen et al. 2025): images on which better models on clean data do worse.

From right and wrong of many models on one shift, the images whose correctness falls with clean accuracy are selected on half of
the models; the correlation on the selected images is scored on the other half, beside random subsets of the same size. A shift
whose line hides such a subset is not one population.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.robustness.line import SEED
from effrob.robustness.scale import PROBIT

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LEAST_MODELS = 8  # half of them select, half are held out: a correlation of fewer than four says nothing


@dataclass(frozen=True, eq=False)
class FoolingSubset:
    """images (S,) places in the order given; correlations are Pearson's, of probits of accuracy, over held-out models.

    whole     on all images;  selected  on the subset;  null95  2.5 and 97.5 % of random subsets of S images
    p_value   how often a random subset correlates as little, counting the selection itself as one draw
    """

    images: NDArray[np.int64]
    whole: float
    selected: float
    null95: tuple[float, float]
    p_value: float

    def as_json(self) -> dict[str, Any]:
        return {
            "n_images": len(self.images),
            "correlation": self.whole,
            "correlation_selected": self.selected,
            "correlation_random_ci95": list(self.null95),
            "p_value": self.p_value,
        }


def fooling_subset(
    clean: Floats, correct: Bools, share: float = 0.2, splits: int = 20, null: int = 500, seed: int = SEED
) -> FoolingSubset:
    """Select `share` of the images of (M, N) answers by (M,) clean accuracies; every model is held out in half of `splits`.

    An image's score is the covariance of its correctness with the probit of clean accuracy over the selecting models, lowest
    first. The subset returned is selected on all models; its correlations are means over splits in which it was selected on one
    half and scored on the other. Raises UsageProblem for too few models or images, and equal clean accuracies.
    """
    m, n = correct.shape
    size = round(share * n)
    if m < LEAST_MODELS or len(clean) != m:
        raise UsageProblem(f"a subset that fools the line wants at least {LEAST_MODELS} models, and {m} were given")
    if not 0 < share < 1 or size < 10:
        raise UsageProblem(f"a subset wants a share in (0, 1) and 10 images, and {share} of {n} are {size}")
    x = PROBIT.forward(np.clip(clean, 0.5 / n, 1 - 0.5 / n))
    if float(np.ptp(x)) == 0.0:
        raise UsageProblem("a subset that fools the line wants models that differ on the clean images")
    rng = np.random.default_rng(seed)
    answers = correct.astype(np.float64)
    found, whole, random = [], [], []
    for _ in range(splits):
        order = rng.permutation(m)
        choosing, scoring = order[: m // 2], order[m // 2 :]
        chosen = _lowest(x[choosing], answers[choosing], size)
        found.append(_correlation(x[scoring], answers[scoring][:, chosen]))
        whole.append(_correlation(x[scoring], answers[scoring]))
        draws = [rng.choice(n, size, replace=False) for _ in range(max(1, null // splits))]
        random.append([_correlation(x[scoring], answers[scoring][:, rows]) for rows in draws])
    by_chance = np.array(random).mean(axis=0) if splits == 1 else np.array(random).ravel()
    selected = float(np.mean(found))
    low, high = np.percentile(by_chance, [2.5, 97.5])
    p = (1 + int((by_chance <= selected).sum())) / (1 + len(by_chance))
    return FoolingSubset(
        np.sort(_lowest(x, answers, size)), float(np.mean(whole)), selected, (float(low), float(high)), p
    )


def _lowest(x: Floats, answers: Floats, size: int) -> NDArray[np.int64]:
    """The images whose correctness goes up least, or down most, with clean accuracy."""
    score = (x - x.mean()) @ (answers - answers.mean(axis=0))
    return np.asarray(np.argsort(score, kind="stable")[:size], dtype=np.int64)


def _correlation(x: Floats, answers: Floats) -> float:
    n = answers.shape[1]
    y = PROBIT.forward(np.clip(answers.mean(axis=1), 0.5 / n, 1 - 0.5 / n))
    if float(np.ptp(y)) == 0.0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])

"""Accuracy: k right answers of n, its intervals, and the paired tests of two models on the same images.

numpy and scipy.special only. Counts may be fractional, because a published accuracy times its n need not be whole.
Sources: Clopper and Pearson 1934 (exact interval), Wilson 1927 (score interval), McNemar 1947 (paired test).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, ndtri

from effrob.errors import UsageProblem

Floats = NDArray[np.float64]
BOOTSTRAP_SEED = 720257663


@dataclass(frozen=True)
class Accuracy:
    """`n_correct` of `n` images answered right; 0 <= n_correct <= n, n > 0.

    Raises UsageProblem on NaN, on no images, and on more right answers than images.
    """

    n_correct: float
    n: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.n_correct) and math.isfinite(self.n) and self.n > 0):
            raise UsageProblem(
                f"an accuracy needs finite counts and at least one image; got {self.n_correct} of {self.n}"
            )
        if not 0 <= self.n_correct <= self.n:
            raise UsageProblem(f"an accuracy lies in [0, 1]; got {self.n_correct} right of {self.n}")

    @classmethod
    def of(cls, value: float, n: float) -> Accuracy:
        """From a published fraction and the known number of images."""
        if not 0 <= value <= 1:
            raise UsageProblem(f"an accuracy is a fraction in [0, 1]; got {value} (declare a percent table as percent)")
        return cls(min(value * n, n), n)

    @property
    def value(self) -> float:
        """The accuracy, a fraction."""
        return self.n_correct / self.n

    @property
    def sd(self) -> float:
        """Binomial standard deviation of `value` at its own estimate; 0 at 0 and 1, where `wilson` must be used."""
        return math.sqrt(self.value * (1 - self.value) / self.n)

    def clopper_pearson(self, alpha: float = 0.05) -> tuple[float, float]:
        """Exact interval of confidence at least 1 - alpha; its ends are 0 at k = 0 and 1 at k = n."""
        return clopper_pearson(self.n_correct, self.n, alpha)

    def wilson(self, z: float) -> tuple[float, float]:
        """Score interval z standard deviations wide each way; inside [0, 1] and of positive width even at 0 and n."""
        p, share = self.value, z * z / self.n
        centre = (p + share / 2) / (1 + share)
        half = z * math.sqrt(p * (1 - p) / self.n + share / (4 * self.n)) / (1 + share)
        return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


@functools.lru_cache(maxsize=2**16)
def clopper_pearson(k: float, n: float, alpha: float = 0.05) -> tuple[float, float]:
    """Exact binomial interval: Beta quantiles alpha/2 of (k, n-k+1) and 1-alpha/2 of (k+1, n-k)."""
    low = 0.0 if k <= 0 else float(betaincinv(k, n - k + 1, alpha / 2))
    high = 1.0 if k >= n else float(betaincinv(k + 1, n - k, 1 - alpha / 2))
    return low, high


def clopper_pearsons(k: Floats, n: Floats, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """`clopper_pearson` of each of k and n, (m,)."""
    low = np.where(k <= 0, 0.0, betaincinv(k, n - k + 1, alpha / 2))
    high = np.where(k >= n, 1.0, betaincinv(k + 1, n - k, 1 - alpha / 2))
    return low, high


def mean_accuracy(accuracies: list[Accuracy]) -> Accuracy:
    """The unweighted mean over disjoint image sets, with the n at which one binomial would have the mean's variance."""
    if not accuracies:
        raise UsageProblem("a mean of no accuracies was asked for; name at least one shift")
    value = sum(a.value for a in accuracies) / len(accuracies)
    variance = sum(a.sd**2 for a in accuracies) / len(accuracies) ** 2
    n = value * (1 - value) / variance if variance > 0 else sum(a.n for a in accuracies)
    return Accuracy.of(value, n)


@dataclass(frozen=True)
class PairedAccuracy:
    """Two models on the same n images: the difference first minus second, a fraction.

    only_first, only_second  images that one alone answered right
    ci95           from the paired bootstrap; mcnemar_p  exact two-sided, 1.0 where they never differ
    """

    n: int
    first: float
    second: float
    only_first: int
    only_second: int
    difference: float
    sd: float
    ci95: tuple[float, float]
    mcnemar_p: float


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar p: binomial(b + c, 1/2) at least as uneven as seen, doubled and capped at 1."""
    total, least = only_first + only_second, min(only_first, only_second)
    if total == 0:
        return 1.0
    # P(B <= least) for B ~ Binomial(total, 1/2) is the regularised incomplete beta function at 1/2.
    return min(1.0, 2.0 * float(betainc(total - least, least + 1, 0.5)))


def compare_correct(first: NDArray[np.bool_], second: NDArray[np.bool_], draws: int = 2000) -> PairedAccuracy:
    """McNemar and the paired bootstrap for two (n,) vectors of right and wrong on the same images in the same order.

    The bootstrap draws images; the difference depends on them only through b and c, so draws are multinomial counts.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise UsageProblem(
            f"a paired comparison needs the same images for both models; got {first.shape} and {second.shape} answers"
        )
    n = len(first)
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    difference = (b - c) / n
    counts = np.random.default_rng(BOOTSTRAP_SEED).multinomial(n, [b / n, c / n, 1 - (b + c) / n], size=draws)
    low, high = np.percentile((counts[:, 0] - counts[:, 1]) / n, [2.5, 97.5])
    return PairedAccuracy(
        n=n,
        first=float(first.mean()),
        second=float(second.mean()),
        only_first=b,
        only_second=c,
        difference=difference,
        sd=math.sqrt(max((b + c) / n - difference**2, 0.0) / n),
        ci95=(float(low), float(high)),
        mcnemar_p=mcnemar(b, c),
    )


def normal_quantile(p: float) -> float:
    """The p-quantile of the standard normal distribution."""
    return float(ndtri(p))

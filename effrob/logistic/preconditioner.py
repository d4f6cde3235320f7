"""The preconditioner: what a step must be measured in for softmax regression to look round.

Class k's own curvature is the covariance of the rows weighted by p_k (1 - p_k), *about their weighted mean*: moving to that
mean frees the intercept from the weights, and what is left is nearly the same matrix for every class. So one matrix serves
all, spread x mean mass + penalty, and one Cholesky factorisation a place. Beside the plain covariance this halves the
evaluations; a mass and an eigenbasis for every class saves none, with classes of one size or of sizes 1 to 28.

What is common to all classes changes no probability and is nought at the optimum. A mean for every class mixes it into
steps, so it is taken out of them: left in, it slows conjugate gradients by a third and more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

PLAIN = 2.0  # largest eigenvalue of mass x spread over the penalty up to which a diagonal does as well
SPIKED = 5.0  # x what is enough for the largest eigenvalue: the most a trace may be, since many middling ones count too
DEAR = 3.0  # x D² / (N x K): a whole metric beside a product, where that is dearer: a plain one does for longer
POWERS = 4  # products that the largest eigenvalue is found by
STEEP = 0.002  # pivot, beside a diagonal of ones, under which float32 is not to be trusted with an inverse
PART = 1e-3  # of a feature's second moment: less about the centres is rounding, or a sample's accident
HIGHEST = 0.5  # Böhning's bound: softmax's curvature is at most half of the covariance


class Moments(NamedTuple):
    """Second-order facts of rows weighted by p_k (1 - p_k): what a class's curvature sees.

    mass (K,) the mean weight of a class;  centre (K, D) its weighted mean row;
    spread (D, D) the weighted covariance about those centres, pooled over classes, or (D,) its diagonal.
    """

    mass: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor


def moments_of(
    mass: torch.Tensor, centre: torch.Tensor, second: torch.Tensor, rows: float, scale: torch.Tensor
) -> Moments:
    """Summed curvature (K,), its mean rows (K, D) and the pooled mean row x row (D, D), of scaled rows -> moments.

    rows: summed weights of the rows;  scale (D,) of them. `second` may be its diagonal (D,); it is overwritten, and its
    dtype is the result's.
    """
    centre, share = centre.to(second.dtype), mass / mass.sum().clamp_min(torch.finfo(torch.float64).tiny)
    share, scale = share.to(second.dtype).unsqueeze(1), scale.to(second.dtype)
    if second.dim() == 1:
        spread = second - (share * centre.square()).sum(0)
        spread = torch.where(spread < PART * second, second, spread) * scale.square()
        return Moments(mass / rows, centre * scale, spread)
    spread = torch.addmm(second, (centre * share).T, centre, alpha=-1.0)
    if bool((spread.diagonal() < PART * second.diagonal()).any()):
        spread = second  # drawn rows and exact centres disagree on what one row brings: about no centre, then
    spread.mul_(scale.unsqueeze(1)).mul_(scale)
    return Moments(mass / rows, centre * scale, spread)


def plain_does(
    plain: Moments, rows: torch.Tensor, share: torch.Tensor | float, scale: torch.Tensor, penalty: float, passed: int
) -> bool:
    """Whether a diagonal will do for the metric, so that the matrix need not be made.

    plain  moments with a diagonal;  rows (n, D) their spread is of, share (n,) or one number their weights
    passed  rows x classes of a pass: what a matrix costs is told beside it
    """
    d = rows.shape[1]
    mass = max(float(plain.mass.mean()), torch.finfo(torch.float64).tiny)
    enough = PLAIN * max(1.0, DEAR * d * d / passed) * penalty / mass
    trace = float(plain.spread.double().sum())
    if not trace <= SPIKED * enough:
        return False
    return trace <= enough or _peak(plain, rows, share, scale) <= enough


def _peak(plain: Moments, rows: torch.Tensor, share: torch.Tensor | float, scale: torch.Tensor) -> float:
    """The largest eigenvalue of the spread, nearly, by powers."""
    seeded = torch.Generator(device=rows.device).manual_seed(0)
    way = torch.randn(rows.shape[1], generator=seeded, device=rows.device, dtype=rows.dtype)
    scale = scale.to(rows.dtype)
    classes = (plain.mass / plain.mass.sum()).to(rows.dtype)
    for _ in range(POWERS):
        way = way / way.norm().clamp_min(torch.finfo(rows.dtype).tiny)
        seen = (rows @ (scale * way)) * share
        way = scale * (rows.T @ seen) - plain.centre.T @ ((plain.centre @ way) * classes)
    return float(way.norm())


def even(theta: torch.Tensor) -> torch.Tensor:
    """(K, D + 1) without what is common to all classes: it changes no probability, costs penalty, and noise drives it."""
    return theta - theta.mean(0)


@dataclass(frozen=True)
class Preconditioner:
    """An approximate inverse Hessian.

    spread (D, D) or its diagonal (D,);  mass  its factor;  centre (K, D)
    inverse (D, D) of mass x spread + penalty, or the diagonal of that (D,)
    """

    spread: torch.Tensor
    mass: float
    inverse: torch.Tensor
    centre: torch.Tensor

    @classmethod
    def of(cls, moments: Moments, penalty: float) -> Preconditioner:
        """The metric of these moments under a penalty, in their dtype."""
        mass = float(moments.mass.mean().clamp_min(torch.finfo(torch.float64).tiny))
        return cls(moments.spread, mass, moments.spread, moments.centre).with_penalty(penalty)

    def with_penalty(self, penalty: float) -> Preconditioner:
        """The same curvature under another penalty."""
        dtype, beside = self.spread.dtype, penalty / self.mass
        if self.spread.dim() == 1:
            return replace(self, inverse=(1.0 / (self.mass * (self.spread.double() + beside))).to(dtype))
        diagonal = self.spread.diagonal().double() + beside
        unit = diagonal.clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
        scale = unit.to(dtype)
        even = (self.spread * scale.unsqueeze(1)).mul_(scale)  # features of any scales: a diagonal of ones
        even.diagonal().fill_(1.0)
        factor, failed = torch.linalg.cholesky_ex(even)
        if bool(failed) or bool((factor.diagonal() < STEEP).any()):
            factor, failed = torch.linalg.cholesky_ex(even.double())
        if bool(failed):  # sums' rounding has made it indefinite
            roots, basis = torch.linalg.eigh(even.double())
            inverse = (basis / roots.clamp_min(torch.finfo(torch.float32).eps)) @ basis.T
        else:
            inverse = torch.cholesky_inverse(factor)
        unit = (unit * self.mass**-0.5).to(inverse.dtype)
        return replace(self, inverse=inverse.mul_(unit.unsqueeze(1)).mul_(unit).to(dtype))

    def cautious(self, penalty: float) -> Preconditioner:
        """With the curvature softmax has at most, so that a whole step cannot overshoot.

        For places where all rows are sure of themselves: what curvature is left there says nothing of a step's end.
        """
        return replace(self, mass=max(self.mass, HIGHEST)).with_penalty(penalty)

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """(K, D + 1) gradients of no common part -> steps of none, in the metric's dtype."""
        slope = gradient[:, -1]
        weight = gradient[:, :-1] - slope.unsqueeze(1) * self.centre
        weight = weight @ self.inverse if self.spread.dim() == 2 else weight * self.inverse
        intercept = slope / self.mass - (self.centre * weight).sum(1)
        return even(torch.cat([weight, intercept.unsqueeze(1)], dim=1))

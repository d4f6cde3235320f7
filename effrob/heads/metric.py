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
    """Second-order facts of p problems, rows weighted by p_k (1 - p_k): what a class's curvature sees.

    mass (p, K) the mean weight of a class;  centre (p, K, D) its weighted mean row;
    spread (p, D, D) the weighted covariance about those centres, pooled over classes, or (p, D) its diagonal.
    """

    mass: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor


def moments_of(
    mass: torch.Tensor, centre: torch.Tensor, second: torch.Tensor, rows: torch.Tensor, scale: torch.Tensor
) -> Moments:
    """Summed curvature (p, K), its mean rows (p, K, D) and the pooled mean row x row (p, D, D), of scaled rows -> moments.

    rows (p,) summed weights of the rows;  scale (p, D) of them. `second` may be its diagonal (p, D); it is overwritten, and
    its dtype is the result's.
    """
    centre, share = centre.to(second.dtype), mass / mass.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    if second.dim() == 2:
        spread = second - (share.to(second.dtype).unsqueeze(-1) * centre.square()).sum(1)
        spread = torch.where(spread < PART * second, second, spread) * scale.to(second.dtype).square()
        return Moments(mass / rows.unsqueeze(-1), centre * scale.to(second.dtype).unsqueeze(1), spread)
    spread = torch.baddbmm(second, (centre * share.to(second.dtype).unsqueeze(-1)).mT, centre, alpha=-1.0)
    if bool((spread.diagonal(dim1=1, dim2=2) < PART * second.diagonal(dim1=1, dim2=2)).any()):
        spread = second  # drawn rows and exact centres disagree on what one row brings: about no centre, then
    scale = scale.to(second.dtype)
    spread.mul_(scale.unsqueeze(2)).mul_(scale.unsqueeze(1))
    return Moments(mass / rows.unsqueeze(-1), centre * scale.unsqueeze(1), spread)


def plain_does(
    plain: Moments, rows: torch.Tensor, share: torch.Tensor, scale: torch.Tensor, penalty: torch.Tensor, passed: int
) -> bool:
    """Whether a diagonal will do for the metric, so that the matrix need not be made.

    plain  moments with a diagonal;  rows (p, n, D) their spread is of, share (p, n or 1) their weights;  penalty (p,)
    passed  rows x classes of a pass: what a matrix costs is told beside it
    """
    d = rows.shape[2]
    enough = PLAIN * max(1.0, DEAR * d * d / passed) * penalty / plain.mass.mean(1)
    trace = plain.spread.double().sum(1)
    if not bool((trace <= SPIKED * enough).all()):
        return False
    return bool((trace <= enough).all()) or bool((_peak(plain, rows, share, scale) <= enough).all())


def _peak(plain: Moments, rows: torch.Tensor, share: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The largest eigenvalue (p,) of the spread, nearly, by powers."""
    seeded = torch.Generator(device=rows.device).manual_seed(0)
    way = torch.randn(rows.shape[0], rows.shape[2], 1, generator=seeded, device=rows.device, dtype=rows.dtype)
    scale = scale.to(rows.dtype).unsqueeze(-1)
    classes = (plain.mass / plain.mass.sum(1, keepdim=True)).to(rows.dtype).unsqueeze(-1)
    for _ in range(POWERS):
        way = way / way.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
        seen = torch.bmm(rows, scale * way) * share.unsqueeze(-1)
        way = scale * torch.bmm(rows.mT, seen) - torch.bmm(plain.centre.mT, torch.bmm(plain.centre, way) * classes)
    peak: torch.Tensor = way.norm(dim=(1, 2)).double()
    return peak


def even(theta: torch.Tensor) -> torch.Tensor:
    """(P, K, D + 1) without what is common to all classes: it changes no probability, costs penalty, and noise drives it."""
    return theta - theta.mean(1, keepdim=True)


@dataclass(frozen=True)
class Metric:
    """An approximate inverse Hessian of p problems.

    spread (p, D, D) or its diagonal (p, D);  mass (p, 1) float64, its factor;  centre (p, K, D)
    inverse (p, D, D) of mass x spread + penalty, or the diagonal of that (p, 1, D)
    """

    spread: torch.Tensor
    mass: torch.Tensor
    inverse: torch.Tensor
    centre: torch.Tensor

    @classmethod
    def of(cls, moments: Moments, penalty: torch.Tensor) -> Metric:
        """The metric of these moments under penalty (p,), in their dtype."""
        mass = moments.mass.mean(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        return cls(moments.spread, mass, moments.spread, moments.centre).with_penalty(penalty)

    def with_penalty(self, penalty: torch.Tensor) -> Metric:
        """The same curvature under another penalty (p,)."""
        dtype, beside = self.spread.dtype, penalty.unsqueeze(1) / self.mass
        if self.spread.dim() == 2:
            return replace(self, inverse=(1.0 / (self.mass * (self.spread + beside))).to(dtype).unsqueeze(1))
        unit = (self.spread.diagonal(dim1=1, dim2=2) + beside).clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
        scale = unit.to(dtype)
        even = (self.spread * scale.unsqueeze(2)).mul_(scale.unsqueeze(1))  # features of any scales: a diagonal of ones
        even.diagonal(dim1=1, dim2=2).fill_(1.0)
        factor, failed = torch.linalg.cholesky_ex(even)
        if bool(failed.any()) or bool((factor.diagonal(dim1=1, dim2=2) < STEEP).any()):
            factor, failed = torch.linalg.cholesky_ex(even.double())
        if bool(failed.any()):  # sums' rounding has made it indefinite
            roots, basis = torch.linalg.eigh(even.double())
            inverse = (basis / roots.clamp_min(torch.finfo(torch.float32).eps).unsqueeze(1)) @ basis.mT
        else:
            inverse = torch.cholesky_inverse(factor)
        unit = (unit * self.mass.rsqrt()).to(inverse.dtype)
        inverse = inverse.mul_(unit.unsqueeze(2)).mul_(unit.unsqueeze(1)).to(dtype)
        return replace(self, inverse=inverse)

    def part(self, kept: torch.Tensor) -> Metric:
        """The problems at these places."""
        return Metric(self.spread[kept], self.mass[kept], self.inverse[kept], self.centre[kept])

    def cautious(self, penalty: torch.Tensor) -> Metric:
        """With the curvature softmax has at most, so that a whole step cannot overshoot.

        For places where all rows are sure of themselves: what curvature is left there says nothing of a step's end.
        """
        return replace(self, mass=self.mass.clamp_min(HIGHEST)).with_penalty(penalty)

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """(p, K, D + 1) gradients of no common part -> steps of none, in the metric's dtype."""
        slope = gradient[..., -1]
        weight = gradient[..., :-1] - slope.unsqueeze(-1) * self.centre
        weight = torch.bmm(weight, self.inverse) if self.spread.dim() == 3 else weight * self.inverse
        intercept = slope / self.mass.to(slope.dtype) - (self.centre * weight).sum(-1)
        return even(torch.cat([weight, intercept.unsqueeze(-1)], dim=-1))

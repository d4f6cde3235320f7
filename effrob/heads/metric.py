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

STEEP = 0.002  # pivot, beside a diagonal of ones, under which float32 is not to be trusted with an inverse
PART = 1e-3  # of a feature's second moment: less about the centres is rounding, or a sample's accident
HIGHEST = 0.5  # Böhning's bound: softmax's curvature is at most half of the covariance


class Moments(NamedTuple):
    """Second-order facts of p problems, rows weighted by p_k (1 - p_k): what a class's curvature sees.

    mass (p, K) the mean weight of a class;  centre (p, K, D) its weighted mean row;
    spread (p, D, D) the weighted covariance about those centres, pooled over classes and divided by the summed mass.
    """

    mass: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor


def moments_of(
    mass: torch.Tensor, first: torch.Tensor, second: torch.Tensor, rows: torch.Tensor, scale: torch.Tensor
) -> Moments:
    """Sums over rows of curvature (p, K), curvature x row (p, K, D) and row x row (p, D, D), all float64 -> their moments.

    rows (p,) summed weights of the rows;  scale (p, D) of them.
    """
    floor = torch.finfo(torch.float64).tiny
    centre = first / mass.clamp_min(floor).unsqueeze(-1)
    spread = second - torch.bmm((centre * mass.unsqueeze(-1)).mT, centre)
    if bool((spread.diagonal(dim1=1, dim2=2) < PART * second.diagonal(dim1=1, dim2=2)).any()):
        spread = second  # drawn rows and exact centres disagree on what one row brings: about no centre, then
    spread = spread / mass.sum(1).clamp_min(floor)[:, None, None] * scale.unsqueeze(2) * scale.unsqueeze(1)
    return Moments(mass / rows.unsqueeze(-1), centre * scale.unsqueeze(1), spread)


def even(theta: torch.Tensor) -> torch.Tensor:
    """(P, K, D + 1) without what is common to all classes: it changes no probability, costs penalty, and noise drives it."""
    return theta - theta.mean(1, keepdim=True)


@dataclass(frozen=True)
class Metric:
    """An approximate inverse Hessian of p problems.

    curvature (p, D, D) float64, mass x spread;  inverse (p, D, D) of it + penalty;  mass (p, 1);  centre (p, K, D)
    """

    curvature: torch.Tensor
    inverse: torch.Tensor
    mass: torch.Tensor
    centre: torch.Tensor

    @classmethod
    def of(cls, moments: Moments, penalty: torch.Tensor, dtype: torch.dtype) -> Metric:
        """The metric of these moments under penalty (p,); arithmetic in `dtype`."""
        mass = moments.mass.mean(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        curvature = mass.unsqueeze(-1) * moments.spread
        plain = cls(curvature, curvature.to(dtype), mass.to(dtype), moments.centre.to(dtype))
        return plain.with_penalty(penalty)

    def with_penalty(self, penalty: torch.Tensor) -> Metric:
        """The same curvature under another penalty (p,)."""
        dtype = self.mass.dtype
        whole = self.curvature + torch.diag_embed(penalty.unsqueeze(1).expand(self.curvature.shape[:2]))
        unit = whole.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
        rounded = unit.unsqueeze(2) * whole * unit.unsqueeze(1)  # features of any scales have a diagonal of ones
        factor, failed = torch.linalg.cholesky_ex(rounded.to(dtype))
        if bool(failed.any()) or bool((factor.diagonal(dim1=1, dim2=2) < STEEP).any()):
            factor, failed = torch.linalg.cholesky_ex(rounded)
        if bool(failed.any()):  # sums' rounding has made it indefinite
            roots, basis = torch.linalg.eigh(rounded)
            inverse = (basis / roots.clamp_min(torch.finfo(torch.float32).eps).unsqueeze(1)) @ basis.mT
        else:
            inverse = torch.cholesky_inverse(factor)
        return replace(self, inverse=(unit.unsqueeze(2) * inverse * unit.unsqueeze(1)).to(dtype))

    def part(self, kept: torch.Tensor) -> Metric:
        """The problems at these places."""
        return Metric(self.curvature[kept], self.inverse[kept], self.mass[kept], self.centre[kept])

    def cautious(self, penalty: torch.Tensor) -> Metric:
        """With the curvature softmax has at most, so that a whole step cannot overshoot.

        For places where all rows are sure of themselves: what curvature is left there says nothing of a step's end.
        """
        mass = self.mass.clamp_min(HIGHEST)
        more = replace(self, curvature=self.curvature * (mass / self.mass).double().unsqueeze(-1), mass=mass)
        return more.with_penalty(penalty)

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """(p, K, D + 1) gradients of no common part -> steps of none, in the metric's dtype."""
        slope = gradient[..., -1]
        weight = torch.bmm(gradient[..., :-1] - slope.unsqueeze(-1) * self.centre, self.inverse)
        intercept = slope / self.mass - (self.centre * weight).sum(-1)
        return even(torch.cat([weight, intercept.unsqueeze(-1)], dim=-1))

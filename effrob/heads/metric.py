"""The preconditioner: what a step must be measured in for softmax regression to look round.

Class k's own curvature is the covariance of the rows weighted by p_k (1 - p_k), *about their weighted mean*: moving to that
mean frees the intercept from the weights, and what is left is nearly the same matrix for every class. So one eigenbasis
serves all: H_k is about mass_k x spread + penalty in it. Beside the plain covariance this halves the evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from effrob.heads.softmax import Moments

HIGHEST = 0.5  # Böhning's bound: softmax's curvature is at most half of the covariance
RARE = 1e-2  # a class's mass is taken as at least this part of the mean: a class no row doubts has no curvature to divide by


class Metric(Protocol):
    """An approximate inverse Hessian of p problems."""

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """(p, K, D + 1) gradients -> steps, in the metric's dtype."""

    def with_penalty(self, penalty: torch.Tensor) -> Metric:
        """The same curvature under another penalty (p,)."""

    def part(self, kept: torch.Tensor) -> Metric:
        """The problems at these places."""

    def cautious(self, where: torch.Tensor) -> Metric:
        """At the problems `where` (p,) bool, with the curvature softmax has at most, so that a whole step cannot overshoot.

        For places where all rows are sure of themselves: what curvature is left there says nothing of a step's end.
        """


Measure = Callable[[Moments, torch.Tensor, torch.dtype], Metric]
"""Moments, penalty (p,) and the dtype of the arithmetic -> a metric."""


@dataclass(frozen=True)
class ClassMetric:
    """An approximate inverse Hessian of p problems.

    basis (p, D, D) eigenvectors;  roots (p, D) eigenvalues >= 0;  mass (p, K);  centre (p, K, D);  penalty (p,)
    """

    basis: torch.Tensor
    roots: torch.Tensor
    mass: torch.Tensor
    centre: torch.Tensor
    penalty: torch.Tensor

    @classmethod
    def of(cls, moments: Moments, penalty: torch.Tensor, dtype: torch.dtype) -> ClassMetric:
        """The metric of these moments; arithmetic in `dtype`."""
        roots, basis = torch.linalg.eigh(moments.spread.to(dtype))
        floor = RARE * moments.mass.mean(1, keepdim=True) + torch.finfo(torch.float64).tiny
        mass = torch.maximum(moments.mass, floor)
        return cls(
            basis.to(dtype), roots.clamp_min(0).to(dtype), mass.to(dtype), moments.centre.to(dtype), penalty.to(dtype)
        )

    def with_penalty(self, penalty: torch.Tensor) -> ClassMetric:
        """See `Metric`."""
        return replace(self, penalty=penalty.to(self.basis.dtype))

    def cautious(self, where: torch.Tensor) -> ClassMetric:
        """See `Metric`."""
        return replace(self, mass=torch.where(where[:, None], self.mass.clamp_min(HIGHEST), self.mass))

    def part(self, kept: torch.Tensor) -> ClassMetric:
        """See `Metric`."""
        return ClassMetric(self.basis[kept], self.roots[kept], self.mass[kept], self.centre[kept], self.penalty[kept])

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """See `Metric`."""
        slope = gradient[..., -1]
        turned = torch.bmm(gradient[..., :-1] - slope.unsqueeze(-1) * self.centre, self.basis)
        turned /= self.mass.unsqueeze(-1) * self.roots.unsqueeze(1) + self.penalty[:, None, None]
        weight = torch.bmm(turned, self.basis.mT)
        intercept = slope / self.mass - (self.centre * weight).sum(-1)
        return torch.cat([weight, intercept.unsqueeze(-1)], dim=-1)


@dataclass(frozen=True)
class PooledMetric:
    """The same with one mass for all classes, which are then alike: no eigenvectors are needed, at a tenth of the cost.

    curvature (p, D, D) float64, mass x spread;  inverse (p, D, D) of it + penalty;  mass (p, 1);  centre (p, K, D)
    """

    curvature: torch.Tensor
    inverse: torch.Tensor
    mass: torch.Tensor
    centre: torch.Tensor

    @classmethod
    def of(cls, moments: Moments, penalty: torch.Tensor, dtype: torch.dtype) -> PooledMetric:
        """The metric of these moments; arithmetic in `dtype`."""
        mass = moments.mass.mean(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        curvature = mass.unsqueeze(-1) * moments.spread
        plain = cls(curvature, curvature.to(dtype), mass.to(dtype), moments.centre.to(dtype))
        return plain.with_penalty(penalty)

    def with_penalty(self, penalty: torch.Tensor) -> PooledMetric:
        """See `Metric`."""
        whole = self.curvature.clone()
        diagonal = whole.diagonal(dim1=1, dim2=2)
        diagonal += penalty.unsqueeze(-1) + torch.finfo(self.mass.dtype).eps * diagonal.mean(1, keepdim=True)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(whole))
        return replace(self, inverse=inverse.to(self.mass.dtype))

    def part(self, kept: torch.Tensor) -> PooledMetric:
        """See `Metric`."""
        return PooledMetric(self.curvature[kept], self.inverse[kept], self.mass[kept], self.centre[kept])

    def cautious(self, where: torch.Tensor) -> PooledMetric:
        """See `Metric`."""
        mass = torch.where(where[:, None], self.mass.clamp_min(HIGHEST), self.mass)
        return replace(self, inverse=self.inverse * (self.mass / mass).unsqueeze(-1), mass=mass)

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """See `Metric`."""
        slope = gradient[..., -1]
        weight = torch.bmm(gradient[..., :-1] - slope.unsqueeze(-1) * self.centre, self.inverse)
        intercept = slope / self.mass - (self.centre * weight).sum(-1)
        return torch.cat([weight, intercept.unsqueeze(-1)], dim=-1)

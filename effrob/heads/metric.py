"""The preconditioner: what a step must be measured in for softmax regression to look round.

Class k's own curvature is the covariance of the rows weighted by p_k (1 - p_k), *about their weighted mean*: moving to that
mean frees the intercept from the weights, and what is left is nearly the same matrix for every class. So one eigenbasis
serves all: H_k is about mass_k x spread + penalty in it. Beside the plain covariance this halves the evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from effrob.heads.softmax import Moments

RARE = 1e-2  # a class's mass is taken as at least this part of the mean: a class no row doubts has no curvature to divide by


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
        roots, basis = torch.linalg.eigh(moments.spread)
        floor = RARE * moments.mass.mean(1, keepdim=True) + torch.finfo(torch.float64).tiny
        mass = torch.maximum(moments.mass, floor)
        return cls(
            basis.to(dtype), roots.clamp_min(0).to(dtype), mass.to(dtype), moments.centre.to(dtype), penalty.to(dtype)
        )

    def with_penalty(self, penalty: torch.Tensor) -> ClassMetric:
        """The same curvature under another penalty."""
        return replace(self, penalty=penalty.to(self.basis.dtype))

    def part(self, kept: torch.Tensor) -> ClassMetric:
        """The problems at these places."""
        return ClassMetric(self.basis[kept], self.roots[kept], self.mass[kept], self.centre[kept], self.penalty[kept])

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """(p, K, D + 1) gradients -> steps, in the metric's dtype."""
        slope = gradient[..., -1]
        turned = torch.bmm(gradient[..., :-1] - slope.unsqueeze(-1) * self.centre, self.basis)
        turned /= self.mass.unsqueeze(-1) * self.roots.unsqueeze(1) + self.penalty[:, None, None]
        weight = torch.bmm(turned, self.basis.mT)
        intercept = slope / self.mass - (self.centre * weight).sum(-1)
        return torch.cat([weight, intercept.unsqueeze(-1)], dim=-1)

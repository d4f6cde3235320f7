"""The preconditioner of both Newton's method and L-BFGS: one approximate Hessian block for all classes, inverted.

Class k's diagonal block of softmax's Hessian is  Xᵀ diag(p_k (1 - p_k)) X + penalty. In coordinates centred at the class's own
weighted mean row the intercept decouples from the weights, and the blocks are nearly equal. So mean weight x pooled covariance
+ penalty, and one Cholesky factorisation, stand for all. Measured: half the evaluations of the plain covariance; a factor
and an eigenbasis for each class save none, for classes of one size or of sizes 1 to 28.

The class means mix the component common to all classes into steps. `apply` removes it: it costs a third more products.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

DIAGONAL_CONDITION = 2.0  # largest eigenvalue of the curvature over the penalty up to which a diagonal does
TRACE_CONDITION = 5.0  # x that: the largest trace with which it does, as many middling eigenvalues count too
MATRIX_COST = 3.0  # x D² / (N x K): the matrix's cost in Hessian products; the limit grows where that is over 1
POWER_ITERATIONS = 4  # for the largest eigenvalue, which only chooses between the two
MIN_PIVOT = 0.002  # Cholesky pivot, of a matrix with diagonal 1, under which the inverse is made in float64
MIN_CENTRED_PART = 1e-3  # of a second moment: with less, the whole matrix (of a diagonal, that feature) stays uncentred
MAX_CURVATURE = 0.5  # softmax's Hessian is at most half of Xᵀ X (Böhning 1992)

TINY = torch.finfo(torch.float64).tiny


class Moments(NamedTuple):
    """Moments of rows weighted by the curvature p_k (1 - p_k).

    curvature (K,) mean of a class;  mean (K, D) its weighted mean row;  covariance (D, D) about those means, pooled over
    classes, or (D,) its diagonal.
    """

    curvature: Tensor
    mean: Tensor
    covariance: Tensor


def centred_moments(curvature: Tensor, mean: Tensor, second: Tensor, total: float, scale: Tensor) -> Moments:
    """Summed curvature (K,), mean rows (K, D) and pooled second moments (D, D) or (D,) of rows scaled by `scale` -> moments.

    total: summed weights of the rows. `second` is overwritten, and its dtype is the result's.
    """
    mean, relative = mean.to(second.dtype), curvature / curvature.sum().clamp_min(TINY)
    relative, scale = relative.to(second.dtype).unsqueeze(1), scale.to(second.dtype)
    if second.dim() == 1:
        variance = second - (relative * mean.square()).sum(0)
        variance = torch.where(variance < MIN_CENTRED_PART * second, second, variance) * scale.square()
        return Moments(curvature / total, mean * scale, variance)
    covariance = torch.addmm(second, (mean * relative).T, mean, alpha=-1.0)
    if bool((covariance.diagonal() < MIN_CENTRED_PART * second.diagonal()).any()):
        covariance = second  # sampled second moments minus exact means: they disagree on what a single row contributes
    covariance.mul_(scale.unsqueeze(1)).mul_(scale)
    return Moments(curvature / total, mean * scale, covariance)


def diagonal_suffices(
    diagonal: Moments, rows: Tensor, weights: Tensor, scale: Tensor, penalty: float, n_logits: int
) -> bool:
    """Whether a diagonal preconditioner does as well as the matrix, which then need not be made.

    diagonal: moments with a diagonal covariance, of rows (n, D) with these weights (n,);  n_logits: N x K of the loss
    """
    d = rows.shape[1]
    weight = max(float(diagonal.curvature.mean()), TINY)
    limit = DIAGONAL_CONDITION * max(1.0, MATRIX_COST * d * d / n_logits) * penalty / weight
    trace = float(diagonal.covariance.double().sum())
    if not trace <= TRACE_CONDITION * limit:
        return False
    return trace <= limit or _largest_eigenvalue(diagonal, rows, weights, scale) <= limit


def _largest_eigenvalue(diagonal: Moments, rows: Tensor, weights: Tensor, scale: Tensor) -> float:
    """Of the pooled covariance, approximately, by power iteration."""
    seeded = torch.Generator(device=rows.device).manual_seed(0)
    vector = torch.randn(rows.shape[1], generator=seeded, device=rows.device, dtype=rows.dtype)
    scale = scale.to(rows.dtype)
    relative = (diagonal.curvature / diagonal.curvature.sum()).to(rows.dtype)
    for _ in range(POWER_ITERATIONS):
        vector = vector / vector.norm().clamp_min(torch.finfo(rows.dtype).tiny)
        projected = (rows @ (scale * vector)) * weights
        vector = scale * (rows.T @ projected) - diagonal.mean.T @ ((diagonal.mean @ vector) * relative)
    return float(vector.norm())


@dataclass(frozen=True)
class Preconditioner:
    """inverse (D, D) of weight (mean curvature) x covariance + penalty, or its diagonal (D,), about the class means (K, D)."""

    covariance: Tensor
    weight: float
    inverse: Tensor
    mean: Tensor

    @classmethod
    def of(cls, moments: Moments, penalty: float) -> Preconditioner:
        """In the moments' dtype."""
        weight = float(moments.curvature.mean().clamp_min(TINY))
        return cls(moments.covariance, weight, moments.covariance, moments.mean).with_penalty(penalty)

    def with_penalty(self, penalty: float) -> Preconditioner:
        """The same curvature under another penalty."""
        dtype, ridge = self.covariance.dtype, penalty / self.weight
        if self.covariance.dim() == 1:
            return replace(self, inverse=(1.0 / (self.weight * (self.covariance.double() + ridge))).to(dtype))
        diagonal = self.covariance.diagonal().double() + ridge
        unit = diagonal.clamp_min(TINY).rsqrt()
        scale = unit.to(dtype)
        # a unit diagonal, whatever the features' scales
        correlation = (self.covariance * scale.unsqueeze(1)).mul_(scale)
        correlation.diagonal().fill_(1.0)
        factor, failed = torch.linalg.cholesky_ex(correlation)
        if bool(failed) or bool((factor.diagonal() < MIN_PIVOT).any()):
            factor, failed = torch.linalg.cholesky_ex(correlation.double())
        if bool(failed):  # rounding of the sums has made it indefinite
            roots, basis = torch.linalg.eigh(correlation.double())
            inverse = (basis / roots.clamp_min(torch.finfo(torch.float32).eps)) @ basis.T
        else:
            inverse = torch.cholesky_inverse(factor)
        unit = (unit * self.weight**-0.5).to(inverse.dtype)
        return replace(self, inverse=inverse.mul_(unit.unsqueeze(1)).mul_(unit).to(dtype))

    def with_maximal_curvature(self, penalty: float) -> Preconditioner:
        """With Böhning's largest weight; a heuristic, as the covariance is that of curvature-weighted rows."""
        return replace(self, weight=max(self.weight, MAX_CURVATURE)).with_penalty(penalty)

    def apply(self, gradient: Tensor) -> Tensor:
        """Gradients (K, D + 1) -> inverse Hessian x gradient, without the component common to all classes."""
        intercepts = gradient[:, -1]
        weights = gradient[:, :-1] - intercepts.unsqueeze(1) * self.mean
        weights = weights @ self.inverse if self.covariance.dim() == 2 else weights * self.inverse
        intercepts = intercepts / self.weight - (self.mean * weights).sum(1)
        step = torch.cat([weights, intercepts.unsqueeze(1)], dim=1)
        return step - step.mean(0)

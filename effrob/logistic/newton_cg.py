"""Newton's method on a softmax loss whose curvature is cheap, stopped by the relative gap to its optimum.

Each step solves (Hessian) x step = -gradient by preconditioned conjugate gradients as far as pays. Products with the Hessian
are made in the quick arithmetic of the loss: what they lose, the next gradient brings back. So are the changes of gradients,
and on the way of logits too, while what they lose (`drift`) is nothing beside the gap asked; where a fit ends is exact.

Stopping. The error of conjugate gradients in the Hessian's norm is what the model can still fall, and their own falls tell it
(Hestenes and Stiefel 1952; Strakos and Tichy 2002). At a new place the gap f - f* is estimated, not certified, as the
gradient's ½ g'Mg, M the metric, times what that fell short of such an error in the last solve, or a seventieth of what strong
convexity makes certain where that is more. It stops at gap <= tol x f.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from effrob.logistic.in_memory_loss import InMemoryLoss
from effrob.logistic.preconditioner import Preconditioner, even
from effrob.logistic.streamed_loss import Evaluation, dot

ENOUGH = 0.5  # of the gap asked: what a solve may leave
SHARE = 0.5  # x the root of its relative fall: the part of it that a solve may leave, since the model will be as wrong
MOST = 0.3  # that part at most
NEAR = 0.05  # x relative fall ** 1.5 under the gap asked: the model is good to the end
TRUST = 0.03  # ... and its relative fall under this
HALF = 0.5  # relative fall of the model that is not to be believed further: no loss falls under 0
SOME = 5  # products of a solve that is not under it, at most: later ones go where the model is flat and f is not
FIRST = 4  # products of a solve that goes to the end, at least: earlier falls do not tell of slow directions
WINDOW = 2  # conjugate gradient steps whose falls are compared with those of as many before
PRODUCTS = 200  # of a solve, at most
ROUNDS = 15  # steps in float32, at most: what asks for more asks for float64
AGAIN = 150.0  # fall of the gap after which the metric is measured again,
FAR = 3000.0  # ... while it is this many times what is asked
FLOOR = 0.7  # of ½ g'Mg, at least, is taken for the gap: a metric may be too long, and a solve told of few directions
LOOSE = 70.0  # what is certain of a gap against the gap: 2 to 5 mostly, 1500 where an estimate was a tenth of it
LEAST = 1e-9  # part of the gap asked: a solve goes no deeper than that, however little of what is certain it sees
SAFETY = 5.0  # ½ g'Mg against the gap before any solve: 1 to 5 seen
ROUNDING = {torch.float32: 1e-8, torch.float64: 1e-14}  # relative noise of a value summed over rows
BLENDED = 30.0  # x that: of a value whose logits are sums of others
ARMIJO = 1e-4  # part of the fall its slope promises that a step must bring
LEVEL = 0.5  # a step is too long where the slope at its end rises by more than this part of the fall at its start
SHORTEST = 1e-7  # step, of a whole one, under which there is none
LOST = 1e-5  # of a gap: what a step made in quick arithmetic leaves wrong in the gradient, as a gap
SMALL = 0.1  # of the gap asked: what a gradient may be wrong by
BLUR = (
    0.01  # of the falls since an exact value: what one of quick logits may be wrong by; slopes tell of falls from there
)
POOR = 0.5  # of its gap: a step that leaves more in quick arithmetic, from less than CLOSE, is the last in it
CLOSE = 1e-4


Reason = Literal["gap", "rounding", "cap"]


@dataclass(frozen=True)
class Minimum:
    """Where it ended: theta (K, D + 1), f, its gradient, passes spent, estimated relative gap, why it stopped."""

    theta: torch.Tensor
    value: float
    gradient: torch.Tensor
    evaluations: int
    gap: float
    reason: Reason


class _Solve(NamedTuple):
    """What conjugate gradients came to.

    step (K, D + 1);  short  the model's fall still to come over ½ r'Mr, the most near the end;  products made
    last  whether it should be within its tolerance there
    """

    step: torch.Tensor
    short: float
    products: int
    last: bool


def _left(falls: list[float]) -> float:
    """What the falls of conjugate gradients say is still to come."""
    if len(falls) < 2:
        return math.inf
    width = WINDOW if len(falls) >= 2 * WINDOW else 1
    now, before = sum(falls[-width:]), sum(falls[-2 * width : -width])
    rate = min(max(now / before, 0.0), 0.95) if before else 0.0
    return now * rate / (1 - rate) * (1 if width == WINDOW else 3)


def _solve(
    loss: InMemoryLoss, gradient: torch.Tensor, metric: Preconditioner, size: float, tol: float, most: int, quick: bool
) -> _Solve:
    """Conjugate gradients until what is left of the fall is little beside tol x size, or beside the model's error."""
    r = gradient.to(loss.dtype, copy=True)
    step = torch.zeros_like(r)
    z = metric.apply(r)
    p, rho = -z, dot(r, z)
    falls: list[float] = []
    norms: list[float] = []
    left = math.inf
    while len(falls) < most:
        p, product = loss.curved(p, quick)
        steep, bend = dot(r, p), dot(p, product)
        if not (bend > 0 and steep < 0):
            break
        a = -steep / bend
        falls.append(-a * steep / 2)
        norms.append(rho / 2)
        step.add_(p, alpha=a)
        r.add_(product, alpha=a)
        left = _left(falls)
        fall = sum(falls)
        depth = fall / size
        good = NEAR * depth**1.5 < tol and depth < TRUST
        share = 0.0 if good else min(SHARE * math.sqrt(depth), MOST)
        few = math.log10(max(depth / (ENOUGH * tol), sys.float_info.min))
        early = good and len(falls) < 1 + min(few, FIRST - 1)
        enough = left <= ENOUGH * tol * size or left <= share * fall
        if (enough and not early) or depth >= HALF or (depth >= TRUST and len(falls) >= SOME):
            break
        z = metric.apply(r)
        fresh = dot(r, z)
        p, rho = torch.add(-z, p, alpha=fresh / rho if rho else 0.0), fresh
    short, tail = FLOOR, left if math.isfinite(left) else 0.0
    for fall, norm in zip(reversed(falls), reversed(norms)):
        tail += fall
        short = max(short, tail / norm if norm else 0.0)
    return _Solve(even(step.double()), short, len(falls), left <= ENOUGH * tol * size)


class _Looked(NamedTuple):
    """Where a line search ended: step, of a whole one, theta and what was seen there; passes; whether quick ones did."""

    step: float
    theta: torch.Tensor
    there: Evaluation
    passes: int
    quick: bool


def _search(
    loss: InMemoryLoss,
    theta: torch.Tensor,
    here: Evaluation,
    direction: torch.Tensor,
    slack: float,
    last: Evaluation | None,
    rough: bool,
) -> _Looked:
    """A step along `direction` that brings what its slope promises, but for `slack`, and does not end far uphill.

    `last` and `rough` are for the first look, see `InMemoryLoss.evaluate`: what such a look refuses is looked at exactly.
    """
    slope = float((here.gradient * direction).sum())
    step = 1.0 if math.isfinite(slope) else 0.0
    passes = 0
    while True:
        trial = theta + step * direction if step else theta
        there = loss.evaluate(trial, None, last, rough=rough)
        passes += 1
        steep = float((there.gradient * direction).sum())
        fell = here.value - there.value >= -ARMIJO * step * slope - slack and steep <= -LEVEL * slope
        if fell or not step:
            return _Looked(step, trial, there, passes, last is not None)
        if last is None:
            shorter = (
                slope / (slope - steep) if math.isfinite(steep) and steep != slope else 0.1
            )  # where slopes point to 0
            step = 0.0 if step < SHORTEST else step * min(max(shorter, 0.1), 0.7)
        last, rough = None, False


def newton(
    loss: InMemoryLoss,
    start: torch.Tensor,
    logits: torch.Tensor | None = None,
    *,
    tol: float,
    max_evaluations: int,
    watch: Callable[[int, float], None] = lambda evaluations, gap: None,
) -> Minimum:
    """Minimise from `start` (K, D + 1) float64, whose logits (N, K) may be known.

    The minimum's evaluations are passes over the rows, products among them. `watch` hears those so far and the gap. It is
    the place of an exact evaluation, and the loss's last.
    """
    dtype = loss.dtype
    noise = ROUNDING[dtype] * (1 if logits is None else BLENDED)
    theta = even(start)
    value, gradient = loss.evaluate(theta, logits)
    metric = Preconditioner.of(loss.moments(), loss.penalty)
    short, idle, blur = SAFETY, 0, 0.0
    gap, part = _gap(metric, gradient, value, short, loss.penalty)
    measured = gap
    evaluations, rounds, quick, rough, drift = 1, 0, True, False, 0.0
    while True:
        watch(evaluations, gap)
        if rough and (evaluations >= max_evaluations or gap <= tol or idle >= 2):
            value, gradient = loss.evaluate(theta)
            gap, part = _gap(metric, gradient, value, short, loss.penalty)
            evaluations, rough, drift, blur = evaluations + 1, False, 0.0, 0.0
        if gap <= tol or idle >= 2 or evaluations >= max_evaluations:
            reason: Reason = "gap" if gap <= tol else "rounding" if idle >= 2 else "cap"
            return Minimum(theta, value, gradient, evaluations, gap, reason)
        most = max(1, min(PRODUCTS, max_evaluations - evaluations))
        solved = _solve(loss, gradient, metric, max(abs(value), sys.float_info.min), part * tol, most, quick)
        drift += gap * LOST
        cheap, fine = quick and loss.cheap, drift < SMALL * tol
        rough = cheap and not solved.last and (fine or NEAR * gap**2.25 > tol)
        here = Evaluation(value, gradient)
        slack = noise * abs(value) + blur
        looked = _search(loss, theta, here, solved.step, slack, here if rough or (cheap and fine) else None, rough)
        evaluations, rounds = evaluations + solved.products + looked.passes, rounds + 1
        rough, drift = rough and looked.quick, drift if looked.quick else 0.0
        fall = value - looked.there.value
        idle = idle + 1 if fall <= noise * abs(value) and blur == 0 else 0
        blur = blur + abs(fall) * BLUR if rough else 0.0
        theta, (value, gradient), short, before, noise = looked.theta, looked.there, solved.short, gap, ROUNDING[dtype]
        gap, part = _gap(metric, gradient, value, short, loss.penalty)
        unsolved = solved.products == PRODUCTS
        if dtype == torch.float32 and (rounds >= ROUNDS or (unsolved and not quick)):
            idle = 2  # it would go on for long, for want of digits
        floored = (gap > POOR * before and before < CLOSE) or idle > 0
        quick = quick and not unsolved and not (gap > tol and looked.step == 1 and floored)
        if gap < measured / AGAIN and gap > FAR * tol:
            metric = Preconditioner.of(loss.moments(), loss.penalty)
            gap, part = _gap(metric, gradient, value, short, loss.penalty)
            measured = gap


def _gap(
    metric: Preconditioner, gradient: torch.Tensor, value: float, short: float, penalty: float
) -> tuple[float, float]:
    """Relative gap, estimated and never under a part of what is certain; and the estimate over that."""
    r = gradient.to(metric.centre.dtype)
    estimate, sure = short * dot(r, metric.apply(r)) / 2, certain(gradient, penalty)
    gap = max(estimate, sure) / max(abs(value), sys.float_info.min)
    if not (gap >= 0 and estimate >= 0):
        return math.inf, 1.0  # a metric that rounding has made indefinite tells nothing
    return gap, max(estimate / sure, LEAST) if sure > estimate else 1.0


def certain(gradient: torch.Tensor, penalty: float) -> float:
    """By strong convexity a gap is at most LOOSE times this, where the intercepts are at their optimum."""
    return float(gradient[:, :-1].square().sum()) / max(2 * penalty * LOOSE, sys.float_info.min)

"""Newton's method on a stack of softmax losses whose curvature is cheap, stopped by the relative gap to their optima.

Each step solves (Hessian) x step = -gradient by preconditioned conjugate gradients as far as pays. Products with the Hessian
are made in the quick arithmetic of the loss: what they lose, the next gradient brings back. So are the changes of gradients,
and on the way of logits too, while what they lose (`drift`) is nothing beside the gap asked; where a fit ends is exact.

Stopping. The error of conjugate gradients in the Hessian's norm is what the model can still fall, and their own falls tell it
(Hestenes and Stiefel 1952; Strakos and Tichy 2002). At a new place the gap f - f* is estimated, not certified, as the
gradient's ½ g'Mg, M the metric, times what that fell short of such an error in the last solve. It stops at gap <= tol x f.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from effrob.heads.kept import KeptLoss
from effrob.heads.metric import Metric, even
from effrob.heads.softmax import Evaluation, dot

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
    """Where one problem ended: theta (K, D + 1), f, its gradient, passes spent, estimated relative gap, why it stopped."""

    theta: torch.Tensor
    value: float
    gradient: torch.Tensor
    evaluations: int
    gap: float
    reason: Reason


@dataclass(frozen=True)
class _Solve:
    """What conjugate gradients came to.

    step (p, K, D + 1);  short (p,) the model's fall still to come over ½ r'Mr, the most near the end;  products made
    last  whether every problem should be within its tolerance there
    """

    step: torch.Tensor
    short: torch.Tensor
    products: int
    last: bool


def _left(falls: list[torch.Tensor]) -> torch.Tensor:
    """What the falls (p,) of conjugate gradients say is still to come."""
    if len(falls) < 2:
        return torch.full_like(falls[0], torch.inf)
    width = WINDOW if len(falls) >= 2 * WINDOW else 1
    now, before = torch.stack(falls[-width:]).sum(0), torch.stack(falls[-2 * width : -width]).sum(0)
    rate = (now / before).nan_to_num(0.0).clamp(0.0, 0.95)
    return now * rate / (1 - rate) * (1 if width == WINDOW else 3)


def _solve(
    loss: KeptLoss, gradient: torch.Tensor, metric: Metric, size: torch.Tensor, tol: float, most: int, quick: bool
) -> _Solve:
    """Conjugate gradients until what is left of the fall is little beside tol x size (p,), or beside the model's error."""
    r = gradient.to(loss.dtype, copy=True)
    step = torch.zeros_like(r)
    z = metric.apply(r)
    p, rho = -z, dot(r, z)
    falls: list[torch.Tensor] = []
    norms: list[torch.Tensor] = []
    going, left = torch.ones_like(rho, dtype=torch.bool), torch.full_like(size, torch.inf)
    while len(falls) < most:
        p, product = loss.curved(p, quick)
        steep, bend = dot(r, p), dot(p, product)
        going = going & (bend > 0) & (steep < 0)
        a = torch.where(going, -steep / bend, 0.0)
        falls.append(-(a * steep).double() / 2)
        norms.append(rho.double() / 2)
        step += a[:, None, None] * p
        r += a[:, None, None] * product
        left = torch.where(going, _left(falls), left)
        fall = torch.stack(falls).sum(0)
        depth = fall / size
        good = (NEAR * depth**1.5 < tol) & (depth < TRUST)
        share = torch.where(good, 0.0, (SHARE * depth.sqrt()).clamp_max(MOST))
        few = (depth / (ENOUGH * tol)).log10().clamp_max(FIRST - 1)
        early = (share == 0) & (len(falls) < 1 + few)
        going = going & (early | (left > ENOUGH * tol * size) & (left > share * fall)) & (depth < HALF)
        going = going & ((depth < TRUST) | torch.tensor(len(falls) < SOME, device=left.device))
        if not bool(going.any()):
            break
        z = metric.apply(r)
        fresh = dot(r, z)
        p, rho = -z + (fresh / rho).nan_to_num(0.0)[:, None, None] * p, fresh
    short, tail = torch.full_like(size, FLOOR), left.nan_to_num(0.0, posinf=0.0)
    for fall, norm in zip(reversed(falls), reversed(norms)):
        tail = tail + fall
        short = torch.maximum(short, (tail / norm).nan_to_num(0.0, posinf=0.0))
    return _Solve(even(step.double()), short, len(falls), bool((left <= ENOUGH * tol * size).all()))


class _Looked(NamedTuple):
    """Where a line search ended: step (p,) of a whole one, theta and what was seen there; passes; whether quick ones did."""

    step: torch.Tensor
    theta: torch.Tensor
    there: Evaluation
    passes: int
    quick: bool


def _search(
    loss: KeptLoss,
    theta: torch.Tensor,
    here: Evaluation,
    direction: torch.Tensor,
    slack: torch.Tensor,
    last: Evaluation | None,
    rough: bool,
) -> _Looked:
    """A step along `direction` that brings what its slope promises, but for `slack` (p,), and does not end far uphill.

    `last` and `rough` are for the first look, see `KeptLoss.evaluate`: what such a look refuses is looked at exactly.
    """
    slope = (here.gradient * direction).sum((1, 2))
    step = torch.isfinite(slope).to(here.value.dtype)
    passes = 0
    while True:
        trial = torch.where((step == 0)[:, None, None], theta, theta + step[:, None, None] * direction)
        there = loss.evaluate(trial, None, last, rough=rough)
        passes += 1
        steep = (there.gradient * direction).sum((1, 2))
        fell = (here.value - there.value >= -ARMIJO * step * slope - slack) & (steep <= -LEVEL * slope)
        if bool((fell | (step == 0)).all()):
            return _Looked(step, trial, there, passes, last is not None)
        if last is None:
            shorter = (slope / (slope - steep)).nan_to_num(0.1).clamp(0.1, 0.7)  # where the slopes point to 0
            step = torch.where(fell, step, torch.where(step < SHORTEST, 0.0, step * shorter))
        last, rough = None, False


def newton(
    loss: KeptLoss,
    start: torch.Tensor,
    logits: torch.Tensor | None = None,
    *,
    tol: float,
    max_evaluations: int,
    watch: Callable[[int, float], None] = lambda evaluations, gap: None,
) -> list[Minimum]:
    """Minimise P problems from `start` (P, K, D + 1) float64, whose logits (P, N, K) may be known.

    Returns the minima in order; their evaluations are passes over the rows, products among them. `watch` hears those so
    far and the largest gap. Every minimum is the place of an exact evaluation, and a single problem's is the loss's last.
    """
    dtype = loss.dtype
    noise = ROUNDING[dtype] * (1 if logits is None else BLENDED)
    ids = torch.arange(len(start), device=start.device)
    theta = even(start)
    value, gradient = loss.evaluate(theta, logits)
    metric = Metric.of(loss.moments(), loss.penalty)
    short, idle, blur = torch.full_like(value, SAFETY), torch.zeros_like(value), torch.zeros_like(value)
    gap = measured = _gap(metric, gradient, value, short)
    minima: dict[int, Minimum] = {}
    evaluations, rounds, quick, rough, drift = 1, 0, True, False, 0.0
    while True:
        watch(evaluations, float(gap.max()))
        capped = evaluations >= max_evaluations
        if rough and (capped or bool(((gap <= tol) | (idle >= 2)).any())):
            value, gradient = loss.evaluate(theta)
            gap = _gap(metric, gradient, value, short)
            evaluations, rough, drift, blur = evaluations + 1, False, 0.0, torch.zeros_like(value)
        done = (gap <= tol) | (idle >= 2) | torch.tensor(capped, device=gap.device)
        for place in done.nonzero()[:, 0].tolist():
            reason: Reason = "gap" if gap[place] <= tol else "rounding" if idle[place] >= 2 else "cap"
            minima[int(ids[place])] = Minimum(
                theta[place], float(value[place]), gradient[place], evaluations, float(gap[place]), reason
            )
        if bool(done.all()):
            return [minima[i] for i in range(len(start))]
        if bool(done.any()):
            kept = ~done
            loss, metric = loss.part(kept), metric.part(kept)
            ids, theta, value, gradient, short, idle, blur, gap, measured = (
                one[kept] for one in (ids, theta, value, gradient, short, idle, blur, gap, measured)
            )
        most = max(1, min(PRODUCTS, max_evaluations - evaluations))
        solved = _solve(loss, gradient, metric, value.abs(), tol, most, quick)
        worst = float(gap.max())
        drift += worst * LOST
        cheap, fine = quick and loss.cheap, drift < SMALL * tol
        rough = cheap and not solved.last and (fine or NEAR * worst**2.25 > tol)
        here = Evaluation(value, gradient)
        slack = noise * value.abs() + blur
        looked = _search(loss, theta, here, solved.step, slack, here if rough or (cheap and fine) else None, rough)
        evaluations, rounds = evaluations + solved.products + looked.passes, rounds + 1
        rough, drift = rough and looked.quick, drift if looked.quick else 0.0
        fall = value - looked.there.value
        idle = torch.where((fall <= noise * value.abs()) & (blur == 0), idle + 1, 0.0)
        blur = blur + fall.abs() * BLUR if rough else torch.zeros_like(fall)
        theta, (value, gradient), short, before, noise = looked.theta, looked.there, solved.short, gap, ROUNDING[dtype]
        gap = _gap(metric, gradient, value, short)
        unsolved = solved.products == PRODUCTS
        if dtype == torch.float32 and (rounds >= ROUNDS or (unsolved and not quick)):
            idle = torch.full_like(idle, 2.0)  # it would go on for long, for want of digits
        floored = (gap > POOR * before) & (before < CLOSE) | (idle > 0)
        quick = quick and not unsolved and not bool(((gap > tol) & (looked.step == 1) & floored).any())
        if bool(((gap < measured / AGAIN) & (gap > FAR * tol)).any()):
            metric = Metric.of(loss.moments(), loss.penalty)
            gap = measured = _gap(metric, gradient, value, short)


def _gap(metric: Metric, gradient: torch.Tensor, value: torch.Tensor, short: torch.Tensor) -> torch.Tensor:
    """Estimated relative gap (p,)."""
    r = gradient.to(metric.centre.dtype)
    gap = short * dot(r, metric.apply(r)).double() / 2 / value.abs().clamp_min(torch.finfo(torch.float64).tiny)
    return torch.where(gap >= 0, gap, torch.inf)  # a metric that rounding has made indefinite tells nothing

"""Nonlinear conjugate gradients from nothing, for a softmax loss whose rows lie along the axes of their covariance.

Along those axes a diagonal is the metric at any mean probability, so a step costs two matrix products and next to nothing
else. Its logits are known along the whole direction, so the line search makes no product: it goes on until little of the
slope is left, and that is what keeps directions conjugate far from the optimum, where Newton's model does not hold.

Both products are made in the device's quick arithmetic and only change what is known. What that loses is a part in a hundred
thousand of how far it still was; so a step is looked at exactly whenever CLEARED of that is left, and so is where it ends.
For one problem whose penalty neither dwarfs the data nor vanishes beside them, of rows few enough to keep N x K numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from effrob.logistic.newton_cg import FLOOR, Minimum, Reason, certain
from effrob.logistic.streamed_loss import balanced_, dot, residuals_
from effrob.logistic.warm_start import ROUGH

REFRESH = (2, 6, 14, 30)  # steps after which masses, centres and variances are measured again
FLAT = 0.07  # of a direction's slope: what a line search may leave
LOOKS = 20  # of a line search, at most
CLEARED = 2e-3  # of ½ g'Mg at the last exact look: under it a step is looked at exactly, for what quick ones lost
SURE = 10.0  # margin of a row at an optimum, about: its doubt holds the weights by as much
WINDOW = 6  # steps, at most, and from half as many on, whose ½ g'Mg are held against what fell since
STEADY = 0.9  # of half such a window's fall, at most, that the next half is taken to bring
LONG = 5.0  # ½ g'Mg against what falls, at most; before any is known, so many times are taken for the gap


class _Metric(NamedTuple):
    """Diagonal curvature about every class's own mean row, inverted.

    inverse (1, d + 1), 0 in the last column;  centre (K, d + 1), 0 there too;  mass (K,) mean p (1 - p)
    """

    inverse: torch.Tensor
    centre: torch.Tensor
    mass: torch.Tensor

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """(K, d + 1) gradients -> steps without what is common to all classes."""
        slope = gradient[:, -1]
        step = torch.addcmul(gradient, slope.unsqueeze(1), self.centre, value=-1.0).mul_(self.inverse)
        step[:, -1] = slope / self.mass - torch.linalg.vecdot(self.centre, step)
        return step.sub_(step.mean(0))


@dataclass
class _Place:
    """Where it stands: theta (K, d + 1), logits (N, K) less the right class's, probabilities, value, gradient, ||W||²."""

    theta: torch.Tensor
    logits: torch.Tensor
    chance: torch.Tensor
    value: float
    gradient: torch.Tensor
    square: float


class _Step(NamedTuple):
    """A line search's end: the step, logits and probabilities there, ||W||² there, what the model falls by on the way."""

    step: float
    logits: torch.Tensor
    chance: torch.Tensor
    square: float
    fall: float


class _Problem:
    """Mean loss + penalty / 2 x ||W||² of rows (N, d + 1) whose last column is 1."""

    def __init__(
        self, rows: torch.Tensor, quick: torch.Tensor, labels: torch.Tensor, n_classes: int, penalty: float
    ) -> None:
        self.rows, self.quick, self.labels, self.penalty, self.k = rows, quick, labels, penalty, n_classes
        self.right, self.n = labels.unsqueeze(1), len(labels)
        self.buffer = rows.new_empty(self.n, n_classes)

    def nothing(self) -> _Place:
        """No weights: every class as likely."""
        sums = self.rows.new_zeros(self.k, self.rows.shape[1]).index_add_(0, self.labels, self.rows)
        gradient = (sums.sum(0) / self.k - sums).div_(self.n)
        chance = torch.full_like(self.buffer, 1.0 / self.k)
        return _Place(torch.zeros_like(sums), torch.zeros_like(chance), chance, math.log(self.k), gradient, 0.0)

    def plain(self, spectrum: torch.Tensor) -> _Metric:
        """The metric there; spectrum (d,) the variances of the coordinates."""
        mass = (1 - 1 / self.k) / self.k
        centre = self.rows.mean(0)
        centre[-1] = 0.0
        return self._metric(spectrum.to(centre) * mass, centre.expand(self.k, -1), self.rows.new_full((self.k,), mass))

    def measured(self, here: _Place) -> _Metric:
        """The metric at a place: mean rows of every class, variances of all together.

        Where rows are surer than the weights there can stay, as after a bold step, it has the curvature of where they will be.
        """
        curve = torch.addcmul(here.chance, here.chance, here.chance, value=-1.0, out=self.buffer)
        mass, share = curve.sum(0).clamp_min_(torch.finfo(curve.dtype).tiny), curve.sum(1)
        centre = torch.mm(curve.to(self.quick.dtype).T, self.quick).to(curve.dtype).div_(mass.unsqueeze(1))
        centre[:, -1] = 0.0
        square = torch.mv(self.rows.square().T, share) - torch.mv(centre.square().T, mass)
        lack = max(1.0, self.penalty * here.square / SURE / (float(mass.sum()) / self.n))
        return self._metric(square[:-1].clamp_min_(0.0) * (lack / (self.n * self.k)), centre, mass * (lack / self.n))

    def _metric(self, curvature: torch.Tensor, centre: torch.Tensor, mass: torch.Tensor) -> _Metric:
        inverse = torch.cat([(curvature + self.penalty).reciprocal_(), curvature.new_zeros(1)])
        return _Metric(inverse.unsqueeze(0), centre, mass)

    def search(
        self, here: _Place, direction: torch.Tensor, rounded: torch.Tensor, spare: torch.Tensor, chance: torch.Tensor
    ) -> _Step | None:
        """Newton's method in the step, in a bracket, to where FLAT of the slope is left; None where there is no such step.

        `rounded` is the direction in the quick dtype; `spare` and `chance` (N, K) are overwritten. Slopes are told by their
        changes: quick rows would have another at 0.
        """
        way = torch.mm(self.quick, rounded.T).to(here.logits.dtype)
        way.sub_(way.gather(1, self.right))
        length, along = _weights_dot(direction, direction), _weights_dot(here.theta, direction)
        at, low, high, first = 0.0, 0.0, math.inf, 0.0
        start = slope = dot(here.gradient, direction)
        tried = here.chance
        for look in range(LOOKS):
            shared = torch.mul(tried, way, out=self.buffer)
            means = shared.sum(1)
            pull = float(means.sum(dtype=torch.float64)) / self.n
            if look == 0:
                first = pull
            else:
                slope = start + pull - first + self.penalty * at * length
                if abs(slope) <= FLAT * abs(start):
                    break
                low, high = (at, high) if slope < 0 else (low, at)
            bend = float(shared.mul_(way).sum() - means.square_().sum()) / self.n + self.penalty * length
            step = at - slope / bend if bend > 0 else math.inf
            middle = (low + high) / 2 if high < math.inf else 4 * low
            at = step if low < step < high and (low == 0 or step < 10 * low) else middle
            if not 0 < at < math.inf:
                return None
            torch.add(here.logits, way, alpha=at, out=spare)
            tried = torch.softmax(spare, 1, out=chance)
        square = here.square + 2 * at * along + at * at * length
        return _Step(at, spare, chance, square, -at * start / 2) if start < 0 and math.isfinite(slope) else None

    def move(self, here: _Place, step: _Step, direction: torch.Tensor, exact: bool) -> torch.Tensor:
        """Move `here` by a step, all in changes, or where `exact` look at it anew; the gradient's change."""
        before = here.gradient
        here.theta.add_(direction, alpha=step.step)
        if exact:
            here.logits, here.chance = step.logits, step.chance
            self.exact(here, change=False)
            return here.gradient - before
        pull = self._pull(torch.sub(step.chance, here.chance, out=self.buffer))
        pull[:, :-1].add_(direction[:, :-1], alpha=self.penalty * step.step)
        here.gradient = before + pull
        here.logits, here.chance, here.square = step.logits, step.chance, step.square
        right = here.chance.gather(1, self.right).clamp_min_(torch.finfo(pull.dtype).tiny)
        here.value = -float(right.log_().sum()) / self.n + self.penalty / 2 * here.square
        return pull

    def under(self, here: _Place, penalty: float) -> None:
        """The same place under another penalty, from now on."""
        more, self.penalty = penalty - self.penalty, penalty
        here.gradient[:, :-1].add_(here.theta[:, :-1], alpha=more)
        here.value += more / 2 * here.square

    def exact(self, here: _Place, change: bool) -> None:
        """Look at `here` once more in the rows' own arithmetic; the gradient by its `change` since, or whole."""
        before = here.chance
        here.theta.sub_(here.theta.mean(0))  # rounding brings in what is common to all classes
        logits = torch.mm(self.rows, here.theta.T, out=here.logits)
        logits.sub_(logits.gather(1, self.right))
        here.chance = torch.softmax(logits, 1)
        loss, residual = residuals_(here.chance.clone(), logits, self.labels)
        weight = here.theta[:, :-1]
        here.square = float(weight.double().square().sum())
        here.value = float(loss.sum()) / self.n + self.penalty / 2 * here.square
        if change:
            here.gradient = here.gradient + self._pull(torch.sub(here.chance, before, out=self.buffer))
        else:
            here.gradient = torch.mm(residual.T, self.rows).div_(self.n)
            here.gradient[:, :-1].add_(weight, alpha=self.penalty)

    def _pull(self, change: torch.Tensor) -> torch.Tensor:
        """What changed probabilities, which are overwritten, change in the loss's gradient."""
        change = balanced_(change, self.labels)
        return torch.mm(change.to(self.quick.dtype).T, self.quick).to(change.dtype).div_(self.n)


def descend(
    rows: torch.Tensor,
    labels: torch.Tensor,
    n_classes: int,
    penalties: Sequence[float],
    spectrum: torch.Tensor,
    *,
    quick: torch.Tensor | None = None,
    tol: float,
    max_evaluations: int,
) -> Minimum:
    """Minimise from nothing, through rough optima of all penalties but the last, to an estimated relative gap of `tol`.

    Or until steps no longer help ("rounding"), or the "cap". rows (N, d + 1) float32 along the axes of a covariance near
    theirs, the last column 1;  labels (N,) of classes that all have rows;  spectrum (d,) the variances;  quick  the rows in
    an arithmetic that loses digits and is worth it, if there is one. The estimate is half the gradient's square in the
    metric, times what that fell short of the falls that followed and those that their rate promises, or a seventieth of
    what strong convexity makes certain.
    """
    cheap, quick = quick is not None, rows if quick is None else quick
    problem = _Problem(rows, quick, labels, n_classes, penalties[0])
    ahead = list(penalties[1:])
    here, metric = problem.nothing(), problem.plain(spectrum)
    spare, chance = torch.empty_like(here.logits), torch.empty_like(here.logits)
    halves: list[float] = []  # ½ g'Mg at every step of a window, and what it fell by
    falls: list[float] = []
    direction = pull = None
    short, cleared, evaluations, steps, exact, lost = LONG, math.inf, 1, 0, True, False
    while True:
        step = metric.apply(here.gradient)
        half = dot(here.gradient, step) / 2
        gap, wanted = short * half / here.value if half >= 0 else math.nan, ROUGH if ahead else tol
        if gap <= wanted:
            gap = max(gap, certain(here.gradient, problem.penalty) / here.value)
        lost = lost or not math.isfinite(gap)
        cleared = half if exact else cleared
        done = lost or evaluations >= max_evaluations or gap <= wanted
        if done and ahead and not lost:
            problem.under(here, ahead.pop(0))
            metric, direction, pull, steps = problem.measured(here), None, None, 0
            short, halves, falls = LONG, [], []
            continue
        if done and not exact:
            problem.exact(here, change=True)
            evaluations, exact = evaluations + 1, True
            continue
        if done:
            reason: Reason = "rounding" if lost else "gap" if gap <= tol else "cap"
            gap = gap if math.isfinite(gap) else math.inf
            return Minimum(here.theta.double(), here.value, here.gradient.double(), evaluations, gap, reason)
        if direction is None or pull is None:
            direction = -step
        else:
            direction.mul_(max(0.0, dot(step, pull) / dot(direction, pull))).sub_(step)
        rounded = direction.to(quick.dtype)
        found = problem.search(here, direction.copy_(rounded), rounded, spare, chance)
        if found is None:
            lost = True
            continue
        spare, chance, due = here.logits, here.chance, cheap and half < CLEARED * cleared
        pull = problem.move(here, found, direction, due)
        evaluations, steps, exact = evaluations + 1, steps + 1, due
        halves, falls = [*halves[1 - WINDOW :], half], [*falls[1 - WINDOW :], found.fall]
        if len(falls) >= WINDOW // 2:
            short = min(max(FLOOR, _short(halves, falls)), LONG)
        if steps in REFRESH:
            metric = problem.measured(here)


def _short(halves: list[float], falls: list[float]) -> float:
    """What fell since one of some steps, and what the rate of falls says will, over ½ g'Mg there: the most of them."""
    middle = len(falls) // 2
    now, before = sum(falls[middle:]), sum(falls[:middle])
    rate = min(now / before, STEADY) if before > 0 else STEADY
    left = now * rate / (1 - rate)
    return max((sum(falls[i:]) + left) / half for i, half in enumerate(halves))


def _weights_dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """Without the intercepts in the last column."""
    return dot(a, b) - float(torch.dot(a[:, -1], b[:, -1]))

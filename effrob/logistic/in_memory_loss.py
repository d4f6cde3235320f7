"""The softmax loss of rows few enough to keep their probabilities: exact where evaluated, cheaply curved around there.

A product with the Hessian is two matrix products and no softmax, and needs few digits: they are made in bfloat16 where the
device is quicker at it. Logits are kept too, so that a place between known ones is scored by no product at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from effrob.logistic.preconditioner import Moments, moments_of, plain_does
from effrob.logistic.streamed_loss import SPREAD, Evaluation, balanced_, dot, in_doubt, quick_dtype, residuals_

CELLS = {"cpu": 1 << 22, "cuda": 1 << 27}  # N x K up to which they are kept: 11 numbers of each
RCOND = 1e-6  # relative eigenvalue of the curvature between places under which it is noise


class Place(NamedTuple):
    """theta (K, D + 1) float64 and its logits (N, K)."""

    theta: torch.Tensor
    logits: torch.Tensor


class InMemoryLoss:
    """Mean weighted loss + penalty / 2 x ||W||²; theta (K, D + 1) float64 has the intercepts last.

    x (N, D) rows in the arithmetic's dtype, scaled by scale (D,);  y (N,) int64;  w (N,) float64 or None
    """

    def __init__(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        w: torch.Tensor | None,
        penalty: float,
        scale: torch.Tensor,
        n_classes: int,
        block_rows: int,
    ) -> None:
        self.x, self.y, self.w, self.penalty, self.scale, self.dtype = x, y, w, penalty, scale, x.dtype
        self.quick = x.to(quick_dtype(x.dtype, x.device))
        self.cheap = self.quick.dtype != self.dtype
        self.mass = float(len(y)) if w is None else float(w.sum())
        self.block_rows = max(64, block_rows)
        self.logits = x.new_empty(len(y), n_classes)
        self.chance = torch.empty_like(self.logits)
        self.theta = torch.empty(0)

    def _spans(self) -> Iterator[slice]:
        for first in range(0, len(self.y), self.block_rows):
            yield slice(first, first + self.block_rows)

    def _rows(self, dtype: torch.dtype) -> torch.Tensor:
        return self.x if dtype == self.dtype else self.quick

    def _linear(self, theta: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """theta as (D, K) weights for the scaled rows, and (K,) intercepts in the arithmetic's dtype."""
        return (theta[:, :-1] * self.scale.to(theta.dtype)).to(dtype).T, theta[:, -1].to(self.dtype)

    def evaluate(
        self,
        theta: torch.Tensor,
        logits: torch.Tensor | None = None,
        last: Evaluation | None = None,
        *,
        rough: bool = False,
    ) -> Evaluation:
        """Value and gradient at theta, whose logits (N, K) may be known; curvature is of there from now on.

        `last`, of the last place, has the gradient's change since there made in the quick arithmetic, and `rough` that of the
        logits too: each is wrong by a part in a hundred of the change or so.
        """
        value, gradient = 0.0, torch.zeros_like(theta)
        if last is not None:
            step = theta - self.theta
            moved, shift = self._linear(step, self.quick.dtype)
        weight, bias = self._linear(theta, self.dtype)
        self.theta = theta
        rows = self._rows(self.dtype if last is None else self.quick.dtype)
        for span in self._spans():
            if rough and last is not None:
                known = self.logits[span].add_(torch.mm(self.quick[span], moved)).add_(shift)
            else:
                known = torch.addmm(bias, self.x[span], weight) if logits is None else logits[span]
                self.logits[span] = known
            chance = torch.softmax(known, dim=-1)
            change = chance - self.chance[span] if last is not None else None
            self.chance[span] = chance
            loss, residual = residuals_(chance, known, self.y[span])
            residual = residual if change is None else balanced_(change, self.y[span])
            if self.w is not None:
                loss = loss * self.w[span]
                residual *= self.w[span].unsqueeze(-1).to(self.dtype)
            value += float(loss.sum())
            gradient[:, :-1] += torch.mm(residual.to(rows.dtype).T, rows[span])
            gradient[:, -1] += residual.sum(0)
        weight = theta[:, :-1]
        gradient /= self.mass
        gradient[:, :-1] *= self.scale
        gradient[:, :-1] += self.penalty * (weight if last is None else step[:, :-1])
        if last is not None:
            gradient += last.gradient
        return Evaluation(value / self.mass + self.penalty / 2 * float(weight.square().sum()), gradient)

    def curved(self, direction: torch.Tensor, quick: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(K, D + 1) -> the direction as the arithmetic has it, quick or not, and the Hessian's product with that one."""
        dtype = self.quick.dtype if quick else self.dtype
        weight, bias = self._linear(direction, dtype)
        scale, whole = self.scale.to(self.dtype), self._rows(dtype)
        inverse = torch.where(scale > 0, 1.0 / scale, 0.0)  # scales are powers of two: exact
        direction = torch.cat([weight.T.to(self.dtype) * inverse, direction[:, -1:]], dim=-1)
        product = torch.zeros_like(direction)
        for span in self._spans():
            rows, chance = whole[span], self.chance[span]
            change = (torch.mm(rows, weight) + bias).mul_(chance)
            change.addcmul_(chance, change.sum(-1, keepdim=True), value=-1.0)
            if self.w is not None:
                change *= self.w[span].unsqueeze(-1).to(self.dtype)
            product[:, :-1] += torch.mm(change.to(dtype).T, rows)
            product[:, -1] += change.sum(0)
        product /= self.mass
        product[:, :-1] *= scale
        product[:, :-1] += self.penalty * direction[:, :-1]
        return direction, product

    def moments(self) -> Moments:
        """Curvature where it was evaluated last.

        Of all rows, but the spread of SPREAD of them at most (see `in_doubt`).
        """
        n, d = self.x.shape
        mass = self.theta.new_zeros(len(self.theta))
        first = self.x.new_zeros(len(mass), d)
        doubt = self.x.new_empty(n)
        for span in self._spans():
            chance = self.chance[span]
            curve = torch.addcmul(chance, chance, chance, value=-1.0)
            if self.w is not None:
                curve *= self.w[span].unsqueeze(-1).to(self.dtype)
            mass += curve.sum(0)
            doubt[span] = curve.sum(-1)
            first += torch.mm(curve.to(self.quick.dtype).T, self.quick[span])
        centre = first.double() / mass.clamp_min(torch.finfo(torch.float64).tiny).unsqueeze(-1)
        if n > max(SPREAD[0] * d, SPREAD[1]):
            picked = self.x[in_doubt(doubt, d)]
            share = doubt.new_full((len(picked),), 1.0 / len(picked))
        else:
            picked, share = self.x, doubt / doubt.sum().clamp_min(torch.finfo(self.dtype).tiny)
        plain = moments_of(mass, centre, share @ picked.square(), self.mass, self.scale)
        if plain_does(plain, picked, share, self.scale, self.penalty, n * len(mass)):
            return plain
        second = torch.mm((picked * share.unsqueeze(-1)).T, picked)
        return moments_of(mass, centre, second, self.mass, self.scale)

    def place(self) -> Place:
        """Where it was evaluated last, to be kept."""
        return Place(self.theta, self.logits.clone())

    def placed(self, theta: torch.Tensor) -> Place:
        """theta and its logits: half an evaluation."""
        weight, bias = self._linear(theta, self.dtype)
        return Place(theta, torch.cat([torch.addmm(bias, self.x[span], weight) for span in self._spans()]))

    def blend(self, places: Sequence[Place], shares: Sequence[float]) -> Place:
        """The mixture of places with these shares, or a better one where it falls: a Newton step among them."""
        given = torch.tensor(shares, dtype=torch.float64, device=self.y.device)
        start = _mixed(places, given)
        last, n = places[-1], len(places)
        weights = [last.theta[:, :-1], *((one.theta - last.theta)[:, :-1] for one in places[:-1])]
        slope, bend = torch.zeros_like(given), given.new_zeros(n, n)
        loss = 0.0
        for span in self._spans():
            right = self.y[span].unsqueeze(-1)
            chance = torch.softmax(start.logits[span], dim=-1)
            means: list[torch.Tensor] = []
            ways = [last.logits[span], *(one.logits[span] - last.logits[span] for one in places[:-1])]
            apart = [one - one.gather(-1, right) for one in ways]  # nothing cancels in sure rows
            w = None if self.w is None else self.w[span]
            for i, one in enumerate(apart):
                shared = chance * one
                means.append(shared.sum(-1).double())
                heavy = means[i] if w is None else means[i] * w
                shared = shared if w is None else shared.mul_(w.unsqueeze(-1).to(self.dtype))
                slope[i] += heavy.sum()
                for j in range(i + 1):
                    bend[i, j] += dot(shared, apart[j]) - dot(heavy, means[j])
            lost, _ = residuals_(chance, start.logits[span], self.y[span])
            loss += float((lost if w is None else lost * w).sum())
        inner = bend.new_tensor([[float((a * b).sum()) for b in weights] for a in weights])
        drawn = slope.new_tensor([float((start.theta[:, :-1] * one).sum()) for one in weights])
        bend = (bend + bend.tril(-1).T) / self.mass + inner * self.penalty
        slope = slope / self.mass + drawn * self.penalty
        unit = bend.diagonal().clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
        step = -unit * _least(unit.unsqueeze(1) * bend * unit, unit * slope)
        step = torch.cat([step[1:], step[:1] - step[1:].sum()])
        other = _mixed(places, given + step)
        asked = loss / self.mass + self.penalty / 2 * float(start.theta[:, :-1].square().sum())
        return other if self._value(other) < asked else start

    def value(self, theta: torch.Tensor) -> float:
        """The value alone: half an evaluation, and curvature stays where it was."""
        return self._value(self.placed(theta))

    def _value(self, place: Place) -> float:
        """The objective at a place."""
        loss = 0.0
        for span in self._spans():
            logits = place.logits[span]
            lost, _ = residuals_(torch.softmax(logits, dim=-1), logits, self.y[span])
            loss += float((lost if self.w is None else lost * self.w[span]).sum())
        return loss / self.mass + self.penalty / 2 * float(place.theta[:, :-1].square().sum())


def _mixed(places: Sequence[Place], shares: torch.Tensor) -> Place:
    """Their sum with shares (places,) float64."""
    parts = [(float(share), one) for share, one in zip(shares, places)]
    theta = torch.stack([share * one.theta for share, one in parts]).sum(0)
    (first, start), *rest = parts
    logits = start.logits * first
    for share, one in rest:
        logits.add_(one.logits, alpha=share)
    return Place(theta, logits)


def _least(bend: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """The least solution (n,) of bend (n, n) x = slope, without what is noise in bend."""
    if not bool(torch.isfinite(bend).all() & torch.isfinite(slope).all()):
        return torch.zeros_like(slope)  # places so far off that float32 cannot hold their logits' squares
    roots, basis = torch.linalg.eigh(bend)
    clear = roots > RCOND * roots[-1:]
    found: torch.Tensor = basis @ torch.where(clear, (basis.T @ slope) / roots.clamp_min(1e-300), 0.0)
    return found

"""The softmax loss of rows few enough to keep their probabilities: exact where evaluated, cheaply curved around there.

A product with the Hessian is two matrix products and no softmax, and needs few digits: they are made in bfloat16 where the
device is quicker at it. Logits are kept too, so that a place between known ones is scored by no product at all. For stacks
of P problems of one shape, which share their passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import torch

from effrob.heads.metric import Moments, moments_of, plain_does
from effrob.heads.softmax import SPREAD, Evaluation, dot, in_doubt, quick_dtype, residuals_

CELLS = {"cpu": 1 << 22, "cuda": 1 << 27}  # P x N x K up to which they are kept: 11 numbers of each
RCOND = 1e-6  # relative eigenvalue of the curvature between places under which it is noise


class Place(NamedTuple):
    """theta (P, K, D + 1) float64 and its logits (P, N, K)."""

    theta: torch.Tensor
    logits: torch.Tensor


class KeptLoss:
    """Mean weighted loss + penalty / 2 x ||W||² of P problems; theta (P, K, D + 1) float64 has the intercepts last.

    x (P, N, D) rows in the arithmetic's dtype, scaled by scale (P, D);  y (P, N) int64;  w (P, N) float64 or None
    penalty (P,);  block_rows  of all problems together
    """

    def __init__(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        w: torch.Tensor | None,
        penalty: torch.Tensor,
        scale: torch.Tensor,
        n_classes: int,
        block_rows: int,
    ) -> None:
        self.x, self.y, self.w, self.penalty, self.scale, self.dtype = x, y, w, penalty, scale, x.dtype
        self.quick = x.to(quick_dtype(x.dtype, x.device))
        self.cheap = self.quick.dtype != self.dtype
        self.mass = torch.full_like(penalty, y.shape[1]) if w is None else w.sum(1)
        self.block_rows = block_rows
        self.logits = x.new_empty(*y.shape, n_classes)
        self.chance = torch.empty_like(self.logits)
        self.theta = torch.empty(0)
        self._blocks: dict[tuple[int, torch.dtype], torch.Tensor] = {}

    def _spans(self) -> Iterator[slice]:
        step = max(64, self.block_rows // len(self.y))
        for first in range(0, self.y.shape[1], step):
            yield slice(first, first + step)

    def _rows(self, span: slice, dtype: torch.dtype) -> torch.Tensor:
        """(P, n, D) rows; blocks of several problems are copied out once, since products want them whole."""
        whole = self.x if dtype == self.dtype else self.quick
        if len(whole) == 1:
            return whole[:, span]
        if (span.start, dtype) not in self._blocks:
            self._blocks[span.start, dtype] = whole[:, span].contiguous()
        return self._blocks[span.start, dtype]

    def _linear(self, theta: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """theta as (P, D, K) weights for the scaled rows, and (P, 1, K) intercepts in the arithmetic's dtype."""
        weight = theta[..., :-1] * self.scale.to(theta.dtype).unsqueeze(1)
        return weight.to(dtype).mT, theta[..., -1:].to(self.dtype).mT

    def evaluate(
        self,
        theta: torch.Tensor,
        logits: torch.Tensor | None = None,
        last: Evaluation | None = None,
        *,
        rough: bool = False,
    ) -> Evaluation:
        """Value and gradient at theta, whose logits (P, N, K) may be known; curvature is of there from now on.

        `last`, of the last place, has the gradient's change since there made in the quick arithmetic, and `rough` that of the
        logits too: each is wrong by a part in a hundred of the change or so.
        """
        value, gradient = torch.zeros_like(self.mass), torch.zeros_like(theta)
        if last is not None:
            step = theta - self.theta
            moved, shift = self._linear(step, self.quick.dtype)
        weight, bias = self._linear(theta, self.dtype)
        self.theta = theta
        for span in self._spans():
            if rough and last is not None:
                known = self.logits[:, span].add_(torch.bmm(self._rows(span, self.quick.dtype), moved)).add_(shift)
            else:
                known = torch.baddbmm(bias, self._rows(span, self.dtype), weight) if logits is None else logits[:, span]
                self.logits[:, span] = known
            chance = torch.softmax(known, dim=-1)
            change = chance - self.chance[:, span] if last is not None else None
            self.chance[:, span] = chance
            loss, residual = residuals_(chance, known, self.y[:, span])
            if (
                change is not None
            ):  # what the right class loses is told by the wrong ones: of a sure row, it has no digits
                right = self.y[:, span].unsqueeze(-1)
                change.scatter_(-1, right, 0.0)
                residual = change.scatter_(-1, right, -change.sum(-1, keepdim=True))
            if self.w is not None:
                loss = loss * self.w[:, span]
                residual *= self.w[:, span].unsqueeze(-1).to(self.dtype)
            value += loss.sum(-1)
            dtype = self.dtype if last is None else self.quick.dtype
            gradient[..., :-1] += torch.bmm(residual.to(dtype).mT, self._rows(span, dtype))
            gradient[..., -1] += residual.sum(1)
        weight = theta[..., :-1]
        gradient /= self.mass[:, None, None]
        gradient[..., :-1] *= self.scale.unsqueeze(1)
        gradient[..., :-1] += self.penalty[:, None, None] * (weight if last is None else step[..., :-1])
        if last is not None:
            gradient += last.gradient
        return Evaluation(value / self.mass + self.penalty / 2 * weight.square().sum((1, 2)), gradient)

    def curved(self, direction: torch.Tensor, quick: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(P, K, D + 1) -> the direction as the arithmetic has it, quick or not, and the Hessian's product with that one."""
        dtype = self.quick.dtype if quick else self.dtype
        weight, bias = self._linear(direction, dtype)
        scale = self.scale.to(self.dtype).unsqueeze(1)
        inverse = torch.where(scale > 0, 1.0 / scale, 0.0)  # scales are powers of two: exact
        direction = torch.cat([weight.mT.to(self.dtype) * inverse, direction[..., -1:]], dim=-1)
        product = torch.zeros_like(direction)
        for span in self._spans():
            rows, chance = self._rows(span, dtype), self.chance[:, span]
            change = (torch.bmm(rows, weight) + bias).mul_(chance)
            change.addcmul_(chance, change.sum(-1, keepdim=True), value=-1.0)
            if self.w is not None:
                change *= self.w[:, span].unsqueeze(-1).to(self.dtype)
            product[..., :-1] += torch.bmm(change.to(dtype).mT, rows)
            product[..., -1] += change.sum(1)
        product /= self.mass.to(self.dtype)[:, None, None]
        product[..., :-1] *= scale
        product[..., :-1] += self.penalty.to(self.dtype)[:, None, None] * direction[..., :-1]
        return direction, product

    def moments(self) -> Moments:
        """Curvature where it was evaluated last.

        Of all rows, but the spread of SPREAD of them at most (see `in_doubt`).
        """
        p, n, d = self.x.shape
        mass = self.theta.new_zeros(self.theta.shape[:2])
        first = self.x.new_zeros(*mass.shape, d)
        doubt = self.x.new_empty(p, n)
        for span in self._spans():
            chance = self.chance[:, span]
            curve = torch.addcmul(chance, chance, chance, value=-1.0)
            if self.w is not None:
                curve *= self.w[:, span].unsqueeze(-1).to(self.dtype)
            mass += curve.sum(1)
            doubt[:, span] = curve.sum(-1)
            first += torch.bmm(curve.to(self.quick.dtype).mT, self._rows(span, self.quick.dtype))
        centre = first.double() / mass.clamp_min(torch.finfo(torch.float64).tiny).unsqueeze(-1)
        picked, share = self.x, doubt.new_full((p, 1), 1.0)
        if n > max(SPREAD[0] * d, SPREAD[1]):
            picked = torch.stack([rows[some] for rows, some in zip(self.x, in_doubt(doubt, d))])
            share /= picked.shape[1]
        else:
            share = doubt / doubt.sum(1, keepdim=True).clamp_min(torch.finfo(self.dtype).tiny)
        plain = moments_of(mass, centre, (picked.square() * share.unsqueeze(-1)).sum(1), self.mass, self.scale)
        if plain_does(plain, picked, share, self.scale, self.penalty, n * mass.shape[1]):
            return plain
        second = torch.bmm((picked * share.unsqueeze(-1)).mT, picked)
        return moments_of(mass, centre, second, self.mass, self.scale)

    def place(self) -> Place:
        """Where it was evaluated last, to be kept."""
        return Place(self.theta, self.logits.clone())

    def placed(self, theta: torch.Tensor) -> Place:
        """theta and its logits: half an evaluation."""
        weight, bias = self._linear(theta, self.dtype)
        blocks = [torch.baddbmm(bias, self._rows(span, self.dtype), weight) for span in self._spans()]
        return Place(theta, torch.cat(blocks, dim=1))

    def blend(self, places: Sequence[Place], shares: Sequence[float]) -> Place:
        """The mixture of places with these shares, or a better one where it falls: a Newton step among them."""
        given = torch.tensor(shares, dtype=torch.float64, device=self.y.device).expand(len(self.y), -1)
        start = _mixed(places, given)
        last, n = places[-1], len(places)
        weights = [last.theta[..., :-1], *((one.theta - last.theta)[..., :-1] for one in places[:-1])]
        slope, bend = self.mass.new_zeros(len(self.y), n), self.mass.new_zeros(len(self.y), n, n)
        loss = torch.zeros_like(self.mass)
        for span in self._spans():
            right = self.y[:, span].unsqueeze(-1)
            chance = torch.softmax(start.logits[:, span], dim=-1)
            means: list[torch.Tensor] = []
            ways = [last.logits[:, span], *(one.logits[:, span] - last.logits[:, span] for one in places[:-1])]
            apart = [one - one.gather(-1, right) for one in ways]  # nothing cancels in sure rows
            w = None if self.w is None else self.w[:, span]
            for i, one in enumerate(apart):
                shared = chance * one
                means.append(shared.sum(-1).double())
                heavy = means[i] if w is None else means[i] * w
                shared = shared if w is None else shared.mul_(w.unsqueeze(-1).to(self.dtype))
                slope[:, i] += heavy.sum(-1)
                for j in range(i + 1):
                    bend[:, i, j] += dot(shared, apart[j]).double() - dot(heavy, means[j])
            lost, _ = residuals_(chance, start.logits[:, span], self.y[:, span])
            loss += (lost if w is None else lost * w).sum(-1)
        inner = torch.stack([torch.stack([(a * b).sum((1, 2)) for b in weights], 1) for a in weights], 1)
        drawn = torch.stack([(start.theta[..., :-1] * one).sum((1, 2)) for one in weights], 1)
        bend = (bend + bend.tril(-1).mT) / self.mass[:, None, None] + inner * self.penalty[:, None, None]
        slope = slope / self.mass.unsqueeze(1) + drawn * self.penalty.unsqueeze(1)
        unit = bend.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
        step = -unit * _least(unit.unsqueeze(2) * bend * unit.unsqueeze(1), unit * slope)
        step = torch.cat([step[:, 1:], step[:, :1] - step[:, 1:].sum(1, keepdim=True)], dim=1)
        other = _mixed(places, given + step)
        asked = loss / self.mass + self.penalty / 2 * start.theta[..., :-1].square().sum((1, 2))
        worse = ~(self._value(other) < asked)
        return _mixed(places, torch.where(worse.unsqueeze(1), given, given + step)) if bool(worse.any()) else other

    def value(self, theta: torch.Tensor) -> torch.Tensor:
        """The value (P,) alone: half an evaluation, and curvature stays where it was."""
        return self._value(self.placed(theta))

    def _value(self, place: Place) -> torch.Tensor:
        """The objective (P,) at a place."""
        loss = torch.zeros_like(self.mass)
        for span in self._spans():
            logits = place.logits[:, span]
            lost, _ = residuals_(torch.softmax(logits, dim=-1), logits, self.y[:, span])
            loss += (lost if self.w is None else lost * self.w[:, span]).sum(-1)
        return loss / self.mass + self.penalty / 2 * place.theta[..., :-1].square().sum((1, 2))

    def part(self, kept: torch.Tensor) -> Self:
        """The problems at these places."""
        some = object.__new__(type(self))
        some.__dict__.update(self.__dict__, _blocks={})
        for name in ("x", "quick", "y", "w", "penalty", "scale", "mass", "theta", "chance", "logits"):
            held = getattr(self, name)
            setattr(some, name, None if held is None else held[kept])
        return some


def _mixed(places: Sequence[Place], shares: torch.Tensor) -> Place:
    """Their sum with shares (P, places) float64."""
    parts = list(zip(shares.mT[:, :, None, None].to(places[0].theta.device), places))
    theta = torch.stack([share * one.theta for share, one in parts]).sum(dim=0)
    (first, start), *rest = parts
    logits = start.logits * first.to(start.logits.dtype)
    for share, one in rest:
        logits.addcmul_(one.logits, share.to(logits.dtype))
    return Place(theta, logits)


def _least(bend: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """The least solution (P, n) of bend (P, n, n) x = slope, without what is noise in bend."""
    finite = torch.isfinite(bend).all() & torch.isfinite(slope).all()
    if not bool(finite):  # places so far off that float32 cannot hold their logits' squares
        return torch.zeros_like(slope)
    roots, basis = torch.linalg.eigh(bend)
    clear = roots > RCOND * roots[:, -1:]
    along = (basis.mT @ slope.unsqueeze(2)).squeeze(2)
    found: torch.Tensor = (basis @ torch.where(clear, along / roots.clamp_min(1e-300), 0.0).unsqueeze(2)).squeeze(2)
    return found

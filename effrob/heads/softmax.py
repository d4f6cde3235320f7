"""The softmax loss of rows: its value and gradient exactly, and its curvature in as few digits as do.

A product with the Hessian needs few digits: its matrix products are made in bfloat16 where the device is quicker at it.
Probabilities and logits of the last place are kept where they are few; else they are made again, block by block, and N x K
is never held. Everything has a first axis of problems: P of one shape share their passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, Self

import torch

from effrob.heads.blocks import FeatureBlocks
from effrob.heads.metric import Moments, moments_of

KEEP = {"cpu": 1 << 26, "cuda": 1 << 30}  # P x N x K up to which probabilities are kept
LOGITS = {"cpu": 1 << 22, "cuda": 1 << 27}  # ... and up to which logits are, and those of places on a path
RCOND = 1e-6  # relative eigenvalue of the curvature between places under which it is noise
SPREAD = 2, 1024  # x D rows, and rows, that the spread of a metric is measured on at most


def quick_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """bfloat16 where float32 products are asked for and the device makes bfloat16's faster; otherwise the same."""
    if dtype != torch.float32:
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else dtype
    able = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has = device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in able)
    return torch.bfloat16 if has else dtype


class Evaluation(NamedTuple):
    """value (P,) and gradient (P, K, D + 1), float64."""

    value: torch.Tensor
    gradient: torch.Tensor


class Place(NamedTuple):
    """theta (P, K, D + 1) float64 and its logits (P, N, K)."""

    theta: torch.Tensor
    logits: torch.Tensor


def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(P, ...) and the same -> (P,): the inner product of every problem's own."""
    return torch.stack([torch.dot(u.reshape(-1), v.reshape(-1)) for u, v in zip(a, b)])


def residuals_(
    probability: torch.Tensor, logits: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax of (..., n, K) logits -> loss (..., n) float64, and in place, softmax minus one-hot.

    The loss of a row that is nearly right is taken from the sum of the wrong classes, so that it keeps its relative
    precision in float32 where log-sum-exp minus a logit would cancel.
    """
    index = y.unsqueeze(-1)
    right = probability.gather(-1, index).squeeze(-1)
    probability.scatter_(-1, index, 0.0)
    wrong = probability.sum(-1).clamp_(max=1.0)
    probability.scatter_(-1, index, -wrong.unsqueeze(-1))
    tiny = torch.finfo(logits.dtype).tiny
    loss = torch.where(wrong < 0.5, -torch.log1p(-wrong.double()), -torch.log(right.clamp_min(tiny).double()))
    lost = right < 1e4 * tiny
    if bool(lost.any()):  # the right class underflowed: take the loss from the logits
        exact = logits[lost].double()
        loss[lost] = torch.logsumexp(exact, -1) - exact.gather(-1, y[lost].unsqueeze(-1)).squeeze(-1)
    return loss, probability


class Rows(Protocol):
    """Centred and scaled rows of P problems, in the arithmetic's dtype."""

    shape: tuple[int, int, int]

    def block(self, span: slice, dtype: torch.dtype) -> torch.Tensor:
        """(P, n, D) rows, in the arithmetic's dtype or the quick one."""

    def pick(self, places: torch.Tensor) -> torch.Tensor:
        """(P, n, D) rows at places (P, n)."""

    def part(self, kept: torch.Tensor) -> Rows:
        """The problems at these places."""


class Stack:
    """Rows held: x (P, N, D), and a copy in a quicker dtype; blocks of several problems are copied out once, whole."""

    def __init__(self, x: torch.Tensor, quick: torch.Tensor | None = None) -> None:
        self.x, self.shape = x, (x.shape[0], x.shape[1], x.shape[2])
        self.quick = x.to(quick_dtype(x.dtype, x.device)) if quick is None else quick
        self._blocks: dict[tuple[int, torch.dtype], torch.Tensor] = {}

    def block(self, span: slice, dtype: torch.dtype) -> torch.Tensor:
        """See `Rows`."""
        whole = self.x if dtype == self.x.dtype else self.quick
        if self.shape[0] == 1:
            return whole[:, span]
        if (span.start, dtype) not in self._blocks:
            self._blocks[span.start, dtype] = whole[:, span].contiguous()
        return self._blocks[span.start, dtype]

    def pick(self, places: torch.Tensor) -> torch.Tensor:
        """See `Rows`."""
        return torch.stack([rows[some] for rows, some in zip(self.x, places)])

    def part(self, kept: torch.Tensor) -> Stack:
        """See `Rows`."""
        return Stack(self.x[kept], self.quick[kept])


class Streamed:
    """Rows of one problem, read again in every pass."""

    def __init__(self, features: FeatureBlocks) -> None:
        self.features, self.shape = features, (1, len(features), features.dimension)

    def block(self, span: slice, dtype: torch.dtype) -> torch.Tensor:
        """See `Rows`."""
        return self.features.take(span).to(dtype).unsqueeze(0)

    def pick(self, places: torch.Tensor) -> torch.Tensor:
        """See `Rows`."""
        return self.features.take(places[0].cpu().numpy()).unsqueeze(0)

    def part(self, kept: torch.Tensor) -> Streamed:
        """There is one problem, which is kept."""
        return self


class SoftmaxLoss:
    """Mean weighted loss + penalty / 2 x ||W||² of P problems; theta (P, K, D + 1) float64 has the intercepts last.

    y (P, N) int64;  w (P, N) float64 or None;  penalty (P,);  scale (P, D) of the rows (see FeatureBlocks)
    dtype  of the arithmetic;  block_rows  of all problems together
    """

    def __init__(
        self,
        rows: Rows,
        y: torch.Tensor,
        w: torch.Tensor | None,
        penalty: torch.Tensor,
        scale: torch.Tensor,
        n_classes: int,
        dtype: torch.dtype,
        block_rows: int,
    ) -> None:
        self.rows, self.y, self.w, self.penalty, self.scale, self.dtype = rows, y, w, penalty, scale, dtype
        self.quick = quick_dtype(dtype, y.device)
        self.mass = torch.full_like(penalty, y.shape[1]) if w is None else w.sum(1)
        self.block = max(64, block_rows // len(y))
        shape, size = (*y.shape, n_classes), y.numel() * n_classes
        few, some = (size <= most.get(y.device.type, 0) for most in (LOGITS, KEEP))
        self.logits = torch.empty(shape, dtype=dtype, device=y.device) if few else None
        self.chance = torch.empty(shape, dtype=dtype if few else self.quick, device=y.device) if some else None
        self.whole = torch.ones(*y.shape, 1, dtype=dtype, device=y.device)  # sums of the probabilities, rounded as kept
        self.theta = torch.empty(0)

    def _spans(self) -> Iterator[slice]:
        for first in range(0, self.y.shape[1], self.block):
            yield slice(first, first + self.block)

    def _linear(self, theta: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """theta as (P, D, K) weights for the scaled rows, and (P, 1, K) intercepts in the arithmetic's dtype."""
        weight = theta[..., :-1] * self.scale.to(theta.dtype).unsqueeze(1)
        return weight.to(dtype).mT, theta[..., -1:].to(self.dtype).mT

    def evaluate(self, theta: torch.Tensor, logits: torch.Tensor | None = None) -> Evaluation:
        """Value and gradient at theta, whose logits (P, N, K) may be known; curvature is of there from now on."""
        weight, bias = self._linear(theta, self.dtype)
        value, gradient = torch.zeros_like(self.mass), torch.zeros_like(theta)
        self.theta = theta
        for span in self._spans():
            rows = self.rows.block(span, self.dtype)
            known = torch.baddbmm(bias, rows, weight) if logits is None else logits[:, span]
            chance = torch.softmax(known, dim=-1)
            if self.logits is not None:
                self.logits[:, span] = known
            if self.chance is not None:
                kept = self.chance[:, span].copy_(chance)
                self.whole[:, span] = kept.sum(-1, keepdim=True, dtype=self.dtype)
            loss, residual = residuals_(chance, known, self.y[:, span])
            if self.w is not None:
                loss = loss * self.w[:, span]
                residual *= self.w[:, span].unsqueeze(-1).to(self.dtype)
            value += loss.sum(-1)
            gradient[..., :-1] += torch.bmm(residual.mT, rows)
            gradient[..., -1] += residual.sum(1)
        weight = theta[..., :-1]
        gradient /= self.mass[:, None, None]
        gradient[..., :-1] *= self.scale.unsqueeze(1)
        gradient[..., :-1] += self.penalty[:, None, None] * weight
        return Evaluation(value / self.mass + self.penalty / 2 * weight.square().sum((1, 2)), gradient)

    def _chances(self, dtype: torch.dtype) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
        """Of each block: its span, its rows in a dtype, and probabilities where it was evaluated last."""
        weight, bias = self._linear(self.theta, dtype)
        for span in self._spans():
            rows = self.rows.block(span, dtype)
            if self.chance is not None:
                yield span, rows, self.chance[:, span]
            else:
                yield span, rows, torch.softmax(torch.bmm(rows, weight) + bias, dim=-1)

    def curved(self, direction: torch.Tensor, quick: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(P, K, D + 1) -> the direction as the arithmetic has it, quick or not, and the Hessian's product with that one."""
        dtype, coarse = direction.dtype, self.quick if quick else self.dtype
        weight, bias = self._linear(direction, coarse)
        scale = self.scale.to(dtype).unsqueeze(1)
        inverse = torch.where(scale > 0, 1.0 / scale, 0.0)  # scales are powers of two: exact
        direction = torch.cat([weight.mT.to(dtype) * inverse, direction[..., -1:]], dim=-1)
        product = torch.zeros_like(direction)
        for span, rows, chance in self._chances(coarse):
            change = (torch.bmm(rows, weight) + bias).mul_(chance)
            change.addcmul_(chance, change.sum(-1, keepdim=True).div_(self.whole[:, span]), value=-1.0)
            if self.w is not None:
                change *= self.w[:, span].unsqueeze(-1).to(dtype)
            product[..., :-1] += torch.bmm(change.to(coarse).mT, rows)
            product[..., -1] += change.sum(1)
        product /= self.mass.to(dtype)[:, None, None]
        product[..., :-1] *= scale
        product[..., :-1] += self.penalty.to(dtype)[:, None, None] * direction[..., :-1]
        return direction, product

    def moments(self) -> Moments:
        """Curvature where it was evaluated last.

        Of all rows, but the spread of SPREAD of them at most, drawn in proportion to their part in it: the rows in doubt.
        """
        p, n, d = self.rows.shape
        mass = self.theta.new_zeros(self.theta.shape[:2])
        first = self.theta.new_zeros(*mass.shape, d)
        doubt = torch.empty(p, n, dtype=self.dtype, device=mass.device)
        for span, rows, chance in self._chances(self.quick):
            curve = chance * (self.whole[:, span] - chance)
            if self.w is not None:
                curve *= self.w[:, span].unsqueeze(-1).to(self.dtype)
            mass += curve.sum(1)
            doubt[:, span] = curve.sum(-1)
            first += torch.bmm(curve.to(self.quick).mT, rows)
        most = max(SPREAD[0] * d, SPREAD[1])
        if n <= most:
            picked = self.rows.pick(torch.arange(n, device=mass.device).expand(p, -1))
            second = torch.bmm((picked * doubt.unsqueeze(-1)).mT, picked)
        else:
            summed = doubt.double().cumsum(1)
            wanted = (torch.arange(most, device=mass.device) + 0.5) / most * summed[:, -1:]
            picked = self.rows.pick(torch.searchsorted(summed, wanted).clamp_max(n - 1))
            second = torch.bmm(picked.mT, picked) * (summed[:, -1] / most)[:, None, None]
        return moments_of(mass, first, second, self.mass, self.scale)

    def place(self) -> Place | None:
        """Where it was evaluated last, to be kept; None where logits are not."""
        return None if self.logits is None else Place(self.theta, self.logits.clone())

    def placed(self, theta: torch.Tensor) -> Place:
        """theta and its logits: half an evaluation."""
        weight, bias = self._linear(theta, self.dtype)
        blocks = [torch.baddbmm(bias, self.rows.block(span, self.dtype), weight) for span in self._spans()]
        return Place(theta, torch.cat(blocks, dim=1))

    def blend(self, places: Sequence[Place], shares: Sequence[float]) -> Place:
        """The mixture of places with these shares, or a better one where it falls: a Newton step among them."""
        start = _mixed(places, torch.tensor(shares, dtype=torch.float64).expand(len(self.y), -1))
        last, n = places[-1], len(places)
        ways = [last.logits, *(one.logits - last.logits for one in places[:-1])]
        weights = [last.theta[..., :-1], *((one.theta - last.theta)[..., :-1] for one in places[:-1])]
        slope, bend = self.mass.new_zeros(len(self.y), n), self.mass.new_zeros(len(self.y), n, n)
        for span in self._spans():
            right = self.y[:, span].unsqueeze(-1)
            chance = torch.softmax(start.logits[:, span], dim=-1)
            apart = [one[:, span] - one[:, span].gather(-1, right) for one in ways]  # nothing cancels in sure rows
            shared = [chance * one for one in apart]
            means = [one.sum(-1).double() for one in shared]
            w = torch.ones_like(means[0]) if self.w is None else self.w[:, span]
            for i, mean in enumerate(means):
                slope[:, i] += (w * mean).sum(-1)
                for j in range(i + 1):
                    bend[:, i, j] += (w * ((shared[i] * apart[j]).sum(-1).double() - mean * means[j])).sum(-1)
        inner = torch.stack([torch.stack([(a * b).sum((1, 2)) for b in weights], 1) for a in weights], 1)
        drawn = torch.stack([(start.theta[..., :-1] * one).sum((1, 2)) for one in weights], 1)
        bend = (bend + bend.tril(-1).mT) / self.mass[:, None, None] + inner * self.penalty[:, None, None]
        slope = slope / self.mass.unsqueeze(1) + drawn * self.penalty.unsqueeze(1)
        unit = bend.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
        step = -unit * _least(unit.unsqueeze(2) * bend * unit.unsqueeze(1), unit * slope)
        step = torch.cat([step[:, 1:], step[:, :1] - step[:, 1:].sum(1, keepdim=True)], dim=1)
        other = _mixed(places, torch.tensor(shares, dtype=torch.float64, device=step.device) + step)
        better = (self._value(other) < self._value(start))[:, None, None]
        return Place(*(torch.where(better, a, b) for a, b in zip(other, start)))

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
        some.__dict__.update(self.__dict__, rows=self.rows.part(kept))
        for name in ("y", "w", "penalty", "scale", "mass", "theta", "chance", "whole", "logits"):
            held = getattr(self, name)
            setattr(some, name, None if held is None else held[kept])
        return some


def _mixed(places: Sequence[Place], shares: torch.Tensor) -> Place:
    """Their sum with shares (P, places) float64."""
    parts = list(zip(shares.mT[:, :, None, None].to(places[0].theta.device), places))
    theta = torch.stack([share * one.theta for share, one in parts]).sum(0)
    (first, start), *rest = parts
    logits = start.logits * first.to(start.logits.dtype)
    for share, one in rest:
        logits.addcmul_(one.logits, share.to(logits.dtype))
    return Place(theta, logits)


def _least(bend: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """The least solution (P, n) of bend (P, n, n) x = slope, without what is noise in bend."""
    roots, basis = torch.linalg.eigh(bend)
    clear = roots > RCOND * roots[:, -1:]
    along = (basis.mT @ slope.unsqueeze(2)).squeeze(2)
    return (basis @ torch.where(clear, along / roots.clamp_min(1e-300), 0.0).unsqueeze(2)).squeeze(2)

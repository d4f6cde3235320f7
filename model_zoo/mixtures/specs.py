"""Specs that stand for several models: a glob among files, a range of shares; and `mix:` taken apart. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from model_zoo.errors import ModelError, UnknownModel
from model_zoo.spec import MIXTURE

MOST = 1000  # models of one range: more is a slip of the keyboard
_SHARE = r"[0-9]*\.?[0-9]+(?:e-?[0-9]+)?"
_ALPHA = re.compile(rf"(?P<parts>.+)@(?P<first>{_SHARE})(?::(?P<last>{_SHARE}):(?P<step>{_SHARE}))?")


@dataclass(frozen=True)
class Mixture:
    """The parts of a `mix:` spec with the share of each; shares sum to 1."""

    parts: tuple[str, ...]
    shares: tuple[float, ...]


def mixture(name: str) -> Mixture:
    """`A,B@ALPHA` (ALPHA is B's share) or `A,B,C` (equal shares) taken apart. Raises ModelError for anything else."""
    match = _ALPHA.fullmatch(name)
    parts = tuple(part.strip() for part in (match["parts"] if match else name).split(","))
    if not all(parts) or len(parts) < 2:
        raise ModelError(f"a mixture is written mix:A,B@ALPHA or mix:A,B,C, each a model; got mix:{name}")
    if match is None:
        return Mixture(parts, tuple(1 / len(parts) for _ in parts))
    if match["step"] is not None:
        raise ModelError(
            f"mix:{name} is a range of mixtures: one at a time here, or `--model` of `effrob eval` for all"
        )
    share = float(match["first"])
    if len(parts) != 2 or not 0 <= share <= 1:
        raise ModelError(f"a share lies between 0 and 1 and is the second of two models'; got mix:{name}")
    return Mixture(parts, (1 - share, share))


def expand(text: str) -> tuple[str, ...]:
    """The specs that one spec stands for, in order: files of a glob by number and name, mixtures of a range, else itself.

    Raises UnknownModel for a glob that no file matches, ModelError for a range without an end.
    """
    scheme, _, rest = text.strip().partition(":")
    if scheme != MIXTURE:
        return _files(text)
    match = _ALPHA.fullmatch(rest)
    head, tail = (match["parts"], rest[len(match["parts"]) :]) if match else (rest, "")
    parts = ",".join(each for part in head.split(",") for each in _files(part.strip()))
    if match is None or match["step"] is None:
        return (f"{MIXTURE}:{parts}{tail}",)
    first, last, step = (float(match[key]) for key in ("first", "last", "step"))
    count = round((last - first) / step) + 1 if step > 0 else 0
    if not 1 <= count <= MOST or not 0 <= first <= last <= 1:
        raise ModelError(f"a range of shares is FIRST:LAST:STEP within 0 and 1, as 0:1:0.1; got {text}")
    shares = [min(first + k * step, last) for k in range(count)]
    return tuple(f"{MIXTURE}:{parts}@{share:.10g}" for share in shares)


def _files(text: str) -> tuple[str, ...]:
    """A spec once for each file that its glob matches; itself where it has none, or names a file as it stands."""
    head, at, weights = text.partition("@")
    if not at or not has_magic(weights) or Path(weights).expanduser().exists():
        return (text,)
    matches = [path for path in glob(str(Path(weights).expanduser())) if Path(path).is_file()]  # noqa: PTH207  also absolute
    if not matches:
        raise UnknownModel(f"no file matches {weights}: give {head}@ a pattern that files match")
    return tuple(f"{head}@{path}" for path in sorted(matches, key=_natural))


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Numbers in a name by their value: epoch_9 before epoch_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path) if part]

"""The arithmetic a network runs in, as one name: `fp32`, `bf16` or `fp16`, with `-compiled` after it if by torch.compile.

Every one of them gives other numbers, so the name is part of a feature set's key and of a record's question.
"""

from __future__ import annotations

COMPILED = "-compiled"
ARITHMETIC = ("fp32", "bf16", "fp16")
PRECISIONS = (*ARITHMETIC, *(name + COMPILED for name in ARITHMETIC))


def split(precision: str) -> tuple[str, bool]:
    """`bf16-compiled` -> (`bf16`, True)."""
    return precision.removesuffix(COMPILED), precision.endswith(COMPILED)


def compiled(precision: str) -> str:
    """The same arithmetic through torch.compile."""
    return split(precision)[0] + COMPILED

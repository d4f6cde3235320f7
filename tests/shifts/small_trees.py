"""Trees of one encoded image, linked under every name: as many files as an official set holds cost a second."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image

Plant = Callable[[Path, Iterable[str]], Path]


def encoded(format: str = "JPEG", size: tuple[int, int] = (8, 8), colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format)
    return buffer.getvalue()


def plant_at(root: Path, paths: Iterable[str], content: bytes | None = None) -> Path:
    """Files at relative paths under root, hard links of one picture: as many as an official set costs a second."""
    root.mkdir(parents=True, exist_ok=True)
    first = root / ".picture"
    first.write_bytes(encoded() if content is None else content)
    made: set[str] = set()
    for path in paths:
        folder = os.path.dirname(path)  # noqa: PTH120  pathlib is the cost of 50,000 links
        if folder not in made:
            (root / folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        os.link(first, f"{root}/{path}")
    first.unlink()
    return root


def spread(total: int, ids: tuple[str, ...], stem: str) -> list[str]:
    """An uneven set of `total` images over every class: the first class holds what the others leave."""
    each = total // len(ids)
    counts = dict.fromkeys(ids, each) | {ids[0]: total - each * (len(ids) - 1)}
    return [f"{id}/{stem.format(n)}" for id in ids for n in range(counts[id])]

"""Training and test pictures of the pocket sets in memory, as the networks take them.

Pixels come from the library's own exact path, so that a network is trained on what it is tested on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from effrob.features.transforms import decode, exact_crop
from model_zoo.sources.from_pocket import pixels_of
from shifts.synthetic.draw import FOLDERS, generate, pictures


@dataclass(frozen=True)
class Pictures:
    """images (N, side, side, 3) uint8, labels (N,) int64 class indices, paths (N,) inside the set."""

    images: torch.Tensor
    labels: torch.Tensor
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def first_of_each(self, n: int) -> Pictures:
        """The first n pictures of every class, in order."""
        seen: dict[int, int] = {}
        rows = []
        for row, label in enumerate(self.labels.tolist()):
            seen[label] = seen.get(label, 0) + 1
            if seen[label] <= n:
                rows.append(row)
        return self.rows(rows)

    def rows(self, rows: list[int]) -> Pictures:
        """The pictures of these rows."""
        return Pictures(self.images[rows], self.labels[rows], tuple(self.paths[row] for row in rows))


def load(root: Path, name: str, side: int) -> Pictures:
    """A pocket set at one side length, drawn first where `root` lacks it; object folders that map to no class are left out."""
    generate(root, [name])
    spec, border = pixels_of(side), 2 if name == "pocket-object" else 0
    drawn = [picture for picture in pictures(name) if picture.label >= 0]
    folder = root / FOLDERS[name]
    crops = [exact_crop(decode((folder / p.path).read_bytes(), p.path, border), spec) for p in drawn]
    labels = torch.tensor([p.label for p in drawn])
    return Pictures(torch.from_numpy(np.stack(crops)), labels, tuple(p.path for p in drawn))

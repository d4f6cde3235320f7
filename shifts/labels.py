"""Label spaces: the classes of a shift, as index arrays into the classes of its parent.

A space is a subset (ImageNet-R: 200 of 1000) or many-to-one (ObjectNet: 113 folders over 125 ImageNet classes).
`project` is the only way scores of the parent become scores of the space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class LabelSpace:
    """K classes over a parent of P classes.

    class_ids    K identifiers: WordNet ids, or ObjectNet folder names
    class_names  K display names
    groups       per class, the parent indices it is made of; disjoint, each non-empty
    parent_ids   P identifiers of the parent's classes, in index order
    parent_names P names that a zero-shot head uses (they depend on the protocol)
    own_text     True: a zero-shot head names the K classes themselves (`class_names`) and nothing is projected
    """

    name: str
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    parent_ids: tuple[str, ...]
    parent_names: tuple[str, ...]
    own_text: bool = False

    def __post_init__(self) -> None:
        flat = [i for group in self.groups for i in group]
        if not (len(self.class_ids) == len(self.class_names) == len(self.groups)):
            raise ValueError(f"label space {self.name}: ids, names and groups differ in length")
        if len(set(self.class_ids)) != len(self.class_ids) or len(self.parent_ids) != len(self.parent_names):
            raise ValueError(f"label space {self.name}: repeated class ids, or parent ids and names differ in length")
        if len(set(flat)) != len(flat) or any(not group for group in self.groups):
            raise ValueError(f"label space {self.name}: groups must be disjoint and non-empty")
        if flat and not 0 <= min(flat) <= max(flat) < len(self.parent_ids):
            raise ValueError(f"label space {self.name}: a group points outside the {len(self.parent_ids)} classes")

    def __len__(self) -> int:
        return len(self.class_ids)

    @property
    def is_full(self) -> bool:
        """True where the space is its parent, class for class."""
        return self.groups == tuple((i,) for i in range(len(self.parent_ids)))

    @cached_property
    def members(self) -> Ints:
        """(K, G) parent indices, each row padded by repeating its first: a max over axis 1 is the group's max."""
        widest = max((len(group) for group in self.groups), default=1)
        return np.array([group + (group[0],) * (widest - len(group)) for group in self.groups], dtype=np.int64)

    @cached_property
    def owner(self) -> Ints:
        """(P,) class of each parent index, or -1 for one outside the space."""
        owner = np.full(len(self.parent_ids), -1, dtype=np.int64)
        for k, group in enumerate(self.groups):
            owner[list(group)] = k
        return owner

    def project(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """(N, P) parent scores -> (N, K): the subset's columns, or the max over each many-to-one group."""
        if scores.shape[-1] != len(self.parent_ids):
            raise ValueError(f"{self.name} projects {len(self.parent_ids)} scores, got {scores.shape[-1]}")
        projected: NDArray[np.floating] = scores[..., self.members].max(axis=-1)
        return projected

    def restrict(self, parent_targets: Ints) -> tuple[Ints, Ints]:
        """(N,) parent targets -> (rows, targets): the rows whose class is in this space, and that class.

        Rows and columns of one pass over the clean set: the class-matched clean view.
        """
        targets = self.owner[parent_targets]
        rows = np.flatnonzero(targets >= 0).astype(np.int64)
        return rows, targets[rows]

    def contains(self, parent_predictions: Ints, targets: Ints) -> NDArray[np.bool_]:
        """Whether parent-way answers lie in the target's group: membership, an answer outside the space is wrong.

        (N,) predictions -> (N,) bools; (N, k) -> (N, k), a column an answer: `.any(axis=1)` is then right in the top k.
        """
        owners = self.owner[parent_predictions]
        right: NDArray[np.bool_] = owners == targets.reshape(-1, *(1,) * (owners.ndim - 1))
        return right


def duplicate_names(space: LabelSpace) -> dict[str, tuple[int, ...]]:
    """Text -> the classes that share it as their name: a zero-shot head cannot tell them apart.

    Equal text gives equal scores, so the argmax takes the first and the others score near 0 per class by construction.
    OpenAI's ImageNet names hold two: missile (657, 744) and sunglasses (836, 837).
    """
    spoken = [
        {space.class_names[k]} if space.own_text else {space.parent_names[i] for i in group}
        for k, group in enumerate(space.groups)
    ]
    classes: dict[str, list[int]] = {}
    for k, texts in enumerate(spoken):
        for text in texts:
            classes.setdefault(text, []).append(k)
    return {text: tuple(owners) for text, owners in classes.items() if len(owners) > 1}

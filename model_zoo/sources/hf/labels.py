"""What the columns of a classifier of transformers are: its id2label, checked against label2id."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from model_zoo.errors import ModelError

_UNNAMED = re.compile(r"LABEL_\d+")


def labels_of(config: Any, what: str) -> tuple[tuple[str, ...] | None, list[str]]:
    """Column names in order, and notes; None where they are transformers' LABEL_0, LABEL_1, ….

    Raises ModelError where id2label misses a column, or label2id says otherwise.
    """
    named = {int(index): str(label) for index, label in dict(config.id2label or {}).items()}
    missing = [index for index in range(int(config.num_labels)) if index not in named]
    if missing:
        raise ModelError(f"{what}: id2label of its config.json names no column {missing[0]} of {config.num_labels}")
    labels = tuple(named[index] for index in range(int(config.num_labels)))
    if all(_UNNAMED.fullmatch(label) or label == str(index) for index, label in enumerate(labels)):
        note = (
            f"its columns have no names (LABEL_0, …), so they are taken in the order of the set's {len(labels)} classes"
        )
        return None, [note]
    inverse = {str(label): int(index) for label, index in dict(getattr(config, "label2id", None) or {}).items()}
    unique = {label for label, times in Counter(labels).items() if times == 1}
    for index, label in enumerate(labels):
        if label in unique and inverse.get(label, index) != index and not all(map(_UNNAMED.fullmatch, inverse)):
            raise ModelError(
                f"{what}: its config.json contradicts itself: id2label names column {index} {label!r}, and label2id gives "
                f"{label!r} the column {inverse[label]}; correct the one that is wrong"
            )
    return labels, []

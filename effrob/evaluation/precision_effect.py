"""What a precision, torch.compile or an inexact decoder changes: some images answered in float32 as well, from exact pixels.

The sample is an ordinary feature set of its own, computed before the pass that it belongs to, so it is kept and shared like
any other; where the whole set is in the cache in float32, that is read and nothing is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.features.cache import FeatureCache, FeatureKey, FeatureSet
from effrob.heads.classifier import LabelView, LinearClassifier, predict
from effrob.results.store import Stored

Ints = NDArray[np.int64]
MOST, FEWEST, SHARE = 256, 32, 32  # images of a set: one in 32, but no more and no fewer than these
REFERENCE = ("fp32", "exact")


def sampled_rows(n: int) -> Ints:
    """(k,) rows of a source of `n` images, spread over it."""
    count = min(n, max(FEWEST, min(MOST, n // SHARE)))
    return np.unique(np.linspace(0, n - 1, count).round().astype(np.int64))


def whole_key(key: FeatureKey) -> FeatureKey:
    """The set's key in float32 and exact pixels."""
    return replace(key, precision=REFERENCE[0], path=REFERENCE[1])


def sample_key(key: FeatureKey) -> FeatureKey | None:
    """The key of the sample that belongs to a feature set; None for one that changes nothing."""
    if key.precision == REFERENCE[0] and key.path in ("exact", "fast"):  # what `fast` changes is told in advance
        return None
    return replace(whole_key(key), source=f"{key.source}:sample", n=len(sampled_rows(key.n)))


def precision_effect(
    cache: FeatureCache, features: FeatureSet, classifier: LinearClassifier, view: LabelView, device: torch.device
) -> dict[str, Any] | None:
    """How many sampled images of a view are answered otherwise than in float32, by the same head. None where none was sampled.

    spread  root mean square of the features' change, as a share of what tells images apart;  correct and correct_fp32 count
    right answers among `images`
    """
    key = sample_key(features.key)
    if key is None:
        return None
    rows, whole = sampled_rows(features.key.n), whole_key(features.key)
    if cache.has(whole):
        exact = np.ascontiguousarray(cache.merge(whole).array[rows])
    elif not cache.missing(key):
        exact = np.ascontiguousarray(cache.merge(key).array)
    else:
        return None
    at = {int(row): place for place, row in enumerate(rows)}
    places = np.flatnonzero(np.isin(view.rows, rows))
    if not len(places):
        return None
    exact = exact[[at[int(row)] for row in view.rows[places]]]
    found = np.ascontiguousarray(features.array[view.rows[places]])
    part = view._replace(
        rows=view.rows[places],
        targets=view.targets[places],
        ids=tuple(view.ids[int(place)] for place in places),
        accepted=None if view.accepted is None else tuple(view.accepted[int(place)] for place in places),
    )
    every = slice(0, len(places))
    ours = predict(classifier, [(every, found)], part, device)
    theirs = predict(classifier, [(every, exact)], part, device)
    deviation = (exact - exact.mean(axis=0)).astype(np.float64)
    apart = float(np.sqrt(np.mean(deviation**2))) or 1.0
    return {
        "images": len(places),
        "answers_changed": int((ours.predicted != theirs.predicted).sum()),
        "correct": int(ours.correct.sum()),
        "correct_fp32": int(theirs.correct.sum()),
        "spread": float(np.sqrt(np.mean((found.astype(np.float64) - exact) ** 2))) / apart,
    }


def told(stored: Sequence[Stored]) -> list[str]:
    """A sentence for each model and head whose answers were compared with those in float32, over all of its sets."""
    seen: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in stored:
        asked, effect = one.record.asked, one.record.resolved.get("precision_effect")
        if effect is not None:
            how = asked.precision if asked.pixel_path in ("exact", "fast") else f"{asked.precision}, {asked.pixel_path}"
            seen.setdefault((asked.model, asked.head, how), []).append(effect)
    sentences = []
    for (model, head, how), effects in seen.items():
        images, changed = (sum(effect[name] for effect in effects) for name in ("images", "answers_changed"))
        gained = sum(effect["correct"] - effect["correct_fp32"] for effect in effects)
        sentences.append(
            f"{model} ({head}) in {how}: {changed:,} of {images:,} sampled images were answered otherwise than in float32, "
            f"{gained:+d} right answers"
        )
    return sentences

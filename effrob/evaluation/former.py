"""Features computed while images kept in another layout had other ids: filed anew under the ids they have now.

Validation images kept flat were once called by their file names alone, in their order. Which rows those were is known from
the digest that the cache remembers of that listing, so no network runs again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from effrob.evaluation.content import UNREAD, source_digest
from effrob.evaluation.tasks import EvalTask, ResolvedRequest
from effrob.evaluation.worker import feature_key
from effrob.features.cache import SHARD_ROWS, FeatureCache
from shifts.storage.tree import TreeSource


def adopt_former_features(resolved: ResolvedRequest, tasks: Sequence[EvalTask], cache: FeatureCache) -> None:
    """Copy the rows of each complete feature set of a task that is filed under the images' stored paths."""
    for task in tasks:
        for shift in task.passes:
            listed = shift.source.as_stored() if isinstance(shift.source, TreeSource) else None
            if listed is None:
                continue
            source, places = listed
            digest = source_digest(source, resolved.request.cache, read=False)
            key = feature_key(resolved.request, task.identity, shift, resolved.data.source(shift))
            former = replace(key, source=digest)
            if digest.startswith(UNREAD) or not cache.has(former) or cache.has(key):
                continue
            held = cache.merge(former)
            cache.open(key, held.meta)
            for missing in cache.missing(key):
                for start in range(missing.start, missing.stop, SHARD_ROWS):
                    rows = places[start : min(start + SHARD_ROWS, missing.stop)]
                    cache.write(key, start, np.ascontiguousarray(held.array[rows]))

"""What is still to be computed for a request: the features each model lacks, and what getting them will cost.

Reads the cache and the results folder; loads no weights and decodes no image.
"""

from __future__ import annotations

from effrob.evaluation.content import UNREAD
from effrob.evaluation.cost import Forecast, Timed, Timings, forecast, mean_bytes, weights_of
from effrob.evaluation.plan import Need, Plan
from effrob.evaluation.request import Request
from effrob.evaluation.tasks import EvalTask, ResolvedRequest
from effrob.evaluation.worker import device_of, feature_key
from effrob.features.cache import FeatureCache
from effrob.features.threads import cores
from effrob.results.store import ResultStore


def pending(resolved: ResolvedRequest, store: ResultStore) -> list[EvalTask]:
    """Tasks without a record."""
    return [task for task in resolved.tasks if store.find(task.asked) is None]


def needs_of(resolved: ResolvedRequest, tasks: list[EvalTask], cache: FeatureCache) -> list[Need]:
    """What each model lacks of each set; label views of one source share its features."""
    needs: dict[tuple[str, str], Need] = {}
    weights: dict[str, int] = {}
    scored = {(task.identity.asked, resolved.data.source(shift)) for task in tasks for shift in task.scored}
    for task in tasks:
        spec = task.identity.asked
        if spec not in weights:
            weights[spec] = weights_of(task.identity, timed(resolved.request, spec))
        for shift in task.passes:
            source = resolved.data.source(shift)
            if (spec, source) not in needs:
                key = feature_key(resolved.request, task.identity, shift, source)
                missing, learns = tuple(cache.missing(key)), (spec, source) not in scored
                needs[spec, source] = Need(spec, shift.name, key.n, missing, weights[spec], learns)
    return list(needs.values())


def timed(request: Request, spec: str) -> Timed | None:
    """What the last pass of this model with this cache took."""
    return Timings(request.cache).find(spec, device_of(request), request.pixels)


def cost(resolved: ResolvedRequest, needs: list[Need], plan: Plan, workers: int = 1) -> Forecast:
    """The plan's bytes and seconds."""
    missing = {(need.model, need.source): need.rows for need in needs if need.rows}
    sources = {shift.name: shift.source for task in resolved.tasks for shift in task.passes}
    wanted = {source for _, source in missing}
    sizes = {name: mean_bytes(source) for name, source in sources.items() if name in wanted}
    return forecast(plan, missing, sizes, lambda spec: timed(resolved.request, spec), cores(), workers)


def unread(resolved: ResolvedRequest) -> list[str]:
    """Sets whose content was never digested with this cache: a run reads them once for that, and they count as new."""
    sets = {shift.name: shift for task in resolved.tasks for shift in task.passes}
    return [name for name, shift in sets.items() if resolved.data.source(shift).startswith(UNREAD)]

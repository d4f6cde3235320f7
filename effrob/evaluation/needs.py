"""What is still to be done of a request: the features each model lacks, and what getting them will cost.

Reads the cache and the results folder; loads no weights and decodes no image.
"""

from __future__ import annotations

from effrob.evaluation.cost import Forecast, Timed, Timings, forecast, mean_bytes, weights_of
from effrob.evaluation.plan import Need, Plan
from effrob.evaluation.request import Request
from effrob.evaluation.tasks import EvalTask, ResolvedRequest
from effrob.evaluation.worker import UNREAD, device_of, feature_key
from effrob.features.cache import FeatureCache
from effrob.features.threads import cores
from effrob.results.store import ResultStore


def pending(layout: ResolvedRequest, store: ResultStore) -> list[EvalTask]:
    """Cells without a record."""
    return [cell for cell in layout.cells if store.find(cell.asked) is None]


def needs_of(layout: ResolvedRequest, cells: list[EvalTask], cache: FeatureCache) -> list[Need]:
    """What each model lacks of each set; label views of one source share its features."""
    found: dict[tuple[str, str], Need] = {}
    weights: dict[str, int] = {}
    scored = {(cell.identity.asked, layout.source_of(shift)) for cell in cells for shift in cell.scored}
    for cell in cells:
        spec = cell.identity.asked
        if spec not in weights:
            weights[spec] = weights_of(cell.identity, timed(layout.request, spec))
        for shift in cell.passes:
            source = layout.source_of(shift)
            if (spec, source) not in found:
                key = feature_key(layout.request, cell.identity, shift, source)
                missing, learns = tuple(cache.missing(key)), (spec, source) not in scored
                found[spec, source] = Need(spec, shift.name, key.n, missing, weights[spec], learns)
    return list(found.values())


def timed(request: Request, spec: str) -> Timed | None:
    """What a pass of this model was like, the last time it was made with this cache."""
    return Timings(request.cache).find(spec, device_of(request), request.pixels)


def cost(layout: ResolvedRequest, needs: list[Need], plan: Plan, workers: int = 1) -> Forecast:
    """The plan's bytes and seconds."""
    missing = {(need.model, need.source): need.rows for need in needs if need.rows}
    sources = {shift.name: shift.source for cell in layout.cells for shift in cell.passes}
    wanted = {source for _, source in missing}
    sizes = {name: mean_bytes(source) for name, source in sources.items() if name in wanted}
    return forecast(plan, missing, sizes, lambda spec: timed(layout.request, spec), cores(), workers)


def unread(layout: ResolvedRequest) -> list[str]:
    """Sets whose content was never digested with this cache: a run reads them once for that, and they count as new."""
    shifts = {shift.name: shift for cell in layout.cells for shift in cell.passes}
    return [name for name, shift in shifts.items() if layout.source_of(shift).startswith(UNREAD)]

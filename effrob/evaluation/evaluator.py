"""The one orchestrator: what was asked becomes cells, cells become jobs, an engine runs them, heads read the features out,
and each cell becomes a record. Nothing else sees engine, features, heads and results together.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from effrob.engines.engine import Engine, Outcome
from effrob.engines.local import LocalEngine
from effrob.errors import EffrobError, describe_error
from effrob.evaluation.needs import needs_of, pending
from effrob.evaluation.plan import Plan, plan
from effrob.evaluation.request import Request
from effrob.evaluation.tasks import EvalTask, ResolvedRequest, clean_view, question_of
from effrob.evaluation.worker import Worker, device_of, feature_key, load_encoder
from effrob.features.cache import SHARD_ROWS, FeatureCache, FeatureSet
from effrob.files import check_writable, sweep
from effrob.heads.classifier import LabelView, LinearClassifier, Training, load_readout, predict, save_readout
from effrob.heads.shared import trained_path
from effrob.results.predictions import Predictions
from effrob.results.provenance import here
from effrob.results.record import EvalRecord
from effrob.results.store import ResultStore, Stored, count
from shifts.shift import Shift

JOBS_EACH = 4  # jobs a worker of a spreading engine should get: enough to even out, few enough to start cheaply


@dataclass(frozen=True)
class EvaluationReport:
    """What a run came to: records in the order asked, and a sentence for each thing that failed."""

    stored: tuple[Stored, ...]
    failures: tuple[str, ...]
    notices: tuple[str, ...]


class Evaluation:
    """A request with its cells, cache and results. Loads no weights until `run`."""

    def __init__(self, request: Request, read: bool = True) -> None:
        """`read` False, for a forecast: sets that were never digested are not read now, and count as new."""
        self.request = request
        self.cache = FeatureCache(request.cache)
        self.store = ResultStore(request.results)
        self.layout = ResolvedRequest(request, read)
        self.cells, self.notices = self.layout.cells, self.layout.notices

    def pending(self) -> list[EvalTask]:
        """Cells without a record."""
        return pending(self.layout, self.store)

    def plan(self, spread: int = 1) -> Plan:
        """The jobs still to be done, cut so that `spread` workers have several each."""
        needs = needs_of(self.layout, self.pending(), self.cache)
        rows = sum(need.rows for need in needs)
        chunk = None if spread == 1 else SHARD_ROWS * max(1, rows // (spread * JOBS_EACH * SHARD_ROWS))
        return plan(needs, chunk=chunk)

    def run(self, engine: Engine | None = None) -> EvaluationReport:
        """Do what is missing, and report every cell. A failed model or set does not stop the rest.

        In this process models are taken a group at a time, and their records kept before the next group is begun.
        """
        engine = engine or LocalEngine()
        for folder in (self.request.cache, self.request.results):
            check_writable(folder)
            sweep(folder)
        plan = self.plan(spread=engine.workers)
        outcomes: list[Outcome] = []
        ended: dict[int, Stored | str | None] = {}
        for jobs in plan.waves() if isinstance(engine, LocalEngine) else [plan.jobs]:
            outcomes += engine.run(Worker(self.request), jobs)
            done = {model for job in jobs for model in job.models}
            ended |= {
                n: self._end(c, outcomes) for n, c in enumerate(self.cells) if c.identity.asked in done and engine.leads
            }
        if not engine.leads:
            return EvaluationReport((), (), ())
        stored, failures = [], [*self.layout.broken, *(f"{o.job.source}: {o.error}" for o in outcomes if o.error)]
        for number, cell in enumerate(self.cells):
            came = ended[number] if number in ended else self._end(cell, outcomes)
            if isinstance(came, Stored):
                stored.append(came)
            elif came is not None:
                failures.append(came)
        return EvaluationReport(tuple(stored), tuple(dict.fromkeys(failures)), tuple(self.notices))

    def _end(self, cell: EvalTask, outcomes: Sequence[Outcome]) -> Stored | str | None:
        """A cell's record, or why there is none: a sentence, or None where a failed job says it already."""
        try:
            return self.store.find(cell.asked) or self._finish(cell)
        except (EffrobError, ValueError, LookupError, OSError) as error:
            if _explained(cell, outcomes):
                return None
            return f"{cell.identity.spec} on {cell.shift.name} ({cell.head.name}): {describe_error(error)}"

    def _finish(self, cell: EvalTask) -> Stored:
        features = self._features(cell, cell.shift)
        readout = self._readout(cell)
        rows = self._predict(readout, features, question_of(cell.shift))
        clean = clean_full = None
        if cell.clean is not None:
            clean_features = self._features(cell, cell.clean)
            clean = self._predict(readout, clean_features, clean_view(cell.shift, cell.clean))
            whole = cell.shift.labels.is_full and cell.clean.accepted is None
            clean_full = clean
            if not whole:
                clean_full = None if readout.own else self._predict(readout, clean_features, question_of(cell.clean))
        request = self.request
        record = EvalRecord(
            asked=cell.asked,
            weights=cell.identity.spec.weights,
            model_asked=cell.identity.asked,
            counts=count(rows),
            n_expected=cell.shift.n_expected,
            partial=cell.shift.partial or (cell.clean is not None and cell.clean.partial),
            clean=None if clean is None else count(clean),
            clean_full=None if clean_full is None else count(clean_full),
            files={},
            resolved={
                **features.meta,
                **readout.facts,
                "notes": list(cell.identity.notes),
                "batch_size": request.batch_size,
            },
            provenance=here(device_of(request), request.precision),
        )
        return self.store.write(record, rows, clean)

    def _features(self, cell: EvalTask, shift: Shift) -> FeatureSet:
        return self.cache.merge(feature_key(self.request, cell.identity, shift, self.layout.source_of(shift)))

    def _readout(self, cell: EvalTask) -> LinearClassifier:
        """The cell's readout, from the cache or made now; the text of one model is embedded once for all sets."""
        labels = cell.shift.labels
        names = labels.class_names if labels.own_text else labels.parent_names
        about = [cell.identity.digest, cell.identity.layer, self.request.precision, cell.asked.head_digest, list(names)]
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        path = self.request.cache / "readouts" / digest[:2] / f"{digest}.safetensors"
        if cell.train is not None:
            path = trained_path(self.request.cache, cell.asked)
        if path.is_file():
            return load_readout(path)
        head = cell.head.make(self.request.progress)
        if cell.train is None:
            readout = head.fit(load_encoder(cell.identity.asked, device_of(self.request)), labels, None)
        else:
            readout = head.fit(None, labels, self._training(cell, cell.train))
        if readout.kept:
            save_readout(path, readout)
        return readout

    def _training(self, cell: EvalTask, train: Shift) -> Training:
        features = self._features(cell, train)
        classes, kind = len(train.labels.parent_ids), str(features.meta["kind"])
        spec, device = str(cell.identity.spec), device_of(self.request)
        return Training(train.name, spec, features.array, train.rows, train.targets, classes, kind, device)

    def _predict(self, readout: LinearClassifier, features: FeatureSet, question: LabelView) -> Predictions:
        return predict(readout, features.blocks(question.rows), question, torch.device(device_of(self.request)))


def _explained(cell: EvalTask, outcomes: Sequence[Outcome]) -> bool:
    """True where a failed job already says why this cell is missing."""
    names = {shift.name for shift in cell.passes}
    return any(
        outcome.error and outcome.job.source in names and cell.identity.asked in (outcome.failed or outcome.job.models)
        for outcome in outcomes
    )


def engine_for(request: Request) -> Engine:
    """The engine a request names, ready to run."""
    if request.engine == "torchrun":
        from effrob.engines.on_torchrun import TorchrunEngine

        return TorchrunEngine()
    if request.engine == "ray":
        from effrob.engines.on_ray import RayEngine

        gpus = 0.0 if device_of(request) == "cpu" else 1.0
        return RayEngine(request.address, gpus=gpus, progress=request.progress)
    return LocalEngine()


def evaluate_request(request: Request) -> EvaluationReport:
    """Lay a request out and run it."""
    return Evaluation(request).run(engine_for(request))


def say(report: EvaluationReport) -> None:
    """Notices and failures, a sentence a line, on standard error."""
    for line in (*report.notices, *report.failures):
        print(line, file=sys.stderr)

"""The orchestrator: a request becomes tasks, tasks become jobs, an engine runs them, heads turn the features into predictions,
and each task becomes a record. Nothing else sees engine, features, heads and results together.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

import shifts
from effrob.engines.engine import Engine, Job, Outcome
from effrob.engines.local import LocalEngine
from effrob.errors import EffrobError, UsageProblem, stops_one_thing
from effrob.evaluation.former import adopt_former_features
from effrob.evaluation.needs import needs_of, pending
from effrob.evaluation.plan import Plan, plan
from effrob.evaluation.precision_effect import precision_effect, told
from effrob.evaluation.request import Request
from effrob.evaluation.tasks import EvalTask, ResolvedRequest, clean_view, label_view
from effrob.evaluation.trials import Trials
from effrob.evaluation.worker import ENCODERS, Worker, device_of, feature_key, refuse_missing_gpu
from effrob.features import compiled, nvjpeg
from effrob.features.cache import SHARD_ROWS, FeatureCache, FeatureKey, FeatureSet
from effrob.features.runner import slow_precision
from effrob.files import check_writable, sweep
from effrob.heads.classifier import LabelView, LinearClassifier, Training, load_classifier, predict, save_classifier
from effrob.heads.shared import classifier_path, text_classifier_path
from effrob.results.predictions import Predictions
from effrob.results.provenance import here
from effrob.results.record import EvalRecord
from effrob.results.store import ResultStore, Stored, count
from model_zoo.encoder import Encoder
from shifts.shift import Shift

JOBS_EACH = 4  # jobs a worker of a spreading engine should get: enough to even out, few enough to start cheaply


@dataclass(frozen=True)
class EvaluationReport:
    """The outcome of a run: records in the order asked, and a sentence for each thing that failed."""

    stored: tuple[Stored, ...]
    failures: tuple[str, ...]
    notices: tuple[str, ...]


class Evaluation:
    """A request with its tasks, cache and results. Loads no weights until `run`."""

    def __init__(self, request: Request, read: bool = True) -> None:
        """`read` False, for a forecast: sets that were never digested are not read now, and count as new."""
        self.request = request
        self.cache = FeatureCache(request.cache)
        self.store = ResultStore(request.results)
        self.resolved = ResolvedRequest(request, read)
        self.tasks, self.notices = self.resolved.tasks, self.resolved.notices
        self._refused: dict[int, str] = {}
        self._varying: dict[str, dict[str, Any]] = {}

    def pending(self) -> list[EvalTask]:
        """Tasks without a record."""
        return pending(self.resolved, self.store)

    def refused(self, jobs: Sequence[Job] = (), fetch: bool = True) -> dict[int, str]:
        """A sentence for each task, by its place, that cannot end: every pending model is loaded and proved, if it is not yet.

        jobs   those that will run first, whose models stay loaded. What is refused is in no plan.
        fetch  False: a model whose weights are not on this machine is not tried, which a notice says
        """
        left = {id(task) for task in self.pending()}
        places = [number for number, task in enumerate(self.tasks) if id(task) in left]
        held = tuple(dict.fromkeys(model for job in jobs for model in job.models))
        trials = Trials(self.request, fetch)
        sentences = trials.refused([self.tasks[number] for number in places], held)
        self.notices += [f"{spec} is not tried: its weights are not on this machine yet" for spec in trials.untried]
        self._varying = trials.varying
        self._refused = {places[place]: sentence for place, sentence in sentences.items()}
        return self._refused

    def plan(self, spread: int = 1) -> Plan:
        """The jobs still to be done, cut so that `spread` workers have several each."""
        refused = {id(self.tasks[number]) for number in self._refused}
        left = [task for task in self.pending() if id(task) not in refused]
        needs = needs_of(self.resolved, left, self.cache)
        rows = sum(need.rows for need in needs)
        chunk = None if spread == 1 else SHARD_ROWS * max(1, rows // (spread * JOBS_EACH * SHARD_ROWS))
        return plan(needs, chunk=chunk)

    def run(self, engine: Engine | None = None) -> EvaluationReport:
        """Do what is missing, and report every task. A failed model or set does not stop the rest.

        In this process models are taken a group at a time, and their records kept before the next group is begun.
        """
        engine = engine or LocalEngine()
        if self.request.engine != "ray":  # whose workers are other machines
            device = torch.device(device_of(self.request))
            if self.request.pixels == "nvjpeg":
                nvjpeg.check(device)
            slow = slow_precision(self.request.precision, device)
            if slow is not None:
                print(slow, file=sys.stderr)
        for folder in (self.request.cache, self.request.results):
            check_writable(folder)
            sweep(folder)
        ENCODERS.keep_only({task.identity.asked: task.identity.digest for task in self.tasks})
        adopt_former_features(self.resolved, self.pending(), self.cache)
        first = self.plan().waves()
        if isinstance(engine, LocalEngine) and self.request.pixels == "exact":
            compiled.load_ahead(max((job.stop - job.start for jobs in first for job in jobs), default=0))
        refused = self.refused(first[0] if first else ())
        plan = self.plan(spread=engine.workers)
        outcomes: list[Outcome] = []
        ended: dict[int, Stored | str | None] = {}
        for jobs in plan.waves() if isinstance(engine, LocalEngine) else [plan.jobs]:
            outcomes += engine.run(Worker(self.request), jobs)
            done = {model for job in jobs for model in job.models}
            ended |= {
                n: self._end(t, outcomes)
                for n, t in enumerate(self.tasks)
                if t.identity.asked in done and engine.leads and n not in refused
            }
        if not engine.leads:
            return EvaluationReport((), (), ())
        stored: list[Stored] = []
        failures = [*self.resolved.broken, *(f"{o.job.source}: {o.error}" for o in outcomes if o.error)]
        for number, task in enumerate(self.tasks):
            result = refused.get(number) or (ended[number] if number in ended else self._end(task, outcomes))
            if isinstance(result, Stored):
                stored.append(result)
            elif result is not None:
                failures.append(result)
        return EvaluationReport(tuple(stored), tuple(dict.fromkeys(failures)), (*self.notices, *told(stored)))

    def _end(self, task: EvalTask, outcomes: Sequence[Outcome]) -> Stored | str | None:
        """A task's record, or why there is none: a sentence, or None where a failed job says it already."""
        try:
            return self.store.find(task.asked) or self._finish(task)
        except BaseException as error:
            said = stops_one_thing(error)
            if _explained(task, outcomes):
                return None
            return f"{task.identity.spec} on {task.shift.name} ({task.head.name}): {said}"

    def _finish(self, task: EvalTask) -> Stored:
        features = self._features(task, task.shift)
        classifier = self.classifier(task)
        view, device = label_view(task.shift), torch.device(device_of(self.request))
        rows = self._predict(classifier, features, view)
        effect = precision_effect(self.cache, features, classifier, view, device)
        clean = clean_full = None
        if task.clean is not None:
            clean_features = self._features(task, task.clean)
            clean = self._predict(classifier, clean_features, clean_view(task.shift, task.clean))
            whole = task.shift.labels.is_full and task.clean.accepted is None
            clean_full = clean
            if not whole:
                clean_full = (
                    None if classifier.own else self._predict(classifier, clean_features, label_view(task.clean))
                )
        request, suite = self.request, shifts.suite_of(task.shift.name)
        varies = self._nondeterminism(task)
        series = self.resolved.series.get(task.identity.asked)
        record = EvalRecord(
            asked=task.asked,
            weights=task.identity.spec.weights,
            model_asked=task.identity.asked,
            counts=count(rows),
            n_expected=task.shift.n_expected,
            partial=task.shift.partial or (task.clean is not None and task.clean.partial),
            clean=None if clean is None else count(clean),
            clean_full=None if clean_full is None else count(clean_full),
            files={},
            resolved={
                **features.meta,
                **classifier.facts,
                "notes": list(task.identity.notes),
                "batch_size": request.batch_size,
                **({"series": asdict(series)} if series is not None else {}),
                **({"suite": suite.as_json()} if suite.declares_places else {}),
                **({"nondeterminism": varies} if varies else {}),
                **({"precision_effect": effect} if effect else {}),
            },
            provenance=here(device_of(request), request.precision),
        )
        return self.store.write(record, rows, clean)

    def _key(self, task: EvalTask, shift: Shift) -> FeatureKey:
        return feature_key(self.request, task.identity, shift, self.resolved.data.source(shift))

    def _features(self, task: EvalTask, shift: Shift) -> FeatureSet:
        features = self.cache.merge(self._key(task, shift))
        varies = features.meta.get("nondeterminism")
        if varies and not self.request.allow_nondeterminism:
            raise EffrobError(
                f"the features in the cache are of a pass with --allow-nondeterminism, in which answers varied by "
                f"{varies['spread']:.2g} of what tells images apart: say it again, or name another --cache"
            )
        return features

    def _nondeterminism(self, task: EvalTask) -> dict[str, Any] | None:
        """What the answers of a task were seen to depend on, at the most; None where they are facts."""
        seen = [self.cache.meta(self._key(task, shift)).get("nondeterminism") for shift in task.passes]
        seen.append(self._varying.get(task.identity.asked))
        return max((each for each in seen if each), key=lambda each: float(each["spread"]), default=None)

    def classifier(self, task: EvalTask) -> LinearClassifier:
        """The task's classifier, from the cache or made now; the text of one model is embedded once for all sets."""
        labels = task.shift.labels
        names = labels.class_names if labels.own_text else labels.parent_names
        identity, cache = task.identity, self.request.cache
        about = identity.digest, identity.layer, self.request.precision, task.asked.head_digest
        path = text_classifier_path(cache, *about, names)
        if task.train is not None:
            path = classifier_path(cache, task.asked)
        if path.is_file():
            kept = load_classifier(path)
            if kept.logit_scale is not None or not kept.normalise:  # else of a version that kept no scale
                return kept
        head = task.head.make(self.request.progress)
        if task.train is None:
            classifier = head.fit(self._encoder(task), labels, None)
        else:
            classifier = head.fit(None, labels, self._training(task, task.train))
        if classifier.kept:
            save_classifier(path, classifier)
        return classifier

    def _encoder(self, task: EvalTask) -> Encoder:
        return ENCODERS.load(task.identity.asked, device_of(self.request), self.request.allow_nondeterminism)

    def _training(self, task: EvalTask, train: Shift) -> Training:
        features = self._features(task, train)
        classes, kind = len(train.labels.parent_ids), str(features.meta["kind"])
        spec, device = str(task.identity.spec), device_of(self.request)
        return Training(train.name, spec, features.array, train.rows, train.targets, classes, kind, device)

    def _predict(self, classifier: LinearClassifier, features: FeatureSet, view: LabelView) -> Predictions:
        return predict(classifier, features.blocks(view.rows), view, torch.device(device_of(self.request)))


def _explained(task: EvalTask, outcomes: Sequence[Outcome]) -> bool:
    """True where a failed job already says why this task is missing."""
    names = {shift.name for shift in task.passes}
    return any(
        outcome.error and outcome.job.source in names and task.identity.asked in (outcome.failed or outcome.job.models)
        for outcome in outcomes
    )


def engine_for(request: Request) -> Engine:
    """The engine a request names, ready to run. Raises UsageProblem where this machine lacks what it takes."""
    if request.engine != "ray":  # whose tasks run on other machines
        refuse_missing_gpu(device_of(request))
    if request.engine == "torchrun":
        from effrob.engines.on_torchrun import TorchrunEngine

        return TorchrunEngine()
    if request.engine == "ray":
        from effrob.engines.on_ray import RayEngine

        gpus = 0.0 if device_of(request) == "cpu" else 1.0
        return RayEngine(request.address, gpus=gpus, progress=request.progress)
    ranks = os.environ.get("WORLD_SIZE", "1")
    if ranks not in ("", "1"):
        raise UsageProblem(
            f"WORLD_SIZE says that {ranks} processes were started, and each of them would do everything: give --engine "
            "torchrun under torchrun, or unset WORLD_SIZE and start one"
        )
    return LocalEngine()


def evaluate_request(request: Request) -> EvaluationReport:
    """Lay a request out and run it."""
    return Evaluation(request).run(engine_for(request))


def say(report: EvaluationReport) -> None:
    """Notices and failures, a sentence a line, on standard error."""
    for line in (*report.notices, *report.failures):
        print(line, file=sys.stderr)

"""The one orchestrator: what was asked becomes cells, cells become jobs, an engine runs them, heads read the features out,
and each cell becomes a record. Nothing else sees engine, features, heads and results together.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

import model_zoo
import shifts
from effrob.engines.engine import Engine, Outcome
from effrob.engines.local import LocalEngine
from effrob.errors import EffrobError, UsageProblem
from effrob.features.cache import FeatureCache, FeatureSet
from effrob.heads.choice import HeadChoice, choose
from effrob.heads.head import Question, Readout, load_readout, predict, save_readout
from effrob.plan import Need, Plan, plan
from effrob.request import Request
from effrob.results.predictions import Predictions
from effrob.results.provenance import here
from effrob.results.record import Asked, EvalRecord
from effrob.results.store import ResultStore, Stored, count
from effrob.worker import Worker, device_of, feature_key, load_encoder, shift_of, source_digest
from model_zoo.encoder import Identity
from shifts.protocol import protocol
from shifts.shift import Shift


@dataclass(frozen=True)
class Cell:
    """One model, one shift, one head: the unit of results. `clean` is the clean set its class-matched view is cut from."""

    identity: Identity
    shift: Shift
    clean: Shift | None
    head: HeadChoice
    asked: Asked

    @property
    def passes(self) -> list[Shift]:
        """The sets whose features this cell reads."""
        return [self.shift] if self.clean is None else [self.shift, self.clean]


@dataclass(frozen=True)
class Report:
    """What a run came to: records in the order asked, and a sentence for each thing that failed."""

    stored: tuple[Stored, ...]
    failures: tuple[str, ...]
    notices: tuple[str, ...]


class Evaluation:
    """A request made concrete: sets loaded, models identified, cells laid out. Loads no weights until `run`."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.cache = FeatureCache(request.cache)
        self.store = ResultStore(request.results)
        self.notices: list[str] = []
        self.identities = [model_zoo.identify(spec) for spec in dict.fromkeys(request.models)]
        for identity in self.identities:
            self.notices += [f"{identity.spec}: {note}" for note in identity.notes]
        self.sets = self._sets()
        self.cells = [cell for identity in self.identities for cell in self._cells(identity)]

    def _sets(self) -> list[Shift]:
        """The sets asked for, or every set of the suite that is found; what is missing is named."""
        request = self.request
        if request.shifts is not None:
            return [shift_of(request, name) for name in dict.fromkeys(request.shifts)]
        found = []
        for name in shifts.suite(request.suite):
            try:
                found.append(shift_of(request, name))
            except shifts.DataMissing as missing:
                self.notices.append(str(missing))
        if not found:
            raise shifts.DataMissing(f"no set of the suite {request.suite} was found: " + " ".join(self.notices[-1:]))
        return found

    def _clean(self, shift: Shift) -> Shift | None:
        if shift.clean is None:
            return None
        try:
            return shift_of(self.request, shift.clean)
        except shifts.DataMissing as missing:
            notice = f"{shift.name} has no effective robustness without its clean set: {missing}"
            if notice not in self.notices:
                self.notices.append(notice)
            return None

    def _cells(self, identity: Identity) -> list[Cell]:
        made = []
        for shift in self.sets:
            clean = self._clean(shift)
            for head in choose(self.request.heads, self.request.prompts, identity.has_text):
                made.append(Cell(identity, shift, clean, head, self._asked(identity, shift, clean, head)))
        return made

    def _asked(self, identity: Identity, shift: Shift, clean: Shift | None, head: HeadChoice) -> Asked:
        request = self.request
        return Asked(
            model=str(identity.spec),
            model_digest=identity.digest,
            layer=identity.layer,
            pixels=json.loads(json.dumps(identity.pixels.as_json())),
            pixel_path=request.pixels,
            precision=request.precision,
            head=head.name,
            prompts=None if head.prompts is None else head.prompts.name,
            head_digest=head.digest,
            protocol=shift.protocol,
            shift=shift.name,
            label_space=shift.labels.name,
            source=source_digest(shift.source, request.cache),
            question=_question_digest(shift),
            clean_source=None if clean is None else source_digest(clean.source, request.cache),
            clean_question=None if clean is None else _question_digest(clean),
        )

    def pending(self) -> list[Cell]:
        """Cells without a record."""
        return [cell for cell in self.cells if self.store.find(cell.asked) is None]

    def plan(self, chunk: int | None = None) -> Plan:
        """The jobs still to be done."""
        needs: dict[tuple[str, str], Need] = {}
        for cell in self.pending():
            for shift in cell.passes:
                key = feature_key(self.request, cell.identity, shift)
                spec = cell.identity.asked
                if (spec, key.digest()) not in needs:  # label views of one source share its features
                    needs[spec, key.digest()] = Need(spec, shift.name, key.n, tuple(self.cache.missing(key)))
        return plan(needs.values(), chunk=chunk)

    def run(self, engine: Engine | None = None) -> Report:
        """Do what is missing, and report every cell. A failed model or set does not stop the rest."""
        outcomes = (engine or LocalEngine()).run(Worker(self.request), self.plan().jobs)
        stored, failures = [], [f"{outcome.job.source}: {outcome.error}" for outcome in outcomes if outcome.error]
        for cell in self.cells:
            try:
                stored.append(self.store.find(cell.asked) or self._finish(cell, outcomes))
            except (EffrobError, ValueError, LookupError, OSError) as error:
                if not _explained(cell, outcomes):
                    failures.append(f"{cell.identity.spec} on {cell.shift.name} ({cell.head.name}): {error}")
        return Report(tuple(stored), tuple(dict.fromkeys(failures)), tuple(self.notices))

    def _finish(self, cell: Cell, outcomes: Sequence[Outcome]) -> Stored:
        features = self._features(cell, cell.shift)
        readout = self._readout(cell)
        rows = self._predict(readout, features, _question(cell.shift))
        clean = clean_full = None
        if cell.clean is not None:
            clean_features = self._features(cell, cell.clean)
            clean = self._predict(readout, clean_features, _clean_view(cell.shift, cell.clean))
            whole = cell.shift.labels.is_full and cell.clean.accepted is None
            clean_full = clean
            if not whole:
                clean_full = None if readout.own else self._predict(readout, clean_features, _question(cell.clean))
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

    def _features(self, cell: Cell, shift: Shift) -> FeatureSet:
        return self.cache.merge(feature_key(self.request, cell.identity, shift))

    def _readout(self, cell: Cell) -> Readout:
        labels = cell.shift.labels
        names = labels.class_names if labels.own_text else labels.parent_names
        about = [cell.identity.digest, cell.identity.layer, self.request.precision, cell.head.digest, list(names)]
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        path = self.request.cache / "readouts" / digest[:2] / f"{digest}.safetensors"
        if path.is_file():
            return load_readout(path)
        encoder = load_encoder(cell.identity.asked, device_of(self.request))
        readout = cell.head.make(self.request.progress).fit(encoder, labels, None)
        save_readout(path, readout)
        return readout

    def _predict(self, readout: Readout, features: FeatureSet, question: Question) -> Predictions:
        return predict(readout, features.blocks(question.rows), question, torch.device(device_of(self.request)))


def _question(shift: Shift) -> Question:
    collapse = protocol(shift.protocol).collapse
    return Question(shift.rows, shift.targets, shift.ids, shift.labels, shift.accepted, collapse)


def _clean_view(shift: Shift, clean: Shift) -> Question:
    """The clean set asked in the shift's label space: rows and columns of the clean pass."""
    rows, targets = shift.labels.restrict(clean.targets)
    every = clean.ids
    collapse = protocol(shift.protocol).collapse
    return Question(clean.rows[rows], targets, tuple(every[int(row)] for row in rows), shift.labels, None, collapse)


def _question_digest(shift: Shift) -> str:
    hashed = hashlib.sha256()
    hashed.update(np.ascontiguousarray(shift.rows).tobytes() + np.ascontiguousarray(shift.targets).tobytes())
    labels = shift.labels
    about = [
        labels.name,
        labels.class_ids,
        labels.groups,
        labels.own_text,
        shift.accepted,
        shift.border,
        shift.protocol,
    ]
    names = labels.class_names if labels.own_text else labels.parent_names
    hashed.update(json.dumps([*about, names]).encode())
    return hashed.hexdigest()


def _explained(cell: Cell, outcomes: Sequence[Outcome]) -> bool:
    """True where a failed job already says why this cell is missing."""
    names = {shift.name for shift in cell.passes}
    return any(
        outcome.error and outcome.job.source in names and cell.identity.asked in (outcome.failed or outcome.job.models)
        for outcome in outcomes
    )


def evaluate_request(request: Request) -> Report:
    """Lay a request out and run it."""
    if request.engine != "local":
        raise UsageProblem(f"the engine {request.engine} is not part of this build: use --engine local")
    return Evaluation(request).run()


def say(report: Report) -> None:
    """Notices and failures, a sentence a line, on standard error."""
    for line in (*report.notices, *report.failures):
        print(line, file=sys.stderr)

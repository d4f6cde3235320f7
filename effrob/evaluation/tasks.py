"""What a request comes to, before anything is computed: sets found, models identified, one cell a result.

Loads images' names and models' identities, never weights; a cell's question is its record's key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

import model_zoo
import shifts
from effrob.errors import UsageProblem
from effrob.evaluation.request import Request
from effrob.evaluation.worker import shift_of, source_digest
from effrob.heads.classifier import LabelView
from effrob.heads.registry import HeadChoice, choose
from effrob.heads.shared import PREFIX, Imported
from effrob.results.record import EvalSpec
from model_zoo.encoder import Identity
from shifts.protocol import protocol
from shifts.shift import Shift


@dataclass(frozen=True)
class EvalTask:
    """One model, one shift, one head: the unit of results. `clean` is the clean set its class-matched view is cut from."""

    identity: Identity
    shift: Shift
    clean: Shift | None
    head: HeadChoice
    train: Shift | None
    asked: EvalSpec

    @property
    def passes(self) -> list[Shift]:
        """The sets whose features this cell reads."""
        return self.scored + [shift for shift in (self.train,) if shift is not None]

    @property
    def scored(self) -> list[Shift]:
        """Those of them that answers are read from."""
        return [shift for shift in (self.shift, self.clean) if shift is not None]


class ResolvedRequest:
    """A request made concrete. `notices` are sentences the user should see."""

    def __init__(self, request: Request, read: bool = True) -> None:
        """`read` False: a set whose content was never digested is not read now; its cells get keys no record has."""
        self.request, self._read = request, read
        self.notices: list[str] = []
        self._sources: dict[int, str] = {}
        self._questions: dict[int, str] = {}
        self.broken: list[str] = []
        identities = self._identities()
        for identity in identities:
            self.notices += [f"{identity.spec}: {note}" for note in identity.notes]
        self.sets = self._sets()
        self.cells = [cell for identity in identities for cell in self._cells(identity)]
        if not self.cells:
            raise UsageProblem("; ".join(self.notices[-len(identities) :]) or "nothing is left to evaluate")

    def _identities(self) -> list[Identity]:
        """The models asked for. One that cannot be used is left out and named in `broken`, unless nothing else is left.

        Raises UnknownModel for one that does not exist: that is a slip to be mended before hours are spent.
        """
        found: list[Identity] = []
        for spec in dict.fromkeys(self.request.models):
            try:
                found.append(model_zoo.identify(spec))
            except model_zoo.ModelError as error:
                if len(set(self.request.models)) == 1:
                    raise
                self.broken.append(f"{spec}: {error}")
        if not found:
            raise model_zoo.ModelError("; ".join(self.broken))
        return found

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
            self._note(notice)
            return None

    def _cells(self, identity: Identity) -> list[EvalTask]:
        made = []
        for shift in self.sets:
            clean = self._clean(shift)
            for head in choose(self.request.heads, self.request.prompts, identity.has_text):
                lacking = _lacking(identity, head, len(shift.labels.parent_ids))
                if head.name.startswith(PREFIX):
                    lacking = Imported(head.name).lacking(identity, self.request.pixels, self.request.precision)
                if lacking is not None:
                    self._note(f"{identity.spec}: {lacking}")
                    continue
                train = self._train(shift) if head.trains else None
                asked = self._asked(identity, shift, clean, head, train)
                made.append(EvalTask(identity, shift, clean, head, train, asked))
        return made

    def _train(self, shift: Shift) -> Shift:
        """The set a head learns from: the one named, or the training set of the shift's suite."""
        base = shift.clean or shift.name
        name = self.request.train or (base if base.endswith("-train") else f"{base}-train")
        if self.request.train is None and name not in shifts.names():
            raise UsageProblem(
                f"{shift.name} has no training set of its own, and a head learns from one: name it with --train"
            )
        train = shift_of(self.request, name)
        if not train.labels.is_full:
            raise UsageProblem(
                f"{train.name} is labelled among {len(train.labels)} of {len(train.labels.parent_ids)} classes, as test "
                f"sets are: a head learns from a training set, or from a list made without --second-set"
            )
        if train.labels.parent_ids != shift.labels.parent_ids:
            raise UsageProblem(
                f"{train.name} and {shift.name} have different classes: a head cannot learn from one for the other"
            )
        return train

    def source_of(self, shift: Shift) -> str:
        """The digest of a set's images, asked for once: 50,000 files are looked at for it."""
        if id(shift.source) not in self._sources:
            self._sources[id(shift.source)] = source_digest(shift.source, self.request.cache, self._read)
        return self._sources[id(shift.source)]

    def _question(self, shift: Shift) -> str:
        if id(shift) not in self._questions:
            self._questions[id(shift)] = question_digest(shift)
        return self._questions[id(shift)]

    def _note(self, notice: str) -> None:
        if notice not in self.notices:
            self.notices.append(notice)

    def _asked(
        self, identity: Identity, shift: Shift, clean: Shift | None, head: HeadChoice, train: Shift | None
    ) -> EvalSpec:
        request, head_digest = self.request, head.digest
        if train is not None:
            head_digest += f":{self.source_of(train)}:{self._question(train)}"
        return EvalSpec(
            model=str(identity.spec),
            model_digest=identity.digest,
            layer=identity.layer,
            pixels=json.loads(json.dumps(identity.pixels.as_json())),
            pixel_path=request.pixels,
            precision=request.precision,
            head=head.name,
            prompts=None if head.prompts is None else head.prompts.name,
            head_digest=head_digest,
            protocol=shift.protocol,
            shift=shift.name,
            label_space=shift.labels.name,
            source=self.source_of(shift),
            question=self._question(shift),
            clean_source=None if clean is None else self.source_of(clean),
            clean_question=None if clean is None else self._question(clean),
        )


def _lacking(identity: Identity, head: HeadChoice, classes: int) -> str | None:
    """Why a model cannot have a head, as far as its identity tells; None where it can."""
    if head.name == "zero-shot" and not identity.has_text:
        return "has no text tower, so no zero-shot head; use --head native or linear-probe"
    if head.name == "native" and identity.n_classes is None:
        return "has no classifier of its own, so no native head; use --head zero-shot or linear-probe"
    if head.name == "native" and identity.n_classes != classes:
        return f"answers {identity.n_classes} classes and the set's come from {classes}: use --head linear-probe"
    return None


def question_of(shift: Shift) -> LabelView:
    collapse = protocol(shift.protocol).collapse
    return LabelView(shift.rows, shift.targets, shift.ids, shift.labels, shift.accepted, collapse)


def clean_view(shift: Shift, clean: Shift) -> LabelView:
    """The clean set asked in the shift's label space: rows and columns of the clean pass."""
    rows, targets = shift.labels.restrict(clean.targets)
    every = clean.ids
    collapse = protocol(shift.protocol).collapse
    return LabelView(clean.rows[rows], targets, tuple(every[int(row)] for row in rows), shift.labels, None, collapse)


def question_digest(shift: Shift) -> str:
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

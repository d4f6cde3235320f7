"""What a request resolves to before anything is computed: the data sets, the models' identities, and one task a result.

Reads the names of images and the identities of models, never weights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import model_zoo
import shifts
from effrob.errors import UsageProblem, stops_one_thing
from effrob.evaluation.data import RequestData, load_set
from effrob.evaluation.request import Request
from effrob.heads.classifier import LabelView
from effrob.heads.native import columns_for
from effrob.heads.registry import HeadChoice, choose
from effrob.heads.shared import PREFIX, ImportedProbe
from effrob.results.record import EvalSpec
from model_zoo.encoder import Identity
from shifts.protocol import protocol
from shifts.shift import Shift


@dataclass(frozen=True)
class Series:
    """A model's place among those that one spec stands for: the files of a glob, the shares of a mixture."""

    name: str
    place: int


@dataclass(frozen=True)
class EvalTask:
    """One model, one shift, one head: the unit of results.

    clean  the clean set that the class-matched view is cut from;  train  the set the head is trained on
    asked  the key of its record
    """

    identity: Identity
    shift: Shift
    clean: Shift | None
    head: HeadChoice
    train: Shift | None
    asked: EvalSpec

    @property
    def passes(self) -> list[Shift]:
        """The sets whose features this task reads."""
        return self.scored + [shift for shift in (self.train,) if shift is not None]

    @property
    def scored(self) -> list[Shift]:
        """The sets that it is scored on."""
        return [shift for shift in (self.shift, self.clean) if shift is not None]


class ResolvedRequest:
    """A request with its sets, models and tasks.

    notices  sentences the user should see;  broken  a sentence for each model and set that cannot be used
    series  model -> its place in a series, for those that are in one
    """

    def __init__(self, request: Request, read: bool = True) -> None:
        """`read` False: sets that were never digested are not read now; their tasks get keys that no record has."""
        self.request, self.data = request, RequestData(request, read)
        self.broken: list[str] = []
        self.series: dict[str, Series] = {}
        identities = self._identities()
        self.notices = [f"{identity.spec}: {note}" for identity in identities for note in identity.notes]
        self.sets, missing = self.data.evaluated()
        self.notices += missing
        self.broken += self.data.broken
        self.tasks = [task for identity in identities for task in self._tasks(identity)]
        if not self.tasks:
            raise UsageProblem("; ".join(self.notices[-len(identities) :]) or "nothing is left to evaluate")

    def _identities(self) -> list[Identity]:
        """The models asked for. One that cannot be used is left out and named in `broken`, unless nothing else is left.

        Raises UnknownModel for one that does not exist: that is a slip to be mended before hours are spent.
        """
        identities: list[Identity] = []
        specs: dict[str, Series | None] = {}
        for asked in dict.fromkeys(self.request.models):
            members = (asked,) if model_zoo.is_offered(asked) else model_zoo.expand(asked)
            for place, spec in enumerate(members):
                specs.setdefault(spec, Series(asked, place) if members != (asked,) else None)
        self.series = {spec: series for spec, series in specs.items() if series is not None}
        for spec in specs:
            try:
                identities.append(model_zoo.identify(spec))
            except model_zoo.UnknownModel:
                raise
            except BaseException as error:
                said = stops_one_thing(error)
                if len(specs) == 1 and isinstance(error, Exception):
                    raise
                self.broken.append(f"{spec}: {said}")
        if not identities:
            raise model_zoo.ModelError("; ".join(self.broken))
        return identities

    def _clean(self, shift: Shift) -> Shift | None:
        if shift.clean is None:
            return None
        try:
            clean = load_set(self.request, shift.clean)
            self.data.source(clean)
            if len(shift.labels.restrict(clean.targets)[0]):
                return clean
            self._note(
                f"{shift.name} has no effective robustness: {clean.name} is there in part, with no image of its classes"
            )
            return None
        except shifts.DataMissing as missing:
            self._note(f"{shift.name} has no effective robustness without its clean set: {missing}")
            return None
        except BaseException as unusable:
            said = stops_one_thing(unusable)
            if self.request.shifts is not None and isinstance(unusable, shifts.DataError):
                raise
            sentence = f"{shift.name} has no effective robustness without its clean set: {said}"
            if sentence not in self.broken:
                self.broken.append(sentence)
            return None

    def _tasks(self, identity: Identity) -> list[EvalTask]:
        tasks = []
        for shift in self.sets:
            clean = self._clean(shift)
            for head in choose(self.request.heads, self.data.prompts(), identity.has_text):
                lacking = _lacking(identity, head, shift)
                if head.name.startswith(PREFIX):
                    lacking = ImportedProbe(head.name).lacking(identity, self.request.pixels, self.request.precision)
                if lacking is not None:
                    self._note(f"{identity.spec}: {lacking}")
                    continue
                train = self.data.training(shift) if head.trains else None
                asked = self._asked(identity, shift, clean, head, train)
                tasks.append(EvalTask(identity, shift, clean, head, train, asked))
        return tasks

    def _note(self, notice: str) -> None:
        if notice not in self.notices:
            self.notices.append(notice)

    def _asked(
        self, identity: Identity, shift: Shift, clean: Shift | None, head: HeadChoice, train: Shift | None
    ) -> EvalSpec:
        request, data, head_digest = self.request, self.data, head.digest
        columns = columns_for(identity, shift.labels) if head.name == "native" else None
        if columns is not None and columns != tuple(range(len(columns))):
            self._note(f"{identity.spec}: its columns are not in the set's order, and are matched by their labels")
            head_digest += f":{hashlib.sha256(json.dumps(columns).encode()).hexdigest()}"
        if train is not None:
            head_digest += f":{data.source(train)}:{data.labels(train)}"
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
            source=data.source(shift),
            question=data.labels(shift),
            clean_source=None if clean is None else data.source(clean),
            clean_question=None if clean is None else data.labels(clean),
        )


def _lacking(identity: Identity, head: HeadChoice, shift: Shift) -> str | None:
    """Why a model cannot have a head, as far as its identity tells; None where it can."""
    classes = len(shift.labels.parent_ids)
    if head.name == "zero-shot" and not identity.has_text:
        own = "native or " if identity.n_classes is not None else ""
        return f"has no text tower, so no zero-shot head; use --head {own}linear-probe"
    if head.name == "native" and identity.n_classes is None:
        return "has no classifier of its own, so no native head; use --head zero-shot or linear-probe"
    if head.name == "native" and identity.labels is not None:
        try:
            columns_for(identity, shift.labels)
        except model_zoo.ModelError as error:
            return f"its own head cannot answer {shift.name}: {error}"
        return None
    if head.name == "native" and identity.n_classes == classes + 1:
        return (
            f"answers {identity.n_classes} classes and the set's come from {classes}: the one more may be a background class, "
            "and nothing says which column it is; use --head linear-probe, or a loader that leaves it out"
        )
    if head.name == "native" and identity.n_classes != classes:
        return f"answers {identity.n_classes} classes and the set's come from {classes}: use --head linear-probe"
    return None


def label_view(shift: Shift) -> LabelView:
    """A set in its own label space."""
    collapse = protocol(shift.protocol).collapse
    return LabelView(shift.rows, shift.targets, shift.ids, shift.labels, shift.accepted, collapse)


def clean_view(shift: Shift, clean: Shift) -> LabelView:
    """The clean set in the shift's label space: the images of its classes, scored among those classes."""
    rows, targets = shift.labels.restrict(clean.targets)
    every = clean.ids
    collapse = protocol(shift.protocol).collapse
    return LabelView(clean.rows[rows], targets, tuple(every[int(row)] for row in rows), shift.labels, None, collapse)

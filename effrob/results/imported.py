"""Answers made elsewhere become a record: labelled by the set's own key, counted here, kept image by image.

What the file holds is held against the set it is said to be of: image by image, class by class, and against chance. No image is
read and nothing is evaluated.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from effrob.errors import RecordConflict
from effrob.results.answer_check import check_labels, check_order, check_plausible
from effrob.results.answer_predictions import MatchedAnswers, predictions_of
from effrob.results.predictions import Predictions, file_digest
from effrob.results.provenance import here
from effrob.results.record import EvalRecord, EvalSpec, imported_digest
from effrob.results.store import ResultStore, Stored, count
from shifts.declared.suite import Suite
from shifts.shift import Shift

HEAD = "imported"
UNSTATED = "unstated"


@dataclass(frozen=True)
class ImportRequest:
    """What is said of the answers: whose they are, under which protocol, and whether incomplete or chance-level ones pass."""

    model: str
    results: Path
    chance: bool = False


def import_answers(
    answers: MatchedAnswers, clean: MatchedAnswers | None, request: ImportRequest, suite: Suite | None = None
) -> tuple[Stored, tuple[str, ...]]:
    """Keep answers as a record of origin `imported`; the record, and sentences a reader should know.

    clean  the model's answers on the clean set of the suite;  suite  the user's own, to be told in the record

    Raises UsageProblem where the answers fit the set no better than chance, or a stretch of them does; RecordConflict where
    the model has other answers on this set already.
    """
    shift = answers.shift
    predictions = predictions_of(answers)
    assert predictions is not None  # None is for clean views alone
    notices = _scored_among(shift, predictions) if suite is not None else []
    if answers.file.labels is not None:
        check_labels(answers.file, shift, answers.place)
    if not request.chance:
        check_plausible(answers.file.where, shift, predictions)
        check_order(answers.file.where, answers.place, predictions)
    view, full = None, None
    if clean is not None:
        whole = predictions_of(clean)
        assert whole is not None
        if not request.chance:
            check_plausible(clean.file.where, clean.shift, whole)
            check_order(clean.file.where, clean.place, whole)
        full = count(whole)
        view = predictions_of(clean, shift)
        if view is None:
            notices.append(
                f"{clean.file.where} does not tell the best answer among the {len(shift.labels)} classes of {shift.name}, so "
                f"{shift.name} is judged by --axis full alone; logits over all classes would give both"
            )
        elif not len(view):
            view = None
    elif shift.clean is not None:
        notices.append(
            f"no answers on {shift.clean} are given beside {shift.name}, so its effective robustness cannot be told: give "
            "--clean FILE"
        )
    asked = EvalSpec(
        model=request.model,
        model_digest=imported_digest(request.model),
        layer=HEAD,
        pixels={},
        pixel_path=UNSTATED,
        precision=UNSTATED,
        head=HEAD,
        prompts=None,
        head_digest=HEAD,
        protocol=shift.protocol,
        shift=shift.name,
        label_space=shift.labels.name,
        source=_digest("ids", *shift.ids),
        question=_question(shift),
        clean_source=None if clean is None else _digest("ids", *clean.shift.ids),
        clean_question=None if clean is None else _question(clean.shift),
    )
    files = [answers.file, *([clean.file] if clean else [])]
    record = EvalRecord(
        asked=asked,
        weights=None,
        model_asked=request.model,
        counts=count(predictions),
        n_expected=shift.n_expected,
        partial=shift.partial or (clean is not None and clean.shift.partial),
        clean=None if view is None else count(view),
        clean_full=full,
        files={},
        resolved={
            "answers": [
                {
                    "file": Path(f.where).name,
                    "sha256": file_digest(Path(f.where)),
                    "what": "classes" if f.logits is None else "logits",
                }
                for f in files
            ],
            "notes": list(shift.notes),
            **({} if suite is None else {"suite": suite.as_json()}),
        },
        provenance=here(UNSTATED, UNSTATED),
        origin="imported",
    )
    store = ResultStore(request.results)
    stored = store.write(record, predictions, view)
    kept = [stored.predictions(), stored.clean_predictions()]
    if not _same(kept[0], predictions) or not _same(kept[1], view):
        raise RecordConflict(
            f"{stored.folder} holds other answers of {request.model} on {shift.name}: give another --model, or "
            f"`rm -r {shlex.quote(str(stored.folder))}` and import again"
        )
    return stored, tuple(notices)


def _scored_among(shift: Shift, predictions: Predictions) -> list[str]:
    """That a set of the user's own is scored among the classes it has, and what the accuracy is among all of them."""
    counts, space = count(predictions), shift.labels
    if space.is_full or space.own_text or counts.n_correct_1000way is None:
        return []
    return [
        f"{shift.name} is scored among the {len(space)} classes it has, as subsets of ImageNet are; among all "
        f"{len(space.parent_ids)} the accuracy is {counts.n_correct_1000way / counts.n:.2%} (accuracy_1000way in --json)"
    ]


def _same(first: Predictions | None, second: Predictions | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first.predicted, second.predicted) and np.array_equal(first.top5, second.top5)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _question(shift: Shift) -> str:
    """What is asked of which images: targets, label space, accepted answers, protocol."""
    space = shift.labels
    told = json.dumps(
        [shift.name, space.name, space.class_ids, space.groups, space.own_text, shift.accepted, shift.protocol]
    )
    return _digest("imported answers", told, *shift.ids, *map(str, shift.targets.tolist()))

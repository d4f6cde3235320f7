"""A record reproduced: a random sample of its images is run through the model again, and the answers are compared.

A file can be consistent in every respect and made up all the same; only the model can tell.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.errors import EffrobError, UsageProblem
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.evaluation.tasks import EvalTask, clean_view, label_view
from effrob.evaluation.trials import Trials
from effrob.evaluation.worker import ENCODERS, device_of, feature_key
from effrob.features.cache import FeatureCache, FeatureSet
from effrob.features.extract import EncoderJob, Pass, extract
from effrob.features.precision import split
from effrob.heads.classifier import LabelView, LinearClassifier
from effrob.heads.shared import classifier_path
from effrob.results.predictions import Predictions
from effrob.results.store import Stored
from shifts.shift import Shift

Ints = NDArray[np.int64]
ALTERED = 0.01  # the share of altered answers whose probability of being met is told
# How far below the best an answer may lie and still be a near tie, as a share of the sample's median margin: what another
# machine, another batch or TF32 moves scores by.
NEAR = {"fp32": 0.01, "bf16": 0.05, "fp16": 0.05}
SAME = ("layer", "pixels", "pixel_path", "precision", "head", "prompts", "head_digest", "protocol", "label_space")


@dataclass(frozen=True)
class Compared:
    """The sampled images of one file of a record.

    n_record, n    images that the file answers, and of these the sample
    differing      ids whose recorded answers are not the model's;  near_ties  ids whose are within `tolerance` of them
    tolerance      in the head's scores
    """

    file: str
    n_record: int
    n: int
    differing: tuple[str, ...]
    near_ties: tuple[str, ...]
    tolerance: float

    @property
    def caught(self) -> float:
        """The probability that such a sample meets an altered answer, where ALTERED of the file's are."""
        return chance_of_catching(self.n_record, self.n, ALTERED)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "file": self.file,
            "n_record": self.n_record,
            "n": self.n,
            "n_differing": len(self.differing),
            "differing": list(self.differing),
            "n_near_ties": len(self.near_ties),
            "near_ties": list(self.near_ties),
            "tolerance": self.tolerance,
            "chance_of_catching_one_percent": self.caught,
        }


@dataclass(frozen=True)
class Reproduction:
    """What came of running a record's images again; `notices`: what was not as the record says and need not be."""

    stored: Stored
    model: str
    seed: int
    views: tuple[Compared, ...]
    notices: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        """Whether every sampled answer is the model's, near ties aside."""
        return not any(view.differing for view in self.views)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "record": str(self.stored.folder),
            "model": self.model,
            "reproduced": self.reproduced,
            "seed": self.seed,
            "views": [view.as_json() for view in self.views],
            "notices": list(self.notices),
        }


def sampled(n_record: int, images: int, seed: int) -> Ints:
    """(n,) rows drawn without replacement from a file of n_record, ascending; all of them where it holds no more."""
    drawn = np.random.default_rng(seed).choice(n_record, size=min(images, n_record), replace=False)
    return np.sort(drawn).astype(np.int64)


def chance_of_catching(n_record: int, n: int, share: float) -> float:
    """Hypergeometric: the probability that n of n_record rows hold one of the share altered (at least one is)."""
    altered = max(1, math.floor(share * n_record))
    if n > n_record - altered:
        return 1.0
    missed = sum(math.log1p(-n / (n_record - i)) for i in range(altered))
    return 1.0 - math.exp(missed)


def verify_record(stored: Stored, request: Request, images: int, seed: int) -> Reproduction:
    """Run a sample of a record's images through the one model of `request`, and compare.

    Raises UsageProblem and EffrobError where the record was not made by effrob, the model cannot be asked what the record
    was, or the images are not at hand.
    """
    task, classifier, notices = _asked_again(stored, request)
    parts = [("predictions.npz", stored.predictions(), label_view(task.shift), task.shift)]
    clean = stored.clean_predictions()
    if clean is not None:
        if task.clean is None:
            raise UsageProblem(
                f"the record answers a clean view, and its images are not at hand: lay {task.shift.clean} beside "
                f"{task.shift.name}, or name it with --at {task.shift.clean}=DIR"
            )
        parts.append(("clean.npz", clean, clean_view(task.shift, task.clean), task.clean))
    views = tuple(
        _compared(file, rows, sampled(len(rows), images, seed), view, shift, request, task, classifier)
        for file, rows, view, shift in parts
    )
    return Reproduction(stored, str(task.identity.spec), seed, views, tuple(notices))


def _asked_again(stored: Stored, request: Request) -> tuple[EvalTask, LinearClassifier, list[str]]:
    """The record's question to the request's model, its classifier, and what differs and may."""
    asked = stored.record.asked
    learnt = asked.head.partition("@")[0] not in ("native", "zero-shot")
    evaluation = Evaluation(request, read=learnt)
    if evaluation.resolved.broken or len(evaluation.tasks) != 1:
        said = [*evaluation.resolved.broken, *evaluation.notices]
        raise EffrobError("; ".join(said) or f"{asked.shift} cannot be asked of {request.models[0]}")
    (task,) = evaluation.tasks
    other = [name for name in SAME if getattr(task.asked, name) != getattr(asked, name)]
    if other:
        told = "; ".join(f"{name}: {getattr(asked, name)!r}, and now {getattr(task.asked, name)!r}" for name in other)
        if other == ["head_digest"] and task.train is not None:
            told += (
                f"; it learnt from other images or labels than {task.train.name} has here: name its set with --train"
            )
        raise EffrobError(f"the record asked {asked.model} otherwise than {request.models[0]} would be asked ({told})")
    refused = Trials(request).refused([task])
    if refused:
        raise EffrobError("; ".join(refused.values()))
    if task.train is not None and not classifier_path(request.cache, task.asked).is_file():
        raise UsageProblem(
            f"the head {asked.head} learnt, and what it learnt is not in the cache {request.cache}: train it again "
            f"with `effrob eval --model {request.models[0]} --shift {asked.shift} --head {asked.head}{_trained(request)}`, "
            "then verify"
        )
    notices = []
    if task.asked.model != asked.model:
        notices.append(f"the record calls its model {asked.model}")
    if task.asked.model_digest != asked.model_digest:
        notices.append(
            "the model's digest is not the record's: other weights, code or library, whose answers are compared"
        )
    if request.allow_nondeterminism:
        notices.append("the record says that answers depend on more than the image: some may differ for that alone")
    return task, evaluation.classifier(task), notices


def _trained(request: Request) -> str:
    """The options of `effrob eval` that name what a head learns from."""
    limit = "" if request.train_limit is None else f" --train-limit {request.train_limit}"
    return ("" if request.train is None else f" --train {quote(request.train)}") + limit


def _compared(
    file: str,
    rows: Predictions,
    sample: Ints,
    view: LabelView,
    shift: Shift,
    request: Request,
    task: EvalTask,
    classifier: LinearClassifier,
) -> Compared:
    at = _places(rows.id[sample], view, shift)
    strange = np.flatnonzero(view.targets[at] != rows.target[sample])
    if len(strange):
        raise EffrobError(f"{file} states another target of {rows.id[sample[strange[0]]]} than the set here has")
    features = _features(shift, view.rows[at], request, task)
    every = np.arange(len(sample), dtype=np.int64)
    device = torch.device(device_of(request))
    with torch.inference_mode():
        blocks = (torch.from_numpy(block).to(device) for _, block in features.blocks(every))
        scores = torch.cat([classifier.to(device).scores(block).cpu() for block in blocks]).double().numpy()
    changed, near, tolerance = _judged(scores, classifier.own, view, rows, sample, NEAR[split(request.precision)[0]])
    ids = rows.id[sample]
    return Compared(file, len(rows), len(sample), tuple(ids[changed].tolist()), tuple(ids[near].tolist()), tolerance)


def _places(ids: NDArray[np.str_], view: LabelView, shift: Shift) -> Ints:
    """(n,) where each image stands in the view: by id, or by its file name where that names one image."""
    known = {id: place for place, id in enumerate(view.ids)}
    short: dict[str, int] = {}
    for id, place in known.items():
        name = id.rpartition("/")[2]
        short[name] = -1 if name in short else place
    at = np.array([known.get(id, short.get(id.rpartition("/")[2], -1)) for id in ids.tolist()], dtype=np.int64)
    if (at < 0).any():
        lacking = ids[at < 0]
        raise UsageProblem(
            f"{len(lacking):,} of the {len(ids):,} images that were drawn are not in {shift.name} as it lies here (first "
            f"{lacking[0]}): name the set that the record was made on with --data, or --at {shift.name}=DIR"
        )
    return at


def _features(shift: Shift, rows: Ints, request: Request, task: EvalTask) -> FeatureSet:
    """The features of these rows of a source, computed now: no cache is read."""
    source = shift.source.select(rows)
    key = dataclasses.replace(feature_key(request, task.identity, shift, "verified"), n=len(rows))
    encoder = ENCODERS.load(task.identity.asked, device_of(request), request.allow_nondeterminism)
    with tempfile.TemporaryDirectory(prefix="effrob-verify-") as scratch:
        cache = FeatureCache(Path(scratch))
        cache.open(key, {"kind": encoder.kind, "dim": encoder.dim, "model": str(encoder.identity.spec)})
        how = Pass(
            request.batch_size,
            request.precision,
            request.pixels,
            progress=request.progress,
            allow_nondeterminism=request.allow_nondeterminism,
        )
        label = f"{shift.name} × {task.identity.asked}"
        failed = extract(source, shift.border, [EncoderJob(encoder, key, cache.missing(key))], cache, how, label)
        if failed:
            raise EffrobError("; ".join(failed.values()))
        made = cache.merge(key)
        return FeatureSet(made.key, np.array(made.array), made.meta)


def _judged(
    scores: NDArray[np.float64], own: bool, view: LabelView, rows: Predictions, sample: Ints, near: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
    """(n, C) scores -> which recorded answers are not the model's, which are so nearly, and the tolerance of the set's scores.

    An answer is the best class of the set's own, the best of all classes, and the five best: recorded ones may lie no
    further below what the model puts there than `near` of the median margin.
    """
    labels, each = view.labels, np.arange(len(sample))
    space = scores if own else scores[:, labels.members].max(axis=2)
    ranked = space
    if (
        view.collapse == "membership" and not own
    ):  # the five best classes of the parent, by the set's classes they belong to
        ranked = np.where(labels.owner >= 0, scores, -np.inf)
    tolerance = near * _median_margin(space)
    behind = space.max(axis=1) - space[each, rows.predicted[sample]]
    top5 = rows.top5[sample]
    listed = np.where(top5 >= 0, space[each[:, None], top5], np.inf).min(axis=1)
    fifth = -np.sort(-ranked, axis=1)[:, min(top5.shape[1], ranked.shape[1]) - 1]
    behind = np.maximum(behind, np.where(np.isfinite(listed), fifth - listed, 0.0))
    changed, near_tie = behind > tolerance, (behind > 0) & (behind <= tolerance)
    thousand = rows.predicted_1000[sample]
    if not own and bool((thousand >= 0).all()):
        behind, allowed = scores.max(axis=1) - scores[each, thousand], near * _median_margin(scores)
        changed, near_tie = changed | (behind > allowed), near_tie | ((behind > 0) & (behind <= allowed))
    return changed, near_tie & ~changed, tolerance


def _median_margin(scores: NDArray[np.float64]) -> float:
    if scores.shape[1] < 2:
        return 0.0
    best = np.partition(scores, scores.shape[1] - 2, axis=1)[:, -2:]
    return float(np.median(best[:, 1] - best[:, 0]))

"""Linear classifiers of features, the heads that make them, and predictions in any label space.

Scoring streams feature blocks, so N x 1000 scores are never held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.errors import StaleCache
from effrob.files import whole_file
from effrob.results.predictions import TOP, Predictions
from model_zoo.encoder import Encoder
from shifts.labels import LabelSpace


@dataclass(frozen=True)
class LinearClassifier:
    """A linear map from features to scores.

    weight     (U, D) float32, or None where the features are scores already
    bias       (U,) float32 or None
    columns    (C,) int64: score c is row columns[c] of `weight`; equal class names share a row, so that they tie exactly
    normalise  True: cosine scores; weight rows are unit vectors already, features are made so
    own        True: the C scores are the shift's own classes; else the parent's, and the label space projects them
    facts      what a head wants recorded (chosen strength, objective, ...), JSON-ready
    logit_scale  what scores are multiplied by before a softmax: CLIP's learnt scale, 1 where scores are logits; None for scores
               of which no softmax was ever meant (least squares, votes)
    """

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    columns: torch.Tensor
    normalise: bool
    own: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    logit_scale: float | None = 1.0
    kept: ClassVar[bool] = True  # False: made anew each time, as a file would save nothing

    @classmethod
    def from_coefficients(
        cls, coef: NDArray[np.float64], intercept: NDArray[np.float64], facts: dict[str, Any]
    ) -> LinearClassifier:
        """coef (K, D) and intercept (K,) of a fit, made float32."""
        weight, bias = torch.from_numpy(coef).float(), torch.from_numpy(intercept).float()
        return cls(weight, bias, torch.arange(len(bias)), normalise=False, facts=facts)

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) float32 -> (B, C) float32."""
        if self.normalise:
            features = torch.nn.functional.normalize(features, dim=-1)
        if self.weight is not None:
            features = features @ self.weight.T
            if self.bias is not None:
                features = features + self.bias
        return features if len(self.columns) == features.shape[1] and self._plain else features[:, self.columns]

    @property
    def _plain(self) -> bool:
        return bool((self.columns == torch.arange(len(self.columns), device=self.columns.device)).all())

    def to(self, device: torch.device) -> LinearClassifier:
        """The same classifier on another device."""
        moved = [None if t is None else t.to(device) for t in (self.weight, self.bias, self.columns)]
        assert moved[2] is not None
        return LinearClassifier(moved[0], moved[1], moved[2], self.normalise, self.own, self.facts, self.logit_scale)


@dataclass(frozen=True)
class Training:
    """What a head learns from: rows of a feature set with a class each.

    name      of the labelled set;  model  the spec the features come from, for messages
    array     (N, D) float32, usually memory-mapped;  rows (n,) int64 into it
    targets   (n,) int64 in the parent's classes, of which there are n_classes
    kind      what the features are: `logits` are refused, a probe on them learns what the network already decided
    device    where to learn
    """

    name: str
    model: str
    array: NDArray[np.float32]
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    n_classes: int
    kind: str
    device: str = "cpu"


class Head(Protocol):
    """Makes a classifier. `encoder` is None for heads that learn, `train` for those that do not."""

    @property
    def name(self) -> str: ...

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None) -> LinearClassifier: ...


def save_classifier(path: Path, classifier: LinearClassifier) -> None:
    """Write a classifier as safetensors, whole or not at all."""
    import json

    from safetensors.torch import save

    tensors = {"columns": classifier.columns.contiguous().cpu()}
    if classifier.weight is not None:
        tensors["weight"] = classifier.weight.contiguous().cpu()
    if classifier.bias is not None:
        tensors["bias"] = classifier.bias.contiguous().cpu()
    about = {"normalise": classifier.normalise, "own": classifier.own, "facts": classifier.facts}
    about["logit_scale"] = classifier.logit_scale
    readout = json.dumps(about, sort_keys=True, allow_nan=False)
    with whole_file(path) as file:
        file.write(save(tensors, metadata={"readout": readout, "sha256": _digest(readout, tensors)}))


def _digest(readout: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of all that a stored classifier holds."""
    hashed = hashlib.sha256(readout.encode())
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return hashed.hexdigest()


def load_classifier(path: Path) -> LinearClassifier:
    """Read what `save_classifier` wrote. Raises StaleCache where the file is torn or foreign."""
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("sha256", "") not in ("", _digest(metadata["readout"], tensors)):  # "": of an earlier version
            raise ValueError("its content is not that of its SHA-256")
        about = json.loads(metadata["readout"])
        weight, bias = tensors.get("weight"), tensors.get("bias")
        unsaid = None if about["normalise"] or "ridge" in about["facts"] else 1.0  # a file of an earlier version
        scale = about.get("logit_scale", unsaid)
        return LinearClassifier(
            weight, bias, tensors["columns"], about["normalise"], about["own"], about["facts"], scale
        )
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise StaleCache(f"{path} is not a readable readout ({error}): delete that file") from error


class LabelView(NamedTuple):
    """The rows of a feature set to score, and their right answers.

    rows      (n,) int64 rows of the source;  targets (n,) int64 in `labels`;  ids (n,) their names
    accepted  every right answer a row, or None where the target is the only one
    collapse  `max` over a many-to-one group, or `membership` of the best parent class (only the top 5 differ)
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    ids: tuple[str, ...]
    labels: LabelSpace
    accepted: tuple[tuple[int, ...], ...] | None = None
    collapse: str = "max"


def _top_k(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, C) -> the k best columns and values; equal scores go to the lower index, on every device."""
    scores = scores.clone()
    order = torch.arange(scores.shape[1], device=scores.device)
    columns, values = [], []
    for _ in range(min(k, scores.shape[1])):
        value = scores.amax(dim=1, keepdim=True)
        column = torch.where(scores == value, order, scores.shape[1]).amin(dim=1)
        scores[torch.arange(len(scores), device=scores.device), column] = -torch.inf
        columns.append(column)
        values.append(value[:, 0])
    return torch.stack(columns, 1), torch.stack(values, 1)


def predict(
    classifier: LinearClassifier,
    blocks: Iterable[tuple[slice, NDArray[np.float32]]],
    view: LabelView,
    device: torch.device,
) -> Predictions:
    """Score feature blocks, project them into the label space, and keep one row an image.

    Raises ValueError where the classifier's classes are not the label space's parent's.
    """
    labels, n = view.labels, len(view.rows)
    classifier = classifier.to(device)
    wanted = len(labels) if classifier.own else len(labels.parent_ids)
    if len(classifier.columns) != wanted:
        raise ValueError(f"the head speaks of {len(classifier.columns)} classes, {labels.name} needs {wanted}")
    members = torch.from_numpy(labels.members).to(device)
    owner = torch.from_numpy(labels.owner).to(device)
    predicted = np.zeros(n, dtype=np.int64)
    top5 = np.full((n, TOP), -1, dtype=np.int64)
    thousand = np.full(n, -1, dtype=np.int64)
    margin, confidence, entropy = (np.zeros(n, dtype=np.float32) for _ in range(3))
    with torch.inference_mode():
        for part, block in blocks:
            scores = classifier.scores(torch.from_numpy(block).to(device))
            if classifier.own:
                space = scores
            else:
                thousand[part] = _top_k(scores, 1)[0][:, 0].cpu().numpy()
                space = scores[:, members].amax(dim=-1)
            columns, values = _top_k(space, TOP)
            predicted[part] = columns[:, 0].cpu().numpy()
            if values.shape[1] > 1:
                margin[part] = (values[:, 0] - values[:, 1]).cpu().numpy()
            confidence[part], entropy[part] = softmax_statistics(space, classifier.logit_scale)
            if view.collapse == "membership" and not classifier.own:
                inside = torch.where(owner >= 0, scores, -torch.inf)
                columns = owner[_top_k(inside, TOP)[0]]
            top5[part, : columns.shape[1]] = columns.cpu().numpy()
    return score_predictions(view, predicted, top5, thousand, margin, confidence, entropy)


def softmax_statistics(scores: torch.Tensor, scale: float | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(B, K) scores -> (B,) largest probability and (B,) entropy in nats of softmax(scale * scores); NaN without a scale."""
    if scale is None:
        unknown = np.full(len(scores), np.nan, dtype=np.float32)
        return unknown, unknown
    logs = torch.log_softmax(scores.double() * scale, dim=-1)
    chance = logs.exp()
    entropy = -torch.where(chance > 0, chance * logs, 0.0).sum(dim=-1)
    return chance.amax(dim=-1).float().cpu().numpy(), entropy.float().cpu().numpy()


def score_predictions(
    view: LabelView,
    predicted: NDArray[np.int64],
    top5: NDArray[np.int64],
    thousand: NDArray[np.int64],
    margin: NDArray[np.float32],
    confidence: NDArray[np.float32] | None = None,
    entropy: NDArray[np.float32] | None = None,
) -> Predictions:
    """Which predictions are right: by the target, or by any accepted answer. confidence, entropy: NaN where not given."""
    unknown = np.full(len(predicted), np.nan, dtype=np.float32)
    labels, targets = view.labels, view.targets
    in_space = np.where(thousand >= 0, labels.owner[thousand], -1)
    if view.accepted is None:
        correct, correct_1000 = predicted == targets, in_space == targets
        correct_top5 = (top5 == targets[:, None]).any(axis=1)
    else:
        right = [set(answers) for answers in view.accepted]
        correct = np.array([int(p) in r for p, r in zip(predicted, right)], dtype=bool)
        correct_1000 = np.array([int(p) in r for p, r in zip(in_space, right)], dtype=bool)
        correct_top5 = np.array([not r.isdisjoint(map(int, five)) for five, r in zip(top5, right)], dtype=bool)
    return Predictions(
        index=view.rows.astype(np.int64),
        id=np.array(view.ids, dtype=np.str_),
        target=targets.astype(np.int64),
        predicted=predicted,
        top5=top5,
        predicted_1000=thousand,
        correct=correct,
        correct_1000=correct_1000 & (thousand >= 0),
        correct_top5=correct_top5,
        margin=margin,
        confidence=unknown if confidence is None else confidence,
        entropy=unknown if entropy is None else entropy,
    )

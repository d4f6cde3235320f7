"""The k-nearest-neighbours head: the classes of the K most similar training rows vote, each by its similarity.

Cosine similarity, votes exp(similarity / TEMPERATURE), as the self-supervised literature weighs them (Wu et al. 2018). No
copy of the training rows is made: they are streamed past each block of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from effrob.heads.classifier import LinearClassifier, Training
from effrob.heads.splits import check_training, train_facts
from effrob.logistic.feature_blocks import read_rows
from model_zoo.encoder import Encoder
from shifts.labels import LabelSpace

NEIGHBOURS = 20
TEMPERATURE = 0.07
BLOCK = 16384  # training rows compared at a time


@dataclass(frozen=True)
class Neighbours(LinearClassifier):
    """Votes in place of a linear map; `train` is streamed, so nothing is kept of it."""

    train: Training | None = None
    k: int = NEIGHBOURS
    kept: ClassVar[bool] = False

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) float32 -> (B, K) votes, summing to 1."""
        train = self.train
        assert train is not None
        features = torch.nn.functional.normalize(features, dim=-1)
        best = torch.full((len(features), 0), -torch.inf, device=features.device)
        classes = torch.zeros((len(features), 0), dtype=torch.int64, device=features.device)
        targets = torch.from_numpy(train.targets).to(features.device)
        for start in range(0, len(train.rows), BLOCK):
            rows = read_rows(train.array, train.rows[start : start + BLOCK]).to(features.device).float()
            similar = features @ torch.nn.functional.normalize(rows, dim=-1).T
            best = torch.cat([best, similar], dim=1)
            near = targets[start : start + BLOCK].expand(len(features), -1)
            best, places = best.topk(min(self.k, best.shape[1]), dim=1)
            classes = torch.cat([classes, near], dim=1).gather(1, places)
        votes = torch.softmax(best / TEMPERATURE, dim=1)
        return torch.zeros(len(features), train.n_classes, device=features.device).scatter_add_(1, classes, votes)

    def to(self, device: torch.device) -> Neighbours:
        """The same: rows go to the device of the features they are compared with."""
        return Neighbours(
            None, None, self.columns.to(device), self.normalise, self.own, self.facts, None, self.train, self.k
        )


@dataclass(frozen=True)
class Knn:
    """Fits in no time; each prediction reads the training features once."""

    k: int = NEIGHBOURS
    name: str = "knn"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None) -> LinearClassifier:
        """Raises UsageProblem for a training set that cannot teach."""
        train = check_training(train, self.name)
        k = min(self.k, len(train.rows))
        facts = {"k": k, "temperature": TEMPERATURE, "train": train_facts(train)}
        return Neighbours(
            None, None, torch.arange(train.n_classes), True, facts={"knn": facts}, logit_scale=None, train=train, k=k
        )

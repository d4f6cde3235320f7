"""The native head: the network's own classifier over its parent's classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from effrob.errors import UsageProblem
from effrob.heads.classifier import LinearClassifier, Training
from model_zoo.encoder import Encoder, Identity
from shifts.labels import LabelSpace


def columns_for(identity: Identity, labels: LabelSpace) -> tuple[int, ...] | None:
    """Which column of a model's classifier each parent class is, where the model names its columns; None where it does not.

    Raises ModelError naming the first that do not match.
    """
    if identity.labels is None:
        return None
    from model_zoo.sources.class_names import columns_of

    return columns_of(identity.labels, labels.parent_ids, labels.parent_names)


@dataclass(frozen=True)
class Native:
    """Reads the classifier out of the encoder; learns nothing."""

    name: str = "native"
    digest: str = "native"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None = None) -> LinearClassifier:
        """Raises UsageProblem where the model has no classifier, or one over other classes."""
        assert encoder is not None
        classifier, wanted = encoder.classifier, len(labels.parent_ids)
        if classifier is None:
            raise UsageProblem(
                f"{encoder.identity.spec} has no classifier of its own: use --head zero-shot or linear-probe"
            )
        columns = columns_for(encoder.identity, labels)
        if columns is None and classifier.n_classes != wanted:
            raise UsageProblem(
                f"{encoder.identity.spec} answers {classifier.n_classes} classes and the set's classes come from {wanted}:"
                " its own head cannot be used here, --head linear-probe can"
            )
        order = torch.arange(wanted) if columns is None else torch.tensor(columns)
        if classifier.weight is None:
            return LinearClassifier(None, None, order, normalise=False)
        bias = None if classifier.bias is None else classifier.bias.detach().float().cpu()
        return LinearClassifier(classifier.weight.detach().float().cpu(), bias, order, normalise=False)

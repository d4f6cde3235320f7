"""The zero-shot head: class names put into prompts, embedded once, averaged to one unit vector a class.

Causal text towers read each prompt no further than its end-of-text token: prompts are sorted by length and embedded in
buckets of one length, which is exact and some seven times cheaper than padding to the full context. Towers for which
that would change the result say so and are fed as they were trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from effrob.errors import UsageProblem
from effrob.heads.classifier import LinearClassifier, Training
from effrob.heads.prompts import PromptSet
from model_zoo.encoder import Encoder, TextTower
from shifts.labels import LabelSpace

BATCH = 256  # prompts a forward pass


def embed_prompts(text: TextTower, prompts: Sequence[str], progress: bool = False) -> torch.Tensor:
    """(N,) prompts -> (N, D) float32 unit vectors on the host, in the order given."""
    tokens = text.tokenize(prompts)
    lengths = text.lengths(tokens)
    order = torch.arange(len(tokens)) if lengths is None else torch.argsort(lengths, stable=True)
    out: torch.Tensor | None = None
    with torch.inference_mode(), tqdm(total=len(tokens), unit="prompt", desc="text", disable=not progress) as bar:
        start = 0
        while start < len(order):
            stop = min(start + BATCH, len(order))
            if lengths is not None:  # a batch holds prompts of one length only
                same = lengths[order[start:stop]] == lengths[order[start]]
                stop = start + int(same.sum())
            rows = order[start:stop]
            batch = tokens[rows] if lengths is None else tokens[rows, : int(lengths[rows[0]])]
            embedded = torch.nn.functional.normalize(text.embed(batch).float(), dim=-1).cpu()
            if out is None:
                out = torch.empty((len(tokens), embedded.shape[1]), dtype=torch.float32)
            out[rows] = embedded
            bar.update(len(rows))
            start = stop
    if out is None:
        raise UsageProblem("a zero-shot head needs at least one class name")
    return out


def class_embeddings(text: TextTower, names: Sequence[str], prompts: PromptSet, progress: bool = False) -> torch.Tensor:
    """(C,) class names -> (C, D) unit vectors: the mean of each class's unit prompt vectors, made a unit again."""
    filled = [prompt for name in names for prompt in prompts.fill(name)]
    embedded = embed_prompts(text, filled, progress).view(len(names), len(prompts.templates), -1)
    if not embedded.isfinite().all():
        bad = filled[int((~embedded.isfinite()).any(-1).flatten().nonzero()[0])]
        raise UsageProblem(
            f"the text tower gives numbers that are not finite, first for {bad!r}: its weights are damaged"
        )
    return torch.nn.functional.normalize(embedded.mean(dim=1), dim=-1)


@dataclass(frozen=True)
class ZeroShot:
    """Builds the classifier from names and prompts. Equal names share one vector, so that they tie exactly."""

    prompts: PromptSet
    progress: bool = False
    name: str = "zero-shot"

    @property
    def digest(self) -> str:
        return f"zero-shot:{self.prompts.digest}"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None = None) -> LinearClassifier:
        """Raises UsageProblem where the model has no text tower."""
        assert encoder is not None
        if encoder.text is None:
            raise UsageProblem(f"{encoder.identity.spec} has no text tower: use --head native or linear-probe")
        names = labels.class_names if labels.own_text else labels.parent_names
        unique = list(dict.fromkeys(names))
        place = {name: i for i, name in enumerate(unique)}
        weight = class_embeddings(encoder.text, unique, self.prompts, self.progress)
        return LinearClassifier(
            weight,
            None,
            torch.tensor([place[name] for name in names]),
            normalise=True,
            own=labels.own_text,
            logit_scale=encoder.text.logit_scale,
        )

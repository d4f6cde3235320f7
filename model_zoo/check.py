"""What every encoder must hold, as one check that tests, the command line and third-party providers can run."""

from __future__ import annotations

import torch
from torch.nn import functional

from model_zoo.encoder import Encoder
from model_zoo.errors import ModelError

PROMPTS = ("a photo of a dog.", "a drawing of a cat.", "an astonishingly long description of one small red bicycle.")


def check_encoder(encoder: Encoder, tolerance: float = 1e-4) -> None:
    """Run `encoder` on random pictures and a few prompts. Raises ModelError listing everything that does not hold:

    features are (N, dim), finite, float32, the same twice, and the same alone as in a batch (to `tolerance` of the largest);
    the classifier fits the features; text embeddings have the features' width, and trimming prompts does not change them.
    """
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(4, 3, *encoder.pixels.size, generator=generator).to(encoder.device)
    with torch.inference_mode():
        wrong = [*_features(encoder, pictures, tolerance), *_classifier(encoder), *_text(encoder, tolerance)]
    if wrong:
        raise ModelError(f"{encoder.identity.asked} is no sound encoder: {'; '.join(wrong)}")


def _features(encoder: Encoder, pictures: torch.Tensor, tolerance: float) -> list[str]:
    features = encoder.embed(pictures)
    if features.shape != (len(pictures), encoder.dim):
        return [f"{len(pictures)} pictures give {tuple(features.shape)}, wanted ({len(pictures)}, {encoder.dim})"]
    wrong = []
    if features.dtype != torch.float32:
        wrong.append(f"features are {features.dtype}, wanted torch.float32")
    if not features.isfinite().all():
        wrong.append("features are not finite")
    if not torch.equal(features, encoder.embed(pictures)):
        wrong.append("the same pictures give other features the second time")
    alone = torch.cat([encoder.embed(picture[None]) for picture in pictures])
    if (alone - features).abs().max() > tolerance * features.abs().max().clamp(min=1e-6):
        wrong.append("a picture's features depend on the others in its batch")
    return wrong


def _classifier(encoder: Encoder) -> list[str]:
    classifier = encoder.classifier
    if classifier is None:
        return []
    if classifier.weight is None:
        return (
            [] if classifier.n_classes == encoder.dim else [f"{encoder.dim} logits for {classifier.n_classes} classes"]
        )
    wanted = (classifier.n_classes, encoder.dim)
    if tuple(classifier.weight.shape) != wanted:
        return [f"the classifier's weight is {tuple(classifier.weight.shape)}, wanted {wanted}"]
    if classifier.bias is not None and tuple(classifier.bias.shape) != wanted[:1]:
        return [f"the classifier's bias is {tuple(classifier.bias.shape)}, wanted {wanted[:1]}"]
    return []


def _text(encoder: Encoder, tolerance: float) -> list[str]:
    if encoder.text is None:
        return []
    tokens = encoder.text.tokenize(PROMPTS)
    whole = encoder.text.embed(tokens)
    if whole.shape != (len(PROMPTS), encoder.dim):
        return [f"{len(PROMPTS)} prompts give {tuple(whole.shape)}, wanted ({len(PROMPTS)}, {encoder.dim})"]
    lengths = encoder.text.lengths(tokens)
    if lengths is None:
        return []
    cut = encoder.text.embed(tokens[:, : int(lengths.max())])
    if (1 - functional.cosine_similarity(whole, cut)).abs().max() > tolerance:
        return ["leaving out the tokens after the end of text changes a prompt's embedding"]
    return []

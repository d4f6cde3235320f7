"""Score cached features under every setting: class names x templates x answer x collapse x axis x pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote

import numpy as np
import torch

import model_zoo
import shifts
from effrob.errors import UsageProblem
from effrob.evaluation.content import source_digest
from effrob.evaluation.data import load_set
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS, device_of
from effrob.explain.pixels import PixelVariant, features_of, variants
from effrob.explain.setting import ExpectedAccuracy, Explanation, ProtocolSetting, ScoredSetting, explain
from effrob.explain.tables import disputed_of
from effrob.explain.views import AnswerView, clean_views, name_lists, own_name_views, views_of
from effrob.features.cache import FeatureCache, FeatureSet
from effrob.heads.classifier import LinearClassifier, load_classifier, save_classifier
from effrob.heads.native import Native
from effrob.heads.prompts import NAMES, prompt_set
from effrob.heads.shared import text_classifier_path
from effrob.heads.zero_shot import ZeroShot
from model_zoo.encoder import Identity
from shifts.labels import LabelSpace
from shifts.protocol import PROTOCOLS
from shifts.shift import Shift

HEADS = ("zero-shot", "native")


def explain_model(request: Request, shift_name: str, target: ExpectedAccuracy, pixels_too: bool) -> Explanation:
    """Every setting of the request's one model on one set, in the order of how well it explains `target`.

    Without a default where the features of the model's own way are not in the cache, which a note says.

    Raises UsageProblem where no features of the set are there and `pixels_too` does not ask for them.
    """
    identity = model_zoo.identify(request.models[0])
    shift = load_set(request, shift_name)
    source = source_digest(shift.source, request.cache)
    head = request.heads[0] if request.heads else "zero-shot" if identity.has_text else "native"
    _check_head(identity, head, shift)
    outcomes: list[ScoredSetting] = []
    base: ScoredSetting | None = None
    ways = list(variants(identity, request, shift, pixels_too))
    for number, variant in enumerate(ways):
        features = features_of(variant, request, shift, source, pixels_too)
        if features is None:
            continue
        result = [
            dataclasses.replace(each, setting=_named(each.setting, variant, ways[0], shift))
            for each in _outcomes(request, shift, head, variant, features)
        ]
        outcomes += result
        base = result[0] if number == 0 else base
    lacking = f"{_not_cached(request, identity, shift)}, or say --pixels-too to compute them"
    if not outcomes:
        raise UsageProblem(lacking)
    notes = [
        *([] if base else [f"the default is not among the settings: {lacking}"]),
        *_notes(shift, pixels_too),
        *disputed_of(str(identity.spec), shift.name),
    ]
    return explain(str(identity.spec), shift.name, target, outcomes, base, notes)


def _not_cached(request: Request, identity: Identity, shift: Shift) -> str:
    return (
        f"the features of {identity.spec} on {shift.name} are not in the cache {request.cache}: run "
        f"`effrob eval --model {quote(request.models[0])} --shift {quote(shift.name)}`"
    )


def own_features(request: Request, shift_name: str) -> tuple[FeatureSet, Shift]:
    """The cached features of the request's one model, prepared its own way, and the set that they are of.

    Raises UsageProblem where they are not in the cache.
    """
    identity = model_zoo.identify(request.models[0])
    shift = load_set(request, shift_name)
    own = next(variants(identity, request, shift, False))
    features = features_of(own, request, shift, source_digest(shift.source, request.cache), False)
    if features is None:
        raise UsageProblem(_not_cached(request, identity, shift))
    return features, shift


def _check_head(identity: Identity, head: str, shift: Shift) -> None:
    if head not in HEADS:
        raise UsageProblem(f"explain replays the heads {' and '.join(HEADS)}, and {head} was asked for")
    if head == "zero-shot" and not identity.has_text:
        raise UsageProblem(f"{identity.spec} has no text tower, so no zero-shot head: say --head native")
    if head == "native" and identity.n_classes != len(shift.labels.parent_ids):
        raise UsageProblem(
            f"{identity.spec} has no classifier over the {len(shift.labels.parent_ids)} classes of {shift.name}: say "
            "--head zero-shot"
        )


def _notes(shift: Shift, pixels_too: bool) -> list[str]:
    notes = []
    if shift.partial:
        notes.append(f"{shift.name} is partial here: {len(shift)} of {shift.n_expected} images")
    if not pixels_too:
        notes.append(
            "pictures were not prepared anew: --pixels-too also tries crop, border, interpolation, decoder, precision"
        )
    return notes


def _outcomes(
    request: Request, shift: Shift, head: str, variant: PixelVariant, features: FeatureSet
) -> Iterator[ScoredSetting]:
    """The default setting first."""
    if shift.clean is None:
        views = list(clean_views(shift, _siblings(request, shift)))
    else:
        views = list(views_of(shift))
    if head == "native":
        yield from _scored(request, variant, features, _native(request, variant, shift.labels), views, None, None)
        return
    default = request.prompts[0] if request.prompts else shifts.suite(request.suite).templates
    for templates in dict.fromkeys((str(default), *NAMES)):
        for name, words in name_lists(shift.labels).items():
            labels = dataclasses.replace(shift.labels, parent_names=words)
            classifier = _zero_shot(request, variant, labels, words, templates)
            yield from _scored(request, variant, features, classifier, views, name, templates)
        for name, own in own_name_views(shift).items():
            for view in own:
                spoken = view.labels.class_names
                classifier = _zero_shot(request, variant, view.labels, spoken, templates)
                yield from _scored(request, variant, features, classifier, [view], name, templates)


def _siblings(request: Request, clean: Shift) -> Mapping[str, LabelSpace]:
    """The label spaces of the other sets of the clean set's suite that are at hand."""
    result = {}
    for name in shifts.suite_of(clean.name).tests:
        try:
            other = load_set(request, name)
        except shifts.DataMissing:
            continue
        if other.clean == clean.name:
            result[name] = other.labels
    return result


def _zero_shot(
    request: Request, variant: PixelVariant, labels: LabelSpace, names: Sequence[str], templates: str
) -> LinearClassifier:
    """Made once and kept where `effrob eval` keeps its own."""
    identity, head = variant.identity, ZeroShot(prompt_set(templates), request.progress)
    about = (identity.digest, identity.layer, variant.precision, head.digest)
    path = text_classifier_path(request.cache, *about, names)
    if path.is_file():
        kept = load_classifier(path)
        if kept.logit_scale is not None:
            return kept
    classifier = head.fit(ENCODERS.load(str(identity.spec), device_of(request)), labels, None)
    save_classifier(path, classifier)
    return classifier


def _native(request: Request, variant: PixelVariant, labels: LabelSpace) -> LinearClassifier:
    return Native().fit(ENCODERS.load(str(variant.identity.spec), device_of(request)), labels, None)


def _scored(
    request: Request,
    variant: PixelVariant,
    features: FeatureSet,
    classifier: LinearClassifier,
    views: Sequence[AnswerView],
    names: str | None,
    templates: str | None,
) -> Iterator[ScoredSetting]:
    """One product of features and classifier a group of views with the same rows."""
    device = torch.device(device_of(request))
    classifier = classifier.to(device)
    for view in views:
        right = np.zeros(len(view.rows), dtype=np.bool_)
        with torch.inference_mode():
            for part, block in features.blocks(view.rows):
                scores = classifier.scores(torch.from_numpy(block).to(device)).cpu()
                right[part] = view.right(view.predict(scores, classifier.logit_scale), part)
        for average in _averages(view):
            setting = ProtocolSetting(
                protocol=None, names=names, templates=templates, answer=view.answer, collapse=view.collapse, axis=view.axis,
                pixels=variant.words, classes=view.classes, average=average,
            )  # fmt: skip
            accuracy = float(right.mean()) if average == "images" else _macro(right, view)
            yield ScoredSetting(setting, accuracy, len(right))


def _averages(view: AnswerView) -> tuple[str, ...]:
    """Over classes is another number only where they have different numbers of images."""
    images = np.bincount(view.targets)
    return ("images",) if len(set(images[images > 0].tolist())) == 1 else ("images", "classes")


def _macro(right: np.ndarray, view: AnswerView) -> float:
    """Mean over the classes that have images."""
    images = np.bincount(view.targets)
    return float((np.bincount(view.targets, weights=right)[images > 0] / images[images > 0]).mean())


def _named(setting: ProtocolSetting, variant: PixelVariant, own: PixelVariant, shift: Shift) -> ProtocolSetting:
    """With the first named protocol of which this is the setting, whatever the templates; None where it is none's."""
    same_but_border = dataclasses.replace(variant, border=own.border) == own
    plain = setting.average == "images" and setting.collapse in (None, "max") and same_but_border
    for protocol in PROTOCOLS.values() if plain else ():
        if own_name_views(shift):
            own_text = protocol.object_text == "own" and setting.names is not None
            wanted = ("own-names", ("own",)) if own_text else ("masked", (None, "openai", "suite"))
            fits = variant.border == protocol.object_border
        else:
            whole = shift.labels.is_full
            wanted = ("1000-way" if whole else "masked", (None, "openai", "suite"))
            fits = variant.border == shift.border and setting.axis in (None, "full")
        if fits and setting.answer == wanted[0] and setting.names in wanted[1]:
            return dataclasses.replace(setting, protocol=protocol.name)
    return setting


def is_cached(request: Request, shift_name: str) -> bool:
    """Whether the features of the model's own way are at hand."""
    identity = model_zoo.identify(request.models[0])
    shift = load_set(request, shift_name)
    own = next(variants(identity, request, shift, False))
    return not FeatureCache(request.cache).missing(own.key(request, shift, source_digest(shift.source, request.cache)))

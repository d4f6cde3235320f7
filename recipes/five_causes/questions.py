"""What the pocket grid is asked, cause by cause: the headline question first, then what stands beside it. Plain data.

The questions were written down before the runs, but for two that joined them after: the layer against CLIP's eighty prompts,
and captions with as many passes as views, of whose arms none had been trained then. The report answers all of them, whatever
comes out. What differs in more than the factor, as published comparisons do, is shown
without a verdict.
"""

from __future__ import annotations

from recipes.five_causes.contrasts import Contrast, Question
from recipes.five_causes.grid import BARE, EIGHTY, Read


def _prompted(arm: str, prompts: str = BARE) -> Read:
    return Read(arm, "zero-shot", prompts)


def _layer(arm: str) -> Read:
    return Read(arm, "native")


WEB, NARROW = _prompted("clip-web"), _prompted("clip-narrow")
NAMES_WEB, NAMES_NARROW = _prompted("names-web"), _prompted("names-narrow")
CLASSES_WEB, CLASSES_NARROW = _prompted("classes-web"), _prompted("classes-narrow")
LABELS_WEB, LABELS_NARROW = _layer("labels-web"), _layer("labels-narrow")
CAPTIONS_ONCE, CAPTIONS_TWICE = _layer("captions-then-matched"), _layer("captions-twice-then-matched")
VIEWS_FIRST = _layer("views-then-matched")
LAYER_WEB, LAYER_NARROW = _layer("layer-web"), _layer("layer-narrow")

CAUSES = {
    "size": "training-set size",
    "distribution": "training distribution",
    "training-language": "language at training time",
    "test-language": "language at test time",
    "contrastive-loss": "contrastive loss",
}

QUESTIONS = (
    Question("size", "eight times the pictures, at the same number of steps", (
        Contrast("CLIP on 4,000 web pictures minus CLIP on 500 web pictures", WEB, _prompted("clip-web-few"), "pictures"),
        Contrast("classifier on 4,000 narrow pictures minus classifier on 500 narrow pictures",
                 LABELS_NARROW, _layer("labels-narrow-few"), "pictures"),
    )),
    Question("size", "four times the steps, on the same pictures", (
        Contrast("CLIP after all its steps minus CLIP after a quarter of them, the same 4,000 web pictures",
                 WEB, _prompted("clip-web-short"), "steps"),
    )),
    Question("distribution", "the web instead of the narrow set, without a style of the test sets", (
        Contrast("CLIP on web captions minus CLIP on narrow captions", WEB, NARROW, "pictures_of"),
        Contrast("CLIP on the web's class names minus CLIP on narrow class names", NAMES_WEB, NAMES_NARROW, "pictures_of"),
        Contrast("cross-entropy over class names on the web minus the same on the narrow set",
                 CLASSES_WEB, CLASSES_NARROW, "pictures_of"),
        Contrast("classifier on the web's labels minus classifier on narrow labels", LABELS_WEB, LABELS_NARROW, "pictures_of"),
    )),
    Question("distribution", "the test sets' styles in the web's styled pictures: all instead of none", (
        Contrast("CLIP, overlap of 100 % minus none", _prompted("clip-web-overlap-100"), WEB, "overlap"),
        Contrast("classifier, overlap of 100 % minus none", _layer("labels-web-overlap-100"), LABELS_WEB, "overlap"),
    )),
    Question("distribution", "the same in doses", (
        Contrast("CLIP, overlap of 25 % minus none", _prompted("clip-web-overlap-25"), WEB, "overlap"),
        Contrast("CLIP, overlap of 50 % minus none", _prompted("clip-web-overlap-50"), WEB, "overlap"),
    )),
    Question("training-language", "a tower that learned by captions instead of by views of pictures alone", (
        Contrast("captions first minus views first, then the same labels matched from captions; the same web pictures, each "
                 "passed twice a step", CAPTIONS_TWICE, VIEWS_FIRST, "text"),
    )),
    Question("training-language", "the same over crops alone, which leave a picture the colours that its caption names", (
        Contrast("captions first minus views first, crops alone, then the same labels; the same web pictures, each passed "
                 "twice a step", _layer("captions-twice-crops-then-matched"), _layer("views-crops-then-matched"), "text"),
    )),
    Question("training-language", "a second pass of each picture in a step, for captions", (
        Contrast("captions first, each picture passed twice a step, minus the same passed once, then the same labels",
                 CAPTIONS_TWICE, CAPTIONS_ONCE, "image_passes_per_step"),
    )),
    Question("training-language", "captions that say more instead of class names, for CLIP", (
        Contrast("captions minus class names, the same web pictures", WEB, NAMES_WEB, "text"),
        Contrast("captions minus class names, the same narrow pictures", NARROW, NAMES_NARROW, "text"),
    )),
    Question("training-language", "comparisons as they are published, which change more than language", (
        Contrast("captions first, passed once a step, minus views first, passed twice, then the same labels, the same web "
                 "pictures", CAPTIONS_ONCE, VIEWS_FIRST, "text"),
        Contrast("CLIP minus self-supervision and matched labels, the same web pictures", WEB, VIEWS_FIRST, "text"),
        Contrast("CLIP on captions minus a classifier on labels, the same narrow pictures", NARROW, LABELS_NARROW, "text"),
    )),
    Question("test-language", "prompts instead of a layer learned from matched labels, on one and the same CLIP tower", (
        Contrast("the name as prompt minus layer, the web's CLIP", WEB, LAYER_WEB, "head"),
        Contrast("the name as prompt minus layer, the narrow CLIP", NARROW, LAYER_NARROW, "head"),
        Contrast("eighty prompts minus layer, the web's CLIP", _prompted("clip-web", EIGHTY), LAYER_WEB, "head"),
        Contrast("eighty prompts minus layer, the narrow CLIP", _prompted("clip-narrow", EIGHTY), LAYER_NARROW, "head"),
    )),
    Question("test-language", "eighty prompts instead of the bare class name", (
        Contrast("eighty prompts minus the name, the web's CLIP", _prompted("clip-web", EIGHTY), WEB, "head"),
        Contrast("eighty prompts minus the name, the narrow CLIP", _prompted("clip-narrow", EIGHTY), NARROW, "head"),
    )),
    Question("contrastive-loss", "CLIP's loss on class names instead of cross-entropy over them, in the same two towers", (
        Contrast("CLIP's loss minus cross-entropy, the same web pictures", NAMES_WEB, CLASSES_WEB, "loss"),
        Contrast("CLIP's loss minus cross-entropy, the same narrow pictures", NAMES_NARROW, CLASSES_NARROW, "loss"),
    )),
)  # fmt: skip

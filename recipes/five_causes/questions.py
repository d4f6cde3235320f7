"""The contrasts of the pocket grid: one headline for each cause, and what stands beside it. Plain data.

The contrasts were written down before the runs; the report answers all of them, whatever comes out.
"""

from __future__ import annotations

from recipes.five_causes.contrasts import Contrast
from recipes.five_causes.standings import Read

SMALL, MIDDLE, LARGE = (Read(f"clip-web-{n}", "zero-shot", "openai") for n in (2000, 4000, 8000))
TITLES, TITLES_BARE = (Read("clip-titles", "zero-shot", prompts) for prompts in ("openai", "name-only"))
TITLES_PROBE = Read("clip-titles", "linear-probe")
NAMES = Read("clip-names", "zero-shot", "openai")
LABELS_SMALL, LABELS = Read("labels-1000", "native"), Read("labels-4000", "native")
LABELS_PROBE = Read("labels-4000", "linear-probe")
WEB_LABELS, WEB_HEAD = Read("labels-web-4000", "native"), Read("head-web-8000", "native")
SIMCLR = Read("simclr", "linear-probe")

CAUSES = {
    "size": "training-set size",
    "distribution": "training distribution",
    "training-language": "language at training time",
    "test-language": "language at test time",
    "contrastive-loss": "contrastive loss",
}

CONTRASTS = (
    Contrast(
        "size", "CLIP on 8,000 web pictures minus CLIP on 2,000 of them", LARGE, SMALL,
        "Epochs are the same, so four times the pictures are also four times the steps, and more of the web is more "
        "drawings in the shifts' own styles.",
    ),
    Contrast(
        "size", "classifier on 4,000 narrow pictures minus classifier on 1,000 of them", LABELS, LABELS_SMALL,
        "As above: the same epochs.",
    ),
    Contrast(
        "distribution", "CLIP on 4,000 web pictures minus CLIP on 4,000 narrow captioned ones", MIDDLE, TITLES,
        "The web's captions are alternative texts, the narrow set's are titles; both leave 12 % of pictures unnamed, and "
        "4 % of the web's name another thing. The web's pictures also show the renditions and sketches of two of the shifts.",
    ),
    Contrast(
        "distribution", "classifier on text-matched web pictures minus classifier on narrow labelled ones",
        WEB_LABELS, LABELS,
        "Web pictures whose text names no class are left out, about one in eight.",
    ),
    Contrast(
        "training-language", "CLIP on titles minus classifier on labels, the same narrow pictures", TITLES, LABELS,
        "Titles hold other words, and 12 % of them do not name the thing; the heads differ with the supervision.",
    ),
    Contrast(
        "training-language", "CLIP on titles minus CLIP on class names, the same narrow pictures", TITLES, NAMES,
        "Class names never leave a picture unnamed.",
    ),
    Contrast(
        "test-language", "zero-shot head minus text-free head, the same web-trained CLIP tower", LARGE, WEB_HEAD,
        "The text-free head learned from text-matched labels of the pictures its tower was trained on.",
    ),
    Contrast(
        "test-language", "prompts minus a linear probe, the same narrow CLIP tower", TITLES, TITLES_PROBE,
        "The probe has seen the narrow set's labels.",
    ),
    Contrast(
        "test-language", "eighty prompts minus the bare class name, the same narrow CLIP", TITLES, TITLES_BARE,
        "Nothing else differs.",
    ),
    Contrast(
        "test-language", "CLIP minus a classifier on text-matched labels, the same 4,000 web pictures", MIDDLE, WEB_LABELS,
        "Language is taken away at training and at test time; unnamed pictures are lost to the classifier.",
    ),
    Contrast(
        "contrastive-loss", "SimCLR tower minus cross-entropy tower, the same narrow pictures and the same linear probe",
        SIMCLR, LABELS_PROBE,
        "SimCLR needs its own, harder views, and 8 epochs where the classifier has 6.",
    ),
    Contrast(
        "contrastive-loss", "contrastive loss on class names minus cross-entropy on labels, the same narrow pictures",
        NAMES, LABELS,
        "Captions say no more than labels do; the heads differ with the loss.",
    ),
)  # fmt: skip

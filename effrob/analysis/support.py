"""Which shifted images lie where clean images do, and the line fitted anew on each part (Cohen-Wang, Vendrow and Madry 2024).

A classifier that tells clean images from shifted ones by their features estimates the density ratio p_clean / p_shift at each
image. Where it is under a threshold the image is out of the clean images' support, and a model has to extrapolate; where it is
over, the shift changes how often such images come, not what they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.results.answers import PredictionMatrix
from effrob.robustness.line import SEED, BaselineLine
from effrob.robustness.per_image.hierarchical import class_counts, family_weights, multinomial_weights, refit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
THRESHOLD = 0.2
FOLDS = 10
LEAST_IMAGES = 30  # of each kind to tell apart, and in a part that a line is fitted on
STRENGTHS = (1e-4, 1e-2, 1.0)  # inverse regularisation tried; the one of the least loss on held-out images is taken
DRAWS = 1000
_CHUNK = 64  # draws at once: bounds memory


@dataclass(frozen=True, eq=False)
class SupportEstimate:
    """ratio (N,) p_clean / p_shift at each shifted image, by a classifier that did not see it; auc of that classifier, where
    0.5 is no telling apart and 1 is two sets that share nothing.
    """

    ratio: Floats
    auc: float


def density_ratios(clean: NDArray[np.floating], shifted: NDArray[np.floating], seed: int = SEED) -> SupportEstimate:
    """Estimate p_clean / p_shift at (N, D) shifted features against (M, D) clean ones.

    Logistic regression on standardised features, scored on tenths it was not fitted to, its scores calibrated by one more
    logistic regression (Platt 1999). Raises UsageProblem for too few images, other dimensions, and features not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss, roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for what, part in (("clean", clean), ("shifted", shifted)):
        if len(part) < LEAST_IMAGES:
            raise UsageProblem(
                f"telling clean from shifted images wants {LEAST_IMAGES} of each, and {len(part)} are {what}: evaluate the "
                "whole set"
            )
        if not np.isfinite(part).all():
            raise UsageProblem(f"features of the {what} images are not finite: evaluate again with --precision fp32")
    if clean.shape[1] != shifted.shape[1]:
        raise UsageProblem(
            f"features of one model were wanted, found {clean.shape[1]} and {shifted.shape[1]} numbers an image"
        )
    features = np.concatenate([clean, shifted]).astype(np.float64)
    is_clean = np.arange(len(features)) < len(clean)

    def classifier(strength: float) -> object:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))

    fit_on, held_out = train_test_split(
        np.arange(len(features)), test_size=1 / FOLDS, random_state=seed, stratify=is_clean
    )

    def loss(strength: float) -> float:
        made = classifier(strength).fit(features[fit_on], is_clean[fit_on])  # type: ignore[attr-defined]
        return float(log_loss(is_clean[held_out], made.predict_proba(features[held_out])[:, 1], labels=[False, True]))

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    best = classifier(min(STRENGTHS, key=loss))
    score = cross_val_predict(best, features, is_clean, cv=folds, method="decision_function")
    calibrated = LogisticRegression(C=1.0).fit(score[:, None], is_clean)
    log_odds = calibrated.decision_function(score[~is_clean][:, None])
    ratio = np.exp(np.clip(log_odds, -500, 500)) * len(shifted) / len(clean)
    return SupportEstimate(np.asarray(ratio, dtype=np.float64), float(roc_auc_score(is_clean, score)))


@dataclass(frozen=True, eq=False)
class PartLine:
    """The line on one part of a shift's images, and a model beside it; fractions.

    clean     of the model, on the part's classes, each weighed by its images in the part
    members   (M, 2) clean and shift accuracy of the baseline's models
    drawn     (D,) effective robustness, NaN where a draw has no line
    why       in words, where there is no line: all but n, clean and accuracy is None then
    """

    n: int
    clean: float
    accuracy: float
    members: Floats
    line: BaselineLine | None
    effective_robustness: float | None
    drawn: Floats | None
    why: str | None = None

    @property
    def ci95(self) -> tuple[float, float] | None:
        return interval(self.drawn)


def interval(drawn: Floats | None) -> tuple[float, float] | None:
    """Percentile interval; None where more than a tenth of the draws have no line."""
    if drawn is None or np.isfinite(drawn).mean() < 0.9:
        return None
    low, high = np.percentile(drawn[np.isfinite(drawn)], [2.5, 97.5])
    return float(low), float(high)


def part_lines(
    line: BaselineLine,
    shift: PredictionMatrix,
    clean: PredictionMatrix,
    target_shift: Bools,
    target_clean: Bools,
    parts: tuple[Bools, ...],
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[PartLine]:
    """The line through the same baseline models on each part of the (n,) images of `shift`, parts being (n,) masks.

    A part has its own mix of classes, so clean accuracies are means over classes weighed by the part's images of each: hard
    classes are no harder shift. Intervals: families, images of the part and clean images inside their classes drawn anew,
    families and clean images alike for all parts, so that draws of two parts may be subtracted.
    """
    shift, clean = shift.only(line.models), clean.only(line.models)
    answers = np.vstack([shift.correct, target_shift]), np.vstack([clean.correct, target_clean])
    classes = np.unique(clean.target)
    lacking = np.setdiff1d(shift.target, classes)
    if len(lacking):
        raise UsageProblem(f"{len(lacking)} classes of the shift have no clean image: evaluate the whole clean set")
    weights = family_weights(np.random.default_rng(seed), draws, line.families)
    by_class = _drawn_by_class(np.random.default_rng(seed + 1), draws, clean.target, answers[1], classes)
    result = []
    for number, part in enumerate(parts):
        rng = np.random.default_rng(seed + 2 + number)
        result.append(
            _part(
                line, shift.target[part], answers[0][:, part], answers[1], clean.target, classes, by_class, weights, rng
            )
        )
    return result


def _part(
    line: BaselineLine,
    target: Ints,
    shifted: Bools,
    on_clean: Bools,
    clean_target: Ints,
    classes: Ints,
    by_class: NDArray[np.float32],
    weights: Floats,
    rng: np.random.Generator,
) -> PartLine:
    n = len(target)
    if n == 0:
        return PartLine(0, float("nan"), float("nan"), np.empty((0, 2)), None, None, None, "no image is in it")
    right, images = class_counts(clean_target, on_clean, classes)
    mix = np.bincount(np.searchsorted(classes, target), minlength=len(classes)) / n
    x, y = (right / images) @ mix, shifted.mean(axis=1)
    members = np.column_stack([x[:-1], y[:-1]])

    def without(why: str) -> PartLine:
        return PartLine(n, float(x[-1]), float(y[-1]), members, None, None, None, why)

    if n < LEAST_IMAGES:
        return without(f"a line wants {LEAST_IMAGES} images, and {n} are in it")
    usable = [i for i in range(len(members)) if members[i].min() > 0 and members[i].max() < 1]
    if not 0 < x[-1] < 1:
        return without("the model's clean accuracy is 0 or 1 here, which no line reaches")
    try:
        own = BaselineLine(
            line.scale, tuple(line.models[i] for i in usable), tuple(line.families[i] for i in usable), x[usable], y[usable],
            np.full(len(usable), float(len(clean_target))), np.full(len(usable), float(n)), line.segment,
        )  # fmt: skip
    except UsageProblem as problem:
        return without(str(problem))
    height = line.scale.back(own.at(line.scale.to(float(x[-1]))))
    place, answers = np.searchsorted(classes, target), shifted.T.astype(np.float64)
    y_drawn, mixes = np.empty((len(weights), len(x))), np.empty((len(weights), len(classes)))
    for start in range(0, len(weights), _CHUNK):
        drawn_now = slice(start, min(start + _CHUNK, len(weights)))
        counts = multinomial_weights(rng, drawn_now.stop - start, n) / n
        y_drawn[drawn_now] = counts @ answers
        mixes[drawn_now] = [np.bincount(place, weights=row, minlength=len(classes)) for row in counts]
    x_drawn = np.einsum("dc,dcm->dm", mixes, by_class)
    drawn = refit(line.scale, x_drawn, y_drawn, weights)[0]
    return PartLine(n, float(x[-1]), float(y[-1]), members, own, float(y[-1]) - height, drawn)


def _drawn_by_class(
    rng: np.random.Generator, draws: int, target: Ints, correct: Bools, classes: Ints
) -> NDArray[np.float32]:
    """(D, C, M) clean accuracies of each class, its images drawn anew."""
    result = np.empty((draws, len(classes), len(correct)), dtype=np.float32)
    for place, each in enumerate(classes):
        answers = correct[:, target == each].T.astype(np.float64)
        n = len(answers)
        result[:, place] = (multinomial_weights(rng, draws, n) / n) @ answers if n > 1 else answers
    return result

"""The other heads that learn, against independent answers: few-shot batches, ridge, and neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as Reference
from sklearn.neighbors import NearestNeighbors

from effrob.errors import UsageProblem
from effrob.heads.classifier import LinearClassifier, Training
from effrob.heads.few_shot import Draw, FewShot, fit_few_shot
from effrob.heads.knn import TEMPERATURE, Knn
from effrob.heads.registry import choose
from effrob.heads.ridge import RidgeHead
from effrob.heads.splits import draw_shots, split
from shifts.labels import LabelSpace

ABCD = ("a", "b", "c", "d")
SPACE = LabelSpace("test", ABCD, ABCD, ((0,), (1,), (2,), (3,)), ABCD, ABCD)


def training(n: int = 200, d: int = 12, k: int = 4, seed: int = 0, **changes: object) -> Training:
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    array = (rng.normal(size=(n, d)) + 0.8 * rng.normal(size=(k, d))[targets] + 2).astype(np.float32)
    fields = {"array": array, "rows": np.arange(n), "targets": targets, "n_classes": k, "kind": "penultimate"}
    return Training("set", "pocket:x", **{**fields, **changes})


@pytest.mark.parametrize("cells", [1 << 22, 200])
def test_every_draw_of_a_batch_is_the_optimum_of_its_own_rows(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a stack, and where a stack would be too large to keep, one by one."""
    monkeypatch.setattr("effrob.heads.few_shot.IN_MEMORY_LIMIT", {"cpu": cells})
    t = training(400, 24)
    draws = [Draw(shots, seed) for shots in (1, 2, 4, 8, 16) for seed in range(3)]
    for c, drawn in [(c, fit_few_shot(t.array, t.targets, 4, draws, strength=c)) for c in (0.1, 10.0)]:
        assert list(drawn) == draws
        for draw, (point, places) in drawn.items():
            x, y = t.array[places].astype(np.float64), t.targets[places]
            assert np.bincount(y).tolist() == [draw.shots] * 4
            best = LogisticRegression(C=c, tol=1e-10, max_iter=10000).fit(x, y)
            scores = [
                x @ coef.T + bias for coef, bias in ((point.coef, point.intercept), (best.coef_, best.intercept_))
            ]
            ours, theirs = (
                c
                * (torch.nn.functional.cross_entropy(torch.from_numpy(s), torch.from_numpy(y), reduction="sum").item())
                + 0.5 * (coef**2).sum()
                for s, coef in zip(scores, (point.coef, best.coef_))
            )
            assert ours <= theirs * (1 + 1e-6)
            assert point.report.objective == pytest.approx(ours, rel=1e-5)


def test_shots_are_seeded_nested_balanced_and_only_from_the_rows_given() -> None:
    labels = np.random.default_rng(0).integers(0, 5, 300)
    four, eight = draw_shots(labels, 5, 4, 7), draw_shots(labels, 5, 8, 7)
    assert np.array_equal(four, draw_shots(labels, 5, 4, 7)) and set(four) < set(eight)
    assert not np.array_equal(four, draw_shots(labels, 5, 4, 8))
    assert np.bincount(labels[eight]).tolist() == [8] * 5
    with pytest.raises(ValueError, match="200 shots need 200 training rows of every class, and class 0 has"):
        draw_shots(labels, 5, 200, 0)


def test_held_out_rows_are_a_part_of_every_class_that_has_two() -> None:
    labels = np.repeat(np.arange(6), [1, 2, 3, 10, 40, 100])
    parts = split(labels, 0.1, 3)
    assert np.array_equal(np.sort(np.concatenate([parts.kept, parts.held_out])), np.arange(len(labels)))
    assert np.bincount(labels[parts.held_out], minlength=6).tolist() == [0, 1, 1, 1, 4, 10]
    assert np.array_equal(parts.held_out, split(labels, 0.1, 3).held_out)
    assert not np.array_equal(parts.held_out, split(labels, 0.1, 4).held_out)
    with pytest.raises(ValueError, match="at least 2 rows"):
        split(np.arange(5), 0.1, 0)


@pytest.mark.parametrize(("n", "d"), [(200, 12), (20, 40)])
def test_ridge_is_the_closed_form_at_the_penalty_it_chose(n: int, d: int) -> None:
    t = training(n, d)
    readout = RidgeHead().fit(None, SPACE, t)
    facts = readout.facts["ridge"]
    reference = Reference(alpha=facts["penalty"]).fit(t.array.astype(np.float64), np.eye(4)[t.targets])
    assert np.allclose(readout.weight, reference.coef_, atol=1e-4 * np.abs(reference.coef_).max())
    assert np.allclose(readout.bias, reference.intercept_, atol=1e-4)
    parts = split(t.targets, 0.1, 0)
    for one in facts["sweep"]:
        x = t.array.astype(np.float64)
        part = Reference(alpha=one["share"] * x[parts.kept].var(0).mean() * len(parts.kept))
        part.fit(x[parts.kept], np.eye(4)[t.targets[parts.kept]])
        right = part.predict(x[parts.held_out]).argmax(1) == t.targets[parts.held_out]
        assert one["held_out_accuracy"] == pytest.approx(right.mean())
    assert facts["share"] in [one["share"] for one in facts["sweep"]]


def test_neighbours_vote_as_an_exhaustive_search_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("effrob.heads.knn.BLOCK", 37)
    t, asked = training(), training(seed=1).array
    readout = Knn(k=7).fit(None, SPACE, t)
    votes = readout.to(torch.device("cpu")).scores(torch.from_numpy(asked)).numpy()
    distance, near = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(t.array).kneighbors(asked)
    weight = np.exp((1 - distance.astype(np.float64)) / TEMPERATURE)
    wanted = np.zeros((len(asked), 4))
    for i in range(len(asked)):
        np.add.at(wanted[i], t.targets[near[i]], weight[i])
    assert np.allclose(votes, wanted / wanted.sum(1, keepdims=True), atol=1e-4)
    assert readout.facts["knn"]["k"] == 7 and not readout.kept and LinearClassifier.kept


HEADS = (FewShot(2), RidgeHead(), Knn())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_what_a_head_cannot_learn_from_is_said_in_a_sentence(head) -> None:
    with pytest.raises(UsageProblem, match="register it with --features LAYER"):
        head.fit(None, SPACE, training(kind="logits"))
    with pytest.raises(UsageProblem, match="has no image of 1 of the 5 classes"):
        head.fit(None, SPACE, training(n_classes=5))
    nothing = np.zeros(0, dtype=np.int64)
    with pytest.raises(UsageProblem, match="has no training images"):
        head.fit(None, SPACE, training(rows=nothing, targets=nothing))
    with pytest.raises(UsageProblem, match="--train"):
        head.fit(None, SPACE, None)


@pytest.mark.parametrize("head", HEADS[:2], ids=lambda head: head.name)
def test_features_that_are_not_finite_are_refused(head) -> None:
    t = training(40, 3)
    t.array[:, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        head.fit(None, SPACE, t)


def test_heads_are_named_with_their_options() -> None:
    names = ("linear-probe", "linear-probe@0.1", "few-shot-4", "few-shot-16@2", "ridge", "knn")
    made = [choice.make() for choice in choose(names, ("openai",), False)]
    assert [type(head).__name__ for head in made] == ["Probe", "Probe", "FewShot", "FewShot", "RidgeHead", "Knn"]
    assert made[1].strength == 0.1 and (made[3].shots, made[3].seed) == (16, 2)
    assert len({choice.digest for choice in choose(names, ("openai",), False)}) == len(names)
    for wrong, told in (
        ("few-shot", "few-shot-4"),
        ("linear-probe@0", "above 0"),
        ("linear-probe@share0", "above 0"),
        ("linear-probe@paths", "none of them"),
        ("few-shot-0", "few-shot-K"),
    ):
        with pytest.raises(UsageProblem, match=told):
            choose((wrong,), ("openai",), False)

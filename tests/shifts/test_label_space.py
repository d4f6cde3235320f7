"""Laws of label spaces: projection, restriction, membership."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shifts import classes
from shifts.labels import LabelSpace
from shifts.protocol import PROTOCOLS


@st.composite
def spaces(draw: st.DrawFn) -> LabelSpace:
    """Disjoint groups over a small parent."""
    parents = draw(st.integers(1, 12))
    owner = draw(st.lists(st.integers(-1, 4), min_size=parents, max_size=parents).filter(lambda o: max(o) >= 0))
    groups = tuple(
        tuple(i for i, k in enumerate(owner) if k == wanted) for wanted in sorted({k for k in owner if k >= 0})
    )
    ids = tuple(f"c{k}" for k in range(len(groups)))
    parent_ids = tuple(f"p{i}" for i in range(parents))
    return LabelSpace("drawn", ids, ids, groups, parent_ids, parent_ids)


def scores_of(space: LabelSpace, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(20, len(space.parent_ids)))


@given(spaces(), st.integers(0, 10_000))
def test_masked_argmax_is_the_collapsed_argmax(space: LabelSpace, seed: int) -> None:
    scores = scores_of(space, seed)
    masked = np.where(space.owner >= 0, scores, -np.inf).argmax(axis=1)
    assert (space.owner[masked] == space.project(scores).argmax(axis=1)).all()


@given(spaces(), st.integers(0, 10_000))
def test_project_is_the_max_of_each_group(space: LabelSpace, seed: int) -> None:
    scores = scores_of(space, seed)
    wanted = np.stack([scores[:, list(group)].max(axis=1) for group in space.groups], axis=1)
    assert (space.project(scores) == wanted).all()


@given(spaces(), st.integers(0, 10_000))
def test_restrict_keeps_the_rows_of_its_classes(space: LabelSpace, seed: int) -> None:
    parents = np.random.default_rng(seed).integers(0, len(space.parent_ids), 30)
    rows, targets = space.restrict(parents)
    assert all(parents[row] in space.groups[k] for row, k in zip(rows, targets, strict=True))
    left_out = np.setdiff1d(np.arange(30), rows)
    assert all(space.owner[parents[row]] == -1 for row in left_out)


@given(spaces(), st.integers(0, 10_000))
def test_membership_of_the_top_answer_equals_max_collapse(space: LabelSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, targets = scores_of(space, seed), rng.integers(0, len(space), 20)
    masked = np.where(space.owner >= 0, scores, -np.inf).argmax(axis=1)
    right = space.contains(masked, targets)
    assert (right == (space.project(scores).argmax(axis=1) == targets)).all()
    wide = space.contains(np.stack([masked, masked], axis=1), targets)
    assert (wide == right[:, None]).all()


def test_projecting_onto_every_class_is_the_identity() -> None:
    full = classes.imagenet().full()
    scores = np.random.default_rng(0).normal(size=(3, 1000))
    assert (full.project(scores) == scores).all()
    assert full.restrict(np.arange(1000))[0].tolist() == list(range(1000))


def test_the_clean_views_have_the_published_sizes() -> None:
    table = classes.imagenet()
    targets = np.repeat(np.arange(1000), 50)
    sizes = [len(space.restrict(targets)[0]) for space in (table.subset("r"), table.subset("a"))]
    assert sizes == [10_000, 10_000]
    assert len(table.objects(PROTOCOLS["effrob"]).restrict(targets)[0]) == 6_250


def test_an_answer_outside_the_space_is_wrong() -> None:
    space = classes.imagenet().subset("r")
    outside = next(i for i in range(1000) if space.owner[i] == -1)
    assert not space.contains(np.array([outside]), np.array([0])).any()


@pytest.mark.parametrize("network", ["AlexNet", "ResNet"])
def test_real_objectnet_predictions_give_the_published_accuracy(network: str) -> None:
    if "EFFROB_REAL" not in os.environ:
        pytest.skip("EFFROB_REAL names no folder of real predictions")
    folder = Path(os.environ["EFFROB_REAL"]) / "objectnet_predictions"
    published = json.loads((folder / "accuracy.json").read_text())[network]
    table = classes.imagenet()
    space = table.objects(PROTOCOLS["testbed"])
    with np.load(folder / f"{network}.npz") as stored:
        labels, top5 = stored["objectnet_class"].tolist(), stored["top5"].astype(np.int64)
    rank = {table.object_names[f]: k for k, f in enumerate(space.class_ids)}
    targets = np.array([rank[label] for label in labels])
    right = space.contains(top5, targets)
    top1 = right[:, 0]
    macro = np.mean([top1[targets == k].mean() for k in range(len(space))])
    assert len(targets) == published["n"]
    assert int(top1.sum()) == published["correct_top1"]
    assert 100 * top1.mean() == pytest.approx(published["micro_top1"], abs=1e-12)
    assert 100 * right.any(axis=1).mean() == pytest.approx(published["micro_top5"], abs=1e-12)
    assert 100 * macro == pytest.approx(published["macro_top1"], abs=1e-12)

"""Scores to predictions: masks, many-to-one groups, ties, several right answers, and a fake CLIP's classifier."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from effrob.errors import StaleCache, UsageProblem
from effrob.heads.classifier import LabelView, LinearClassifier, load_classifier, predict, save_classifier
from effrob.heads.prompts import PromptSet, prompt_set
from effrob.heads.registry import choose
from effrob.heads.zero_shot import class_embeddings, embed_prompts
from shifts.labels import LabelSpace

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


def space(groups: tuple[tuple[int, ...], ...], parents: int = 10) -> LabelSpace:
    ids = tuple(f"c{i}" for i in range(len(groups)))
    names = tuple(f"n{i}" for i in range(parents))
    return LabelSpace("test", ids, ids, groups, names, names)


def asked(labels: LabelSpace, targets: list[int], **more: object) -> LabelView:
    n = len(targets)
    return LabelView(np.arange(n), np.array(targets), tuple(f"i{i}" for i in range(n)), labels, **more)


def logits(scores: np.ndarray, question: LabelView, block: int = 7):
    features = scores.astype(np.float32)
    readout = LinearClassifier(None, None, torch.arange(features.shape[1]), normalise=False)
    blocks = (
        (slice(i, min(i + block, len(features))), features[i : i + block]) for i in range(0, len(features), block)
    )
    return predict(readout, blocks, question, CPU)


def test_masked_argmax_is_the_argmax_of_the_collapsed_scores_and_top_1_of_membership() -> None:
    labels = space(((1, 4), (7,), (2, 3, 9)))
    scores = RNG.normal(size=(50, 10))
    got = logits(scores, asked(labels, [0] * 50))
    member = logits(scores, asked(labels, [0] * 50, collapse="membership"))
    inside = np.where(labels.owner >= 0, scores, -np.inf).argmax(axis=1)
    assert np.array_equal(got.predicted, labels.project(scores).argmax(axis=1))
    assert np.array_equal(got.predicted, labels.owner[inside])
    assert np.array_equal(got.predicted, member.predicted)
    assert np.array_equal(got.predicted_1000, scores.argmax(axis=1))
    assert (got.top5[:, 3:] == -1).all() and (member.top5 >= 0).all()
    assert got.correct_1000.sum() == np.isin(scores.argmax(axis=1), [1, 4]).sum() < got.correct.sum()


def test_the_top_five_are_numpys_and_the_margin_is_the_gap() -> None:
    labels = space(tuple((i,) for i in range(10)))
    scores = RNG.normal(size=(30, 10))
    got = logits(scores, asked(labels, list(RNG.integers(0, 10, 30))))
    order = np.argsort(-scores, axis=1)
    assert np.array_equal(got.top5, order[:, :5])
    best = np.sort(scores, axis=1)
    assert np.allclose(got.margin, best[:, -1] - best[:, -2], atol=1e-6)
    assert np.array_equal(got.correct_top5, (order[:, :5] == got.target[:, None]).any(axis=1))


def test_equal_scores_go_to_the_lower_class() -> None:
    labels = space(tuple((i,) for i in range(10)))
    got = logits(np.zeros((3, 10)), asked(labels, [0, 1, 9]))
    assert got.predicted.tolist() == [0, 0, 0]
    assert got.top5.tolist() == [[0, 1, 2, 3, 4]] * 3
    assert got.correct.tolist() == [True, False, False]


def test_any_accepted_answer_is_right() -> None:
    labels = space(tuple((i,) for i in range(10)))
    scores = np.eye(10)[[3, 4, 5]]
    got = logits(scores, asked(labels, [1, 4, 0], accepted=((1, 3), (4,), (0, 2))))
    assert got.correct.tolist() == [True, True, False]
    assert got.correct_1000.tolist() == [True, True, False]


def test_a_readout_over_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="speaks of 9 classes, test needs 10"):
        logits(np.zeros((2, 9)), asked(space(((0,),)), [0, 0]))


def test_a_readout_survives_its_file(tmp_path) -> None:
    readout = LinearClassifier(torch.randn(3, 4), torch.randn(3), torch.tensor([0, 1, 2, 1]), True, False, {"C": 2.0})
    save_classifier(tmp_path / "r.safetensors", readout)
    back = load_classifier(tmp_path / "r.safetensors")
    features = torch.randn(5, 4)
    assert torch.equal(back.scores(features), readout.scores(features)) and back.facts == {"C": 2.0}
    assert torch.equal(back.scores(features)[:, 1], back.scores(features)[:, 3])
    (tmp_path / "r.safetensors").write_bytes(b"torn")
    with pytest.raises(StaleCache, match="delete that file"):
        load_classifier(tmp_path / "r.safetensors")


class Tower:
    """A text tower whose embedding depends on the words up to the end-of-text token alone."""

    digest = "tower"
    logit_scale = 100.0

    def __init__(self, trims: bool = True) -> None:
        self.trims, self.fed = trims, []

    def tokenize(self, prompts):
        rows = [[(sum(map(ord, word)) % 50) + 1 for word in p.split()] + [99] for p in prompts]
        return torch.tensor([row + [0] * (16 - len(row)) for row in rows])

    def lengths(self, tokens):
        return (tokens == 99).int().argmax(dim=1) + 1 if self.trims else None

    def embed(self, tokens):
        self.fed.append(tokens.shape[1])
        generator = torch.Generator().manual_seed(0)
        table = torch.randn(100, 8, generator=generator)
        table[0] = 0
        return table[tokens].sum(dim=1)


def test_trimmed_buckets_give_the_embeddings_of_full_prompts_in_the_order_given() -> None:
    prompts = [f"{'word ' * (i % 5)}end {i}" for i in range(40)]
    trimmed, full = Tower(), Tower(trims=False)
    assert torch.allclose(embed_prompts(trimmed, prompts), embed_prompts(full, prompts), atol=1e-6)
    assert max(trimmed.fed) < 16 and set(full.fed) == {16}
    assert trimmed.fed == sorted(trimmed.fed)


def test_class_embeddings_are_means_of_unit_prompts_made_units() -> None:
    prompts = PromptSet("two", ("a {}", "the {} here"))
    got = class_embeddings(Tower(), ["cat", "dog"], prompts)
    each = embed_prompts(Tower(), ["a cat", "the cat here", "a dog", "the dog here"]).view(2, 2, -1).mean(1)
    assert torch.allclose(got, each / each.norm(dim=1, keepdim=True), atol=1e-6)


def test_shipped_prompt_sets_have_the_published_sizes() -> None:
    assert {name: len(prompt_set(name).templates) for name in ("openai", "simple", "name-only")} == {
        "openai": 80,
        "simple": 7,
        "name-only": 1,
    }
    photo = prompt_set("photo-only").templates
    assert set(photo) < set(prompt_set("openai").templates)
    assert not any(word in t for t in photo for word in ("sketch", "toy", "art", "cartoon", "drawing", "sculpture"))


def test_prompts_from_a_file_and_what_is_wrong_with_one(tmp_path) -> None:
    (tmp_path / "mine.json").write_text('["one {}", "two {} of them"]')
    assert prompt_set(str(tmp_path / "mine.json")).fill("{x}") == ["one {x}", "two {x} of them"]
    for text, words in (
        ("[]", "is empty"),
        ('["none"]', "exactly once"),
        ("{}", "list"),
        ("[1]", "exactly once"),
        ("[", "list"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UsageProblem, match=words):
            prompt_set(str(tmp_path / "bad.json"))
    with pytest.raises(UsageProblem, match="did you mean openai"):
        prompt_set("opnai")


def test_heads_are_chosen_by_what_a_model_has() -> None:
    assert [h.name for h in choose((), ("openai",), True)] == ["zero-shot"]
    assert [h.name for h in choose((), ("openai",), False)] == ["native"]
    several = choose(("zero-shot", "native"), ("openai", "simple"), True)
    assert [(h.name, h.prompts and h.prompts.name) for h in several] == [
        ("zero-shot", "openai"),
        ("zero-shot", "simple"),
        ("native", None),
    ]
    with pytest.raises(UsageProblem, match="did you mean zero-shot"):
        choose(("zeroshot",), ("openai",), True)


def test_prompt_files_of_one_name_are_one_set_or_refused(tmp_path: Path) -> None:
    for folder, template in (("a", "a {}"), ("b", "b {}"), ("c", "a {}")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.json").write_text(json.dumps([template]))
    a, b, c = (str(tmp_path / folder / "mine.json") for folder in "abc")
    assert len(choose(("zero-shot",), (a, c, "openai"), True)) == 2
    with pytest.raises(UsageProblem, match="two prompt sets are called mine"):
        choose(("zero-shot",), (a, b), True)
    assert [choice.name for choice in choose(("native",), (a, b), True)] == ["native"]

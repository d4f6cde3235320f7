"""Errors by factor, agreement without labels, repeated measurements: numbers against plain computations, and the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from effrob.analysis.factors import FACTORS, factor_errors, load_annotations
from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.results.predictions import Predictions
from effrob.results.store import ResultStore
from shifts.answer_key import listed
from shifts.classes import imagenet
from shifts.imagenet import val_labels
from shifts.protocol import protocol
from tests.honest import record_of, told

N = 4000


TRUE = val_labels()[:N]
IDS = np.array([f"{imagenet().ids[label]}/ILSVRC2012_val_{i + 1:08d}.JPEG" for i, label in enumerate(TRUE)])


def answers(correct: np.ndarray) -> Predictions:
    return told("imagenet", IDS[: len(correct)], np.where(correct, TRUE, (TRUE + 1) % 1000)[: len(correct)])


def annotated(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 16) factors and right answers: images with `style` are wrong three times as often as others."""
    rng = np.random.default_rng(seed)
    has = rng.random((N, len(FACTORS))) < 0.1
    error = np.where(has[:, FACTORS.index("style")], 0.45, 0.15)
    return has, rng.random(N) > error


def write(path: Path, has: np.ndarray) -> Path:
    lines = [
        json.dumps(
            {
                "file_name": f"ILSVRC2012_val_{i + 1:08d}.JPEG",
                "class": int(TRUE[i]),
                **dict(zip(FACTORS, map(int, row))),
            }
        )
        for i, row in enumerate(has)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_error_ratios_are_plain_quotients_and_the_factor_put_in_is_found(tmp_path: Path) -> None:
    has, correct = annotated(0)
    whole, found = factor_errors(answers(correct), load_annotations(write(tmp_path / "x.jsonl", has)), draws=300)
    assert whole.value == pytest.approx(correct.mean())
    by_name = {each.factor: each for each in found}
    for j, name in enumerate(FACTORS):
        of = has[:, j]
        assert by_name[name].n == of.sum()
        assert by_name[name].error_ratio == pytest.approx((~correct[of]).mean() / (~correct).mean())
    assert found[0].factor == "style" and found[0].error_ratio_ci95 is not None and found[0].error_ratio_ci95[0] > 1.5


def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path: Path) -> None:
    """The true ratio of `style` is 0.45 over the mean error; of 60 worlds a 95 % interval holds it in most."""
    inside = 0
    for seed in range(60):
        has, correct = annotated(seed)
        style = has[:, FACTORS.index("style")]
        truth = 0.45 / (0.45 * style.mean() + 0.15 * (1 - style.mean()))
        _, found = factor_errors(answers(correct), load_annotations(write(tmp_path / "x.jsonl", has)), draws=200)
        ends = next(each for each in found if each.factor == "style").error_ratio_ci95
        assert ends is not None
        inside += ends[0] <= truth <= ends[1]
    assert inside >= 53


def test_an_image_without_annotation_does_not_count(tmp_path: Path) -> None:
    has, correct = annotated(1)
    kept = load_annotations(write(tmp_path / "x.jsonl", has[:100]))
    whole, _ = factor_errors(answers(correct), kept, draws=50)
    assert [whole.n, whole.value] == pytest.approx([100, correct[:100].mean()])


@pytest.mark.parametrize("text", ["", "{}\n", "no json\n", '{"file_name": "a.jpg", "pose": 1}\n'])
def test_what_is_no_annotation_is_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(UsageProblem, match=r"x\.jsonl"):
        load_annotations(tmp_path / "x.jsonl")


def test_the_package_holds_the_annotations_of_the_validation_images() -> None:
    pytest.importorskip("imagenet_x")
    kept = load_annotations()
    assert len(kept) > 40_000 and {factor for each in kept.values() for factor in each} == set(FACTORS)


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, words, catch_exceptions=False)


def test_the_command_joins_annotations_to_the_clean_pass(tmp_path: Path) -> None:
    has, correct = annotated(2)
    rows = answers(correct)
    shift, _ = listed("imagenet", IDS.tolist(), "it", protocol("effrob"))
    record = record_of("timm:x", shift, rows)
    ResultStore(tmp_path / "results").write(record, rows, None)
    file = str(write(tmp_path / "x.jsonl", has))
    done = _run("factors", "timm:x", "--annotations", file, "--results", str(tmp_path / "results"), "--json")
    (row,) = json.loads(done.stdout)
    assert row["factors"][0]["factor"] == "style" and row["n"] == N
    text = _run("factors", "timm:x", "--annotations", file, "--results", str(tmp_path / "results")).stdout
    assert "4,000 annotated images" in text and "style" in text
    gone = _run("factors", "timm:x", "--annotations", "gone.jsonl", "--results", str(tmp_path / "results"))
    assert gone.exit_code == 2 and "gone.jsonl is not there" in gone.stderr


def test_agreement_predicts_from_no_label_of_the_shift(evaluated: object) -> None:
    done = _run("agreement", "--shift", "pocket-v2", "--shift", "pocket-r", "--json")
    good, bad = json.loads(done.stdout)
    assert good["holds"] and not bad["holds"] and good["error_aline_s"] < 0.02
    for each in good["models"]:
        (folder,) = Path("effrob-results", each["model"].replace(":", "-"), "pocket-v2").iterdir()
        kept = np.load(folder / "predictions.npz")
        assert each["accuracy"] == pytest.approx(kept["correct"].mean())
    few = _run("agreement", "pocket:clip", "pocket:lenet", "--shift", "pocket-r")
    assert few.exit_code == 2 and "at least three models" in few.stderr


def test_probes_of_one_seed_are_warned_of() -> None:
    from types import SimpleNamespace

    from effrob.analysis.unlabelled import _warnings

    def made(head: str, digest: str) -> object:
        return SimpleNamespace(record=SimpleNamespace(asked=SimpleNamespace(head=head, model_digest=digest)))

    assert _warnings([made("native", "a"), made("native", "b")]) == []  # type: ignore[list-item]
    said = _warnings([made("linear-probe", "a"), made("linear-probe@1", "a")])  # type: ignore[list-item]
    assert "2 of 2 models are probes with one seed" in said[0] and "one network" in said[1]


def test_repeated_measurements_have_their_command(evaluated: object) -> None:
    (row,) = json.loads(_run("fit", "--hierarchical", "pocket:clip", "--shift", "pocket-r", "--json").stdout)
    board = json.loads(
        _run("leaderboard", "--results", "effrob-results", "--published", "none", "--format", "json").stdout
    )
    (judged,) = [each for each in board if each["model"] == "pocket:clip"]
    assert row["effective_robustness"] == pytest.approx(judged["shifts"]["pocket-r"]["effective_robustness"])
    same, other = row["ci95_same_classes"], row["ci95_other_classes"]
    assert same[0] < row["effective_robustness"] < same[1] and other[1] - other[0] > same[1] - same[0]
    two = _run("fit", "--hierarchical", "pocket:clip", "--multiverse", "pocket:clip")
    assert two.exit_code == 2 and "name one" in two.stderr
    clean = _run("fit", "--hierarchical", "pocket:clip", "--shift", "pocket")
    assert clean.exit_code == 2 and "a clean set has no line" in clean.stderr

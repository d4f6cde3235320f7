"""`effrob study` as a user runs it: fast, without torch, strict JSON, text that names its lines, figures, one's own records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from effrob.cli import main
from effrob.robustness.fit import fit
from effrob.studies.finding import EQUIVALENT, MOVES, UNKNOWN, run
from effrob.studies.reader import find, shipped
from tests.processor import PROGRAM, in_time


def effrob(*words: str) -> Result:
    return CliRunner().invoke(main, ["study", *words])


@pytest.mark.parametrize(
    "words", [["run", name, "--json"] for name in shipped()] + [["summary", "--json"]], ids=" ".join
)
def test_answers_in_under_five_seconds_without_torch(words: list[str], tmp_path: Path) -> None:
    done = in_time(PROGRAM, ["study", *words], 5, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"
    json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no strict JSON"))


def test_the_list_names_the_five_in_their_order() -> None:
    rows = json.loads(effrob("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(shipped()) and len(rows) == 5
    assert [row["cause"] for row in rows] == ["i", "ii", "iii", "iv", "v"]
    assert all(name in effrob("list").stdout for name in shipped())


def test_a_shipped_study_shown_is_a_study_of_ones_own(tmp_path: Path) -> None:
    text = effrob("show", "distribution").stdout
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    mine, theirs = (
        json.loads(effrob("run", name, "--json").stdout) for name in (str(tmp_path / "mine.toml"), "distribution")
    )
    assert mine.pop("study") == "mine" and theirs.pop("study") == "distribution"
    assert mine == theirs
    shown = json.loads(effrob("show", "distribution", "--json").stdout)
    assert shown["arms"][0]["models"] == ["openclip:RN50-quickgelu@yfcc15m"] and "place" not in shown


def test_text_says_question_caveats_lines_and_verdicts() -> None:
    done = effrob("run", "size")
    assert done.exit_code == 0
    for words in (
        "(cause i)",
        "not constant",
        "cannot decide",
        "testbed, full",
        "testbed-wide, full",
        "margin ±0.110",
        "logits",
        "(Holm)",
    ):
        assert words in done.stdout, words
    assert "The study's verdict: equivalent, by its headline contrast" in done.stdout
    rows = [line for line in done.stdout.splitlines() if "resnet50_imagenet_subsample_1_of_32" in line]
    assert len(rows) == 6 and all("testbed, full" in row and "*" in row for row in rows)


def test_numbers_in_the_text_are_those_of_the_json() -> None:
    found = json.loads(effrob("run", "distribution", "--json").stdout)
    text = effrob("run", "distribution").stdout
    for part in found["findings"]:
        for cell in part["arms"]:
            row = f"{100 * cell['effective_robustness']:+.2f}"
            assert any(cell["model"] in line and row in line for line in text.splitlines())
        for answer in part["answers"]:
            assert answer["value"] is None or f"{answer['value']:+.3f}" in text


def test_an_unknown_name_is_one_sentence() -> None:
    for words in (["run", "siz"], ["show", "siz"], ["summary", "size", "siz"]):
        done = effrob(*words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "did you mean size" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("ending", [".svg", ".pdf"])
def test_a_figure_is_written_and_equal_findings_give_equal_bytes(ending: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}{ending}" for i in range(2)]
    for path in paths:
        done = effrob("run", "test-language", "--figure", str(path))
        assert done.exit_code == 0 and f"the figure is in {path}" in done.stderr
    assert paths[0].read_bytes() == paths[1].read_bytes() and paths[0].stat().st_size > 5000


def test_the_figure_names_arms_shifts_lines_and_verdict(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    effrob("run", "size", "--figure", str(path))
    text = path.read_text(encoding="utf-8")
    words = ("a thirty-second of ImageNet", "ObjectNet", "-A (diagnostic)", "testbed, full", "the same on testbed-wide")
    for word in (*words, "Training-set size: equivalent", "confounded"):
        assert word in text, word


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    done = effrob("run", "size", "--figure", str(tmp_path / "x.gif"))
    assert done.exit_code == 2 and "a figure is written as .png, .pdf, .svg" in done.stderr
    empty = tmp_path / "empty.toml"
    empty.write_text('question = "?"\nfactor = "f"\ndecides = "d"\ncannot_decide = "c"\n')
    done = effrob("run", str(empty), "--figure", str(tmp_path / "x.png"))
    assert done.exit_code == 2 and "nothing to draw" in done.stderr
    assert "cannot tell: it has no arm" in effrob("run", str(empty)).stdout


MINE = """
axis = "clean"
shifts = ["imagenet-r", "imagenet-sketch"]
margin_points = 0.05
headline = "web instead of labels"

[[arm]]
name = "labels"
models = ["labels-1", "labels-2", "labels-3"]

[[arm]]
name = "web"
models = ["web-1", "web-2", "web-3"]

[[arm]]
name = "labels again"
models = ["again-1", "again-2", "again-3"]

[[contrast]]
name = "web instead of labels"
kind = "pair"
arms = ["web", "labels"]

[[contrast]]
name = "labels twice"
kind = "pair"
arms = ["labels again", "labels"]
"""


@pytest.fixture
def mine(write: Callable[..., Path], record: Callable[..., Path]) -> tuple[Path, Path]:
    """A study of three arms of three seeds on two shifts: the web arm stands 20 points above the others."""
    path, results, rng = write(MINE), Path(), np.random.default_rng(0)
    for arm, above in (("labels", 0.0), ("web", 0.2), ("again", 0.0)):
        for seed in range(1, 4):
            clean = 0.8 + float(rng.normal(0, 0.01))
            for shift in ("imagenet-r", "imagenet-sketch"):
                height = fit(shift).predicted(clean) + above + float(rng.normal(0, 0.004))
                results = record(f"{arm}-{seed}", shift, height, clean)
    return path, results


def test_ones_own_seeds_move_it_or_are_equivalent(mine: tuple[Path, Path]) -> None:
    path, results = mine
    found = run(find(str(path)), results)
    assert found.verdict == MOVES
    web, same = found.of("web instead of labels"), found.of("labels twice")
    assert {a.verdict for a in web} == {MOVES} and {a.verdict for a in same} == {EQUIVALENT}
    for answer in web:
        assert answer.made.paired and answer.made.spread_over == "replicates"
        assert answer.size is not None and 0.7 < answer.size < 1.1
        assert answer.margin is not None and answer.points(answer.margin) == pytest.approx(0.05)
    done = effrob("run", str(path), "--results", str(results))
    assert done.exit_code == 0 and "web-3" in done.stdout
    cells = json.loads(effrob("run", str(path), "--results", str(results), "--json").stdout)["findings"][0]["arms"]
    assert len(cells) == 9 and {cell["source"] for cell in cells} == {"measured"}


def test_the_margin_decides_between_equivalent_and_cannot_tell(mine: tuple[Path, Path]) -> None:
    path, results = mine
    path.write_text(path.read_text().replace("margin_points = 0.05", "margin_points = 0.001"))
    found = run(find(str(path)), results)
    assert {a.verdict for a in found.of("labels twice")} == {UNKNOWN}
    path.write_text(path.read_text().replace("margin_points = 0.001", 'margin_arm = "web"\nmargin_share = 0.3'))
    found = run(find(str(path)), results)
    for answer in found.of("labels twice"):
        cells = [c["effective_robustness_logit"] for c in found.cells[answer.shift] if c["arm"] == "web"]
        assert answer.margin == pytest.approx(0.3 * np.mean(cells)) and answer.verdict == EQUIVALENT


def test_single_measured_models_with_answers_are_compared_on_shared_images(
    write: Callable[..., Path], record: Callable[..., Path]
) -> None:
    text = 'shifts = ["imagenet-r"]\nheadline = "c"\n'
    text += '[[arm]]\nname = "a"\nmodel = "a"\n[[arm]]\nname = "b"\nmodel = "b"\nhead = "zero-shot"\n'
    path = write(text + '[[contrast]]\nname = "c"\nkind = "pair"\narms = ["a", "b"]\n')
    record("a", "imagenet-r", 0.5, 0.8)
    record("b", "imagenet-r", 0.48, 0.8, head="native")
    results = record("b", "imagenet-r", 0.3, 0.8, head="zero-shot")
    (answer,) = run(find(str(path)), results).answers
    assert answer.made.paired and answer.size == pytest.approx(np.log(0.5 / 0.5) - np.log(0.3 / 0.7))
    path.write_text(path.read_text().replace('head = "zero-shot"\n', ""))
    done = effrob("run", str(path), "--results", str(results))
    assert done.exit_code == 2 and "several ways (native, zero-shot)" in done.stderr and "line 12" in done.stderr


def test_one_prompt_set_of_several_is_named_with_the_head(
    write: Callable[..., Path], record: Callable[..., Path]
) -> None:
    path = write('shifts = ["imagenet-r"]\n[[arm]]\nname = "a"\nmodel = "a"\nhead = "zero-shot"\n')
    for prompts, accuracy in (("openai", 0.5), ("simple", 0.4)):
        results = record("a", "imagenet-r", accuracy, 0.8, head="zero-shot", prompts=prompts)
    done = effrob("run", str(path), "--results", str(results))
    assert done.exit_code == 2 and "(zero-shot openai, zero-shot simple): name one of these" in done.stderr
    path.write_text(path.read_text().replace('"zero-shot"', '"zero-shot simple"'))
    (cell,) = run(find(str(path)), results).cells["imagenet-r"]
    assert cell["accuracy"] == pytest.approx(0.4)


def test_a_partial_record_is_no_arm(write: Callable[..., Path], record: Callable[..., Path]) -> None:
    path = write('shifts = ["imagenet-r"]\n[[arm]]\nname = "a"\nmodel = "a"\n')
    results = record("a", "imagenet-r", 0.5, 0.8, partial=True)
    done = effrob("run", str(path), "--results", str(results))
    assert done.exit_code == 2 and "wants complete records of a" in done.stderr


def test_arms_that_are_the_baseline_leave_no_line_and_that_is_said(
    write: Callable[..., Path], record: Callable[..., Path]
) -> None:
    text = 'baseline = "measured"\nshifts = ["imagenet-r"]\nheadline = "c"\n'
    for i in range(6):
        text += f'[[arm]]\nname = "a{i}"\nmodel = "timm:resnet{i}"\n'
        results = record(f"timm:resnet{i}", "imagenet-r", 0.3 + 0.02 * i, 0.7 + 0.02 * i)
    path = write(text + '[[contrast]]\nname = "c"\nkind = "pair"\narms = ["a0", "a1"]\n')
    found = run(find(str(path)), results)
    assert found.verdict == UNKNOWN and not found.answers
    assert any("has no line without the arms" in notice for notice in found.notices), found.notices
    cells = found.cells["imagenet-r"]
    assert [cell["left_out"] for cell in cells] == [[f"timm:resnet{i}"] for i in range(6)]  # each without its own pull
    assert all("conservative-interval" not in cell["flags"] for cell in cells)  # and with the images they share


def test_arms_alone_and_arms_at_0_or_1_are_shown_and_judge_nothing(
    write: Callable[..., Path], record: Callable[..., Path], tmp_path: Path
) -> None:
    text = 'shifts = ["imagenet-r"]\n'
    for name, accuracy, clean in (("none", 0.0, 0.6), ("all", 1.0, 0.7), ("perfect", 0.5, 1.0)):
        text += f'[[arm]]\nname = "{name}"\nmodel = "{name}"\n'
        results = record(name, "imagenet-r", accuracy, clean)
    path = write(text)
    words = ("run", str(path), "--results", str(results))
    done = effrob(*words, "--figure", str(tmp_path / "x.svg"))
    assert done.exit_code == 0, done.output
    assert "cannot tell: it has no contrast" in done.stdout
    assert len(json.loads(effrob(*words, "--json").stdout)["findings"][0]["arms"]) == 3
    contrast = '[[contrast]]\nname = "c"\nkind = "pair"\narms = ["none", "perfect"]\n'
    path.write_text(path.read_text().replace("shifts", 'headline = "c"\nshifts') + contrast)
    (answer,) = json.loads(effrob(*words, "--json").stdout)["findings"][0]["answers"]
    assert (answer["value"], answer["missing"], answer["verdict"]) == (None, ["none", "perfect"], UNKNOWN)

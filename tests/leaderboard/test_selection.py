"""What a paper needs of a board: chosen models and sets, intervals in LaTeX, names in the figure, disputed rows marked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from effrob.cli import main
from effrob.leaderboard.gather import gather
from effrob.leaderboard.latex import latex
from effrob.robustness.lines import LineOptions

FOUR = ("--model", "openclip:ViT-B-32@openai", "--model", "openclip:ViT-L-14@openai", "--model", "openclip:RN50@openai",
        "--model", "openclip:ViT-B-16-SigLIP@webli")  # fmt: skip


@pytest.fixture(autouse=True)
def empty_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, words, catch_exceptions=False)


def test_models_and_sets_are_chosen_and_means_stay() -> None:
    every = json.loads(_run("leaderboard", "--published", "openclip", "--format", "json").stdout)
    done = _run("leaderboard", "--published", "openclip", "--format", "json", *FOUR, "--shift", "imagenet-r")
    chosen = json.loads(done.stdout)
    assert {row["model"] for row in chosen} == {FOUR[i] for i in (1, 3, 5, 7)}
    by_name = {row["model"]: row for row in every}
    for row in chosen:
        assert set(row["shifts"]) == {"imagenet-r"}
        assert row["mean_effective_robustness_logit"] == by_name[row["model"]]["mean_effective_robustness_logit"]
    shown = _run("leaderboard", "--published", "openclip", *FOUR, "--shift", "imagenet-r").stdout
    heading = [line for line in shown.splitlines() if line.startswith("| rank")]
    assert heading and all("Sketch" not in line for line in heading)


def test_a_pattern_may_name_its_table() -> None:
    rows = json.loads(
        _run("leaderboard", "--published", "all", "--format", "json", "--model", "testbed:resnet5?").stdout
    )
    assert {(row["source"], row["model"]) for row in rows} == {("published:testbed", "resnet50")}


def test_latex_has_intervals_and_marks_and_bold_only_what_can_be_told_apart() -> None:
    plain = _run("leaderboard", "--published", "openclip", *FOUR, "--format", "latex").stdout
    text = _run("leaderboard", "--published", "openclip", *FOUR, "--format", "latex", "--ci").stdout
    assert "scriptsize" not in plain and r"$^\dagger$" in plain
    lines = text.splitlines()
    places = [i for i, line in enumerate(lines) if line.endswith(r"\\*") and "openclip" in line]
    rows, below = [lines[i] for i in places], [lines[i + 1] for i in places]
    assert len(rows) == 4 and all(line.count("scriptsize $[") >= 12 and line.endswith(r"\\") for line in below)
    assert all(above.count("&") == line.count("&") for above, line in zip(rows, below, strict=True))
    assert sum(r"\dagger" in line for line in rows) == 1 and "SigLIP" in next(
        line for line in rows if r"\dagger" in line
    )
    ranking = gather([], "openclip", models=FOUR[1::2]).board(LineOptions())
    on_r = {row.model: row.cells["imagenet-r"] for row in ranking.rows}
    best = max(on_r, key=lambda model: on_r[model].effective_robustness or 0)
    ends = {model: cell.effective.ci95 for model, cell in on_r.items() if cell.effective is not None}
    apart = all(ends[best][0] > ends[m][1] for m in ends if m != best)  # type: ignore[index]
    value = 100 * (on_r[best].effective_robustness or 0)
    assert (rf"\mathbf{{{value:+.1f}}}" in latex(ranking)) == apart
    twins = gather([], "openclip", models=["openclip:ViT-B-32@openai", "openclip:ViT-B-32-quickgelu@openai"]).board(
        LineOptions()
    )
    assert "mathbf" not in latex(twins)  # one network under two names: nothing to tell apart


def test_a_figure_names_two_models_and_fades_the_others(tmp_path: Path) -> None:
    out = tmp_path / "two.svg"
    two = ("--highlight", "openclip:ViT-B-32@openai", "--highlight", "openclip:ViT-L-14@openai")
    done = _run(
        "plot",
        "--published",
        "openclip,testbed",
        "--axis",
        "full",
        "--shift",
        "imagenet-r",
        *two,
        "--label",
        "--out",
        str(out),
    )
    assert done.exit_code == 0, done.stderr
    drawn = out.read_text()
    assert (
        re.findall(r">(ViT-[^<]*@openai)<", drawn) == ["ViT-B-32@openai", "ViT-L-14@openai"]
        and "opacity: 0.25" in drawn
    )
    assert out.read_bytes() == (_run("plot", "--published", "openclip,testbed", "--axis", "full", "--shift", "imagenet-r", *two,
                                     "--label", "--out", str(out)) and out.read_bytes())  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("leaderboard", "--model", "openclip:ViT-B-33*"), "no row has a model"),
        (("leaderboard", "--shift", "imagenet-q"), "no row shown has an accuracy on 'imagenet-q'"),
        (("leaderboard", "--ci"), "--ci is of --format latex"),
        (("leaderboard", "--format", "html", "--shift", "imagenet-r", "--out", "x"), "a reader chooses the sets"),
        (("plot", "--highlight", "nothing*"), "matches no model drawn"),
        (("plot", "--published", "openclip", "--highlight", "openclip:*", "--label"), "choose by --highlight"),
    ],
)
def test_bad_input_is_a_sentence(words: tuple[str, ...], said: str) -> None:
    done = _run(*words)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr

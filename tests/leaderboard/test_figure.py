"""Figures: the right points in the right place, what is left out is said, and equal boards give equal bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.leaderboard.board import Board
from effrob.leaderboard.figure import Emphasis, _emphasise, draw
from effrob.leaderboard.gather import gather
from effrob.leaderboard.panel import panel
from effrob.leaderboard.points import GROUPS, curves, family, ticks
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.lines import LineOptions
from effrob.robustness.scale import LOGIT

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return gather([tmp_path_factory.mktemp("none")], "testbed,openclip").board(LineOptions())


def test_the_first_figure_sets_the_mean_of_four_against_the_full_clean_accuracy(testbed: Board) -> None:
    shown = panel(testbed, gather([], "none").lines(LineOptions()), "mean-of-four")
    clip = next(p for p in shown.points if p.row.model == "vit_b_32_clip_zeroshot")
    assert clip.x == pytest.approx(0.63302, abs=1e-5)
    assert clip.y == pytest.approx((0.5577 + 0.6925667 + 0.4237065 + 0.4396133) / 4, abs=2e-5)
    assert clip.group == "captions"
    assert isinstance(shown.fit, RobustnessFit) and shown.fit.slope == pytest.approx(0.9454, abs=5e-5)


def test_rows_without_the_axis_are_left_out_and_counted(testbed: Board) -> None:
    clean = panel(testbed, gather([], "none").lines(LineOptions()), "imagenet-r")
    assert clean.without_axis == 121
    assert any("121 rows have no class-matched" in notice for notice in clean.notices())
    full = panel(testbed, gather([], "none").lines(LineOptions(axis="full")), "imagenet-r")
    assert full.without_axis == 0 and len(full.points) > len(clean.points)


def test_the_line_is_drawn_where_the_fit_puts_it_with_its_band() -> None:
    line = fit("imagenet-r")
    (curve,) = curves(line, 0.6, 0.95)
    for x, y, low, high in zip(curve.x, curve.y, curve.low, curve.high):
        assert y == pytest.approx(line.predicted(x), abs=1e-12)
        assert low < y < high
    below, above = curves(fit("imagenet-a"), 0.6, 0.97)
    assert below.x[-1] == pytest.approx(above.x[0])


def test_ticks_are_round_and_apart() -> None:
    assert ticks(LOGIT, 0.19, 0.91) == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert len(ticks(LOGIT, 0.01, 0.99)) <= 11
    assert ticks(LOGIT, 0.5, 0.501) == [0.5]


def test_groups_differ_in_colour_and_in_marker() -> None:
    for what in ("colour", "on_dark", "marker"):
        assert len({getattr(look, what) for look in GROUPS.values()}) == len(GROUPS)
    assert family("labels", "imagenet") == "ImageNet-1k alone" and family("labels", "pocket") == "pocket-train alone"


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_each_format_is_written_and_repeats_to_the_byte(testbed: Board, tmp_path: Path, ending: str) -> None:
    panels = [panel(testbed, gather([], "none").lines(LineOptions()), "mean-of-four")]
    for name in ("a", "b"):
        draw(panels, tmp_path / f"{name}.{ending}")
    written = (tmp_path / f"a.{ending}").read_bytes()
    assert written == (tmp_path / f"b.{ending}").read_bytes() and len(written) > 5000


def test_measured_models_are_filled_and_published_ones_hollow(submission: Path, tmp_path: Path) -> None:
    found = gather([submission], "testbed").board(LineOptions())
    draw([panel(found, gather([submission], "none").lines(LineOptions()), "imagenet-r")], tmp_path / "a.svg")
    assert "measured (filled)" in (tmp_path / "a.svg").read_text()


def test_the_help_says_how_points_are_drawn_highlighted_ones_too(testbed: Board) -> None:
    """It said that published models are hollow, and highlighted ones are filled."""
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    _emphasise(axis, panel(testbed, gather([], "none").lines(LineOptions()), "imagenet-r"), Emphasis(("*resnet*",)))
    drawn = [line for line in axis.lines if line.get_marker() not in ("", "None")]
    assert drawn and all(line.get_markeredgecolor() == "black" for line in drawn)
    assert not any(line.get_markerfacecolor() == "none" for line in drawn)
    said = " ".join(CliRunner().invoke(main, ["plot", "--help"]).output.split())
    assert "Published models are hollow" in said and "those of --highlight filled with a black edge" in said


def test_one_command_draws_it_and_wrong_names_are_sentences(tmp_path: Path) -> None:
    out = tmp_path / "figure.svg"
    args = ["plot", "--results", str(tmp_path), "--published", "testbed", "--out", str(out)]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.stderr
    assert "are not drawn" in done.stderr and done.stdout == "" and out.is_file()
    for wrong, says in ((["--shift", "imagenet-z"], "imagenet-"), (["--out", str(tmp_path / "a.bmp")], ".pdf")):
        done = CliRunner().invoke(main, [*(args[:-2] if "--out" in wrong else args), *wrong])
        assert done.exit_code == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, testbed: Board, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageProblem, match=r"effrob\[plots\]"):
        draw([panel(testbed, gather([], "none").lines(LineOptions()), "mean-of-four")], tmp_path / "a.png")

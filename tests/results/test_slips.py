"""Slips of people who bring numbers and answers: each is refused, or said beside the number it makes doubtful."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from effrob.cli import main
from effrob.evaluation.baselines import family_notices
from effrob.leaderboard.citing.references import CitedWork
from effrob.leaderboard.points import label
from effrob.results.accuracy import Accuracy
from effrob.results.lineage import lineage_of
from effrob.results.model_result import ModelResult
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.compare import compare
from effrob.robustness.given_rows import place
from model_zoo.pixels import parse_pixels


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG", "CACHE", "BASELINES"):
        monkeypatch.setenv(f"EFFROB_{name}", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*args: object, status: int = 0) -> str:
    done = CliRunner().invoke(main, [str(arg) for arg in args])
    assert done.exit_code == status, done.output
    return " ".join(done.output.split())


def test_a_fraction_on_the_clean_set_among_percents_is_refused(here: Path) -> None:
    """The weak model of the last row makes every column a continuum, so that columns alone do not show it."""
    table = here / "mixed.csv"
    table.write_text("model,imagenet,imagenet-v2,imagenet-r\na,76.3,64.0,45.1\nb,0.9,64.0,45\nc,7.63,6.40,4.51\n")
    assert "line 3: fractions and percents at once" in said("place", table, status=2)
    assert "extrapolated" in said("place", table, "--unit", "percent")
    table.write_text("model,imagenet,imagenet-v2,imagenet-r\na,76.3,64.0,45.1\nb,0.9,0.8,1.1\nc,7.63,6.40,4.51\n")
    said("place", table)  # a network at chance is what it says


@pytest.mark.parametrize("numbers", [("imagenet=64.0", "imagenet-v2=76.3"), ("imagenet=23.7", "imagenet-sketch=66.8")])
def test_exchanged_columns_and_error_rates_are_pointed_out(numbers: tuple[str, str]) -> None:
    assert "higher accuracy on" in said("place", *numbers) and "error rates" in said("place", *numbers)
    clean, shift = (number.split("=")[0] for number in numbers)
    assert "error rates" not in said("place", f"{clean}=76.3", f"{shift}=24.0")


def test_the_sentence_of_a_result_holds_the_correction() -> None:
    """Alone it is above the line; asked about with eleven other models it may be there by chance."""
    alone = place({"imagenet": 76.3, "imagenet-r": 44.0})[0]
    assert alone.robustness["verdict"] == "above" and "by chance" not in str(alone.sentence)
    Path("many.csv").write_text("model,imagenet,imagenet-r\n" + "".join(f"m{i},76.3,44.0\n" for i in range(1000)))
    row = place("many.csv")[0]
    assert row.robustness["p_adjusted"] >= 0.05
    assert f"though by chance perhaps: p = {row.robustness['p_adjusted']:.2g}" in str(row.sentence)


def test_a_legend_names_only_options_that_the_command_has() -> None:
    told = said("place", "imagenet=76.3", "imagenet-r=44.0")
    assert "-v shows" not in told and "--json has every interval" in told


def test_pocket_networks_have_the_families_of_the_shipped_baseline() -> None:
    for member in baseline("pocket").members:
        assert lineage_of(member.model) == member.family


def test_few_families_and_names_that_differ_in_digits_are_pointed_out() -> None:
    def member(name: str, family: str) -> ModelResult:
        return ModelResult(name, family, {"pocket-r": Accuracy(50, 100)}, Accuracy(60, 100), {})

    names = [f"resnet_basic_{depth}" for depth in (32, 44, 56, 110)]
    alone = Baseline("b", (*(member(n, n) for n in names), member("vgg", "vgg")), "effrob", "here")
    few, alike = family_notices(alone)
    assert "5 families" in few and "--family 'resnet_basic_*=resnet_basic'" in alike
    assert not family_notices(Baseline("b", tuple(member(c, c) for c in "abcdef"), "effrob", "here"))
    assert "1 family has" in family_notices(Baseline("b", tuple(member(n, "r") for n in names), "effrob", "here"))[0]


def test_a_comparison_counts_the_models_of_the_segment_it_is_made_on() -> None:
    (row,) = compare("testbed:resnet101", "testbed:resnet152", ["imagenet-a"]).as_json()
    assert row["first"]["segment"] == row["second"]["segment"] == "above"
    above = place({"imagenet": 77.4, "imagenet-a-clean": 94.0, "imagenet-a": 4.7})[0]
    assert f"line of {row['n_baseline']} models" in str(above.sentence)


def test_numbers_a_channel_are_written_with_slashes() -> None:
    with pytest.raises(Exception, match=r"slashes, as mean=0.485/0.456/0.406"):
        parse_pixels("crop=224,interpolation=bilinear,mean=0.485,0.456,0.406,std=0.5")
    assert parse_pixels("crop=224,interpolation=bilinear,mean=0.485/0.456/0.406,std=0.5").mean == (0.485, 0.456, 0.406)


def test_scores_turned_on_their_side_are_recognised(here: Path) -> None:
    ids = np.array([f"n{i:08d}/x_{i}.jpg" for i in range(40)])
    np.savez("turned.npz", ids=ids, logits=np.zeros((1000, 40), np.float32))
    assert "1000 answers and 40 ids (transpose it)" in said(
        "import", "turned.npz", "--model", "m", "--shift", "imagenet-r", "--partial", status=2
    )


def own_suite(here: Path, citation: str = "") -> list[str]:
    """A set of 60 images of three of ImageNet's classes, named by wnid, in a suite of one's own; their wnids."""
    wnids = ["n01440764", "n01443537", "n01484850"]
    rows = "".join(f"{i},{wnids[i % 3]}\n" for i in range(60))
    for name in ("all", "some"):
        (here / f"{name}.csv").write_text("id,label\n" + rows)
    told = f"citation = {json.dumps(citation)}\n" if citation else ""
    (here / "part.toml").write_text(
        '[suite]\nname = "part"\ntitle = "Part"\nclean = "all"\nshifts = ["some"]\nclasses = "imagenet"\n'
        f'[sets.all]\nlabels = "all.csv"\n[sets.some]\nlabels = "some.csv"\n{told}'
    )
    return wnids


def test_a_set_scored_among_its_own_classes_says_so_and_an_other_answer_says_what_to_remove(here: Path) -> None:
    own_suite(here)
    logits = np.zeros((60, 1000), np.float32)
    logits[np.arange(60), np.arange(60) % 3] = 1.0
    logits[:30, 999] = 2.0  # the best of a thousand is none of the three for half of them
    np.savez("answers.npz", ids=np.array([str(i) for i in range(60)]), logits=logits)
    command = ("import", "answers.npz", "--model", "m", "--suite", "part.toml", "--shift", "some")
    told = said(*command)
    assert "scored among the 3 classes it has" in told and "among all 1000 the accuracy is 50.00%" in told
    logits[:, :3] = np.roll(logits[:, :3], 1, axis=0)
    logits[:20] = 0
    logits[np.arange(20), np.arange(20) % 3] = 1.0
    np.savez("answers.npz", ids=np.array([str(i) for i in range(60)]), logits=logits)
    refused = said(*command, "--chance", status=1)
    folder = refused.split("`rm -r ")[1].split("`")[0]
    for file in Path(folder).iterdir():
        file.unlink()
    Path(folder).rmdir()
    said(*command, "--chance")


def test_what_a_suite_of_ones_own_says_of_its_source_is_in_the_reference_list() -> None:
    work = CitedWork("part-some", "@misc{part-some,\n  note = {Recht et al. 2018}\n}")
    assert work.text == "Recht et al. 2018."


def test_a_picture_says_which_models_lack_a_part_of_the_mean(here: Path) -> None:
    table = here / "mine.csv"
    table.write_text(
        "model,imagenet,imagenet-v2,imagenet-r,imagenet-sketch,objectnet\nwhole,76,64,40,25,30\npart,76,64,40,,\n"
    )
    told = said("plot", "--add", table, "--out", "mean.svg")
    assert "mean-of-four: part lacks a part of the mean" in told
    assert "--axis full may" in said(
        "plot", "--add", table, "--shift", "imagenet-r", "--highlight", "whole", "--out", "r.svg", status=2
    )
    long = "mix:my-net@runs/before_the_fine_tuning.pt,my-net@runs/after_it.pt@0.25"
    assert len(label(long)) <= 34 and label(long).endswith("@0.25") and label("openclip:ViT-B-32") == "ViT-B-32"


def ten_classes(here: Path, answers: np.ndarray, **extra: object) -> tuple[str, ...]:
    """4,000 images of ten classes in a suite of one's own, and a file of answers in their order."""
    labels = np.arange(4000) * 7919 % 10
    for name in ("plain", "other"):
        (here / f"{name}.csv").write_text("id,label\n" + "".join(f"{i},{k}\n" for i, k in enumerate(labels.tolist())))
    classes = extra.get("classes", [f"class {k}" for k in range(10)])
    (here / "ten.toml").write_text(
        f'[suite]\nname = "ten"\ntitle = "Ten"\nclean = "plain"\nshifts = ["other"]\nclasses = {json.dumps(classes)}\n'
        '[sets.plain]\nlabels = "plain.csv"\n[sets.other]\nlabels = "other.csv"\n'
    )
    np.savez("ten.npz", ids=np.array([str(i) for i in range(4000)]), classes=answers)
    return "import", "ten.npz", "--model", "m", "--suite", "ten.toml", "--shift", "other"


def test_a_stretch_in_another_order_is_seen_among_few_classes_too(here: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(4000) * 7919 % 10
    answers = np.where(rng.random(4000) < 0.95, labels, rng.integers(10, size=4000))
    said(*ten_classes(here, answers))
    answers[2000:] = rng.permutation(answers[2000:])
    assert "that stretch is in another order" in said(*ten_classes(here, answers), "--results", "other", status=2)


def test_a_class_named_twice_is_a_sentence(here: Path) -> None:
    ten_classes(here, np.zeros(4000, int), classes=[*(f"class {k}" for k in range(9)), "class 3"])
    assert "names 'class 3' more than once; leave it once" in said("suite", "check", "ten.toml", status=2)


def test_two_files_of_one_name_are_not_mixed(here: Path) -> None:
    (here / "z").mkdir()
    for file, value in (("mine.csv", 71.2), ("z/mine.csv", 61.2)):
        (here / file).write_text(f"model,imagenet,imagenet-r\na,76.3,{value}\nb,76.0,40.0\n")
    add = ("--add", "mine.csv", "--add", "z/mine.csv")
    assert "both called mine" in said("compare", "a", "b", *add, "--axis", "full", status=2)
    (here / "z/mine.csv").rename(here / "z/later.csv")
    said("leaderboard", "--add", "mine.csv", "--add", "z/later.csv", "--axis", "full")


def test_a_note_on_one_set_is_cited_with_that_set_alone() -> None:
    assert "ObjectNet" not in said("cite", "--shift", "imagenet-r") and "1.0-beta" in said(
        "cite", "--shift", "objectnet"
    )
    assert "80 models" in (sketch := said("cite", "--shift", "imagenet-r")) and "those of them that have both" in sketch

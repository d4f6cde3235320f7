"""The printed commands: open_clip's own argument parser, effrob's and the labelled trainer's take every one of them."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner
from open_clip_train.params import parse_args

from effrob.cli import main as effrob
from recipes.five_causes.__main__ import main
from recipes.five_causes.imagenet import GPUS, Line, lines

LINES = list(lines())


def of_trainer(module: str) -> list[Line]:
    return [line for line in LINES if line.argv[:5] == ("torchrun", "--nproc_per_node", str(GPUS), "-m", module)]


@pytest.mark.parametrize("line", of_trainer("open_clip_train.main"), ids=lambda line: line.remark)
def test_contrastive_lines_are_the_trainers_own(line: Line) -> None:
    args = parse_args(list(line.argv[5:]))
    assert (args.model, args.batch_size * GPUS, args.epochs, args.lr, args.warmup) == ("RN50", 1024, 32, 1e-3, 500)
    assert args.aug_cfg == {"scale": (0.9, 1.0)}
    assert args.dataset_type in ("csv", "webdataset") and args.train_data
    assert args.dataset_type == "csv" or args.train_num_samples > 0


def test_every_arm_is_printed() -> None:
    names = {parse_args(list(line.argv[5:])).name for line in of_trainer("open_clip_train.main")}
    assert len(names) == 3 * 8 and {"imagenet-class-name-0", "yfcc-8-2"} <= names
    assert len(of_trainer("recipes.labelled")) == 3 * 4
    printed = CliRunner().invoke(main, ["--scale", "imagenet"]).output.splitlines()
    read = [tuple(shlex.split(text)) for text in printed if text and not text.startswith("#")]
    assert read == [line.argv for line in LINES]
    weights = {part for line in LINES if line.argv[0] == "effrob" for part in line.argv if "five-causes/runs/" in part}
    outs = {line.argv[line.argv.index("--out") + 1] for line in of_trainer("recipes.labelled")}
    finals = {part.partition("@")[2] or part for part in weights if part.endswith("/final.pt")}
    assert {file.removesuffix("/final.pt") for file in finals} == outs
    named = {line.argv[2] for line in LINES if line.argv[:2] == ("effrob", "register")}
    assert named == {
        part for line in LINES if line.argv[:2] == ("effrob", "eval") for part in line.argv if part in named
    }
    trained_on = {line.argv[line.argv.index("--train") + 1] for line in LINES if "--train" in line.argv}
    assert not trained_on, "a list out of captions lacks classes, and a head of effrob wants them all"
    logs = {spec.partition("@")[2].split("/")[2] for spec in weights if spec.startswith("openclip:")}
    assert logs == names


@pytest.mark.parametrize("line", [line for line in LINES if line.argv[0] == "effrob"], ids=lambda line: line.remark)
def test_effrob_lines_parse(line: Line) -> None:
    command: click.Command = effrob
    rest, context = list(line.argv[1:]), None
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context)
        name, found, rest = command.resolve_command(context, rest)
        assert name is not None and found is not None
        command = found
    command.make_context(str(command.name), rest, parent=context)


@pytest.mark.parametrize("line", of_trainer("recipes.labelled")[:3], ids=lambda line: line.remark)
def test_labelled_lines_parse(line: Line, tmp_path: object) -> None:
    from recipes.labelled import main as labelled

    with CliRunner().isolated_filesystem():
        from pathlib import Path

        Path(line.argv[line.argv.index("--list") + 1]).mkdir(parents=True)
        labelled.make_context("labelled", list(line.argv[5:]))


def test_wrong_use_ends_in_a_sentence() -> None:
    asked = {
        "--only-seed 7": "there are seeds 0 to 4, and --only-seed asks for 7",
        "--seeds 1": "1 is not in the range",
        "--scale laion": "'laion' is not one of",
    }
    for options, told in asked.items():
        found = CliRunner().invoke(main, options.split())
        assert found.exit_code == 2 and told in found.output

"""The printed commands: every parser they are for takes them, the study reads the runs by name, and a table comes out."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from open_clip_train.data import expand_urls
from open_clip_train.params import parse_args

import effrob.cli
from effrob.studies.finding import run
from effrob.studies.reader import read
from recipes import labelled, self_supervised, subset
from recipes.five_causes.__main__ import main
from recipes.five_causes.full_scale.plan import (
    EPOCHS,
    GPUS,
    REPORT,
    SEEDS,
    SHARES,
    SMALL,
    STUDY,
    YFCC_PAIRS,
    Line,
    lines,
)
from recipes.five_causes.full_scale.report import CAUSES, headlines

LINES = list(lines())
RECIPES = {"recipes.labelled": labelled.main, "recipes.self_supervised": self_supervised.main}
ROOT = Path(__file__).resolve().parents[2]


def of_trainer(module: str) -> list[Line]:
    return [line for line in LINES if line.argv[:5] == ("torchrun", "--nproc_per_node", str(GPUS), "-m", module)]


def value(line: Line, option: str) -> str:
    return line.argv[line.argv.index(option) + 1]


@pytest.mark.parametrize("line", of_trainer("open_clip_train.main"), ids=lambda line: line.remark)
def test_contrastive_lines_are_the_trainers_own(line: Line) -> None:
    args = parse_args(list(line.argv[5:]))
    assert (args.model, args.batch_size * GPUS, args.lr, args.warmup) == ("RN50", 1024, 1e-3, 500)
    assert args.aug_cfg == {"scale": (0.9, 1.0)}
    assert args.dataset_type in ("csv", "webdataset") and args.train_data
    assert args.dataset_type == "csv" or args.train_num_samples is None or args.train_num_samples > 0
    if args.dataset_type == "webdataset":  # what the trainer asserts: 'number of shards must be >= total workers'
        shards = expand_urls(args.train_data)[0]
        assert len(shards) >= args.workers * GPUS
        assert args.train_num_samples or args.train_data.startswith(SMALL)  # whose sizes.json says it


def test_arms_that_are_compared_see_as_many_pictures() -> None:
    seen = {}
    for line in of_trainer("open_clip_train.main"):
        args = parse_args(list(line.argv[5:]))
        if args.dataset_type == "webdataset" and args.train_num_samples:
            seen[args.name] = args.train_num_samples * args.epochs
    whole = YFCC_PAIRS * EPOCHS
    assert {seen[f"yfcc-{share}-{seed}"] for share in SHARES for seed in SEEDS} == {whole}
    assert {seen[f"yfcc-short-{seed}"] for seed in SEEDS} == {whole // 8}


def test_every_arm_is_printed_and_every_run_is_evaluated() -> None:
    printed = CliRunner().invoke(main, ["--scale", "imagenet"]).output.splitlines()
    told = [tuple(shlex.split(text)) for text in printed if text and not text.startswith("#")]
    assert told == [line.argv for line in LINES]
    made = set()
    for line in of_trainer("open_clip_train.main"):
        args = parse_args(list(line.argv[5:]))
        made.add(f"{args.logs}/{args.name}/checkpoints/epoch_{args.epochs}.pt")
    for module in RECIPES:
        made |= {f"{value(line, '--out')}/final.pt" for line in of_trainer(module)}
    assert len(made) == len(SEEDS) * (4 + 4 + 2 + 8)
    read_back = {
        part.rpartition("@")[2]
        for line in LINES
        if line.argv[0] == "effrob"
        for part in line.argv
        if part.endswith(".pt")
    }
    towers = {
        value(line, option).rpartition("@")[2]
        for line in LINES
        for option in ("--tower", "--init")
        if option in line.argv
    }
    assert read_back | towers == made
    assert made - read_back == {f"five-causes/runs/simclr-{seed}/final.pt" for seed in SEEDS}  # goes on with labels
    lists = {value(line, "--list") for line in of_trainer("recipes.labelled")}
    written = {value(line, "--out") for line in LINES if line.argv[:3] == ("effrob", "captions", "match")}
    assert lists == written | {"five-causes/arms/labels"}


def test_the_study_reads_the_runs_by_the_names_the_plan_gives_them() -> None:
    asked = {(arm.head, model) for arm in read(STUDY).arms for model in arm.models}
    evaluated = {
        (value(line, "--head"), model)
        for line in LINES
        if line.argv[:2] == ("effrob", "eval")
        for model, option in zip(line.argv[1:], line.argv, strict=False)
        if option == "--model"
    }
    assert asked <= evaluated
    assert {model for _, model in evaluated - asked} <= {
        f"timm:resnet50_clip@five-causes/runs/yfcc-labels-{seed}/final.pt" for seed in SEEDS
    }


@pytest.mark.parametrize("gpus", [1, 4])
def test_other_numbers_of_gpus_share_the_same_batch(gpus: int) -> None:
    for line in lines(gpus):
        if "open_clip_train.main" in line.argv:
            args = parse_args(list(line.argv[5:]))
            assert args.batch_size * gpus == 1024 and line.argv[2] == str(gpus)
    found = CliRunner().invoke(main, ["--scale", "imagenet", "--gpus", str(gpus)])
    assert found.exit_code == 0 and f"{gpus} GPUs are assumed" in found.output


@pytest.mark.parametrize("line", [line for line in LINES if line.argv[0] == "effrob"], ids=lambda line: line.remark)
def test_effrob_lines_parse(line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command: click.Command = effrob.cli.main
    rest, context = list(line.argv[1:]), None
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context)
        name, found, rest = command.resolve_command(context, rest)
        assert name is not None and found is not None
        command = found
    command.make_context(str(command.name), rest, parent=context)


OTHERS = [line for module in RECIPES for line in of_trainer(module)[:7]]
OTHERS += [line for line in LINES if "recipes.subset" in line.argv]


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: line.remark)
def test_recipes_lines_parse(line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for option in ("--list", "--like"):
        if option in line.argv:
            Path(value(line, option)).mkdir(parents=True)
    if "--init" in line.argv:
        Path(value(line, "--init")).parent.mkdir(parents=True)
        Path(value(line, "--init")).touch()
    start = line.argv.index("-m") + 1
    command = {**RECIPES, "recipes.subset": subset.main}[line.argv[start]]
    command.make_context(line.argv[start], list(line.argv[start + 1 :]))


def test_the_last_commands_print_the_table_with_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written_runs: Path
) -> None:
    """From records of every run, planted on the line and lifted by arm, to README's table."""
    finding = run(read(STUDY), written_runs)
    found = {entry["cause"]: entry for entry in headlines(finding)}
    assert list(found) == list(CAUSES)
    assert all((entry["why"] is None) == (entry["verdict"] != "cannot tell") for entry in found.values())
    assert found["size"]["value"] == pytest.approx(0.3, abs=0.05) and found["size"]["verdict"] == "moves it"
    assert found["test-language"]["value"] == pytest.approx(0.3, abs=0.05)
    assert (
        found["distribution"]["verdict"] == "cannot tell" and "how captions are written" in found["distribution"]["why"]
    )
    monkeypatch.chdir(tmp_path)
    report = next(line for line in LINES if "--report-to" in line.argv)
    told = CliRunner().invoke(main, [*report.argv[3:], "--results", str(written_runs)])
    assert told.exit_code == 0, told.output
    assert json.loads((tmp_path / REPORT).read_text())["scale"] == "imagenet"
    table = CliRunner().invoke(effrob.cli.main, list(LINES[-1].argv[1:]))
    assert table.exit_code == 0 and re.search(r"^\| cause .*\| imagenet run", table.stdout, re.MULTILINE)
    assert f"{found['size']['value']:+.2f} [" in table.stdout


def test_wrong_use_ends_in_a_sentence(tmp_path: Path) -> None:
    asked = {
        "--only-seed 17": "there are seeds 0 to 9, and --only-seed asks for 17",
        "--seeds 1": "1 is not in the range",
        "--scale laion": "'laion' is not one of",
        "--scale imagenet --gpus 3": "which 3 GPUs cannot",
        "--report-to x.json": "add --scale imagenet",
        f"--scale imagenet --study {STUDY}": "add --report-to FILE",
        f"--scale imagenet --report-to {tmp_path / 'x.json'} --results {tmp_path}": "there are none: run `effrob eval --model",
    }
    for options, told in asked.items():
        found = CliRunner().invoke(main, options.split())
        assert found.exit_code == 2 and told in found.output, found.output
    assert not (tmp_path / "x.json").exists()

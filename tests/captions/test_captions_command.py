"""`effrob captions` as a user has it: what is printed, what is written, what is learned from it, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from odd_records import WNIDS, World, record

import shifts
from effrob.cli import main
from shifts import classes
from shifts.synthetic.draw import generate


def run(*args: Any, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["captions", *map(str, args)])
    assert result.exit_code == status, result.output
    return result


def test_stats_names_every_oddity_and_counts_it(world: World) -> None:
    facts = json.loads(run("stats", world.captions, "--data", world.data, "--json").stdout)
    counted = {odd["name"]: odd["records"] for odd in facts["report"]["oddities"]}
    assert {name: n for name, n in counted.items() if n} == world.planted
    assert facts["report"]["kept"] == world.kept and sum(facts["per_class"].values()) == world.kept
    said = run("stats", world.captions, "--data", world.archived).stdout
    for name, n in world.planted.items():
        assert any(line.split()[:2] == [str(n), f"{name}:"] for line in said.splitlines()), name
    assert "463,622 in the published file" in said and "n99999999 1" in said


def test_stats_without_images_says_that_it_did_not_join(world: World) -> None:
    result = run("stats", world.captions, "--json")
    assert json.loads(result.stdout)["report"]["images"] is None and "not joined to images" in result.stderr


def test_a_file_in_the_data_folder_is_found_and_a_missing_one_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shutil.copy(world.captions, tmp_path / "data/imagenet_captions.json")
    assert "1,003" not in run("stats", "--data", tmp_path / "data").stdout
    assert "no imagenet_captions.json and no" in run("stats", "--data", world.data, status=2).stderr


def arms(world: World, out: Path, *more: Any) -> list[dict[str, Any]]:
    build = [
        "build",
        world.captions,
        "--data",
        world.data,
        "--out",
        out / "build",
        "--variant",
        "title",
        "--variant",
        "tags",
    ]
    manifest = json.loads(run(*build, *more, "--json").stdout)
    assert manifest["chosen"]["without_text"] == {"title": 40, "tags": 40 - 10}
    kinds = ["--format", "csv", "--format", "webdataset", "--format", "labels"]
    export = [
        "export",
        out / "build",
        "--data",
        world.data,
        "--out",
        out / "arms",
        "--variant",
        "title",
        "--variant",
        "tags",
    ]
    made = json.loads(run(*export, *kinds, "--json").stdout)
    assert {each["ids"] for each in made} == {manifest["ids"]} and len(made) == 5
    return made


def test_build_and_export_give_arms_over_the_same_images(world: World, tmp_path: Path) -> None:
    whole, part = arms(world, tmp_path / "whole"), arms(world, tmp_path / "part", "--fraction", 0.25, "--seed", 3)
    assert whole[0]["images"] == 900 and part[0]["images"] == sum(part[0]["per_class"].values()) < 0.3 * 900
    lines = (tmp_path / "part/arms/title-csv/captions.csv").read_text().splitlines()
    assert all(Path(line.split("\t")[0]).is_file() for line in lines[1:])
    assert "is there already" in run("export", tmp_path / "part/build", "--format", "labels", "--out", tmp_path / "part/arms",
                                     status=2).stderr  # fmt: skip
    chosen = ["--classes", "r", "--per-class", 3, "--out", tmp_path / "r", "--json"]
    of_r = json.loads(run("build", world.captions, "--data", world.data, *chosen).stdout)
    assert {id for id, n in of_r["per_class"].items() if n} == set(WNIDS) & set(classes.imagenet().subsets["r"])
    (tmp_path / "ids").write_text(f"# two\n{WNIDS[0]}\n\n{WNIDS[1]}\n")
    said = run("build", world.captions, "--data", world.data, "--classes", tmp_path / "ids", "--out", tmp_path / "two")
    assert said.stdout.startswith("88 images in")


def test_templates_come_from_a_prompt_set(world: World, tmp_path: Path) -> None:
    run("build", world.captions, "--data", world.data, "--out", tmp_path / "b")
    run("export", tmp_path / "b", "--data", world.data, "--out", tmp_path / "a", "--variant", "class-name", "--prompts",
        "openai", "--format", "csv", "--prefix", "train/")  # fmt: skip
    lines = (tmp_path / "a/class-name@openai-csv/captions.csv").read_text().splitlines()[1:]
    assert len({line.split("\t")[1] for line in lines if "n01440764" in line}) > 15
    assert all(line.startswith("train/n0") and "{}" not in line for line in lines)


def test_images_of_an_archive_are_copied_for_a_csv_or_that_is_asked_for(world: World, tmp_path: Path) -> None:
    run("build", world.captions, "--data", world.archived, "--per-class", 2, "--out", tmp_path / "b")
    export = [
        "export",
        tmp_path / "b",
        "--data",
        world.archived,
        "--out",
        tmp_path / "a",
        "--variant",
        "title",
        "--format",
        "csv",
    ]
    assert "give --copy" in run(*export, status=2).stderr
    run(*export, "--copy")
    lines = (tmp_path / "a/title-csv/captions.csv").read_text().splitlines()[1:]
    assert len(lines) == 40
    for line in lines:
        image = Path(line.split("\t")[0])
        assert (
            image.read_bytes()
            == (world.data / "imagenet/train" / image.relative_to(tmp_path / "a/images")).read_bytes()
        )
    run("build", world.captions, "--data", world.archived, "--per-class", 5, "--out", tmp_path / "more")
    shutil.rmtree(tmp_path / "a/title-csv")
    said = run(*["export", tmp_path / "more", *export[2:]], "--copy", status=2).stderr
    assert "is of another build and lacks" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["stats", "none.json"], "no captions file none.json"),
        (["stats", "--suite", "cifar"], "no suite is called 'cifar'"),
        (["build", "{captions}", "--data", "{data}", "--out", "{tmp}/x", "--variant", "caption"], "no caption variant"),
        (["build", "{captions}", "--data", "{data}", "--out", "{tmp}/x", "--fraction", "2"], "at most at 1"),
        (["build", "{captions}", "--data", "{data}", "--out", "{tmp}/x", "--classes", "z"], "r or a or a file"),
        (["build", "{captions}", "--data", "{tmp}", "--out", "{tmp}/x"], "imagenet-train was not found"),
        (
            ["build", "{captions}", "--data", "{data}", "--out", "{tmp}/x", "--classes", "r", "--random-classes", "2"],
            "give one",
        ),
        (["export", "{tmp}", "--out", "{tmp}/x", "--format", "labels"], "effrob captions build"),
        (["export", "{tmp}", "--out", "{tmp}/x", "--format", "csv"], "name at least one caption variant"),
        (["match", "none.csv"], "name a CSV file"),
        (["match", "pocket-web", "--rule", "stem", "--data", "{data}"], "the rules are"),
    ],
)
def test_bad_requests_get_one_sentence(args: list[str], said: str, world: World, tmp_path: Path) -> None:
    if "pocket-web" in args:
        web = tmp_path / "cache/pocket/pocket-web"
        web.mkdir(parents=True)
        (web / "captions.csv").write_text("filepath\ttitle\n")
    filled = [a.format(captions=world.captions, data=world.data, tmp=tmp_path) for a in args]
    result = CliRunner().invoke(main, ["captions", *filled], env={"EFFROB_CACHE": str(tmp_path / "cache")})
    assert result.exit_code == 2 and said in result.stderr and len(result.stderr.splitlines()) == 1, result.output
    assert not (tmp_path / "x").exists()


def test_a_malformed_file_is_refused_by_record_number(write) -> None:
    held = json.dumps([record(WNIDS[0], n) for n in range(700)])
    broken = held.replace('"my tench, no. 512"', "my tench")
    result = run("stats", write(broken), status=2)
    assert "record 513 of" in result.stderr and "malformed" in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pocket-web of 160 pictures drawn by the generator, its captions with them, and the two sets a head is asked about."""
    from shifts.synthetic import draw as pocket_draw

    root = tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pocket_draw, "WEB_IMAGES", 160)
        generate(root, ["pocket-web"])
    return root


def test_web_images_labelled_by_their_captions_teach_a_head_without_words(
    web: Path, pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import effrob
    from effrob.evaluation.data import load_set
    from effrob.evaluation.request import Request

    data = tmp_path / "data"
    shutil.copytree(web, data)
    for each in pocket_data.iterdir():
        (data / each.name).symlink_to(each)
    counts = json.loads(run("match", "pocket-web", "--data", data, "--out", data / "web-labels", "--json").stdout)
    assert counts["captions"] == 160 and counts["labels"] + counts["unnamed"] + counts["ambiguous"] == 160
    second = ["match", "pocket-web", "--data", data, "--second-set", 3, "--out", data / "web-id", "--json"]
    drawn = json.loads(run(*second).stdout)["second_set"]
    assert drawn["images"] == 3 * (20 - len(drawn["classes_left_out"])) > 30
    words = run("match", "pocket-web", "--data", data, "--rule", "words").stdout
    assert "160 captions, rule words" in words and "wall clock" in words
    train = shifts.load("web-labels", root=data)
    assert train.labels.is_full and len(train) == counts["labels"]
    monkeypatch.chdir(tmp_path)
    how = {"data": data, "results": tmp_path / "r", "cache": tmp_path / "c", "device": "cpu", "progress": False}
    how |= {"limit": 20, "prompts": "name-only"}
    taught = effrob.evaluate("pocket:clip", shifts=["pocket"], head="linear-probe", train="web-labels", **how)
    assert taught[0].as_json()["n"] == 20
    tested = effrob.evaluate("pocket:clip", shifts=["web-id"], head="zero-shot", **how)[0].as_json()
    assert tested["n"] == 20 and tested["shift"] == "web-id" and tested["clean_accuracy"] is not None
    request = Request(("pocket:clip",), data=data, train="web-labels", limit=5, train_limit=2, cache=tmp_path / "c")
    assert max(Counter(load_set(request, "web-labels").targets.tolist()).values()) == 2, (
        "the other limit is for test sets"
    )
    assert len(load_set(request, "web-id")) == 5
    with pytest.raises(effrob.errors.UsageProblem, match="made without --second-set"):
        effrob.evaluate("pocket:clip", shifts=["pocket"], head="linear-probe", train="web-id", **how)


def test_a_labelled_list_of_other_classes_is_refused_for_a_head(world: World, web: Path, tmp_path: Path) -> None:
    import effrob

    run("build", world.captions, "--data", world.data, "--per-class", 1, "--out", tmp_path / "b")
    run("export", tmp_path / "b", "--out", tmp_path / "arms", "--format", "labels")
    with pytest.raises(effrob.errors.UsageProblem, match="have different classes"):
        effrob.evaluate(
            "pocket:clip", shifts=["pocket"], head="linear-probe", train=str(tmp_path / "arms/labels"), data=world.data,
            results=tmp_path / "r", device="cpu", limit=20,
        )  # fmt: skip

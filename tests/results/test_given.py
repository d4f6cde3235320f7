"""Accuracies a user gives: names, units, counts and axes are understood or refused, and never guessed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import effrob
from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.results.given import columns
from effrob.results.given.columns import known_sets, set_size
from effrob.results.given.table import GivenOptions, read_given
from effrob.results.select import published_results
from effrob.robustness.lines import LineOptions, Lines, judge
from effrob.robustness.rows import Row
from model_zoo.published import published
from tests.honest import small_sets

SHIFTS = ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")
MATCHED = ("imagenet-r", "objectnet", "imagenet-a")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def users_table(path: Path, clean: bool, factor: float = 100.0) -> Path:
    """The published testbed as a user would write it down."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(["model", "imagenet", *SHIFTS, *([f"{shift}-clean" for shift in MATCHED] if clean else [])])
    for row in published("testbed"):
        values = [row.clean_full, *(row.accuracies.get(shift) for shift in SHIFTS)]
        values += [row.clean_matched.get(shift) for shift in MATCHED] if clean else []
        out.writerow([row.model, *("" if value is None else repr(factor * value) for value in values)])
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def published_robustness(axis: str) -> dict[tuple[str, str], float]:
    """(model, shift) -> effective robustness of the published row on an axis."""
    lines = Lines(LineOptions("testbed", axis))
    found = {}
    for model, result in published_results("testbed").items():
        for shift in SHIFTS:
            line = lines.at(shift)
            assert not isinstance(line, str)
            judged = judge(line, result)
            if judged is not None and judged.effective_robustness is not None:
                found[model, shift] = judged.effective_robustness
    return found


@pytest.mark.parametrize("factor", [100.0, 1.0])
@pytest.mark.parametrize("axis", ["clean", "full"])
def test_the_testbed_as_a_users_table_has_the_published_rows_robustness(
    axis: str, factor: float, tmp_path: Path
) -> None:
    rows = effrob.place(users_table(tmp_path / "mine.csv", True, factor), axis=None if axis == "clean" else "full")
    expected = published_robustness(axis)
    assert {row.model for row in rows} == {row.model for row in published("testbed") if row.accuracies}
    seen = 0
    for row in rows:
        key = row.model, row.shift
        if key in expected and row.axis == axis:
            assert row.effective_robustness == pytest.approx(expected[key], abs=1e-12), key
            seen += 1
        assert row.source == "given:mine" and row.record is None and row.origin == "given"
    assert seen == len(expected) and seen > 1600


def test_with_ordinary_accuracy_alone_every_row_stands_on_the_full_axis_and_says_so(tmp_path: Path) -> None:
    path = users_table(tmp_path / "mine.csv", False)
    done = run("place", path, "--json")
    assert done.exit_code == 0, done.output
    rows, expected = json.loads(done.stdout), published_robustness("full")
    for row in rows:
        if row["shift"] in MATCHED and row["effective_robustness"] is not None:
            assert row["axis"] == "full" and "over all classes" in row["sentence"]
        if (row["model"], row["shift"]) in expected:
            assert row["effective_robustness"] == pytest.approx(expected[row["model"], row["shift"]], abs=1e-12)
    assert "no accuracy on a shifted set, so no row: resnet50_imagenet_subsample_125" in done.stderr
    for shift in MATCHED:
        assert f"{shift}: 3" in done.stderr and f"{shift}-clean is not given" in done.stderr
    refused = run("place", path, "--axis", "clean")
    assert refused.exit_code == 2 and "does not belong there" in refused.output and "-clean" in refused.output


def test_the_testbeds_own_file_is_understood_as_it_is() -> None:
    from model_zoo.published import DATA

    table = read_given(DATA / "published" / "testbed.csv")
    rows = {result.model: result for result in table.results}
    assert table.unit == "percent" and len(rows) == 338
    for model, result in published_results("testbed").items():
        for shift, accuracy in result.accuracies.items():
            assert rows[model].accuracies[shift].value == pytest.approx(accuracy.value, abs=1e-12)
            assert rows[model].accuracies[shift].n == accuracy.n
        assert rows[model].clean.keys() == result.clean.keys()


def test_a_few_numbers_give_the_sentence_of_a_paper() -> None:
    done = run("place", "imagenet=76.4", "imagenet-r=71.2", "--name", "mine")
    assert done.exit_code == 0, done.output
    assert "mine has an accuracy of 71.2 % on imagenet-r" in done.stdout and "+34.1 points" in done.stdout
    rows = effrob.place({"imagenet": 0.764, "imagenet-r": 0.712}, name="mine")
    assert [row.axis for row in rows] == ["full"] and rows[0].n == 30_000
    line = effrob.fit("imagenet-r", axis="full")
    assert rows[0].effective_robustness == pytest.approx(line.effective_robustness(0.764, 0.712), abs=1e-12)


def test_class_matched_accuracy_brings_the_clean_axis() -> None:
    (row,) = effrob.place({"imagenet-r-clean": 88.1, "imagenet-r": 69.257, "imagenet": 63.2})
    assert row.axis == "clean" and row.effective_robustness == pytest.approx(0.3895, abs=1e-4)


def test_short_names_are_understood_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Model,val,v2,R,sketch,a", "m,76.1,63.3,36.2,24.1,2.3")
    done = run("place", path, "--json")
    assert done.exit_code == 0, done.output
    assert [row["shift"] for row in json.loads(done.stdout)] == [s for s in SHIFTS if s != "objectnet"]
    assert "val is read as imagenet" in done.stderr and "a is read as imagenet-a" in done.stderr


def test_counts_come_from_the_file_then_from_the_option_else_are_official(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "model,imagenet,imagenet-r,imagenet-r-n", "m,76.1,36.2,3000", "k,76.1,36.2,")
    assert [row.n for row in effrob.place(path)] == [3000, 30_000]
    assert [row.partial for row in effrob.place(path)] == [True, False]
    assert [row.n for row in effrob.place(path, n={"imagenet-r": 100})] == [100, 100]
    assert run("place", path, "--n", "r=100").exit_code == 0
    for bad in ("nowhere=5", "imagenet-r=0", "imagenet-r=x", "imagenet-r"):
        refused = run("place", path, "--n", bad)
        assert refused.exit_code == 2 and "Traceback" not in refused.output, bad


HEAD = "model,imagenet,imagenet-r"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([HEAD, "m,76.4,0.712"], "fractions and percents at once"),
        ([HEAD, "m,76.4,71.2", "k,0.764,0.712"], "fractions and percents at once"),
        ([HEAD, "m,76.4,710.2"], "0 to 100 percent"),
        ([HEAD, "m,-76.4,71.2"], "0 to 100 percent"),
        ([HEAD, "m,76.4,nan"], "found 'nan'"),
        ([HEAD, "m,76.4,inf"], "found 'inf'"),
        ([HEAD, "m,76.4,71.2%"], "declare --unit percent"),
        ([HEAD, 'm,76.4,"71,2"'], "found '71,2'"),
        ([HEAD, "m,76.4"], "2 cells"),
        ([HEAD, "m,76.4,71.2,3"], "4 cells"),
        ([HEAD, ",76.4,71.2"], "names no model"),
        ([HEAD, "m,76.4,71.2", "m,76.4,71.3"], "second time"),
        ([HEAD], "no line below"),
        ([], "is empty"),
        (["name,imagenet", "m,1"], "one column `model`"),
        (["model;imagenet", "m;1"], "semicolons"),
        (["model\timagenet", "m\t1"], "tabs"),
        (["model,cifar10", "m,90"], "no column of a test set"),
        (["model,imagenet", "m,76.4"], "clean accuracies alone"),
        (["model,imagenet-v2,v2", "m,1,2"], "twice"),
        ([HEAD + ",imagenet-r-clean", "m,76.4,71.2,76.4"], "ordinary accuracy, over all classes"),
        (["model,imagenet,imagenet-v2,imagenet-v2-clean", "m,76.4,71.2,80"], "one number, and two are given"),
        ([HEAD + ",imagenet-r-n", "m,76.4,71.2,2.5"], "number of images"),
        ([HEAD, "m,,"], "no accuracy was found"),
        ([HEAD, 'm,"76.4'], "cannot be read as CSV"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_accuracies_is_refused_in_a_sentence(lines: list[str], said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", *lines)
    refused = run("place", path)
    assert refused.exit_code == 2, refused.output
    assert said in refused.output and "Traceback" not in refused.output


def test_a_declared_unit_is_believed_and_held_to(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", HEAD, "m,0.764,0.712")
    assert effrob.place(path)[0].accuracy == 0.712
    assert effrob.place(path, unit="percent")[0].accuracy == pytest.approx(0.00712)
    mixed = write(tmp_path / "u.csv", HEAD, "m,76.4,0.712")
    assert effrob.place(mixed, unit="percent")[0].accuracy == pytest.approx(0.00712)
    with pytest.raises(UsageProblem, match="a fraction was declared"):
        effrob.place(mixed, unit="fraction")
    with pytest.raises(UsageProblem, match="did you mean percent"):
        effrob.place(mixed, unit="percents")


def test_one_diagnostic_column_may_hold_small_and_large_percents(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "model,imagenet,imagenet-a", "resnet,76.1,0.3", "clip,75.5,70.2")
    assert [row.accuracy for row in effrob.place(path)] == pytest.approx([0.003, 0.702])


def test_not_a_file_and_not_text_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        assert run("place", path).exit_code == 2
    (tmp_path / "x.csv").write_bytes(b"model,imagenet\n\xff\xfe,1")
    assert "UTF-8" in run("place", tmp_path / "x.csv").output
    assert run("place", "imagenet=76", "nowhere=3").exit_code == 2
    assert run("place", "imagenet=76", "imagenet-r=x").exit_code == 2
    assert run("place", "imagenet=76", "imagenet-r=71", "imagenet-r=72").exit_code == 2
    assert run("place").exit_code == 2


def test_results_of_clip_benchmark_are_read(tmp_path: Path) -> None:
    entries = [
        {"dataset": name, "model": "ViT-B-32", "pretrained": "openai", "task": "zeroshot_classification",
         "metrics": {"acc1": value, "acc5": 0.9}, "language": "en"}
        for name, value in (("imagenet1k", 0.6332), ("wds/imagenetv2", 0.5594), ("imagenet-r", 0.6929), ("cifar10", 0.9))
    ]  # fmt: skip
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    rows = effrob.place(path)
    assert [(row.model, row.shift, row.protocol) for row in rows] == [
        ("openclip:ViT-B-32@openai", "imagenet-v2", "clip-benchmark"),
        ("openclip:ViT-B-32@openai", "imagenet-r", "clip-benchmark"),
    ]
    path.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    assert [row.accuracy for row in effrob.place(path)] == [0.5594, 0.6929]
    for bad in ("{", "[1]", '{"dataset": "imagenet-r", "metrics": {"acc1": "x"}}', "[]", '{"a": 1}'):
        path.write_text(bad, encoding="utf-8")
        refused = run("place", path)
        assert refused.exit_code == 2 and "Traceback" not in refused.output, bad


def test_unibenchs_table_of_means_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather

    path = tmp_path / "aggregate.f"
    table = {
        "model_name": ["a", "a", "a"],
        "benchmark_name": ["imagenet1k", "imagenetr", "clevr"],
        "correctness": [0.7, 0.6, 0.1],
    }
    feather.write_feather(pyarrow.table(table), path)
    (row,) = effrob.place(path)
    assert (row.model, row.shift, row.accuracy, row.clean_accuracy_full) == ("a", "imagenet-r", 0.6, 0.7)


def test_every_set_has_its_size_and_its_clean_set() -> None:
    for name in known_sets():
        size = set_size(name)
        assert size.images and (size.clean_set is None or size.clean_images)
    assert set_size("objectnet").clean_images == 6250 and set_size("imagenet-a").clean_images == 10_000


def test_small_sets_of_a_test_leave_official_counts_as_they_are() -> None:
    """Sizes are kept for a process: read first inside `small_sets`, they were small for every test after it."""
    columns._shipped_size.cache_clear()
    with small_sets():
        assert set_size("objectnet").images == 18_574
    assert set_size("objectnet").clean_images == 6250


def test_rows_of_given_numbers_are_strict_json_of_evals_keys(tmp_path: Path) -> None:
    (row,) = json.loads(run("place", "imagenet=0.7", "imagenet-r=0.5", "--json").stdout)
    fields = set(Row.__dataclass_fields__) - {"robustness"}
    assert fields <= row.keys() and row["record"] is None and row["source"] == "given:given"


def test_options_are_names_that_exist(tmp_path: Path) -> None:
    for option in (["--protocol", "efrob"], ["--baseline", "testbet"], ["--axis", "cleen"], ["--unit", "points"]):
        refused = run("place", "imagenet=0.7", "imagenet-r=0.5", *option)
        assert refused.exit_code == 2 and "Traceback" not in refused.output, option
    assert GivenOptions().protocol == "unstated"


SUITE = """[suite]
name = "shapes"
clean = "plain"
shifts = ["noisy"]
classes = ["circle", "square"]
[sets.plain]
labels = "plain.csv"
[sets.noisy]
labels = "noisy.csv"
"""


def test_a_suite_of_ones_own_has_columns_by_its_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = write(tmp_path / "shapes.toml", SUITE)
    path = write(
        tmp_path / "t.csv", "model,plain,plain-n,noisy,noisy-n,imagenet", "m,90,1000,80,500,76", "k,95,1000,82,500,"
    )
    rows = effrob.place(path, suite=str(suite))
    assert [(row.shift, row.n, row.clean_accuracy_full, row.axis) for row in rows] == [
        ("shapes/noisy", 500, 0.9, "full"), ("shapes/noisy", 500, 0.95, "full"),
    ]  # fmt: skip
    assert rows[0].effective_robustness is None and "no baseline" in str(rows[0].why_not)
    done = run("place", "shapes/plain=90", "noisy=80", "--suite", suite, "--n", "noisy=500", "--n", "plain=1000")
    assert done.exit_code == 0, done.output
    refused = run("place", "plain=90", "noisy=80", "--suite", suite)
    assert refused.exit_code == 2 and "--n shapes/plain=N" in refused.output


SHAPES = """
[suite]
name = "shapes"
clean = "plain"
shifts = ["noisy", "few"]
classes = ["circle", "square", "star"]
[sets.plain]
labels = "plain.csv"
[sets.noisy]
labels = "noisy.csv"
[sets.few]
labels = "few.csv"
"""


def test_images_of_a_suite_of_ones_own_are_counted_where_it_lies_and_asked_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shifts.declared.suites._declared", {})
    monkeypatch.delenv("EFFROB_DATA", raising=False)
    sets = {
        "plain": ["circle", "square", "star", "circle"],
        "noisy": ["circle", "square", "star"],
        "few": ["star", "circle"],
    }
    (tmp_path / "data").mkdir()
    for name, labels in sets.items():
        write(tmp_path / "data" / f"{name}.csv", "id,label", *(f"{name}{i},{label}" for i, label in enumerate(labels)))
    write(tmp_path / "shapes.toml", SHAPES)
    numbers = ["place", "plain=75", "noisy=50", "few=60", "few-clean=70", "--suite", tmp_path / "shapes.toml", "--json"]
    asked = run(*numbers)
    assert asked.exit_code == 2 and "Traceback" not in asked.output
    sentence = asked.stderr.replace("=N", "=7")
    told = [word for word in sentence.replace(",", "").split() if word.endswith("=7")]
    assert told == ["shapes/plain=7", "shapes/noisy=7", "shapes/few=7", "shapes/few-clean=7"]
    mended = run(*numbers, *(part for word in told for part in ("--n", word)))  # the sentence, followed
    assert mended.exit_code == 0, mended.stderr
    assert [row["n"] for row in json.loads(mended.stdout)] == [7, 7]
    monkeypatch.setenv("EFFROB_DATA", str(tmp_path / "data"))
    counted = run(*numbers)
    assert counted.exit_code == 0, counted.stderr
    noisy, few = json.loads(counted.stdout)
    assert (noisy["n"], few["n"], noisy["partial"]) == (3, 2, False)
    assert noisy["axis"] == "clean" and noisy["clean_accuracy"] == 0.75  # it has every class: both axes are one
    assert set_size("shapes/few").clean_images == 3 and not set_size("shapes/few").same_classes


def test_what_is_said_of_numbers_and_of_a_file_reads_as_a_sentence(tmp_path: Path) -> None:
    mixed = run("place", "imagenet=0.7", "imagenet-r=60")
    assert (
        mixed.exit_code == 2
        and "numbers given seems" not in mixed.stderr
        and "fractions and percents at once, it seems" in mixed.stderr
    )
    file = write(tmp_path / "m.csv", "model,imagenet,imagenet-r", "a,0.7,60")
    assert "fractions and percents at once, it seems" in run("place", file).stderr
    empty = run("place", "imagenet-r=", "--name", "x")
    assert empty.exit_code == 2 and "the numbers given: no accuracy was found" in empty.stderr

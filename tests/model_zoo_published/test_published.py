"""Published tables: what they hold, in which unit, and what they refuse."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.errors import ModelError, UnknownModel
from model_zoo.published import DATA, Source, family_of, largest_sizes, members, published, read_table, source, sources

COUNTS = {
    "testbed": 338,
    "openclip": 121,
    "timm": 1555,
    "model_soups": 74,
    "clip_benchmark": 13,
    "clip_benchmark_scaling": 33,
    "mobileclip": 14,
    "systems": 4,
    "papers": 178,
}


def table(tmp_path: Path, text: str, unit: str = "percent") -> tuple[Path, Source]:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    layout = Source(
        name="mine", title="mine", unit=unit, model="{model}", size="img_size", full="val",
        shifts={"imagenet-r": "r"}, clean={"imagenet-r": "r-clean"},
        images={"imagenet": 50000, "imagenet-r": 30000}, clean_images={"imagenet-r": 10000},
    )  # fmt: skip
    return path, layout


HEADER = "model,img_size,val,r,r-clean\n"


def test_every_table_has_its_rows_and_only_fractions() -> None:
    assert {name: len(published(name)) for name in sources()} == COUNTS
    for name in sources():
        for row in published(name):
            values = [*row.accuracies.values(), *row.clean_matched.values(), row.clean_full or 0.0]
            assert all(0.0 <= value <= 1.0 for value in values)
            assert all(shift in row.images for shift in row.accuracies)


def test_a_board_shows_the_largest_size_of_each_timm_model() -> None:
    board = largest_sizes(published("timm"))
    assert len(board) == 1265
    sizes: dict[str, int] = {}
    for row in published("timm"):
        sizes[row.model] = max(sizes.get(row.model, 0), row.img_size or 0)
    assert all(row.img_size == sizes[row.model] for row in board)


def test_percent_tables_become_fractions_and_open_clip_rows_are_specs() -> None:
    clip = next(row for row in published("testbed") if row.model == "vit_b_32_clip_zeroshot")
    assert clip.head == "zero-shot"
    assert clip.clean_full == pytest.approx(0.6330200195, abs=1e-9)
    assert clip.clean("imagenet-r") == (pytest.approx(0.8812, abs=1e-3), 10000)
    assert clip.clean("imagenet-v2") == clip.clean("imagenet-v2", "full")
    assert clip.images["objectnet"] == 18514
    row = next(row for row in published("openclip") if row.model == "openclip:ViT-B-32@openai")
    assert row.clean("imagenet-r") is None
    assert row.clean("imagenet-r", "full") == (0.6332, 50000)
    assert row.images["objectnet"] == 18574


def test_systems_without_weights_are_rows_with_nulls() -> None:
    basic, align, lit, _ = published("systems")
    assert basic.clean_full == 0.857 and basic.accuracies["imagenet-r"] == pytest.approx(0.957)
    assert basic.others["mean-of-five"] == pytest.approx(sum(basic.accuracies.values()) / 5, abs=1e-9)
    assert (align.clean_full, align.accuracies["imagenet-a"]) == (0.764, pytest.approx(0.758))
    assert lit.accuracies == {"objectnet": 0.825}


def test_dash_and_underscore_name_one_table_and_a_near_miss_is_helped() -> None:
    assert source("clip-benchmark") is source("clip_benchmark")
    with pytest.raises(UnknownModel, match="did you mean openclip"):
        source("openclp")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("a,224,70,40,nan\n", "NaN"),
        ("a,224,70,140,90\n", "140 percent is no accuracy"),
        ("a,224,70,-1,90\n", "-1 percent is no accuracy"),
        ("a,224,70,forty,90\n", "'forty'"),
        ("a,224,70,40,90\na,224,70,41,90\n", "gives a at 224 pixels a second time"),
        ("a,224,70,40\n", "line 2 has not the 5 cells of its heading"),
        ("a,224,70,40,90,3\n", "line 2 has not the 5 cells of its heading"),
    ],
)
def test_bad_cells_have_a_sentence_with_file_and_line(tmp_path: Path, rows: str, sentence: str) -> None:
    path, layout = table(tmp_path, HEADER + rows)
    with pytest.raises(ModelError, match=re.escape(sentence)) as caught:
        read_table(path, layout)
    assert "mine.csv line" in str(caught.value)


def test_a_repeated_equal_row_counts_once_and_another_size_is_another_row(tmp_path: Path) -> None:
    path, layout = table(tmp_path, HEADER + "a,224,70,40,90\na,224,70,40,90\na,288,71,41,90\n")
    assert [row.img_size for row in read_table(path, layout)] == [224, 288]


def test_a_percent_table_declared_as_fractions_is_refused_and_units_must_be_declared(tmp_path: Path) -> None:
    path, layout = table(tmp_path, HEADER + "a,224,70,40,90\n", unit="fraction")
    with pytest.raises(ModelError, match="declare the table's unit"):
        read_table(path, layout)
    with pytest.raises(ModelError, match="percent or fraction"):
        replace(layout, unit="permille")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path, layout = table(tmp_path, "model,img_size,val,r\na,224,70,40\n")
    with pytest.raises(ModelError, match="missing: r-clean"):
        read_table(path, layout)


def test_an_empty_cell_is_a_null(tmp_path: Path) -> None:
    path, layout = table(tmp_path, HEADER + "a,224,70,40,\n")
    assert read_table(path, layout)[0].clean("imagenet-r") is None


def test_baseline_members_follow_the_tables_and_the_family_rule() -> None:
    assert {name: len(members(name)) for name in ("testbed", "testbed-wide", "timm-in1k")} == {
        "testbed": 85,
        "testbed-wide": 164,
        "timm-in1k": 840,
    }
    with (DATA / "baselines" / "families.csv").open() as file:
        rules = list(csv.DictReader(file))
    for name, origin in (("testbed", "testbed"), ("testbed-wide", "testbed"), ("timm-in1k", "timm")):
        for model, _, family in members(name):
            stem = model.split(".")[0] if origin == "timm" else model
            first = next(r["family"] for r in rules if r["source"] == origin and re.search(r["pattern"], stem))
            assert family == first, model


def test_the_timm_members_are_in1k_alone_at_their_largest_size() -> None:
    board = {(row.model, row.img_size): row for row in largest_sizes(published("timm"))}
    wanted = [k for k, row in board.items() if row.training_data == "in1k" and (row.clean_full or 0) >= 0.55]
    assert [(model, size) for model, size, _ in members("timm-in1k")] == wanted


def test_a_family_is_read_from_a_spec() -> None:
    assert family_of("torchvision:resnet50@IMAGENET1K_V1") == "resnet"
    assert family_of("timm:seresnext101_32x8d.ah_in1k") == "senet"
    assert family_of("pocket:mlp") == family_of("pocket:mlp-deep") == "mlp"
    assert family_of("pocket:clip") == "pocket:clip"


def test_the_sixty_specs_are_sixty_models_of_many_families() -> None:
    lines = (DATA / "baselines" / "imagenet-only-60.txt").read_text().splitlines()
    specs = [line for line in lines if not line.startswith("#")]
    assert len(specs) == len(set(specs)) == 60
    assert sum(line.startswith("# family:") for line in lines) >= 15
    known = {model for model, _, _ in members("timm-in1k")}
    assert {spec.removeprefix("timm:") for spec in specs if spec.startswith("timm:")} <= known

"""What a reader who comes to the page for the first time meets: one ranking, names, a way to their own model, marks."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from effrob.cli.collector import uncollected
from effrob.leaderboard.analyses import analyses
from effrob.leaderboard.gather import Gathered, gather
from effrob.leaderboard.site import write_site
from effrob.robustness.lines import LineOptions
from model_zoo.cards import DATA, notable
from model_zoo.published import published
from tests.leaderboard.conftest import SHIFTS, submit

from .test_page import Watched, _open, browser, listed, show

__all__ = ["browser"]
DISPUTED = "openclip:ViT-SO400M-14-SigLIP-384@webli"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    root = tmp_path_factory.mktemp("newcomers")
    for shift, accuracy in SHIFTS.items():
        submit(root / "records", "my-model", shift, accuracy)
        submit(root / "records", "their-model", shift, accuracy - 0.05, origin="imported")
    (root / "mine.csv").write_text("model,imagenet,v2,r,sketch,objectnet\nwritten-down,0.7,0.6,0.6,0.5,0.5\n")
    return gather([root / "records"], "testbed,openclip,papers", [root / "mine.csv"])


@pytest.fixture(scope="module")
def folder(gathered: Gathered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "site"
    with uncollected():
        write_site(gathered, LineOptions(), out)
    return out


@pytest.fixture(scope="module")
def opened(browser: Any, folder: Path) -> Iterator[Watched]:
    watched = _open(browser, (folder / "index.html").as_uri(), viewport={"width": 1280, "height": 800})
    yield watched
    watched.page.context.close()


@pytest.fixture
def page(opened: Watched) -> Iterator[Any]:
    show(opened.page, "")
    yield opened.page
    assert opened.wrong == []


def test_the_board_opens_on_the_axis_that_ranks_most_rows_together(gathered: Gathered) -> None:
    every = analyses(gathered, LineOptions())["imagenet"]
    first, chosen = every.each[0], every.opening
    assert first.line.axis == "clean"
    assert chosen.line.axis == "full" and (chosen.line.baseline, chosen.line.scale) == ("testbed", "logit")
    assert every.ranked(chosen) > every.ranked(first) > 0


def test_every_notable_name_is_a_row_of_its_table() -> None:
    with (DATA / "notable.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for place, row in enumerate(rows):
        assert row["model"] in {each.model for each in published(row["source"])}, row
        assert notable(f"published:{row['source']}", row["model"]) == (row["name"], place)
    assert notable("published:testbed", "nobody") is None


@pytest.mark.browser
def test_the_first_table_is_the_longest_ranking_and_the_other_axis_a_click_away(page: Any) -> None:
    counts = page.evaluate("effrob.data.suites.imagenet.ranked")
    full, clean = counts["imagenet|testbed|full|logit"], counts["imagenet|testbed|clean|logit"]
    assert full > clean > 100
    assert page.inner_text("#axes [aria-checked=true]") == f"All classes {full}"
    assert page.inner_text("#ranking-said").startswith(f"{full} published rows: clean accuracy over all classes")
    show(page, "per=5000")
    assert len(listed(page)) == full and page.locator("#table tr.group").count() == 0
    ranks = page.eval_on_selector_all(
        "#table tbody td.rank", "all => all.map(cell => Number(cell.firstChild.textContent))"
    )
    assert ranks == sorted(ranks) and ranks[0] == 1  # one ranking: no rank starts again
    page.click(f"#axes >> text=The shift's classes {clean}")
    page.wait_for_function(
        "effrob.view.now.axis === 'clean' && document.documentElement.dataset.table.includes('clean')"
    )
    assert len(listed(page)) == clean and "the shift's own classes" in page.inner_text("#ranking-said")


@pytest.mark.browser
def test_every_row_of_the_board_is_in_one_of_the_tables(page: Any) -> None:
    show(page, "per=5000")
    seen: list[str] = []
    chips = page.eval_on_selector_all("#rankings button", "all => all.map(b => b.dataset.ranking)")
    rest = page.eval_on_selector_all("#others option", "all => all.map(o => o.value)")
    assert {"0|full|0", "1|full|0", "2|full|0", "3|full|0"} <= {*chips} and rest[0] == "" and rest[-1] == "all"
    for key in [*chips, *rest[1:-1]]:
        show(page, f"per=5000&ranking={key}")
        here = page.eval_on_selector_all("#table tr[data-row]", "all => all.map(line => line.dataset.row)")
        assert here
        seen += here
    assert len(seen) == len(set(seen)) == page.evaluate("effrob.data.suites.imagenet.rows.length")


@pytest.mark.browser
def test_verdict_signs_and_counts_are_explained_beside_the_table(page: Any) -> None:
    said = page.inner_text("#verdicts-said")
    assert (
        "▲ above the line" in said
        and "9/12: so in 9 of 12 ways to judge it" in said
        and "smaller (8, 6, 4)" in said
        and "△ ▽" in said
    )
    above = page.locator("#verdicts-said").bounding_box()["y"]
    assert 0 < page.locator("#table").bounding_box()["y"] - above < 100
    show(page, "columns=clean.mean")
    assert page.is_hidden("#verdicts-said")


def boxes(page: Any) -> list[dict[str, float]]:
    found: list[dict[str, float]] = page.evaluate(
        """() => [...document.querySelectorAll('#chart .annotation .bg')].map(each => {
             const { left, right, top, bottom } = each.getBoundingClientRect();
             return { left, right, top, bottom };
           })"""
    )
    return found


@pytest.mark.browser
@pytest.mark.parametrize("shift", ["mean-of-four", "imagenet-r", "objectnet"])
def test_notable_models_and_ones_own_are_named_in_the_picture(page: Any, shift: str) -> None:
    show(page, f"shift={shift}")
    names = page.evaluate("document.getElementById('chart').layout.annotations.map(each => each.text)")
    assert {"my-model", "their-model", "written-down", "CLIP ViT-B/32", "ResNet-50", "AlexNet"} <= {*names}
    assert len(names) >= 12
    around = boxes(page)
    assert len(around) == len(names)
    for i, a in enumerate(around):
        for b in around[:i]:
            apart = a["right"] <= b["left"] + 6 or b["right"] <= a["left"] + 6
            assert apart or a["bottom"] <= b["top"] + 6 or b["bottom"] <= a["top"] + 6, (names, a, b)


@pytest.mark.browser
def test_find_my_model_leads_to_its_point_and_its_row(page: Any) -> None:
    page.focus("#find-name")
    assert page.locator("#find-names option").count() > 500
    for text, model, rank in (
        ("their-model", "their-model", True),
        ("clip b/32", "openclip:ViT-B-32@openai", True),
        ("RESNET18_50k 1_epochs", "resnet18_50k_1_epochs", True),
    ):
        page.fill("#find-name", text)
        page.keyboard.press("Enter")
        page.wait_for_selector("#table tr.chosen")
        row = page.locator("#table tr.chosen").first
        index = row.get_attribute("data-row")
        assert page.evaluate(f"effrob.data.suites.imagenet.rows[{index}].model") == model
        assert page.inner_text("#find-said").startswith("Rank ") == rank
        assert model in page.inner_text("#picked")
        table, line = page.locator("#table").bounding_box(), row.bounding_box()
        assert table["y"] <= line["y"] <= table["y"] + table["height"]
    page.fill("#find-name", "no such model")
    page.keyboard.press("Enter")
    assert "No model here is named so" in page.inner_text("#find-said")


@pytest.mark.browser
def test_find_looks_into_the_suites_that_are_not_shown(browser: Any, tmp_path: Path) -> None:
    for shift, accuracy in SHIFTS.items():
        submit(tmp_path / "records", "my-model", shift, accuracy)
    submit(tmp_path / "records", "my-pocket-model", "pocket-v2", 0.6)
    with uncollected():
        write_site(gather([tmp_path / "records"], "none", []), LineOptions(), tmp_path / "site")
    watched = _open(browser, (tmp_path / "site" / "index.html").as_uri(), viewport={"width": 1280, "height": 800})
    page = watched.page
    assert page.evaluate("effrob.view.now.suite") == "imagenet"
    for model, suite in (("my-pocket-model", "pocket"), ("my-model", "imagenet")):
        page.fill("#find-name", model)
        page.keyboard.press("Enter")
        page.wait_for_selector("#table tr.chosen")
        assert page.evaluate("effrob.view.now.suite") == suite and model in page.inner_text("#picked")
        assert "rank" in page.inner_text("#find-said").lower()
    page.context.close()
    assert watched.wrong == []


@pytest.mark.browser
def test_where_a_row_is_from_is_marked_apart_in_table_and_picture(page: Any) -> None:
    show(page, "ranking=all&per=5000")
    kinds = page.evaluate(
        """() => Object.fromEntries(['my-model', 'their-model', 'written-down', 'resnet50'].map(model => {
             const rows = effrob.data.suites.imagenet.rows, at = rows.findIndex(row => row.model === model);
             const tag = document.querySelector(`#table tr[data-row="${at}"] .tag`), style = getComputedStyle(tag);
             const drawn = document.getElementById('chart').data;
             const traces = drawn.filter(trace => trace.text?.some(text => text.startsWith(`<b>${model}</b>`)));
             const { symbol, size, color, line } = traces[0].marker;
             return [model, [tag.textContent, style.backgroundColor + style.borderStyle + style.color,
                             symbol.includes('open') + ' ' + size + ' ' + (line.color === color)]];
           }))"""
    )
    said, looks, points = zip(*kinds.values(), strict=True)
    assert said[0] == "measured" and said[1] == "imported" and said[2].startswith("given") and said[3] == "testbed"
    assert len({*looks}) == 4 and len({*points}) == 4, kinds


@pytest.mark.browser
def test_a_disputed_accuracy_is_marked_in_the_table_the_picture_and_on_its_page(
    page: Any, browser: Any, folder: Path
) -> None:
    show(page, f"q={DISPUTED}&shift=objectnet&model={DISPUTED}")
    assert page.locator("#table .tag", has_text="† disputed").count() == 1
    assert page.locator("#table .dagger").count() == 3  # the cell, and the two means that rest on it
    said = page.get_attribute("#table .dagger", "title")
    assert said.startswith("objectnet is disputed: 76.95 in openclip, 82.90 in SigLIP2")
    assert said in page.inner_text("#picked")
    assert said in page.evaluate("document.getElementById('chart').data.flatMap(t => t.text ?? []).join()")
    own = _open(browser, f"{folder.as_uri()}/{page.get_attribute('#table th.name a', 'href')}")
    assert "† disputed" in own.page.inner_text("main") and said in own.page.inner_text("main")
    own.page.context.close()
    show(page, "q=openclip:ViT-B-32@openai")
    assert page.locator("#table .dagger").count() == 0


@pytest.mark.browser
def test_a_phone_explains_verdicts_and_takes_a_whole_name(browser: Any, folder: Path) -> None:
    watched = _open(browser, (folder / "index.html").as_uri(), **{**PHONE, "viewport": {"width": 375, "height": 667}})
    page = watched.page
    page.tap("#more > summary")
    said = page.inner_text(".verdict-key")
    assert "▲ above the line" in said and "smaller (8, 6, 4)" in said
    for name in ("", "my-model", "no-such-model-of-a-name-that-is-long/enough-to-take-two-lines"):
        page.fill("#find-name", name)
        page.tap("#find button")
        assert page.locator("#find-name").bounding_box()["width"] >= 200
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert "No model here is named so" in page.inner_text("#find-said") and watched.wrong == []
    page.context.close()


@pytest.mark.browser
def test_a_phones_first_screen_holds_the_picture_and_the_first_rows(browser: Any, folder: Path) -> None:
    watched = _open(browser, (folder / "index.html").as_uri(), **PHONE)
    chart = watched.page.locator("#chart").bounding_box()
    row = watched.page.locator("#table tbody tr").nth(1).bounding_box()
    assert chart["y"] > 0 and chart["height"] >= 240 and row["y"] + row["height"] <= 844, (chart, row)
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390 and watched.wrong == []
    watched.page.context.close()

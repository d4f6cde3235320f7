"""The page in headless Chromium, from disk and without a network: quick, right in every number, and usable by everyone."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from effrob.cli.collector import uncollected
from effrob.leaderboard.board import board
from effrob.leaderboard.gather import Gathered, gather
from effrob.leaderboard.render import as_json
from effrob.leaderboard.site import write_site
from effrob.robustness.fit import fit
from effrob.robustness.lines import LineOptions
from effrob.robustness.scale import LOGIT
from shifts import suite
from tests.leaderboard.conftest import SHIFTS, submit
from tests.processor import slowness

pytestmark = pytest.mark.browser
NASTY = "<script>alert(1)</script>"
TESTBED = "published%3Atestbed"
NAMED = "vit_b_32_clip_zeroshot"
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
TIMEOUT = 120_000  # ms: a machine busy with other tests is slow, and only a page that hangs should fail for it
AXE = {"resultTypes": ["violations"], "preload": False}  # preloading would ask for our own style sheet by a request
SHOW = """hash => new Promise(done => {
  if (location.hash === hash) return done();
  addEventListener('hashchange', () => setTimeout(done), { once: true });
  location.hash = hash;
})"""
IS_SHOWN = "() => document.documentElement.dataset.ready === effrob.view.keyOf(effrob.view.now)"


class Site(NamedTuple):
    url: str
    folder: Path
    gathered: Gathered

    def rows(self, line: LineOptions) -> list[dict[str, Any]]:
        """The JSON board by this line."""
        if line not in BOARDS:
            BOARDS[line] = as_json(self.gathered.board(line))
        return BOARDS[line]


BOARDS: dict[LineOptions, list[dict[str, Any]]] = {}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Every published row, and two measured models, one of them with a hostile name."""
    root = tmp_path_factory.mktemp("board")
    for shift, accuracy in SHIFTS.items():
        submit(root / "records", NASTY, shift, accuracy)
        submit(root / "records", "my-model", shift, accuracy - 0.1)
    gathered = gather([root / "records"], "all")
    with uncollected():
        write_site(gathered, LineOptions(), root / "site")
    return Site((root / "site" / "index.html").as_uri(), root / "site", gathered)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=ARGS)
        yield started
        started.close()


class Watched(NamedTuple):
    page: Any
    wrong: list[str]


def _open(browser: Any, url: str, **options: Any) -> Watched:
    """A page that may ask for nothing but files; what it asks beside them, and what it complains of, is kept."""
    context = browser.new_context(offline=True, **{"viewport": {"width": 1400, "height": 900}, **options})
    context.set_default_timeout(TIMEOUT)
    page, wrong = context.new_page(), []

    def asked(request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            wrong.append(request.url)

    page.on("request", asked)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    page.goto(url)
    if "/models/" not in url:
        page.wait_for_function(IS_SHOWN)
    return Watched(page, wrong)


@pytest.fixture(scope="module")
def opened(browser: Any, site: Site) -> Iterator[Watched]:
    watched = _open(browser, site.url)
    yield watched
    watched.page.context.close()


@pytest.fixture
def page(opened: Watched) -> Iterator[Any]:
    """The page at its default view."""
    show(opened.page, "")
    yield opened.page
    assert opened.wrong == []


def show(page: Any, hash_: str) -> None:
    page.evaluate(SHOW, f"#{hash_}" if hash_ else "")
    page.wait_for_function(IS_SHOWN)


def listed(page: Any) -> list[str]:
    """Names of the models in the table, in order."""
    found: list[str] = page.eval_on_selector_all(
        "#table tbody tr[data-row]",
        "all => all.map(line => effrob.data.suites[effrob.view.now.suite].rows[line.dataset.row].model)",
    )
    return found


def column(page: Any, name: str) -> list[float | None]:
    """The first number of each cell of a column; None for a dash."""
    at = page.evaluate(
        "id => [...document.querySelectorAll('#table thead button')].findIndex(b => b.dataset.sort === id)", name
    )
    texts = page.eval_on_selector_all(
        "#table tbody tr[data-row]", "(rows, at) => rows.map(row => row.children[at].firstChild.textContent)", at
    )
    return [None if text == "–" else number(text) for text in texts]


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("model", "source", "head", "prompts", "protocol", "img_size"))


def on_page(page: Any) -> list[tuple[tuple[Any, ...], dict[str, str]]]:
    """Every row of the table as (key, column -> text); a verdict's words follow its number."""
    found = page.evaluate(
        """() => {
          const heads = [...document.querySelectorAll('#table thead button')].map(b => b.dataset.sort);
          const data = effrob.data.suites[effrob.view.now.suite].rows;
          return [...document.querySelectorAll('#table tbody tr[data-row]')].map(line => {
            const row = data[line.dataset.row], cells = {};
            [...line.children].forEach((cell, i) => {
              const said = cell.querySelector('[role=img]')?.getAttribute('aria-label') ?? '';
              const ci = cell.querySelector('.ci')?.textContent ?? '';
              cells[heads[i]] = [cell.firstChild.textContent, ci, said].join('|');
            });
            return [[row.model, row.source, row.head, row.prompts, row.protocol, row.size], cells];
          });
        }"""
    )
    return [(tuple(name), cells) for name, cells in found]


def agrees(text: str, value: float | None, ends: list[float] | None, unit: float, digits: int) -> bool:
    """The shown number and interval are the JSON board's, as far as their digits go; the page holds seven."""
    shown, between, _ = text.split("|")
    if value is None:
        return shown == "–" and between == ""
    near = abs(number(shown) - unit * value) <= 0.5 * 10**-digits + unit * 1e-7
    if not near or ends is None:
        return near and between == ""
    low, high = (number(end) for end in between.strip("[]").split(", "))
    slack = 0.5 * 10 ** (-1 if unit == 100 else -2) + unit * 1e-7
    return abs(low - unit * ends[0]) <= slack and abs(high - unit * ends[1]) <= slack


def check_table(page: Any, expected: list[dict[str, Any]]) -> None:
    """Every number of the table as it stands against the JSON board's rows, in the JSON's order within each group."""
    wanted = {key(row): row for row in expected if row["suite"] == "imagenet"}
    assert len(wanted) == sum(row["suite"] == "imagenet" for row in expected)
    shown = on_page(page)
    assert {name for name, _ in shown} == set(wanted)
    for name, cells in shown:
        row = wanted[name]
        rank, between, _ = cells["rank"].split("|")
        assert rank == ("–" if row["rank"] is None else str(row["rank"])), name
        if between:
            assert [int(end) for end in between.split("–")] == row["rank_range"]
        assert agrees(cells["clean"], row["clean_full"], row["clean_full_ci95"], 100, 2), name
        logit, mean = "mean_effective_robustness_logit", "mean_effective_robustness"
        assert agrees(cells["logit"], row[logit], row[f"{logit}_ci95"], 1, 3), (name, cells["logit"])
        assert agrees(cells["mean"], row[mean], row[f"{mean}_ci95"], 100, 2), (name, cells["mean"])
        for shift in (*suite("imagenet").ranked, "imagenet-a", "imagenet-real", "imagenet-v2-top-images"):
            cell = row["shifts"].get(shift, {})
            accuracy, judged = cells[f"{shift}.accuracy"], cells[shift]
            assert agrees(accuracy, cell.get("accuracy"), cell.get("accuracy_ci95"), 100, 2), (name, shift)
            points, ends = cell.get("effective_robustness"), cell.get("effective_robustness_ci95")
            assert agrees(judged, points, ends, 100, 2), (name, shift, judged)
            if points is not None:
                words = judged.split("|")[2]
                assert words.startswith(cell["verdict"].replace("-", " ")), (name, shift)
                assert ("extrapolated" in words) == cell["extrapolated"], (name, shift)
                by_chance = cell["verdict"] in ("above", "below") and (cell["q_value"] or 0.0) >= 0.05
                assert ("alone, not among so many" in words) == by_chance, (name, shift)


EVERYTHING = "per=5000&ranking=all&axis=clean&columns=clean.mean.shifts.accuracy.intervals.verdicts.diagnostic.others"


def test_it_is_interactive_in_under_two_seconds_over_every_published_row(browser: Any, site: Site) -> None:
    session = browser.new_browser_cdp_session()

    def renderers() -> set[int]:
        found = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return {int(each["id"]) for each in found if each["type"] == "renderer"}

    spent, passed = [], []
    for _ in range(3):
        before = renderers()
        watched = _open(browser, site.url)
        spent.append(sum(map(main_thread, renderers() - before)))
        passed.append(watched.page.evaluate("performance.now()") / 1000)
        rows = int(watched.page.inner_text("#count").split()[2])
        watched.page.context.close()
    assert rows >= 1700
    # What a reader waits for is the page's main thread; on a machine shared with others the clock measures them as well.
    said = f"main thread {[round(s, 2) for s in spent]} s, clock {[round(s, 2) for s in passed]} s"
    print(said)
    assert 0.1 < min(spent) < 2.0 or min(spent) < 2.0 * slowness(), said


def main_thread(process: int) -> float:
    """CPU seconds of a process's first thread, which in a renderer runs the page."""
    fields = Path(f"/proc/{process}/task/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_every_number_of_the_table_is_the_json_boards(page: Any, site: Site) -> None:
    show(page, EVERYTHING)
    check_table(page, site.rows(LineOptions()))


def test_another_analysis_moves_points_verdicts_and_ranks_live(page: Any, site: Site) -> None:
    before, after = (
        site.rows(LineOptions()),
        {key(row): row for row in site.rows(LineOptions("timm-in1k", "full", "probit"))},
    )
    show(page, EVERYTHING.replace("per=5000", "per=50"))
    for name, value in (("baseline", "timm-in1k"), ("axis", "full"), ("scale", "probit")):
        page.select_option(f"#controls [name={name}]", value)
    page.wait_for_function(IS_SHOWN)
    page.select_option("#per", "5000")
    check_table(page, list(after.values()))
    changed = [row for row in before if _verdicts(row) != _verdicts(after[key(row)])]
    assert len(changed) > 100
    assert "baseline=timm-in1k" in page.url and "scale=probit" in page.url


def _verdicts(row: dict[str, Any]) -> list[str | None]:
    return [row["shifts"].get(shift, {}).get("verdict") for shift in suite("imagenet").ranked]


def test_a_protocol_ranks_its_own_rows_by_the_boards_rule(page: Any, site: Site) -> None:
    show(page, "per=5000&axis=clean&ranking=all")
    page.select_option("#controls [name=protocol]", "clip-benchmark")
    alone = board([row for row in site.gathered.rows(LineOptions()) if row.protocol == "clip-benchmark"])
    expected = {key(row): row for row in as_json(alone)}
    shown = on_page(page)
    assert {name for name, _ in shown} == set(expected)
    for name, cells in shown:
        rank, between, _ = cells["rank"].split("|")
        assert rank == str(expected[name]["rank"] or "–")
        ends = [int(end) for end in between.split("–")] if between else [expected[name]["rank"]] * 2
        assert expected[name]["rank"] is None or ends == expected[name]["rank_range"]


def test_rows_of_different_protocols_are_marked_and_said(page: Any) -> None:
    show(page, "axis=full&ranking=all")
    assert "Protocols differ" in page.inner_text("#protocols-note")
    titles = page.eval_on_selector_all("#table tr.group", "all => all.map(row => row.textContent)")
    assert any("Protocols differ" in title for title in titles)
    assert page.locator("#table .tag.protocol").count() > 10
    show(page, "axis=full&protocol=testbed")
    assert "Protocols differ" not in page.inner_text("#protocols-note")
    assert page.locator("#table .tag.protocol").count() == 0


def points(page: Any) -> list[tuple[float, float, str]]:
    """(x, y, symbol) of every point drawn."""
    found = page.evaluate(
        """() => document.getElementById('chart').data.flatMap(trace => trace.hovertemplate
             ? trace.x.map((x, at) => [x, trace.y[at], trace.marker.symbol]) : [])"""
    )
    return [tuple(each) for each in found]


@pytest.mark.parametrize(("axis", "least"), [("clean", 1500), ("full", 1840)])
def test_points_and_line_lie_where_the_board_puts_them(page: Any, site: Site, axis: str, least: int) -> None:
    show(page, f"shift=imagenet-r&axis={axis}")
    rows = [row for row in site.rows(LineOptions(axis=axis)) if "imagenet-r" in row["shifts"]]
    expected = []
    for row in rows:
        cell = row["shifts"]["imagenet-r"]
        x, y = cell["clean_accuracy"] if axis == "clean" else row["clean_full"], cell["accuracy"]
        if x is not None and 0 < x < 1 and 0 < y < 1:
            expected.append((LOGIT.to(x), LOGIT.to(y), row["source"] == "measured"))
    drawn = [(x, y, not symbol.endswith("-open")) for x, y, symbol in points(page)]
    assert len(drawn) == len(expected) >= least
    apart = np.abs(np.array(drawn, float)[:, None] - np.array(expected, float)[None]).max(axis=2)
    assert apart.min(axis=0).max() < 2e-4 and apart.min(axis=1).max() < 2e-4
    line = fit("imagenet-r", axis=axis)
    (curve,) = page.evaluate("document.getElementById('chart').data.filter(trace => trace.name === 'line 0')")
    for x, y in zip(curve["x"], curve["y"]):
        assert y == pytest.approx(line.line.at(x), abs=2e-3)


def test_logit_ticks_read_in_percent(page: Any) -> None:
    show(page, "shift=imagenet-r")
    axes = page.evaluate("[0, 1].map(i => document.getElementById('chart').layout[['xaxis', 'yaxis'][i]])")
    for axis in axes:
        for at, text in zip(axis["tickvals"], axis["ticktext"]):
            assert at == pytest.approx(math.log(float(text) / (100 - float(text))), abs=1e-9)
        assert len(axis["tickvals"]) >= 5


def place_of(page: Any, model: str) -> tuple[float, float]:
    """Where on the screen a model's point is."""
    page.evaluate("document.getElementById('chart').scrollIntoView({ block: 'center' })")
    x, y = page.evaluate(
        """model => {
          const box = document.getElementById('chart'), { xaxis, yaxis } = box._fullLayout;
          const { left, top } = box.getBoundingClientRect();
          for (const trace of box.data) {
            const at = (trace.text ?? []).findIndex(text => text.startsWith(`<b>${model}</b>`));
            if (at < 0) continue;
            return [left + xaxis._offset + xaxis.l2p(trace.x[at]), top + yaxis._offset + yaxis.l2p(trace.y[at])];
          }
        }""",
        model,
    )
    return float(x), float(y)


def test_hovering_a_named_point_shows_its_numbers(page: Any, site: Site) -> None:
    show(page, "shift=imagenet-r&axis=clean")
    row = next(row for row in site.rows(LineOptions()) if row["model"] == NAMED)
    cell = row["shifts"]["imagenet-r"]
    page.mouse.move(*place_of(page, NAMED))
    page.wait_for_selector("#chart .hovertext")
    text = page.text_content("#chart .hovertext")
    assert NAMED in text and "published:testbed" in text and "protocol testbed" in text and "OpenAI" in text
    assert f"{100 * cell['accuracy']:.2f} %" in text and f"{100 * cell['clean_accuracy']:.2f} %" in text
    assert f"{100 * cell['effective_robustness']:+.2f}" == "+38.95" and "+38.95" in text
    low, high = cell["effective_robustness_ci95"]
    assert f"[{100 * low:+.1f}, {100 * high:+.1f}]" in text
    assert re.search(r"above, in 12 of 12 analyses", text)
    page.mouse.move(0, 0)


def test_a_click_chooses_a_model_and_says_what_is_known_of_it(page: Any) -> None:
    show(page, "shift=imagenet-r&axis=clean")
    spot = place_of(page, NAMED)
    page.mouse.move(*spot)
    page.wait_for_selector("#chart .hovertext")
    page.mouse.click(*spot)
    page.wait_for_selector("#picked:not([hidden])")
    said = page.inner_text("#picked")
    assert NAMED in said and "69.26 %" in said and "+38.95" in said and "12 of 12" in said
    assert f"model={NAMED}" in page.url
    page.click("#unpick")
    assert page.is_hidden("#picked") and "model=" not in page.url


def test_sorting_goes_both_ways_and_puts_what_is_unknown_last(page: Any) -> None:
    show(page, f"per=5000&ranking=all&source={TESTBED}")
    for times, down in ((1, True), (2, False)):
        page.click('#table button[data-sort="imagenet-r"]')
        values = column(page, "imagenet-r")
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=down) and values[len(known) :] == [None] * (len(values) - len(known))
        assert page.get_attribute("#table th[aria-sort]", "aria-sort") == ("descending" if down else "ascending"), times
    page.click('#table button[data-sort="model"]')
    assert listed(page) == sorted(listed(page), key=str.lower)


def test_filters_keep_the_rows_they_name(page: Any, site: Site) -> None:
    rows = page.evaluate("effrob.data.suites.imagenet.rows")
    cases: list[tuple[str, str, Callable[[dict[str, Any]], bool]]] = [
        ("data", "LAION-2B-en", lambda row: bool(row["trained_on"] == "LAION-2B-en")),
        ("images", "billions", lambda row: (row["images"] or 0) > 1e9),
        ("size", "large", lambda row: (row["size"] or 0) >= 300),
        ("head", "zero-shot", lambda row: bool(row["head"] == "zero-shot")),
        ("source", "measured", lambda row: bool(row["source"] == "measured")),
        ("q", "convnext xxl", lambda row: all(word in row["model"].lower() for word in ("convnext", "xxl"))),
        ("group", "captions", lambda row: bool(row["group"] == "captions")),
    ]
    for name, value, keeps in cases:
        page.click("#reset")
        page.select_option("#others", "all")
        if name == "group":
            page.click(f'#legend [data-group="{value}"]')
        elif name == "q":
            page.fill("[name=q]", value)
        else:
            page.select_option(f"#controls [name={name}]", value)
        wanted = [row["model"] for row in rows if keeps(row)]
        page.wait_for_function(f"document.getElementById('count').textContent.startsWith('{len(wanted)} of')")
        names = listed(page)
        assert wanted and len(names) == min(50, len(wanted)) and set(names) <= set(wanted), name
    page.click("#reset")
    assert page.inner_text("#count").startswith(f"{len(rows)} of {len(rows)} rows")


def test_columns_go_and_come_back_with_the_address(page: Any) -> None:
    page.click(".columns summary")
    page.uncheck("#columns [value=mean]")
    page.check("#columns [value=images]")
    assert (
        page.locator('#table [data-sort="logit"]').count() == 0
        and page.locator('#table [data-sort="images"]').count() == 1
    )
    assert "columns=" in page.url
    page.uncheck("#columns [value=intervals]")
    assert page.locator("#table td.rank .ci").count() == 0
    page.click(".columns summary")


def test_a_permalink_brings_back_the_view(page: Any, browser: Any, site: Site) -> None:
    page.click('#shifts [data-shift="imagenet-sketch"]')
    page.select_option("[name=axis]", "clean")
    page.wait_for_function(IS_SHOWN)
    page.click('#legend [data-group="captions"]')
    page.click('#table button[data-sort="imagenet-sketch"]')
    page.click("#table button[data-pick] >> nth=1")
    page.click("[data-zoom='0.7']")
    asked = page.url
    other = _open(browser, asked).page
    assert other.url == asked
    for what in (
        "effrob.view.now",
        "document.getElementById('table').textContent",
        "document.getElementById('picked').textContent",
        "document.getElementById('chart').layout.xaxis.range",
        "document.querySelector('#shifts [aria-checked=true]').dataset.shift",
    ):
        assert other.evaluate(what) == page.evaluate(what), what
    other.context.close()


def test_an_address_that_makes_no_sense_shows_the_default(page: Any) -> None:
    for wrong in (
        "shift=nothing",
        "baseline=nobody",
        "suite=none",
        "zoom=1,x",
        "brush=~~~1,2",
        "page=999999",
        "sort=zz",
    ):
        show(page, wrong)
        assert listed(page), wrong
        assert page.evaluate("effrob.view.keyOf(effrob.view.now)") == "imagenet|testbed|full|logit"


def drag(page: Any, share: tuple[float, float, float, float]) -> None:
    """Drag over the picture from one corner to the other, as shares of the plot's width and height."""
    page.evaluate("document.getElementById('chart').scrollIntoView({ block: 'center' })")
    box = page.locator("#chart .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + share[2] * box["width"], box["y"] + share[3] * box["height"], steps=5)
    page.mouse.up()


def test_zooming_narrows_the_picture_marks_finer_ticks_and_goes_back(page: Any) -> None:
    ranges = "[...document.getElementById('chart').layout.xaxis.range]"
    before = page.evaluate(ranges)
    drag(page, (0.6, 0.3, 0.65, 0.4))
    page.wait_for_function("effrob.view.now.zoom !== ''")
    low, high = page.evaluate(ranges)
    assert before[0] < low < high < before[1] and "zoom=" in page.url
    assert page.evaluate("document.getElementById('chart').layout.xaxis.tickvals.length") >= 4
    page.click("#unzoom")
    assert page.evaluate(ranges) == before and "zoom=" not in page.url


def test_a_brush_keeps_what_it_holds_and_follows_to_another_shift(page: Any) -> None:
    show(page, f"shift=imagenet-r&per=5000&source={TESTBED}")
    page.click("[data-tool=select]")
    drag(page, (0.5, 0.05, 0.95, 0.45))
    page.wait_for_function("effrob.view.now.brush !== ''")
    corners = [float(value) for value in page.evaluate("effrob.view.now.brush").split("~")[3].split(",")]
    xs, ys = corners[::2], corners[1::2]
    inside = [p for p in points(page) if min(xs) <= p[0] <= max(xs) and min(ys) <= p[1] <= max(ys)]
    held = listed(page)
    assert 0 < len(held) == len(inside) and "brushed" in page.inner_text("#count")
    page.click('#shifts [data-shift="imagenet-sketch"]')
    assert sorted(listed(page)) == sorted(held)
    page.click("#unbrush")
    assert len(listed(page)) > len(held) and "brush=" not in page.url and "ranking=" not in page.url
    page.click("[data-tool=zoom]")


def test_a_hostile_name_is_text_everywhere(page: Any, browser: Any, site: Site) -> None:
    show(page, "source=measured&shift=imagenet-r&axis=clean")
    assert NASTY in listed(page)
    page.click(f"#table tr:has-text('{NASTY}') button[data-pick]")
    assert page.inner_text("#picked h3") == NASTY
    page.mouse.move(*place_of(page, NASTY.replace("<", "&lt;").replace(">", "&gt;")))
    page.wait_for_selector("#chart .hovertext")
    assert NASTY in page.text_content("#chart .hovertext")
    name = page.evaluate(f"effrob.data.suites.imagenet.rows.find(row => row.model === {json.dumps(NASTY)}).page")
    own = _open(browser, (site.folder / "models" / name).as_uri())
    assert own.page.inner_text("h1") == NASTY and own.wrong == []
    assert own.page.evaluate("document.scripts.length") == 1
    own.page.click("text=Provenance")
    assert "record" in own.page.inner_text(".provenance summary")
    own.page.context.close()


def test_the_page_is_worked_by_keys_alone(page: Any) -> None:
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.focus('#shifts [aria-checked="true"]')
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[effrob.view.now.shift, document.activeElement.dataset.shift]") == ["imagenet-v2"] * 2
    page.focus('#table button[data-sort="clean"]')
    page.keyboard.press("Enter")
    assert page.evaluate("[effrob.view.now.sort, document.activeElement.dataset.sort]") == ["clean"] * 2
    page.focus('#legend [data-group="robust"]')
    page.keyboard.press("Space")
    assert page.get_attribute('#legend [data-group="robust"]', "aria-pressed") == "true"
    assert page.evaluate("document.activeElement.dataset.group") == "robust"
    page.focus("#table button[data-pick]")
    page.keyboard.press("Enter")
    assert page.is_visible("#picked") and page.evaluate("document.activeElement.id") == "unpick"


def _axe() -> Any:
    return pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright is not installed").Axe()


def test_axe_finds_nothing_serious_in_light_dark_or_on_a_phone(browser: Any, site: Site) -> None:
    axe = _axe()
    models = page_files(site)
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    view = f"#shift=imagenet-r&model={NAMED}&group=captions&axis=full&per=12"
    for url, options in (
        (site.url + view, {"color_scheme": "light"}),
        (f"{site.url}{view}&q=clip_zeroshot", {"color_scheme": "dark"}),
        (f"{site.url}#q=clip_zeroshot", phone),
        (models[0], {"color_scheme": "light"}),
        (models[-1], {"color_scheme": "dark"}),
    ):
        watched = _open(browser, url, **options)
        found = axe.run(watched.page, options=AXE).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
        ]
        assert serious == [] and watched.wrong == [], (url, options)
        watched.page.context.close()


def page_files(site: Site) -> list[str]:
    """A measured and a published model's page."""
    data = json.loads((site.folder / "data" / "board.js").read_text()[len("effrob.board(") : -3])
    rows = data["suites"]["imagenet"]["rows"]
    chosen = [next(row for row in rows if row["model"] == model) for model in ("my-model", NAMED)]
    return [(site.folder / "models" / row["page"]).as_uri() for row in chosen]


def test_axe_would_find_what_is_wrong(browser: Any, site: Site) -> None:
    axe = _axe()
    watched = _open(browser, page_files(site)[0])
    watched.page.evaluate("document.body.append(document.createElement('button'))")
    assert "button-name" in {each["id"] for each in axe.run(watched.page, options=AXE).response["violations"]}
    watched.page.context.close()


def test_light_and_dark_follow_the_system_until_the_reader_chooses(browser: Any, site: Site) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    watched = _open(browser, site.url, color_scheme="dark")
    page = watched.page
    assert page.evaluate(ground) == "rgb(15, 19, 24)"
    assert page.evaluate("document.getElementById('chart').layout.paper_bgcolor") == "#0f1318"
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert page.evaluate("document.getElementById('chart').layout.paper_bgcolor") == "#ffffff"
    assert watched.wrong == []
    page.context.close()


def test_a_phone_shows_everything_without_scrolling_sideways(browser: Any, site: Site) -> None:
    options = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    watched = _open(browser, site.url, **options)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#chart").bounding_box()["y"] < 844 / 2
    show(page, "shift=imagenet-r&axis=clean")
    page.touchscreen.tap(*place_of(page, NAMED))
    page.wait_for_selector("#picked:not([hidden])")
    assert "+38.95" in page.inner_text("#picked")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390 and watched.wrong == []
    page.context.close()


def test_a_request_would_be_noticed(browser: Any, site: Site) -> None:
    watched = _open(browser, page_files(site)[0])
    watched.page.evaluate("fetch('https://example.org/x').catch(() => null)")
    assert any("example.org" in each for each in watched.wrong)
    watched.page.context.close()

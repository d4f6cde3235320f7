"""The page's files without a browser: its numbers, what each verdict survives, and that it names nothing outside itself."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from effrob.cli import main
from effrob.cli.collector import uncollected
from effrob.leaderboard.analyses import analyses
from effrob.leaderboard.gather import gather
from effrob.leaderboard.judging.numbers import VERDICTS
from effrob.leaderboard.page_data import script
from effrob.leaderboard.render import as_json
from effrob.leaderboard.site import page_names, write_site
from effrob.leaderboard.write import write_board
from effrob.robustness.lines import LineOptions
from tests.leaderboard.conftest import SHIFTS, submit


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("records")
    for shift, accuracy in SHIFTS.items():
        submit(root, "my-model", shift, accuracy)
    submit(root, "half-a-model", "imagenet-r", 0.4)
    return root


@pytest.fixture(scope="module")
def site(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "board"
    write_site(gather([records], "systems,mobileclip"), LineOptions(), out)
    return out


def _handed(path: Path) -> Any:
    """What a data file hands to the page."""
    found = re.fullmatch(r"effrob\.\w+\((.*)\);\n", path.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_every_analysis_of_the_page_has_the_json_boards_numbers(site: Path, records: Path) -> None:
    suite = _handed(site / "data" / "board.js")["suites"]["imagenet"]
    assert len(suite["files"]) == 12
    gathered = gather([records], "systems,mobileclip")
    for key, file in suite["files"].items():
        _, baseline, axis, scale = key.split("|")
        wanted = {_key(row): row for row in as_json(gathered.board(LineOptions(baseline, axis, scale)))}
        numbers = _handed(site / "data" / file)
        assert numbers["key"] == key and len(wanted) == len(suite["rows"])
        for i, row in enumerate(suite["rows"]):
            facts, judged = wanted[_key({**row, "img_size": row["size"]})], numbers["rows"][i]
            assert row["clean"][0] == pytest.approx(facts["clean_full"], abs=1e-7)
            assert judged[0] == pytest.approx(facts["mean_effective_robustness_logit"], abs=1e-7)
            assert judged[3] == pytest.approx(facts["mean_effective_robustness"], abs=1e-7)
            assert judged[6] == pytest.approx(facts["effective_robustness_of_mean"], abs=1e-7)
            assert judged[7] == facts["rank"] and judged[11] == facts["axis"]
            assert row["shifts"].keys() == facts["shifts"].keys()
            for shift, cell in facts["shifts"].items():
                assert row["shifts"][shift][:3] == pytest.approx([cell["accuracy"], *cell["accuracy_ci95"]], abs=1e-7)
                score = numbers["cells"][shift][i]
                if cell["effective_robustness"] is None:
                    assert score == 0
                    continue
                ends = [*cell["effective_robustness_ci95"], *cell["effective_robustness_pi95"]]
                shown = [cell["effective_robustness"], *ends, cell["effective_robustness_logit"]]
                assert score[:6] == pytest.approx(shown, abs=1e-7)
                assert VERDICTS[score[6]] == cell["verdict"] and bool(score[7]) == cell["extrapolated"]
                assert score[8] == (
                    None if cell["q_value"] is None else pytest.approx(cell["q_value"], rel=1e-6, abs=0)
                )


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("model", "source", "head", "prompts", "protocol", "img_size"))


def test_a_verdict_counts_the_analyses_it_survives_each_once(site: Path, records: Path) -> None:
    suite = _handed(site / "data" / "board.js")["suites"]["imagenet"]
    gathered = gather([records], "systems,mobileclip")
    boards = [
        {_key(row): row for row in as_json(gathered.board(a.line))}
        for a in analyses(gathered, LineOptions())["imagenet"].each
    ]
    seen = set()
    for row in suite["rows"]:
        for shift, cell in row["shifts"].items():
            found = {}
            for each in boards:
                facts = each[_key({**row, "img_size": row["size"]})]["shifts"][shift]
                if facts["verdict"] is not None:
                    found[facts["baseline"], facts["axis"], facts["scale"]] = facts["verdict"]
            assert cell[5] == [Counter(found.values())[verdict] for verdict in VERDICTS], (row["model"], shift)
            seen.add(sum(cell[5]))
    assert {6, 12} <= seen  # a row without class-matched accuracy has one axis


def test_a_models_page_holds_its_card_its_rows_and_its_records(site: Path, records: Path) -> None:
    text = unescape((site / "models" / page_names(["my-model"])["my-model"]).read_text(encoding="utf-8"))
    facts = next(row for row in as_json(gather([records], "none").board(LineOptions())) if row["model"] == "my-model")
    for shift, cell in facts["shifts"].items():
        assert f"{100 * cell['accuracy']:.2f}" in text and f"{100 * cell['effective_robustness']:+.2f}" in text, shift
        record = json.loads((Path(cell["record"]) / "record.json").read_text())
        for digest in record["files"].values():
            assert digest in text
        assert facts["provenance"][shift]["key"] in text
    published = "openclip:ViT-B-32@laion2b_s34b_b79k"
    assert page_names([published])[published] not in {path.name for path in (site / "models").iterdir()}
    assert "Model card" in text and "../index.html#model=my-model" in text


def test_the_folder_names_nothing_outside_itself(site: Path) -> None:
    for path in site.rglob("*"):
        if path.suffix not in (".html", ".js", ".css") or path.name == "plotly.min.js":
            continue
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"(?:src|href)=\"([^\"]*)\"", text) if path.suffix == ".html" else []:
            assert target == "data:," or (path.parent / target.partition("#")[0]).exists(), (path.name, target)
        assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|@import|url\()", text), path.name
    assert (site / "board.csv").read_text().count("\n") == len(
        _handed(site / "data" / "board.js")["suites"]["imagenet"]["rows"]
    ) + 1


def test_the_chart_library_is_the_installed_packages_own(site: Path) -> None:
    import plotly

    own = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    assert (site / "plotly.min.js").read_bytes() == own.read_bytes()


def test_equal_boards_give_equal_bytes(site: Path, records: Path, tmp_path: Path) -> None:
    write_site(gather([records], "systems,mobileclip"), LineOptions(), tmp_path / "again")
    for path in site.rglob("*.*"):
        assert (tmp_path / "again" / path.relative_to(site)).read_bytes() == path.read_bytes(), path.name


def test_names_that_a_file_cannot_hold_get_pages_of_their_own() -> None:
    names = page_names(["a/b", "a:b", "../../etc/passwd", "<script>", "A/B", "x" * 300])
    assert len({name.lower() for name in names.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+\.html", name) and len(name) < 120 for name in names.values())


def test_data_cannot_end_the_script_it_stands_in() -> None:
    assert "<" not in script("board", {"model": "</script><!--"}) and "\u2028" not in script("board", ["\u2028"])
    with pytest.raises(ValueError, match="JSON"):
        script("board", [float("nan")])


def _run(*args: object) -> Result:
    return CliRunner().invoke(main, ["leaderboard", "--format", "html", *map(str, args)])


def test_one_command_writes_it_and_writes_it_again(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "site"
    for _ in range(2):
        done = _run("--results", records, "--published", "systems", "--out", out)
        assert done.exit_code == 0 and done.stdout == "" and str(out / "index.html") in done.stderr
    assert {path.name for path in out.parent.iterdir()} == {"site"}


def test_it_replaces_no_folder_of_the_users(records: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    done = _run("--results", records, "--published", "none", "--out", tmp_path)
    assert done.exit_code == 2 and "not a leaderboard's" in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    done = _run("--results", records, "--published", "none")
    assert done.exit_code == 2 and "--out FOLDER" in done.stderr


def test_no_rows_is_a_page_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = _run("--results", tmp_path / "none", "--published", "none", "--out", tmp_path / "site")
    assert done.exit_code == 0
    assert "effrob eval" in (tmp_path / "site" / "index.html").read_text()


def test_without_its_libraries_the_extra_is_named(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in ("plotly", "jinja2"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            done = _run("--results", records, "--published", "none", "--out", tmp_path / "site")
        assert done.exit_code == 2 and "effrob[site]" in done.stderr and not (tmp_path / "site").exists()


def test_a_page_of_twelve_analyses_costs_a_few_boards_and_not_twelve(tmp_path: Path) -> None:
    """Both in processor seconds of this process, so that a busy machine changes neither side alone."""
    gathered = gather([tmp_path], "all")

    def cost(form: str) -> float:
        begun = time.process_time()
        with uncollected():
            write_board(gathered, LineOptions(), form, tmp_path / form)
        return time.process_time() - begun

    board = min(cost("md") for _ in range(3))
    assert cost("html") < 8 * board  # about 5; before its analyses were judged together it was 12


def test_a_page_written_again_keeps_the_files_of_models_that_did_not_change(tmp_path: Path) -> None:
    """Made anew and deleted by the thousand they cost the file system up to a second."""
    gathered = gather([tmp_path], "model_soups")
    write_site(gathered, LineOptions(), tmp_path / "page")
    old = {path.name: path.stat().st_ino for path in (tmp_path / "page" / "models").iterdir()}
    changed = sorted((tmp_path / "page" / "models").iterdir())[0]
    right = changed.read_bytes()
    changed.write_bytes(right + b"more")
    write_site(gathered, LineOptions(), tmp_path / "page")
    new = {path.name: path.stat().st_ino for path in (tmp_path / "page" / "models").iterdir()}
    assert new.keys() == old.keys()
    assert {name for name in new if new[name] != old[name]} == {changed.name}
    assert changed.read_bytes() == right

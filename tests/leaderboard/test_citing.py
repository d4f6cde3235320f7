"""What a paper says: the numbers are those of the rows, every work is there once, and LaTeX is LaTeX."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import effrob
from effrob.cli import main
from effrob.leaderboard.citing.references import PROTOCOLS, SETS, TABLES, bibliography, of_set
from effrob.results.given.columns import known_sets
from model_zoo.published import sources

from .tex import typeset


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_every_shipped_set_table_and_protocol_has_its_works() -> None:
    assert {name for name in known_sets() if not name.startswith("pocket")} == set(SETS)
    assert set(TABLES) == set(sources())
    named = {*SETS.values(), *(key for keys in (*TABLES.values(), *PROTOCOLS.values()) for key in keys)}
    assert named <= set(bibliography())


def test_what_is_cited_compiles_and_every_work_of_the_bibliography_is_read_by_bibtex(tmp_path: Path) -> None:
    model = "openclip:ViT-SO400M-14-SigLIP-384@webli"
    body = run("cite", model, "--format", "latex").stdout
    entries = "\n".join(each.bibtex for each in bibliography().values())
    log = typeset(tmp_path, body + r"\nocite{*}", entries)
    assert "undefined" not in log and (tmp_path / "paper.bbl").read_text().count(r"\bibitem") == len(bibliography())
    assert "Warning--" not in (tmp_path / "paper.blg").read_text()  # a field that BibTeX's own style wants


def test_entries_are_whole_and_each_once() -> None:
    from importlib import resources

    text = resources.files("effrob.leaderboard.citing").joinpath("references.bib").read_text(encoding="utf-8")
    assert text.count("\n@") + 1 == len(bibliography())
    for key, entry in bibliography().items():
        assert entry.field("author") and entry.field("title"), key
        assert key == "effrob" or re.fullmatch(r"(19|20)\d\d", entry.field("year") or ""), key
        assert entry.bibtex.count("{") == entry.bibtex.count("}")
    assert bibliography()["zou2008"].short == "Zou and Donner 2008" and of_set("pocket-r") is None


REQUIRED = {
    "article": ("author", "title", "journal", "year"),
    "inproceedings": ("author", "title", "booktitle", "year"),
}

# As the works' own pages, README files and proceedings state them: authors, year, pages (none: a preprint or software).
STATED = {
    "taori2020measuring": (6, "2020", "18583--18599"),
    "fang2022data": (7, "2022", "6216--6234"),
    "miller2021accuracy": (9, "2021", "7721--7735"),
    "clopper1934": (2, "1934", "404--413"),
    "zou2008": (2, "2008", "1693--1702"),
    "russakovsky2015": (12, "2015", "211--252"),
    "recht2019": (4, "2019", "5389--5400"),
    "hendrycks2021many": (13, "2021", "8340--8349"),
    "hendrycks2021natural": (5, "2021", "15262--15271"),
    "wang2019": (4, "2019", "10506--10518"),
    "barbu2019": (8, "2019", None),
    "beyer2020": (5, "2020", None),
    "radford2021": (12, "2021", "8748--8763"),
    "openclip": (13, "2021", None),
    "timm": (1, "2019", None),
    "wortsman2022soups": (11, "2022", "23965--23998"),
    "cherti2023": (9, "2023", "2818--2829"),
    "clipbenchmark": (2, "2022", None),
    "vasu2024": (5, "2024", "15963--15974"),
    "faghri2025": (7, "2025", None),
    "yu2022": (6, "2022", None),
    "zhai2022": (7, "2022", "18123--18133"),
    "effrob": (1, "2026", None),
}


def test_entries_say_what_their_sources_say() -> None:
    assert set(STATED) == set(bibliography())
    for key, (authors, year, pages) in STATED.items():
        entry = bibliography()[key]
        kind = entry.bibtex.partition("{")[0].removeprefix("@")
        assert all(entry.field(name) for name in REQUIRED.get(kind, ("author", "title"))), key
        found = len((entry.field("author") or "").split(" and ")), entry.field("year"), entry.field("pages")
        assert found == (authors, year, pages), key
    assert "Cherti and Beaumont 2022. CLIP Benchmark." in bibliography()["clipbenchmark"].text


def test_the_result_is_that_of_the_rows() -> None:
    done = run("cite", "testbed:vit_b_32_clip_zeroshot", "--shift", "imagenet-r")
    assert done.exit_code == 0, done.output
    rows = json.loads(run("leaderboard", "--published", "testbed", "--format", "json", "--results", "x").stdout or "[]")
    board = {row["model"]: row for row in rows} or {}
    line = json.loads(run("fit", "--shift", "imagenet-r", "--json").stdout)[0]
    assert f"slope {line['slope']:.3f}, intercept {line['intercept']:.3f}" in done.stdout
    assert f"N = {line['n']} models of {line['families']} families" in done.stdout
    assert "+39.0 points" in done.stdout and "published (testbed)" in done.stdout
    if board:
        low, high = board["vit_b_32_clip_zeroshot"]["shifts"]["imagenet-r"]["effective_robustness_ci95"]
        assert f"{100 * low:+.1f} to {100 * high:+.1f}" in done.stdout
    for work in ("Hendrycks et al. 2021a", "Taori et al. 2020", "Clopper and Pearson 1934", "Russakovsky et al. 2015"):
        assert done.stdout.count(f"\n  {work}. ") == 1


def test_works_of_the_same_authors_and_year_are_told_apart_and_effrobs_has_its_version() -> None:
    """ImageNet-A's and -R's were both `Hendrycks et al. 2021`."""
    shorts = [work.short for work in bibliography().values()]
    assert len(set(shorts)) == len(shorts)
    a, r = of_set("imagenet-a"), of_set("imagenet-r")
    assert a is not None and a.short == "Hendrycks et al. 2021b" and a.field("year") == "2021"
    assert r is not None and r.text.startswith("Hendrycks et al. 2021a. The Many Faces of Robustness")
    own = bibliography()["effrob"]
    assert own.field("version") == effrob.__version__ and f"version {effrob.__version__}" in own.text
    licensed = (Path(effrob.__file__).parents[1] / "LICENSE").read_text(encoding="utf-8")
    assert f"(c) {own.field('year')} The effrob authors" in licensed and "The effrob authors 2026." in own.text


def test_latex_is_escaped_and_cites_what_it_lists() -> None:
    text = run("cite", "vit_b_32_clip_zeroshot", "--format", "latex").stdout
    body = text.partition("\n\n%")[0]
    assert r"vit\_b\_32\_clip\_zeroshot" in body and "69.3 \\%" in body
    keys = {key for found in re.findall(r"\\cite\{([^}]*)\}", body) for key in found.split(",")}
    listed = set(re.findall(r"^% @\w+\{([\w-]+),$", text, re.MULTILINE))
    assert keys == listed and {"recht2019", "wang2019", "barbu2019", "hendrycks2021many"} <= keys


def test_bibtex_is_entries_alone() -> None:
    text = run("cite", "--shift", "imagenet-v2", "--format", "bibtex").stdout
    keys = re.findall(r"^@\w+\{([\w-]+),$", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) and "recht2019" in keys and "hendrycks2021many" not in keys


def test_a_model_without_class_matched_accuracy_is_told_on_the_full_axis(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("model,imagenet,imagenet-r\nnet,76.4,71.2\n", encoding="utf-8")
    text = run("cite", "net", "--add", table, "--results", tmp_path).stdout
    assert "(full axis)" in text and "taken on trust" in text and "+34.1 points" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cite", "nobody-has-this"), "no record below"),
        (("cite", "vit_b_32_clip_zeroshot", "--shift", "imagenet-real"), "has no accuracy on imagenet-real"),
        (("cite", "--shift", "pocket-v9"), "pocket-v9"),
        (("cite", "--format", "word"), "--format is text, latex or bibtex"),
    ],
)
def test_what_cannot_be_cited_has_a_sentence(words: tuple[str, ...], said: str) -> None:
    refused = run(*words)
    assert refused.exit_code == 2 and said in refused.output and "Traceback" not in refused.output

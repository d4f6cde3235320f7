"""Study files: what is wrong is said in one sentence with its line, whatever is wrong, and nothing else is ever raised."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.studies.reader import SHIPPED, find, lines_of, parse, read, shipped
from effrob.studies.study import Arm, Contrast, Study

ARM = '[[arm]]\nname = "a"\nmodel = "resnet50"\nsource = "testbed"\n'
OTHER = '[[arm]]\nname = "b"\nmodel = "resnet101"\nsource = "testbed"\n'
PAIR = '[[contrast]]\nname = "c"\nkind = "pair"\narms = ["a", "b"]\n'
HEAD = 'headline = "c"\n'  # line 5, below the four keys of every study
TWO = HEAD + ARM + OTHER  # arms open on lines 6 and 10, a contrast on line 14

MALFORMED = {
    "no TOML": ("axis = full\n", 5, "is not TOML"),
    "an open string": ('axis = "full\n', 5, "is not TOML"),
    "an open list": ('shifts = ["imagenet-r"\n\n', 6, "is not TOML"),
    "a key twice": ('axis = "full"\naxis = "clean"\n', 6, "is not TOML"),
    "an unknown key": ('axes = "full"\n', 5, "did you mean axis"),
    "an unknown table": ("[arms]\n", 5, "write a [[arm]] table"),
    "one bracket": ('[arm]\nname = "a"\n', 5, "write [[arm]] before each"),
    "an unknown table below an arm": (ARM + "[other]\nx = 1\n", 9, "no key 'other'"),
    "a wrong axis": ('axis = "ful"\n', 5, "did you mean full"),
    "a number for text": ("title = 3\n", 5, "text in quotes"),
    "empty text": ('title = " "\n', 5, "text in quotes"),
    "text for a list": ('shifts = "imagenet-r"\n', 5, "a list of texts"),
    "no shift": ("shifts = []\n", 5, "at least one shift"),
    "a share of 10": ("margin_share = 10\n", 5, "between 0 and 1"),
    "a share that is no number": ("margin_share = nan\n", 5, "between 0 and 1"),
    "points in percent": ("margin_points = 1.5\n", 5, "0.01 is one point"),
    "true for a number": ("margin_share = true\n", 5, "a number"),
    "a margin of no arm": ('margin_arm = "b"\n' + ARM, 5, "names no arm"),
    "an arm without a model": ('[[arm]]\nname = "a"\n', 5, "either `model`"),
    "an arm with both": (ARM + 'models = ["x"]\n', 5, "either `model`"),
    "an arm without a name": ('[[arm]]\nmodel = "resnet50"\n', 5, "lacks `name`"),
    "a model that is a list": ('[[arm]]\nname = "a"\nmodel = ["resnet50"]\n', 7, "model must be text"),
    "one model twice": ('[[arm]]\nname = "a"\nmodels = ["x", "x"]\n', 7, "each once"),
    "no models": ('[[arm]]\nname = "a"\nmodels = []\n', 7, "each once"),
    "an unknown key of an arm": (ARM + 'sauce = "testbed"\n', 9, "did you mean source"),
    "an endless amount": (ARM + f"amount = 1{'0' * 400}\n", 9, "a number below 1e308"),
    "an amount too long to read": (ARM + f"amount = 1{'0' * 5000}\n", 9, "thousands of digits"),
    "an amount too long to print": (ARM + f"amount = 0x{'f' * 5000}\n", 9, "a number below 1e308"),
    "a share too long to print": (f"margin_share = 0x{'f' * 5000}\n", 5, "a number below 1e308"),
    "brackets without end": (ARM + f"note = {'[' * 5000}{']' * 5000}\n", 9, "nested without end"),
    "braces without end": (ARM + f"note = {'{a=' * 3000}1{'}' * 3000}\n", 9, "nested without end"),
    "a name that moves the cursor": (ARM.replace('"a"', '"\\u001b[2Ja"'), 6, "without control characters"),
    "a model with a null": (ARM.replace("resnet50", "a\\u0000"), 7, "without control characters"),
    "a name of two lines": (ARM.replace('"a"', '"a\\nb"'), 6, "one line of text"),
    "a shift twice": ('shifts = ["imagenet-r", "imagenet-r"]\n', 5, "once"),
    "an arm in line": ('arm = [\n{name = "a", model = 3}]\n', 5, "model must be text"),
    "a heading in quotes": (ARM.replace("[arm]", '["arm"]').replace('"resnet50"', "3"), 7, "model must be text"),
    "headings inside a text": (
        'title = """\n[[arm]]\nmodel = 1\n"""\n' + ARM.replace('"resnet50"', "3"),
        11,
        "model must",
    ),
    "a line that only other readers break": ('title = "a\u2028b" # \u2029\n' + ARM + "x = 1\n", 10, "no key 'x'"),
    "one model in two arms": (TWO.replace("resnet101", "resnet50") + PAIR, 17, "share no model"),
    "amounts that are one in floats": (
        HEAD
        + "".join(
            ARM.replace('"a"', f'"{n}"').replace("50", n) + f"amount = {10**22 + int(n)}\n"
            for n in ("50", "101", "152")
        )
        + PAIR.replace("pair", "trend").replace('"a", "b"', '"50", "101", "152"'),
        24,
        "and they differ",
    ),
    "an amount below nothing": (ARM + "amount = -3\n", 9, "a positive number"),
    "an amount that is no number": (ARM + "amount = nan\n", 9, "a positive number"),
    "a head of a published row": (ARM + 'head = "native"\n', 9, "leave it out"),
    "one name for two arms": (ARM + ARM, 10, "a name of its own"),
    "no headline": (ARM + OTHER + PAIR, 1, "as its `headline`"),
    "a headline of nothing": ('headline = "d"\n' + ARM + OTHER + PAIR, 5, "names no contrast"),
    "a wrong kind": (TWO + PAIR.replace("pair", "pare"), 16, "pair, trend, line"),
    "an unknown arm": (TWO + PAIR.replace('"b"]', '"B"]'), 17, "no arm is named 'B'"),
    "an arm twice": (TWO + PAIR.replace('"b"]', '"a"]'), 17, "stands in a contrast once"),
    "three in a pair": (TWO + ARM.replace('"a"', '"d"') + PAIR.replace('"b"]', '"b", "d"]'), 21, "a pair has 2 arms"),
    "a trend of two": (TWO + PAIR.replace("pair", "trend"), 17, "at least 3 arms"),
    "a trend without amounts": (
        TWO + ARM.replace('"a"', '"d"') + PAIR.replace("pair", "trend").replace('"b"]', '"b", "d"]'),
        21,
        "has an `amount`",
    ),
    "two contrasts of one name": (TWO + PAIR + PAIR, 19, "a name of its own"),
    # these are found only when the study is run
    "an unknown baseline": ('baseline = "testbd"\n' + TWO + PAIR, 5, "did you mean testbed"),
    "an unknown baseline beside": ('beside = ["timm"]\n' + TWO + PAIR, 5, "did you mean timm-in1k"),
    "an unknown shift": ('shifts = ["imagenet-rr"]\n' + TWO + PAIR, 5, "imagenet-r"),
    "a shift the baseline lacks": ('baseline = "timm-in1k"\n' + TWO + PAIR, 5, "objectnet"),
    "an unknown table of accuracies": (ARM.replace("testbed", "testbad"), 8, "did you mean testbed"),
    "an unknown model": (ARM.replace("resnet50", "resnet5o"), 7, "did you mean resnet50"),
    "no record": ('[[arm]]\nname = "a"\nmodel = "mine"\n', 7, "effrob eval --model mine"),
}


@pytest.mark.parametrize("wrong", MALFORMED)
def test_what_is_wrong_is_said_with_its_line_and_exit_2(wrong: str, write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    text, line, words = MALFORMED[wrong]
    done = CliRunner().invoke(main, ["study", "run", str(write(text)), "--results", str(tmp_path / "none")])
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.startswith(f"Error: mine.toml line {line}"), done.stderr
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_well_formed_ones_beside_them_are_read(write) -> None:  # type: ignore[no-untyped-def]
    found = read(write(TWO + PAIR))
    assert found.arms == (Arm("a", ("resnet50",), "testbed"), Arm("b", ("resnet101",), "testbed"))
    assert found.contrasts == (Contrast("c", "pair", ("a", "b")),) and found.name == "mine"


@pytest.mark.parametrize("lacking", ["question", "factor", "decides", "cannot_decide"])
def test_a_study_says_what_it_asks_and_what_it_cannot_decide(lacking: str, write) -> None:  # type: ignore[no-untyped-def]
    path = write("")
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith(lacking)))
    with pytest.raises(UsageProblem, match=f"line 1: a study lacks `{lacking}`"):
        read(path)


def test_bytes_that_are_no_text_are_said_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'question = "a"\nfactor = "\xff"\n')
    with pytest.raises(UsageProblem, match=r"x\.toml line 2 is not UTF-8"):
        read(path)
    path.write_bytes(b"\xef\xbb\xbf" + b'question = "a"\n')
    with pytest.raises(UsageProblem, match="lacks `factor`"):
        read(path)


def test_names_and_paths_that_are_not_there() -> None:
    for name, words in (
        ("siz", "did you mean size"),
        ("none.toml", "no study file none.toml"),
        ("a/b", "no study file"),
    ):
        with pytest.raises(UsageProblem, match=words):
            find(name)


def test_lines_are_found_in_every_shipped_file() -> None:
    for path in shipped().values():
        text = path.read_text(encoding="utf-8")
        lines, study = text.splitlines(), read(path)
        for i, arm in enumerate(study.arms):
            start, keys = lines_of(text, "arm", i)
            assert lines[start - 1] == "[[arm]]" and lines[keys["name"] - 1] == f'name = "{arm.name}"'
        assert lines[lines_of(text)[1]["factor"] - 1].startswith("factor = ")


def test_the_page_on_studies_writes_one_that_is_read() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    made = parse(text, "mine", "mine.toml")
    assert len(made.arms) == 3 and made.headline == made.contrasts[0].name
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", " ".join(rows))) | {"question", "factor", "decides", "cannot_decide"}
    keys = {each.name for each in fields(Study)} - {"name", "arms", "contrasts", "location"}
    assert keys <= told and all(
        f"`{each.name}`" in page
        for kind in (Arm, Contrast)
        for each in fields(kind)
        if each.name not in ("location", "note", "confounded")
    )


SOURCES = [path.read_text(encoding="utf-8") for path in sorted(SHIPPED.glob("*.toml"))]


@settings(deadline=None)
@given(
    text=st.sampled_from(SOURCES),
    at=st.floats(0, 1, exclude_max=True),
    change=st.sampled_from(["cut", "drop", "double", "garble", "swap"]),
    garbage=st.sampled_from(
        ['= "x"', "[[arm]]", "[arm]", '"', "x = nan", 'name = ["a"]', "amount = 0", "[[contrast]]", "\x00"]
    ),
)
def test_a_file_damaged_anywhere_is_a_study_or_a_sentence_with_a_line(
    text: str, at: float, change: str, garbage: str
) -> None:
    lines = text.splitlines()
    i = int(at * len(lines))
    if change == "cut":
        lines = lines[:i]
    elif change == "drop":
        del lines[i]
    elif change == "double":
        lines.insert(i, lines[i])
    elif change == "garble":
        lines.insert(i, garbage)
    else:
        lines[i], lines[-1] = lines[-1], lines[i]
    try:
        parse("\n".join(lines), "damaged", "damaged.toml")
    except UsageProblem as problem:
        said = re.match(r"damaged\.toml line (\d+)", str(problem))
        assert said and 1 <= int(said[1]) <= max(1, len(lines)), problem

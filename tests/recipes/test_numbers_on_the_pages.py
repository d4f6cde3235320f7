"""Every number of the README's section, of the report and of the page on the paper is claimed by data, or the test fails.

A page is read as tables and prose. A row of a table is claimed where it equals the row written here from the data; a number in
prose where its sentence, written here from the data, stands on the page. What nothing claims is listed with its line.
"""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from effrob.studies.finding import Finding, run
from effrob.studies.reader import find, path_of, shipped
from model_zoo.published import DATA
from model_zoo.sources.from_pocket import cards
from recipes import labelled
from recipes.drawn.pool import STYLED
from recipes.drawn.styles import OWN
from recipes.five_causes.full_scale.plan import EPOCHS, lines
from recipes.five_causes.grid import POCKET, Read
from recipes.five_causes.tower import CHANNELS, SIDE
from shifts.captions.imagenet_captions import OFFICIAL
from shifts.classes import pocket
from shifts.synthetic.draw import WEB_IMAGES, WEB_STYLES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "five-causes"
NUMBER = re.compile(
    r"(?<![\w./@-])[+\-−±]?\d+(?:,\d{3})*(?:\.\d+)?(?!\w)"
)  # no part of a name: RN50, ViT-B/32, YFCC-15M
WORD = re.compile(
    r"(?<![\w/-])(three|four|five|six|seven|eight|nine|ten|twenty|thirty|eighty|hundreds|thousands"
    r"|(?:a|two) (?:tenth|fifth|sixth|quarter)s?)(?![\w-])",
    re.IGNORECASE,
)
NO_TEXT = re.compile(r"`[^`\n]*`|\]\([^)\s]*\)|<!--.*?-->")  # code, addresses, marks


class Page:
    """A page's text, and which of its characters are claimed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.claimed = bytearray(len(text))

    def says(self, sentence: str, *values: Any) -> None:
        """A sentence with {} for the values stands on the page, however its lines are broken; its numbers are claimed."""
        wanted = sentence.format(*values)
        pattern = r"\s+".join(map(re.escape, wanted.split()))
        found = list(re.finditer(pattern, self.text))
        assert found, f"the page does not say {wanted!r}"
        for each in found:
            self.claimed[each.start() : each.end()] = b"\1" * (each.end() - each.start())

    def tables(self) -> Iterator[tuple[list[str], list[list[str]]]]:
        """Head and rows of each table, which is claimed: whoever takes it must compare every row."""
        for block in re.finditer(r"(?:^\|.*\n)+", self.text, re.MULTILINE):
            self.claimed[block.start() : block.end()] = b"\1" * (block.end() - block.start())
            head, _, *rows = [
                [c.strip() for c in line.strip("|").split(" | ")] for line in block[0].replace("\\|", "¦").splitlines()
            ]
            yield head, rows

    def unclaimed(self) -> list[str]:
        hidden = NO_TEXT.sub(lambda part: " " * len(part[0]), self.text)
        left = [
            each
            for kind in (NUMBER, WORD)
            for each in kind.finditer(hidden)
            if not all(self.claimed[each.start() : each.end()])
        ]
        return [f"{each[0]!r} in …{self.text[max(0, each.start() - 50) : each.end() + 30]!r}…" for each in left]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "report.json").read_text(encoding="utf-8"))
    return found


def two(value: float) -> str:
    return f"{value:+.2f}"


def ends(pair: list[float]) -> str:
    return f"[{two(pair[0])}, {two(pair[1])}]"


def size(entry: Any) -> str:
    return f"{two(entry['value'])} {ends(entry['ci95'])}"


def points(entry: Any) -> str:
    value, low, high = (f"{100 * each:+.1f}" for each in (entry["value_points"], *entry["ci95_points"]))
    return f"{value} [{low}, {high}]"


def p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdict(entry: Any) -> str:
    if entry["verdict"] != "moves it":
        return str(entry["verdict"])
    return "lifts it" if entry["value"] > 0 else "lowers it"


def setting(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.0%}" if isinstance(value, float) else str(value)


def percent(values: list[float]) -> str:
    return f"{100 * sum(values) / len(values):.1f}"


def numbers(text: str) -> list[str]:
    return NUMBER.findall(NO_TEXT.sub("", text))


def notes(report: Any, cause: Any) -> str:
    """A headline's note, from its contrasts and the arms' accuracies."""
    arms = {(a["arm"], a["head"], a["prompts"]): a for a in report["arms"]}
    own = [c for c in report["contrasts"] if c["question"] == cause["question"]]
    said = []
    for c in own if cause["verdict"] == "moves it" else []:
        if c["verdict"] == "cannot tell":
            corrected = c["p_value"] < 0.05 <= c["p_adjusted"] and not c["differs"]
            said.append(
                f"{c['contrast']} is {size(c)} alone, cannot tell" + " once corrected for several questions" * corrected
            )
    chance, seen = 1 / len(pocket().names), set()
    for c in own:
        for side, name in zip(("high", "low"), c["contrast"].split(" minus "), strict=True):
            key = tuple(c[side].values())
            for shift in report["baseline"]["lines"] if key not in seen else ():
                accuracy = arms[key]["shifts"][shift]["accuracy"]
                if sum(accuracy) / len(accuracy) < 2 * chance:
                    said.append(
                        f"{name} has {percent(accuracy)}% on {shift}, near chance ({chance:.0%}), where logits bend"
                    )
            seen.add(key)
    return "; ".join(said)


def names_are_of_their_arms(report: Any) -> None:
    """The numbers in a contrast's name are values of its two sides."""
    arms = {(a["arm"], a["head"], a["prompts"]): a["configuration"] for a in report["arms"]}
    for c in report["contrasts"]:
        sides = [arms[tuple(c[side].values())] for side in ("high", "low")]
        known = {each for side in sides for value in side.values() for each in numbers(setting(value))}
        assert set(numbers(c["contrast"])) <= known, c["contrast"]
        if "a quarter" in c["contrast"]:
            assert sides[0]["steps"] == 4 * sides[1]["steps"]
        if "eighty" in c["contrast"]:
            assert "eighty prompts" in {side["head"] for side in sides}
        if "twice" in c["contrast"]:
            assert 2 * POCKET.settings.batch in {side["image_passes_per_step"] for side in sides}


def test_the_report(report: dict[str, Any]) -> None:
    page, shifts = Page((FOLDER / "report.md").read_text(encoding="utf-8")), list(report["baseline"]["lines"])
    names_are_of_their_arms(report)
    arms, contrasts, causes = report["arms"], {c["contrast"]: c for c in report["contrasts"]}, report["causes"]
    plain = [a for a in arms if {**a["configuration"], "overlap": 0.0} == arms[0]["configuration"]]
    doses = {f"{a['configuration']['overlap']:.0%}": a for a in plain}
    of_arm = {a["name"]: a for a in arms}
    seen: list[str] = []
    for head, rows in page.tables():
        seen.append(head[0] if head[:2] != ["contrast", "factor"] else "contrast and factor")
        for number, row in enumerate(rows):
            if head[0] == "cause" and "verdict" in head:
                c = causes[number]
                spread = "{}, from {} to {}".format(c["parts"], *map(two, c["spread"])) if c["parts"] > 1 else "1"
                judged = f"**{verdict(c)}**" + (f" ({c['why']})" if c["why"] else "")
                wanted = [c["question"], size(c), spread, p(c["p_adjusted"]), judged, f"{c['at_most']:.2f}", points(c)]
                assert row[1:] == wanted
            elif head[0] == "cause":
                told = (
                    size(causes[number])
                    if causes[number]["verdict"] == "cannot tell"
                    else notes(report, causes[number])
                )
                assert numbers(row[2]) == numbers(told) and not numbers(row[1])
            elif head[:2] == ["contrast", "factor"]:
                c = contrasts[row[0]]
                high, low = map(setting, c["factor_values"])
                judged = verdict(c) + (f" ({c['why']})" if c["why"] else "")
                factor = f"{c['factor'].replace('_', ' ')}: {high} against {low}"
                assert row[1:] == [factor, size(c), ends(c["seeds_ci95"]), p(c["p_adjusted"]), judged, points(c)]
            elif head[0] == "contrast":
                assert row[1:] == [size(contrasts[row[0]]["by_shift"][shift]) for shift in shifts]
            elif head[0] == "overlap":
                cells = doses[row[0]]["shifts"]
                wanted = [percent(cells["pocket-v2"]["clean"]), *(two(cells[s]["value"]) for s in shifts)]
                assert row[1:] == [*wanted, size(cells["mean-of-four"])]
            elif head[0] == "shift":
                line = report["baseline"]["lines"][row[0]]
                wanted = [
                    str(line["n"]),
                    f"{line['slope']:.2f} {ends(line['slope_ci95_by_family'])}",
                    two(line["intercept"]),
                ]
                wanted += [
                    f"{line['r2']:.2f}",
                    f"{line['residual_std']:.2f}",
                    f"{line['x_min']:.2f} – {line['x_max']:.2f}",
                ]
                assert row[1:] == wanted
            elif head[1] == "clean":
                cells = of_arm[row[0]]["shifts"]
                wanted = [percent(cells["pocket-v2"]["clean"]), *(percent(cells[s]["accuracy"]) for s in shifts)]
                assert row[1:] == [*wanted, size(cells["mean-of-four"])]
            elif head[1] == "pictures of":
                arm = of_arm[row[0]]
                assert arm["configuration"] == POCKET.configuration(Read(arm["arm"], arm["head"], arm["prompts"]))
                assert row[1:] == [setting(value) for value in arm["configuration"].values()]
            else:
                assert head == ["arm", f"training, {POCKET.seeds} seeds"]
                assert row[1] == f"{report['processor_seconds'][row[0].strip('`')]:.0f} s"
    questions = len({c["question"] for c in contrasts.values()})
    last = ["overlap", "contrast", "shift", "arm (read-out)", "arm (read-out)", "arm"]
    assert seen == ["cause", "cause", *["contrast and factor"] * questions, *last]
    for cause in causes:
        if notes(report, cause):
            page.says("{}.", notes(report, cause))
    prose_of_the_report(page, report, doses)
    assert page.unclaimed() == []


def prose_of_the_report(page: Page, report: Any, doses: dict[str, Any]) -> None:
    words = {5: "five", 8: "eight", 20: "twenty", 3: "three"}
    grid, line, reference = POCKET, report["baseline"]["lines"]["pocket-v2"], report["reference"]
    year = paper()["year"]
    page.says("Fang et al. {} ask which of {} things", year, words[len(report["causes"])])
    page.says("# The {} causes", words[len(report["causes"])])
    page.says("Every arm is trained here, {} seeds each", grid.seeds)
    assert round((1 - STYLED) * 5) == 2
    page.says("freer photographs (two fifths)")
    page.says("in {} styles of its own", words[len(OWN)])
    page.says("any of these {}", words[len(OWN)])
    page.says("over {} seeds, which draw", grid.seeds)
    page.says("its {} families of classifiers", line["families"])
    assert {len(set(each["points"]["family"])) for each in report["baseline"]["lines"].values()} == {line["families"]}
    assert report["margin"] == pytest.approx(0.1 * abs(reference["value"])) and report["alpha"] == 0.05
    page.says(
        "the 90 % interval lies within ±{:.2f} logits, a tenth of what", report["margin"]
    )  # two one-sided tests at 5 %
    page.says("on the same line ({})", two(reference["value"]))
    page.says(
        "p under {} after Holm's correction, over the {} headlines", report["alpha"], words[len(report["causes"])]
    )
    heads = {c["question"] for c in report["causes"] if c["parts"] == 1}
    page.says(
        "over the {} contrasts that are no headline", sum(c["question"] not in heads for c in report["contrasts"])
    )
    page.says("by their own 95 % interval")
    page.says("with CLIP's eighty prompts")
    assert {c["points_at"] for c in report["contrasts"]} == {0.75}
    page.says("a model of 75% clean accuracy")
    name, mean = reference["model"], "mean-of-four"
    styles = {style: f"{share:.0%}" for style, share in WEB_STYLES.items()}
    web, shared = two(doses["0%"]["shifts"][mean]["value"]), two(doses["100%"]["shifts"][mean]["value"])
    assert (reference["styles"], reference["pictures"], report["styled_share"]) == (WEB_STYLES, WEB_IMAGES, STYLED)
    page.says("`{}` stands at {} where the arm clip-web stands at {}.", name, two(reference["value"]), web)
    page.says("{:.0%} of the {:,} pictures that `{}`", 1 - WEB_STYLES["photo"], WEB_IMAGES, name)
    page.says("renditions ({}), sketches ({}) or odd poses ({})", styles["rendition"], styles["sketch"], styles["odd"])
    page.says("{:.0%} of its web, clip-web stands at {}:", STYLED, shared)
    page.says("its network, at {} pixels", cards()["clip"]["side"])
    assert cards()["clip"]["images"] == WEB_IMAGES
    page.says("`pocket-wide`: {} classifiers of narrow pictures in {} families", line["n"], line["families"])
    steps = {c["question"]: c for c in report["contrasts"]}
    for question, of, times in (("eight times the pictures", "pictures", 8), ("four times the steps", "steps", 4)):
        entry = next(c for text, c in steps.items() if text.startswith(question))
        high, low = entry["factor_values"]
        assert entry["factor"] == of and high == times * low
        page.says(question)
    page.says("eighty prompts instead of the bare class name")
    made = grid.settings
    page.says("({} convolutions, {} pixels)", words[len(CHANNELS)], SIDE)
    page.says("AdamW (rate {}, decay {}, cosine with {} steps of warm-up)", made.rate, made.decay, made.warmup)
    page.says("over batches of {}, crops of at least {:.0%} of a picture", made.batch, made.crop)
    spent = report["processor_seconds"]
    page.says("In all {:.0f} minutes of one processor core", spent["all"] / 60)
    page.says(
        "{:.0f} s for the line's classifiers and {:.0f} s for every evaluation", spent["line"], spent["evaluation"]
    )
    page.says("## What {} drawn classes", words[len(pocket().names)])
    page.says("at {} pixels, sets hold thousands of pictures where CLIP's held hundreds of millions", SIDE)
    assert 1000 < max(arm.pictures for arm in grid.arms) < 10_000 and int(paper()["largest set of the trend"]) >= 200
    sizes = [arm.pictures for arm in grid.arms]
    assert max(sizes) == 2**3 * min(sizes)
    page.says("Size spans three doublings")
    page.says("{} classes in a batch of {}", words[len(pocket().names)].capitalize(), made.batch)
    page.says("among thousands of classes")
    page.says("below an accuracy of a tenth, near chance")
    assert 2 / len(pocket().names) == 0.1
    page.says("in {} steps a small tower", max(arm.steps for arm in grid.arms))
    page.says("on the mean of the four")


def paper() -> dict[str, str]:
    """The published figures, each with its source."""
    with (FOLDER / "paper.csv").open(newline="", encoding="utf-8") as opened:
        found = list(csv.DictReader(opened))
    assert all(row["source"] for row in found)
    return {row["name"]: row["value"] for row in found}


def test_the_page_on_the_paper() -> None:
    page, told = Page((FOLDER / "paper.md").read_text(encoding="utf-8")), paper()
    page.says("ICML {}, PMLR {}:{}–{}", told["year"], told["volume"], told["first page"], told["last page"])
    page.says("[arXiv {}]", told["arXiv"])
    page.says("claim: the training distribution is the main cause, the other four add")
    page.says("Figure {}: mean accuracy", told["figure of the means"])
    clip = "YFCC-15M RN50"
    with (DATA / "published" / "openclip.csv").open(newline="", encoding="utf-8") as opened:
        row = next(r for r in csv.DictReader(opened) if (r["name"], r["pretrained"]) == ("RN50-quickgelu", "yfcc15m"))
    for name, column in ((f"{clip} ImageNet", "ImageNet 1k"), (f"{clip} ImageNetV2", "ImageNet v2")):
        assert float(told[name]) == pytest.approx(100 * float(row[column]), abs=0.06)  # one figure, twice published
    page.says("ImageNet {} %, V2 {} %", told[f"{clip} ImageNet"], told[f"{clip} ImageNetV2"])
    page.says(
        "from {} million pairs to {} million", told["largest set of the trend"], told["smallest set of the trend"]
    )
    assert int(told["ImageNet-Captions"]) == OFFICIAL
    page.says("ImageNet-Captions: {:,} images of ImageNet's training set", OFFICIAL)
    page.says("reaches {} % on ObjectNet", told["ImageNet-Captions RN50 ObjectNet"])
    page.says("ImageNet {} % |", told["SimCLR on YFCC-15M fine-tuned ImageNet"])
    page.says("the eighty prompts")
    argv = [line.argv for line in lines(gpus=1)]
    clips = [a for a in argv if "open_clip_train.main" in a]
    labels = next(a for a in argv if "recipes.labelled" in a and "--tower" not in a and "--init" not in a)
    assert (
        {a[a.index("--batch-size") + 1] for a in clips} == {"1024"}
        and "--epochs" not in labels
        and "--batch" not in labels
    )
    defaults = {option.name: option.default for option in labelled.main.params}
    page.says(
        "{} epochs in batches of 1024; classifiers {} epochs in batches of {}",
        EPOCHS,
        defaults["epochs"],
        defaults["batch"],
    )
    page.says("Chen et al. {}'s settings", told["SimCLR year"])
    page.says("its last three commands are")
    for last in argv[-3:]:
        page.says("{}", " ".join(last).replace(f"{ROOT}/", ""))
    assert page.unclaimed() == []


@pytest.fixture(scope="module")
def found() -> dict[str, Finding]:
    return {name: run(find(name)) for name in shipped()}


def published(finding: Finding) -> list[str]:
    """The numbers of a cause's published column: effect, interval, the same on the wider line, what differs, and counts."""
    told = finding.as_json()
    head = [
        a
        for f in told["findings"]
        for a in f["answers"]
        if a["contrast"] == told["headline"] and a["shift"] != "mean-of-four"
    ]
    known = [a for a in head if a["value"] is not None]

    def mean(of: list[dict[str, Any]]) -> list[str]:
        return [two(sum(values) / len(of)) for values in zip(*([a["value"], *a["ci95"]] for a in of), strict=True)]

    made = mean(known)
    if any(a["wide"] for a in known):
        made += mean([a["wide"] or a for a in known])
    study = tomllib.loads(path_of(told["study"]).read_text(encoding="utf-8"))
    single = [c for c in study["contrast"] if c["kind"] != "mean"]
    made += numbers(told["why"] or "")
    return [*made, str(sum("confounded" not in c for c in single)), str(len(single))]


def test_the_readmes_section(report: dict[str, Any], found: dict[str, Finding]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    start = text.index("## Why is CLIP robust?")
    page = Page(text[start : text.index("\n## ", start + 5)])
    causes = {c["cause"]: c for c in report["causes"]}
    ((head, rows),) = page.tables()
    assert len(rows) == len(head) + 1 == 5
    for row, (name, finding) in zip(rows, found.items(), strict=True):
        cause = causes[name]
        assert row[0] == f"{finding.study.cause}. {finding.study.title}" and row[1] == finding.study.paper
        assert numbers(row[2]) == published(finding)
        outside = [a for a in finding.of(str(finding.study.headline)) if a.extrapolated]
        assert ("beyond the line's range" in row[2]) == any(a.wide is None for a in outside)
        assert ("on the wider line" in row[2]) == any(a.wide is not None for a in outside)
        why = f", {cause['why']}" if cause["why"] else ""
        note = f"; {notes(report, cause)}" if notes(report, cause) else ""
        assert row[3] == f"{size(cause)}: {verdict(cause)}{why}; {cause['seeds']} seeds{note}"
    size_study = tomllib.loads(path_of("size").read_text(encoding="utf-8"))
    images = next(a["amount"] for a in size_study["arm"] if a["name"] == "all of ImageNet")
    assert f"{images / 1e6:.2f} million" in rows[3][2]
    pairs = re.search(r"hold ([\d.]+)M and ([\d.]+)M pairs", " ".join(found["distribution"].study.not_constant))
    assert pairs is not None and "a sixth fewer pairs" in rows[1][2]
    assert round(1 / (1 - float(pairs[2]) / float(pairs[1]))) == 6
    page.says("Fang et al. asked which of five things lifts CLIP")
    page.says("Fang et al. ({}) found", paper()["year"])
    page.says("that the other four add little or nothing")
    page.says("over twenty drawn classes")
    assert len(pocket().names) == 20
    page.says("with their 95 % interval")
    page.says("within a tenth of the effect of OpenAI's ViT-B/32")
    page.says("within a tenth of the effect of `pocket:clip`")
    assert {finding.study.margin_share for finding in found.values()} == {0.1} == {report["reference"]["margin_share"]}
    assert len(report["baseline"]["lines"]) == 4
    page.says("the mean over its four shifts")
    assert page.unclaimed() == []


def test_a_number_that_nothing_claims_is_listed() -> None:
    page = Page("It is +0.52 on 3 of RN50's four shifts, in 12\nrows, `code 7`.\n\n| a |\n| --- |\n| 5 |\n")
    assert [each.split("'")[1] for each in page.unclaimed()] == ["+0.52", "3", "12", "5", "four"]
    page.says("in {} rows", 12)
    assert len(list(page.tables())) == 1
    assert [each.split("'")[1] for each in page.unclaimed()] == ["+0.52", "3", "four"]
    with pytest.raises(AssertionError, match="does not say"):
        page.says("in {} rows", 13)

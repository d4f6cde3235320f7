"""The summary: what can be ranked is ranked as far as intervals allow, a training run stands beside it, the README holds it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.robustness.fit import fit
from effrob.studies.answer import Answer
from effrob.studies.estimate import ContrastEffect, Effect
from effrob.studies.finding import Finding
from effrob.studies.reader import shipped
from effrob.studies.reported import read_report
from effrob.studies.study import MEAN, Contrast, Study
from effrob.studies.summary import BEGIN, END, as_json, markdown, put_into, summarise

ROOT = Path(__file__).resolve().parents[2]
TRAINED = ROOT / "docs" / "five-causes" / "report.json"
ENTRY: dict[str, Any] = {
    "cause": "training-language",
    "effect": 0.012,
    "ci95": [-0.004, 0.028],
    "seeds": 5,
    "verdict": "cannot tell",
    "contrast": "captions instead of labels",
    "scale_of_effect": "logit",
}


def made(value: float, half: float, confounded: str | None = None, wide: tuple[float, float] | None = None) -> Finding:
    """A study whose headline contrast is value ± half, in logits, on one shift."""
    contrast = Contrast("c", "pair", ("a", "b"), confounded=confounded)
    study = Study("s", "?", "f", "d", "c", headline="c", contrasts=(contrast,))

    def answer(value: float, half: float, beside: Answer | None) -> Answer:
        size = Effect(value, half / 1.959964, 0.0, 1, 0.0, 1)
        line = fit("imagenet-v2", "testbed", "full")
        return Answer(contrast, "imagenet-v2", line, ContrastEffect(size, (), ()), 0.02, 0.25, beside)

    beside = None if wide is None else answer(*wide, None)
    return Finding(study, (answer(value, half, beside),), {}, ())


def ranks(*found: Finding) -> list[tuple[int | None, int | None]]:
    return [(each.best, each.worst) for each in summarise(found)]


def test_ranks_are_by_size_whatever_the_sign_and_as_wide_as_the_intervals() -> None:
    assert ranks(made(0.1, 0.01), made(-0.2, 0.01), made(0.01, 0.005)) == [(2, 2), (1, 1), (3, 3)]
    assert ranks(made(0.1, 0.05), made(-0.12, 0.01), made(0.01, 0.005)) == [(1, 2), (1, 2), (3, 3)]
    assert ranks(made(0.01, 0.05), made(0.02, 0.005)) == [(1, 2), (1, 2)]  # an interval over zero reaches down to none
    assert ranks(made(0.1, 0.01, wide=(0.2, 0.01)), made(0.15, 0.01)) == [(1, 2), (1, 2)]  # both lines count


def test_what_is_confounded_or_was_not_measured_has_no_rank_and_says_why() -> None:
    lone = made(0.1, 0.01)
    shift = replace(lone, answers=(replace(lone.answers[0], made=ContrastEffect(None, (), ("a",))),))
    nothing = replace(lone, study=replace(lone.study, headline=None, contrasts=()), answers=())
    found = summarise([lone, made(0.3, 0.01, "all else changed too"), shift, nothing])
    assert [(each.best, each.of) for each in found] == [(1, 1), (None, 0), (None, 0), (None, 0)]
    assert [each.why_not for each in found] == [
        None,
        "also differs: all else changed too",
        "not measured on one shift by all arms",
        "no published arm",
    ]


def test_the_five_causes_ranked(findings: dict[str, Finding]) -> None:
    rows = {row["study"]: row for row in as_json(summarise(findings.values()))}
    assert {name: row["rank"] for name, row in rows.items()} == {
        "size": [1, 1],
        "distribution": None,
        "training-language": None,
        "test-language": None,
        "contrastive-loss": None,
    }
    effect = rows["distribution"]["effect"]
    sizes = [a.size for a in findings["distribution"].of("CC12M instead of YFCC-15M, ResNet-50") if a.shift != MEAN]
    assert effect["unit"] == "logit" and len(sizes) == 4
    assert effect["value"] == pytest.approx(sum(size or 0 for size in sizes) / 4)
    assert 0.4 < effect["share_of_reference"] < 0.6
    for name in ("distribution", "training-language", "test-language", "contrastive-loss"):
        assert rows[name]["why_not_ranked"].startswith("also differs: ")


def report_of(path: Path, *entries: Any) -> Path:
    path.write_text(json.dumps({"scale": "pocket", "causes": list(entries)}), encoding="utf-8")
    return path


def summary(*words: str) -> Result:
    return CliRunner().invoke(main, ["study", "summary", *words])


def test_a_runs_report_stands_beside_the_published_verdicts(tmp_path: Path) -> None:
    logit = {**ENTRY, "cause": "distribution", "effect": 0.51, "ci95": [0.4, 0.62], "scale_of_effect": "logit"}
    logit = {**logit, "extrapolated": True, "why": "an arm lies outside", "further": "keys are left alone"}
    path = report_of(tmp_path / "report.json", ENTRY, logit, {**ENTRY, "contrast": "another"})
    lines = summary("--trained", str(path)).stdout.splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len({row.count("|") for row in rows}) == 1 and rows[0].endswith("| pocket run, logits |")
    assert "| +0.01 [-0.00, +0.03]: cannot tell; 5 seeds; +0.01" in rows[4]
    assert rows[3].endswith("| +0.51 [+0.40, +0.62]: cannot tell, an arm lies outside; 5 seeds |")
    assert rows[2].endswith("| not in the report |")
    assert "The pocket run changes one factor at a time over twenty drawn classes" in " ".join(lines)
    row = json.loads(summary("--trained", str(path), "--json").stdout)[2]
    assert [one["ci95"] for one in row["reported"]] == [[-0.004, 0.028]] * 2
    plain = summary("size").stdout
    assert "pocket run" not in plain and plain.count("\n| ") == 2


def test_a_runs_verdicts_are_told_with_their_direction_and_each_in_its_group(tmp_path: Path) -> None:
    def entry(cause: str, effect: float, verdict: str, **more: str) -> dict[str, Any]:
        return {
            **ENTRY,
            "cause": cause,
            "effect": effect,
            "ci95": [effect - 0.1, effect + 0.1],
            "verdict": verdict,
            **more,
        }

    entries = (entry("size", -0.5, "moves it"), entry("distribution", 0.5, "moves it", note="one is +0.01 alone"),
               entry("training-language", 0.0, "equivalent"), entry("test-language", 0.0, "cannot tell"),
               entry("contrastive-loss", 0.0, "cannot tell"))  # fmt: skip
    out = summary("--trained", str(report_of(tmp_path / "report.json", *entries))).stdout
    assert "| -0.50 [-0.60, -0.40]: lowers it; 5 seeds |" in out
    assert "| +0.50 [+0.40, +0.60]: lifts it; 5 seeds; one is +0.01 alone |" in out
    assert (
        "In the run, training distribution (ii) lifts it; training-set size (i) lowers it; language supervision at training "
        "time (iii) is equivalent; language supervision at test time (iv) and contrastive loss (v) cannot be told."
    ) in " ".join(out.split())
    assert "within a tenth of the effect of `pocket:clip`" in " ".join(out.split())
    assert "pocket:clip" not in summary().stdout


def test_the_published_column_says_the_direction_and_counts_single_contrasts(
    findings: dict[str, Finding], as_if_alone: Finding
) -> None:
    said = " ".join(markdown(summarise([as_if_alone])).split())
    assert ": **lifts it**; 1 of 10 contrasts" in said and "moves it" not in said
    assert (
        "by one pair (CC12M instead of YFCC-15M, ResNet-50), which changes the source of images and captions together"
        in said
    )
    said = " ".join(markdown(summarise(findings.values())).split())
    assert (
        "Models lie apart where training distribution (ii) and language supervision at test time (iv) differ, and what else "
        "differs may be why." in said
    )
    assert "Models lie apart" not in markdown(summarise([findings["size"]]))
    rows = {row["study"]: row for row in as_json(summarise(findings.values()))}
    for name, found in findings.items():
        single = [one for one in found.study.contrasts if one.kind != "mean"]
        alone = sum(one.confounded is None for one in single)
        assert (rows[name]["contrasts"], rows[name]["unconfounded_contrasts"]) == (len(single), alone)
        assert f"{alone} of {len(single)} contrasts differ in the factor alone" in said, name


WRONG: dict[str, tuple[Any, str]] = {
    "no object": ("x", "entry 2 is not an object"),
    "a key missing": ({k: v for k, v in ENTRY.items() if k != "seeds"}, "entry 2 lacks 'seeds'"),
    "a number as text": ({**ENTRY, "effect": "large"}, "entry 2: effect must be a finite number"),
    "no interval": ({**ENTRY, "ci95": [0.1]}, "entry 2: ci95 must be"),
    "an interval of text": ({**ENTRY, "ci95": ["a", "b"]}, "entry 2: ci95 must be"),
    "a contrast that is no text": ({**ENTRY, "contrast": 3}, "entry 2: contrast must be one line of text"),
    "a contrast that breaks the table": ({**ENTRY, "contrast": "a\nb"}, "entry 2: contrast must be one line of text"),
    "an endless number": ({**ENTRY, "effect": 10**400}, "entry 2: effect must be a finite number"),
    "a number that is none": ({**ENTRY, "effect": float("nan")}, "entry 2: effect must be a finite number"),
    "an interval turned round": ({**ENTRY, "ci95": [0.2, 0.1]}, "the lower first"),
    "a note of two lines": ({**ENTRY, "note": "a\nb"}, "entry 2: note must be one line of text or null"),
    "half a seed": ({**ENTRY, "seeds": 4.5}, "entry 2: seeds must be a whole number"),
    "one seed": ({**ENTRY, "seeds": 1}, "entry 2: seeds must be a whole number"),
    "a word for true or false": ({**ENTRY, "extrapolated": "no"}, "entry 2: extrapolated must be true or false"),
    "a cause that is a list": ({**ENTRY, "cause": ["size"]}, "entry 2: cause is size"),
    "an unknown cause": ({**ENTRY, "cause": "sise"}, "did you mean size"),
    "an unknown verdict": ({**ENTRY, "verdict": "moves"}, "did you mean moves it"),
    "an unknown scale": ({**ENTRY, "scale_of_effect": "percent"}, "scale_of_effect is logit"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_malformed_report_is_said_with_the_number_of_its_entry(wrong: str, tmp_path: Path) -> None:
    entry, words = WRONG[wrong]
    done = summary("--trained", str(report_of(tmp_path / "report.json", ENTRY, entry)))
    assert (done.exit_code, done.stdout) == (2, "") and words in done.stderr, done.stderr
    assert "report.json" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_report_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(UsageProblem, match="cannot be read"):
        read_report(path)
    for text, words in (
        ("{", "is not JSON"),
        ("[]", "has no list `causes`"),
        ('{"causes": 3}', "has no list `causes`"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 5000, "is not JSON"),
    ):
        path.write_text(text)
        with pytest.raises(UsageProblem, match=words):
            read_report(path)


def test_the_page_on_studies_gives_a_report_that_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "report.json"
    path.write_text(text)
    assert list(read_report(path)) == ["size"]


def test_the_page_on_studies_states_what_the_studies_find(findings: dict[str, Finding]) -> None:
    page = " ".join((ROOT / "docs" / "studies.md").read_text(encoding="utf-8").split())
    sizes = {a.shift: a.size for a in findings["distribution"].of("CC12M instead of YFCC-15M, ResNet-50")}
    r, sketch, objectnet = (f"{sizes[s] or 0:.2f}" for s in ("imagenet-r", "imagenet-sketch", "objectnet"))
    assert f"goes with {r} logits on ImageNet-R and {sketch} on Sketch, {objectnet} on ObjectNet" in page
    size = findings["size"].overall(findings["size"].study.contrast(findings["size"].study.headline or ""))
    assert size is not None and f"differs by {size.value:+.2f} logits" in page


def test_the_table_goes_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"above\n\n{BEGIN}\nold\n{END}\n\nbelow\n")
    assert summary("size", "--into", str(path)).exit_code == 0
    text = path.read_text()
    assert (
        text.startswith(f"above\n\n{BEGIN}\n\n| cause |")
        and text.endswith(f"\n\n{END}\n\nbelow\n")
        and "old" not in text
    )
    put_into(path, summary("size").stdout)
    assert path.read_text() == text
    path.write_text("no marks")
    with pytest.raises(UsageProblem, match="no place for the table"):
        put_into(path, "x")
    assert path.read_text() == "no marks"
    path.write_bytes(f"a\r\n{BEGIN}\r\n{END}\r\nb\r\n".encode())
    put_into(path, "x")
    assert path.read_bytes() == f"a\r\n{BEGIN}\n\nx\n{END}\r\nb\r\n".encode()
    path.write_bytes(b"\xff")
    with pytest.raises(UsageProblem, match="it is not UTF-8"):
        put_into(path, "x")


def test_the_readme_holds_the_table_the_command_makes_today(findings: dict[str, Finding]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    inside = text.partition(BEGIN)[2].partition(END)[0].strip()
    command = f"effrob study summary --trained {TRAINED.relative_to(ROOT)}"
    made = markdown(summarise(findings.values()), read_report(TRAINED)).strip()
    assert inside == made, f"mend it with: {command} --into README.md"
    assert f"    {command}   # the table below\n" in text
    assert list(findings) == list(shipped())

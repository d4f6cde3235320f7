"""Explanations: the order of settings, the single change, what the tables tell of a published model."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.explain.setting import ProtocolSetting, ScoredSetting, expected, explain
from effrob.explain.tables import explain_published


def scored(accuracy: float, **changed: str) -> ScoredSetting:
    base = {"names": "openai", "templates": "openai", "answer": "masked", "pixels": "own"}
    words = {"protocol": None, "collapse": None, "axis": None, **base, **changed}
    return ScoredSetting(ProtocolSetting(**words), accuracy, 1000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "unit", "accuracy", "half"),
    [
        ("44.3", "auto", 0.443, 0.0005),
        ("0.443", "auto", 0.443, 0.0005),
        ("44", "percent", 0.44, 0.005),
        ("1", "percent", 0.01, 0.005),
    ],
)
def test_an_expected_accuracy_carries_its_rounding(text: str, unit: str, accuracy: float, half: float) -> None:
    found = expected(text, unit)
    assert [found.accuracy, found.half_unit] == pytest.approx([accuracy, half])
    assert found.tolerance > found.half_unit


@pytest.mark.parametrize("text", ["forty", "140", "-3", "nan"])
def test_what_is_no_accuracy_is_a_sentence(text: str) -> None:
    with pytest.raises(UsageProblem, match="--expect"):
        expected(text, "auto")


def test_within_rounding_the_fewest_changes_come_first_and_beyond_it_the_nearest() -> None:
    base = scored(0.40)
    two = scored(0.443, templates="simple", names="wordnet")
    one = scored(0.4431, templates="name-only")
    near, far = scored(0.4445, answer="1000-way"), scored(0.47, pixels="squash")
    found = explain("m", "s", expected("44.3", "auto"), [far, near, two, one, base], base)
    assert found.outcomes == (one, two, near, far, base)
    assert [found.agrees(each) for each in found.outcomes] == [True, True, True, False, False]
    assert found.single_change == one
    change = found.as_json()["single_change"]
    assert (change["key"], change["from"], change["to"]) == ("templates", "openai", "name-only")
    assert change["closes"] == pytest.approx(1 - 0.0001 / 0.043)


def test_no_change_is_named_where_none_closes_anything() -> None:
    base = scored(0.40)
    assert (
        explain("m", "s", expected("40.0", "auto"), [base, scored(0.41, answer="1000-way")], base).single_change is None
    )


@pytest.mark.parametrize(
    ("expect", "source"), [("43.96", "testbed"), ("44.17", "clip_benchmark"), ("44.31", "openclip")]
)
def test_the_three_published_accuracies_of_clip_b32_are_told_apart(expect: str, source: str) -> None:
    found = explain_published("openclip:ViT-B-32@openai", "objectnet", expected(expect, "auto")).as_json()
    assert found["closest"]["source"].startswith(f"published:{source}") and found["closest"]["agrees"]
    rows = {row["source"].partition(" ")[0]: row for row in found["settings"]}
    testbed, benchmark, openclip = (rows[f"published:{name}"] for name in ("testbed", "clip_benchmark", "openclip"))
    assert (testbed["answer"], benchmark["answer"], openclip["answer"]) == ("masked", "own-names", "own-names")
    assert (testbed["n"], benchmark["n"]) == (18_514, 18_574)
    told = " ".join(text for row in found["settings"] for text in row["account"])
    if source != "testbed":
        assert "images: 18,514 here, 18,574 there" in told and "border 2 here, border 0 there" in told
    # Between the two tables of one protocol nothing stated differs, and that is what is said: 25 or 26 answers.
    if source == "openclip":
        assert "nothing that the tables state differs; 25 of 18,574 answers do" in told


def test_a_disputed_row_says_so() -> None:
    found = explain_published("openclip:ViT-B-16-SigLIP@webli", "objectnet", expected("70.7", "auto")).as_json()
    assert found["closest"]["accuracy"] == pytest.approx(0.707)
    (row,) = [row for row in found["settings"] if row["source"] == "published:openclip"]
    assert any("disputed" in text for text in row["account"])


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, ["explain", *words], catch_exceptions=False)


def test_a_published_model_is_explained_from_the_tables() -> None:
    done = _run("openclip:ViT-B-32@openai", "--shift", "objectnet", "--expect", "43.96", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["closest"]["protocol"] == "testbed" and found["default"] is None
    text = _run("BASIC", "--shift", "objectnet", "--expect", "82.3").stdout
    assert "PE 2504.13181" in text and "78.90" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("BASIC", "--shift", "objectnet", "--expect", "x"), "--expect wants an accuracy"),
        (("pocket:nothing", "--shift", "pocket-r", "--expect", "50"), "no pocket model"),
        (("BASIC", "--shift", "imagenet-q", "--expect", "50"), "imagenet-q"),
        (("pocket:lenet", "--shift", "pocket-r", "--expect", "50", "--head", "zero-shot"), "no text tower"),
        (("pocket:lenet", "--shift", "pocket-r", "--expect", "50", "--head", "knn"), "zero-shot and native"),
        (
            ("pocket:lenet", "--shift", "pocket-r", "--expect", "50"),
            "effrob eval --model pocket:lenet --shift pocket-r",
        ),
    ],
)
def test_bad_input_is_a_sentence(
    words: tuple[str, ...], said: str, pocket_data: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFROB_DATA", str(pocket_data))
    done = _run(*words)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr

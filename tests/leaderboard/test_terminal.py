"""The table `effrob eval` ends with: Holm's p over what one command asked, and what it says of a verdict read alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from effrob.leaderboard.terminal import HEADINGS, table
from effrob.results.verification import verified
from effrob.robustness.lines import LineOptions
from effrob.robustness.rows import Row, rows_of
from effrob.robustness.significance import adjust

from .conftest import SHIFTS, submit


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    for shift, accuracy in SHIFTS.items():
        submit(tmp_path, "my-model", shift, accuracy)
    return rows_of(verified([tmp_path]), LineOptions())


def _column(text: str, name: str) -> list[str]:
    heading, rule, *lines = text.split("\n\n")[0].splitlines()
    at = heading.index(name)
    widths = [len(part) for part in rule.split("  ")]
    assert sum(widths[: HEADINGS.index(name)]) + 2 * HEADINGS.index(name) == at
    return [line[at : at + widths[HEADINGS.index(name)]].strip() for line in lines]


def test_it_shows_holms_p_and_says_over_how_many(rows: list[Row]) -> None:
    text = table(rows, verbose=True)
    p = [None if row.shift == "imagenet-a" else row.robustness["p_value"] for row in rows]
    wanted = adjust(p, "holm")
    assert _column(text, "p (Holm)") == ["-" if q is None else "<1e-99" if q < 1e-99 else f"{q:.2g}" for q in wanted]
    assert "adjusted for the 4 rows asked about at once" in text  # the diagnostic set is no question
    asked = [row for row in rows if row.shift != "imagenet-a"]
    assert "adjusted for the one row asked about" in table(asked[:1], verbose=True)


def test_a_verdict_that_does_not_survive_so_many_questions_is_marked(rows: list[Row]) -> None:
    certain = [row for row in rows if row.verdict == "above" and row.robustness["p_adjusted"] < 0.01]
    assert certain and "!" not in table(certain, verbose=True)
    doubted = replace(certain[0], robustness={**certain[0].robustness, "p_value": 0.02, "p_adjusted": 0.08})
    text = table([*certain, doubted], verbose=True)
    assert [said.endswith("!") for said in _column(text, "verdict")] == [*(False for _ in certain), True]
    assert "not more than noise" in text


def test_a_row_without_a_line_asks_nothing(rows: list[Row]) -> None:
    bare = replace(rows[0], robustness={**dict.fromkeys(rows[0].robustness), "baseline": "testbed"}, why_not="no line")
    text = table([bare], verbose=True)
    assert _column(text, "p (Holm)") == ["-"]
    assert "Holm" not in text.split("\n\n", 1)[1]


def test_the_short_table_is_a_block_a_model_in_a_hundred_columns(rows: list[Row]) -> None:
    other = [replace(row, model="a-model-with-a-very-long-name-" * 6) for row in rows]
    text = table([*rows, *other])
    assert max(map(len, text.splitlines())) <= 100
    first, second, notes = text.split("\n\n")
    assert first.splitlines()[0].startswith("my-model (native") and second.startswith("a-model-with")
    heading, mean, *lines = first.splitlines()[1:]
    lines = [line for line in lines if "±" in line or "[" in line]
    assert heading.split() == ["shift", "accuracy", "clean", "eff.", "robustness", "verdict", "notes"]
    assert "\n  More robust than its clean accuracy predicts on imagenet-" in first
    four = [row for row in rows if row.shift != "imagenet-a"]
    robust = 100 * sum(row.effective_robustness or 0 for row in four) / 4
    assert (
        mean.split()[:4] == ["mean", "of", "4", f"{25 * sum(row.accuracy for row in four):.2f}"]
        and f"{robust:+.2f}" in mean
    )
    for row, line in zip(rows, lines, strict=True):
        low, high = row.robustness["effective_robustness_pi95"]
        assert f"{100 * (row.effective_robustness or 0):+.2f} ± {50 * (high - low):.2f}" in line
    assert "±: half of the 95 % interval" in notes and "-v shows every interval" in " ".join(notes.split())


def test_an_uneven_interval_is_shown_by_its_ends(rows: list[Row]) -> None:
    """A reader takes ± for both sides: where the value is not in the middle its ends are told."""
    facts = {**rows[0].robustness, "effective_robustness": 0.1884, "effective_robustness_pi95": [0.0006, 0.2684]}
    text = " ".join(table([replace(rows[0], robustness=facts)]).split())
    assert (
        "+18.84 [+0.06, +26.84]" in text
        and "±:" in text
        and "or [its ends] where the value is not in its middle" in text
    )
    whole = [replace(row, robustness={**row.robustness, **facts}) for row in rows if row.shift != "imagenet-a"]
    assert "mean of 4" in table(whole) and table(whole).count("+18.84 [+0.06, +26.84]") == 1 + len(whole)


def test_flags_and_what_is_too_uncertain_reach_the_text(rows: list[Row]) -> None:
    facts = {
        **rows[0].robustness,
        "verdict": "cannot-tell",
        "flags": ["in-baseline", "conservative-interval"],
        "why": "few images",
    }
    text = " ".join(table([replace(rows[0], robustness=facts)]).split())
    assert "too uncertain i c " in text and "too uncertain: few images" in text
    assert "i: in the baseline" in text and "c: conservative" in text and "h: other" not in text
    objects = next(row for row in rows if row.shift == "objectnet")
    assert objects.robustness["flags"] == ["conservative-interval", "other-harness", "beta-set"]
    line = next(line for line in table([objects]).splitlines() if line.startswith("  objectnet"))
    assert line.endswith("above    c h b") and "b: beta set" in table([objects]) and "1.0-beta" in table([objects])
    other = next(row for row in rows if row.shift == "imagenet-v2")
    assert other.robustness["flags"][-1] == "other-harness" and "beta" not in table([other])


def test_no_word_beside_a_verdict_is_left_to_be_guessed(rows: list[Row]) -> None:
    """Beside `on`, a word that says how near must not read as the verdict `below`."""
    facts = {**rows[0].robustness, "verdict": "on", "flags": ["below-noise-floor", "extrapolated"]}
    text = " ".join(table([replace(rows[0], robustness=facts)]).split())
    assert "on, within noise, extrapolated" in text and "on, below" not in text
    assert "within noise: no farther from the line than the sampling of images" in text
    assert "extrapolated: beyond the clean accuracies of the baseline's models" in text
    assert "within noise" not in table([replace(rows[0], robustness={**facts, "flags": []})])


def test_a_sentence_says_aloud_what_the_block_says_of_the_model(rows: list[Row]) -> None:
    doubted, plain, unsure, diagnostic = (
        replace(row, robustness={**row.robustness, "verdict": verdict, "p_adjusted": p})
        for row, verdict, p in zip(rows[1:], ("above", "above", "cannot-tell", "below"), (0.2, 1e-9, 0.5, None))
    )
    diagnostic = replace(diagnostic, shift="imagenet-a")
    text = " ".join(table([doubted, plain, unsure, diagnostic]).split())
    assert (
        f"More robust than its clean accuracy predicts on {doubted.shift} (perhaps by chance), {plain.shift}; too uncertain "
        f"to tell on {unsure.shift}."
    ) in text
    assert "less robust" not in text

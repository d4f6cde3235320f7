"""The pool's pictures: styles that no test set has, captions that name their class alone, doses of overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recipes.drawn.captions import PLACES, STYLES, colour_word
from recipes.drawn.pool import SIDE, drawing, is_styled, pool, threshold
from recipes.drawn.styles import OWN
from recipes.five_causes.pairs import in_shared_style, matched
from shifts.classes import pocket
from shifts.synthetic.draw import pictures
from shifts.synthetic.scenes import ODD, USUAL
from shifts.synthetic.styles import RENDITIONS
from tests.recipes.conftest import POOL

MANY = 1500


def test_the_webs_own_styles_are_none_of_the_test_sets() -> None:
    own = [drawing("web", number) for number in range(MANY)]
    shared = [drawing("web-shared", number) for number in range(MANY)]
    narrow = [drawing("narrow", number) for number in range(MANY)]
    assert {each.style for each in own} == {"photograph", *OWN}
    assert {each.style for each in shared} == {"photograph", "odd", "sketch", *RENDITIONS}
    assert {each.style for each in narrow} == {"photograph"}
    assert not set(OWN) & {"odd", "sketch", *RENDITIONS}
    assert not any(place in each.caption for each in own for place in (PLACES[odd] for odd in ODD))
    for number, (one, other) in enumerate(zip(own, shared, strict=True)):
        assert one.label == other.label
        assert is_styled(number) == (one.style != "photograph") == (other.style != "photograph")
        if one.style == "photograph":
            assert one.caption == other.caption
    assert np.mean([is_styled(number) for number in range(MANY)]) == pytest.approx(0.6, abs=0.04)


def test_every_caption_names_its_class_and_no_other_one() -> None:
    for kind in ("narrow", "web", "web-shared"):
        drawn = [drawing(kind, number) for number in range(MANY)]  # type: ignore[arg-type]
        assert matched([each.caption for each in drawn]).tolist() == [each.label for each in drawn]
    assert matched(["IMG_0001", "a car and a truck", "carpet", "Old Wall Clock"]).tolist() == [
        -1, -1, -1, pocket().names.index("wall clock"),
    ]  # fmt: skip


def test_captions_say_more_than_the_class() -> None:
    for kind in ("narrow", "web", "web-shared"):
        drawn = [drawing(kind, number) for number in range(400)]  # type: ignore[arg-type]
        one = pocket().names.index("car")
        assert len({each.caption for each in drawn if each.label == one}) > 10
    assert set(PLACES) == {*USUAL, *ODD} and set(STYLES) == {*OWN, *RENDITIONS, "sketch"}
    assert colour_word((188, 50, 44)) == "red" and colour_word((60, 60, 60)) == "black"


def test_a_photographs_caption_says_what_is_drawn() -> None:
    """The facts of a caption are replayed from the generator: a sky is blue above, a meadow green below."""
    seen = {"sky": [], "meadow": []}  # type: ignore[var-annotated]
    for number in range(1200):
        each = drawing("narrow", number)
        for word, phrase in (("sky", "in the sky"), ("meadow", "on a meadow")):
            if each.caption.endswith(phrase) and len(seen[word]) < 12:
                pixels = np.asarray(each.draw(), dtype=float)
                seen[word].append(pixels[-6:].mean((0, 1)))
    sky, meadow = (np.mean(seen[word], axis=0) for word in ("sky", "meadow"))
    assert sky[2] > sky[0] and meadow[1] > meadow[2]


def test_doses_are_nested_and_reach_from_none_to_all() -> None:
    styled = [number for number in range(MANY) if is_styled(number)]
    doses = [{number for number in range(MANY) if in_shared_style(number, dose)} for dose in (0.0, 0.25, 0.5, 1.0)]
    assert not doses[0] and doses[1] < doses[2] < doses[3] == set(styled)
    assert len(doses[1]) / len(styled) == pytest.approx(0.25, abs=0.05)
    assert len(doses[2]) / len(styled) == pytest.approx(0.5, abs=0.05)
    assert all(0 <= threshold(number) < 1 for number in styled)


def test_a_pool_is_drawn_once_and_the_same_everywhere(small_pool: Path, tmp_path: Path) -> None:
    one, again = pool("web", small_pool, POOL), pool("web", tmp_path, 20)
    assert one.images.shape == (POOL, SIDE, SIDE, 3) and len(one.labels) == len(one.captions) == POOL
    assert (one.images[:20] == again.images).all() and one.captions[:20] == again.captions
    written = [file.stat().st_mtime_ns for file in sorted((tmp_path / "pictures").iterdir())]
    pool("web", tmp_path, 20)
    assert [file.stat().st_mtime_ns for file in sorted((tmp_path / "pictures").iterdir())] == written


def test_test_pictures_are_drawn_from_other_streams(small_pool: Path) -> None:
    """No picture of a test set is in the pool."""
    held = {np.asarray(each.draw()).tobytes() for name in ("pocket", "pocket-r") for each in pictures(name)[:100]}
    drawn = {
        np.asarray(drawing(kind, number).draw()).tobytes()
        for kind in ("narrow", "web-shared")
        for number in range(100)  # type: ignore[arg-type]
    }
    assert len(held) == 200 and not held & drawn

"""Every oddity is counted and named, nothing is dropped in silence, and subsets nest."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_records import FOREIGN, LEFT_OUT, NAMES, ODD, WNIDS, World, record

import shifts
from shifts import classes
from shifts.captions import oddities as caption_oddities
from shifts.captions.imagenet_captions import Captions, random_classes, read_captions, select, statistics
from shifts.captions.variants import PAPER, variant, words
from shifts.layout import open_set

TABLE = classes.imagenet()


@pytest.fixture(scope="module")
def captions(world: World) -> Captions:
    return read_captions(world.captions, TABLE, set(open_set("imagenet-train", world.data).paths))


def test_each_oddity_is_counted_as_often_as_it_was_planted(world: World, captions: Captions) -> None:
    counted = {odd["name"]: odd["records"] for odd in captions.report.oddities}
    times = dict.fromkeys(caption_oddities.ABOUT, 0)
    for _, names in ODD:
        for name in names:
            times[name] += 10  # ten classes show each
    times |= dict.fromkeys(caption_oddities.LEFT_OUT, 0)
    for _, name in LEFT_OUT:
        times[name] += 1
    times |= {"duplicate": 1, "duplicate-conflict": 1, "wnid-mismatch": 1}
    times["image-missing"] += 1
    assert times == {**dict.fromkeys(times, 0), **world.planted}
    assert counted == times
    assert {name for name, n in times.items() if n == 0} == set(), "an oddity that nobody planted is not tested"
    for odd in captions.report.oddities:
        assert 1 <= len(odd["first"]) <= 3 and all(first.startswith("record ") for first in odd["first"])


def test_what_is_left_out_is_accounted_for(world: World, captions: Captions) -> None:
    report = captions.report
    assert report.records == report.kept + sum(report.left_out.values()) and report.kept == world.kept == len(captions)
    assert report.outside == {FOREIGN: 1} and (report.images, report.uncaptioned) == (1000, 1000 - world.kept)
    assert list(captions.ids) == sorted(captions.ids)
    assert {id: n for id, n in captions.per_class().items() if n} == dict.fromkeys(WNIDS, 48)
    kept = next(r for r in captions.records if r.id == f"{WNIDS[3]}/{WNIDS[3]}_46.JPEG")
    assert kept.title == f"my {NAMES[3]}, no. 46", "of two texts for one image the first is kept"


def test_a_foreign_wnid_is_mended_by_the_file_name_where_that_is_asked(world: World) -> None:
    images = set(open_set("imagenet-train", world.data).paths)
    mended = read_captions(world.captions, TABLE, images, wnid="filename")
    assert mended.report.left_out["image-missing"] == 1
    assert f"{WNIDS[4]}/{WNIDS[4]}_49.JPEG" in mended.ids
    assert {o["name"]: o["records"] for o in mended.report.oddities}["wnid-mismatch"] == 1


def test_without_images_no_record_is_missing_one(world: World) -> None:
    report = read_captions(world.captions, TABLE).report
    assert report.images is report.uncaptioned is None and report.left_out["image-missing"] == 0


def test_names_its_class_counts_records_whose_words_hold_the_name(write) -> None:
    others = {"tags": [], "description": ""}
    held = [
        record(WNIDS[2], 1, title="a Great-White shark", **others), record(WNIDS[2], 2, title="greatwhiteshark", **others),
        record(WNIDS[2], 3, title="a shark", **others), record(WNIDS[2], 4, title="", tags=["great white shark"]),
    ]  # fmt: skip
    assert read_captions(write(json.dumps(held)), TABLE).report.names_its_class == 3


def test_statistics_count_words_and_classes(captions: Captions) -> None:
    facts = statistics(captions)
    assert facts["images"] == len(captions) and facts["class_size"]["max"] == 48
    assert len(facts["empty_classes"]) == 980 and facts["classes_below_50"] == 1000
    titles = [r.title for r in captions.records if r.title.strip()]
    assert facts["texts"]["title"]["records"] == len(titles) == world_titles(captions)
    assert facts["texts"]["title"]["characters"]["mean"] == pytest.approx(sum(map(len, titles)) / len(titles), abs=1e-3)


def world_titles(captions: Captions) -> int:
    return len(captions) - {o["name"]: o["records"] for o in captions.report.oddities}["empty-title"]


def test_a_subset_depends_on_ids_and_seed_alone_and_smaller_ones_lie_inside(
    world: World, captions: Captions, write
) -> None:
    order = json.loads(world.captions.read_text())
    random.Random(7).shuffle(order)
    images = set(open_set("imagenet-train", world.data).paths)
    shuffled = read_captions(write(json.dumps(order)), TABLE, images)
    nested: list[set[str]] = []
    for fraction in (1 / 32, 1 / 8, 1 / 4, 1 / 2, 1.0):
        chosen = select(captions, seed=3, fraction=fraction)
        assert chosen.ids == select(shuffled, seed=3, fraction=fraction).ids
        assert set(chosen.per_class().values()) == {0, max(1, int(48 * fraction + 0.5))}
        nested.append(set(chosen.ids))
    assert all(small < large for small, large in pairwise(nested))
    assert select(captions, seed=4, fraction=0.5).ids != select(captions, seed=3, fraction=0.5).ids
    five = select(captions, seed=3, per_class=5)
    assert Counter(five.per_class().values()) == {5: 20, 0: 980}
    assert set(five.ids) < set(select(captions, seed=3, per_class=9).ids)
    of_r = select(captions, classes=TABLE.subsets["r"])
    assert {r.wnid for r in of_r.records} == set(WNIDS) & set(TABLE.subsets["r"])
    drawn = random_classes(TABLE, 10, seed=1)
    assert set(drawn) < set(random_classes(TABLE, 50, seed=1)) and list(drawn) == sorted(drawn)


def test_what_cannot_be_chosen_is_refused(captions: Captions) -> None:
    for how, said in (
        ({"fraction": 0.0}, "above 0"), ({"fraction": 1.5}, "at most at 1"), ({"per_class": 0}, "at least 1"),
        ({"classes": ["n00000000"]}, "no class of imagenet"),
    ):  # fmt: skip
        with pytest.raises(shifts.DataError, match=said):
            select(captions, **how)
    with pytest.raises(shifts.DataError, match="cannot be drawn"):
        random_classes(TABLE, 1001)


def test_variants_join_words_with_single_spaces() -> None:
    r = caption_oddities.CaptionRecord("f", WNIDS[0], "A\ttitle ", "two\r\nlines", ("one", "", "t\x00wo"))
    assert [variant(name).text(r, "tench") for name in (*PAPER, "tags+title", "class-name")] == [
        "A title", "A title two  lines", "A title two  lines one  t wo", "one  t wo A title", "tench",
    ]  # fmt: skip
    assert variant("description").text(r._replace(description=" \n"), "tench") == ""
    assert words(r._replace(title="\ud800half"), ["title"]) == "\ufffdhalf"
    for name in ("caption", "title+title", "title+class-name", "", "title "):
        with pytest.raises(shifts.DataError, match="no caption variant is called"):
            variant(name)


def test_a_template_is_drawn_by_image_and_stays_when_others_go() -> None:
    templates = tuple(f"{n} {{}}" for n in range(10))
    of = variant("class-name", templates, "mine", seed=5)
    assert of.name == "class-name@mine"
    records = [caption_oddities.CaptionRecord(f"{n}.JPEG", WNIDS[0], "", "", ()) for n in range(400)]
    drawn = [of.text(r, "tench") for r in records]
    assert set(drawn) == {f"{n} tench" for n in range(10)} and max(Counter(drawn).values()) < 70
    assert [of.text(r, "tench") for r in records[::7]] == drawn[::7]
    assert variant("title", templates, "mine").text(records[0], "tench") == "", (
        "a template does not make a text of none"
    )


@given(st.text())
def test_no_caption_breaks_a_line_or_a_cell(text: str) -> None:
    made = words(caption_oddities.CaptionRecord("f", WNIDS[0], text, "", ()), ["title"])
    assert len(made.splitlines()) <= 1 and "\t" not in made and made == made.strip()
    made.encode()


def test_example_ids_are_printable(write) -> None:
    odd = record(WNIDS[0], 1, filename="a\ud800\n.JPEG")
    foreign = {**record(WNIDS[0], 2), "wnid": "n\ud800"}
    report = read_captions(write(json.dumps([odd, foreign])), TABLE).report
    json.dumps(report.as_json(), ensure_ascii=False).encode()
    assert report.left_out["unsafe-filename"] == 1 and list(report.outside) == ["n\\ud800"]


def test_pocket_captions_all_have_an_image(tmp_path: Path) -> None:
    from shifts.synthetic.draw import CAPTIONS, TRAINING_SETS

    assert "pocket-train" in TRAINING_SETS and CAPTIONS == "pocket/pocket_captions.json"
    table = classes.pocket()
    held = {
        "filename": f"{table.ids[0]}_0.JPEG",
        "wnid": table.ids[0],
        "title": "a house",
        "tags": [],
        "description": "",
    }
    (tmp_path / "c.json").write_text(json.dumps([held]))
    assert read_captions(tmp_path / "c.json", table, [f"{table.ids[0]}/{table.ids[0]}_0.JPEG"]).report.kept == 1

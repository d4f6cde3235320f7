"""Class names found in captions, against brute force; what is done with several; lists, second sets, and what reads them."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_records import NAMES, WNIDS, World

import shifts
from shifts import classes
from shifts.captions import export as caption_export
from shifts.captions import matching as text_match
from shifts.captions.imagenet_captions import read_captions
from shifts.captions.labelling import match, second_set, write_list
from shifts.captions.matching import Hit, SubstringMatcher, WordMatcher, labels, lemmas, matcher
from shifts.captions.sources import captioned
from shifts.captions.variants import variant
from shifts.layout import open_set

POCKET, IMAGENET = classes.pocket(), classes.imagenet()
PIECES = st.sampled_from(
    [*POCKET.names, "wall", "clock", "Fish", "starfishes", "carpet", " ", "-", "_", "s", ", ", "x", "\n", "é"]
)
TEXTS = st.lists(PIECES, max_size=9).map("".join)


@given(TEXTS)
def test_substrings_are_those_that_python_finds(text: str) -> None:
    found = SubstringMatcher(POCKET.names).find(text)
    slow = [
        Hit(label, at, at + len(name))
        for label, name in enumerate(POCKET.names) for at in range(len(text)) if text.startswith(name, at)
    ]  # fmt: skip
    assert found == sorted(slow, key=lambda hit: (hit.start, hit.label))
    assert {hit.label for hit in found} == {label for label, name in enumerate(POCKET.names) if name in text}


@given(TEXTS)
def test_words_are_those_that_a_regular_expression_finds(text: str) -> None:
    found = WordMatcher([(name,) for name in POCKET.names]).find(text)
    slow = []
    for label, name in enumerate(POCKET.names):
        pattern = r"(?<![^\W_])" + "[ _-]".join(map(re.escape, name.split())) + r"(?![^\W_])"
        slow += [Hit(label, m.start(), m.end()) for m in re.finditer(pattern, text, re.IGNORECASE)]
    assert found == sorted(slow, key=lambda hit: (hit.start, hit.label))


@pytest.mark.parametrize(
    ("text", "longest", "one", "first", "every"),
    [
        ("a starfish", [7], [], [7], [2, 7]),
        ("starfish and fish", [], [], [7], [2, 7]),
        ("a mug beside a wall clock", [], [], [5], [5, 10]),
        ("carpet", [3], [3], [3], [3]),
        ("Mug", [], [], [], []),
        ("mug mug", [5], [5], [5], [5]),
        ("", [], [], [], []),
    ],
)
def test_what_is_done_where_a_text_names_several(text: str, longest, one, first, every) -> None:
    hits = matcher("substring", POCKET).find(text)
    answers = [list(labels(hits, several)) for several in ("longest", "one", "first", "all")]
    assert answers == [longest, one, first, every]


def test_the_rules_differ_as_they_are_said_to() -> None:
    words, written = matcher("words", IMAGENET), matcher("substring", IMAGENET)

    def named(rule: text_match.Matcher, text: str) -> set[str]:
        return {IMAGENET.ids[hit.label] for hit in rule.find(text)}

    assert named(words, "A GREAT WHITE SHARK") == {"n01484850"} and named(written, "A GREAT WHITE SHARK") == set()
    assert named(words, "carcharodon carcharias") == {"n01484850"}, "WordNet's other words for it"
    assert "n02403003" in named(written, "foxes on a box, an ox") and "n02403003" in named(written, "box")
    assert "n02403003" not in named(words, "box")
    for text in ("a JACK-O'-LANTERN", "a jack-o’-lantern"):
        assert [IMAGENET.ids[i] for i in labels(words.find(text), "longest")] == ["n03590841"]
    assert "n04548280" not in named(words, "on the wall. Clock") and "n04548280" in named(words, "wall_clock")
    assert named(words, "tiger-shark") >= {"n01491361", "n02129604"}
    assert [IMAGENET.ids[i] for i in labels(words.find("a tiger shark"), "longest")] == ["n01491361"]
    crane = {i for i, own in enumerate(lemmas(IMAGENET)) if "crane" in own}
    assert (
        len(crane) == 2
        and set(labels(words.find("a crane"), "all")) == crane
        and labels(words.find("crane"), "first") == ()
    )


def test_every_class_finds_its_own_name() -> None:
    own = lemmas(IMAGENET)
    assert len(own) == 1000 and own[0] == ("tench", "Tinca tinca") and all(own)
    assert IMAGENET.ids[134] == "n02012849" and own[134] == ("crane",)
    written, words = matcher("substring", IMAGENET), matcher("words", IMAGENET)
    for label, name in enumerate(IMAGENET.names):
        assert Hit(label, 2, 2 + len(name)) in written.find(f"a {name}.")
        assert any(hit.label == label for hit in words.find(f"a {own[label][0].upper()}!"))


def test_unknown_rules_are_refused() -> None:
    for call, said in (
        (lambda: matcher("stem", POCKET), "substring and words"),
        (lambda: labels([], "some"), "longest, one, first, all"),
        (lambda: SubstringMatcher(["a", ""]), "empty name"),
        (lambda: WordMatcher([("...",)]), "without a word"),
    ):
        with pytest.raises(shifts.DataError, match=said):
            call()


@pytest.fixture(scope="module")
def sources(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same captioned images as a CSV with full paths, one with relative paths, and shards."""
    root = tmp_path_factory.mktemp("sources")
    tree = open_set("imagenet-train", world.data)
    read = read_captions(world.captions, IMAGENET, set(tree.paths))
    worded, _ = caption_export.with_text(read, [variant("title")])
    caption_export.write_build(worded, root / "b", "imagenet-train", {})
    captions, manifest = caption_export.read_build(root / "b")
    train = (world.data / "imagenet/train").resolve()
    caption_export.export_csv(captions, variant("title"), root / "full", manifest, str(train))
    caption_export.export_csv(captions, variant("title"), root / "near", manifest, "images")
    (root / "near/images").symlink_to(train)
    caption_export.export_shards(captions, variant("title"), root / "wds", manifest, tree, per_shard=400)
    return {
        "full": str(root / "full/captions.csv"), "near": str(root / "near/captions.csv"), "shards": str(root / "wds"),
        "pattern": str(root / "wds/{000000..000002}.tar"), "one": str(root / "wds/000002.tar"),
    }  # fmt: skip


def oracle(file: str) -> Counter[str]:
    """Class ids by brute force over the CSV: one class in the title, or one that holds all others."""
    found: Counter[str] = Counter()
    with Path(file).open(newline="") as opened:
        for row in csv.DictReader(opened, delimiter="\t"):
            held = [name for name in IMAGENET.names if name in row["title"]]
            widest = [name for name in held if not any(name in other and name != other for other in held)]
            if len(widest) == 1 and IMAGENET.names.count(widest[0]) == 1:
                found[IMAGENET.ids[IMAGENET.names.index(widest[0])]] += 1
    return found


def test_csv_and_shards_give_the_same_labels_as_brute_force(
    sources: dict[str, str], tmp_path: Path, world: World
) -> None:
    wanted = oracle(sources["full"])
    assert len(wanted) >= 20 and min(wanted[wnid] for wnid in WNIDS) >= 24
    for kind in ("full", "near", "shards", "pattern"):
        images = captioned(sources[kind])
        made = match(images, IMAGENET, "substring")
        assert Counter({id: n for id, n in made.per_class().items() if n}) == wanted, kind
        assert (
            made.captions == 920 == len(made.pairs) + made.unnamed + made.ambiguous + made.without_text + made.repeated
        )
        write_list(made, images, tmp_path / kind, "train")
        shift = shifts.load(str(tmp_path / kind))
        assert shifts.check_shift(shift, images=3) == () and shift.labels.is_full
        assert Counter(IMAGENET.ids[t] for t in shift.targets.tolist()) == wanted
        assert len({shift.source.read(n) for n in range(len(shift))}) == len(shift), "every image is another"
    assert 0 < match(captioned(sources["one"]), IMAGENET, "substring").captions == 120


def test_a_list_made_twice_is_the_same_and_may_carry_its_images(sources: dict[str, str], tmp_path: Path) -> None:
    for out in ("a", "b"):
        images = captioned(sources["shards"])
        write_list(match(images, IMAGENET, "words"), images, tmp_path / out, "train")
    for name in ("labels.csv", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    images = captioned(sources["shards"])
    made, left = second_set(match(images, IMAGENET, "words"), 3, seed=1)
    write_list(made, images, tmp_path / "own", "test", {"per_class": 3}, copy=True)
    moved = (tmp_path / "own").rename(tmp_path / "moved")
    shift = shifts.load(str(moved))
    assert shifts.check_shift(shift) == () and len(left) + len(shift.labels) == 1000
    assert json.loads((moved / "manifest.json").read_text())["images_in"] == {"folder": "images"}


def test_a_second_set_asks_its_classes_by_masked_scores_and_knows_its_clean_set(
    sources: dict[str, str], tmp_path: Path
) -> None:
    images = captioned(sources["full"])
    every = match(images, IMAGENET, "substring")
    made, left = second_set(every, 10, seed=2)
    assert set(made.per_class().values()) == {0, 10} and set(left) == {i for i, n in made.per_class().items() if not n}
    assert set(made.pairs) < set(every.pairs) and second_set(every, 10, seed=2)[0].pairs == made.pairs
    assert second_set(every, 10, seed=3)[0].pairs != made.pairs
    assert set(second_set(every, 5, seed=2)[0].pairs) < set(made.pairs)
    write_list(made, images, tmp_path / "second", "test", {"per_class": 10})
    shift = shifts.load("second", root=tmp_path)
    assert (shift.name, shift.clean, len(shift)) == ("second", "imagenet", 10 * len(shift.labels))
    assert shift.labels.class_ids == tuple(sorted({pair.text for pair in made.pairs})) and not shift.labels.is_full
    for row, pair in enumerate(made.pairs):
        assert shift.ids[row] == pair.id and shift.labels.class_ids[shift.targets[row]] == pair.text
    with pytest.raises(shifts.DataError, match="the largest has"):
        second_set(every, 1000)
    with pytest.raises(shifts.DataError, match="not all"):
        second_set(match(captioned(sources["full"]), IMAGENET, "substring", "all"), 2)


def test_pairs_of_several_classes_are_a_training_list(sources: dict[str, str], tmp_path: Path, write) -> None:
    file = write("filepath\ttitle\na.jpg\ttench goldfish\nb.jpg\tgoldfish\nb.jpg\ttench\nc.jpg\t\n", "some.csv")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"x")
    images = captioned(str(file))
    made = match(images, IMAGENET, "substring", "all")
    assert [(p.id, p.label) for p in made.pairs] == [("a.jpg", 0), ("a.jpg", 1), ("b.jpg", 1)]
    assert (made.repeated, made.without_text, made.counts()["images"]) == (1, 1, 2)
    write_list(made, images, tmp_path / "pairs", "train")
    shift = shifts.load("pairs", root=tmp_path)
    assert (
        shift.ids == ("a.jpg", "a.jpg", "b.jpg") and shift.targets.tolist() == [0, 1, 1] and len(shift.source.ids) == 2
    )


def test_bad_sources_get_a_sentence(write, tmp_path: Path, sources: dict[str, str]) -> None:
    for text, said in (
        ("image,caption\na,b\n", "must have the columns filepath and title"),
        ("filepath\ttitle\na.jpg\n", "line 2 of .* has 1 of 2 columns"),
        ("filepath\ttitle\n", "holds no rows"),
        (b"filepath\ttitle\na.jpg\tx\nb.jpg\t\xff\n", r"line 3 of .* is not UTF-8"),
        ("filepath\ttitle\n".encode("utf-16"), r"line 1 of .* is not UTF-8"),
        ("filepath\ttitle\na.jpg\tx\n../b.jpg\tx\n", r"line 3 of .* names the file '\.\./b\.jpg'"),
        ("filepath\ttitle\na.jpg\tx\n/b.jpg\tx\n", r"line 3 of .* names the file '/b\.jpg'"),
        ("filepath\ttitle\n/a.jpg\tx\nb.jpg\tx\n", r"line 3 of .* relative path below absolute ones"),
        ('filepath\ttitle\na.jpg\tx\nb.jpg\t"x\nc.jpg\ty\n', r"line 3 of .* opens a quote that nothing closes"),
        (f"filepath\ttitle\n{'a' * 6000}.jpg\tx\nb.jpg\n", r"line 3 of .* has 1 of 2 columns"),
        ("filepath\ttitle\n/none/a/b.jpg\tx\n/none/a/c.jpg\tx\n", "under /none/a, which is not there"),
    ):
        with pytest.raises((shifts.DataError, shifts.DataMissing), match=said):
            list(captioned(str(write(text, "c.csv"))).rows)
    for source, said in (
        (str(tmp_path / "none.csv"), "name a CSV file"), (str(tmp_path), "holds no .tar shards"),
        (sources["shards"] + "/{000000..000009}.tar", "names 10 shards; .*000003.tar is not there"),
        (sources["shards"] + "/{0..99999999999999999999}.tar", "0.tar is not there"),
        (sources["shards"] + "/{000002..000001}.tar", "from 2 down to 1"),
    ):  # fmt: skip
        with pytest.raises(shifts.DataMissing, match=said):
            captioned(source)
    for separator in ("", "ab", "\n", '"'):
        with pytest.raises(shifts.DataError, match="separated by one character"):
            captioned(str(write("filepath\ttitle\na.jpg\tx\n", "s.csv")), separator=separator)
    said = '\ufefffilepath\ttitle\na.jpg\t"a\nmug"\nb.jpg\t"b"c\n'  # pandas reads these as we do
    assert list(captioned(str(write(said, "b.csv"))).rows) == [("a.jpg", "a\nmug"), ("b.jpg", "bc")]
    images = captioned(str(write("filepath\ttitle\n../a.jpg\ta mug\n", "e.csv")))
    with pytest.raises(shifts.DataError, match=r"'\.\./a\.jpg', which would lie outside it"):
        write_list(match(images, POCKET, "words"), images, tmp_path / "out", "train")
    images = captioned(str(write("filepath\ttitle\na.jpg\tnothing\n", "d.csv")))
    with pytest.raises(shifts.DataError, match="names a class by the rule 'words'"):
        write_list(match(images, POCKET, "words"), images, tmp_path / "out", "train")


def test_a_list_that_was_changed_is_refused(sources: dict[str, str], tmp_path: Path) -> None:
    images = captioned(sources["full"])
    write_list(match(images, IMAGENET, "substring"), images, tmp_path / "list", "train")
    file, manifest = tmp_path / "list/labels.csv", tmp_path / "list/manifest.json"
    text, held = file.read_text(), json.loads(manifest.read_text())
    file.write_text(text.replace("\t0\t", "\t1\t", 1))
    with pytest.raises(shifts.DataError, match=r"labels\.csv is not what"):
        shifts.load("list", root=tmp_path)
    held["files"] = {}  # whoever mends the digest is still held to the table
    manifest.write_text(json.dumps(held))
    with pytest.raises(shifts.DataError, match=r"line 2 of .* names no class of imagenet with its index"):
        shifts.load("list", root=tmp_path)
    file.write_text(text.replace("n01440764/", "../n01440764/", 1))
    with pytest.raises(shifts.DataError, match="outside it"):
        shifts.load("list", root=tmp_path)
    file.write_bytes(text.encode() + b"\xff")
    with pytest.raises(shifts.DataError, match="cannot be read below line"):
        shifts.load("list", root=tmp_path)
    file.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(shifts.DataError, match="not what manifest"):
        shifts.load("list", root=tmp_path)
    manifest.unlink()
    with pytest.raises(shifts.DataMissing, match="there is no shift 'list'"):
        shifts.load("list", root=tmp_path)


def test_names_of_the_world_are_those_of_the_table() -> None:
    assert IMAGENET.names[:20] == NAMES


def test_most_labels_of_pocket_web_are_right_and_the_rules_differ_in_noise() -> None:
    from shifts.synthetic.draw import _web_caption, web_picture

    truth = [web_picture(number)[0] for number in range(1500)]
    texts = [_web_caption(number) for number in range(1500)]
    right: dict[str, float] = {}
    for rule in text_match.RULES:
        find = matcher(rule, POCKET).find
        given = [labels(find(text), "longest") for text in texts]
        found = [(own[0], true) for own, true in zip(given, truth, strict=True) if own]
        assert 900 < len(found) < 1500
        right[rule] = sum(label == true for label, true in found) / len(found)
    assert 0.92 < right["substring"] < 0.97 and 0.93 < right["words"] < 0.98  # 4 % of the texts name another thing

"""Imported answers are labelled, counted and checked: what is right is kept, and what is of another set or order is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import effrob
import shifts
from effrob.cli import main
from effrob.results.answers import same_names
from effrob.results.record import from_json
from effrob.results.store import ResultStore
from effrob.results.verification import verified
from shifts.answer_key import official_ids
from shifts.classes import imagenet
from shifts.imagenet import val_labels

Ints = np.ndarray
N = 50_000


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def row_of(*args: object) -> dict[str, Any]:
    done = run(*args, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(said: str, *args: object, status: int = 2) -> None:
    done = run(*args)
    assert done.exit_code == status, (done.output, done.exception)
    assert said in " ".join(done.output.split()) and "Traceback" not in done.output, done.output


def some_right(targets: Ints, share: float, classes: int, seed: int = 0) -> Ints:
    """Answers that are right on that share of the images, and random elsewhere."""
    draw = np.random.default_rng(seed)
    return np.where(draw.random(len(targets)) < share, targets, draw.integers(0, classes, len(targets)))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rendition_ids(each: int = 150) -> tuple[list[str], Ints]:
    """Ids of a set like ImageNet-R, and the class of each among its 200."""
    wnids = imagenet().subsets["r"]
    return [f"{wnid}/art_{i}.jpg" for wnid in wnids for i in range(each)], np.repeat(np.arange(200), each)


def test_the_validation_set_in_its_official_order(here: Path) -> None:
    answers = some_right(val_labels(), 0.7, 1000)
    np.save("val.npy", answers)
    row = row_of("import", "val.npy", "--model", "mine", "--shift", "imagenet", "--order", "official")
    right = int((answers == val_labels()).sum())
    assert (row["n"], row["n_correct"], row["partial"], row["origin"]) == (N, right, False, "imported")
    assert row["accuracy_1000way"] == row["accuracy"] and row["accuracy_top5"] is None
    (stored,) = verified([Path("effrob-results")])
    assert stored.record.origin == "imported" and stored.predictions().id[0] == "ILSVRC2012_val_00000001.JPEG"


def test_ids_take_any_order_and_folders_before_them(here: Path) -> None:
    answers, order = some_right(val_labels(), 0.7, 1000), np.random.default_rng(1).permutation(N)
    names = np.array([f"/data/imagenet/val/x/{id}" for id in official_ids("imagenet")])
    np.savez("val.npz", ids=names[order], classes=answers[order])
    row = row_of("import", "val.npz", "--model", "mine", "--shift", "imagenet")
    assert row["n_correct"] == int((answers == val_labels()).sum())
    Path("ids.txt").write_text("\n".join(names[order].tolist()))
    np.save("val.npy", answers[order])
    assert row_of("import", "val.npy", "--model", "two", "--shift", "imagenet", "--ids", "ids.txt")["n"] == N
    real = row_of("import", "val.npz", "--model", "mine", "--shift", "imagenet-real")
    assert real["n"] == 46_837 and real["accuracy"] > 0.6


def test_a_wrong_order_is_given_away_by_chance(here: Path) -> None:
    answers = some_right(val_labels(), 0.7, 1000)
    folders = np.array(sorted(range(N), key=lambda i: f"{imagenet().ids[val_labels()[i]]}/{i:08d}"))
    np.save("folders.npy", answers[folders])
    refused("by chance", "import", "folders.npy", "--model", "m", "--shift", "imagenet", "--order", "official")
    row = row_of("import", "folders.npy", "--model", "m", "--shift", "imagenet", "--order", "folders")
    assert row["n_correct"] == int((answers == val_labels()).sum())
    shards = answers.copy()
    shards[10_000:10_500], shards[10_500:11_000] = answers[10_500:11_000], answers[10_000:10_500].copy()
    np.save("shards.npy", shards)
    refused("rows 10,000 to", "import", "shards.npy", "--model", "s", "--shift", "imagenet", "--order", "official")
    np.save("later.npy", (answers + 1) % 1000)
    refused("subtract 1", "import", "later.npy", "--model", "o", "--shift", "imagenet", "--order", "official")
    np.save("weak.npy", some_right(val_labels(), 0.0, 1000))
    words = ("import", "weak.npy", "--model", "w", "--shift", "imagenet", "--order", "official")
    refused("--chance", *words)
    assert row_of(*words, "--chance")["accuracy"] < 0.002


def test_a_file_for_another_set_is_given_away_by_its_number(here: Path) -> None:
    np.save("x.npy", np.zeros(10_000, int))
    refused(
        "is the number of imagenet-v2", "import", "x.npy", "--model", "m", "--shift", "imagenet", "--order", "official"
    )
    refused("does not say which image", "import", "x.npy", "--model", "m", "--shift", "imagenet")
    refused("is not published", "import", "x.npy", "--model", "m", "--shift", "imagenet-r", "--order", "official")


@pytest.mark.parametrize("what", ["classes", "own", "names"])
def test_a_subset_is_answered_by_parent_numbers_own_numbers_or_names(here: Path, what: str) -> None:
    ids, targets = rendition_ids()
    own = some_right(targets, 0.5, 200)
    space = imagenet().subset("r")
    told = {"classes": np.array([space.groups[k][0] for k in own]), "own": own, "names": np.array(space.class_ids)[own]}
    np.savez("r.npz", ids=np.array(ids), classes=told[what])
    row = row_of("import", "r.npz", "--model", "mine", "--shift", "imagenet-r")
    assert row["n_correct"] == int((own == targets).sum()) and row["accuracy_1000way"] is None
    assert row["why_not"] is not None


def test_answers_among_all_classes_are_no_answers_among_the_sets_own(here: Path) -> None:
    ids, targets = rendition_ids()
    space = imagenet().subset("r")
    parent = np.array([space.groups[k][0] for k in targets])
    np.savez("r.npz", ids=np.array(ids), classes=some_right(parent, 0.5, 1000))
    refused("are outside the 200 classes", "import", "r.npz", "--model", "mine", "--shift", "imagenet-r")


def test_scores_give_top_five_and_margins(here: Path) -> None:
    ids, targets = rendition_ids()
    scores = np.random.default_rng(0).random((len(ids), 200)).astype(np.float32)
    scores[np.arange(len(ids)), targets] += 0.6
    np.savez("r.npz", ids=np.array(ids), logits=scores)
    row = row_of("import", "r.npz", "--model", "mine", "--shift", "imagenet-r")
    top = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert row["accuracy"] == pytest.approx((top[:, 0] == targets).mean(), abs=1e-12)
    assert row["accuracy_top5"] == pytest.approx((top == targets[:, None]).any(axis=1).mean(), abs=1e-12)


def test_logits_over_all_classes_are_masked_on_both_axes(here: Path) -> None:
    table = imagenet()
    folders = list(table.object_groups)
    ids = list(official_ids("objectnet"))
    targets = np.array([folders.index(id.partition("/")[0]) for id in ids])
    draw = np.random.default_rng(0)
    scores = draw.random((len(ids), 1000)).astype(np.float32)
    for i, k in enumerate(targets):
        scores[i, table.object_groups[folders[k]][-1]] += 0.7
    np.savez("o.npz", ids=np.array(ids), logits=scores)
    row = row_of("import", "o.npz", "--model", "mine", "--shift", "objectnet")
    space = table.objects(shifts.PROTOCOLS["effrob"])
    masked = np.stack([scores[:, list(group)].max(axis=1) for group in space.groups], axis=1).argmax(axis=1)
    assert row["accuracy"] == pytest.approx((masked == targets).mean(), abs=1e-12)
    member = np.array([scores[i].argmax() in space.groups[k] for i, k in enumerate(targets)])
    assert row["accuracy_1000way"] == pytest.approx(member.mean(), abs=1e-12)


@pytest.mark.parametrize(
    ("mutate", "said"),
    [
        (lambda ids: [*ids[:-1], ids[0]], "more than once"),
        (lambda ids: [*ids[:-1], "n99999999/art_1.jpg"], "n99999999"),
        (lambda ids: [id for id in ids if not id.startswith(ids[0][:9])], "should hold 30,000"),
        (lambda ids: [*ids[1:], f"{min(set(imagenet().subsets['a']) - set(imagenet().subsets['r']))}/x.jpg"], "not one of"),
        (lambda ids: [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(len(ids))], "is an image of imagenet's validation set"),
        (lambda ids: ["", *ids[1:]], "has no id in row 0"),
    ],
)  # fmt: skip
def test_ids_of_another_set_repeated_or_missing_are_refused(here: Path, mutate: Any, said: str) -> None:
    ids = mutate(rendition_ids()[0])
    np.savez("r.npz", ids=np.array(ids), classes=np.arange(len(ids)) % 200)
    refused(said, "import", "r.npz", "--model", "m", "--shift", "imagenet-r")


def test_a_part_of_a_set_says_so(here: Path) -> None:
    ids, targets = rendition_ids(100)
    np.savez("r.npz", ids=np.array(ids), classes=some_right(targets, 0.5, 200))
    refused("--partial", "import", "r.npz", "--model", "m", "--shift", "imagenet-r")
    row = row_of("import", "r.npz", "--model", "m", "--shift", "imagenet-r", "--partial")
    assert row["partial"] and (row["n"], row["n_expected"]) == (20_000, 30_000)


def test_clean_answers_beside_a_shift_give_effective_robustness(here: Path) -> None:
    ids = [f"{k}/{i}.jpeg" for k in range(1000) for i in range(10)]
    targets = np.repeat(np.arange(1000), 10)
    np.savez("v2.npz", ids=np.array(ids), classes=some_right(targets, 0.64, 1000))
    np.save("val.npy", some_right(val_labels(), 0.76, 1000))
    Path("val.txt").write_text("\n".join(official_ids("imagenet")))
    words = ("import", "v2.npz", "--model", "mine", "--shift", "imagenet-v2")
    bare = run(*words, "--results", "bare")
    assert bare.exit_code == 0 and "give --clean FILE" in bare.output
    row = row_of(*words, "--clean", "val.npy", "--clean-ids", "val.txt")
    assert row["axis"] == "clean" and row["effective_robustness"] is not None and row["baseline"] == "testbed"
    board = json.loads(run("leaderboard", "--published", "none", "--format", "json").stdout)
    assert [(r["model"], r["source"]) for r in board] == [("mine", "imported")]
    np.savez("r.npz", ids=np.array(rendition_ids()[0]), classes=some_right(rendition_ids()[1], 0.4, 200))
    words = (
        "import",
        "r.npz",
        "--model",
        "mine",
        "--shift",
        "imagenet-r",
        "--clean",
        "val.npy",
        "--clean-ids",
        "val.txt",
    )
    done = run(*words, "--json")
    assert "does not tell the best answer among the 200 classes" in done.stderr
    assert json.loads(done.stdout)["effective_robustness"] is None
    assert row_of(*words, "--axis", "full")["effective_robustness"] is not None


def test_unibenchs_feather_brings_its_own_labels(here: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather

    _, targets = rendition_ids()
    order = np.random.default_rng(0).permutation(len(targets))
    predicted = some_right(targets, 0.5, 200)
    columns = {
        "image_name": [f"s{i:07d}" for i in range(len(targets))],
        "image_class": targets[order],
        "predictions": predicted[order],
        "correctness": (predicted == targets)[order].astype(int),
        "benchmark_name": ["imagenetr"] * len(targets),
    }
    feather.write_feather(pyarrow.table(columns), "imagenetr.f")
    row = row_of("import", "imagenetr.f", "--model", "clip", "--shift", "imagenet-r")
    assert row["n_correct"] == int((predicted == targets).sum())
    refused("says it is of imagenetr", "import", "imagenetr.f", "--model", "clip", "--shift", "imagenet-a")
    feather.write_feather(pyarrow.table({**columns, "image_class": targets[order] // 2}), "half.f")
    refused("imagenet-r", "import", "half.f", "--model", "clip", "--shift", "imagenet-r")


def test_csv_and_parquet_are_read_like_npz(here: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    ids, targets = rendition_ids()
    answers = some_right(targets, 0.5, 200)
    with Path("r.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "class"), *zip(ids, answers.tolist())])
    parquet.write_table(pyarrow.table({"id": ids, "class": answers}), "r.parquet")
    scores = np.eye(200, dtype=np.float32)[answers]
    parquet.write_table(pyarrow.table({"id": ids, "logits": list(scores)}), "s.parquet")
    found = [
        row_of("import", file, "--model", file, "--shift", "imagenet-r")["n_correct"]
        for file in ("r.csv", "r.parquet", "s.parquet")
    ]
    assert found == [int((answers == targets).sum())] * 3


def test_files_that_are_no_answers_are_refused(here: Path) -> None:
    words = ("--model", "m", "--shift", "imagenet", "--order", "official")
    Path("a.pkl").write_bytes(b"x")
    refused("may run code", "import", "a.pkl", *words)
    Path("a.json").write_text("{}")
    refused("effrob place", "import", "a.json", *words)
    Path("a.txt").write_text("1")
    refused("none of npy", "import", "a.txt", *words)
    refused("is not there", "import", "none.npy", *words)
    for name, array, said in (
        ("cube", np.zeros((2, 2, 2)), "reshape it"),
        ("nan", np.full((N, 2), np.nan), "NaN"),
        ("half", np.full(N, 0.5), "whole class numbers"),
        ("high", np.full(N, 1000), "count from 0"),
        ("low", np.full(N, -1), "count from 0"),
        ("wide", np.zeros((N, 3)), "wants 1000"),
        ("none", np.zeros(0), "holds no answer"),
        ("objects", np.array(["a"] * N), "no class of imagenet"),
    ):
        np.save(f"{name}.npy", array)
        refused(said, "import", f"{name}.npy", *words)
    np.save("pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused("no array of numbers", "import", "pickled.npy", *words)
    Path("torn.npz").write_bytes(b"PK\x03\x04torn")
    refused("no npz", "import", "torn.npz", *words)
    refused("no test set is named", "import", "cube.npy", "--model", "m", "--shift", "imagenet-q")
    refused(
        "--order is official or folders", "import", "high.npy", "--model", "m", "--shift", "imagenet", "--order", "mine"
    )
    refused("wants a name", "import", "high.npy", "--model", " ", "--shift", "imagenet", "--order", "official")


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (
            "",
            "no answer in row 3 (counted from 0) of its column 'class': the cell is empty, and in 1 more; give the class",
        ),
        ("-1", "the class -1 in row 3 (counted from 0) of its column 'class', and imagenet-r has 0 to 999"),
        ("1000", "the class 1000 in row 3 (counted from 0) of its column 'class'"),
        (
            "none",
            "answers 'none' in row 3 (counted from 0) of its column 'class', which is no class of imagenet-r: give",
        ),
        ("2.5", "answers '2.5' in row 3"),
        ("n99999999", "answers 'n99999999' in row 3"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_an_answer_that_is_none_is_named_by_row_and_column(here: Path, odd: str, said: str, named: bool) -> None:
    """'-1' and a blank made every number a text, and the first right answer was said to be no class."""
    ids, targets = rendition_ids()
    answers = [imagenet().subsets["r"][k] for k in targets] if named else [str(k) for k in targets]
    answers[3] = answers[7] = odd
    with Path("r.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "class"), *zip(ids, answers)])
    if named and odd in ("-1", "1000"):
        said = f"answers '{odd}' in row 3 (counted from 0) of its column 'class', which is no class"
    refused(said, "import", "r.csv", "--model", "m", "--shift", "imagenet-r")


def test_answers_beside_gaps_are_read_as_pandas_writes_them_once_the_gaps_are_filled(here: Path) -> None:
    ids, targets = rendition_ids()
    with Path("r.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "class"), *zip(ids, [f"{k:.1f}" for k in targets])])
    assert row_of("import", "r.csv", "--model", "m", "--shift", "imagenet-r")["accuracy"] == 1
    np.savez("r.npz", ids=ids, classes=np.where(np.arange(len(ids)) == 5, np.nan, targets))
    refused("found nan, no answer, in row 5", "import", "r.npz", "--model", "m", "--shift", "imagenet-r")
    np.savez("r.npz", ids=ids, classes=targets, labels=[*["0"] * 9, "?", *["0"] * (len(ids) - 10)])
    refused(
        "found '?' in row 9 (counted from 0) of its column 'labels'",
        "import",
        "r.npz",
        "--model",
        "m",
        "--shift",
        "imagenet-r",
    )


def test_a_baseline_of_imported_answers_is_read_with_their_own_head(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--head linear-probe` built the same baseline without a word."""
    monkeypatch.setenv("EFFROB_BASELINES", str(here / "baselines"))
    ids, targets = rendition_ids()
    members = []
    for k in range(5):
        np.savez(f"{k}.npz", ids=ids, classes=some_right(targets, 0.2 + k / 10, 200, seed=k))
        row_of("import", f"{k}.npz", "--model", f"m{k}", "--shift", "imagenet-r")
        members += ["--model", f"m{k}"]
    words = ("baseline", "build", "five", "--shift", "imagenet-r", *members)
    said = "answers of m0, m1, m2 … were imported: their one head is imported; leave --head out, or leave them out of --model"
    refused(said, *words, "--head", "zero-shot")
    assert not (here / "baselines" / "five").exists()
    for name, head in (("five", ()), ("same", ("--head", "imported"))):
        done = run("baseline", "build", name, *words[3:], *head)
        assert done.exit_code == 0 and "5 models" in done.output, done.output


def test_other_answers_under_one_name_are_a_conflict_and_the_same_are_not(here: Path) -> None:
    np.save("a.npy", some_right(val_labels(), 0.7, 1000))
    swapped = np.load("a.npy")
    wrong = np.flatnonzero(swapped != val_labels())[:2]
    swapped[wrong[0]] = (
        (swapped[wrong[0]] + 1) % 1000 if (swapped[wrong[0]] + 1) % 1000 != val_labels()[wrong[0]] else 0
    )
    np.save("b.npy", swapped)
    words = ("--model", "m", "--shift", "imagenet", "--order", "official")
    assert row_of("import", "a.npy", *words) == row_of("import", "a.npy", *words)
    refused("other answers", "import", "b.npy", *words, status=1)


def test_a_record_does_not_change_its_origin(here: Path) -> None:
    np.save("a.npy", some_right(val_labels(), 0.7, 1000))
    row_of("import", "a.npy", "--model", "m", "--shift", "imagenet", "--order", "official")
    (stored,) = ResultStore(Path("effrob-results"))
    told = stored.record.as_json()
    assert told["origin"] == "imported" and from_json(told) == stored.record
    with pytest.raises(Exception, match="it was edited"):
        from_json({**told, "origin": "measured"})
    old = {name: value for name, value in told.items() if name != "origin"}
    with pytest.raises(Exception, match="it was edited"):
        from_json(old)
    assert run("leaderboard", "--published", "none", "--baseline", "measured").exit_code == 0


def test_answers_of_a_model_measured_here_give_its_own_numbers_when_imported(here: Path, pocket_data: Path) -> None:
    rows = effrob.evaluate("pocket:mlp", ["pocket", "pocket-v2"], suite="pocket", data=pocket_data, device="cpu")
    measured = {row.shift: row for row in rows}
    for name, row in measured.items():
        with np.load(Path(str(row.record)) / "predictions.npz") as held:
            order = np.random.default_rng(0).permutation(len(held["id"]))
            np.savez(f"{name}.npz", ids=held["id"][order], classes=held["predicted"][order])
    words = ("--data", pocket_data, "--model", "twin")
    twin = row_of("import", "pocket-v2.npz", "--shift", "pocket-v2", "--clean", "pocket.npz", *words)
    one = measured["pocket-v2"].as_json()
    for name in ("n", "n_correct", "clean_accuracy", "clean_accuracy_full", "accuracy_1000way"):
        assert twin[name] == one[name], name
    # The network is one of its own baseline, and its twin by another name is not: on the whole line both are one.
    assert effrob.fit("pocket-v2").effective_robustness(one["clean_accuracy"], one["accuracy"]) == pytest.approx(
        twin["effective_robustness"], abs=1e-12
    )
    assert "conservative-interval" not in twin["flags"]
    (found,) = json.loads(run("compare", "twin", "pocket:mlp", "--shift", "pocket-v2", "--json").stdout)
    assert found["paired"] and found["accuracy_difference"] == 0 and found["mcnemar_p"] == 1.0
    assert (found["first_source"], found["second_source"]) == ("imported", "measured")


def test_one_set_under_flat_and_folder_names_is_paired(here: Path) -> None:
    flat = np.array(["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"])
    filed = np.array(["n01440764/ILSVRC2012_val_00000002.JPEG", "n01440764/ILSVRC2012_val_00000001.JPEG"])
    one, two = same_names(flat, filed)
    assert one.tolist() == flat.tolist() and set(two.tolist()) == set(flat.tolist())
    twice = np.array(["a/1.jpg", "b/1.jpg"]), np.array(["a/1.jpg", "c/1.jpg"])
    assert same_names(*twice)[1].tolist() == twice[1].tolist()


def test_numbers_that_could_be_counted_two_ways_are_refused(here: Path) -> None:
    space = imagenet().subset("r")
    few = [space.groups[k][0] for k in range(3)]
    np.savez("r.npz", ids=np.array([f"{space.class_ids[k]}/art_0.jpg" for k in range(3)]), classes=np.array(few))
    words = ("--model", "m", "--shift", "imagenet-r", "--partial")
    refused("could count the 200 classes of imagenet-r or all 1000", "import", "r.npz", *words)
    np.savez("r.npz", ids=np.load("r.npz")["ids"], classes=np.array(space.class_ids[:3]))
    assert row_of("import", "r.npz", *words)["n_correct"] == 3


def test_the_testbeds_protocol_counts_five_of_the_best_by_membership(here: Path) -> None:
    table = imagenet()
    folders, ids = list(table.object_groups), list(official_ids("objectnet"))
    targets = np.array([folders.index(id.partition("/")[0]) for id in ids])
    scores = np.random.default_rng(0).random((len(ids), 1000)).astype(np.float32)
    scores[np.arange(len(ids)), [table.object_groups[folders[k]][0] for k in targets]] += 0.3
    np.savez("o.npz", ids=np.array(ids), logits=scores)
    owner = table.objects(shifts.PROTOCOLS["testbed"]).owner
    best = owner[np.argsort(-np.where(owner >= 0, scores, -np.inf), axis=1, kind="stable")[:, :5]]
    row = row_of("import", "o.npz", "--model", "m", "--shift", "objectnet", "--protocol", "testbed")
    assert row["accuracy_top5"] == pytest.approx((best == targets[:, None]).any(axis=1).mean(), abs=1e-12)
    assert row["accuracy_top5"] < row_of("import", "o.npz", "--model", "m", "--shift", "objectnet")["accuracy_top5"]


CORRECT = {
    "squeezenet1_0": 892,
    "mobilenet_v1_0.25_128": 700,
    "mobilenet_v1_0.5_160": 942,
    "mobilenet_v1_0.75_192": 995,
}


@pytest.mark.parametrize("name", CORRECT)
def test_real_networks_answers_on_real_photographs(here: Path, real: Path, name: str) -> None:
    row = row_of("import", real / "expected" / f"{name}.npz", "--model", name, "--shift", "imagenet", "--partial")
    assert (row["n"], row["n_correct"], row["n_expected"], row["partial"]) == (1300, CORRECT[name], N, True)


def test_real_answers_among_a_thousand_classes_are_refused_on_objectnet(here: Path, real: Path) -> None:
    with np.load(real / "objectnet_predictions" / "ResNet.npz") as held:
        folders = {
            v: k
            for k, v in json.loads(
                (real / "objectnet_predictions" / "folder_to_objectnet_label.json").read_text()
            ).items()
        }
        ids = np.array([f"{folders[c]}/{i}" for c, i in zip(held["objectnet_class"].tolist(), held["image"].tolist())])
        np.savez("o.npz", ids=ids, classes=held["top5"][:, 0])
    refused("are outside the 113 classes", "import", "o.npz", "--model", "resnet", "--shift", "objectnet")

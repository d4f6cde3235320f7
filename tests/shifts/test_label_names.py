"""Labels go by the names that a copy gives them, and what stands beside an image must agree with its label."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from form_writers import TABLE, index_in, pack, picture, put

import shifts
from shifts.imagenet import val_labels

ORDER = random.Random(0).sample(range(1000), 1000)
NAMINGS: dict[str, Callable[[int], str]] = {
    "id": lambda k: TABLE.ids[k],
    "id name": lambda k: f"{TABLE.ids[k]} {TABLE.names[k]}",
    "id, name": lambda k: f"{TABLE.ids[k]}, {TABLE.names[k]}",
    "id_name": lambda k: f"{TABLE.ids[k]}_{TABLE.names[k].replace(' ', '_')}",
    "index id": lambda k: f"{k} {TABLE.ids[k]}",
    "index": str,
}


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))


def right(root: Path) -> int:
    shift = shifts.load("imagenet", root, partial=True)
    assert [index_in(example.image) for example in shift] == shift.targets.tolist()
    return len(shift)


def refusal(root: Path) -> str:
    with pytest.raises(shifts.DataError) as caught:
        shifts.load("imagenet", root, partial=True)
    return str(caught.value)


def shard(root: Path, shown: list[int], labels: list[int], beside: list[Any] | None = None) -> None:
    files: dict[str, bytes] = {}
    for k, (index, label) in enumerate(zip(shown, labels, strict=True)):
        files |= {f"s{k:05d}.jpg": picture(index), f"s{k:05d}.cls": str(label).encode()}
        if beside is not None:
            files[f"s{k:05d}.json"] = json.dumps(beside[k]).encode()
    pack(root / "imagenet-1k/test/0.tar", files)


def table(root: Path, shown: list[int], labels: list[int], names: list[str] | None = None, **columns: Any) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": picture(index), "path": f"img_{k}.jpg"} for k, index in enumerate(shown)], kind)
    written = pa.table({"image": rows, "label": labels, **columns})
    about = {"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}}
    (root / "imagenet-1k").mkdir(parents=True, exist_ok=True)
    written = written.replace_schema_metadata({"huggingface": json.dumps(about)} if names else None)
    pq.write_table(written, root / "imagenet-1k/validation-00000-of-00001.parquet")


@pytest.mark.parametrize("naming", NAMINGS)
def test_images_go_by_what_their_label_is_called(tmp_path: Path, naming: str) -> None:
    names, numbers = [NAMINGS[naming](k) for k in ORDER], [0, 1, 2, 3, 4]
    table(tmp_path / "table", ORDER[:5], numbers, names)
    assert right(tmp_path / "table") == 5
    for file, code in (("classnames.txt", "utf-8"), ("labels.txt", "utf-8"), ("classnames.txt", "utf-16")):
        root = tmp_path / f"{file}-{code}"
        shard(root, ORDER[:5], numbers)
        put(root / "imagenet-1k" / file, "\n".join(names).encode(code))
        assert right(root) == 5


def test_names_in_the_dataset_info_of_a_readme_count(tmp_path: Path) -> None:
    table(tmp_path, ORDER[:5], [0, 1, 2, 3, 4])
    lines = "".join(f"          '{k}': {TABLE.ids[index]}\n" for k, index in enumerate(ORDER))
    head = "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: label\n    dtype:\n"
    put(
        tmp_path / "imagenet-1k/README.md", f"{head}      class_label:\n        names:\n{lines}---\n# A copy\n".encode()
    )
    assert right(tmp_path) == 5


def test_names_that_are_no_classes_or_too_many_are_refused(tmp_path: Path) -> None:
    table(tmp_path / "table", [0, 1], [0, 1], ["thing one", *(f"thing {k}" for k in range(1, 1000))])
    assert "'thing one', which is no class" in refusal(tmp_path / "table")
    shard(tmp_path / "long", [0, 1], [0, 1])
    put(tmp_path / "long/imagenet-1k/classnames.txt", "\n".join(["class", *TABLE.ids]).encode())
    assert "names 1,001 labels, the first 'class'" in refusal(tmp_path / "long")


def test_an_excerpt_of_the_names_is_passed_over_where_it_agrees_and_refused_where_not(tmp_path: Path) -> None:
    for name, excerpt in (("same", TABLE.ids[:3]), ("other", TABLE.ids[1:3])):
        shard(tmp_path / name, [0, 7], [0, 7])
        put(tmp_path / name / "imagenet-1k/classnames.txt", "\n".join(excerpt).encode())
    assert right(tmp_path / "same") == 2
    assert "names 2 labels, the first 'n01443537'" in refusal(tmp_path / "other")


@pytest.mark.parametrize(
    "form",
    ["resized_{}.JPEG", "{}_256.JPEG", "{} (1).JPEG", "{}.JPEG.jpg", "00012_{}.png"],
)
@pytest.mark.parametrize("stem", ["ILSVRC2012_val_{:08d}", "ILSVRC2012-val-{:08d}", "ILSVRC2012_val_{:05d}"])
def test_an_official_number_inside_a_name_must_agree_with_the_folder(tmp_path: Path, form: str, stem: str) -> None:
    labels = val_labels()[:3].tolist()
    for number, index in enumerate(labels, start=1):
        put(tmp_path / "right/imagenet/val" / TABLE.ids[index] / form.format(stem.format(number)), picture(index))
        wrong = TABLE.ids[labels[number % 3]]
        put(tmp_path / "wrong/imagenet/val" / wrong / form.format(stem.format(number)), picture(index))
    assert right(tmp_path / "right") == 3
    assert "contradicts" in (said := refusal(tmp_path / "wrong")) or "wrong folder" in said


FIELDS: dict[str, Callable[[int, int], Any]] = {
    "filename": lambda number, k: f"val/ILSVRC2012_val_{number:08d}.JPEG",
    "file_name": lambda number, k: f"ILSVRC2012_val_{number:08d}.JPEG",
    "class_index": lambda number, k: k,
    "synset_id": lambda number, k: TABLE.ids[k],
    "synset": lambda number, k: TABLE.ids[k],
    "WordNetID": lambda number, k: TABLE.ids[k],
    "wordnet_id": lambda number, k: TABLE.ids[k],
    "label_name": lambda number, k: TABLE.ids[k],
}


@pytest.mark.parametrize("field", [*FIELDS, "image_id"])
def test_what_stands_beside_an_image_must_agree_with_its_label(tmp_path: Path, field: str) -> None:
    labels = val_labels()[:3].tolist()
    said = [FIELDS.get(field, FIELDS["file_name"])(n, k) for n, k in enumerate(labels, start=1)]
    table(tmp_path / "right", labels, labels, **{field: said})
    table(tmp_path / "wrong", labels, [*labels[1:], labels[0]], **{field: said})
    roots = ["right", "wrong"]
    if field in FIELDS:
        shard(tmp_path / "right-shard", labels, labels, [{field: each} for each in said])
        shard(tmp_path / "wrong-shard", labels, [*labels[1:], labels[0]], [{field: each} for each in said])
        roots += ["right-shard", "wrong-shard"]
    for root in roots:
        if root.startswith("right"):
            assert right(tmp_path / root) == 3
        else:
            assert "contradicts" in (answer := refusal(tmp_path / root)) or "two classes" in answer

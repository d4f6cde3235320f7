"""Every set in every form: an oracle scores 1, ids and digests are those of the folder, contradictions are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from form_writers import FOLDERS, FORMS, SETS, TABLE, Sample, Writer, index_in, pack, put

import model_zoo
import shifts
from shifts.classes import class_folders


class Oracle(torch.nn.Module):
    """Answers with the class that a flat picture encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.none = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        digits = ((pictures.mean((2, 3)) * 255 - 12) / 25).round().clamp(0, 9).long()
        index = digits[:, 0] * 100 + digits[:, 1] * 10 + digits[:, 2]
        return torch.nn.functional.one_hot(index, 1000) * 5.0 + self.none


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SETS)
def test_each_form_of_each_set_is_the_folder(name: str, form: str, tmp_path: Path) -> None:
    FORMS[form](tmp_path / "data", name, SETS[name])
    shift = shifts.load(name, root=tmp_path / "data", partial=True)
    assert len(shift) == len(SETS[name])
    answers = [shift.labels.owner[index_in(example.image)] for example in shift]
    assert answers == shift.targets.tolist()
    (found,) = (each for each in shifts.find(tmp_path / "data") if each.name == name)
    assert found.form == form.split(" ")[-1] and found.images == len(SETS[name])
    FORMS["folder"](tmp_path / "unpacked", name, SETS[name])
    folder = shifts.load(name, root=tmp_path / "unpacked", partial=True)
    assert shift.ids == folder.ids and shift.source.digest() == folder.source.digest()
    assert shift.targets.tolist() == folder.targets.tolist()
    assert shifts.check_shift(shift, len(shift)) == ()


@pytest.mark.parametrize("form", FORMS)
def test_an_oracle_network_scores_one_on_all_sets(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from effrob.evaluation.evaluator import Evaluation
    from effrob.evaluation.request import Request

    monkeypatch.setattr("model_zoo.registered._live", {})
    model_zoo.register("oracle", Oracle, pixels=model_zoo.PixelSpec((48, 48), (48, 48), mean=(0, 0, 0), std=(1, 1, 1)))
    for name, samples in SETS.items():
        FORMS[form](tmp_path / "data", name, samples)
    request = Request(
        ("oracle",), data=tmp_path / "data", partial=True, progress=False, device="cpu",
        results=tmp_path / "r", cache=tmp_path / "c",
    )  # fmt: skip
    report = Evaluation(request).run()
    assert not report.failures and len(report.stored) == 6
    for stored in report.stored:
        counts = stored.record.counts
        assert counts.n_correct == counts.n == len(SETS[stored.record.asked.shift])


def wrong(name: str) -> list[Sample]:
    """The set's images with one that its name and its label speak of differently, in each form the same one."""
    of = class_folders(name)
    first, *rest = SETS[name]
    other = next(label for label in range(5, 9) if of.folders[label] != of.folders[first.label])
    wnid = min(of.class_ids[of.folders[first.label]])
    stem, _, extension = first.path.rpartition("/")[2].rpartition(".")
    file = f"{stem}.{extension}" if name == "imagenet" else f"{stem}_{wnid}.{extension}"
    return [Sample(f"{of.prefix}{of.folders[other]}/{file}", other, first.content), *rest]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SETS)
def test_a_label_that_the_name_contradicts_is_refused(name: str, form: str, tmp_path: Path) -> None:
    FORMS[form](tmp_path, name, wrong(name))
    with pytest.raises(shifts.DataError) as refused:
        shifts.load(name, root=tmp_path, partial=True)
    stem = wrong(name)[0].path.rpartition("/")[2].rpartition(".")[0]
    assert stem in str(refused.value) and any(word in str(refused.value) for word in ("label", "folder"))


def flat(root: Path, name: str, samples: list[Sample]) -> None:
    for sample in samples:
        put(root / "imagenet/val" / sample.path.rpartition("/")[2], sample.content)


def flat_tar(root: Path, name: str, samples: list[Sample]) -> None:
    pack(root / "ILSVRC2012_img_val.tar", {sample.path.rpartition("/")[2]: sample.content for sample in samples})


def other_suffix(root: Path, name: str, samples: list[Sample]) -> None:
    for sample in samples:
        put(
            root / "imagenet/val" / sample.path.replace(".JPEG", f"_{sample.path.partition('/')[0]}.jpg"),
            sample.content,
        )


def devkit_folders(root: Path, name: str, samples: list[Sample]) -> None:
    for sample in samples:
        put(root / f"imagenet/val/{sample.label + 1}" / sample.path.rpartition("/")[2], sample.content)


def wnid_folders(root: Path, name: str, samples: list[Sample]) -> None:
    for sample in samples:
        index, _, file = sample.path.partition("/")
        put(root / FOLDERS[name] / TABLE.ids[int(index)] / file, sample.content)


def padded_folders(root: Path, name: str, samples: list[Sample]) -> None:
    for sample in samples:
        index, _, file = sample.path.partition("/")
        put(root / FOLDERS[name] / f"{int(index):04d}" / file, sample.content)


def bare_folders(root: Path, name: str, samples: list[Sample]) -> None:
    for sample in samples:
        put(root / FOLDERS[name] / sample.path.removeprefix("images/"), sample.content)


def named_column(root: Path, name: str, samples: list[Sample]) -> None:
    """The image without a path, and its file's name in a column of its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (root / name).mkdir(parents=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "image": pa.array([{"bytes": sample.content, "path": None} for sample in samples], kind),
        "label": [sample.label for sample in samples],
        "file_name": [sample.path for sample in samples],
    }
    pq.write_table(pa.table(columns), root / f"{name}/test.parquet")


LAYOUTS = {
    "imagenet": (flat, flat_tar, other_suffix, devkit_folders),
    "imagenet-v2": (wnid_folders, padded_folders, named_column),
    "objectnet": (bare_folders, named_column),
    "imagenet-a": (named_column,),
}


@pytest.mark.parametrize(("name", "write"), [(name, write) for name, all in LAYOUTS.items() for write in all])
def test_a_layout_of_other_names_has_the_ids_of_the_official_folders(name: str, write: Writer, tmp_path: Path) -> None:
    write(tmp_path / "other", name, SETS[name])
    FORMS["folder"](tmp_path / "official", name, SETS[name])
    other, official = (shifts.load(name, root=tmp_path / each, partial=True) for each in ("other", "official"))
    assert other.ids == official.ids and other.targets.tolist() == official.targets.tolist()
    assert other.source.digest() == official.source.digest()
    assert shifts.check_shift(other, len(other)) == ()
    assert [index_in(example.image) for example in other] == [index_in(example.image) for example in official]


def test_two_files_of_one_official_name_keep_their_own(tmp_path: Path) -> None:
    for suffix in ("jpg", "JPEG"):
        put(tmp_path / f"sketch/n01440764/sketch_1.{suffix}", SETS["imagenet-sketch"][0].content)
    shift = shifts.load("imagenet-sketch", root=tmp_path, partial=True)
    assert shift.ids == ("n01440764/sketch_1.JPEG", "n01440764/sketch_1.jpg")


def test_images_whose_names_a_copy_has_lost_have_a_digest_of_their_own(tmp_path: Path) -> None:
    samples = SETS["imagenet-a"]
    lost = [sample._replace(path=f"{sample.path.partition('/')[0]}/s{n:07d}.jpg") for n, sample in enumerate(samples)]
    FORMS["hub shards"](tmp_path / "lost", "imagenet-a", lost)
    FORMS["folder"](tmp_path / "official", "imagenet-a", samples)
    copy, official = (shifts.load("imagenet-a", root=tmp_path / each, partial=True) for each in ("lost", "official"))
    assert copy.source.digest() != official.source.digest()
    assert sorted(copy.targets.tolist()) == sorted(official.targets.tolist())

"""Every set in every form: an oracle scores 1, ids and digests are those of the folder, contradictions are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from form_writers import FORMS, SETS, Sample, index_in

import model_zoo
import shifts
from shifts.classes import class_folders

# a key of a shard ends at its first dot, so the names of ImageNet-A's images change in shards
RENAMED = {("imagenet-a", "shards"), ("imagenet-a", "hub shards")}


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
    assert found.form == form.removeprefix("hub ") and found.images == len(SETS[name])
    FORMS["folder"](tmp_path / "unpacked", name, SETS[name])
    folder = shifts.load(name, root=tmp_path / "unpacked", partial=True)
    if (name, form) not in RENAMED:
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
    stem = wrong(name)[0].path.rpartition("/")[2].partition(".")[0]
    assert stem in str(refused.value) and any(word in str(refused.value) for word in ("label", "folder"))

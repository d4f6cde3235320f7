"""The official archives read in place give the features of the unpacked folders, set by set, and nothing is unpacked."""

from __future__ import annotations

import io
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import model_zoo
import shifts
from effrob.evaluation.data import load_shift
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS
from model_zoo import PixelSpec
from shifts import classes
from shifts.errors import DataError
from shifts.storage.tar import TarTree
from shifts.storage.zip import ZipTree
from tests.scale import hostile

TABLE = classes.imagenet()
V2 = "imagenetv2-matched-frequency"
SETS = shifts.suite("imagenet").tests


def pictures(suffix: str, names: list[str], seed: int) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    made = {}
    for name in names:
        buffer = io.BytesIO()
        picture = Image.fromarray(rng.integers(0, 255, (40, 52, 3), dtype=np.uint8))
        picture.save(buffer, "PNG" if suffix == "png" else "JPEG")
        made[f"{name}.{suffix}"] = buffer.getvalue()
    return made


def official() -> dict[str, tuple[str, str, dict[str, bytes]]]:
    """Set -> (folder it is unpacked to, archive, files by their path in the archive below the folder's top)."""
    r, a, every = TABLE.subsets["r"][:3], TABLE.subsets["a"][:3], TABLE.ids[:3]
    names = {
        "imagenet": [f"ILSVRC2012_val_{n:08d}" for n in range(1, 9)],
        "imagenet-v2": [f"{k}/x{k}" for k in (2, 10, 999, 0)],
        "imagenet-r": [f"{w}/art_{n}" for w in r for n in (0, 1)],
        "imagenet-sketch": [f"{w}/sketch_{n}" for w in every for n in (0, 9)],
        "objectnet": [f"images/{o}/{o}1" for o in list(TABLE.object_groups)[:4]],
        "imagenet-a": [f"{w}/0.1_fox_0.{n}" for w in a for n in (3, 4)],
    }
    places = {
        "imagenet": ("imagenet/val", "ILSVRC2012_img_val.tar", "JPEG"),
        "imagenet-v2": (f"{V2}-format-val", f"{V2}.tar.gz", "jpeg"),
        "imagenet-r": ("imagenet-r", "imagenet-r.tar", "jpg"),
        "imagenet-sketch": ("sketch", "ImageNet-Sketch.zip", "JPEG"),
        "objectnet": ("objectnet-1.0", "objectnet-1.0.tar", "png"),
        "imagenet-a": ("imagenet-a", "imagenet-a.tar", "jpg"),
    }
    return {
        name: (folder, archive, pictures(suffix, names[name], seed))
        for seed, (name, (folder, archive, suffix)) in enumerate(places.items())
    }


def pack(archive: Path, top: str, files: dict[str, bytes]) -> None:
    inside = {(f"{top}/" if top else "") + name: content for name, content in files.items()}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in (inside | {"__MACOSX/._sketch": b"mac"}).items():
                packed.writestr(name, content)
        return
    with tarfile.open(archive, "w") as packed:
        for name, content in inside.items():
            info, _ = hostile.member(name, content)
            packed.addfile(info, io.BytesIO(content))


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = torch.nn.Linear(3 * 16 * 16, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("model_zoo.registered._live", {})
    model_zoo.register("in-place", Net, pixels=PixelSpec((16, 16), (16, 16)))
    yield
    load_shift.cache_clear()
    ENCODERS.clear()


def test_all_six_sets_give_the_folders_features(tmp_path: Path) -> None:
    for folder, archive, files in official().values():
        hostile.plant(tmp_path / "unpacked" / folder, files)
        (tmp_path / "packed").mkdir(exist_ok=True)
        top = "" if archive.startswith("ILSVRC") else folder
        pack(tmp_path / "packed" / archive, top, files)
    before = sorted(p.name for p in (tmp_path / "packed").iterdir())
    arrays, predictions = [], []
    for data in ("unpacked", "packed"):
        request = Request(
            ("in-place",), data=tmp_path / data, partial=True, progress=False, device="cpu",
            results=tmp_path / data / ".r", cache=tmp_path / data / ".c",
        )  # fmt: skip
        evaluation = Evaluation(request)
        report = evaluation.run()
        assert [s.record.asked.shift for s in report.stored] == list(SETS) and not report.failures
        arrays.append({c.shift.name: np.array(evaluation._features(c, c.shift).array) for c in evaluation.tasks})
        predictions.append({s.record.asked.shift: (s.folder / "predictions.npz").read_bytes() for s in report.stored})
        assert [len(c.shift) for c in evaluation.tasks] == [len(files) for _, _, files in official().values()]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in SETS)
    assert predictions[0] == predictions[1]
    there = sorted(p.name for p in (tmp_path / "packed").iterdir())
    assert there == sorted([*before, ".c", ".r"]) and len(before) == 6  # nothing was unpacked


def test_50_000_entries_are_indexed_in_seconds_and_a_change_is_seen(tmp_path: Path) -> None:
    """Processor time, so that a busy machine does not count."""
    head, path = hostile.member("x")[0], tmp_path / "big.tar"
    with path.open("wb") as file:
        for number in range(50_000):
            head.name, head.size = f"imagenet-r/{hostile.R[number % 200]}/art_{number}.jpg", 700
            file.write(head.tobuf(tarfile.USTAR_FORMAT) + b"x" * 1024)
        file.write(b"\0" * 1024)
    begun = time.process_time()
    tree = TarTree(path, "imagenet-r/", index=tmp_path / "index")
    assert len(tree.paths) == 50_000
    took = time.process_time() - begun
    assert took < 5, f"{took:.1f} s"
    begun = time.process_time()
    assert len(TarTree(path, "imagenet-r/", index=tmp_path / "index").paths) == 50_000
    assert time.process_time() - begun < took
    with path.open("r+b") as file:
        file.truncate(1536 * 100)
        file.seek(0, 2)
        file.write(b"\0" * 1024)
    assert len(TarTree(path, "imagenet-r/", index=tmp_path / "index").paths) == 100


def test_a_zip_is_read_whatever_its_members_are_packed_with(tmp_path: Path) -> None:
    files = {f"sketch/{w}/sketch_{n}.JPEG": bytes([n]) * (400 * n) for w in TABLE.ids[:2] for n in (0, 1, 7)}
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for number, (name, content) in enumerate(files.items()):
            packed.writestr(name, content, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2])
        packed.writestr("sketch/README.txt", "readme")
        packed.mkdir("sketch/empty")
    tree = ZipTree(path, "*/")
    assert {f"sketch/{p}": tree.read(p) for p in tree.paths} == files and tree.read("README.txt") == b"readme"
    assert repr(tree).startswith("ZipTree") and tree.stat(tree.paths[1]).size == 400
    with pytest.raises(KeyError):
        tree.read("absent.jpg")
    data = bytearray(path.read_bytes())
    at = data.index(b"\7" * 100)
    data[at] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="damaged at"):
        [tree.read(p) for p in tree.paths]


def test_a_zip_is_refused_where_it_cannot_be_read_safely(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_BZIP2) as packed:
        packed.writestr("sketch/n01440764/a.JPEG", b"x" * 900)
    with pytest.raises(DataError, match="compressed in a way"):
        _ = ZipTree(tmp_path / "b.zip", "*/").paths
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as packed, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            packed.writestr("sketch/n01440764/a.JPEG", b"x")
    with pytest.raises(DataError, match="twice"):
        _ = ZipTree(tmp_path / "c.zip", "*/").paths

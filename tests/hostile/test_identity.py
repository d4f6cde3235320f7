"""Identity is content: another copy, changed pictures, edited helpers and rotten caches never give an old or a wrong number."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import model_zoo
from effrob.errors import StaleCache
from effrob.evaluation.content import source_digest
from effrob.evaluation.data import load_shift
from effrob.evaluation.evaluator import Evaluation, EvaluationReport
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS
from effrob.features import loader
from effrob.features.cache import SHARD_ROWS, FeatureCache, FeatureKey
from shifts.storage.folder import FolderSource
from shifts.storage.tar import TarTree
from shifts.storage.tree import TreeSource

SIZE = 8000  # bytes that every picture is filled up to


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    """As a new process would."""
    load_shift.cache_clear()
    ENCODERS.clear()


@pytest.fixture
def copies(tmp_path: Path, pocket_data: Path) -> tuple[Path, Path]:
    """Two copies of pocket-v2 with equal names, sizes and times; in the second every picture is another class's."""
    first, second = tmp_path / "first", tmp_path / "second"
    held = next(path for path in pocket_data.iterdir() if path.is_dir() and (path / "0").is_dir())
    files = sorted(path.relative_to(held) for path in held.rglob("*") if path.is_file())
    for root, shift in ((first, 0), (second, len(files) // 2)):
        for number, file in enumerate(files):
            to = root / held.name / file
            to.parent.mkdir(parents=True, exist_ok=True)
            content = (held / files[(number + shift) % len(files)]).read_bytes()
            assert len(content) <= SIZE
            to.write_bytes(content.ljust(SIZE, b"\0"))
            os.utime(to, ns=(10**18, 10**18))
    return first, second


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., Request]:
    def made(data: Path, *models: str, **changes: object) -> Request:
        given = {"heads": ("native",), "shifts": ("pocket-v2",), "limit": 60} | changes
        return Request(models or ("pocket:linear",), suite="pocket", data=data, progress=False, device="cpu",
                       results=tmp_path / "results", cache=tmp_path / "cache", **given)  # type: ignore[arg-type]  # fmt: skip

    return made


def accuracy(report: EvaluationReport) -> float:
    assert not report.failures, report.failures
    (stored,) = report.stored
    return stored.record.counts.n_correct / stored.record.counts.n


def test_a_copy_of_other_pixels_put_in_a_sets_place_is_another_set(
    copies: tuple[Path, Path], request_of: Callable[..., Request]
) -> None:
    first, second = copies
    before = accuracy(Evaluation(request_of(first)).run())
    (there,) = first.iterdir()
    shutil.rmtree(there)
    (second / there.name).rename(there)
    forget()
    assert accuracy(Evaluation(request_of(first)).run()) < before - 0.1


def test_pictures_overwritten_in_place_with_their_times_put_back_are_other_pictures(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = copies
    digest = source_digest(FolderSource(first), tmp_path / "cache")
    for path in first.rglob("*.*"):
        with path.open("r+b") as file:  # the same inode
            file.write((second / path.relative_to(first)).read_bytes())
        os.utime(path, ns=(10**18, 10**18))
    assert source_digest(FolderSource(first), tmp_path / "cache") == source_digest(FolderSource(second), tmp_path / "c")
    assert source_digest(FolderSource(first), tmp_path / "cache") != digest


def test_a_picture_changed_within_the_tick_of_its_writing_is_seen(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number}" / "a.png"
        path.parent.mkdir()
        path.write_bytes(b"one")
        before = FolderSource(path.parent).stat()
        path.write_bytes(b"two")
        assert FolderSource(path.parent).stat() != before


def test_an_archive_put_in_anothers_place_is_indexed_anew(tmp_path: Path) -> None:
    import tarfile

    def packed(path: Path, names: tuple[str, str]) -> Path:
        with tarfile.open(path, "w") as archive:
            for name in names:
                (tmp_path / "p").write_bytes(name.encode() * 200)
                archive.add(tmp_path / "p", name)
        os.utime(path, ns=(10**18, 10**18))
        return path

    first, second = packed(tmp_path / "a.tar", ("a.png", "b.png")), packed(tmp_path / "b.tar", ("b.png", "a.png"))
    assert TarTree(first, index=tmp_path / "index").read("a.png") == b"a.png" * 200
    second.rename(first)
    tree = TarTree(first, index=tmp_path / "index")
    assert tree.read("a.png") == b"a.png" * 200
    assert TreeSource(tree, tree.paths).stat()


@pytest.mark.parametrize("when", ["before its first picture", "between two pictures"])
def test_pictures_changed_while_they_are_read_are_refused_and_then_read_anew(
    when: str, copies: tuple[Path, Path], request_of: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = copies
    other = accuracy(Evaluation(request_of(second)).run())
    forget()
    fill, read = loader.Crops.fill, []

    def filling(self: loader.Crops, row: int, slots: object) -> None:
        read.append(row)
        if len(read) == (1 if when.startswith("before") else 30):
            for path in first.rglob("*.*"):
                path.write_bytes((second / path.relative_to(first)).read_bytes())
        fill(self, row, slots)  # type: ignore[arg-type]

    monkeypatch.setattr(loader.Crops, "fill", filling)
    report = Evaluation(request_of(first)).run()
    assert not report.stored and "changed while it was evaluated" in " ".join(report.failures), report.failures
    assert "run this again" in " ".join(report.failures)
    monkeypatch.setattr(loader.Crops, "fill", fill)
    forget()
    assert accuracy(Evaluation(request_of(first)).run()) == other


def loader_in(folder: Path, helper: str) -> str:
    """A model registered from a file that imports its arithmetic."""
    folder.mkdir(exist_ok=True)
    (folder / "helping_answers.py").write_text(helper)
    (folder / "nets.py").write_text(
        "import torch\nfrom torch import nn\nimport helping_answers\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        torch.manual_seed(0)\n"
        "        self.linear = nn.Linear(3, 20)\n\n    def forward(self, x):\n"
        "        return helping_answers.changed(self.linear(x.mean((2, 3))))\n\n\ndef build():\n    return Net()\n"
    )
    from model_zoo import registration

    pixels = "resize=32,crop=32,interpolation=bilinear,mean=0.5/0.5/0.5,std=0.5/0.5/0.5"
    registration.save(
        registration.Registration("helped", loader=f"{folder / 'nets.py'}:build", pixels=pixels), replace=True
    )
    return "helped"


def renewed() -> None:
    """Forget imported loaders, as a new process would."""
    import sys

    from model_zoo.sources import from_callable

    forget()
    from_callable._told.clear()
    from_callable._waiting.clear()
    for name in [each for each in sys.modules if each.startswith("effrob_loader_") or each == "helping_answers"]:
        del sys.modules[name]


HELPERS = {
    "a helper": ("def changed(x):\n    return x\n", "def changed(x):\n    return -x\n"),
    "a slight change": ("def changed(x):\n    return x\n", "def changed(x):\n    return x * 1.001\n"),
    "a variable": ("import os\n\n\ndef changed(x):\n    return x * float(os.environ.get('SIGN', '1'))\n",) * 2,
    "a file": (
        "from pathlib import Path\n\n\ndef changed(x):\n"
        "    file = Path(__file__).with_name('sign')\n    return x * float(file.read_text() if file.exists() else '1')\n",
    )
    * 2,
}


@pytest.mark.parametrize("what", HELPERS)
def test_a_loader_that_computes_otherwise_is_another_model(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = HELPERS[what]
    name = loader_in(tmp_path / "nets", before)
    renewed()
    first = model_zoo.identify(name).digest
    renewed()
    assert model_zoo.identify(name).digest == first
    loader_in(tmp_path / "nets", after)
    shutil.rmtree(tmp_path / "nets" / "__pycache__", ignore_errors=True)
    if what == "a variable":
        monkeypatch.setenv("SIGN", "-1")
    if what == "a file":
        (tmp_path / "nets" / "sign").write_text("-1")
    renewed()
    assert model_zoo.identify(name).digest != first


def test_a_loader_has_one_identity_whatever_the_number_of_threads(tmp_path: Path) -> None:
    import torch

    name, digests, before = loader_in(tmp_path / "nets", HELPERS["a helper"][0]), set(), torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            renewed()
            digests.add(model_zoo.identify(name).digest)
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1


# --- caches ---

N = SHARD_ROWS + 100
KEY = FeatureKey("m", "default", "p", "exact", 0, "s", N, "fp32")


def filled(root: Path, joined: bool) -> FeatureCache:
    cache = FeatureCache(root)
    cache.open(KEY, {"kind": "penultimate"})
    rows = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)
    for part in cache.missing(KEY):
        cache.write(KEY, part.start, rows[part.start : part.stop])
    if joined:
        cache.merge(KEY)
    return cache


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def of_dtype(path: Path) -> None:
    np.save(path, np.load(path).view(np.int32))


def halved(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float16))


def of_shape(path: Path) -> None:
    array = np.load(path)
    np.save(path, array.reshape(len(array), 5, 1))


def narrower(path: Path) -> None:
    np.save(path, np.load(path)[:, :4])


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -4 * 5 * 50])


def zeroed(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


ROT = (flipped, of_dtype, halved, of_shape, narrower, truncated, zeroed)


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("rot", ROT, ids=lambda rot: rot.__name__)
def test_rotten_features_are_refused_and_made_anew(rot: Callable[[Path], None], joined: bool, tmp_path: Path) -> None:
    cache = filled(tmp_path, joined)
    good = np.array(filled(tmp_path / "good", True).merge(KEY).array)
    file = sorted(cache.folder(KEY).glob("*.npy"))[0]
    kept = file.stat()
    rot(file)
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    with pytest.raises(StaleCache, match="delete that file"):
        cache.merge(KEY)
    file.unlink()  # as the sentence says
    assert np.array_equal(filled(tmp_path, True).merge(KEY).array, good)


def test_rotten_crops_are_decoded_anew(
    copies: tuple[Path, Path], request_of: Callable[..., Request], tmp_path: Path
) -> None:
    first, _ = copies
    right = accuracy(Evaluation(request_of(first, pixel_cache=tmp_path / "crops")).run())
    kept = {crops: np.load(crops) for crops in (tmp_path / "crops").rglob("rows-*.npy")}
    for crops, array in kept.items():
        np.save(crops, array[::-1])
    forget()
    for held in ("cache", "results"):
        shutil.rmtree(tmp_path / held)
    assert accuracy(Evaluation(request_of(first, pixel_cache=tmp_path / "crops")).run()) == right
    assert kept and all(np.array_equal(np.load(crops), array) for crops, array in kept.items())


@pytest.mark.parametrize("rot", [flipped, zeroed], ids=lambda rot: rot.__name__)
def test_a_rotten_classifier_is_never_scored(
    rot: Callable[[Path], None],
    tiny_clip: str,
    copies: tuple[Path, Path],
    request_of: Callable[..., Request],
    tmp_path: Path,
) -> None:
    asked = request_of(copies[0], tiny_clip, heads=("zero-shot",), prompts=("simple",))
    right = accuracy(Evaluation(asked).run())
    (kept,) = (tmp_path / "cache" / "readouts").rglob("*.safetensors")
    rot(kept)
    shutil.rmtree(tmp_path / "results")
    forget()
    report = Evaluation(asked).run()
    assert not report.stored and "delete that file" in " ".join(report.failures), (right, report)
    kept.unlink()
    assert accuracy(Evaluation(asked).run()) == right


def test_a_rotten_list_of_digests_is_made_anew(
    copies: tuple[Path, Path], request_of: Callable[..., Request], tmp_path: Path
) -> None:
    first, _ = copies
    right = accuracy(Evaluation(request_of(first)).run())
    for held in sorted((tmp_path / "cache" / "sources").iterdir()):
        kept = held.read_bytes()
        flipped(held)
        if held.suffix == ".json":
            held.write_text(json.dumps(json.loads(kept) | {"digest": "0" * 64}))
    shutil.rmtree(tmp_path / "cache" / "features")
    shutil.rmtree(tmp_path / "results")
    forget()
    report = Evaluation(request_of(first)).run()
    assert accuracy(report) == right
    assert report.stored[0].record.asked.source != "0" * 64

"""WebDataset shards, written by webdataset itself, read as the folder they were made of, here and over HTTP."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import shifts
from shifts.classes import labels_of
from shifts.errors import DataError, DataMissing
from shifts.storage.folder import FolderSource
from shifts.storage.shards import ShardTree
from shifts.storage.tree import TreeSource

R = labels_of("imagenet-r")


def sample(shard: Path, files: dict[str, bytes]) -> Path:
    shard.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(shard, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return shard


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def packed(pocket_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pocket-r in seven shards of webdataset's own making."""
    webdataset = pytest.importorskip("webdataset")
    root = tmp_path_factory.mktemp("packed")
    (root / "pocket-r.wds").mkdir()
    folders = labels_of("pocket-r")
    source = FolderSource(pocket_data / "pocket-r")
    with webdataset.ShardWriter(f"{root}/pocket-r.wds/%03d.tar", maxcount=100, verbose=0) as writer:
        for row, path in enumerate(source.ids):
            key, _, extension = path.rpartition(".")
            label = folders.index(path.split("/")[0])
            writer.write({"__key__": key, extension: source.read(row), "cls": label, "json": {"made": "here"}})
    return root


def test_shards_read_as_the_folder_they_were_made_of(packed: Path, pocket_data: Path) -> None:
    ours, theirs = shifts.load("pocket-r", root=packed), shifts.load("pocket-r", root=pocket_data)
    assert len(list((packed / "pocket-r.wds").iterdir())) == 6 and not ours.partial
    assert ours.ids == theirs.ids and ours.targets.tolist() == theirs.targets.tolist()
    assert ours.source.digest() == theirs.source.digest()
    assert shifts.check_shift(ours) == ()


def test_evaluated_from_shards_every_prediction_is_the_folders(packed: Path, pocket_data: Path, tmp_path: Path) -> None:
    from effrob.evaluation.evaluator import Evaluation
    from effrob.evaluation.request import Request

    files = []
    for data in (packed, pocket_data):
        request = Request(
            ("pocket:cnn-tiny",), ("pocket-r",), suite="pocket", data=data, progress=False, device="cpu", limit=90,
            results=tmp_path / "r" / data.name, cache=tmp_path / "c" / data.name,
        )  # fmt: skip
        (stored,) = Evaluation(request).run().stored
        files.append((stored.folder / "predictions.npz").read_bytes())
    assert files[0] == files[1]


@pytest.fixture
def address(packed: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(packed)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/pocket-r.wds"
    server.shutdown()
    server.server_close()


def test_shards_over_http_are_fetched_once(
    address: str, packed: Path, pocket_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "pocket-r.wds").write_text(f"# six shards\n{address}/{{000..004}}.tar\n{packed}/pocket-r.wds/005.tar\n")
    remote = shifts.load("pocket-r", root=data)
    assert remote.source.digest() == shifts.load("pocket-r", root=pocket_data).source.digest()
    kept = sorted((tmp_path / "cache/shards").glob("*/0*.tar"))
    assert len(kept) == 5
    said = capsys.readouterr().err
    assert said.count("without a checksum") == 5 and hashlib.sha256(kept[0].read_bytes()).hexdigest() in said
    (data / "pocket-r.wds").write_text(f"{address}/{{000..005}}.tar\n")
    before = [file.stat().st_mtime_ns for file in kept]
    assert shifts.load("pocket-r", root=data).ids == remote.ids
    assert [file.stat().st_mtime_ns for file in kept] == before


def test_a_class_may_be_a_number_or_a_folder_name(tmp_path: Path) -> None:
    files = {
        "a.jpg": b"1",
        "a.cls": b"3",
        "b.png": b"2",
        "b.cls": f"{R[7]}\n".encode(),
        "c.webp": b"3",
        "c.cls": b" 0 ",
    }
    sample(tmp_path / "s.wds/0.tar", files)
    tree = ShardTree(tmp_path / "s.wds", R)
    assert tree.paths == tuple(sorted((f"{R[0]}/c.webp", f"{R[3]}/a.jpg", f"{R[7]}/b.png")))
    assert tree.read(f"{R[7]}/b.png") == b"2" and repr(tree).startswith("ShardTree")
    source = TreeSource(tree, tree.paths)
    before = source.stat()
    sample(tmp_path / "s.wds/0.tar", {**files, "a.jpg": b"one"})
    tree = ShardTree(tmp_path / "s.wds", R)
    assert TreeSource(tree, tree.paths).stat() != before and tree.read(f"{R[3]}/a.jpg") == b"one"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.jpg": b"1"}, "without a .cls file"),
        ({"a.cls": b"1"}, "without a picture"),
        ({"a.jpg": b"1", "a.png": b"1", "a.cls": b"1"}, "two pictures"),
        ({"a.jpg": b"1", "a.cls": b"200"}, "a number under 200"),
        ({"a.jpg": b"1", "a.cls": b"-1"}, "a number under 200"),
        ({"a.jpg": b"1", "a.cls": b"n01440764"}, "a number under 200"),
        ({"a.jpg": b"1", "a.cls": b"\xff" * 9000}, "a number under 200"),
        ({"x/a.jpg": b"1", "x/a.cls": b"1", "y/a.jpg": b"1", "y/a.cls": b"1"}, "both hold"),
        ({"../../x/...jpg": b"1", "../../x/...cls": b"1"}, "without a"),
        ({"\udc80.jpg": b"1", "\udc80.cls": b"1"}, "not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_shard_is_named(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    sample(tmp_path / "s.wds/0.tar", files)
    with pytest.raises(DataError, match=words):
        _ = ShardTree(tmp_path / "s.wds", R).paths


def test_absent_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataMissing):
        ShardTree(tmp_path / "s.wds", R)
    (tmp_path / "s.wds").write_text("0.tar\n")
    with pytest.raises(DataMissing, match=r"names the shard 0\.tar"):
        _ = ShardTree(tmp_path / "s.wds", R).paths
    (tmp_path / "s.wds").write_text("# none\n")
    with pytest.raises(DataError, match="names no shard"):
        _ = ShardTree(tmp_path / "s.wds", R).paths
    (tmp_path / "s.wds").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no text"):
        _ = ShardTree(tmp_path / "s.wds", R).paths


def test_numbers_count_in_each_sets_own_order() -> None:
    assert labels_of("imagenet-v2")[999] == "999" and len(labels_of("imagenet-a")) == 200
    objects = labels_of("objectnet")
    assert len(objects) == 113 and list(objects) == sorted(objects)
    assert labels_of("imagenet")[0] == labels_of("imagenet-sketch")[0] == "n01440764"

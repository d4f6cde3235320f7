"""Official archives read in place give the folder's ids, bytes and digest; what is unsafe in one is refused."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import shifts
from shifts import classes
from shifts.errors import DataError, DataMissing
from shifts.storage.folder import FolderSource
from shifts.storage.tar import TarTree
from shifts.storage.tree import TreeSource

FILES = {
    "imagenet-r/README.txt": b"renditions",
    "imagenet-r/n01443537/art_1.jpg": b"one" * 700,
    "imagenet-r/n01443537/art_0.jpg": b"nought",
    "imagenet-r/n01484850/" + "long_" * 30 + ".jpg": b"long",
}


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


def pack(path: Path, files: dict[str, bytes], mode: str = "w", extra: tuple = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        archive.addfile(member("imagenet-r", type=tarfile.DIRTYPE)[0])
        for name, content in files.items():
            archive.addfile(*member(name, content))
        for info, content in extra:
            archive.addfile(info, content)
    return path


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., TarTree]:
    return lambda path, inside="imagenet-r/": TarTree(path, inside, index=tmp_path / "index")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("prefix", ["", "./"])
@pytest.mark.parametrize("inside", ["imagenet-r/", "*/"])
def test_an_archive_reads_as_its_folder(
    tmp_path: Path, opened: Callable[..., TarTree], prefix: str, inside: str
) -> None:
    archive = pack(tmp_path / "imagenet-r.tar", {prefix + name: content for name, content in FILES.items()})
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    tree, folder = opened(archive, inside), FolderSource(tmp_path / "imagenet-r")
    source = TreeSource(tree, tree.paths)
    assert source.ids == folder.ids
    assert source.digest() == folder.digest()
    assert tree.read("README.txt") == b"renditions"
    with pytest.raises(KeyError):
        tree.read("n01443537/absent.jpg")


def test_a_kept_index_is_used_until_the_archive_changes(tmp_path: Path, opened: Callable[..., TarTree]) -> None:
    archive = pack(tmp_path / "a.tar", FILES)
    paths = opened(archive).paths
    (kept,) = (tmp_path / "index").iterdir()
    written = kept.stat().st_mtime_ns
    assert opened(archive).paths == paths
    assert [file.stat().st_mtime_ns for file in (tmp_path / "index").iterdir()] == [written]
    kept.write_bytes(b"damaged")
    assert opened(archive).paths == paths
    pack(archive, {**FILES, "imagenet-r/n01484850/new.jpg": b"new"})
    assert opened(archive).read("n01484850/new.jpg") == b"new"


def test_a_tar_of_tars_reads_as_folders(tmp_path: Path, opened: Callable[..., TarTree]) -> None:
    inner = {}
    for wnid in ("n01440764", "n01443537"):
        packed = pack(tmp_path / f"{wnid}.tar", {f"{wnid}_{n}.JPEG": f"{wnid} {n}".encode() for n in (2, 10)})
        inner[f"{wnid}.tar"] = packed.read_bytes()
    tree = opened(pack(tmp_path / "train.tar", inner), "")
    assert tree.paths == tuple(f"{w}/{w}_{n}.JPEG" for w in ("n01440764", "n01443537") for n in (10, 2))
    assert tree.read("n01443537/n01443537_2.JPEG") == b"n01443537 2"


@pytest.mark.parametrize(
    "bad",
    [
        member("imagenet-r/../../etc/x.jpg", b"1"),
        member("/imagenet-r/x.jpg", b"1"),
        member("elsewhere/x.jpg", b"1"),
        member("imagenet-r/x.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("imagenet-r/x.jpg", type=tarfile.LNKTYPE, linkname="imagenet-r/README.txt"),
        member("imagenet-r/x.jpg", type=tarfile.CHRTYPE),
        member("imagenet-r/n01443537/art_0.jpg", b"again"),
    ],
    ids=["traversal", "absolute", "elsewhere", "symlink", "hardlink", "device", "twice"],
)
def test_an_unsafe_member_is_refused(tmp_path: Path, opened: Callable[..., TarTree], bad) -> None:
    archive = pack(tmp_path / "a.tar", FILES, extra=(bad,))
    with pytest.raises(DataError):
        _ = opened(archive).paths


def test_compressed_and_damaged_archives_are_told_apart(tmp_path: Path, opened: Callable[..., TarTree]) -> None:
    packed = pack(tmp_path / "a.tar.gz", FILES, "w:gz")
    with pytest.raises(DataError, match="is compressed and cannot be read in place"):
        _ = opened(packed).paths
    (tmp_path / "b.tar").write_bytes(b"no archive at all" * 100)
    with pytest.raises(DataError, match="not a readable tar"):
        _ = opened(tmp_path / "b.tar").paths
    with pytest.raises(DataMissing):
        opened(tmp_path / "absent.tar")


def test_an_archive_cut_short_says_so_when_it_is_read(tmp_path: Path, opened: Callable[..., TarTree]) -> None:
    archive = pack(tmp_path / "a.tar", {"imagenet-r/n01443537/big.jpg": b"1" * 50_000})
    tree = opened(archive)
    assert tree.paths
    with archive.open("r+b") as file:
        file.truncate(20_000)
    with pytest.raises(DataError, match="ends inside"):
        tree.read("n01443537/big.jpg")
    with pytest.raises(DataError, match="unexpected end of data"):
        _ = opened(archive).paths


def test_a_set_loads_from_its_official_archive(tmp_path: Path, plant) -> None:
    """V2's archives are called .tar.gz and are plain tars."""
    picture = (plant(tmp_path / "one", ["x.jpg"]) / "x.jpg").read_bytes()
    name = "imagenetv2-matched-frequency"
    pack(tmp_path / f"{name}.tar.gz", {f"{name}-format-val/{k}/a.jpeg": picture for k in (2, 10, 7)})
    pack(tmp_path / "ILSVRC2012_img_val.tar", {f"ILSVRC2012_val_{n:08d}.JPEG": picture for n in (1, 2)})
    v2 = shifts.load("imagenet-v2", root=tmp_path, partial=True)
    assert v2.targets.tolist() == [10, 2, 7] and v2.ids[0] == "10/a.jpeg"
    clean = shifts.load("imagenet", root=tmp_path, partial=True)
    assert clean.targets.tolist() == [65, 970]
    assert shifts.check_shift(v2) == shifts.check_shift(clean) == ()
    found = {row.name: row.path for row in shifts.find(tmp_path)}
    assert found["imagenet-v2"] == tmp_path / f"{name}.tar.gz"


def test_an_unpacked_folder_goes_before_the_archive(tmp_path: Path, plant) -> None:
    wnid = classes.imagenet().subsets["r"][0]
    pack(tmp_path / "imagenet-r.tar", FILES)
    plant(tmp_path / "imagenet-r", [f"{wnid}/only.jpg"])
    assert shifts.load("imagenet-r", root=tmp_path, partial=True).ids == (f"{wnid}/only.jpg",)

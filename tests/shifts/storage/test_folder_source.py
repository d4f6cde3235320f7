"""Folders and archives as image sources: ids, digests, links, and paths that would lead outside."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shifts import load
from shifts.errors import DataError, DataMissing
from shifts.shift import ImageSource
from shifts.storage.folder import FolderSource, FolderTree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for n, path in enumerate(["b/2.jpg", "b/10.jpg", "a/x.PNG", "B/1.jpeg"]):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(bytes([n]) * (n + 1))
    (root / "notes.txt").write_text("stray")
    return root


def test_ids_are_posix_paths_in_string_order(folder: Path) -> None:
    source = FolderSource(folder)
    assert isinstance(source, ImageSource)
    assert source.ids == ("B/1.jpeg", "a/x.PNG", "b/10.jpg", "b/2.jpg")
    assert [source.read(i) for i in range(4)] == [b"\3" * 4, b"\2" * 3, b"\1" * 2, b"\0"]


def test_the_digest_is_of_names_and_content_alone(folder: Path, tmp_path: Path) -> None:
    digest = FolderSource(folder).digest()
    moved = folder.rename(tmp_path / "moved")
    os.utime(moved / "b/2.jpg", (1, 1))
    (moved / "notes.txt").write_text("changed")
    assert FolderSource(moved).digest() == digest
    (moved / "b/2.jpg").write_bytes(b"\5")
    assert FolderSource(moved).digest() != digest
    (moved / "b/2.jpg").write_bytes(b"\0")
    assert FolderSource(moved).digest() == digest
    (moved / "b/2.jpg").rename(moved / "b/3.jpg")
    assert FolderSource(moved).digest() != digest


def test_stat_changes_with_size_and_time(folder: Path) -> None:
    source = FolderSource(folder)
    before = source.stat()
    assert FolderSource(folder).stat() == before
    os.utime(folder / "a/x.PNG", (1, 1))
    assert source.stat() != before


def test_select_keeps_the_order_it_is_given(folder: Path) -> None:
    source = FolderSource(folder)
    chosen = source.select(np.array([3, 0]))
    assert chosen.ids == ("b/2.jpg", "B/1.jpeg")
    assert chosen.read(0) == source.read(3)
    assert chosen.digest() != source.select(np.array([0, 3])).digest()


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no folder"):
        FolderSource(tmp_path / "absent")


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert FolderSource(tmp_path / "link").digest() == FolderSource(folder).digest()


@pytest.mark.parametrize("target", ["outside.jpg", "outside"])
def test_links_that_leave_the_folder_are_refused(folder: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.jpg").write_bytes(b"1")
    (tmp_path / "outside.jpg").write_bytes(b"1")
    (folder / f"b/{target}").symlink_to(tmp_path / target)
    with pytest.raises(DataError, match="leaves the folder"):
        FolderSource(folder)


def test_a_link_to_a_folder_beside_it_is_refused_and_a_file_link_inside_is_not(folder: Path) -> None:
    (folder / "b/alias.jpg").symlink_to(folder / "b/2.jpg")
    assert "b/alias.jpg" in FolderSource(folder).ids
    (folder / "c").symlink_to(folder / "b")
    with pytest.raises(DataError, match="count images twice"):
        FolderSource(folder)


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/passwd", "b/../../secret.jpg", "b//2.jpg", "b\\2.jpg", ""])
def test_a_path_that_leads_outside_is_not_read(folder: Path, path: str) -> None:
    with pytest.raises(DataError, match="outside"):
        FolderTree(folder).read(path)


def test_an_absent_file_is_a_key_error(folder: Path) -> None:
    with pytest.raises(KeyError):
        FolderTree(folder).read("b/absent.jpg")


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    with open(os.fsencode(folder) + b"/b/\xff.jpg", "wb") as file:  # noqa: PTH123  no Path holds this name
        file.write(b"1")
    with pytest.raises(DataError, match="not UTF-8"):
        FolderSource(folder)


def test_the_pictures_of_a_shift_keep_the_tones_of_sixteen_bits(tmp_path: Path, pocket_data: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    (tmp_path / "c").mkdir()
    Image.fromarray(ramp).save(tmp_path / "c/deep.png")
    colour = Image.merge("RGB", [Image.fromarray((ramp >> k).astype(np.uint8)) for k in (8, 9, 10)])
    colour.save(tmp_path / "c/plain.png")
    nought = np.zeros(2, dtype=np.int64)
    shift = replace(load("pocket", root=pocket_data), source=FolderSource(tmp_path), rows=np.arange(2), targets=nought)
    assert np.array_equal(np.asarray(shift[0].image), np.stack([(ramp >> 8).astype(np.uint8)] * 3, axis=-1))
    assert np.array_equal(np.asarray(shift[1].image), np.asarray(colour))
    shift[1].image.resize((4, 4))

"""The contract of a Shift, checked on any of them, built in or a third party's.

Problems are returned as sentences: a command prints them, a test asserts that there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from shifts.bounds.pictures import PictureRefused, open_picture, rgb
from shifts.errors import DataError
from shifts.labels import Ints
from shifts.shift import ImageSource, Shift
from shifts.storage.samples import SampleTree
from shifts.storage.tree import TreeSource, checked_path

THREADS, CHUNK = 4, 512  # images decoded at once at most
TWICE = 16  # images that are read again
Progress = Callable[[int, int | None], None]


def check_shift(shift: Shift, images: int = 16, progress: Progress | None = None) -> tuple[str, ...]:
    """What is wrong with a shift, one sentence each; empty where it keeps the contract.

    images    how many of them, spread evenly, are read and decoded; the rest is checked by number, name and size only
    progress  called with the images decoded so far and those to decode
    """
    problems = [f"{shift.name}: {problem}" for problem in _numbers(shift)]
    if not problems:  # with wrong rows nothing below could be read
        problems = [f"{shift.name}: {problem}" for problem in (*_empty(shift), *_files(shift, images, progress))]
    return tuple(problems)


def _numbers(shift: Shift) -> Iterator[str]:
    ids, n, classes = shift.source.ids, len(shift), len(shift.labels)
    if not isinstance(shift.source, ImageSource):
        yield "the source lacks a method of ImageSource"
    if n == 0:
        yield "it holds no images"
    if shift.rows.dtype != np.int64 or shift.targets.dtype != np.int64:
        yield f"rows and targets must be int64, they are {shift.rows.dtype} and {shift.targets.dtype}"
    if n and not 0 <= int(shift.rows.min()) <= int(shift.rows.max()) < len(ids):
        yield f"a row points outside the {len(ids)} images of the source"
    if len(np.unique(shift.rows)) != n:
        yield "an image is asked about twice"
    if n and not 0 <= int(shift.targets.min()) <= int(shift.targets.max()) < classes:
        yield f"a target lies outside the {classes} classes of {shift.labels.name}"
    if len(set(ids)) != len(ids):
        yield "two images have the same id"
    if shift.accepted is not None:
        answers = zip(shift.accepted, shift.targets.tolist(), strict=True)
        if any(not accepted or accepted[0] != target for accepted, target in answers):
            yield "a target is not the first of its accepted answers"
        if any(not 0 <= answer < classes for accepted in shift.accepted for answer in accepted):
            yield f"an accepted answer lies outside the {classes} classes of {shift.labels.name}"
    if shift.n_expected <= 0:
        yield "n_expected must be the number of images of the official set"
    elif n != shift.n_expected and not shift.partial:
        yield f"it holds {n} of {shift.n_expected} images and does not say that it is partial"
    for id in ids:
        try:
            checked_path(id, "the source")
        except DataError as error:
            yield str(error)
            return


def _empty(shift: Shift) -> Iterator[str]:
    """Files of no bytes, by their size: no image is decoded for it."""
    source = shift.source
    if isinstance(source, TreeSource):
        tree = source.tree
        empty = (
            tree.empty_among(source.ids)
            if isinstance(tree, SampleTree)
            else [id for id in source.ids if tree.stat(id).size == 0]
        )
        if empty:
            yield f"{len(empty):,} of its files hold no bytes, first {', '.join(empty[:3])}; get those images again"


def _files(shift: Shift, images: int, progress: Progress | None) -> Iterator[str]:
    chosen = np.unique(np.linspace(0, len(shift) - 1, min(images, len(shift))).round().astype(np.int64))
    source = shift.source.select(shift.rows[chosen])
    if list(source.ids) != [shift.source.ids[int(row)] for row in shift.rows[chosen]]:
        yield "select does not keep the order of the rows it is given"
        return
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(chosen), CHUNK):
            some = range(start, min(start + CHUNK, len(chosen)))
            for problem in pool.map(lambda i: _undecodable(source, i, shift.border), some):
                yield from () if problem is None else (problem,)
            if progress is not None:
                progress(some.stop, len(chosen))
    yield from _unstable(
        shift, chosen[np.unique(np.linspace(0, len(chosen) - 1, min(TWICE, len(chosen))).round().astype(np.int64))]
    )


def _undecodable(source: ImageSource, i: int, border: int) -> str | None:
    try:
        with open_picture(source.read(i)) as image:
            width, height = rgb(image).size
    except PictureRefused as error:
        return f"{source.ids[i]} {error}"
    except (OSError, ValueError) as error:
        return f"{source.ids[i]} cannot be read ({error})"
    if min(width, height) <= 2 * border:
        return f"{source.ids[i]} is {width}x{height}, nothing is left inside a border of {border} pixels"
    return None


def _unstable(shift: Shift, chosen: Ints) -> Iterator[str]:
    """What changes from one reading to the next, on a few images."""
    rows = shift.rows[chosen]
    source = shift.source.select(rows)
    with ThreadPoolExecutor(THREADS) as pool:
        threaded = list(pool.map(source.read, range(len(rows))))
    for i, (row, content) in enumerate(zip(rows, threaded, strict=True)):
        if shift.source.read(int(row)) != content or source.read(i) != content:
            yield f"{source.ids[i]} reads differently from several threads, or after select"
    again = shift.source.select(rows)
    if source.digest() != again.digest() or source.stat() != again.stat():
        yield "digest or stat changes from call to call"
    if len(rows) > 1 and source.digest() == shift.source.select(rows[:-1]).digest():
        yield "digest is the same with an image less"

"""A record recounted: everything it says that its ids, its answers and the shipped tables tell is computed again and compared.

What no file can tell, that this model gave these answers, is left to `effrob verify`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from effrob.errors import EffrobError
from effrob.results.predictions import Predictions, load_predictions
from effrob.results.record import Counts, EvalRecord
from effrob.results.recount.key import AnswerKey, key_of
from effrob.results.recount.rows import count, wrong_rows
from shifts import DataMissing
from shifts.answer_key import answers_are_shipped, official_ids
from shifts.classes import class_table
from shifts.protocol import protocol
from shifts.registry import suite_of

SHIFT_FILE, CLEAN_FILE = "predictions.npz", "clean.npz"
MEND = "move the folder away, or evaluate the model again"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def prove(record: EvalRecord, folder: Path) -> None:
    """Recount a record from the files beside it. Raises EffrobError naming the file, and each thing that is not so."""
    told = folder / "record.json"
    _refuse(told, _wrong_record(record))
    rows = load_predictions(folder / SHIFT_FILE, record.files[SHIFT_FILE])
    clean = load_predictions(folder / CLEAN_FILE, record.files[CLEAN_FILE]) if CLEAN_FILE in record.files else None
    key = _key(folder / SHIFT_FILE, record, rows, None)
    clean_key = None if clean is None else _key(folder / CLEAN_FILE, record, clean, _clean_set(record))
    membership = protocol(record.asked.protocol).collapse == "membership"
    _refuse(folder / SHIFT_FILE, wrong_rows(rows, key, membership))
    if clean is not None:
        _refuse(folder / CLEAN_FILE, wrong_rows(clean, clean_key, membership))
    _refuse(told, _wrong_counts(record, rows, clean))
    if key is not None:
        _refuse(told, _wrong_against_key(record, key, rows, clean_key, clean))
    elif not record.partial and record.counts.n != record.n_expected:
        _refuse(told, iter([f"calls {record.counts.n:,} of {record.n_expected:,} images complete"]))


def _refuse(file: Path, wrong: Iterator[str]) -> None:
    said = list(wrong)
    if said:
        raise EffrobError(f"{file} {'; '.join(said)}: {MEND}")


def _wrong_record(record: EvalRecord) -> Iterator[str]:
    """Digests that are missing or cannot be, files that no record has, numbers that are none."""
    wanted = {SHIFT_FILE} | ({CLEAN_FILE} if record.clean is not None else set())
    if set(record.files) != wanted:
        missing, more = sorted(wanted - set(record.files)), sorted(set(record.files) - wanted)
        said = [f"lacks the SHA-256 of {name}" for name in missing]
        yield ", ".join([*said, *(f"names {name!r}, which a record of these counts does not have" for name in more)])
    asked = record.asked
    digests: dict[str, object] = {f"the SHA-256 of {name}": value for name, value in record.files.items()}
    digests |= {"source": asked.source, "question": asked.question}
    if record.clean is not None:
        digests |= {"clean_source": asked.clean_source, "clean_question": asked.clean_question}
    if record.origin == "measured":
        digests["model_digest"] = asked.model_digest
    for what, digest in digests.items():
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest) or len(set(digest)) < 4:
            yield f"states {digest!r} as {what}, which is no digest of anything"
    if not asked.head_digest or not asked.model:
        yield "does not say which model or head was asked"
    if type(record.partial) is not bool or type(record.n_expected) is not int or record.n_expected < 1:
        yield f"says partial {record.partial!r} and n_expected {record.n_expected!r}"
    try:
        protocol(asked.protocol)
    except DataMissing as error:
        yield str(error)


def _clean_set(record: EvalRecord) -> str:
    return suite_of(record.asked.shift).clean


def _key(file: Path, record: EvalRecord, rows: Predictions, clean_set: str | None) -> AnswerKey | None:
    asked = record.asked
    if not answers_are_shipped(asked.shift):
        return None
    try:
        if clean_set is None:
            return key_of(asked.shift, rows.id, asked.protocol)
        return key_of(clean_set, rows.id, asked.protocol, seen_as=asked.shift)
    except EffrobError as error:
        raise EffrobError(
            f"{file} holds ids that {clean_set or asked.shift} does not have ({error}): {MEND}"
        ) from error


def _wrong_counts(record: EvalRecord, rows: Predictions, clean: Predictions | None) -> Iterator[str]:
    if count(rows) != record.counts:
        yield "states counts on the shift that are not those of its predictions"
    if clean is not None and count(clean) != record.clean:
        yield "states counts on the clean view that are not those of its predictions"
    full = record.clean_full
    if full is not None and record.clean is not None:
        most = record.clean.n_correct_1000way
        if full.n < record.clean.n:
            yield f"has {full.n:,} clean images in all and {record.clean.n:,} of the set's classes"
        elif most is not None and full.n_correct > most + full.n - record.clean.n:
            yield (
                f"calls {full.n_correct:,} of all {full.n:,} clean images right, and its predictions allow "
                f"{most + full.n - record.clean.n:,}"
            )


def _wrong_against_key(
    record: EvalRecord, key: AnswerKey, rows: Predictions, clean_key: AnswerKey | None, clean: Predictions | None
) -> Iterator[str]:
    asked, full = record.asked, record.clean_full
    if asked.label_space != key.labels.name:
        yield f"says it was asked among {asked.label_space}, and {asked.shift} is asked among {key.labels.name}"
    if record.n_expected != key.n_expected:
        yield f"expects {record.n_expected:,} images, and {asked.shift} has {key.n_expected:,}"
    if not record.partial and not key.complete:
        yield f"calls {len(rows):,} of {key.n_expected:,} images complete"
    if key.clean is None and (clean is not None or full is not None):
        yield f"states clean accuracies, and {asked.shift} is a clean set itself"
    if record.origin == "measured" and asked.question != key.question(rows.index):
        yield "states the digest of another question than its images, targets and classes are"
    if full is not None and key.clean is not None:
        yield from _wrong_full(record, key, full)
    if clean is None or clean_key is None:
        return
    if full is not None and clean_key.parent is not None and bool((clean.predicted_1000 >= 0).all()):
        # Over all classes the class itself is wanted, where the view takes any of the target's.
        least = int((clean.predicted_1000 == clean_key.parent).sum())
        if not least <= full.n_correct <= least + full.n - len(clean):
            yield (
                f"calls {full.n_correct:,} of all {full.n:,} clean images right, and its predictions allow {least:,} to "
                f"{least + full.n - len(clean):,}"
            )
    if not record.partial and not clean_key.complete:
        yield f"calls {len(clean):,} of {clean_key.n_expected:,} images of its clean view complete"
    if record.origin == "measured":
        whole = key.labels.is_full  # then the view is the clean set, and its images are told
        told = {clean_key.question(clean.index)} if whole else _whole_questions(str(key.clean), asked.protocol)
        if (whole or not record.partial) and asked.clean_question not in told:
            yield "states the digest of another question than its clean images, targets and classes are"


def _wrong_full(record: EvalRecord, key: AnswerKey, full: Counts) -> Iterator[str]:
    expected = class_table(str(suite_of(record.asked.shift).classes)).expected[str(key.clean)].total
    if full.n > expected or (not record.partial and full.n != expected):
        yield f"says the whole clean set has {full.n:,} images, and {key.clean} has {expected:,}"
    if key.labels.is_full and record.clean is not None and full != record.clean:
        yield "states other counts on the whole clean set than on its clean view, which is that set"
    if full.n_correct_1000way is not None and full.n_correct_1000way != full.n_correct:
        yield "states two accuracies over all classes of the whole clean set"


@lru_cache(maxsize=16)
def _whole_questions(clean_set: str, named_protocol: str) -> frozenset[str]:
    """The digests of what is asked of a whole clean set: its files lie flat under official names, or in class folders."""
    table = class_table(str(suite_of(clean_set).classes))
    each = table.expected[clean_set].each
    assert each is not None
    orders = [np.array([f"{id}/{i:05d}.JPEG" for id in table.ids for i in range(each[id])], dtype=np.str_)]
    if clean_set == "imagenet":
        orders.append(np.array(official_ids("imagenet"), dtype=np.str_))
    made = set()
    for ids in orders:
        key = key_of(clean_set, np.sort(ids), named_protocol)
        assert key is not None
        made.add(key.question(np.arange(len(ids), dtype=np.int64)))
    return frozenset(made)

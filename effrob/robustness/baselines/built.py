"""Built baselines: made from records of our own harness, kept as a folder with counts and per-image answers.

    NAME/baseline.json           members, families, counts, digests
    NAME/answers-SHIFT.npz       what each member said of each image of the shift
    NAME/clean-SHIFT.npz         and of the class-matched clean view that goes with it; a slash in SHIFT is written +
    NAME/reference.json          a model that is no member, whose effect says what size of effect counts (may be absent)

Digests over the members and over each matrix of answers are checked on reading.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effrob.errors import UsageProblem
from effrob.files import strict_json, whole_file, whole_folder
from effrob.results.accuracy import Accuracy
from effrob.results.answers import BaselineAnswers, PredictionMatrix, answers_of, read_npz
from effrob.results.model_result import ModelResult, of_records
from effrob.results.select import fullest
from effrob.results.store import Stored
from effrob.robustness.baselines.baseline import Baseline
from model_zoo.published import DATA
from shifts.bounds.files import read_json

SCHEMA = 1
SHIPPED = DATA / "baselines"


def save(baseline: Baseline, folder: Path) -> None:
    """Write a baseline as a folder, whole or not at all. Raises UsageProblem where one stands there already."""
    if (folder / "baseline.json").exists():
        raise UsageProblem(
            f"a baseline stands in {folder} already: choose another name, or `rm -r {shlex.quote(str(folder))}`"
        )
    with whole_folder(folder) as draft:
        digests = {}
        if baseline.answers is not None:
            for prefix, tables in (("answers", baseline.answers.shift), ("clean", baseline.answers.clean)):
                for shift, table in tables.items():
                    _save_table(_table_file(draft, f"{prefix}-{shift}"), table)
                    digests[f"{prefix}-{shift}"] = table_digest(table)
        content = {
            "schema": SCHEMA,
            "name": baseline.name,
            "protocol": baseline.protocol,
            "harness": baseline.harness,
            "note": baseline.note,
            "digest": baseline.digest,
            "answers": digests,
            "members": [_member_json(member) for member in baseline.members],
        }
        (draft / "baseline.json").write_text(strict_json(content), encoding="utf-8")
        if baseline.reference is not None:
            (draft / "reference.json").write_text(strict_json(_member_json(baseline.reference)), encoding="utf-8")


def _table_file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('/', '+')}.npz"


def _save_table(path: Path, table: PredictionMatrix) -> None:
    with whole_file(path) as file:
        np.savez_compressed(
            file,
            models=np.array(table.models),
            ids=table.ids,
            target=table.target.astype(np.int16),
            correct=np.packbits(table.correct, axis=1),
            predicted=table.predicted.astype(np.int16),
        )


def table_digest(table: PredictionMatrix) -> str:
    """SHA-256 over the content, whatever the compression."""
    parts = [
        "\n".join(table.models).encode(),
        "\n".join(table.ids.tolist()).encode(),
        table.target.astype("<i8").tobytes(),
        np.packbits(table.correct, axis=1).tobytes(),
        table.predicted.astype("<i8").tobytes(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _member_json(member: ModelResult) -> dict[str, Any]:
    def plain(counts: Mapping[str, Accuracy]) -> dict[str, list[float]]:
        return {shift: [a.n_correct, a.n] for shift, a in counts.items()}

    full = member.clean_full
    more = {"other_full": plain(member.other_full)} if member.other_full else {}
    return {
        "model": member.model,
        "family": member.family,
        "accuracies": plain(member.accuracies),
        "clean": plain(member.clean),
        "clean_full": None if full is None else [full.n_correct, full.n],
        **more,
    }


@functools.lru_cache(maxsize=32)
def load(folder: Path) -> Baseline:
    """Read a baseline and check its digests. Raises UsageProblem where it was edited, torn or is none."""
    try:
        content = read_json(folder / "baseline.json")
        if content.get("schema") != SCHEMA:
            raise ValueError(f"schema {content.get('schema')!r} where {SCHEMA} was wanted")
        made = Baseline(
            name=content["name"],
            members=tuple(_member_from(value) for value in content["members"]),
            protocol=content["protocol"],
            harness=content["harness"],
            note=content["note"],
            answers=_load_answers(folder, content["answers"]),
            reference=_load_reference(folder / "reference.json"),
        )
    except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise UsageProblem(f"{folder} is no readable baseline ({error}): build it again") from None
    if made.digest != content["digest"]:
        raise UsageProblem(
            f"the digest of {folder}/baseline.json does not match its members: it was edited; build it again"
        )
    _check_counts(made, folder)
    return made


def _check_counts(made: Baseline, folder: Path) -> None:
    """Raises UsageProblem where a member's counts are not those of its answers."""
    if made.answers is None:
        return
    for prefix, tables in (("answers", made.answers.shift), ("clean", made.answers.clean)):
        for shift, table in tables.items():
            right = dict(zip(table.models, table.correct.sum(axis=1).tolist()))
            for member in made.members:
                counts = (member.accuracies if prefix == "answers" else member.clean).get(shift)
                if counts is not None and (right.get(member.model), len(table.ids)) != (counts.n_correct, counts.n):
                    raise UsageProblem(
                        f"{folder}/{prefix}-{shift}.npz does not bear out what baseline.json says of {member.model}: one of "
                        "the two was edited; build it again"
                    )


def _member_from(value: Mapping[str, Any]) -> ModelResult:
    def counts(stated: Mapping[str, Sequence[float]]) -> dict[str, Accuracy]:
        return {shift: Accuracy(k, n) for shift, (k, n) in stated.items()}

    full = value["clean_full"]
    return ModelResult(
        value["model"],
        value["family"],
        counts(value["accuracies"]),
        None if full is None else Accuracy(*full),
        counts(value["clean"]),
        counts(value.get("other_full", {})),
    )


def _load_reference(path: Path) -> ModelResult | None:
    return _member_from(read_json(path)) if path.is_file() else None


def _load_answers(folder: Path, digests: Mapping[str, str]) -> BaselineAnswers | None:
    tables: dict[str, dict[str, PredictionMatrix]] = {"answers": {}, "clean": {}}
    for name, digest in digests.items():
        prefix, _, shift = name.partition("-")
        columns = read_npz(_table_file(folder, name), ("models", "ids", "target", "correct", "predicted"))
        n = len(columns["ids"])
        table = PredictionMatrix(
            tuple(columns["models"].astype(str).tolist()),
            columns["ids"].astype(str),
            columns["target"].astype(np.int64),
            np.unpackbits(columns["correct"], axis=1, count=n).astype(np.bool_),
            columns["predicted"].astype(np.int64),
        )
        if table_digest(table) != digest:
            raise UsageProblem(
                f"the digest of {folder}/{name}.npz does not match: it was edited; build the baseline again"
            )
        tables[prefix][shift] = table
    return BaselineAnswers(tables["answers"], tables["clean"]) if tables["answers"] else None


def user_folder() -> Path:
    """Where `effrob baseline build` writes: $EFFROB_BASELINES, else the user's data folder."""
    if os.environ.get("EFFROB_BASELINES"):
        return Path(os.environ["EFFROB_BASELINES"])
    import platformdirs

    return Path(platformdirs.user_data_dir("effrob")) / "baselines"


def folder_of(name: str) -> Path | None:
    """The folder of a built baseline, the shipped one before the user's; None where there is none."""
    if not name or Path(name).name != name or name.startswith("."):
        return None
    for root in (SHIPPED, user_folder()):
        if (root / name / "baseline.json").is_file():
            return root / name
    return None


def is_shipped(name: str, out: Path | None = None) -> bool:
    """Whether a baseline of this name ships, so that nobody's own may take it; `out` is where one is to be written."""
    return out != SHIPPED and (SHIPPED / name / "baseline.json").is_file()


def built_names() -> list[str]:
    """Names of the built baselines at hand, shipped ones first."""
    names = [path.parent.name for root in (SHIPPED, user_folder()) for path in sorted(root.glob("*/baseline.json"))]
    return list(dict.fromkeys(names))


def from_records(
    name: str,
    records: Iterable[Stored],
    families: Mapping[str, str],
    note: str | None = None,
    answers: bool = True,
) -> Baseline:
    """A baseline of evaluated models, in the order they come; a model without a family is its own.

    answers  whether to read per-image answers too, of the shifts where every member has them

    Of two runs that differ in the number of images alone, the fuller counts. Raises UsageProblem where a model was evaluated
    on a shift in two other ways (two heads, two weights, two precisions), and where protocols differ.
    """
    by_model: dict[str, list[Stored]] = {}
    for stored in fullest(records):
        by_model.setdefault(stored.record.asked.model, []).append(stored)
    protocols = sorted({stored.record.asked.protocol for each in by_model.values() for stored in each})
    if len(protocols) > 1:
        raise UsageProblem(
            f"a baseline has one protocol; these records have {', '.join(protocols)}: evaluate them alike"
        )
    members = tuple(of_records(each, families.get(model)) for model, each in by_model.items())
    kept = answers_of(members) if answers else None
    return Baseline(name, members, protocols[0] if protocols else "effrob", "effrob", note, kept)

"""EvalRecord: what was asked, what was resolved, what came out and where it comes from; strict JSON, schema-versioned.

A record holds counts, never a fitted number: effective robustness depends on a line chosen when it is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from effrob.errors import EffrobError
from effrob.results.accuracy import Accuracy
from effrob.results.provenance import Provenance

SCHEMA = 1


@dataclass(frozen=True)
class EvalSpec:
    """The question in words, as far as it decides the answer. Equal questions give equal keys, anywhere, any time.

    model          the resolved spec; `model_digest` what its function is made of
    pixels         its PixelSpec as JSON; `pixel_path` is `exact`, `fast` or `nvjpeg`; precision `fp32`, `bf16-compiled`, ...
    head, prompts  `prompts` is the prompt set's name, `head_digest` covers its templates and any training
    source         digest of the images' content; `question` of rows, targets, label space and border
    clean_*        the same for the class-matched clean view; None for a clean set, or where it was not at hand
    """

    model: str
    model_digest: str
    layer: str
    pixels: dict[str, Any]
    pixel_path: str
    precision: str
    head: str
    prompts: str | None
    head_digest: str
    protocol: str
    shift: str
    label_space: str
    source: str
    question: str
    clean_source: str | None
    clean_question: str | None

    def key(self) -> str:
        """SHA-256 of the canonical JSON: the record's name."""
        text = json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def imported_digest(model: str) -> str:
    """The `model_digest` of imported answers: of the name alone, as nothing else is known of the model."""
    return "imported:" + hashlib.sha256(model.encode()).hexdigest()


@dataclass(frozen=True)
class Counts:
    """n_correct of n right; top5 and 1000way likewise, None where the answers do not tell that."""

    n: int
    n_correct: int
    n_correct_top5: int | None
    n_correct_1000way: int | None

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy(self.n_correct, self.n)


@dataclass(frozen=True)
class EvalRecord:
    """One model, one shift, one head.

    n_expected    images of the official set; `partial` where n differs from it, or the clean view's does
    clean         counts on the class-matched clean view; clean_full on the whole clean set; None where not at hand
    files         SHA-256 of predictions.npz and, where there is a clean view, clean.npz
    resolved      what was found on the way: default weights, feature kind, dimension, notes, a head's own figures
    origin        `measured`: this harness ran the model; `imported`: answers given, recounted here. Not part of the key
    """

    asked: EvalSpec
    weights: str | None
    model_asked: str
    counts: Counts
    n_expected: int
    partial: bool
    clean: Counts | None
    clean_full: Counts | None
    files: dict[str, str]
    resolved: dict[str, Any]
    provenance: Provenance
    origin: str = "measured"

    def __post_init__(self) -> None:
        if self.origin not in ("measured", "imported"):
            raise ValueError(f"a record's origin is measured or imported, found {self.origin!r}")
        if (self.origin == "imported") != (self.asked.model_digest == imported_digest(self.asked.model)):
            raise ValueError(f"a record says it was {self.origin}, and what was asked says otherwise: it was edited")

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, with the schema's number and the key."""
        return {"schema": SCHEMA, "key": self.asked.key(), **dataclasses.asdict(self)}


def from_json(value: Any) -> EvalRecord:
    """The inverse of `as_json`. Raises EffrobError naming the first thing that is wrong."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        version = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise EffrobError(f"a record of schema {SCHEMA} was wanted, found {version!r}")
    try:
        fields = {field.name: value[field.name] for field in dataclasses.fields(EvalRecord) if field.name != "origin"}
        fields["origin"] = value.get("origin", "measured")  # records of before there were others
        fields["asked"] = _typed(EvalSpec(**fields["asked"]))
        if not isinstance(fields["files"], dict) or not isinstance(fields["resolved"], dict):
            raise ValueError("files and resolved are objects")
        fields["provenance"] = Provenance(**fields["provenance"])
        for name in ("counts", "clean", "clean_full"):
            fields[name] = None if fields[name] is None else _counts(fields[name], name)
        record = EvalRecord(**fields)
        key = record.asked.key()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise EffrobError(f"a record lacks or misnames a field: {error}") from error
    if key != value.get("key"):
        raise EffrobError("a record's key does not match what it says was asked: it was edited or torn")
    return record


def _typed(asked: EvalSpec) -> EvalSpec:
    """The question itself. Raises ValueError naming a field that is no text, or no text where one must be."""
    optional = ("prompts", "clean_source", "clean_question")
    for field in dataclasses.fields(EvalSpec):
        value = getattr(asked, field.name)
        wanted = dict if field.name == "pixels" else str
        if not isinstance(value, wanted) and not (value is None and field.name in optional):
            raise ValueError(f"asked says {field.name} {value!r}")
    return asked


def _counts(value: dict[str, Any], name: str) -> Counts:
    counts = Counts(**value)
    told = [each for each in dataclasses.astuple(counts)[1:] if each is not None]
    if any(type(each) is not int for each in (counts.n, counts.n_correct, *told)):
        raise ValueError(f"{name} holds counts that are no whole numbers")
    if not all(0 <= each <= counts.n for each in told):
        raise ValueError(f"{name} says {max(told)} right of {counts.n}")
    return counts

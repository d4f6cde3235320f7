"""Shared probes: a trained classifier and what it was trained on in one safetensors file, and heads made of such files.

An imported probe scores only the very model, layer and pixels it was trained on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effrob.errors import UsageProblem, suggest
from effrob.files import whole_file
from effrob.results.record import EvalSpec
from model_zoo.pixels import PixelSpec
from model_zoo.registration import config_file
from shifts.bounds.files import ARRAYS, read_bytes

if TYPE_CHECKING:
    from effrob.heads.classifier import LinearClassifier, Training
    from model_zoo.encoder import Encoder, Identity
    from shifts.labels import LabelSpace

PREFIX = "probe:"
WITHOUT_TRAINING = ("native", "zero-shot")  # heads that learn nothing, and so have nothing to share
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# what features must have in common with those a probe was trained on
MUST_AGREE = ("model_digest", "layer", "pixels", "pixel_path", "precision")


def classifier_path(cache: Path, asked: EvalSpec) -> Path:
    """Where the classifier of a head that learned is kept: by features, head and training set, and by no test set."""
    pixels = PixelSpec.from_json(asked.pixels).digest()
    about = [asked.model_digest, asked.layer, asked.precision, asked.head_digest, pixels, asked.pixel_path]
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    return cache / "readouts" / digest[:2] / f"{digest}.safetensors"


def text_classifier_path(
    cache: Path, model_digest: str, layer: str, precision: str, head_digest: str, names: Sequence[str]
) -> Path:
    """Where the classifier of a head that learns nothing is kept: by model, head and the names it speaks."""
    about = [model_digest, layer, precision, head_digest, list(names)]
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    return cache / "readouts" / digest[:2] / f"{digest}.safetensors"


def export(record: Path, cache: Path, out: Path) -> dict[str, Any]:
    """Write the head of a record's folder to `out`, and say what is in it.

    Raises UsageProblem where the record's head learned nothing that could be shared, or its classifier is gone.
    """
    from effrob.heads.classifier import load_classifier, save_classifier
    from effrob.results.store import read

    if not (record / "record.json").is_file():
        raise UsageProblem(f"{record} is no record's folder: `effrob eval --json` prints each row's as `record`")
    asked = read(record).record.asked
    if asked.head in WITHOUT_TRAINING or asked.head.startswith(PREFIX):
        raise UsageProblem(
            f"{record} was scored by the head {asked.head}, which learned nothing here: export a linear-probe"
        )
    file = classifier_path(cache, asked)
    if not file.is_file():
        raise UsageProblem(
            f"the readout of {record} is not in the cache {cache}: evaluate again, or name the cache with --cache"
        )
    classifier = load_classifier(file)
    about = {**dataclasses.asdict(asked), "classes": len(classifier.columns)}
    for of_one_set in ("shift", "label_space", "source", "question", "clean_source", "clean_question"):
        about.pop(of_one_set)
    save_classifier(out, dataclasses.replace(classifier, facts={**classifier.facts, "probe_of": about}))
    return about


def probes_folder() -> Path:
    """Where imported probes lie: beside the registered models."""
    return config_file().parent / "probes"


def imported_names() -> list[str]:
    """The names of imported probes."""
    return sorted(path.stem for path in probes_folder().glob("*.safetensors"))


def import_probe(file: Path, name: str, replace: bool = False) -> dict[str, Any]:
    """Keep a shared probe under a name, and say what it is of.

    Raises UsageProblem where the file is none, or the name is taken by another.
    """
    if not NAME.fullmatch(name):
        raise UsageProblem(f"a probe's name is letters, digits, '.', '_' and '-', and not {name!r}")
    about = describe_probe(file)
    there = probes_folder() / f"{name}.safetensors"
    if there.is_file() and not replace and read_bytes(there, ARRAYS) != read_bytes(file, ARRAYS):
        raise UsageProblem(f"a probe is already called {name}: choose another --name, or --replace it")
    there.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(there) as out:
        out.write(read_bytes(file, ARRAYS))
    return about


def describe_probe(file: Path) -> dict[str, Any]:
    """What a shared probe says it is of. Raises UsageProblem where the file is none."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise UsageProblem(f"there is no probe {file}: `effrob probe export` writes one")
    try:
        with safe_open(file, framework="np") as opened:
            about: dict[str, Any] = json.loads(opened.metadata()["readout"])["facts"]["probe_of"]
        if not set(MUST_AGREE) <= about.keys():
            raise KeyError("probe_of")
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise UsageProblem(f"{file} is not a probe that `effrob probe export` wrote ({error})") from error
    return about


@dataclass(frozen=True)
class ImportedProbe:
    """The head `probe:NAME`: a probe trained elsewhere."""

    name: str

    @property
    def file(self) -> Path:
        called = self.name.removeprefix(PREFIX)
        path = probes_folder() / f"{called}.safetensors"
        if not NAME.fullmatch(called) or not path.is_file():
            raise UsageProblem(
                f"no probe is called {called!r}{suggest(called, imported_names())}; `effrob probe import FILE` makes one known"
            )
        return path

    @property
    def digest(self) -> str:
        """Covers the file's content; its name does not count."""
        return f"{PREFIX}{hashlib.sha256(read_bytes(self.file, ARRAYS)).hexdigest()}"

    def lacking(self, identity: Identity, pixel_path: str, precision: str) -> str | None:
        """Why a model's features are not those it was trained on, or None."""
        about = describe_probe(self.file)
        have = {
            "model_digest": identity.digest,
            "layer": identity.layer,
            "pixels": json.loads(json.dumps(identity.pixels.as_json())),
            "pixel_path": pixel_path,
            "precision": precision,
        }
        differ = [what.replace("_digest", "").replace("_", " ") for what in MUST_AGREE if have[what] != about[what]]
        if not differ:
            return None
        return f"{self.name} was trained on features of {about['model']}, which differ here in {', '.join(differ)}"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None = None) -> LinearClassifier:
        """The classifier as it was exported."""
        from effrob.heads.classifier import load_classifier

        return load_classifier(self.file)

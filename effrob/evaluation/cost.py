"""A plan's cost before it is run: bytes read and written, and seconds extrapolated from earlier passes with this cache.

Workers record how long each pass took; a network that was never timed here gets no estimate. Loads no weights.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from effrob.evaluation.plan import UNKNOWN, Plan
from effrob.files import write_json
from effrob.heads.forecast import duration
from effrob.results.store import slug
from model_zoo.encoder import Identity
from model_zoo.registered import registered
from model_zoo.spec import ModelSpec
from shifts.bounds.files import read_json
from shifts.shift import ImageSource

DECODING = 200.0  # images a second and core on the exact path, 500x375 JPEGs (benchmarks/RESULTS.md)
WIDTH = 768  # features an image of a model whose width is not known yet


def weights_of(identity: Identity, timed: Timed | None) -> int:
    """Bytes of a model's weights: as seen when it was last loaded, else its file's size, else a large network's."""
    if timed is not None:
        return timed.weights
    try:
        file = _file_of(identity.spec)
        return UNKNOWN if file is None else file.stat().st_size
    except (OSError, LookupError):
        return UNKNOWN


def _file_of(spec: ModelSpec) -> Path | None:
    if spec.weights is not None:
        return Path(spec.weights).expanduser()
    if spec.scheme == "pocket":
        from model_zoo.sources.from_pocket import FOLDER

        return FOLDER / f"{spec.name}.safetensors"
    checkpoint = None if spec.scheme else getattr(registered(spec.name), "checkpoint", None)
    return None if checkpoint is None else Path(checkpoint)


@dataclass(frozen=True)
class Timed:
    """A model's last pass with this cache: seconds an image, its share of the decoding included; features; bytes of weights."""

    seconds: float
    width: int
    weights: int


@dataclass(frozen=True)
class Timings:
    """One small file a model below the cache folder."""

    root: Path

    def _file(self, spec: str, device: str, path: str) -> Path:
        return self.root / "timings" / f"{slug(spec)}-{slug(device)}-{slug(path)}.json"

    def note(self, spec: str, device: str, path: str, timed: Timed) -> None:
        """Record what a pass took; a disk that refuses is ignored, since only forecasts suffer."""
        with contextlib.suppress(OSError):
            write_json(self._file(spec, device, path), asdict(timed))

    def find(self, spec: str, device: str, path: str) -> Timed | None:
        """The model's last timing, or None."""
        try:
            record = read_json(self._file(spec, device, path))
            timed = Timed(float(record["seconds"]), int(record["width"]), int(record["weights"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return timed if math.isfinite(timed.seconds) and timed.seconds >= 0 else None


@dataclass(frozen=True)
class Forecast:
    """A plan in bytes and seconds.

    read     bytes of encoded images to be read; written: bytes of features to be kept
    seconds  None where no model of the plan was ever timed here; then `at_least` is what decoding alone takes
    timed    models whose own passes were timed, of all in the plan; the others are taken to be like their median
    """

    read: int
    written: int
    seconds: float | None
    at_least: float
    timed: int
    models: int

    def as_json(self) -> dict[str, Any]:
        return {
            "bytes_read": self.read,
            "bytes_written": self.written,
            "seconds": self.seconds,
            "seconds_at_least": self.at_least,
            "models_timed": self.timed,
            "models": self.models,
        }

    def __str__(self) -> str:
        volume = f"{self.read / 1e9:,.2f} GB of images to read, {self.written / 1e9:,.2f} GB of features to keep"
        if not self.models:  # everything is in the cache
            return volume
        if self.seconds is None:
            return f"{volume}; no such model was timed here yet: decoding alone takes {duration(self.at_least)} or more"
        known = "" if self.timed == self.models else f", {self.timed} of {self.models} models timed"
        return f"{volume}; about {duration(self.seconds)} by passes timed here{known}"


def forecast(
    plan: Plan,
    missing: Mapping[tuple[str, str], int],
    bytes_each: Mapping[str, float],
    timed: Callable[[str], Timed | None],
    cores: int,
    workers: int = 1,
) -> Forecast:
    """A plan's cost.

    missing     rows a (model, source) lacks;  bytes_each: mean bytes of an image, a source
    timed       what is known of a model;  cores that decode, and workers that share the jobs
    """
    models = {model: timed(model) for model, _ in missing}
    known = [t for t in models.values() if t is not None]
    usual = statistics.median(t.seconds for t in known) if known else None
    width = round(statistics.median(t.width for t in known)) if known else WIDTH
    written, seconds = 0, 0.0
    for (model, _), rows in missing.items():
        last = models[model]
        written += 4 * rows * (last.width if last else width)
        seconds += rows * (last.seconds if last else usual or 0.0)
    read = round(sum(bytes_each.get(job.source, 0.0) * (job.stop - job.start) for job in plan.jobs))
    at_least = plan.decodes / DECODING / max(1, cores) / workers
    total = None if usual is None else max(seconds / workers, 0.0)
    return Forecast(read, written, total, at_least, len(known), len(models))


def mean_bytes(source: ImageSource, sample: int = 512) -> float:
    """Mean size of a source's encoded images, from a sample spread over it; 0 where it does not tell sizes."""
    tree = getattr(source, "tree", None)
    if tree is None or not source.ids:
        return 0.0
    step = max(1, len(source.ids) // sample)
    return statistics.fmean(_sizes(tree, source.ids[::step]))


def _sizes(tree: Any, ids: Iterable[str]) -> list[int]:
    return [tree.stat(path).size for path in ids]

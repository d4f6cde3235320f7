"""What a suite is: a clean set, the shifts measured beside it, and what else an evaluation of them has to agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER_NAMES = ("classes", "indices", "objects")
FORMS = ("folder", "list", "shards", "parquet", "labels")
TRAIN = "train"  # NAME/train: the training part of a set


@dataclass(frozen=True)
class SuiteSet:
    """One set of a suite.

    title    heading of its column
    teaches  True for a set that heads are trained on
    subset   key of the subset of the class table that the set is scored in, None for all classes
    folder_names  what a class folder is called: `classes` by its class id, `indices` by the class index, `objects` as in
             ObjectNet, whose folders map to one or more classes
    form     how its files are kept, one of FORMS, and `place`, where: a path under the data folder. Both are None for a
             set whose loader knows where it lies
    map      CSV file of (folder, class) that maps its folders into the suite's classes
    """

    name: str
    title: str
    teaches: bool = False
    subset: str | None = None
    folder_names: str = "classes"
    form: str | None = None
    place: str | None = None
    map: str | None = None
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class TrainingSplit:
    """The training part of a set: images whose hash with the seed lies below `share`. The rest stays for testing."""

    source: str
    share: float
    seed: int = 0


@dataclass(frozen=True)
class Suite:
    """A clean set and its shifts, complete.

    name        also the first part of the names of sets that the file says the place of: NAME/SET
    clean       name of the clean set
    ranked      shifts that enter means and ranks, in the order of the columns
    diagnostic  shifts that are shown and rank nothing
    train       set that heads are trained on by default, a part of one, or None
    classes     name of a class table, "folders" (of the clean set, sorted), or the class names
    names       class -> the words a zero-shot head uses, where they are not the class names
    templates   prompt templates: a name or a file
    reference   model whose effect sets the scale of "no effect": `published:TABLE/MODEL`, a model spec, or None
    baseline    default baseline, None where none is shipped
    axis_title  what the horizontal axis shows, without unit
    sets        every set that belongs to the suite, by name
    generated   True where the sets are drawn by a program and need no download
    file        the file it was read from; paths in it are relative to its folder or to the data folder
    """

    name: str
    title: str
    clean: str
    ranked: tuple[str, ...]
    diagnostic: tuple[str, ...]
    train: str | TrainingSplit | None
    classes: str | tuple[str, ...]
    names: Mapping[str, str]
    templates: str
    reference: str | None
    baseline: str | None
    axis_title: str
    sets: Mapping[str, SuiteSet] = field(hash=False)
    generated: bool
    file: Path

    @property
    def shifts(self) -> tuple[str, ...]:
        """Ranked and diagnostic shifts."""
        return (*self.ranked, *self.diagnostic)

    @property
    def tests(self) -> tuple[str, ...]:
        """The sets that are evaluated by default, the clean one first."""
        return (self.clean, *self.shifts)

    @property
    def training(self) -> tuple[str, ...]:
        """Sets that heads are trained on."""
        return tuple(name for name, each in self.sets.items() if each.teaches)

    @property
    def train_set(self) -> str | None:
        """Name of the set that heads are trained on by default, or None; `NAME/train` is the training part of one."""
        return f"{self.name}/{TRAIN}" if isinstance(self.train, TrainingSplit) else self.train

    @property
    def declares_places(self) -> bool:
        """True where the file says where sets lie: a suite of the user's own."""
        return any(each.form is not None for each in self.sets.values())

    def full_name(self, name: str) -> str:
        """A set's name as records have it, for SET or NAME/SET."""
        whole = f"{self.name}/{name}"
        return whole if whole in self.sets else name

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return {**asdict(self), "file": str(self.file)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Suite:
        """The inverse of `as_json`. Raises TypeError or KeyError for values of another version."""
        train, classes = values["train"], values["classes"]
        return cls(
            **{
                **values,
                "ranked": tuple(values["ranked"]),
                "diagnostic": tuple(values["diagnostic"]),
                "train": TrainingSplit(**train) if isinstance(train, Mapping) else train,
                "classes": tuple(classes) if isinstance(classes, list) else classes,
                "sets": {name: SuiteSet(**each) for name, each in values["sets"].items()},
                "file": Path(values["file"]),
            }
        )

    def set_title(self, name: str) -> str:
        """Heading of a set's column; its own name for a set that is not of the suite."""
        return self.sets[name].title if name in self.sets else name

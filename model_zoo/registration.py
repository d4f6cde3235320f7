"""The user's own models: what `register` was told, kept by name in one JSON file of the user's configuration folder.

Knows names, files and settings only; nothing is loaded here. What a record means is `from_registration`'s affair.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from model_zoo.errors import ModelError
from shifts.bounds.files import read_json
from shifts.bounds.kept import change_file

SCHEMA = 1
ORIGINS = ("measured", "imported", "given", "published", "none", "all")
SUPERVISION = ("labels", "captions", "none")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True)
class Registration:
    """One registered model. Exactly one of `arch`, `like` and `loader` says what it is.

    checkpoint  absolute path of its weights, or None (the loader's own, or those of `arch` or `like`)
    arch        an open_clip architecture, or the absolute path of a model config
    like        the spec (scheme:name) of a model it shares architecture and preprocessing with
    loader      MODULE:FUNCTION or FILE.py:FUNCTION; `root` is the folder it was registered in, searched for MODULE
    pixels      `--pixels` as typed: the keys that differ from those of `arch` or `like`; all of them for a loader
    features    the layer whose output is taken as features, or None
    trained_on, images, supervision, loss   facts for its model card, as the user states them
    """

    name: str
    checkpoint: str | None = None
    arch: str | None = None
    like: str | None = None
    loader: str | None = None
    root: str | None = None
    pixels: str | None = None
    features: str | None = None
    trained_on: str | None = None
    images: int | None = None
    supervision: str | None = None
    loss: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if sum(source is not None for source in (self.arch, self.like, self.loader)) != 1:
            raise ModelError(f"registering {self.name} takes exactly one of --arch, --like and --loader")
        if self.loader is not None and not self.pixels:
            raise ModelError(
                f"a loader does not say how pictures are prepared: register {self.name} with --pixels "
                "resize=256,crop=224,interpolation=bilinear,mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
            )
        if self.images is not None and self.images < 0:
            raise ModelError(f"--images is a number of training images; got {self.images}")
        if self.supervision is not None and self.supervision not in SUPERVISION:
            raise ModelError(f"--supervision is one of {', '.join(SUPERVISION)}; got {self.supervision!r}")


def check_free(name: str) -> None:
    """Raise ModelError for a name that effrob itself gives: a scheme, a table, or a word for where a number is from."""
    from model_zoo.providers import schemes
    from model_zoo.published import sources

    if name.lower().replace("_", "-") in {*schemes(), *(each.replace("_", "-") for each in sources()), *ORIGINS}:
        raise ModelError(
            f"{name} is a name of effrob's own, and rows would be taken for its: choose another, as my-{name}"
        )


def check_name(name: str) -> None:
    """Raise ModelError unless `name` can stand in a spec, a file name and a table."""
    if not _NAME.fullmatch(name):
        raise ModelError(
            f"a registered name is up to 100 letters, digits and . _ + -, starting with a letter or digit; got {name!r}"
        )


def config_file() -> Path:
    """Where registrations are kept: `models.json` in the folder $EFFROB_CONFIG (or that file), else in the user's own."""
    chosen = os.environ.get("EFFROB_CONFIG")
    if not chosen:
        import platformdirs

        return Path(platformdirs.user_config_dir("effrob")) / "models.json"
    path = Path(chosen).expanduser()
    return path if path.suffix == ".json" else path / "models.json"


def saved() -> dict[str, Registration]:
    """Every saved registration by name; empty where none was made. Raises ModelError for a file that cannot be read."""
    path = config_file()
    try:
        content = read_json(path)
        if content["schema"] != SCHEMA:
            raise ModelError(
                f"{path} has schema {content['schema']!r}, wanted {SCHEMA}: it is from another version of effrob"
            )
        known = {field.name for field in fields(Registration)}
        return {
            name: Registration(**{key: value for key, value in values.items() if key in known} | {"name": name})
            for name, values in content["models"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"the registered models in {path} cannot be read ({error}): mend that file, or delete it and register them again"
        ) from error


def save(record: Registration, replace: bool = False) -> Path:
    """Write `record` beside the others and return the file. Raises ModelError where the name is taken and not `replace`."""
    path = config_file()

    def changed() -> str:
        records = saved()
        if record.name in records and not replace:
            raise ModelError(f"{record.name} is registered already (in {path}): choose another name, or say --replace")
        records[record.name] = record
        content: dict[str, Any] = {"schema": SCHEMA, "models": {}}
        for name, each in sorted(records.items()):
            content["models"][name] = {key: value for key, value in asdict(each).items() if value is not None}
        return json.dumps(content, indent=2) + "\n"

    return change_file(path, changed)

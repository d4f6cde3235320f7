"""Places of sets as users write them and as `effrob data where` keeps them in the user's configuration; the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from shifts.bounds.files import read_json
from shifts.errors import DataError, DataMissing


def expanded(place: str | Path) -> Path:
    """The place with `~` written out. DataMissing for the home folder of a user who is not known here."""
    try:
        return Path(place).expanduser()
    except RuntimeError:
        raise DataMissing(
            f"{place} starts with the home folder of {Path(place).parts[0]}, a user who is not known on this machine; "
            f"write the whole path"
        ) from None


def config_file() -> Path:
    """Where places of sets are kept: `places.json` in the folder $EFFROB_CONFIG, else in the user's configuration folder."""
    chosen = os.environ.get("EFFROB_CONFIG")
    folder = expanded(chosen) if chosen else Path(platformdirs.user_config_dir("effrob"))
    return (folder.parent if folder.suffix == ".json" else folder) / "places.json"


def cache_folder() -> Path:
    """The user's cache: $EFFROB_CACHE, else the platform's."""
    named = os.environ.get("EFFROB_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("effrob"))


def kept_places() -> dict[str, Path]:
    """Set -> place, as `effrob data where` kept them."""
    file = config_file()
    try:
        content = read_json(file)
        return {str(name): Path(place) for name, place in content["places"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the places in {file} cannot be read ({error}); remove the file and name them again") from None

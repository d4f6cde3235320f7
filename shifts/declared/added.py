"""Suite files that the user made known by name: `suites.json` beside the other configuration, name -> path of the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from shifts.bounds.files import read_json
from shifts.bounds.kept import change_file
from shifts.errors import DataError


def config_file() -> Path:
    """`suites.json` in the folder $EFFROB_CONFIG (or beside that file), else in the user's own configuration folder."""
    chosen = os.environ.get("EFFROB_CONFIG")
    if not chosen:
        import platformdirs

        return Path(platformdirs.user_config_dir("effrob")) / "suites.json"
    path = Path(chosen).expanduser()
    return (path.parent if path.suffix == ".json" else path) / "suites.json"


def added() -> dict[str, Path]:
    """Every suite that was added. DataError where the file cannot be read."""
    file = config_file()
    try:
        content = read_json(file)
        return {str(name): Path(str(path)) for name, path in dict(content).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{file} cannot be read ({error}); correct it, or remove it and add your suites again"
        ) from None


def add(name: str, file: Path, replace: bool = False) -> None:
    """Make a suite file known under its name. DataError where another file has that name."""

    def changed() -> str:
        known = added()
        if not replace and known.get(name, file) != file:
            raise DataError(f"the suite {name} is {known[name]} already; rename yours, or give --replace")
        known[name] = file
        return json.dumps({key: str(path) for key, path in sorted(known.items())}, indent=2) + "\n"

    change_file(config_file(), changed)

"""What the names that a copy gives its labels mean: class folders, by class ids, names, WordNet lemmas or index numbers.

Names lie in the schema of a table, in a text file beside shards or records, or in the `dataset_info` of a copy's README.md.
Where there are names, a label goes by its name, never by its number alone.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shifts.bounds.files import read_bytes
from shifts.classes import ClassFolders
from shifts.errors import DataError
from shifts.evidence.official_names import CLASS_ID

FILES = ("classnames.txt", "label.labels.txt", "labels.txt", "classes.txt", "class_names.txt")


def folders_called(label: str, classes: ClassFolders) -> frozenset[str] | None:
    """The class folders that a text may mean: empty for a class that the set lacks, None for a text that is no class."""
    text = label.strip()
    if text in classes.class_ids:
        return frozenset({text})
    ids = [id for id in CLASS_ID.findall(text) if id in classes.table.index]
    if ids:
        by_index = classes.by_index
        held = [{by_index[k]} if k in by_index else set() for k in (classes.table.index[id] for id in ids)]
        return frozenset(set.intersection(*held))
    plain = text.casefold()
    for spoken in (plain, plain.replace("_", " ")):
        if spoken in classes.by_name:
            return classes.by_name[spoken]
    parts = [
        classes.by_name[part] for part in map(str.strip, plain.replace("_", " ").split(",")) if part in classes.by_name
    ]
    return (frozenset.intersection(*parts) or None) if parts else None


def named_order(used: Iterable[int], classes: ClassFolders, names: Sequence[str], where: str) -> Mapping[int, str]:
    """Label number -> class folder by the names. DataError where a label that is used has a name that is no one class."""
    own = dict(enumerate(classes.folders))
    n_table = len(classes.table.ids)
    expected: Mapping[int, str] = classes.by_index if len(names) == n_table > len(own) else own
    asked = sorted(k for k in used if 0 <= k < len(names))
    told = _numbered(classes, names) or [folders_called(name, classes) for name in names]
    for k in asked:
        if told[k] is None:
            raise DataError(
                f"{where} calls its label {k} {names[k][:40]!r}, which is no class of {classes.name} by its name (the first "
                f"label is {names[0][:40]!r}); name labels by class ids"
            )
    differs = [k for k, folders in enumerate(told) if folders and expected.get(k) not in folders]
    if not differs and all(told[k] or k not in expected for k in asked):
        return {k: expected[k] for k in asked if k in expected}
    vague = [k for k in asked if len(told[k] or ()) > 1]
    if vague:
        raise DataError(
            f"{where} calls its label {differs[0]} {names[differs[0]]!r}, so its labels are not in the order of "
            f"{classes.name}, and its label {vague[0]}, {names[vague[0]]!r}, is no class by its name; name labels by class ids"
        )
    return {k: min(told[k] or ()) for k in asked if told[k]}


def _numbered(classes: ClassFolders, names: Sequence[str]) -> list[frozenset[str] | None] | None:
    """The classes of names that are all integers: indices of the table, or places in the set's own order; None for others."""
    if set(names) <= set(classes.class_ids) or not all(
        name.strip().isascii() and name.strip().isdigit() for name in names
    ):
        return None
    numbers = [int(name) for name in names]
    if set(numbers) == set(range(len(classes.folders))):
        return [frozenset({classes.folders[k]}) for k in numbers]
    if set(numbers) == set(range(len(classes.table.ids))) or set(numbers) == set(classes.by_index):
        return [frozenset({classes.by_index[k]} if k in classes.by_index else ()) for k in numbers]
    return [None] * len(numbers)


def names_beside(folders: Iterable[Path], classes: ClassFolders) -> Sequence[str] | None:
    """The names in the first text file of names, or README.md with `dataset_info`, of some folders; None where there is none.

    Raises DataError where the file names another number of labels than the set, its table or ObjectNet has classes, unless
    they are the set's first ones.
    """
    counts = {len(classes.folders), len(classes.table.ids)}
    if classes.prefix:
        counts.add(len(classes.folders) + len(classes.table.object_others))
    for folder in folders:
        for file in (*(folder / name for name in FILES), folder / "README.md"):
            if not file.is_file():
                continue
            text = _text(file)
            readme = file.name == "README.md"
            names = names_in_readme(text) if readme else [line.strip() for line in text.splitlines() if line.strip()]
            if names is None:
                continue
            if len(names) not in counts:
                if _begins_the_order(names, classes):  # an excerpt that says nothing else
                    continue
                raise DataError(
                    f"{file} names {len(names):,} labels, the first {(names or [''])[0][:40]!r}, and {classes.name} has "
                    f"{' or '.join(f'{n:,}' for n in sorted(counts))} classes; name one class a line, in order, or remove it"
                )
            return names
    return None


def _begins_the_order(names: Sequence[str], classes: ClassFolders) -> bool:
    """Whether fewer names than classes are those of the set's first classes, in its order."""
    return 0 < len(names) < len(classes.folders) and all(
        folder in (folders_called(name, classes) or ()) for folder, name in zip(classes.folders, names, strict=False)
    )


def names_in_readme(text: str) -> Sequence[str] | None:
    """The class names in the `dataset_info` of a README's YAML header; None where it has none, or several that differ."""
    if not text.startswith("---") or "class_label" not in text:
        return None
    import yaml  # type: ignore[import-untyped]

    try:
        header = yaml.safe_load(text.split("\n---", 1)[0].removeprefix("---"))
        about = header["dataset_info"]
    except (yaml.YAMLError, KeyError, TypeError):
        return None
    found: list[Any] = []
    for config in about if isinstance(about, list) else [about]:
        for feature in (config.get("features") or ()) if isinstance(config, dict) else ():
            kind = feature.get("dtype") if isinstance(feature, dict) else None
            names = (kind.get("class_label") or {}).get("names") if isinstance(kind, dict) else None
            if isinstance(names, dict):
                names = [names[key] for key in sorted(names, key=int)]
            if names and names not in found:
                found.append(names)
    return [str(name) for name in found[0]] if len(found) == 1 else None


def _text(file: Path) -> str:
    """A text file in UTF-8, or in UTF-16 where it starts with its mark."""
    content = read_bytes(file)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig", errors="replace")

"""Columns of a table of images: by which names images, labels, splits and paths are known, and what a schema says of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shifts.bounds.files import parse_json
from shifts.storage.splits import split_in

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "pixels")
LABEL_COLUMNS = (
    *("label", "labels", "cls", "wnid", "synset", "class_id", "class", "class_name", "target"),
    *("class_index", "synset_id", "wordnet_id", "wordnetid", "label_name"),
)
SPLIT_COLUMNS = ("split", "subset", "partition")
PATH_COLUMNS = ("path", "file_name", "filename", "image_path", "file", "image_id", "id", "__key__")


def names_in(metadata: bytes | None, column: str | None) -> Sequence[str] | None:
    """The names that a dataset's metadata gives the labels of a column; None where it gives none."""
    try:
        content = parse_json(metadata or b"null")
        features = (content.get("info") or content).get("features")
        names = features[column]["names"]
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def split_column(schema: Any) -> str | None:
    """The column that says of which split a row is, by texts or numbers, or None."""
    import pyarrow as pa

    def counts(kind: Any) -> bool:
        return is_label(kind, pa) or bool(pa.types.is_floating(kind) or pa.types.is_boolean(kind))

    held = {name.lower(): str(name) for name in schema.names if counts(schema.field(name).type)}
    return next((held[name] for name in SPLIT_COLUMNS if name in held), None)


def said_splits(column: str, values: Sequence[Any], names: Sequence[str] | None) -> list[str | None]:
    """What a column says of each row's split; numbers go by the names that the schema gives them.

    A column that is not called `split` counts where it names a split: a subset may be of another kind.
    """
    named: dict[Any, str] = dict(enumerate(names or ()))
    said = [
        None if value is None else named.get(value, f"split {value}") if isinstance(value, int | float) else str(value)
        for value in values
    ]
    return said if column.lower() == "split" else [text if text and split_in(text) else None for text in said]


def holds_bytes(kind: Any, pa: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and holds_bytes(field.type, pa) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_label(kind: Any, pa: Any) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_dictionary(kind)
    )

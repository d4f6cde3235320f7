"""Columns of a table of images: by which names images, labels, splits and paths are known, and what a schema says of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shifts.bounds.files import parse_json

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "pixels")
LABEL_COLUMNS = (
    *("label", "labels", "cls", "wnid", "synset", "class_id", "class", "class_name", "target"),
    *("class_index", "synset_id", "wordnet_id", "wordnetid", "label_name"),
)
SPLIT_COLUMNS = ("split", "subset", "partition")
PATH_COLUMNS = ("path", "file_name", "filename", "image_path", "file", "image_id", "id", "__key__")


def names_in(metadata: bytes | None, column: str) -> Sequence[str] | None:
    """The names that a dataset's metadata gives the labels of a column; None where it gives none."""
    try:
        content = parse_json(metadata or b"null")
        features = (content.get("info") or content).get("features")
        names = features[column]["names"]
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def split_column(schema: Any) -> str | None:
    """The column of texts that says of which split a row is, or None."""
    import pyarrow as pa

    for name in schema.names:
        kind = schema.field(name).type
        if name.lower() in SPLIT_COLUMNS and is_label(kind, pa) and not pa.types.is_integer(kind):
            return str(name)
    return None


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

"""What the headers of an HTTP reply say of the file it sends."""

from __future__ import annotations

from typing import Any


def packing(reply: Any) -> str | None:
    """How the file is packed on its way, as `gzip`; None where it is sent as it is."""
    said = str(reply.headers.get("Content-Encoding", "")).strip().lower()
    return None if said in ("", "identity") else said


def extent(reply: Any) -> tuple[int, int | None]:
    """(first byte, bytes of the whole file) as a reply's headers say; None where they do not."""
    if reply.status_code == 206:
        said = reply.headers.get("Content-Range", "")
        span, _, whole = said.removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        if said.startswith("bytes ") and first.isdigit():
            return int(first), int(whole) if whole.isdigit() else None
        return -1, None
    length = reply.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def strong(etag: str | None) -> str | None:
    """An ETag that vouches for every byte; a weak one does not."""
    return None if etag is None or etag.startswith("W/") else etag

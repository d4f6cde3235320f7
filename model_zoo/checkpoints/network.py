"""Weights that a library fetches: a failure becomes one sentence that says how to give a file instead."""

from __future__ import annotations

import os
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from model_zoo.errors import ModelError, UnknownModel

LOOK_UP = 60.0
_looked_up: dict[str, tuple[float, bool]] = {}  # address -> when its name was last looked up, and whether it is known
_local_only: list[bool] = []  # not empty inside `without_fetching`


class NotFetched(ModelError):
    """Weights or a configuration that are not on this machine and could not be fetched, or may not be now."""


@contextmanager
def without_fetching() -> Iterator[None]:
    """Inside, nothing is fetched: what is not on this machine raises NotFetched. For a dry run."""
    import torch.hub

    def refuse(*_: object, **__: object) -> None:
        raise OSError("nothing is fetched in a dry run")

    before = torch.hub.download_url_to_file, urllib.request.urlopen
    _local_only.append(True)
    torch.hub.download_url_to_file = urllib.request.urlopen = refuse
    try:
        yield
    finally:
        torch.hub.download_url_to_file, urllib.request.urlopen = before
        _local_only.pop()


@contextmanager
def weights_from_network(what: str, instead: str, local: bool = False) -> Iterator[None]:
    """Inside, libraries fetch weights; a failure becomes one sentence that says how to give a file (`instead`).

    local  what is read lies in a folder of the user's, so nothing is fetched, and a failure is that folder's
    Where the hub's name cannot even be resolved and no proxy is set, the hub client is told that it is offline, so that it
    looks in its cache and then gives up at once, not after a minute of retries.
    """
    from huggingface_hub import constants
    from safetensors import SafetensorError

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = bool(_local_only) or before or local or not _resolvable(constants.ENDPOINT)
    try:
        yield
    except (ModelError, UnknownModel):
        raise
    except (OSError, RuntimeError, ValueError, LookupError, ImportError, SafetensorError) as error:
        reason = (
            "this machine is offline" if constants.HF_HUB_OFFLINE else f"{type(error).__name__}: {_first_line(error)}"
        )
        if local:
            message = f"{what} cannot be read ({type(error).__name__}: {_first_line(error)}): {instead}"
            raise ModelError(message) from error
        raise NotFetched(f"{what} could not be fetched ({reason}): {instead}") from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def _resolvable(url: str) -> bool:
    """Whether this address's name is known, looked up at most once in LOOK_UP seconds: one that nobody answers takes many."""
    if urllib.request.getproxies() or os.environ.get("HF_HUB_OFFLINE"):
        return True
    asked, answer = _looked_up.get(url, (-LOOK_UP, False))
    if time.monotonic() - asked < LOOK_UP:
        return answer
    try:
        socket.getaddrinfo(urlsplit(url).hostname, 443)
        answer = True
    except OSError:
        answer = False
    _looked_up[url] = (time.monotonic(), answer)
    return answer

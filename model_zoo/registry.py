"""From the text a user types to a model: a scheme's provider, or a registered name.

Loads no torch by itself: a provider is imported when one of its models is asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_zoo import providers, registration
from model_zoo.errors import ModelError, UnknownModel
from model_zoo.offered import offered
from model_zoo.registered import registered_names
from model_zoo.registration import Registration
from model_zoo.spec import FOLDER, MIXTURE, PART, ModelSpec, parse, weights_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from model_zoo.encoder import Encoder, Identity, Provider


def provider(scheme: str) -> Provider:
    """The provider of a scheme; the empty scheme is that of registered names. Raises as `providers.provider`."""
    if scheme == MIXTURE:
        from model_zoo.mixtures.provider import provider as mixtures

        return mixtures
    if scheme:
        return providers.provider(scheme)
    from model_zoo.sources.from_registration import provider as registered_models

    return registered_models


def identify(text: str) -> Identity:
    """All that is known of the model `text` names, without loading its weights (a loader is called).

    Raises UnknownModel for a scheme, name, tag or file that does not exist, ModelError for one that cannot be used.
    """
    given = offered(text)
    if given is not None:
        return given.identity
    spec = parse(text)
    return provider(spec.scheme).identify(spec)


def load(text: str, device: str = "cpu") -> Encoder:
    """The model `text` names, on `device`, in evaluation mode. Raises as `identify`, and for weights that do not fit."""
    from model_zoo.encoder import on_device

    given = offered(text)
    if given is not None:
        return given.encoder(on_device(device))
    spec = parse(text)
    return provider(spec.scheme).load(spec, on_device(device))


def names(scheme: str = "") -> list[str]:
    """Every name of a scheme; without one, the registered names."""
    return provider(scheme).names() if scheme else registered_names()


def save_registration(
    record: Registration, replace: bool = False, tried: Callable[[Encoder], None] | None = None
) -> Identity:
    """Check that `record` can be resolved, keep it in the user's file, and return its identity.

    tried  is given the loaded model before anything is kept, and may raise
    Paths are made absolute, so that the name works from any folder; `--like` must not name a registered model.
    Raises ModelError and UnknownModel, and then nothing is written.
    """
    registration.check_free(record.name)
    record = _absolute(record)
    if record.like is not None and not parse(record.like).scheme:
        raise ModelError(
            f"--like takes scheme:name, not the registered name {record.like!r}; "
            f"another checkpoint of a registered model is asked for as {record.like}@FILE"
        )
    if not replace and record.name in registration.saved():
        registration.save(record)  # raises, naming the file
    from model_zoo.encoder import on_device
    from model_zoo.sources.from_registration import encoder_of, identity_of

    spec = ModelSpec("", record.name)
    identity = identity_of(record, spec)
    if tried is not None:
        tried(encoder_of(record, spec, on_device("cpu")))
    registration.save(record, replace)
    return identity


def _absolute(record: Registration) -> Registration:
    """`record` with its paths absolute. Raises UnknownModel for a checkpoint or config that is not there."""
    changes: dict[str, Any] = {}
    if record.checkpoint is not None:
        checkpoint, part = weights_path(record.checkpoint)
        if not checkpoint.is_file():
            raise UnknownModel(
                f"there is no checkpoint {record.checkpoint}: give --checkpoint the path of a weights file"
            )
        changes["checkpoint"] = str(checkpoint.resolve()) + (f"{PART}{part}" if part else "")
    if record.arch is not None and record.arch.endswith(".json"):
        changes["arch"] = str(Path(record.arch).expanduser().resolve())
    if record.loader is not None:
        changes["root"] = str(Path.cwd())
        module, _, function = record.loader.rpartition(":")
        if module.endswith(".py"):
            changes["loader"] = f"{Path(module).expanduser().resolve()}:{function}"
    if record.like is not None:
        spec = parse(record.like)
        if spec.weights is not None and (path := weights_path(spec.weights))[0].is_file():
            weights = str(path[0].resolve()) + (f"{PART}{path[1]}" if path[1] else "")
            changes["like"] = str(replace(spec, weights=weights))
        for prefix in ("", FOLDER):
            folder = Path(spec.name.removeprefix(prefix)).expanduser()
            if spec.name.startswith(prefix) and folder.is_dir() and spec.scheme in ("openclip", "timm", "transformers"):
                changes["like"] = str(replace(spec, name=f"{prefix}{folder.resolve()}"))
    return replace(record, **changes)

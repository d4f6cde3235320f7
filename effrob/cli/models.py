"""`effrob models`: which models there are, and what is known of one."""

from __future__ import annotations

from typing import Any

import click


@click.command("models")
@click.argument("spec", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
def command(spec: str | None, as_json: bool) -> None:
    """List models by scheme with their default weights, or show what is known of one SPEC without loading weights."""
    from effrob.writing import strict_json

    rows = [_one(spec)] if spec else _every()
    if as_json:
        click.echo(strict_json(rows), nl=False)
        return
    for row in rows:
        if spec:
            for key, value in row.items():
                click.echo(f"{key:<12} {value}")
        else:
            click.echo(row["model"] if row["default"] is None else f"{row['model']}@{row['default']}")


def _one(spec: str) -> dict[str, Any]:
    import model_zoo

    identity = model_zoo.identify(spec)
    return {
        "model": str(identity.spec),
        "asked": identity.asked,
        "weights": identity.spec.weights,
        "pixels": identity.pixels.as_json(),
        "has_text": identity.has_text,
        "n_classes": identity.n_classes,
        "layer": identity.layer,
        "digest": identity.digest,
        "notes": list(identity.notes),
    }


def _every() -> list[dict[str, Any]]:
    """Registered and pocket models, and every open_clip architecture with a default; other schemes hold thousands of names."""
    import model_zoo
    from model_zoo.defaults import default_weights

    rows = [{"model": name, "default": None} for name in model_zoo.names()]
    for scheme in ("pocket", "openclip"):
        rows += [
            {"model": f"{scheme}:{name}", "default": default_weights(scheme, name)} for name in model_zoo.names(scheme)
        ]
    return rows

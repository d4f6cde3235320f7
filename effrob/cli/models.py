"""`effrob models`: which models there are, and what is known of one."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from model_zoo.published import PublishedAccuracy


@click.command("models")
@click.argument("spec", required=False)
@click.option("--conflicts", is_flag=True, help="List published accuracies that contradict one another instead.")
@click.option("--prove", is_flag=True, help="Load SPEC and compare it with its library now.")
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
def command(spec: str | None, conflicts: bool, prove: bool, as_json: bool) -> None:
    """List models by scheme with their default weights, or show what is known of one SPEC without loading weights.

    SPEC may also be the name of a model that papers report and nobody can load: its published accuracies are shown, each with
    its source, and where sources contradict one another, both. A proof compares pixels, features, scores and texts with the
    library's own on three pictures: the first run of a model makes it, or --prove.
    """
    from effrob.errors import UsageProblem
    from effrob.files import strict_json

    if prove and not spec:
        raise UsageProblem("--prove loads one model: effrob models SPEC --prove")
    if conflicts and spec:
        raise UsageProblem("--conflicts lists every model's: give it no SPEC, or SPEC without it")
    with redirect_stdout(sys.stderr):  # a user's loader may print
        rows = _conflicts() if conflicts else [_one(spec, prove)] if spec else _every()
    if as_json:
        click.echo(strict_json(rows), nl=False)
        return
    for row in rows:
        if conflicts:
            click.echo(f"{row['weights']} ({row['head']}) {row['sentence']}")
        elif spec:
            _show(row)
        else:
            click.echo(row["model"] if row["default"] is None else f"{row['model']}@{row['default']}")
    if not spec and not conflicts:
        click.echo(
            f"{len(_conflicts())} published accuracies contradict one another: `effrob models --conflicts` lists both values",
            err=True,
        )


def _show(facts: dict[str, Any], indent: str = "") -> None:
    """One fact a line, nested ones indented; `-` for what is not known."""
    for key, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{indent}{key}")
            _show(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            click.echo(f"{indent}{key}")
            for each in value:
                click.echo(f"{indent}  " + ", ".join(f"{name} {_word(part)}" for name, part in each.items()))
        else:
            click.echo(f"{indent}{key:<14} {_word(value)}")


def _word(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return f"{100 * value:.2f} %" if isinstance(value, float) and 0 < value <= 1 else str(value)


def _one(spec: str, prove: bool) -> dict[str, Any]:
    import model_zoo
    from effrob.evaluation.trials import cached_proof, prove_encoder
    from model_zoo.cards import card_of_spec
    from model_zoo.registration import saved
    from shifts.storage.kept_places import cache_folder

    try:
        identity = model_zoo.identify(spec)
    except (model_zoo.ModelError, model_zoo.UnknownModel):
        reported = _published(spec, spec)
        if not reported:
            raise
        return {"model": spec, "published": reported, "conflicts": _conflicts({row["weights"] for row in reported})}
    name = str(identity.spec)
    published = _published(name, spec)
    proof = prove_encoder(model_zoo.load(spec), cache_folder()) if prove else cached_proof(cache_folder(), identity)
    return {
        "model": name,
        "asked": identity.asked,
        "weights": identity.spec.weights,
        "pixels": identity.pixels.as_json(),
        "has_text": identity.has_text,
        "n_classes": identity.n_classes,
        "layer": identity.layer,
        "digest": identity.digest,
        "notes": list(identity.notes),
        "proof": None if proof is None else {"sentence": proof.sentence, **proof.as_json()},
        "card": card_of_spec(name, saved().get(name)).as_json(),
        "published": published,
        "conflicts": _conflicts({row["weights"] for row in published}),
        "cached": _cached(identity.digest),
    }


def _published(spec: str, asked: str) -> list[dict[str, Any]]:
    """Rows of the published tables for these very weights, as fractions: same spec, timm's ARCH.TAG, or a paper's name."""
    from model_zoo.disputes import disputes_of
    from model_zoo.published import published, sources

    named = {spec, asked, spec.removeprefix("timm:")}
    return [
        {
            "source": row.source,
            "reference": row.reference,
            "protocol": row.protocol,
            "head": row.head,
            "img_size": row.img_size,
            "weights": row.weights,
            "imagenet": row.clean_full,
            **row.accuracies,
            **row.others,
            "note": row.note,
            "where": row.where,
            "disputed": [each.sentence for each in disputes_of(row)],
        }
        for source in sources()
        for row in published(source)
        if named & {row.model, row.weights, *_in_papers(row)}
    ]


def _in_papers(row: PublishedAccuracy) -> set[str]:
    """What papers call a row's model: `SigLIP-B/16@224`, and without its resolution."""
    if row.reference is None:
        return set()
    name = row.model.removesuffix(f" [{row.reference}]")
    return {name, name.partition("@")[0]}


def _conflicts(weights: set[str] | None = None) -> list[dict[str, Any]]:
    """Published accuracies of the same weights that differ by more than a point; of all weights where none are named."""
    from dataclasses import asdict

    from model_zoo.disputes import conflicts

    return [
        {**asdict(each), "sentence": each.sentence}
        for each in conflicts()
        if weights is None or each.weights in weights
    ]


def _cached(digest: str) -> list[dict[str, Any]]:
    """Feature sets of these weights in the cache."""
    from effrob.features.cache import FeatureCache
    from shifts.storage.kept_places import cache_folder

    cache = FeatureCache(cache_folder())
    return [
        {"images": key.n, "layer": key.layer, "precision": key.precision, **meta, "folder": str(cache.folder(key))}
        for key, meta in cache.filed()
        if key.model == digest
    ]


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

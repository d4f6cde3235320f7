"""`effrob register`: give a checkpoint or a loader a name."""

from __future__ import annotations

from shlex import quote
from typing import Any

import click


@click.command("register")
@click.argument("name")
@click.option(
    "--checkpoint", metavar="FILE", help="Weights: a state dict, open_clip's training checkpoint, or safetensors."
)
@click.option(
    "--arch", metavar="OPENCLIP_ARCH", help="An open_clip architecture, or the path of a model config (JSON)."
)
@click.option("--like", metavar="SPEC", help="Architecture and pixels of another model, e.g. torchvision:resnet50.")
@click.option(
    "--loader", metavar="MODULE:FUNCTION", help="A function that returns a torch.nn.Module giving class logits."
)
@click.option(
    "--pixels", metavar="KEY=VALUE,…", help="resize=256,crop=224,interpolation=bilinear,mean=0.485/0.456/0.406,std=0.5"
)
@click.option("--features", metavar="LAYER", help="The layer whose output a probe reads.")
@click.option("--replace", is_flag=True, help="Overwrite the name if it is taken.")
@click.option("--trained-on", metavar="TEXT", help="Card: training data.")
@click.option("--images", type=int, metavar="N", help="Card: number of training images.")
@click.option("--supervision", metavar="KIND", help="Card: labels, captions or none.")
@click.option("--loss", metavar="TEXT", help="Card: training loss.")
def command(name: str, replace: bool, **given: Any) -> None:
    """Give a model of your own a NAME that every other command knows.

    Exactly one of --arch, --like and --loader says what it is. A loader needs --pixels. The model is loaded and compared with
    its library on three pictures; one that cannot be used is not registered.
    """
    import sys
    from contextlib import redirect_stdout

    from effrob.evaluation.trials import prove_encoder
    from model_zoo import Encoder, Registration, save_registration
    from shifts.storage.kept_places import cache_folder

    lines: list[str] = []

    def tried(encoder: Encoder) -> None:
        proof = prove_encoder(encoder, cache_folder())
        lines.extend(_described(encoder, proof.sentence))
        if proof.text_wrong is not None:
            lines.append(f"no zero-shot head: {proof.text_wrong}")

    with redirect_stdout(sys.stderr):  # a user's loader may print
        identity = save_registration(Registration(name=name, **given), replace=replace, tried=tried)
    for note in identity.notes:
        click.echo(f"{name}: {note}", err=True)
    for line in lines:
        click.echo(f"{name}: {line}")
    worded = identity.has_text and not any(line.startswith("no zero-shot") for line in lines)
    head = "zero-shot" if worded else "native" if identity.n_classes else "linear-probe"
    click.echo(f"registered {name}; try: effrob eval --model {quote(name)} --head {head}")


def _described(encoder: Any, proof: str) -> list[str]:
    """What a loaded model is, and the heads it can have."""
    size = encoder.pixels.size
    module = encoder.module
    count = "" if module is None else f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} M parameters, "
    what = "logits" if encoder.kind == "logits" else "features"
    heads = ["zero-shot"] if encoder.text is not None else []
    heads += ["native"] if encoder.classifier is not None else []
    heads += [] if encoder.kind == "logits" else ["linear-probe", "few-shot-K", "ridge", "knn"]
    return [
        f"{count}pictures of {size[0]}x{size[1]}, {encoder.dim} {what} a picture",
        f"proved {proof}",
        f"heads: {', '.join(heads)}",
    ]

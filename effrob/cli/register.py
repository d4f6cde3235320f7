"""`effrob register`: give a checkpoint or a loader a name."""

from __future__ import annotations

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
@click.option("--pixels", metavar="KEY=VALUE,…", help="resize=256,crop=224,interpolation=bilinear,mean=0.5,std=0.5")
@click.option("--features", metavar="LAYER", help="The layer whose output a probe reads.")
@click.option("--replace", is_flag=True, help="Overwrite the name if it is taken.")
@click.option("--trained-on", metavar="TEXT", help="Card: training data.")
@click.option("--images", type=int, metavar="N", help="Card: number of training images.")
@click.option("--supervision", metavar="KIND", help="Card: labels, captions or none.")
@click.option("--loss", metavar="TEXT", help="Card: training loss.")
def command(name: str, replace: bool, **given: Any) -> None:
    """Give a model of your own a NAME that every other command knows.

    Exactly one of --arch, --like and --loader says what it is. A loader needs --pixels.
    """
    from model_zoo import Registration, save_registration

    identity = save_registration(Registration(name=name, **given), replace=replace)
    for note in identity.notes:
        click.echo(f"{name}: {note}", err=True)
    heads = "zero-shot" if identity.has_text else "native"
    click.echo(f"registered {name}; try: effrob eval --model {name} --head {heads}")

"""How the shipped pocket models were made: `python -m recipes.pocket`, a few minutes on two cores.

Trains what `model_zoo/data/pocket/models.json` describes, stores the weights beside it, and chooses the draws of
`pocket-a` by the reference classifier. Weights that are there are kept; delete a file to make it anew.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from effrob.features.transforms import decode, exact_crop
from model_zoo.checkpoints.state import read_state
from model_zoo.sources.from_pocket import FOLDER, cards, pixels_of, provider, untrained
from model_zoo.spec import ModelSpec
from recipes import contrastive, supervised
from recipes.pictures import Pictures, load
from shifts.classes import DATA, pocket
from shifts.synthetic.draw import FOLDERS, draw_photograph, encode, generate

REFERENCE = "reference"  # chooses pocket-a, and so is kept out of the baseline
MOST_DRAWS = 20000  # a class that the reference gets wrong more rarely than 35 in so many is no class for pocket-a


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path("pocket-data"), help="Where the pocket sets are drawn."
)
@click.option("--only", multiple=True, help="Train these models and nothing else.")
@click.option("--threads", type=int, default=1, show_default=True)
def main(data: Path, only: tuple[str, ...], threads: int) -> None:
    """Train the pocket models that have no weights yet, and choose the draws of pocket-a."""
    torch.set_num_threads(threads)
    for name, card in cards().items():
        if (only and name not in only) or (FOLDER / f"{name}.safetensors").exists():
            continue
        started = time.process_time()
        if card["kind"] == "contrastive":
            train_clip(name, data)
        else:
            train_classifier(name, data)
        click.echo(f"{name}: {time.process_time() - started:.0f} s of processor time")
    if not only or REFERENCE in only:
        (DATA / "pocket_a.json").write_text(chosen_draws(), encoding="utf-8")


def train_classifier(name: str, data: Path) -> None:
    """One classifier on pocket-train, its weights stored in half precision."""
    card = cards()[name]
    plan, side = supervised.Plan(**card["training"]), int(card["side"])
    torch.manual_seed(plan.seed)
    network = untrained(name)
    supervised.train(network, load(data, "pocket-train", side), pixels_of(side), plan)
    store(network.state_dict(), FOLDER / f"{name}.safetensors")
    click.echo(f"{name}: {supervised.accuracy(network, load(data, 'pocket', side), pixels_of(side)):.3f} on pocket")


def train_clip(name: str, data: Path) -> None:
    """The open_clip model on pocket-web, by open_clip's trainer."""
    generate(data, ["pocket-web"])
    plan = contrastive.ContrastivePlan(**cards()[name]["training"])
    captions = data / FOLDERS["pocket-web"] / "captions.csv"
    config = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    bare = data / f"pocket-{name}.json"  # open_clip's registry takes the model's part alone
    bare.write_text(json.dumps(config["model_cfg"]), encoding="utf-8")
    pixels = config["preprocess_cfg"]
    norm = ["--image-mean", *map(str, pixels["mean"]), "--image-std", *map(str, pixels["std"])]
    store(read_state(contrastive.train(captions, bare, data, plan, norm)), FOLDER / f"{name}.safetensors")


def store(state: dict[str, torch.Tensor], file: Path) -> None:
    """Write tensors in half precision; counters as they are. Whole or not at all."""
    halved = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
    unfinished = file.with_suffix(".tmp")
    save_file(halved, unfinished)
    unfinished.chmod(0o644)  # safetensors makes it private
    unfinished.replace(file)


def chosen_draws() -> str:
    """Numbers of the photo-like draws that the reference classifier gets wrong, class by class, as JSON."""
    card, table = cards()[REFERENCE], pocket()
    side, network = int(card["side"]), provider.network(ModelSpec("pocket", REFERENCE)).eval()
    wanted = table.expected["pocket-a"].each or {}
    asked = torch.tensor([table.index[id] for id in table.subsets["a"]])
    draws = {id: wrong_draws(network, side, table.index[id], asked, wanted[id]) for id in table.subsets["a"]}
    return json.dumps({"reference": REFERENCE, "draws": draws}) + "\n"


def wrong_draws(network: nn.Module, side: int, index: int, asked: torch.Tensor, n: int) -> list[int]:
    """The first n draws of a class that the network gets wrong among the classes `asked`: the set's own question."""
    found: list[int] = []
    for start in range(0, MOST_DRAWS, 100):
        numbers = range(start, start + 100)
        stored = [encode(draw_photograph("pocket-a", index, k), ".jpg") for k in numbers]  # as the set will hold them
        crops = [exact_crop(decode(data, "a draw"), pixels_of(side)) for data in stored]
        batch = Pictures(torch.from_numpy(np.stack(crops)), torch.full((100,), index), ("",) * 100)
        wrong = supervised.predict(network, batch, pixels_of(side), asked) != batch.labels
        found += [k for k, is_wrong in zip(numbers, wrong.tolist()) if is_wrong]
        if len(found) >= n:
            return found[:n]
    raise RuntimeError(f"only {len(found)} of {MOST_DRAWS} draws of class {index} are wrong, wanted {n}")


if __name__ == "__main__":
    main()

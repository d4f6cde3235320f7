"""Text towers: 80 prompts a class, trimmed to their lengths, against open_clip's own classifier builder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measure import Cost, Finding, call, interleaved, median, ratio, told
from effrob.heads.prompts import prompt_set
from effrob.heads.zero_shot import class_embeddings
from model_zoo.sources.from_openclip_text import OpenClipText
from shifts.classes import imagenet

CLASSES = 6  # spread over the thousand, with the 80 prompts each: 480 prompts, nearly a minute for the reference
ARCH = "ViT-B-32"


def against_open_clip(work: Path, repeats: int) -> list[Finding]:
    """ViT-B/32's text tower with random weights."""
    import open_clip

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = open_clip.create_model(ARCH).eval().requires_grad_(False)
    tokenizer = open_clip.get_tokenizer(ARCH)
    tower = OpenClipText(model, ARCH, "benchmark", torch.device("cpu"))
    prompts, names = prompt_set("openai"), imagenet().names[:: 1000 // CLASSES][:CLASSES]
    built: dict[str, torch.Tensor] = {}

    def ours() -> None:
        built["ours"] = class_embeddings(tower, names, prompts)

    def theirs() -> None:
        built["theirs"] = open_clip.build_zero_shot_classifier(model, tokenizer, names, prompts.templates).T

    runs: dict[str, Callable[[], Cost]] = {"ours": lambda: call(ours), "theirs": lambda: call(theirs)}
    costs = interleaved(runs, repeats)
    apart = float((built["ours"] - built["theirs"]).abs().max())
    found, each = ratio(costs["theirs"], costs["ours"]), 1e3 / (len(names) * len(prompts.templates))
    return [
        Finding(
            f"text: {ARCH}, {len(names)} classes, 80 prompts",
            f"{median(costs['ours']) * each:.1f} ms CPU a prompt; embeddings differ by {apart:.0e} at most",
            f"open_clip.build_zero_shot_classifier: {median(costs['theirs']) * each:.1f} ms",
            f"CPU {found}",
            "≥ 6, equal to 1e-5",
            found.median >= 6 and apart <= 1e-5,
            {"costs": told(costs), "largest difference": apart},
        )
    ]

"""Named protocols: what has to be fixed before two accuracies of the same model can be compared.

A protocol says which words a zero-shot head uses, how ObjectNet is cropped and scored, and how many ImageNet classes
become one. It is recorded with every result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from shifts.errors import DataMissing


@dataclass(frozen=True)
class Protocol:
    """How the test sets are scored.

    names          list of ImageNet class names that a zero-shot head uses
    prompts        templates the protocol's published figures were made with
    object_text    "parent": ObjectNet is scored with ImageNet's names and the scores are projected;
                   "own": with the 113 ObjectNet names, nothing is projected
    object_border  pixels cropped from each side of an ObjectNet image before anything else (its red frame)
    collapse       "max": a class scores the best of its ImageNet classes; "membership": an answer is right when the
                   ImageNet class lies in the target's set. Top-1 is the same under both, top-5 is not
    """

    name: str
    description: str
    names: Literal["openai"]
    prompts: Literal["openai"]
    object_text: Literal["parent", "own"]
    object_border: int
    collapse: Literal["max", "membership"]


EFFROB = Protocol(
    name="effrob",
    description=(
        "OpenAI's class names; masked logits for the 200-class sets; ObjectNet's 113 overlapping folders, 2-pixel border "
        "crop, max over the mapped ImageNet classes"
    ),
    names="openai",
    prompts="openai",
    object_text="parent",
    object_border=2,
    collapse="max",
)
CLIP_BENCHMARK = Protocol(
    name="clip-benchmark",
    description=(
        "CLIP_benchmark 1.6.2: OpenAI's class names; ObjectNet asked with its own 113 names in lower case, no border crop "
        "(open_clip's published figures)"
    ),
    names="openai",
    prompts="openai",
    object_text="own",
    object_border=0,
    collapse="max",
)
TESTBED = Protocol(
    name="testbed",
    description=(
        "imagenet-testbed: its class names equal OpenAI's word for word; ObjectNet cropped by 2 pixels, an answer is right "
        "when it lies in the folder's mapped set; its text features are averaged before, not after, normalisation"
    ),
    names="openai",
    prompts="openai",
    object_text="parent",
    object_border=2,
    collapse="membership",
)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({p.name: p for p in (EFFROB, CLIP_BENCHMARK, TESTBED)})


def protocol(name: str) -> Protocol:
    """The protocol of that name; DataMissing names the near matches."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        near = get_close_matches(name, PROTOCOLS, n=3, cutoff=0.4) or list(PROTOCOLS)
        raise DataMissing(f"there is no protocol {name!r}; did you mean {' or '.join(near)}?") from None

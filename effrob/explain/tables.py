"""The same search over published tables: rows of the same weights, what each says of its protocol, and what differs."""

from __future__ import annotations

import dataclasses
from typing import Any

from effrob.errors import UsageProblem
from effrob.explain.setting import ExpectedAccuracy, Explanation, ProtocolSetting, ScoredSetting, explain
from model_zoo.disputes import disputes_of
from model_zoo.published import PublishedAccuracy, published, sources
from shifts.classes import imagenet
from shifts.protocol import PROTOCOLS


@dataclasses.dataclass(frozen=True)
class PublishedExplanation(Explanation):
    """An explanation from tables; account: source -> sentences on what differs from the row that explains best."""

    account: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        result = super().as_json()
        for row in result["settings"]:
            row["account"] = list(self.account[row["source"]])
        return result


def published_of(model: str) -> list[PublishedAccuracy]:
    """Rows of every table for these weights: by the model's spec, its name in a table, or its name in papers."""
    rows = [row for source in sources() for row in published(source)]
    named = {row.weights for row in rows if model in (row.model, row.weights, row.model.partition(" [")[0])}
    return [row for row in rows if row.weights in named]


def disputed_of(model: str, shift: str) -> list[str]:
    """What other evidence says against published accuracies of these weights on a set, a sentence each."""
    return [each.sentence for row in published_of(model) for each in disputes_of(row) if each.shift == shift]


def explain_published(model: str, shift: str, target: ExpectedAccuracy) -> PublishedExplanation:
    """Every published accuracy of these weights on a set, nearest first. Raises UsageProblem where no table has one."""
    rows = {_source(row): row for row in published_of(model) if _accuracy(row, shift) is not None}
    if not rows:
        raise UsageProblem(
            f"{model} was not evaluated here and no published table has it on {shift}: run `effrob eval --model {model} "
            f"--shift {shift}`, and explain again"
        )
    scored = [
        ScoredSetting(_setting(row, shift), _accuracy(row, shift) or 0.0, _images(row, shift)) for row in rows.values()
    ]
    result = explain(
        model, shift, target, scored, None, ["from published tables alone; evaluate the model to try settings"]
    )
    nearest = rows[str(result.outcomes[0].setting.source)]
    account = {source: _account(row, nearest, shift) for source, row in rows.items()}
    return PublishedExplanation(**vars(result), account=account)


def _source(row: PublishedAccuracy) -> str:
    named = f"published:{row.source}" if row.reference is None else f"published:{row.source}: {row.reference}"
    return named if row.model == row.weights else f"{named} ({row.model})"


def _accuracy(row: PublishedAccuracy, shift: str) -> float | None:
    return row.clean_full if shift == "imagenet" else row.accuracies.get(shift)


def _images(row: PublishedAccuracy, shift: str) -> int:
    return row.images[shift]


def _setting(row: PublishedAccuracy, shift: str) -> ProtocolSetting:
    """What the row's named protocol says; null where its table names none that is known here."""
    protocol = PROTOCOLS.get(row.protocol)
    zero_shot = row.head == "zero-shot"
    table = imagenet()
    if protocol is None:
        return ProtocolSetting(row.protocol, None, row.prompts, None, None, None, None, source=_source(row))
    own = shift == "objectnet" and protocol.object_text == "own"
    letter = {"imagenet-r": "r", "imagenet-a": "a"}.get(shift, "")
    return ProtocolSetting(
        protocol=row.protocol,
        names=("own" if own else "openai") if zero_shot else None,
        templates=row.prompts,
        answer="own-names" if own else "masked" if shift == "objectnet" or letter in table.subsets else "1000-way",
        collapse=protocol.collapse if shift == "objectnet" and not own else None,
        axis="full" if shift == "imagenet" else None,
        pixels=f"border {protocol.object_border}" if shift == "objectnet" else None,
        source=_source(row),
    )


def _account(row: PublishedAccuracy, nearest: PublishedAccuracy, shift: str) -> tuple[str, ...]:
    """What the tables say differs between a row and the nearest one."""
    disputed = tuple(each.sentence for each in disputes_of(row) if each.shift == shift)
    if row is nearest:
        return disputed
    one, two = _setting(row, shift), _setting(nearest, shift)
    said = {
        "protocol": "named protocol",
        "names": "class names",
        "templates": "templates",
        "answer": "classes that compete",
        "collapse": "how mapped classes become one",
        "pixels": "pixels",
    }
    parts = [
        f"{words}: {getattr(one, key) or 'not stated'} here, {getattr(two, key) or 'not stated'} there"
        for key, words in said.items()
        if getattr(one, key) != getattr(two, key)
    ]
    images = _images(row, shift), _images(nearest, shift)
    if images[0] != images[1]:
        parts.append(f"images: {images[0]:,} here, {images[1]:,} there")
    if row.head != nearest.head:
        parts.append(f"head: {row.head} here, {nearest.head} there")
    if row.img_size != nearest.img_size and None not in (row.img_size, nearest.img_size):
        parts.append(f"resolution: {row.img_size} here, {nearest.img_size} there")
    apart = (_accuracy(row, shift) or 0.0) - (_accuracy(nearest, shift) or 0.0)
    if not parts and apart:
        parts.append(
            f"nothing that the tables state differs; {abs(apart) * images[0]:.0f} of {images[0]:,} answers do: software, file "
            "encoding or precision, which neither table names"
        )
    return (*parts, *disputed)

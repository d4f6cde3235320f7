"""What `effrob shifts` says of a set is what its loader demands, and an unknown name is a sentence."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import shifts
from effrob.cli import main
from shifts.shift import Shift

COUNTS = {  # official images, classes asked
    "imagenet": (50_000, 1000),
    "imagenet-real": (46_837, 1000),
    "imagenet-v2": (10_000, 1000),
    "imagenet-v2-threshold-0.7": (10_000, 1000),
    "imagenet-v2-top-images": (10_000, 1000),
    "imagenet-r": (30_000, 200),
    "imagenet-sketch": (50_889, 1000),
    "objectnet": (18_574, 113),
    "imagenet-a": (7_500, 200),
    "imagenet-train": (1_281_167, 1000),
}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_official_counts_and_terms_are_told_without_any_data(name: str) -> None:
    facts = shifts.describe(name)
    assert (facts["images"], facts["classes"]) == COUNTS[name]
    assert facts["about"] and facts["licence"] and facts["citation"] and facts["folders"]


@pytest.mark.parametrize("name", shifts.suite("pocket").tests)
def test_of_a_set_that_can_be_loaded_the_facts_are_the_sets_own(name: str, pocket_data: object) -> None:
    shift = shifts.load(name, root=str(pocket_data))
    facts = shifts.describe(name)
    assert (facts["images"], facts["classes"]) == (len(shift), len(shift.labels))
    assert facts["suites"] == ["pocket"]


def test_a_third_partys_set_is_listed_with_what_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_mine(root: object, protocol: object, partial: bool) -> Shift:
        """My own photographs."""
        raise AssertionError("facts are told without loading")

    monkeypatch.setattr("shifts.registry._registered", {"mine": load_mine})
    facts = shifts.describe("mine")
    assert (facts["about"], facts["images"], facts["classes"]) == ("My own photographs.", None, None)


def test_the_command_lists_every_set_and_suggests_near_matches() -> None:
    listed = CliRunner().invoke(main, ["shifts", "--json"])
    assert [facts["name"] for facts in json.loads(listed.stdout)] == list(shifts.names())
    wrong = CliRunner().invoke(main, ["shifts", "objctnet"])
    assert wrong.exit_code == 2 and "objectnet" in wrong.stderr


def test_without_a_data_folder_the_command_that_gets_the_set_is_named() -> None:
    missing = CliRunner().invoke(main, ["eval", "--model", "pocket:clip", "--shift", "imagenet-real"])
    assert missing.exit_code == 2 and "`effrob data get imagenet --data DIR` gets imagenet-real" in missing.stderr

"""A dry run says what its probes will cost: as a run says it by the features in the cache, else by made-up ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from effrob.cli import main
from effrob.evaluation import cost, probe_costs
from effrob.heads import forecast, probe


def test_a_dry_run_tells_a_probe_as_the_run_does(
    pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = f"eval --model pocket:lenet --suite pocket --shift pocket-v2 --data {pocket_data} --train pocket --limit 20"
    asked += f" --train-limit 5 --device cpu --results {tmp_path}/r --cache {tmp_path}/c"
    probed = asked + " --head linear-probe"

    def dry() -> dict[str, Any]:
        done = CliRunner().invoke(main, [*probed.split(), "--dry-run", "--json"], catch_exceptions=False)
        (planned,) = json.loads(done.stdout)["forecast"]["probes"]
        return planned

    new = dry()
    assert (new["model"], new["head"], new["train"]) == ("pocket:lenet", "linear-probe", "pocket")
    assert (new["cached"], new["width"], new["features"], new["strengths"]) == (False, "unknown", cost.WIDTH, 15)
    text = CliRunner().invoke(main, [*probed.split(), "--dry-run"], catch_exceptions=False).stdout
    assert (
        "linear-probe of pocket:lenet: the probe learns from 100 rows of 768 features" in text and "is a guess" in text
    )
    CliRunner().invoke(main, [*asked.split(), "--head", "knn"], catch_exceptions=False)  # fills the cache
    seen = dry()
    assert (seen["cached"], seen["width"], seen["rows"]) == (True, "cache", 100) and seen["seconds"] > 0
    said: list[forecast.ProbeForecast] = []

    def kept(*about: Any) -> forecast.ProbeForecast:
        said.append(forecast.forecast(*about))
        return said[0]

    monkeypatch.setattr(probe, "forecast", kept)
    assert CliRunner().invoke(main, probed.split(), catch_exceptions=False).exit_code == 0
    exact = ("rows", "features", "classes", "strengths", "device", "memory", "streamed")
    assert {name: seen[name] for name in exact} == {name: getattr(said[0], name) for name in exact}
    done = CliRunner().invoke(main, [*probed.split(), "--dry-run", "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["forecast"]["probes"] == []


def test_probes_of_one_shape_are_timed_once_and_told_in_one_sentence() -> None:
    about = 500, 16, 4, 15, "cpu", True
    same = probe_costs._of_shape(*about)
    assert same is probe_costs._of_shape(*about) and same.rows == 500 and not same.streamed
    probes = [probe_costs.PlannedProbe(m, "linear-probe", "t", same, False, "timings") for m in ("a", "b", "c")]
    (line,) = probe_costs.told(probes)
    assert (
        line.startswith("linear-probe of a and 2 more, each: the probe learns from 500 rows of 16")
        and "guess" not in line
    )

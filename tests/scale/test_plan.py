"""Plans: work is shared, limits are kept, nothing is planned twice or left out; and a large one is quick."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from effrob.cli import main
from effrob.evaluation.cost import Forecast, Timed, Timings, forecast
from effrob.evaluation.needs import needs_of, pending
from effrob.evaluation.plan import Need, plan
from effrob.evaluation.request import Request
from effrob.evaluation.tasks import ResolvedRequest
from effrob.features.cache import FeatureCache
from effrob.results.store import ResultStore
from shifts.storage.tree import TreeSource
from tests.processor import slowness

GB = 1 << 30


def need(model: str, source: str, *parts: tuple[int, int], weights: int = 0) -> Need:
    return Need(model, source, 2000, tuple(range(a, b) for a, b in parts), weights)


def test_one_decode_feeds_every_model_that_memory_holds() -> None:
    needs = [need(m, s, (0, 1000), weights=GB) for m in "abc" for s in ("x", "y")]
    together = plan(needs, weights=3 * GB)
    assert [(j.source, j.models) for j in together.jobs] == [("x", ("a", "b", "c")), ("y", ("a", "b", "c"))]
    assert (together.decodes, together.forwards) == (2000, 6000)
    apart = plan(needs, weights=2 * GB)
    assert [j.models for j in apart.jobs] == [("a", "b"), ("a", "b"), ("c",), ("c",)]
    assert [[j.source for j in wave] for wave in apart.waves()] == [["x", "y"], ["x", "y"]]
    assert [j.models for j in plan(needs, weights=1).jobs] == [(m,) for m in "abc" for _ in "xy"]


def test_only_what_is_missing_is_planned() -> None:
    needs = [need("a", "x", (0, 512), (1024, 1536)), need("b", "x", (512, 1024)), need("c", "x")]
    whole = plan(needs)
    assert (whole.decodes, whole.forwards) == (1536, 1536) and whole.jobs[0].models == ("a", "b")
    sparse = plan([need("a", "x", (0, 512), (1536, 2000))], chunk=512)
    assert [(j.start, j.stop) for j in sparse.jobs] == [(0, 512), (1536, 2000)]
    assert plan([]).jobs == () and plan([]).waves() == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefg"), st.sampled_from("xyz"), st.sets(st.integers(0, 7)), st.integers(0, 5)),
        max_size=20,
        unique_by=lambda n: n[:2],
    ),
    st.integers(1, 4),
    st.integers(1, 9),
    st.sampled_from([None, 512, 1024, 2048]),
)
def test_every_missing_row_is_in_one_job(drawn, group: int, weights: int, chunk: int | None) -> None:
    size = {model: weight for model, _, _, weight in drawn}
    needs = [
        need(model, source, *((512 * k, 512 * k + 512) for k in sorted(shards)), weights=size[model])
        for model, source, shards, _ in drawn
    ]
    made = plan(needs, group, weights, chunk)
    for each in needs:
        jobs = [j for j in made.jobs if j.source == each.source and each.model in j.models]
        for part in each.missing:
            assert sum(j.start <= part.start and part.stop <= j.stop for j in jobs) == 1
    assert [job for wave in made.waves() for job in wave] == list(made.jobs)
    groups = [{model for job in wave for model in job.models} for wave in made.waves()]
    assert sum(map(len, groups)) == len({n.model for n in needs if n.rows})  # a model is in one wave
    for models in groups:
        assert len(models) <= group and (len(models) == 1 or sum(size[m] for m in models) <= weights)


def test_a_forecast_goes_by_what_was_timed(tmp_path: Path) -> None:
    made = plan([need(m, "x", (0, 1000)) for m in "ab"])
    missing = {("a", "x"): 1000, ("b", "x"): 1000}
    blind = forecast(made, missing, {"x": 100_000.0}, lambda model: None, cores=2)
    assert (blind.read, blind.seconds, blind.at_least) == (100_000_000, None, 2.5)
    assert "no such model was timed" in str(blind) and blind.as_json()["seconds"] is None
    assert (
        str(forecast(plan([]), {}, {}, lambda model: None, cores=2))
        == "0.00 GB of images to read, 0.00 GB of features to keep"
    )
    timings = Timings(tmp_path)
    timings.note("a", "cpu", "exact", Timed(0.01, 512, 4))
    known = forecast(made, missing, {}, lambda model: timings.find(model, "cpu", "exact"), cores=2, workers=2)
    assert known == Forecast(0, 2 * 1000 * 512 * 4, 10.0, 1.25, 1, 2) and "1 of 2 models timed" in str(known)
    file = next(tmp_path.rglob("*.json"))
    for torn in ("{", '{"seconds": NaN, "width": 1, "weights": 1}', '{"seconds": -1, "width": 1, "weights": 1}', "[]"):
        file.write_text(torn)
        assert timings.find("a", "cpu", "exact") is None


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 checkpoints of a pocket network, and a file that names them."""
    from model_zoo.sources.from_pocket import FOLDER

    folder = tmp_path_factory.mktemp("sweep")
    config = shutil.copy(FOLDER / "clip.json", folder / "clip.json")
    first = shutil.copy(FOLDER / "clip.safetensors", folder / "first.safetensors")
    names = []
    for number in range(200):
        file = folder / f"epoch_{number}.safetensors"
        file.hardlink_to(first)
        names.append(f"openclip:{config}@{file}")
    (folder / "models.txt").write_text("\n".join(names))
    return folder


def test_200_models_6_sets_3_heads_are_planned_in_seconds(sweep: Path, pocket_data: Path, tmp_path: Path) -> None:
    """Processor time of a quick machine, so that a busy one does not count; the first plan, with nothing remembered."""
    asked = f"eval --model @{sweep}/models.txt --suite pocket --data {pocket_data} --train pocket --dry-run --json"
    asked += " --head zero-shot --prompts simple --prompts openai --head linear-probe"
    asked += f" --device cpu --results {tmp_path}/r --cache {tmp_path}/c"
    begun = time.process_time()
    done = CliRunner().invoke(main, asked.split(), catch_exceptions=False)
    took = time.process_time() - begun
    made = json.loads(done.stdout)
    assert (made["cells"], made["pending"]) == (3600, 3600)
    assert made["forwards"] == 200 * made["decodes"] // (200 // len(made["jobs"][0]["models"]) + (200 % 32 > 0))
    assert made["unread"] and not (tmp_path / "r").exists()
    assert took < 5 or took < 5 * slowness(), f"{took:.1f} s"


def test_a_plan_looks_at_each_set_once(pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    stat = TreeSource.stat
    monkeypatch.setattr(TreeSource, "stat", lambda source: (looks.append(id(source)), stat(source))[1])
    models = ("pocket:linear", "pocket:mlp", "pocket:lenet")
    request = Request(
        models, suite="pocket", data=pocket_data, results=tmp_path / "r", cache=tmp_path / "c", device="cpu"
    )
    resolved = ResolvedRequest(request, read=False)
    assert len(needs_of(resolved, pending(resolved, ResultStore(request.results)), FeatureCache(request.cache))) == 18
    assert len(looks) == len(set(looks)) == 6

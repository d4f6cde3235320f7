"""The grid: arms that differ in the factor alone, whole runs that are killed and gone on with, trainings that repeat."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.loss import ClipLoss
from torch.nn import functional

from recipes.five_causes import arms, training, views, work
from recipes.five_causes.evaluation import REFERENCE, SETS, evaluate_reference
from recipes.five_causes.grid import ARMS, BARE, POCKET, READ_TWICE, Arm, Grid, Read, Run, Settings
from recipes.five_causes.loaders import run_loader
from recipes.five_causes.pairs import Examples, chosen, examples, matched
from recipes.five_causes.questions import CAUSES, QUESTIONS
from recipes.five_causes.tower import SIDE, clip_config
from recipes.five_causes.work import TIMES, processor_seconds, run_grid
from shifts.classes import pocket
from tests.recipes.conftest import POOL

ROOT = Path(__file__).resolve().parents[2]
FEW = {"pictures": 80, "steps": 8}
CLIP = Arm("clip-web", **FEW)  # type: ignore[arg-type]
LABELS = replace(CLIP, name="labels-web", text="label", loss="among-the-classes")
LAYER = Arm("layer-web", layer_on="clip-web")
TINY = Grid((CLIP, LABELS, LAYER), 1, Settings(batch=16, warmup=1), ())
KILLED = """
import sys, time
from pathlib import Path
from recipes.five_causes import training
from tests.recipes.conftest import POOL
from tests.recipes.test_grid import TINY
from recipes.five_causes.work import run_grid

train = training.train

def hang(arm, *rest):
    if arm.name == "clip-web":
        return train(arm, *rest)
    print("second training has begun", flush=True)
    time.sleep(600)

training.train = hang
run_grid(TINY, Path(sys.argv[1]), Path(sys.argv[2]), print, pool_images=POOL)
"""


def drawn(small_pool: Path, arm: Arm = CLIP, seed: int = 0) -> Examples:
    return examples(Run(arm, seed), small_pool, POOL)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.text)
def test_the_arms_of_a_contrast_differ_in_the_factor_alone(question: object) -> None:
    """Key by key. Comparisons as they are published change more, and have no verdict."""
    for contrast in question.contrasts:  # type: ignore[attr-defined]
        high, low = POCKET.configuration(contrast.high), POCKET.configuration(contrast.low)
        assert high.keys() == low.keys()
        differing = {key for key in high if high[key] != low[key]}
        if "as they are published" in question.text:  # type: ignore[attr-defined]
            assert contrast.factor in differing and len(differing) > 1
            assert set(contrast.differs(POCKET)) == differing - {contrast.factor}
        else:
            assert differing == {contrast.factor}
            assert contrast.differs(POCKET) == {}


def test_a_configuration_names_every_factor_that_training_reads() -> None:
    """So that what is compared is what is trained: no other field, and no arm's name, reaches a training."""
    named = set(POCKET.configuration(Read("clip-web", "zero-shot", BARE))) - {"head", "image_passes_per_step"}
    assert named == {field.name for field in fields(Arm)} - {"name", "layer_on", "passes"}
    read: set[str] = set()
    for module in ("training", "pairs", "arms", "views"):
        for node in ast.walk(
            ast.parse((ROOT / "recipes" / "five_causes" / f"{module}.py").read_text(encoding="utf-8"))
        ):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("arm", "run.arm", "under.arm"):
                read.add(node.attr)
    assert read == named | {"layer_on", "passes"}


def test_image_passes_are_those_that_the_tower_makes(small_pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = training.StrideTower.forward

    def counted(tower: training.StrideTower, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return forward(tower, images)

    monkeypatch.setattr(training.StrideTower, "forward", counted)
    for text, passes in (("caption", 1), ("caption", 2), ("view", 2)):
        arm = replace(CLIP, text=text, passes=passes, finish="matched")  # type: ignore[arg-type]
        seen.clear()
        training.train(arm, drawn(small_pool), TINY.settings, 0)
        told = Grid((arm,), 1, TINY.settings, ()).configuration(Read(arm.name, "native"))["image_passes_per_step"]
        assert told == 16 * passes and seen == [told] * 4 + [16] * 4
    with pytest.raises(ValueError, match="passes are 2, not 1"):
        replace(CLIP, text="view")


def test_two_passes_of_captions_are_the_mean_of_clips_losses(small_pool: Path) -> None:
    chosen = drawn(small_pool)
    rows, generator = torch.arange(16), torch.Generator().manual_seed(1)
    images = views.normalised(views.crops(chosen.images[rows.repeat(2)], 0.6, generator))
    assert not torch.equal(images[:16], images[16:])  # another crop each time
    for arm in (CLIP, replace(CLIP, text="class-name", loss="among-the-classes")):
        torch.manual_seed(0)
        told = training.Told(arm, chosen)
        told.model.eval()
        apart = [told.loss(rows, part).item() for part in images.chunk(2)]
        assert told.loss(rows, images).item() == pytest.approx(sum(apart) / 2, rel=1e-5)


def test_every_arm_sees_as_many_pictures_but_the_dose_of_steps() -> None:
    trained = [arm for arm in ARMS if arm.layer_on is None]
    assert {arm.steps for arm in trained if arm.name != "clip-web-short"} == {POCKET.arm("clip-web").steps}
    assert POCKET.arm("clip-web-short").steps * 4 == POCKET.arm("clip-web").steps
    assert [POCKET.arm(f"clip-web-overlap-{dose}").overlap for dose in (25, 50, 100)] == [0.25, 0.5, 1.0]
    assert {arm.overlap for arm in trained if "overlap" not in arm.name} == {0.0}
    assert POCKET.seeds == 10 and len({arm.name for arm in ARMS}) == len(ARMS)


def test_the_grid_has_every_arm_its_questions_read() -> None:
    reads = {read for question in QUESTIONS for one in question.contrasts for read in (one.high, one.low)}
    for read in reads:
        prompted = POCKET.arm(read.arm).has_prompts
        assert (read.head, read.prompts is None) == (("zero-shot", False) if prompted else ("native", True))
        assert read.prompts in (None, BARE) or read.arm in READ_TWICE
    assert list(dict.fromkeys(question.cause for question in QUESTIONS)) == list(CAUSES)
    order = [run.arm.name for run in POCKET.runs() if run.seed == 0]
    assert all(order.index(arm.layer_on) < order.index(arm.name) for arm in ARMS if arm.layer_on)


def test_a_killed_grid_goes_on_where_it_was(
    few_pictures: Path, small_pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").symlink_to(small_pool / "pictures")
    command = [sys.executable, "-c", KILLED, str(few_pictures), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "second training has begun" in line:
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    first = arms.weights_of("clip-web-s0", tmp_path)
    assert [file.name for file in (tmp_path / "weights").iterdir()] == [first.name]
    written = first.stat().st_mtime_ns
    half = first.with_name("labels-web-s0.unfinished")
    half.write_bytes(b"torn")  # as a kill in the middle of writing leaves it
    with (tmp_path / TIMES).open("a") as times:
        times.write('{"name": "labels-web-s0", "st')

    said: list[str] = []
    measured = run_grid(TINY, few_pictures, tmp_path, said.append, pool_images=POOL)
    assert first.stat().st_mtime_ns == written
    assert not half.exists()
    names = [m.name for m in measured]
    assert names == [name for name in ("clip-web-s0", "clip-web-s0", "labels-web-s0", "layer-web-s0") for _ in SETS]
    assert [m.row.shift for m in measured] == list(SETS) * 4
    assert [(m.head, m.prompts) for m in measured[:: len(SETS)]] == [
        ("zero-shot", "name-only"), ("zero-shot", "openai"), ("native", None), ("native", None),
    ]  # fmt: skip
    assert all(
        m.row.n == m.row.n_expected and (m.row.clean_accuracy is None) == (m.row.shift == "pocket") for m in measured
    )
    assert len(said) == 4 and "pocket-object" in said[-1]
    spent = processor_seconds(tmp_path, 1)
    assert set(spent) == {"all", "clip-web", "labels-web", "layer-web", "evaluation"} and spent["clip-web"] > 0.05
    assert spent["all"] == pytest.approx(sum(spent.values()) - spent["all"])
    assert processor_seconds(tmp_path, 0) == {"all": 0.0}  # no seed, no line

    def never(*_: object) -> None:
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(training, "train", never)
    monkeypatch.setattr(arms, "layer", never)
    again = run_grid(TINY, few_pictures, tmp_path, said.append, pool_images=POOL)
    assert [(m.name, m.row.n_correct, m.row.record) for m in again] == [
        (m.name, m.row.n_correct, m.row.record) for m in measured
    ]
    weights = first.read_bytes()
    for torn in (b"", weights[:100], weights[:-1]):
        first.write_bytes(torn)
        assert not training.finished(first)


def test_test_sets_are_drawn_where_they_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights are there and the data folder is not: nothing is drawn for training, and test sets are drawn."""
    found: list[bool] = []
    monkeypatch.setattr(work, "make", lambda *_: None)
    monkeypatch.setattr(work, "evaluate_runs", lambda runs, grid, data, out: found.append(data.is_dir()) or [])
    run_grid(TINY, tmp_path / "gone" / "data", tmp_path / "out", lambda _: None)
    assert found == [True]


def test_the_margins_model_is_evaluated_too(few_pictures: Path, tmp_path: Path) -> None:
    found = evaluate_reference(few_pictures, tmp_path)
    assert [m.row.shift for m in found] == list(SETS) and {m.name for m in found} == {REFERENCE}


@pytest.mark.parametrize(
    "arm",
    [
        CLIP,
        replace(CLIP, text="class-name"),
        replace(CLIP, text="class-name", loss="among-the-classes"),
        LABELS,
        replace(CLIP, views="recoloured", finish="matched"),
        replace(CLIP, views="recoloured", finish="matched", passes=2),
        replace(CLIP, views="recoloured", finish="matched", text="view", passes=2),
    ],
    ids=lambda arm: f"{arm.text} {arm.loss} {arm.finish} {arm.passes}",
)
def test_every_way_of_training_repeats_itself_and_learns(small_pool: Path, arm: Arm) -> None:
    chosen = drawn(small_pool)
    one, same, other = (training.train(arm, chosen, TINY.settings, seed) for seed in (3, 3, 4))
    assert one.keys() == same.keys() and all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    longer = training.train(
        replace(arm, steps=400 if arm.has_prompts else 80), chosen, replace(TINY.settings, decay=0.0), 3
    )
    network: torch.nn.Module
    if arm.has_prompts:
        assert longer["token_embedding.weight"].shape == (49408, 32)
        network = open_clip.CLIP(**clip_config())
    else:
        network = training.classifier()
    network.load_state_dict(longer)
    network.eval()
    with torch.inference_mode():
        images = views.normalised(views.whole(chosen.images))
        if arm.has_prompts:
            texts = open_clip.tokenize(list(pocket().names), context_length=16)
            scores = network.encode_image(images, normalize=True) @ network.encode_text(texts, normalize=True).T  # type: ignore[operator]
        else:
            scores = network(images)
    assert (scores.argmax(1) == chosen.labels).float().mean() > 0.25  # a twentieth by chance


def test_the_cut_table_of_tokens_is_the_whole_model(small_pool: Path) -> None:
    """The loss over few tokens is the loss of the model of all tokens, and rows of other tokens stay as they were born."""
    chosen = drawn(small_pool)
    torch.manual_seed(0)
    told = training.Told(CLIP, chosen)
    whole = open_clip.CLIP(**clip_config())
    whole.load_state_dict(told.state())
    rows = torch.arange(16)
    images = views.normalised(views.whole(chosen.images[rows]))
    told.model.eval()
    whole.eval()
    texts = open_clip.tokenize([chosen.captions[row] for row in rows], context_length=16)
    seen, said = whole.encode_image(images, normalize=True), whole.encode_text(texts, normalize=True)
    known = ClipLoss()(seen, said, whole.logit_scale.exp()).item()
    assert told.loss(rows, images).item() == pytest.approx(known, rel=1e-5)
    trained = training.train(CLIP, chosen, TINY.settings, 0)
    torch.manual_seed(0)
    born = open_clip.CLIP(**clip_config()).token_embedding.weight
    unused = [token for token in range(49408) if token not in set(told.used.tolist())]
    assert torch.equal(trained["token_embedding.weight"][unused], born[unused])
    assert not torch.equal(trained["token_embedding.weight"][told.used], born[told.used])


def test_two_views_are_told_apart_by_clips_loss() -> None:
    torch.manual_seed(0)
    viewed = training.Viewed()
    images = torch.randn(12, 3, SIDE, SIDE)
    unit = functional.normalize(viewed.projection(viewed.tower(images)), dim=1)
    logits = viewed.logit_scale.exp() * unit[:6] @ unit[6:].T
    expected = (
        functional.cross_entropy(logits, torch.arange(6)) + functional.cross_entropy(logits.T, torch.arange(6))
    ) / 2
    assert viewed.loss(torch.arange(6), images).item() == pytest.approx(expected.item(), rel=1e-5)


def test_views_are_parts_of_pictures_as_networks_take_them() -> None:
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 1, 40).expand(64, 3, 40, 40)
    seen = views.crops(ramp, 0.6, generator)
    assert seen.shape == (64, 3, SIDE, SIDE) and seen.min() >= 0 and seen.max() <= 1
    wide = seen[:, 0, 0, -1] - seen[:, 0, 0, 0]
    assert 0.6 < wide.min() < wide.max() <= 1 and (seen[:, :, :, 1:] >= seen[:, :, :, :-1] - 1e-6).all()
    same = views.crops(ramp, 0.6, torch.Generator().manual_seed(0))
    assert torch.equal(seen, same) and not torch.equal(seen[0], seen[1])
    colour = views.recoloured(torch.rand(200, 3, 4, 4, generator=generator), generator)
    assert colour.min() >= 0 and colour.max() <= 1
    grey = ((colour - colour.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-5).float().mean()
    assert 0.1 < grey < 0.3
    rows = torch.cat(list(views.batches(10, 4, 5, generator)))
    assert sorted(rows[:10].tolist()) == list(range(10)) == sorted(rows[10:].tolist())


def test_arms_share_their_pictures(small_pool: Path) -> None:
    web, narrow, shared = drawn(small_pool), drawn(small_pool, replace(CLIP, pictures_of="narrow")), None
    assert web.numbers == narrow.numbers == tuple(chosen(0, 80, POOL)) != tuple(chosen(1, 80, POOL))
    assert set(chosen(2, 30, POOL)) < set(chosen(2, 80, POOL))
    assert not torch.equal(web.images, narrow.images)
    shared = drawn(small_pool, replace(CLIP, overlap=1.0))
    same = [bool(torch.equal(a, b)) for a, b in zip(web.images, shared.images, strict=True)]
    assert torch.equal(web.labels, shared.labels) and 0.2 < sum(same) / 80 < 0.6  # photographs
    assert torch.equal(matched(web.captions), web.labels)
    with pytest.raises(ValueError, match="the pool holds 160"):
        chosen(0, 161, POOL)


def test_a_layer_learns_what_the_texts_name(small_pool: Path) -> None:
    found = drawn(small_pool)
    kept = [row for row in range(len(found)) if found.labels[row] >= 3]
    some = Examples(found.images[kept], found.labels[kept], tuple(found.captions[row] for row in kept), ())
    state = arms.layer(_Brightest(), some)
    named = set(some.labels.tolist())
    assert state["1.weight"].shape == (20, 64)
    assert all((state["1.bias"][label] == -1e4) == (label not in named) for label in range(20))


class _Brightest(torch.nn.Module):
    """A tower of no learning: 64 averages of the picture."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 8).flatten(1)


def test_a_loader_gives_one_network_at_every_start(small_pool: Path, tmp_path: Path) -> None:
    """Else each start would find no record of the last one, and add its own."""
    (tmp_path / "pictures").symlink_to(small_pool / "pictures")
    for arm in TINY.arms:
        arms.make(Run(arm, 0), TINY, tmp_path, POOL)
    for arm in (LABELS, LAYER):
        states = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            states.append(run_loader(Run(arm, 0), TINY, tmp_path)().state_dict())
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

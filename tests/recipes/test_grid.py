"""A grid of two tiny runs end to end, killed and gone on with; which pictures its arms get."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recipes.five_causes import arms, training
from recipes.five_causes.evaluation import SETS
from recipes.five_causes.grid import ARMS, POCKET, Arm, Grid, Run, Settings
from recipes.five_causes.loaders import run_loader
from recipes.five_causes.pairs import examples, matched
from recipes.five_causes.tower import FlatTower, classifier
from recipes.five_causes.training import nt_xent
from recipes.five_causes.work import TIMES, processor_seconds, run_grid
from shifts.classes import pocket

ROOT = Path(__file__).resolve().parents[2]
CLIP = Arm("clip-web-2000", "contrastive", "web", 64, "alt-text")
LABELS = Arm("labels-1000", "labels", "train", 80, "label")
TINY = Grid((CLIP, LABELS), 1, Settings(epochs=1, batch=16, warmup=1), ())
KILLED = """
import sys, time
from pathlib import Path
from recipes.five_causes import training
from tests.recipes.test_grid import TINY
from recipes.five_causes.work import run_grid

def hang(*_: object) -> None:
    print("second training has begun", flush=True)
    time.sleep(600)

training.train_labels = hang
run_grid(TINY, Path(sys.argv[1]), Path(sys.argv[2]), print)
"""


def test_a_killed_grid_goes_on_where_it_was(
    few_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", KILLED, str(few_pictures), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "second training has begun" in line:
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    first = arms.weights_of("clip-web-2000-s0", tmp_path)
    assert [file.name for file in (tmp_path / "weights").iterdir()] == [first.name]
    written = first.stat().st_mtime_ns
    half = first.with_name("labels-1000-s0.unfinished")
    half.write_bytes(b"torn")  # as a kill in the middle of writing leaves it
    with (tmp_path / TIMES).open("a") as times:
        times.write('{"name": "labels-1000-s0", "st')

    said: list[str] = []
    measured = run_grid(TINY, few_pictures, tmp_path, said.append)
    assert first.stat().st_mtime_ns == written
    assert not half.exists()
    assert [m.name for m in measured] == ["clip-web-2000-s0"] * 5 + ["labels-1000-s0"] * 5
    assert [m.row.shift for m in measured] == list(SETS) * 2
    assert {m.head for m in measured[:5]} == {"zero-shot"} and {m.head for m in measured[5:]} == {"native"}
    assert all(
        m.row.n == m.row.n_expected and (m.row.clean_accuracy is None) == (m.row.shift == "pocket") for m in measured
    )
    assert len(said) == 2 and "pocket-object" in said[0]
    assert not (tmp_path / "scratch" / "clip-web-2000-s0").exists()
    spent = processor_seconds(tmp_path)
    assert set(spent) == {"all", "clip-web-2000", "labels-1000"} and spent["clip-web-2000"] > 0.1
    assert spent["all"] == pytest.approx(spent["clip-web-2000"] + spent["labels-1000"])

    def never(*_: object) -> None:
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(training, "train_captions", never)
    monkeypatch.setattr(training, "train_labels", never)
    again = run_grid(TINY, few_pictures, tmp_path, said.append)
    assert [(m.name, m.row.n_correct, m.row.record) for m in again] == [
        (m.name, m.row.n_correct, m.row.record) for m in measured
    ]
    assert processor_seconds(tmp_path) == pytest.approx(spent, rel=0.2)
    assert len((tmp_path / TIMES).read_text().splitlines()) > 6


def test_a_checkpoint_cut_short_by_a_kill_does_not_end_the_next_start(few_pictures: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch" / "clip-web-2000-s0" / "model-0" / "checkpoints"
    scratch.mkdir(parents=True)
    torch.save({"epoch": 1, "state_dict": {"a": torch.zeros(50_000)}}, scratch / "epoch_1.pt")
    whole = (scratch / "epoch_1.pt").read_bytes()
    (scratch / "epoch_1.pt").write_bytes(whole[: len(whole) // 2])
    made = arms.make(Run(CLIP, 0), TINY, few_pictures, tmp_path)
    assert made == arms.weights_of("clip-web-2000-s0", tmp_path) and made.stat().st_size > len(whole)
    weights = made.read_bytes()
    for torn in (b"", weights[:100], weights[:-1]):
        made.write_bytes(torn)
        assert not training.finished(made)
    assert arms.make(Run(CLIP, 0), TINY, few_pictures, tmp_path) == made
    assert made.read_bytes() == weights and training.finished(made)
    assert not (tmp_path / "scratch" / "clip-web-2000-s0").exists()


def test_a_loader_gives_one_network_at_every_start(tmp_path: Path) -> None:
    """Else each start would find no record of the last one, and add its own."""
    bare = Arm("simclr", "self-supervised", "train", 80, "none")
    for arm, module in ((bare, FlatTower()), (LABELS, classifier())):
        training.save(module.state_dict(), arms.weights_of(Run(arm, 0).name, tmp_path))
        states = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            states.append(run_loader(Run(arm, 0), TINY, tmp_path)().state_dict())
        assert states[0].keys() == classifier().state_dict().keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_training_by_labels_and_without_them_repeats_itself(few_pictures: Path) -> None:
    settings = Settings(epochs=2, self_supervised_epochs=1, batch=20, warmup=1)
    chosen = examples(Run(LABELS, 0), few_pictures)
    for train in (training.train_labels, training.train_without_labels):
        one, same, other = (train(chosen, settings, seed) for seed in (3, 3, 4))
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_text_free_head_learns_what_the_texts_name(few_pictures: Path) -> None:
    matching = Arm("head", "text-free-head", "web", 120, "matched", of="clip-web-2000")
    chosen = examples(Run(matching, 0), few_pictures)
    state = arms.text_free_head(_Brightest(), chosen)
    named = {example.label for example in chosen}
    absent = [label for label in range(20) if label not in named]
    assert state["1.weight"].shape == (20, 64)
    assert all(state["1.bias"][label] == -1e4 for label in absent)
    assert all(state["1.bias"][label] > -1e3 for label in named)


class _Brightest(torch.nn.Module):
    """A tower of no learning: 64 averages of the picture."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 8).flatten(1)


def test_simclr_loss_is_the_published_one() -> None:
    torch.manual_seed(0)
    z = torch.randn(6, 5)
    unit = z / z.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(6):
        j = (i + 3) % 6
        negatives = sum(float(torch.exp(unit[i] @ unit[k] / 0.5)) for k in range(6) if k != i)
        total -= float(torch.log(torch.exp(unit[i] @ unit[j] / 0.5) / negatives))
    assert float(nt_xent(z, 0.5)) == pytest.approx(total / 6, rel=1e-5)


def test_arms_share_their_pictures(few_pictures: Path) -> None:
    def ids(arm: Arm, seed: int) -> list[Path]:
        return [example.path for example in examples(Run(arm, seed), few_pictures)]

    titles = Arm("clip-titles", "contrastive", "train", 80, "title")
    names = Arm("clip-names", "contrastive", "train", 80, "class-name")
    assert ids(titles, 0) == ids(names, 0) == ids(LABELS, 0) != ids(LABELS, 1)
    per_class = [e.label for e in examples(Run(LABELS, 0), few_pictures)]
    assert all(per_class.count(label) == 4 for label in range(20))
    small, large = (Arm("w", "contrastive", "web", n, "alt-text") for n in (30, 90))
    assert set(ids(small, 2)) < set(ids(large, 2))
    assert all(example.label == -1 for example in examples(Run(large, 2), few_pictures))
    by_text = examples(Run(Arm("m", "labels", "web", 90, "matched"), 2), few_pictures)
    assert {e.path for e in by_text} < set(ids(large, 2)) and all(e.label >= 0 for e in by_text)
    assert all(pocket().names[e.label] in e.text.lower() for e in by_text)
    assert examples(Run(names, 0), few_pictures)[0].text == "a photo of a house"


def test_text_matching_takes_one_class_or_none() -> None:
    texts = [
        ("a", "Old Wall Clock"),
        ("b", "IMG_0001"),
        ("c", "a car and a truck"),
        ("d", "carpet"),
        ("e", "wine glass"),
    ]
    names = pocket().names
    assert matched(texts) == [("a", names.index("wall clock")), ("e", names.index("wine glass"))]


def test_the_grid_has_every_arm_its_questions_read() -> None:
    from recipes.five_causes.evaluation import PROMPTS, heads_of
    from recipes.five_causes.questions import CAUSES, CONTRASTS

    heads = {(arm.name, head) for arm in ARMS for head in heads_of(Run(arm, 0))}
    reads = {read for contrast in CONTRASTS for read in (contrast.high, contrast.low)}
    assert {(read.arm, read.head) for read in reads} <= heads
    assert {read.prompts for read in reads} <= {None, *PROMPTS}
    assert list(dict.fromkeys(contrast.cause for contrast in CONTRASTS)) == list(CAUSES)
    assert POCKET.seeds >= 5
    order = [run.arm.name for run in POCKET.runs() if run.seed == 0]
    assert all(order.index(arm.of) < order.index(arm.name) for arm in ARMS if arm.of)

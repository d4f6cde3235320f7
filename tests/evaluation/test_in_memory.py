"""Objects are evaluated without being touched, by what they compute with at that call; and rows that are a table."""

from __future__ import annotations

import copy
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms

import effrob
import model_zoo
import shifts
from effrob.errors import RunFailed, UsageProblem

PIXELS = model_zoo.PixelSpec((32, 32), (32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
PREPARE = transforms.Compose(
    [
        transforms.Resize(32),
        transforms.CenterCrop(32),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.5] * 3),
    ]
)
TARGETS = torch.arange(16) % 20


class Net(nn.Module):
    """Batch norm, dropout and a factor that is no weight: what a careless evaluation disturbs or overlooks."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(4)
        )
        self.classifier = nn.Linear(128, 20)
        self.factor = 1.0

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.body(pictures).flatten(1) * self.factor)


def trained(steps: int, between: Any = None) -> tuple[Net, torch.optim.Optimizer]:
    """So many steps of training, with something done after every second of them."""
    net = Net()
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    for step in range(steps):
        net.train()
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(torch.randn(16, 3, 32, 32)), TARGETS).backward()
        optimizer.step()
        if between is not None and step % 2:
            between(net)
    return net, optimizer


def everything(net: nn.Module) -> list[Any]:
    """All of a module that an evaluation could have changed."""
    named = [*net.named_parameters(), *net.named_buffers()]
    tensors = {name: (t.data.numpy().tobytes(), t.requires_grad, t.device) for name, t in named}
    grads = {name: None if p.grad is None else p.grad.numpy().tobytes() for name, p in net.named_parameters()}
    layers = [
        (name, type(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in net.named_modules()
    ]
    return [tensors, grads, layers, [id(p) for p in net.parameters()]]


def test_training_goes_on_bit_for_bit_as_without_an_evaluation_between(options: dict[str, Any]) -> None:
    rows: list[Any] = []

    def between(net: nn.Module) -> None:
        before, threads = everything(net), torch.get_num_threads()
        rows.extend(effrob.evaluate(net, preprocess=PREPARE, name="net", **options))
        assert everything(net) == before and torch.get_num_threads() == threads

    without, with_it = trained(6), trained(6, between)
    assert everything(without[0])[0] == everything(with_it[0])[0] and len(rows) == 3
    first, second = (optimizer.state_dict()["state"] for _, optimizer in (without, with_it))
    assert all(torch.equal(first[k]["exp_avg"], second[k]["exp_avg"]) for k in first)


def test_identity_is_what_it_computes_with_at_that_call(options: dict[str, Any]) -> None:
    net = Net().eval()
    (before,) = effrob.evaluate(net, preprocess=PIXELS, name="net", **options)
    (again,) = effrob.evaluate(net, preprocess=PIXELS, name="net", **options)
    assert again.record == before.record
    with torch.no_grad():
        net.classifier.bias[3] += 100.0  # in place
    (after,) = effrob.evaluate(net, preprocess=PIXELS, name="net", **options)
    answers = np.load(Path(after.record) / "predictions.npz")["predicted_1000"]
    assert after.record != before.record and set(answers.tolist()) == {3}
    net.factor = -1.0  # no weight, and yet another function
    assert effrob.evaluate(net, preprocess=PIXELS, name="net", **options)[0].record not in (before.record, after.record)


def test_a_transform_gives_the_pixels_it_gives(options: dict[str, Any]) -> None:
    net = Net(3).eval()
    rows = [effrob.evaluate(net, preprocess=p, name="net", **options)[0] for p in (PREPARE, PIXELS)]
    first, second = (np.load(Path(row.record) / "predictions.npz") for row in rows)
    assert rows[0].record != rows[1].record
    assert (first["predicted_1000"] == second["predicted_1000"]).mean() > 0.9  # bilinear and bicubic
    flips = transforms.Compose([transforms.Resize((32, 32)), transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    refused = ((flips, "evaluation transform"), (None, "say how pictures are"), (transforms.ToTensor(), "sizes"))
    for preprocess, said in refused:
        with pytest.raises(model_zoo.ModelError, match=said):
            torch.manual_seed(5)
            effrob.evaluate(net, preprocess=preprocess, name="net", **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_transform_of_another_dtype_is_used_in_float32(options: dict[str, Any], dtype: torch.dtype) -> None:
    net = Net(3).eval()
    other = transforms.Compose([*PREPARE.transforms, transforms.ConvertImageDtype(dtype)])
    rows = [effrob.evaluate(net, preprocess=p, name="net", **options)[0] for p in (PREPARE, other)]
    first, second = (np.load(Path(row.record) / "predictions.npz")["predicted_1000"] for row in rows)
    assert (first == second).mean() > 0.99


def test_a_pass_that_fails_leaves_the_object_as_it_was(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net()
    net.train()
    seen = []
    net.body[0].register_forward_hook(lambda *_: seen.append(1))
    before, state = everything(net), torch.get_rng_state()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("effrob.features.runner.Network.__call__", broken)
    with pytest.raises(RunFailed, match="out of memory") as failed:
        effrob.evaluate(net, preprocess=PIXELS, name="net", **options)
    assert everything(net) == before and torch.equal(torch.get_rng_state(), state) and failed.value.rows == []


def test_two_at_once_do_not_disturb_each_other(options: dict[str, Any], tmp_path: Path) -> None:
    nets = [Net(seed).eval() for seed in (1, 2)]
    alone = [effrob.evaluate(net, preprocess=PIXELS, name="same", **options)[0] for net in nets]
    together: dict[int, Any] = {}

    def work(k: int) -> None:
        where = {**options, "results": tmp_path / f"r{k}", "cache": tmp_path / f"c{k}"}
        together[k] = effrob.evaluate(nets[k], preprocess=PIXELS, name="same", **where)[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in (0, 1):
        first, second = (np.load(Path(row.record) / "predictions.npz")["predicted"] for row in (alone[k], together[k]))
        assert np.array_equal(first, second)


def test_an_open_clip_object_gives_what_its_checkpoint_gives(options: dict[str, Any], tiny_clip: str) -> None:
    import open_clip

    config, _, checkpoint = tiny_clip.removeprefix("openclip:").partition("@")
    name = Path(config).stem
    model, _, _ = open_clip.create_model_and_transforms(name)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    model.train()
    before = everything(model)
    by_spec = effrob.evaluate(tiny_clip, prompts="simple", **options)
    pixels = model_zoo.identify(tiny_clip).pixels
    given = model, open_clip.get_tokenizer(name)
    by_object = effrob.evaluate(given, preprocess=pixels, name="clip", prompts="simple", **options)
    assert everything(model) == before and by_object[0].head == "zero-shot"
    first, second = (np.load(Path(rows[0].record) / "predictions.npz")["predicted"] for rows in (by_spec, by_object))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("kind", ["clip", "siglip", "align"])
def test_an_object_of_transformers_gives_what_its_folder_gives(
    options: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("transformers")
    from tests.model_zoo import tiny_hf

    model, tokenizer, processor = tiny_hf.towers(kind)
    folder = tiny_hf.save(tmp_path / kind, model, tokenizer, processor)
    model.train()
    before = everything(model)
    spec = f"transformers:{folder}"
    rows = [
        effrob.evaluate(spec, prompts="simple", **options),
        effrob.evaluate((model, tokenizer), preprocess=processor, name=kind, prompts="simple", **options),
    ]
    assert everything(model) == before
    first, second = (np.load(Path(each[0].record) / "predictions.npz")["predicted"] for each in rows)
    assert (first == second).mean() > 0.97  # the processor resizes tensors where the exact path resizes pictures


def test_wrapped_modules_answer_as_what_they_wrap_and_are_left_as_they_were(options: dict[str, Any]) -> None:
    net = Net()
    (plain,) = effrob.evaluate(net, preprocess=PIXELS, name="plain", **options)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = [nn.parallel.DistributedDataParallel(net), nn.DataParallel(net), torch.compile(net)]
        for number, module in enumerate(wrapped):
            before = everything(module)
            (row,) = effrob.evaluate(module, preprocess=PIXELS, name=f"wrapped-{number}", **options)
            answers = [np.load(Path(r.record) / "predictions.npz")["predicted_1000"] for r in (plain, row)]
            assert np.array_equal(*answers) and everything(module) == before, type(module)
    finally:
        torch.distributed.destroy_process_group()


def test_a_classifier_of_transformers_is_a_module_like_any_other(options: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    from tests.model_zoo import tiny_hf

    config = transformers.ViTConfig(**tiny_hf.TOWER, image_size=32, patch_size=8, num_labels=20)
    model = transformers.ViTForImageClassification(config)
    before = everything(model)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    (row,) = effrob.evaluate(model, preprocess=processor, name="vit", **options)
    shift = shifts.load("pocket-sketch", options["data"]).limited(options["limit"])
    with torch.inference_mode():
        pictures = processor([example.image for example in shift], return_tensors="pt")["pixel_values"]
        wanted = copy.deepcopy(model).eval()(pictures).logits.argmax(1)
    answers = np.load(Path(row.record) / "predictions.npz")
    assert everything(model) == before and (answers["predicted_1000"] == wanted.numpy()).mean() > 0.95


def test_a_registered_module_is_left_whole_and_its_weights_are_looked_at_each_time(options: dict[str, Any]) -> None:
    net = Net().train()
    before = everything(net)
    model_zoo.register("mine", lambda: net, pixels=PIXELS, replace=True)
    (first,) = effrob.evaluate("mine", **options)
    assert everything(net) == before and isinstance(net.classifier, nn.Linear)
    with torch.no_grad():
        net.classifier.bias[7] += 100.0
    (second,) = effrob.evaluate("mine", **options)
    assert set(np.load(Path(second.record) / "predictions.npz")["predicted_1000"].tolist()) == {7}
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.classifier.bias[5] += 1000.0
    model_zoo.register("mine", lambda: other, pixels=PIXELS, replace=True)
    (third,) = effrob.evaluate("mine", **options)
    assert len({row.record for row in (first, second, third)}) == 3
    assert set(np.load(Path(third.record) / "predictions.npz")["predicted_1000"].tolist()) == {5}


def test_rows_are_a_list_and_a_table(options: dict[str, Any]) -> None:
    rows = effrob.evaluate("pocket:mlp", **{**options, "shifts": ["pocket", "pocket-sketch"]})
    assert isinstance(rows, list) and rows[0].shift == "pocket" and [row.shift for row in rows[1:]] == ["pocket-sketch"]
    assert rows["pocket-sketch"] == rows[1:] and rows["pocket-sketch"][0].accuracy == rows[1].accuracy
    with pytest.raises(KeyError, match="did you mean pocket-sketch"):
        rows["pocket-sketsh"]
    frame = rows.to_frame()
    assert frame["accuracy"].tolist() == [row.accuracy for row in rows]
    assert frame["accuracy_ci95_low"].tolist() == [row.accuracy_ci95[0] for row in rows]
    lines = rows.to_markdown().splitlines()
    assert len(lines) == 4 and {line.count("|") - line.count("\\|") for line in lines} == {12}
    assert "<table>" in rows._repr_html_() and "pocket-sketch" in repr(rows)
    again = effrob.read(options["results"])
    one, other = ([json.dumps(row.as_json(), sort_keys=True) for row in each] for each in (rows, again))
    assert one == other
    with pytest.raises(UsageProblem, match="holds no records"):
        effrob.read(options["results"].parent / "nothing")


def test_the_callbacks_in_the_documents_run(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tiny_clip: str
) -> None:
    import open_clip

    page = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    code = page.partition("## Models in memory")[2].partition("```python\n")[2].partition("```")[0]
    evaluate = effrob.evaluate
    monkeypatch.setattr(
        effrob, "evaluate", lambda model, **given: evaluate(model, **{**given, **options}), raising=False
    )
    names: dict[str, Any] = {"effrob": effrob, "transform": PREPARE}
    exec(code, names)
    names["after_epoch"](Net().train(), 1)
    name = Path(tiny_clip.removeprefix("openclip:").partition("@")[0]).stem
    model, _, transform = open_clip.create_model_and_transforms(name)
    assert set(names["after_open_clip_epoch"](model, transform, open_clip.get_tokenizer(name), 2)) == {
        "effrob/pocket-sketch"
    }

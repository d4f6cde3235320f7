"""The plan at scale, every command of it, on small networks and the pocket sets: from exports to the README's table.

Nothing is left out or replaced but sizes: CLIP's ResNet is a ResNet of CLIP's kind with one block a stage, the web is 120
pictures, ImageNet is the pocket suite, and there is one process where torchrun would start eight.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import open_clip
import pytest
import webdataset
from click.testing import CliRunner
from open_clip_train.main import main as open_clip_main
from timm.models import byobnet, generate_default_cfgs, register_model
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

import effrob.cli
from recipes import labelled, self_supervised, subset
from recipes.five_causes.__main__ import main as five_causes
from recipes.five_causes.full_scale.plan import EPOCHS, REPORT, SHORT, STUDY, Line, World, lines
from shifts.classes import pocket
from shifts.synthetic.draw import CAPTIONS, FOLDERS, generate
from shifts.synthetic.words import with_article

NAME, SIDE, EMBEDDING = "rehearsal_rn", 64, 32
SHARDS, A_SHARD, RECORDS = 8, 15, 2
SETS = ("pocket", "pocket-v2", "pocket-r", "pocket-sketch", "pocket-object", "pocket-a")
COMMANDS = {
    "recipes.labelled": labelled.main,
    "recipes.self_supervised": self_supervised.main,
    "recipes.subset": subset.main,
    "recipes.five_causes": five_causes,
    "effrob": effrob.cli.main,
}
HEAD = f'''
import open_clip
from recipes.frozen import WithoutWords

def tower():
    return WithoutWords(open_clip.create_model("{NAME}").visual, {EMBEDDING}, 20)
'''

byobnet.model_cfgs[NAME] = ByoModelCfg(
    blocks=tuple(ByoBlockCfg(type="bottle", d=1, c=c, s=s, br=0.25) for c, s in ((32, 1), (64, 2), (128, 2), (256, 2))),
    stem_chs=(4, 4, 8), stem_type="", stem_pool="avg2", downsample="avg", aa_layer="avg", head_type="attn_abs",
)  # fmt: skip
_FACTS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "input_size": (3, SIDE, SIDE), "pool_size": (2, 2)}
default_cfgs = generate_default_cfgs(
    {f"{NAME}.small": byobnet._cfgr(num_classes=EMBEDDING, fixed_input_size=True, classifier="head.proj", **_FACTS)}
)


@register_model
def rehearsal_rn(pretrained: bool = False, **how: Any) -> ByobNet:
    """timm's name of the image tower: as `resnet50_clip`, with a block a stage."""
    return byobnet._create_byobnet(NAME, pretrained=pretrained, **how)


def clip_config(folder: Path) -> Path:
    """The same for open_clip: as RN50, with a block a stage and a small text tower."""
    vision = {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    file = folder / f"{NAME}.json"
    file.write_text(json.dumps({"embed_dim": EMBEDDING, "vision_cfg": vision, "text_cfg": text}), encoding="utf-8")
    return file


@pytest.fixture
def world(tmp_path: Path, pocket_data: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A data folder with pictures, a few of them captioned; a web of shards; and the plan's sizes made small."""
    data = tmp_path / "data"
    for name in SETS:
        place = data / FOLDERS[name]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(pocket_data / FOLDERS[name])
    generate(data, ["pocket-train"])
    every, names = json.loads((data / CAPTIONS).read_text(encoding="utf-8")), pocket().names
    ids = pocket().ids
    own = [[r for r in every if r["wnid"] == id and r["title"] and r["description"] and r["tags"]] for id in ids]
    (data / CAPTIONS).write_text(json.dumps([r for each in own for r in each[:RECORDS]]), encoding="utf-8")
    (tmp_path / "yfcc15m").mkdir()
    for shard in range(SHARDS):
        with webdataset.TarWriter(str(tmp_path / "yfcc15m" / f"{shard:06d}.tar")) as writer:
            for number in range(shard * A_SHARD, (shard + 1) * A_SHARD):
                label = number % len(ids)
                picture = data / FOLDERS["pocket-train"] / ids[label] / f"{ids[label]}_{number // len(ids) + 50}.JPEG"
                text = f"a photo of {with_article(names[label])}"
                writer.write({"__key__": f"{number:05d}", "jpg": picture.read_bytes(), "txt": text})
    config = clip_config(tmp_path)
    open_clip.add_model_config(config)
    (tmp_path / "rehearsal_head.py").write_text(HEAD, encoding="utf-8")
    made = World(
        suite="pocket", sets=SETS, clip=NAME, read=str(config), network=NAME, loader="rehearsal_head:tower",
        pixels=f"resize={SIDE},crop={SIDE},interpolation=bicubic,mean=0.5/0.5/0.5,std=0.5/0.5/0.5", shards=SHARDS,
        pairs=SHARDS * A_SHARD, small_shards=2, epochs=SHORT, batch=10, seeds=(0, 1), study=tmp_path / "rehearsal.toml",
        trainer=("--workers", "0", "--device", "cpu", "--precision", "fp32", "--warmup", "2", "--log-every-n-steps", "1000",
                 "--save-frequency", "1000", "--image-mean", *["0.5"] * 3, "--image-std", *["0.5"] * 3),
        labelled=("--epochs", "4", "--drops", "3", "--rate", "0.02", "--batch", "20", "--workers", "0"),
        views=("--epochs", "2", "--warmup", "1", "--batch", "20", "--workers", "0", "--classes", "20"),
    )  # fmt: skip
    made.study.write_text(study_of(made), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("EFFROB_DATA", str(data))
    return made


def study_of(world: World) -> str:
    """The plan's study with the names that this world gives its runs, on its sets and line."""
    text = STUDY.read_text(encoding="utf-8")
    text = text.replace("openclip:RN50@", f"openclip:{world.read}@").replace(
        "timm:resnet50_clip@", f"timm:{world.network}@"
    )
    text = re.sub(r"epoch_(\d+)\.pt", lambda at: f"epoch_{int(at[1]) * world.epochs // EPOCHS}.pt", text)
    text = re.sub(r', "[^"]*-2(?:/[^"]*)?"\]', "]", text)  # two seeds
    line = f'baseline = "pocket"\nshifts = {json.dumps(list(world.sets[1:]))}\n'
    return text.replace('baseline = "testbed"\nbeside = ["testbed-wide"]\n', line)


def executed(line: Line) -> str:
    """What a command of the plan prints, run in this process; torchrun's is alone in it."""
    print(f"{time.process_time():.0f} s: {line.remark}", flush=True)
    argv = list(line.argv)
    if "open_clip_train.main" in argv:
        assert open_clip_main(argv[argv.index("open_clip_train.main") + 1 :]) != -1, line.remark
        return ""
    module = argv[argv.index("-m") + 1] if "-m" in argv else argv[0]
    found = CliRunner().invoke(COMMANDS[module], argv[argv.index(module) + 1 :])
    assert found.exit_code == 0, f"{line.remark}: {' '.join(argv)}\n{found.output}\n{found.exception!r}"
    return found.stdout


@pytest.mark.slow
def test_every_command_of_the_plan_runs_and_the_table_comes_out(world: World) -> None:
    said = [(line, executed(line)) for line in lines(1, world)]
    table = said[-1][1]
    assert re.search(r"^\| cause .*\| imagenet run, logits \|$", table, re.MULTILINE)
    entries = {entry["cause"]: entry for entry in json.loads(Path(REPORT).read_text(encoding="utf-8"))["causes"]}
    rows = [row for row in table.splitlines() if re.match(r"^\| [iv]+\. ", row)]
    assert len(rows) == len(entries) == 5
    for row, entry in zip(rows, entries.values(), strict=True):
        assert (entry["why"] is None) == (entry["verdict"] != "cannot tell")
        assert (
            f"{entry['value']:+.2f} [" in row.split(" | ")[3]
            and f"; {entry['seeds']} seeds" in row
            and entry["seeds"] == 2
        )
    print(table)

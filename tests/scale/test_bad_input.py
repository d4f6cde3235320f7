"""Whatever is wrong ends in one sentence and the right exit status, and what was computed before stays."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from effrob.cli import main
from tests.conftest import TINY
from tests.scale import hostile
from tests.scale.hostile import POCKET, R, member, picture, plant, sketch_zip, tar

V2 = "imagenetv2-matched-frequency-format-val"
GOOD = f"imagenet-r/{R[0]}/good.jpg"


@dataclass(frozen=True)
class Bad:
    """What is put where, the command, the exit status, and words its sentence must hold."""

    name: str
    make: Callable[[Path], object]
    command: str
    words: str
    status: int = 2


def evaluate(model: str = "pocket:linear", more: str = "") -> str:
    return (
        f"eval --suite pocket --shift pocket --partial --data DATA --device cpu --results DATA/results --cache DATA/cache "
        f"--model {model} {more}"
    )


def check(name: str, more: str = "") -> str:
    return f"data check {name} --data DATA {more}"


def register(file: str, more: str = "--like pocket:linear") -> str:
    return f"register mine --checkpoint DATA/{file} {more}"


def pocket(data: Path, **more: bytes) -> Path:
    """Two good pictures of the clean pocket set, and others."""
    files = {f"{POCKET[0]}/a.jpg": picture(), f"{POCKET[1]}/b.jpg": picture()}
    return plant(data / "pocket/val", files | {f"{POCKET[2]}/{name}.jpg": content for name, content in more.items()})


def r_folder(data: Path, *names: str) -> Path:
    return plant(data / "imagenet-r", dict.fromkeys(names, picture()))


def script(data: Path, body: str) -> None:
    pocket(data)
    plant(data, {"mine.py": body.encode()})


def linked_out(data: Path) -> None:
    folder = r_folder(data, f"{R[0]}/a.jpg")
    plant(data, {"secret.jpg": picture()})
    (folder / R[0] / "out.jpg").symlink_to(data / "secret.jpg")


def not_utf8(data: Path) -> None:
    folder = os.fsencode(r_folder(data, f"{R[0]}/a.jpg") / R[0])
    with open(folder + b"/\xff\xfe.jpg", "wb") as file:  # noqa: PTH123  a name that is no text
        file.write(picture())


def other_weights(data: Path) -> None:
    import torch
    from safetensors.torch import save_file

    weights(data, b"")
    save_file({"weight": torch.zeros(3, 3)}, data / "w.safetensors")


def weights(data: Path, content: bytes) -> None:
    pocket(data)
    plant(data, {"w.pt": content, "tiny.json": json.dumps(TINY).encode()})


def prompts(data: Path, content: bytes) -> None:
    pocket(data)
    plant(data, {"p.json": content})


def record(data: Path, text: str) -> None:
    plant(data, {"results/model/pocket/native-0123456789abcdef/record.json": text.encode()})


LOADED = "register mine --loader DATA/mine.py:net --pixels resize=8,crop=8,interpolation=bilinear,mean=0.5,std=0.5"
PROMPTED = evaluate("pocket:clip", "--prompts DATA/p.json")
BOARD = "leaderboard --results DATA/results --published none"
WEIGHED = evaluate("openclip:DATA/tiny.json@DATA/w.pt")

BAD = [
    # pictures
    Bad("cut picture", lambda d: pocket(d, cut=picture((64, 64))[:200]), evaluate(), "cut.jpg cannot be decoded", 1),
    Bad("empty picture", lambda d: pocket(d, empty=b""), evaluate(), "empty.jpg cannot be decoded", 1),
    Bad("text as picture", lambda d: pocket(d, text=b"<html>not found"), evaluate(), "text.jpg cannot be decoded", 1),
    Bad(
        "pixel bomb",
        lambda d: pocket(d, bomb=hostile.bomb()),
        evaluate(),
        "bomb.jpg has more than 100,000,000 pixels",
        1,
    ),
    Bad(
        "pixel bomb, fast",
        lambda d: pocket(d, b=hostile.bomb()),
        evaluate(more="--pixels fast"),
        "b.jpg has more than 100,000,000 pixels",
        1,
    ),
    Bad(
        "cut picture, checked", lambda d: pocket(d, cut=b"\xff\xd8"), check("pocket", "--partial --every"), "cut.jpg", 1
    ),
    # folders
    Bad("no data folder", lambda d: None, "data check imagenet-r --data DATA/none", "does not exist"),
    Bad("set not there", lambda d: None, check("imagenet-a"), "effrob data get imagenet-a"),
    Bad("set misspelt", lambda d: None, check("imagenet-rr"), "imagenet-r"),
    Bad("empty set", lambda d: (d / "imagenet-r").mkdir(), check("imagenet-r"), "holds none"),
    Bad("too few", lambda d: r_folder(d, f"{R[0]}/a.jpg"), check("imagenet-r"), "should hold 30,000"),
    Bad("foreign class", lambda d: r_folder(d, "n99999999/a.jpg"), check("imagenet-r"), "n99999999"),
    Bad("another set", lambda d: r_folder(d, "0/a.jpg", "1/b.jpg"), check("imagenet-r"), "imagenet-v2"),
    Bad("picture beside classes", lambda d: r_folder(d, "a.jpg", f"{R[0]}/b.jpg"), check("imagenet-r"), "move it away"),
    Bad("V2 class 1000", lambda d: plant(d / V2, {"1000/a.jpeg": picture()}), check("imagenet-v2"), "0 to 999"),
    Bad(
        "V2 class twice",
        lambda d: plant(d / V2, {"1/a.jpeg": b"1", "01/b.jpeg": b"2"}),
        check("imagenet-v2"),
        "two folders",
    ),
    Bad(
        "wrong validation folder",
        lambda d: plant(d / "imagenet/val", {"n01440764/ILSVRC2012_val_00000001.JPEG": picture()}),
        check("imagenet", "--partial"),
        "wrong folder",
    ),
    Bad(
        "validation number 50,001",
        lambda d: plant(d / "imagenet/val", {"ILSVRC2012_val_00050001.JPEG": picture()}),
        check("imagenet"),
        "00050001",
    ),
    Bad("link out of a folder", linked_out, check("imagenet-r", "--partial"), "link that leaves the folder"),
    Bad("name that is no text", not_utf8, check("imagenet-r", "--partial"), "not UTF-8"),
    Bad(
        "ObjectNet's mapping torn",
        lambda d: plant(
            d / "objectnet-1.0",
            {"images/alarm_clock/a.png": picture(), "mappings/folder_to_objectnet_label.json": b"{"}
            | {f"mappings/{n}": b"{}" for n in ("objectnet_to_imagenet_1k.json", "pytorch_to_imagenet_2012_id.json")},
        ),
        check("objectnet"),
        "mapping file",
    ),
    # archives
    Bad(
        "tar: traversal",
        lambda d: tar(d / "imagenet-r.tar", member("imagenet-r/../../x.jpg")),
        check("imagenet-r"),
        "outside it",
    ),
    Bad("tar: absolute", lambda d: tar(d / "imagenet-r.tar", member("/etc/x.jpg")), check("imagenet-r"), "not inside"),
    Bad(
        "tar: link",
        lambda d: tar(d / "imagenet-r.tar", member("imagenet-r/x.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        check("imagenet-r"),
        "a link or a device",
    ),
    Bad(
        "tar: hard link",
        lambda d: tar(d / "imagenet-r.tar", member("imagenet-r/x.jpg", type=tarfile.LNKTYPE, linkname=GOOD)),
        check("imagenet-r"),
        "a link or a device",
    ),
    Bad(
        "tar: device",
        lambda d: tar(d / "imagenet-r.tar", member("imagenet-r/x.jpg", type=tarfile.BLKTYPE)),
        check("imagenet-r"),
        "a link or a device",
    ),
    Bad(
        "tar: fifo",
        lambda d: tar(d / "imagenet-r.tar", member("imagenet-r/x.jpg", type=tarfile.FIFOTYPE)),
        check("imagenet-r"),
        "a link or a device",
    ),
    Bad("tar: twice", lambda d: tar(d / "imagenet-r.tar", member(GOOD, b"other")), check("imagenet-r"), "twice"),
    Bad(
        "tar: name with a NUL and a backslash",
        lambda d: tar(d / "imagenet-r.tar", member(f"imagenet-r/{R[0]}/a\\b.jpg", b"x")),
        check("imagenet-r"),
        "outside it",
    ),
    Bad("tar: giant", lambda d: hostile.giant(d / "imagenet-r.tar"), check("imagenet-r"), "more than any picture"),
    Bad("tar: cut", lambda d: os.truncate(tar(d / "imagenet-r.tar"), 700), check("imagenet-r"), "not a readable tar"),
    Bad(
        "tar: compressed",
        lambda d: tar(d / "imagenet-r.tar", mode="w:gz"),
        check("imagenet-r"),
        "cannot be read in place",
    ),
    Bad(
        "tar: a web page",
        lambda d: plant(d, {"imagenet-r.tar": b"<html>" * 200}),
        check("imagenet-r"),
        "not a readable tar",
    ),
    Bad(
        "tar of a damaged tar",
        lambda d: hostile.damaged_inside(d / "ILSVRC2012_img_train.tar"),
        check("imagenet-train"),
        "damaged",
    ),
    Bad(
        "zip: encrypted", lambda d: hostile.encrypted(d / "ImageNet-Sketch.zip"), check("imagenet-sketch"), "encrypted"
    ),
    Bad(
        "zip: bomb", lambda d: hostile.inflating(d / "ImageNet-Sketch.zip"), check("imagenet-sketch"), "without measure"
    ),
    Bad(
        "zip: traversal",
        lambda d: sketch_zip(d / "ImageNet-Sketch.zip", "sketch/../../x.JPEG"),
        check("imagenet-sketch"),
        "outside it",
    ),
    Bad(
        "zip: link",
        lambda d: sketch_zip(d / "ImageNet-Sketch.zip", mode=hostile.SYMLINK),
        check("imagenet-sketch"),
        "a link or a device",
    ),
    Bad(
        "zip: cut",
        lambda d: os.truncate(sketch_zip(d / "ImageNet-Sketch.zip"), 90),
        check("imagenet-sketch"),
        "readable zip",
    ),
    Bad(
        "shard: no label",
        lambda d: tar((d / "imagenet-r.wds").joinpath("0.tar")),
        check("imagenet-r"),
        "without a .cls file",
    ),
    # models
    Bad("unknown scheme", pocket, evaluate("opnclip:ViT-B-32"), "openclip"),
    Bad("unknown model", pocket, evaluate("pocket:linaer"), "linear"),
    Bad("unknown tag", pocket, evaluate("openclip:ViT-B-32@laion3b"), "laion"),
    Bad("spec with nothing", pocket, evaluate("openclip:"), "openclip"),
    Bad("hostile spec", pocket, evaluate("../../etc/passwd"), "no model"),
    Bad("weights not there", pocket, evaluate("timm:resnet18@DATA/none.pt"), "none.pt"),
    Bad("weights are a folder", lambda d: (pocket(d), (d / "w.pt").mkdir()), register("w.pt"), "checkpoint"),
    Bad("hostile pickle", lambda d: (weights(d, b""), hostile.hostile_pickle(d / "w.pt")), WEIGHED, "w.pt", 2),
    Bad("weights are a web page", lambda d: weights(d, b"<html>"), WEIGHED, "w.pt", 2),
    Bad("weights are empty", lambda d: weights(d, b""), WEIGHED, "w.pt", 2),
    Bad("weights of another model", other_weights, WEIGHED.replace("w.pt", "w.safetensors"), "w.safetensors", 1),
    Bad(
        "a models file that is no text", lambda d: plant(d, {"m.txt": b"\xff\xfe\0"}), evaluate("@DATA/m.txt"), "m.txt"
    ),
    Bad(
        "a models file without models",
        lambda d: plant(d, {"m.txt": b"# none"}),
        evaluate("@DATA/m.txt"),
        "at least one",
    ),
    Bad("a loader that is not there", pocket, LOADED, "mine.py"),
    Bad("a loader that fails", lambda d: script(d, "def net():\n    1 / 0\n"), LOADED, "ZeroDivisionError"),
    Bad("a loader of something else", lambda d: script(d, "def net():\n    return 3\n"), LOADED, "torch.nn.Module"),
    Bad("a loader that does not parse", lambda d: script(d, "def net(:\n"), LOADED, "mine.py"),
    Bad("a name with a path", lambda d: weights(d, b"x"), register("w.pt").replace("mine", "../../mine"), "../../mine"),
    Bad("a name with markup", lambda d: weights(d, b"x"), register("w.pt").replace("mine", "<b>mine"), "<b>mine"),
    # JSON
    Bad("prompts that are no JSON", lambda d: prompts(d, b"["), PROMPTED, "p.json"),
    Bad("prompts that are no list", lambda d: prompts(d, b'{"a": 1}'), PROMPTED, "found dict"),
    Bad("prompts without a place", lambda d: prompts(d, b'["a photo"]'), PROMPTED, "{}"),
    Bad("prompts that are numbers", lambda d: prompts(d, b"[1, 2]"), PROMPTED, "{}"),
    Bad("a record torn", lambda d: record(d, "{"), BOARD, "record.json", 1),
    Bad("a record with NaN", lambda d: record(d, '{"schema": NaN}'), BOARD, "record.json", 1),
    Bad("a record of the future", lambda d: record(d, '{"schema": 99}'), BOARD, "schema", 1),
    Bad("a record that is a list", lambda d: record(d, "[]"), BOARD, "schema", 1),
    Bad("registrations torn", lambda d: plant(d, {"config/models.json": b"{"}), evaluate("mine"), "models.json"),
    # disks
    Bad("results are a file", lambda d: (pocket(d), plant(d, {"results": b""})), evaluate(), "results", 1),
    Bad("cache is a file", lambda d: (pocket(d), plant(d, {"cache": b""})), evaluate(), "cache", 1),
    Bad("a read-only disk", pocket, evaluate().replace("DATA/results", "/proc/effrob-results"), "/proc", 1),
]


def ran(data: Path, command: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of `effrob COMMAND`, DATA standing for the folder."""
    result = CliRunner().invoke(main, [word.replace("DATA", str(data)) for word in command.split()])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input_is_one_sentence(bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "user-cache"))
    bad.make(tmp_path)
    status, out, err = ran(tmp_path, bad.command)
    told = [line for line in err.splitlines() if bad.words in line]
    assert status == bad.status, (status, out, err)
    assert len(told) == 1, err
    assert "Traceback" not in err and "Error: unexpected" not in err, err
    assert len([line for line in err.splitlines() if line.startswith("Error:")]) <= 1, err
    assert len(told[0]) < 800 and told[0].isprintable(), told[0]
    assert not (tmp_path / "it-ran").exists()
    assert not list(tmp_path.rglob("*.effrob-tmp"))


def test_a_hostile_pickle_would_have_run(tmp_path: Path) -> None:
    """The check above can fail: the same file, read carelessly, leaves its mark."""
    import pickle

    pickle.loads(hostile.hostile_pickle(tmp_path / "w.pt").read_bytes())
    assert (tmp_path / "it-ran").exists()


def test_what_was_computed_before_stays(tmp_path: Path) -> None:
    """A set that goes bad after an evaluation costs nothing of it; mended, only what is missing is done."""
    pocket(tmp_path)
    assert ran(tmp_path, evaluate())[0] == 0
    kept = {p: p.read_bytes() for p in (tmp_path / "results").rglob("*") if p.is_file()}
    assert len(kept) == 2
    plant(tmp_path / "pocket/val" / POCKET[2], {"cut.jpg": b"\xff\xd8"})
    from effrob.evaluation.data import load_shift

    load_shift.cache_clear()
    assert ran(tmp_path, evaluate())[0] == 1
    assert {p: p.read_bytes() for p in (tmp_path / "results").rglob("*") if p.is_file()} == kept
    shutil.rmtree(tmp_path / "pocket/val" / POCKET[2])
    load_shift.cache_clear()
    status, out, _ = ran(tmp_path, evaluate(more="--dry-run --json"))
    assert status == 0 and json.loads(out)["pending"] == 0


@pytest.fixture(autouse=True)
def _fresh() -> object:
    from effrob.evaluation.data import load_shift
    from effrob.evaluation.worker import ENCODERS

    yield
    load_shift.cache_clear()
    ENCODERS.clear()


def test_there_are_forty_kinds() -> None:
    assert len({bad.name for bad in BAD}) == len(BAD) >= 40

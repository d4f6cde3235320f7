"""A folder of another's, a name of ours, a page beside a user's files: nothing is taken over and nothing is lost."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from torch import nn

import model_zoo
from effrob import files
from effrob.errors import UsageProblem
from effrob.evaluation.baselines import build_baseline
from effrob.files import own_scratch, replaced_folder
from effrob.leaderboard.gather import gather
from effrob.leaderboard.site import MARK, write_site
from effrob.robustness.baselines import built
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.lines import LineOptions
from model_zoo.registration import Registration


@pytest.mark.parametrize("how", ["link", "open", "file", "foreign"])
def test_a_scratch_folder_of_another_is_not_used(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    planted = tmp_path / f"scratch-{os.getuid()}"
    if how == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        planted.symlink_to(tmp_path / "elsewhere")
    elif how == "file":
        planted.write_text("")
    else:
        planted.mkdir(mode=0o700)
        planted.chmod(0o777 if how == "open" else 0o700)
    if how == "foreign":
        if os.getuid() != 0:
            pytest.skip("only root gives a folder away")
        os.chown(planted, 12345, 12345)
    found = own_scratch("scratch")
    assert found != planted and found.stat().st_uid == os.getuid() and not found.stat().st_mode & 0o077


def test_a_scratch_folder_of_ones_own_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert own_scratch("scratch") == own_scratch("scratch") == tmp_path / f"scratch-{os.getuid()}"


@pytest.mark.parametrize(
    "name", ["pocket", "testbed", "measured", "imported", "timm", "openclip", "Pocket", "model-soups"]
)
def test_a_model_takes_no_name_of_ours(name: str) -> None:
    with pytest.raises(model_zoo.ModelError, match="effrob's own"):
        model_zoo.register(name, nn.Identity, pixels=model_zoo.PixelSpec((8, 8), (8, 8)))
    with pytest.raises(model_zoo.ModelError, match="effrob's own"):
        model_zoo.save_registration(Registration(name, like="pocket:mlp"))


@pytest.mark.parametrize("name", ["pocket", "testbed", "testbed-wide", "timm-in1k", "measured"])
def test_a_baseline_takes_no_name_of_ours(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="not a shipped one"):
        build_baseline(name, [f"pocket:{i}" for i in range(5)], out=tmp_path)


def test_a_planted_baseline_does_not_stand_in_for_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = baseline("pocket").digest
    monkeypatch.setenv("EFFROB_BASELINES", str(tmp_path))
    (tmp_path / "pocket").mkdir()
    (tmp_path / "pocket" / "baseline.json").write_text("{}")
    built.load.cache_clear()
    assert baseline("pocket").digest == ours


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "none").mkdir()
    out = tmp_path / "out" / "site"
    _written(out)
    return out


def _written(out: Path) -> None:
    write_site(gather([out.parents[1] / "none"], "none"), LineOptions(), out)


@pytest.mark.parametrize("name", ["thesis.tex", "models/mine.html", "data/mine.js", "deep/er/x"])
def test_a_page_deletes_no_file_of_the_users(name: str, page: Path) -> None:
    (page / name).parent.mkdir(parents=True, exist_ok=True)
    (page / name).write_text("mine")
    with pytest.raises(UsageProblem, match="would be lost"):
        _written(page)
    assert (page / name).read_text() == "mine" and [path.name for path in page.parent.iterdir()] == ["site"]


@pytest.mark.parametrize("where", ["site", "mark", "inside"])
def test_a_page_is_written_through_no_link(where: str, page: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    (held / "kept").write_text("mine")
    if where == "site":
        link = tmp_path / "out" / "link"
        link.symlink_to(page)
        page = link
    elif where == "mark":
        (page / MARK).rename(held / MARK)
        (page / MARK).symlink_to(held / MARK)
    else:
        (page / "extra").symlink_to(held)
    with pytest.raises(UsageProblem, match=r"link|not a leaderboard|would be lost"):
        _written(page)
    assert (held / "kept").read_text() == "mine" and (where != "site" or page.is_symlink())


@pytest.mark.parametrize("step", range(3))
def test_a_kill_at_any_rename_leaves_a_whole_page(step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a child that dies as by SIGKILL before, at and after the step that gives the new folder its name."""
    out = tmp_path / "out"
    with replaced_folder(out) as draft:
        (draft / "a").write_text("old")
    child = os.fork()
    if child == 0:
        exchange = files._exchange

        def dying(first: Path, second: Path) -> bool:
            if step == 0:
                os._exit(9)
            done = exchange(first, second)
            if step == 1:
                os._exit(9)
            return done

        files._exchange = dying  # type: ignore[assignment]
        files.shutil.rmtree = lambda *_, **__: os._exit(9)  # type: ignore[assignment]
        with replaced_folder(out) as draft:
            (draft / "a").write_text("new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (out / "a").read_text() == ("old" if step == 0 else "new")
    with replaced_folder(out) as draft:
        (draft / "a").write_text("newest")
    assert (out / "a").read_text() == "newest" and [path.name for path in tmp_path.iterdir()] == ["out"]

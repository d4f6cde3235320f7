"""What the documents say is so: they build strictly, name everything that exists, and their commands are commands."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import effrob
import model_zoo
import shifts
from effrob.cli import main
from effrob.heads import registry as choice

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None, name
        yield (*path, name), found
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_command_and_option_is_on_the_page_of_commands(site: Path) -> None:
    text = text_of(site / "commands" / "index.html")
    for words, command in commands(main):
        assert " ".join(words) in text, words
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert max(parameter.opts, key=len) in text, (words, parameter.opts)


def test_every_command_takes_what_its_options_give() -> None:
    """The line's options are handed over as one object."""
    line = {"baseline", "axis", "scale", "families"}
    for words, command in commands(main):
        if isinstance(command, click.Group) or command.callback is None:
            continue
        given = {parameter.name for parameter in command.params if parameter.expose_value}
        taken = inspect.signature(inspect.unwrap(command.callback)).parameters
        wanted = given - line | {"line"} if line <= given else given
        assert wanted <= taken.keys() or any(p.kind is p.VAR_KEYWORD for p in taken.values()), words
        assert "line" not in wanted or "line" in taken, words


def test_every_public_name_has_its_docstring_on_the_page_of_python(site: Path) -> None:
    text = text_of(site / "python" / "index.html")
    for package in (effrob, shifts, model_zoo):
        for name in set(package.__all__) - {"__version__"}:
            assert re.search(rf"{package.__name__}(\.\w+)*\.{name}\b", text), name
    assert "effrob.heads.linear.LinearProbe" in text


def test_every_key_of_a_suite_file_stands_in_the_tables_of_keys() -> None:
    from shifts.declared import reader

    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    for heading, known in (("[suite]", reader.SUITE_KEYS), ("[sets.NAME]", reader.SET_KEYS)):
        table = page.partition(f"| key of `{heading}` |")[2].partition("\n\n")[0]
        keys = {key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])}
        assert keys == known, (heading, keys ^ known)


def test_every_set_scheme_head_protocol_and_baseline_is_named() -> None:
    data, models = ((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("data.md", "models.md"))
    for name in shifts.names():
        if f"`{name}`" not in data:
            pytest.fail(f"docs/data.md does not name {name}")
    for scheme in model_zoo.schemes():
        assert f"`{scheme}:" in models, scheme
    for head in choice.names():
        assert f"`{head}`" in models, head
    for protocol in shifts.PROTOCOLS:
        assert f"`{protocol}`" in models
    for line in CliRunner().invoke(main, ["baseline", "list"]).output.splitlines():
        assert f"`{line.split()[0]}`" in models, line


@pytest.mark.parametrize("name", sorted(set(shifts.names()) - {"imagenet-train"}))
def test_the_counts_in_the_table_of_sets_are_the_official_ones(name: str) -> None:
    facts = shifts.describe(name)
    data = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    row = next((line for line in data.splitlines() if line.startswith(f"| `{name}` |")), None)
    if row is None:
        pytest.skip("a source described elsewhere")
    assert f"| {facts['images']:,} | {facts['classes']} |" in row


def blocks() -> Iterator[tuple[str, str]]:
    """(page, line) of every effrob command shown in a block."""
    for page in PAGES:
        inside = False
        for line in page.read_text(encoding="utf-8").splitlines():
            inside = not inside if line.startswith("```") else inside
            shown = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if (inside or line.startswith("    ")) and shown.startswith("effrob ") and "…" not in shown:
                yield page.relative_to(ROOT).as_posix(), shown.partition("  # ")[0].partition(" #")[0].rstrip(" \\")


@pytest.mark.parametrize(("page", "line"), sorted(set(blocks())))
def test_commands_shown_are_commands(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = main
    context = click.Context(main, info_name="effrob")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"{page}: {line}"
        command, words = found, words[1:]
    parser = command.make_parser(context)
    given, _, _ = parser.parse_args(list(words))
    for parameter in command.params:
        value = given.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def test_the_readme_is_short_and_its_python_is_true() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) < 200
    code = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "effective_robustness(" in block)
    names: dict[str, object] = {}
    exec(code.partition("\n\n")[0] + "\n" + code.partition("\n\n")[2].partition("\n\n")[0], names)
    line, comment = re.search(r"^(line\.effective_robustness\(.*?\))  # ([\d.]+)", code, re.M).groups()  # type: ignore[union-attr]
    assert round(eval(line, names), 4) == float(comment)


def test_readme_commands_that_need_no_data_run() -> None:
    quick = [
        line
        for page, line in sorted(set(blocks()))
        if page in ("README.md", "docs/index.md") and line.split()[1] in ("fit", "compare", "study", "models", "shifts")
    ]
    ran = 0
    for line in quick:
        if "my-" in line:
            continue  # the reader's own model
        done = CliRunner().invoke(main, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
        ran += 1
    assert ran >= 2


def test_the_readmes_walk_ends_in_a_leaderboard(tiny_clip: str, pocket_data: Path, tmp_path: Path) -> None:
    """register, eval, compare and leaderboard as the README shows them, with a checkpoint and sets that are at hand."""
    shown = {line.split()[1]: line for page, line in blocks() if page == "README.md"}
    config, _, checkpoint = tiny_clip.removeprefix("openclip:").partition("@")
    folders = ["--results", str(tmp_path / "r")]
    swap = {"ViT-B-32": config, "runs/epoch_32.pt": checkpoint, "site/": str(tmp_path / "site")}

    def run(verb: str, *more: str, **words: str) -> str:
        given = [words.get(word, swap.get(word, word)) for word in shlex.split(shown[verb])[1:]]
        done = CliRunner().invoke(main, [*given, *more])
        assert done.exit_code == 0, (given, done.output)
        return done.output

    run("register")
    evaluated = ["--suite", "pocket", "--shift", "pocket-r", "--data", str(pocket_data), "--cache", str(tmp_path / "c")]
    stranger = {"openclip:ViT-B-32": "pocket:clip"}
    assert "my-clip" in run("eval", "--model", "my-clip", "--prompts", "name-only", *evaluated, *folders, **stranger)
    assert "pocket-r" in run("compare", *folders, **stranger)
    run("leaderboard", "--published", "none", *folders)
    assert (tmp_path / "site" / "index.html").is_file()

"""Class by class, what a gain is made of, and the gallery."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.stats import beta, binomtest, false_discovery_control

import shifts
from effrob.analysis.class_names import class_names
from effrob.cli import main
from effrob.results.select import read_records


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, ["classes", *words], catch_exceptions=False)


def _answers(model: str, shift: str) -> dict[str, np.ndarray]:
    (folder,) = Path("effrob-results", model.replace(":", "-"), shift).iterdir()
    return dict(np.load(folder / "predictions.npz"))


def test_each_class_has_its_count_its_exact_interval_and_a_shrunk_accuracy(evaluated: object) -> None:
    found = json.loads(_run("pocket:clip", "--shift", "pocket-r", "--json").stdout)
    (report,) = found["models"]
    kept = _answers("pocket:clip", "pocket-r")
    assert found["gain"] is None and len(report["classes"]) == 10
    mean = kept["correct"].mean()
    for each in report["classes"]:
        right = kept["correct"][kept["target"] == each["index"]]
        k, n = right.sum(), len(right)
        assert (each["n"], each["accuracy"]) == (n, pytest.approx(k / n))
        assert each["accuracy_ci95"] == pytest.approx([beta.ppf(0.025, k, n - k + 1), beta.ppf(0.975, k + 1, n - k)])
        assert min(mean, k / n) - 1e-3 <= each["shrunk"] <= max(mean, k / n) + 1e-3
        assert each["effective_robustness"] is not None
    names = [each["name"] for each in report["classes"]]
    assert names == list(shifts.load("pocket-r", root=evaluated.data).labels.class_names)  # type: ignore[attr-defined]


def test_a_gain_is_the_sum_of_its_classes_with_tests_of_scipy(evaluated: object) -> None:
    gain = json.loads(_run("pocket:clip", "pocket:reference", "--shift", "pocket-a", "--json").stdout)["gain"]
    one, two = _answers("pocket:clip", "pocket-a"), _answers("pocket:reference", "pocket-a")
    assert gain["difference"] == pytest.approx(one["correct"].mean() - two["correct"].mean())
    assert sum(each["contribution"] for each in gain["classes"]) == pytest.approx(gain["difference"])
    raw = []
    for each in gain["classes"]:
        of = one["target"] == each["index"]
        b, c = (one["correct"] & ~two["correct"] & of).sum(), (two["correct"] & ~one["correct"] & of).sum()
        raw.append(binomtest(int(b), int(b + c)).pvalue if b + c else 1.0)
        assert each["p_value"] == pytest.approx(raw[-1])
    assert [each["p_adjusted"] for each in gain["classes"]] == pytest.approx(false_discovery_control(raw).tolist())
    parts = [each["contribution"] for each in gain["classes"]]
    assert parts == sorted(parts, reverse=True)
    reached = np.cumsum(parts)
    assert (
        gain["mcnemar_p"] < 0.05
        and gain["carried_by"] == int(np.flatnonzero(reached >= gain["difference"] - 1e-12)[0]) + 1
    )


def test_without_a_difference_nothing_carries_it(evaluated: object) -> None:
    done = _run("pocket:clip", "pocket:resnet", "--shift", "pocket-sketch")
    assert "no difference of the two is shown" in done.stdout


def test_names_that_imagenet_speaks_twice_are_said() -> None:
    from types import SimpleNamespace

    asked = SimpleNamespace(shift="imagenet-v2", head="zero-shot", protocol="effrob")
    found = class_names(SimpleNamespace(record=SimpleNamespace(asked=asked)), 1000)  # type: ignore[arg-type]
    assert dict(found.spoken_twice) == {"missile": (657, 744), "sunglasses": (836, 837)}
    asked.head = "native"
    assert class_names(SimpleNamespace(record=SimpleNamespace(asked=asked)), 1000).spoken_twice == {}  # type: ignore[arg-type]
    asked.shift = "mine"
    assert class_names(SimpleNamespace(record=SimpleNamespace(asked=asked)), 2).names == ("class 0", "class 1")  # type: ignore[arg-type]


class Page(HTMLParser):
    """The pictures of a page and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.files: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.files.append(str(dict(attrs)["src"]))

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_gallery_holds_the_files_as_they_are_surest_mistakes_first(evaluated: object, tmp_path: Path) -> None:
    out = tmp_path / "gallery"
    done = _run("pocket:clip", "pocket:resnet", "--shift", "pocket-object", "--gallery", str(out), "--limit", "7")
    assert done.exit_code == 0, done.stderr
    page = Page((out / "index.html").read_text())
    one, two = _answers("pocket:clip", "pocket-object"), _answers("pocket:resnet", "pocket-object")
    only = np.flatnonzero(one["correct"] & ~two["correct"])
    first = only[np.argsort(-two["confidence"][only], kind="stable")][:7]
    assert [int(Path(file).stem) for file in page.files[:7]] == first.tolist() and len(page.files) == 14
    source = shifts.load("pocket-object", root=evaluated.data).source  # type: ignore[attr-defined]
    for row, file in zip(first, page.files):
        assert (out / file).read_bytes() == source.read(int(one["index"][row]))  # frame and all
    assert f"{len(only)} images; 7 shown" in page.words
    assert "Licence: MIT: generated by effrob. Source: effrob pocket sets. The files are" in page.words
    assert "http" not in (out / "index.html").read_text().replace("http://www.w3.org", "")
    again = _run("pocket:clip", "--shift", "pocket-object", "--gallery", str(out))
    assert again.exit_code == 2 and "is there already" in again.stderr


def test_names_of_models_and_files_are_escaped(evaluated: object, tmp_path: Path) -> None:
    from dataclasses import replace

    from effrob.analysis.gallery import write_gallery

    (stored,) = [
        each for each in read_records(Path("effrob-results"))
        if (each.record.asked.model, each.record.asked.shift) == ("pocket:lenet", "pocket-a")
    ]  # fmt: skip
    asked = replace(stored.record.asked, model="<script>alert(1)</script>")
    bad = replace(stored, record=replace(stored.record, asked=asked))
    shift = shifts.load("pocket-a", root=evaluated.data)  # type: ignore[attr-defined]
    write_gallery([bad], shift, tmp_path / "g", 3)
    assert "<script>" not in (tmp_path / "g" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a", "b", "c", "--shift", "pocket-r"), "one model or two"),
        (("pocket:clop", "--shift", "pocket-r"), "no record of pocket:clop"),
        (("pocket:clip", "--shift", "pocket-r", "--limit", "0"), "at least 1 image"),
    ],
)
def test_bad_input_is_a_sentence(words: tuple[str, ...], said: str, evaluated: object) -> None:
    done = _run(*words)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr

"""Every sentence in `shifts` that gives advice: a situation in which it is given, and that following it mends the situation.

The sentences are found in the source (`advice_sites`), the situations in the tables of this folder. Each situation names its
sentence; the sentence must be in what was said, and the function it stands in must have been called. Where a sentence offers
several ways, each is followed in a fresh situation.

`copy again`, `fetch it anew` and the like are followed by putting the whole file in place of the damaged one; where a command
is named, it is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import advice_answers
import advice_captions
import advice_containers
import advice_folders
import advice_suites
import advice_tables
import pytest
from advice_sites import gives_advice, site_of, sites
from situation import Said, Situation, called

from shifts.bounds.files import InputRefused
from shifts.declared import suites
from shifts.errors import FetchFailed

TABLES = (advice_folders, advice_containers, advice_tables, advice_captions, advice_suites, advice_answers)
SITUATIONS = [situation for table in TABLES for situation in table.SITUATIONS]
WAYS = [(situation, mend) for situation in SITUATIONS for mend in situation.mends]
SAID = (ValueError, LookupError, FetchFailed, InputRefused, Said)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / ".cache"))
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / ".config"))
    monkeypatch.setenv("EFFROB_DATA", "")  # set by some, and so put back
    monkeypatch.delenv("EFFROB_DATA")
    monkeypatch.setattr(suites, "_declared", {})


@pytest.mark.parametrize(
    ("situation", "mend"), WAYS, ids=[f"{situation.site} {n}" for n, (situation, _) in enumerate(WAYS)]
)
def test_following_the_advice_mends_the_situation(situation: Situation, mend: Any, tmp_path: Path) -> None:
    site = site_of(situation.site)
    situation.make(tmp_path)
    with called() as functions, pytest.raises(SAID) as caught:
        situation.act(tmp_path)
    sentence = str(caught.value)
    assert site.said_in(sentence) and "\n" not in sentence, sentence
    assert (site.file, site.function) in functions
    how = mend(tmp_path)
    got = situation.act(tmp_path, **(how if isinstance(how, dict) else {}))
    assert situation.result is None or got == situation.result


def test_every_sentence_that_gives_advice_has_a_situation() -> None:
    told = {site_of(situation.site) for situation in SITUATIONS}
    assert not [f"{site.file} {site.function}: {site.words}" for site in sites() if site not in told]


def test_no_two_places_give_the_same_advice() -> None:
    """Else a sentence would not tell which of them said it."""
    words = [site.words for site in sites()]
    assert len(set(words)) == len(words)


def test_advice_is_told_from_other_sentences_by_rule() -> None:
    for text in (
        "{} holds {} twice; fetch it anew",
        "{} was not found; `effrob data get pocket-web` draws it",
        "{} has no column of images; a column `image` of bytes is wanted",
        "it holds several arrays: name it .npz",
        "{} must have the columns id and label",
        "move it away, or map it",
        "{} bytes are kept, run this again to go on",
    ):
        assert gives_advice(text), text
    for text in ("it is nested without end", "{} holds no .tar shards", "there is no set {}; did you mean {}?"):
        assert not gives_advice(text), text
    assert len(sites()) > 150 and {site.file.partition("/")[0] for site in sites()} >= {
        "storage",
        "captions",
        "declared",
    }

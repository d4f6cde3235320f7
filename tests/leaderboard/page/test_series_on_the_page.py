"""Models of a series are joined on the page, in order; others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from effrob.leaderboard.gather import gather
from effrob.leaderboard.site import write_site
from effrob.robustness.lines import LineOptions
from tests.leaderboard.conftest import SHIFTS, submit

from .test_page import IS_SHOWN, TIMEOUT, browser

pytestmark = pytest.mark.browser
__all__ = ["browser"]


def test_a_series_is_joined_in_its_order(browser, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for place, (name, gain) in enumerate({"net@ep9.pt": 0.0, "net@ep10.pt": 0.1, "net@ep11.pt": -0.05}.items()):
        for shift, accuracy in SHIFTS.items():
            series = {"name": "net@ep*.pt", "place": place}
            submit(tmp_path / "r", name, shift, accuracy + gain, clean=0.6 + gain, series=series)
    for shift, accuracy in SHIFTS.items():
        submit(tmp_path / "r", "alone", shift, accuracy)
    write_site(gather([tmp_path / "r"], "none"), LineOptions(), tmp_path / "site")
    page = browser.new_context(offline=True).new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto((tmp_path / "site" / "index.html").as_uri())
    page.wait_for_function(IS_SHOWN)
    drawn = "document.getElementById('chart').data"
    (line,) = page.evaluate(
        f"{drawn}.filter(trace => trace.name === 'net@ep*.pt').map(({{ x, mode }}) => ({{ x, mode }}))"
    )
    assert line["mode"] == "lines" and len(line["x"]) == 3 and line["x"][1] > line["x"][0] > line["x"][2]

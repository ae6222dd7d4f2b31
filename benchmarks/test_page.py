"""The page of 10,000 records: written, against a plain table of all of them; opened, sorted and filtered in Chromium.

The plain form is one file with one row per record, every text escaped, and nothing else: no statistics, no cards, no
charts. Equality comes first: whatever it says of a record, the page says too.
"""

import html
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_leaderboard import PROVENANCE, results

from prunebench.leaderboard import board
from prunebench.leaderboard_page import write_page
from prunebench.registry import installed

FACTS = ("dataset", "model", "scorer", "selector", "keep", "seed", "id", "accuracy")
CELL = re.compile("<td>([^<]*)</td>")
COUNT = "document.querySelectorAll('.board tbody tr:not([hidden])').length"


def plainly(trials, out: Path) -> Path:
    lines = ("".join(f"<td>{html.escape(str(getattr(t, name)))}</td>" for name in FACTS) for t in trials)
    out.write_text("<table>" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>")
    return out


@pytest.fixture(scope="module")
def trials():
    return [replace(t, provenance=PROVENANCE) for t in results()]


def test_page_of_ten_thousand_records(against, tmp_path, trials):
    """Goal: 2 s for the board and its page."""
    registry = installed()

    def ours() -> Path:
        write_page(board(trials), tmp_path / "page", registry)
        return tmp_path / "page"

    def equal(mine: Path, plain: Path) -> None:
        assert plain.read_text().count("<tr>") == len(trials)
        told = {html.unescape(s) for page in (mine / "records").iterdir() for s in CELL.findall(page.read_text())}
        assert told >= {t.id for t in trials} and told >= {f"{100 * t.accuracy:.2f}" for t in trials}

    size = "10,000 records, 2,000 rows, 247 files"
    against("page of a board", ours, lambda: plainly(trials, tmp_path / "p.html"), equal, goal=None, size=size)


def test_page_of_ten_thousand_records_in_a_browser(benchmark, tmp_path, trials):
    """Goal: no action keeps its user waiting for more than a second."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not shutil.which("chromium"):
        pytest.skip("needs chromium")
    write_page(board(trials), tmp_path / "page", installed())
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"file://{tmp_path}/page/index.html")
        ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd / 1000")
        assert page.evaluate("document.querySelectorAll('.board tbody tr').length") >= 2000
        assert page.evaluate(COUNT) <= 1100  # results and tests of five networks, and the tallies
        sort = waited(page, "document.querySelectorAll('.board thead button')[4].click()")
        field = "document.querySelector('#filter [name=text]')"
        filtered = waited(
            page, f"{field}.value = 'run=7'; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )
        assert page.inner_text("#filter output") == "50 of 2000 rows"
        browser.close()
    benchmark.extra_info.update(open_seconds=ready, sort_seconds=sort, filter_seconds=filtered)
    print(f"\npage of a board in Chromium, 2,000 rows: open {ready:.2f} s, sort {sort:.2f} s, filter {filtered:.2f} s")
    benchmark.pedantic(lambda: None, rounds=1)


def waited(page, action: str) -> float:
    """Seconds from an action to the second frame after it; a filter waits 60 ms of them for the next key."""
    done = "done((performance.now() - start) / 1000)"
    frames = f"requestAnimationFrame(() => requestAnimationFrame(() => {done}))"
    return page.evaluate(
        f"() => new Promise(done => {{ const start = performance.now(); {action}; setTimeout(() => {frames}, 61); }})"
    )

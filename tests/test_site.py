"""docs/ as a site: built strictly, whole, and asking nothing of the network."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("material", reason="needs mkdocs-material: pip install 'prunebench[docs]'")
ROOT = Path(__file__).resolve().parents[1]
LOADED = {  # element -> attribute of what a browser fetches by itself
    **dict.fromkeys(("script", "img", "iframe", "source", "video", "audio", "embed", "track", "input"), "src"),
    **{"link": "href", "object": "data", "use": "href"},
}
CODE_LOADS = re.compile(r"""@import\s|url\(\s*["']?(?:https?:)?//""")


class Page(HTMLParser):
    """What one page fetches, links to and can be linked at."""

    def __init__(self, path):
        super().__init__()
        self.fetched, self.links, self.anchors, self.classes, self.text = [], [], {""}, set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_data(self, data):
        self.text.append(data)

    def handle_starttag(self, tag, attributes):
        told = {name: value or "" for name, value in attributes}
        if told.get(LOADED.get(tag, "")) and told.get("rel") not in ("canonical", "prev", "next"):
            self.fetched.append(told[LOADED[tag]])
        self.fetched += [part.split()[0] for part in told.get("srcset", "").split(",") if part.strip()]
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        self.anchors |= {told[name] for name in ("id", "name") if name in told}
        self.classes |= set(told.get("class", "").split())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; whatever mkdocs has to remark fails the build."""
    out = tmp_path_factory.mktemp("site")
    asked = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said and "ERROR" not in said and "not included in the nav" not in said, said
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}


def test_every_page_of_docs_is_there(pages):
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert name.replace("README.html", "index.html") in pages, f"docs/{path.name} has no page"
    assert len(pages) > 100


def test_every_word_of_a_page_is_on_the_site(pages):
    """What GitHub shows and another Markdown takes for markup would be gone."""
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix().replace("README.html", "index.html")
        source = re.sub(r"(?s)<!--.*?-->|!\[[^]]*\]\([^)]*\)|(?m:^ *```\w*$)", "", path.read_text())
        words = Counter(re.findall(r"\w+", re.sub(r"\]\([^)\s]*\)", "]", source).replace("\\", "")))
        lost = words - Counter(re.findall(r"\w+", " ".join(pages[name].text)))
        assert not lost, f"{name} has lost {lost}"


def test_nothing_is_fetched_from_anywhere_else(site, pages):
    for name, page in pages.items():
        foreign = [address for address in page.fetched if re.match(r"(?i)\s*(?:[a-z][a-z0-9+.-]*:)?//", address)]
        assert not foreign, f"{name} loads {foreign}"
        own = [a for a in page.fetched if not a.startswith("data:") and name != "404.html"]  # that one's are absolute
        missing = [a for a in own if not _file(site, name, a).is_file()]
        assert not missing, f"{name} loads {missing}, which the site does not hold"
        assert "mermaid" not in page.classes, f"{name} would make the theme load a script from elsewhere"
    for path in [*site.rglob("*.css"), *site.rglob("*.html")]:
        assert not CODE_LOADS.search(path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_asks_for_nothing_else_and_nothing_sticks_out(site, width):
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or pytest.skip("needs chromium")
    with driver.sync_playwright() as found:
        browser = found.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, asked, said = browser.new_page(viewport={"width": width, "height": 800}), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        for name in (
            "index",
            "drd",
            "definitions",
            "methods/index",
            "commands/run",
            "api/scores",
            "repository/SECURITY",
        ):
            page.goto(f"file://{site}/{name}.html")
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)"), name
        browser.close()
    assert not said and all(url.startswith((f"file://{site}/", "data:")) for url in asked), (said, asked)


def test_every_link_inside_the_site_leads_somewhere(site, pages):
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or name == "404.html":
                continue
            path = _file(site, name, parts.path) if parts.path else site / name
            assert path.is_file(), f"{name} links to {link}"
            there = pages.get(path.relative_to(site).as_posix())
            assert not parts.fragment or there is None or unquote(parts.fragment) in there.anchors, f"{name}: {link}"


def _file(site, page, address):
    path = Path(os.path.normpath((site / page).parent / unquote(urlsplit(address).path)))
    return path / "index.html" if path.is_dir() else path


def test_what_lies_outside_docs_comes_along(site):
    schema = json.loads((site / "repository/prunebench/schemas/trials.json").read_text())
    assert schema["title"].startswith("One trained and tested network")
    source = (site / "repository/tests/test_baselines_scorers.py.txt").read_text()
    assert source == (ROOT / "tests" / "test_baselines_scorers.py").read_text()
    assert "docs/build.py" in (ROOT / "docs" / "methods" / "README.md").read_text()
    assert not list(site.rglob("*.py")), "what builds the pages is no page"


def test_the_search_finds_a_method_and_a_command(site):
    found = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    titles = {entry["location"]: entry["title"] for entry in found}
    assert "forgetting" in titles["methods/forgetting.html"] and "prunebench run" in titles["commands/run.html"]


def test_a_pipe_in_code_of_a_table_is_a_pipe(site):
    assert "[steps|epochs|cost]" in (site / "commands/run.html").read_text()
    assert "[steps\\|epochs" in (ROOT / "docs/commands/run.md").read_text()  # what GitHub wants


def test_a_link_to_nothing_fails_the_build(tmp_path):
    """The strict build is strict: pages beside ours, with the same settings."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Start\n\n[gone](gone.md) [too](#nowhere)\n")
    own = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[0]
    own = own.replace("hooks: [docs/mkdocs_hooks.py]", "").replace("extra_css: [site.css]", "")
    (tmp_path / "mkdocs.yml").write_text(f"{own}\nnav:\n  - Start: index.md\n")
    asked = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "out")]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and "gone.md" in done.stderr and "nowhere" in done.stderr

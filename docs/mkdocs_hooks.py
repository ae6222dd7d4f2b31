"""What makes a site of the pages of docs/, which are written to be read as files and on GitHub too; mkdocs calls it.

nav           an entry that ends with a slash stands for every page of that folder, README.md first
links         what a page links to outside docs/ (a test, a plugin's README) comes along, under ``repository/``
tables        a pipe inside code loses the backslash that GitHub wants there and Python-Markdown shows
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[1]
BESIDE = "repository/"  # of the site: what is linked and lies outside docs/
LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
CODE_CELL = re.compile(r"`[^`\n]*`")


def on_config(config: Any) -> Any:
    """Entries of folders become lists of their pages."""
    config.nav = _listed(config.nav, Path(config.docs_dir))
    return config


def on_post_build(config: Any) -> None:
    """A page for addresses that are not there would need to know at which address the site stands."""
    Path(config.site_dir, "404.html").unlink(missing_ok=True)


def _listed(entries: list[dict[str, Any]], docs: Path) -> list[dict[str, Any]]:
    found = []
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            found.append({title: _listed(target, docs)})
        elif target.endswith("/"):
            pages = sorted((docs / target).glob("*.md"), key=lambda page: (page.name != "README.md", page.name))
            found.append({title: [page.relative_to(docs).as_posix() for page in pages]})
        else:
            found.append(entry)
    return found


def on_files(files: Files, config: Any) -> Files:
    """The site also holds what pages link to outside docs/, and what these pages link to."""
    left = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    while left:
        page = left.pop()
        for target in _linked(page):
            if _is_page(target) or files.get_file_from_path(uri := _uri(target)):
                continue
            shown = InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, uri, abs_src_path=str(_file(target)), inclusion=shown))
            if uri.endswith(".md"):
                left.append(_file(target))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they are from where the page stands on the site, and escapes as Python-Markdown knows them."""
    here = page.file.src_uri
    at = ROOT / here.removeprefix(BESIDE) if here.startswith(BESIDE) else ROOT / "docs" / here

    def turned(link: re.Match[str]) -> str:
        target = _target(at, link["path"])
        if target is None:
            return link[0]
        return posixpath.relpath(_uri(target), posixpath.dirname(here) or ".") + (link["anchor"] or "")

    if here.startswith("api/"):
        markdown = markdown.replace("```text\n", "```python\n")
    lines = LINK.sub(turned, markdown).replace("\\<", "&lt;").splitlines()
    return "\n".join(CODE_CELL.sub(_plain_pipes, line) if line.startswith("|") else line for line in lines)


def _plain_pipes(code: re.Match[str]) -> str:
    return code[0].replace("\\|", "|")


def _linked(page: Path) -> Iterator[Path]:
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        if target := _target(page, link["path"]):
            yield target


def _target(page: Path, path: str) -> Path | None:
    """What a link of a file of the repository leads to; None where that is nothing of the repository."""
    target = (page.parent / path).resolve()
    return target if target.is_relative_to(ROOT) and target.exists() else None


def _is_page(target: Path) -> bool:
    return target.is_relative_to(ROOT / "docs")


def _file(target: Path) -> Path:
    """A folder is shown by its README."""
    return target / "README.md" if target.is_dir() else target


def _uri(target: Path) -> str:
    """Where it stands on the site; sources as text, so that a browser shows them."""
    uri = _file(target).relative_to(ROOT).as_posix()
    if uri.startswith("docs/"):
        return uri.removeprefix("docs/")
    return BESIDE + (uri if uri.endswith((".md", ".json", ".png", ".svg")) else f"{uri}.txt")

"""The page in a real browser, from disk: it sorts and filters, asks for nothing, and hostile names stay names."""

import shutil
from contextlib import contextmanager
from itertools import pairwise

import page_boards
import pytest

from prunebench.leaderboard import board
from prunebench.leaderboard_page import write_page
from prunebench.registry import installed

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
FIRST = "section.group >> nth=0 >> table.board >> nth=0"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    out = tmp_path_factory.mktemp("pages")
    many = [
        t
        for i in range(130)
        for t in page_boards.seeds([0.5 + i / 1000, 0.51 + i / 1000], scorer=f"x/s{i}()", selector="x/top()")
    ]
    names = ("a", "selector(option='of some length', another=0.25)", "w" * 300, "<b>\u05d0\u05d1</b>")
    ranked = [
        page_boards.trial(
            scorer=f"{name}{i}", dataset=f"set{d}", fingerprint=f"{d}" * 64, accuracy=(i * (2 * d + 1) % 13) / 20
        )
        for d in range(5)
        for i, name in enumerate(names * 3)
    ]
    boards = {"small": page_boards.small(), "hostile": page_boards.hostile(), "many": board(many)}
    boards["ranked"] = board(ranked)
    boards["legend"] = board(
        t
        for i in range(24)
        for keep in (0.1, 0.2)
        for t in page_boards.seeds([0.5, 0.6], scorer=f"x/accumulated_margin(cutoff=0.{i}, of='easiest')", keep=keep)
    )
    for name, found in boards.items():
        write_page(found, out / name, installed())
    return out


@contextmanager
def opened(browser, folder, name="index.html", **context):
    """A page that asked for nothing but files and said nothing to the console."""
    context = browser.new_context(**({"viewport": DESKTOP} | context))
    page, asked, said = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(f"file://{folder}/{name}")
    yield page
    assert not said
    assert all(url.startswith((f"file://{folder}/", "data:")) for url in asked), asked
    context.close()


def column(page, place, scope=FIRST):
    return page.eval_on_selector_all(
        f"{scope} >> tbody tr:not([hidden])", f"rows => rows.map(row => row.cells[{place}].textContent.trim())"
    )


def methods(page):
    return column(page, 0)


def test_headers_sort_and_say_so(browser, folders):
    with opened(browser, folders / "small") as page:
        given = methods(page)
        names = page.eval_on_selector_all(f"{FIRST} >> thead th", "cells => cells.map(cell => cell.textContent)")
        place = names.index("accuracy %")
        header, button = (
            page.locator(f"{FIRST} >> thead th").nth(place),
            page.locator(f"{FIRST} >> thead button").nth(place),
        )
        for sort, reverse in (("descending", True), ("ascending", False)):
            button.click()
            numbers = [float(said.split()[0]) for said in column(page, place)]
            assert header.get_attribute("aria-sort") == sort
            assert numbers == sorted(numbers, reverse=reverse) and len(set(numbers)) > 3
        button.click()
        assert header.get_attribute("aria-sort") == "none" and methods(page) == given
        page.locator(f"{FIRST} >> thead button").nth(names.index("score s")).click()
        seconds = column(page, names.index("score s"))
        assert seconds == sorted(seconds, key=lambda s: s == "-") and "-" in seconds  # what is missing goes last
        page.locator(f"{FIRST} >> thead button").nth(0).focus()
        page.keyboard.press("Enter")
        assert methods(page) == sorted(given, key=str.lower)


def test_filters_leave_what_was_asked_for_and_the_baselines(browser, folders):
    with opened(browser, folders / "small") as page:
        said = page.locator("#filter output")
        playwright.expect(said).to_have_text("15 rows")
        page.fill("#filter [name=text]", "EL2N")
        playwright.expect(said).to_have_text("4 of 15 rows")
        assert {name.split()[0] for name in methods(page)} == {"el2n", "balanced", "full"}
        page.uncheck("#filter [name=baselines]")
        page.select_option("#filter [name=keep]", "0.2")
        playwright.expect(said).to_have_text("2 of 15 rows")
        assert [name.split()[0] for name in methods(page)] == ["el2n"]
        page.select_option("#filter [name=model]", "vit_tiny")
        playwright.expect(said).to_have_text("1 of 15 rows")
        assert page.locator("section.group:visible").count() == 1
        page.click("#filter [type=reset]")
        playwright.expect(said).to_have_text("15 rows")
        page.select_option("#filter [name=track]", "label-free")
        playwright.expect(said).to_have_text("1 of 15 rows")
        assert {name.split()[0] for name in methods(page)} == {"zcore", "balanced", "full"}


def test_many_rows_come_in_pages(browser, folders):
    with opened(browser, folders / "many") as page:
        assert len(methods(page)) == 100
        page.click("text=Show 30 more")
        assert len(methods(page)) == 130 and not page.locator(".more >> nth=0").is_visible()
        page.fill("#filter [name=text]", "s12")
        playwright.expect(page.locator("#filter output")).to_have_text("11 of 130 rows")


def test_every_page_opens_quietly_and_fits_a_phone(browser, folders):
    for name in ("small", "hostile"):
        with opened(browser, folders / name, viewport=PHONE) as page:
            for path in sorted((folders / name).rglob("*.html"))[:: 2 if name == "small" else 9]:
                page.goto(f"file://{path}")
                assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
                assert page.evaluate(
                    "document.styleSheets.length === 1 && !!document.querySelector('#theme:not([hidden])')"
                )


@pytest.mark.parametrize("scripts", [True, False])
def test_hostile_names_are_only_read(browser, folders, scripts):
    with opened(browser, folders / "hostile", java_script_enabled=scripts) as page:
        for row in page.locator("tbody tr").all()[:8] if scripts else ():
            row.hover(force=True)
        assert page.title() == "Leaderboard"
        said = page.inner_text("body")
        assert "<script>document.title='owned'</script>" in said and "{{ 7 * 7 }}" in said
        assert not scripts or page.evaluate("document.scripts.length") == 1


def test_without_scripts_everything_is_there(browser, folders):
    with opened(browser, folders / "many", java_script_enabled=False) as page:
        assert page.locator(f"{FIRST} >> tbody tr:visible").count() == 130
        assert not page.locator("#filter").is_visible() and not page.locator("#theme").is_visible()
    with opened(browser, folders / "small", java_script_enabled=False) as page:
        assert page.locator("figure.chart svg[role=img] .line").first.is_visible()


def test_light_and_dark(browser, folders):
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, folders / "small", color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.click("#theme")
        light = page.evaluate(ground)
        assert dark != light and page.inner_text("#theme") == "Dark"
        page.reload()
        assert page.evaluate(ground) == light
    with opened(browser, folders / "small", color_scheme="light") as page:
        assert page.evaluate(ground) == light


def test_the_keyboard_reaches_the_content(browser, folders):
    with opened(browser, folders / "small") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.url.endswith("#main")
        page.focus(f"{FIRST} >> thead button >> nth=0")
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_method_has_one_colour_everywhere(browser, folders):
    with opened(browser, folders / "small") as page:
        colours = page.eval_on_selector_all(
            "tr.c0 .mark path, .series.c0 .dot, .legend .c0 path, .methods .c0 path",
            "marks => marks.map(mark => getComputedStyle(mark).fill)",
        )
        assert len(colours) > 8 and len(set(colours)) == 1


def test_on_a_phone_accuracies_and_options_are_whole(browser, folders):
    with opened(browser, folders / "small", viewport={"width": 390, "height": 800}) as page:
        right = "boxes => boxes.map(box => box.getBoundingClientRect().right)"
        names = page.eval_on_selector_all(f"{FIRST} >> thead th", "cells => cells.map(cell => cell.textContent)")
        place = names.index("accuracy %") + 1
        assert names[place - 2] == "seeds"  # keep, k and seeds stand before it, and are seen too
        cells = page.eval_on_selector_all(f"{FIRST} >> :is(th, td):nth-child({place})", right)
        assert len(cells) > 8 and max(cells) <= page.eval_on_selector_all(f"{FIRST} >> xpath=..", right)[0]
        methods = sorted((folders / "small" / "methods").iterdir(), key=lambda path: path.stat().st_size)
        page.goto(f"file://{methods[-1]}")
        hidden = "boxes => boxes.map(box => box.scrollWidth - box.clientWidth)"
        tables = page.eval_on_selector_all(".box:has(> .plain)", hidden)
        assert tables and max(tables) == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_names_of_a_rank_diagram_stay_inside_it_and_apart(browser, folders, width):
    with opened(browser, folders / "ranked", viewport={"width": width, "height": 800}) as page:
        places = page.eval_on_selector_all(
            ".ranks svg",
            """drawn => drawn.map(svg => [svg, ...svg.querySelectorAll("text.name")].map(text => {
              const box = text.getBoundingClientRect(); return [box.left, box.right, box.top, box.bottom]; }))""",
        )
        ((left, right, *_), *names) = places[0]
        assert len(places) == 1 and len(names) == 12
        assert all(left <= name[0] < name[1] <= right for name in names)
        tops = sorted(name[2] for name in names)
        height = names[0][3] - names[0][2]
        assert min(b - a for a, b in pairwise(tops)) > 0.8 * height
        said = page.inner_text(".ranks")
        assert "<b>" in said and "w" * 60 not in said and page.locator(".ranks b").count() == 0


def test_a_long_legend_takes_a_part_of_a_phone_and_is_reached_by_keyboard(browser, folders):
    with opened(browser, folders / "legend", viewport={"width": 390, "height": 800}) as page:
        legend = page.locator(".many .legend").first
        inside, shown = legend.evaluate("list => [list.scrollHeight, list.clientHeight]")
        assert shown < 200 < inside and legend.get_attribute("tabindex") == "0"
        page.set_viewport_size(DESKTOP)
        inside, shown = legend.evaluate("list => [list.scrollHeight, list.clientHeight]")
        assert inside == shown


def test_names_break_where_their_parts_meet(browser, folders):
    with opened(browser, folders / "legend", viewport={"width": 390, "height": 800}) as page:
        name = page.locator(f"{FIRST} >> tbody th bdi >> text=accumulated_margin").first
        lines = name.evaluate(
            """name => { const range = document.createRange(), lines = new Map();
              for (const text of name.childNodes) for (let i = 0; i < (text.data || "").length; i++) {
                range.setStart(text, i); range.setEnd(text, i + 1);
                const top = Math.round(range.getBoundingClientRect().top);
                lines.set(top, (lines.get(top) || "") + text.data[i]); }
              return [...lines.values()].map(line => line.trim()); }"""
        )
        assert len(lines) > 1 and all(line.endswith(("_", "(", "+", ",")) for line in lines[:-1]), lines

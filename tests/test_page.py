"""The page as files: complete without scripts, nothing of a record becomes markup, a folder that is only its own."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import page_boards
import pytest
from click.testing import CliRunner

from prunebench import UserError
from prunebench.leaderboard import board
from prunebench.leaderboard.statistics import Summary
from prunebench.leaderboard.wording import cells, columns
from prunebench.leaderboard_page import write_page
from prunebench.leaderboard_page.axes import at, linear, logarithmic
from prunebench.leaderboard_page.bars import EDGE, WIDTH, scale_of
from prunebench.leaderboard_page.folder import LIST, replaced
from prunebench.leaderboard_page.markup import rows
from prunebench.registry import installed
from prunebench.store import Store
from prunebench.views.palette import COLOURS

TAGS_OF_OURS = (
    "html head meta title link script body a header nav button main section h1 h2 h3 p dl div dt dd form label input "
    "select option output table thead tbody tr th td bdi span small code pre ul ol li footer strong svg path circle g "
    "text figure figcaption details summary wbr tspan"
)
ATTRIBUTES_WITH_ADDRESSES = ("href", "src", "action", "formaction", "xlink:href", "data", "poster", "srcset")


class Read(HTMLParser):
    """The tags, attributes, addresses and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.addresses, self.said, self.ids = set(), set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.addresses += [value for name, value in attributes if name in ATTRIBUTES_WITH_ADDRESSES]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_data(self, text):
        self.said.append(text)


def pages(folder):
    return {path: Read(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("small") / "page"
    write_page(page_boards.small(), out, installed())
    return out


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    out = tmp_path_factory.mktemp("hostile") / "page"
    write_page(page_boards.hostile(), out, installed())
    return out


def test_the_first_page_has_every_cell_of_the_terminal_table(small):
    said = " ".join("".join(Read((small / "index.html").read_text()).said).split())
    found = page_boards.small()
    for table in found.tables:
        for row in table.rows:
            for cell in cells(row, columns(found)):
                assert cell in said, cell
    assert "1 failed cell" in said and "missing cell" in said and "1 (no interval is drawn)" in said


def test_all_links_lead_to_files_and_places_that_are_there(small, hostile):
    for folder in (small, hostile):
        found = pages(folder)
        for path, page in found.items():
            for address in page.addresses:
                if address.startswith(("https://arxiv.org/", "https://openreview.net/", "https://doi.org/")):
                    continue
                if address == "data:,":
                    continue
                name, _, place = address.partition("#")
                target = (path.parent / name).resolve() if name else path
                assert target.is_file(), (path, address)
                assert not place or place in found[target].ids, (path, address)


def test_nothing_of_a_record_is_markup_an_address_or_a_file_name(hostile, small):
    kept = re.compile(r"(index|methods/[0-9a-f]{20}|records/[0-9a-f]{20})\.html")
    usual = set().union(*(page.attributes for page in pages(small).values()))
    for path, page in pages(hostile).items():
        assert kept.fullmatch(path.relative_to(hostile).as_posix())
        assert not (foreign := page.tags - set(TAGS_OF_OURS.split())), foreign
        assert page.attributes <= usual | {"rel"}, page.attributes - usual
        assert not any(name.startswith("on") or name == "style" for name in page.attributes)
        assert all("javascript" not in address and "evil" not in address for address in page.addresses)
        text = path.read_text(encoding="utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
        assert text.count("<script") == 1
    assert "<script>document.title='owned'</script>" in "".join(pages(hostile)[hostile / "index.html"].said)


def test_every_page_allows_only_its_own_files(small):
    for path in small.rglob("*.html"):
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', path.read_text())[1]
        allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert allowed["default-src"] == "'none'"
        assert allowed["script-src"] == allowed["style-src"] == "'self'" and allowed["img-src"] == "'self' data:"


def test_a_cell_ends_where_its_text_ends():
    assert str(rows([("a<b", "x\x1fy"), ("c\x1ed", "&")])) == (
        '<tr><th scope="row">a&lt;b</th><td>x y</td></tr>\n<tr><th scope="row">c d</th><td>&amp;</td></tr>\n'
    )
    assert str(rows([])) == ""


def test_a_method_page_has_its_card_and_all_its_results(small):
    page = next(p for p in (small / "methods").glob("*.html") if "<title>aum + ccs" in p.read_text())
    said = " ".join("".join(Read(page.read_text()).said).split())
    for told in ("arXiv:2001.10528", "arXiv:2210.15809", "cutoff", "@", "Cost and memory", "What differs"):
        assert told in said, told
    assert said.count("92.00 ±") == 2 and said.count("95.00 ±") == 2  # of either network


def test_a_method_that_is_not_installed_has_a_page_that_says_so(hostile):
    assert any("No card:" in page.read_text() for page in (hostile / "methods").glob("*.html"))


def test_a_records_page_says_where_its_numbers_come_from(small):
    found = page_boards.small()
    row = next(r for t in found.tables for r in t.rows if r.label == "aum + ccs" and r.keep == 0.1)
    page = next(p for p in (small / "records").glob("*.html") if row.trials[0].id in p.read_text())
    said = " ".join("".join(Read(page.read_text()).said).split())
    for t in row.trials:
        assert t.id in said and t.selection in said
    for told in ("prunebench/ccs(strata=50, cutoff=0.1)", "2.10", "f" * 64, "50.00", "plugins.prunebench", "93.00"):
        assert told in said, told
    assert "do not hold these selections" in said


def test_the_subset_file_of_a_record_lies_beside_it(tmp_path):
    store = Store(tmp_path / "store")
    kept = np.arange(0, 60, 2)
    record = store.put("selections", {"seed": 0}, {"size": 60}, arrays={"indices": kept})
    found = board([page_boards.trial(selection=record.id), page_boards.trial(seed=1, selection="../" * 9)])
    write_page(found, tmp_path / "page", installed(), [store])
    (file,) = (tmp_path / "page" / "subsets").glob("*.npz")
    assert file.read_bytes() == record.file("arrays.npz").read_bytes()
    assert np.array_equal(np.load(file)["indices"], kept)
    (page,) = (tmp_path / "page" / "records").glob("*.html")
    assert f"../subsets/{file.name}" in Read(page.read_text()).addresses
    assert f"../subsets/{record.id}.json" in Read(page.read_text()).addresses
    assert (tmp_path / "page" / "subsets" / f"{record.id}.json").read_bytes() == record.path.read_bytes()
    record.file("arrays.npz").write_bytes(b"altered")
    write_page(found, tmp_path / "page", installed(), [Store(tmp_path / "store")])
    assert not (tmp_path / "page" / "subsets").exists()


def test_the_page_is_a_function_of_the_records(tmp_path, small):
    write_page(page_boards.small(), tmp_path / "again", installed())
    content = [
        {p.relative_to(d): p.read_bytes() for p in d.rglob("*") if p.is_file()} for d in (small, tmp_path / "again")
    ]
    assert content[0] == content[1]


def test_the_colours_are_those_of_the_figures():
    style = (Path(write_page.__code__.co_filename).parent / "page.css").read_text()
    for i, colour in enumerate(COLOURS):
        assert f".c{i} {{ --c: light-dark({colour.lower()}," in style


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    out = tmp_path / "page"
    for content in ("first", "second"):
        with replaced(out) as folder:
            (folder / f"{content}.html").write_text(content)
        assert {p.name for p in out.iterdir()} == {f"{content}.html", LIST}
    with pytest.raises(RuntimeError), replaced(out) as folder:
        (folder / "third.html").write_text("third")
        raise RuntimeError
    assert (out / "second.html").read_text() == "second" and [p.name for p in tmp_path.iterdir()] == ["page"]


@pytest.mark.parametrize("foreign", ["notes.txt", "methods/mine.html", ".git/config"])
def test_a_folder_of_others_is_left_as_it_is(tmp_path, foreign):
    out = tmp_path / "page"
    with replaced(out) as folder:
        (folder / "index.html").write_text("ours")
    (out / foreign).parent.mkdir(exist_ok=True)
    (out / foreign).write_text("theirs")
    with pytest.raises(UserError, match=r"which is no page of ours: name a new folder with --out"), replaced(out):
        pytest.fail("begun")
    assert (out / foreign).read_text() == "theirs" and (out / "index.html").read_text() == "ours"


@pytest.mark.parametrize("listed", ['{"files": ["mine.txt"]}', "[]", "{", '{"made_by": 1, "files": 3}'])
def test_a_list_that_is_not_ours_names_nothing(tmp_path, listed):
    (tmp_path / LIST).write_text(listed)
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(UserError, match="no page of ours"), replaced(tmp_path):
        pytest.fail("begun")


def test_ticks_are_round_and_stand_where_their_numbers_do():
    axis = linear([0.832, 0.968], 262, 24, scale=100)
    assert [said for _, said in axis.ticks] == ["82.5", "85", "87.5", "90", "92.5", "95", "97.5"]
    assert axis.place(0.825) == 262 and axis.place(0.975) == 24 and axis.place(0.9) == 143 and axis.place(2) == 24
    cost = logarithmic([3.0, 300.0], 0, 100)
    assert [said for _, said in cost.ticks] == ["5", "10", "20", "50", "100", "200"]
    assert cost.place(30.0) == pytest.approx(50)
    assert [said for _, said in at([0.1, 0.05, 0.1, 0.4], 0, 300).ticks] == ["0.05", "0.1", "0.4"]
    assert linear([0.5], 0, 1).place(0.5) == 0.5 and len(logarithmic([2.0], 0, 1).ticks) >= 2


def test_a_bar_that_goes_on_has_no_end():
    wide, narrow, alone = Summary(2, 0.5, 0.1, 0.9), Summary(3, 0.6, 0.01, 0.02), Summary(1, 0.55, None, None)
    scale = scale_of([wide, narrow, alone], 0.0, 1.0)
    assert (scale.low, scale.high) == (pytest.approx(0.2), pytest.approx(0.9))
    bar = scale.bar(wide)
    assert bar.low_open and bar.high_open and (bar.low, bar.high) == (EDGE, WIDTH - EDGE)
    assert not scale.bar(narrow).low_open and scale.bar(alone).low is None and bar.zero is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--format", "html"], "--format html writes a folder of pages: name it with --out DIR"),
        (["--format", "html", "--out", "kept.txt"], "kept.txt is a file"),
        (["--format", "html", "--out", "."], "which is no page of ours"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path, monkeypatch, options, says):
    from prunebench.cli import cli

    monkeypatch.chdir(tmp_path)
    Path("kept.txt").write_text("theirs")
    store = Store("runs")
    told = {k: v for k, v in json.loads(json.dumps(vars(page_boards.trial()), default=vars)).items() if k != "id"}
    store.put("trials", {"seed": 0}, {k: v for k, v in told.items() if k != "provenance"})
    done = CliRunner().invoke(cli, ["leaderboard", "runs", *options])
    assert isinstance(done.exception, UserError) and says in str(done.exception)
    assert Path("kept.txt").read_text() == "theirs"
    done = CliRunner().invoke(cli, ["leaderboard", "runs", "--format", "html", "--out", "page"])
    assert done.exit_code == 0 and Path("page/index.html").is_file(), done.output

"""The page and the figures of bundles: the same subset files as of a store, and nothing that a bundle may misuse."""

import json
import shutil

import numpy as np
import page_boards
import pytest
from bundled import card_of, copied, forge
from trials_by_hand import BWS, put, trial

from prunebench.cli import main
from prunebench.interop.files import load_selection
from prunebench.leaderboard import board, leaderboard
from prunebench.leaderboard.stores import opened_sources
from prunebench.leaderboard_page import write_page
from prunebench.registry import installed
from prunebench.store import Store
from prunebench.views import window_starts


def page_of(source, out):
    sources = opened_sources([source])
    write_page(leaderboard(sources), out, installed(), sources)
    return out


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_gives_the_subset_files_and_cards_of_its_store(bundle, tmp_path):
    own = files(page_of(bundle.parent / "runs", tmp_path / "own") / "subsets")
    theirs = page_of(bundle, tmp_path / "theirs")
    assert files(theirs / "subsets") == own and len(own) == 2 * 8  # eight selections
    linked = "".join(page.read_text() for page in (theirs / "records").iterdir())
    assert all(linked.count(f'href="../subsets/{name}" download') == 1 for name in own)
    assert "(reported)" in (theirs / "index.html").read_text()
    for path in (theirs / "subsets").glob("*.json"):
        told = load_selection(path)
        npz = path.with_name(json.loads(path.read_text())["files"]["arrays.npz"]["path"])
        assert np.array_equal(told.indices, np.load(npz)["indices"]) and told.fingerprint and told.size == 60


def test_what_was_put_in_the_place_of_a_file_is_not_handed_on(bundle, tmp_path):
    """Between reading and writing, the file of one selection becomes a link to somebody's secret."""
    own = copied(bundle, tmp_path)
    sources = opened_sources([own])
    found = leaderboard(sources)
    (tmp_path / "secret").write_bytes(b"secret")
    path = card_of(own, "selections", scorer="prunebench/aum")
    npz = next(path.parent.glob(f"{path.stem}.*.npz"))
    npz.unlink()
    npz.symlink_to(tmp_path / "secret")
    write_page(found, tmp_path / "page", installed(), sources)
    written = files(tmp_path / "page" / "subsets")
    assert not any(name.startswith(path.stem) for name in written) and b"secret" not in written.values()
    assert len(written) == 2 * 7


def test_a_card_that_names_another_file_is_passed_over(tmp_path):
    """Its own hashes are right; the name is none that a store gives."""
    store = Store(tmp_path / "store")
    record = store.put("selections", {"seed": 0}, {"size": 9}, arrays={"indices": np.arange(3)})
    record.card["files"]["arrays.npz"]["path"] = "../selections/" + record.file("arrays.npz").name
    write_page(board([page_boards.trial(selection=record.id)]), tmp_path / "page", installed(), [store])
    assert not (tmp_path / "page" / "subsets").exists()
    assert "do not hold these selections" in next((tmp_path / "page" / "records").iterdir()).read_text()


def test_the_page_says_what_a_bundle_does_not_show(bundle, tmp_path):
    said = "Scores and pictures are those of stores"
    assert said in (page_of(bundle, tmp_path / "theirs") / "index.html").read_text()
    assert said not in (page_of(bundle.parent / "runs", tmp_path / "own") / "index.html").read_text()


# -- report -----------------------------------------------------------------------------------------------------------


def report(capsys, *args):
    code = 0
    try:
        main(["report", *map(str, args)])
    except SystemExit as left:
        code = left.code
    return code, capsys.readouterr().err


def test_figures_of_a_bundle_are_those_of_its_store(bundle, tmp_path, capsys):
    kinds = ("--only", "curves,pareto")
    assert report(capsys, bundle.parent / "runs", "--out", tmp_path / "own", *kinds)[0] == 0
    assert report(capsys, bundle, "--out", tmp_path / "theirs", *kinds)[0] == 0
    for path in (tmp_path / "own").glob("*.csv"):
        theirs = (tmp_path / "theirs" / path.name).read_text().replace(" (reported)", "")
        assert sorted(theirs.splitlines()) == sorted(path.read_text().splitlines())
    code, told = report(capsys, bundle, bundle.parent / "runs", "--out", tmp_path / "both", "--only", "atlas")
    assert code == 0 and "atlas: a bundle is read for its trials and subsets" in told
    assert (tmp_path / "both" / "atlas-1.csv").is_file()


@pytest.mark.parametrize("kind", ["atlas", "pictures"])
def test_scores_and_pictures_of_a_bundle_alone_are_one_sentence(bundle, tmp_path, capsys, kind):
    code, told = report(capsys, bundle, "--out", tmp_path / "out", "--only", kind, "--pictures")
    assert code == 2 and "for scores, name the store they were computed in" in told and told.count("\n") == 1
    assert "--pictures" not in told and not (tmp_path / "out").exists()


def test_no_data_are_read_from_a_path_that_a_bundle_names(bundle, tmp_path, capsys, monkeypatch):
    from prunebench.console import boards
    from prunebench.figures import shown
    from prunebench.leaderboard_page import picture_sheets

    monkeypatch.setattr(boards, "classes_of", lambda *asked: pytest.fail(f"{asked}"))
    monkeypatch.setattr(shown, "load", lambda *asked, **more: pytest.fail(f"{asked}"))
    monkeypatch.setattr(picture_sheets, "_loaded", lambda *asked: pytest.fail(f"{asked}"))
    code, told = report(capsys, bundle, "--out", tmp_path / "out", "--pictures", "--only", "curves,atlas,pictures")
    assert code == 0 and "pictures: a bundle is read for its trials" in told
    main(["leaderboard", str(bundle), "--format", "html", "--out", str(tmp_path / "page"), "--pictures"])
    assert "these stores hold no scores" in (tmp_path / "page" / "index.html").read_text()


def test_a_bundle_that_is_not_sound_is_in_no_report(bundle, tmp_path, capsys):
    own = copied(bundle, tmp_path)
    forge(card_of(own, "trials", selector="full", seed=0), {"accuracy": 0.01})
    code, told = report(capsys, own, "--out", tmp_path / "out")
    assert code == 4 and "is not sound" in told and not (tmp_path / "out").exists()
    shutil.rmtree(own / "trials")
    code, told = report(capsys, own, "--out", tmp_path / "out")
    assert code == 4 and told.count("\n") == 1


# -- windows ----------------------------------------------------------------------------------------------------------


def test_reported_windows_are_a_panel_of_their_own():
    def windows(**changed):
        return [trial(f"prunebench/window(start={start})", accuracy=0.5 + start, **changed) for start in (0.1, 0.2)]

    ours, theirs = windows(), windows(source="reported", seed=1)
    panels = window_starts(board([*ours, *theirs]))
    assert [(panel.scorer, len(panel.curves[0].starts)) for panel in panels] == [("aum", 2), ("aum (reported)", 2)]


@pytest.mark.parametrize(
    ("starts", "accuracy", "start"),
    [([0.0, 1e308], [0.5, 0.6], 0.0), ([0.0, 0.5], [0.5, 7.0], 0.0), ([0.0, 0.5], [0.5, 0.6], -1.0)],
)
def test_windows_that_are_no_shares_are_not_drawn(tmp_path, starts, accuracy, start):
    store = Store(tmp_path)
    put(store, trial(BWS), {"start": start}, {"starts": starts, "judged_accuracy": accuracy})
    assert window_starts(leaderboard(store), [store]) == ()


def test_a_window_that_starts_nowhere_is_no_window():
    rows = [trial(f"prunebench/window(start={start})") for start in ("'here'", "1e308", "None")]
    assert window_starts(board(rows)) == ()

"""Every fenced block of README and docs is run, or checked as far as a test can: none is passed over."""

import json
import re
import time
from pathlib import Path

import pytest
from doc_blocks import ROOT, blocks_of, commands, pages, parsed
from doc_stage import VARIABLES, build, filled, shortened

PAGES = {path.relative_to(ROOT).as_posix(): blocks_of(path) for path in pages()}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return build(tmp_path_factory.mktemp("docs") / "stage")


@pytest.fixture
def here(stage, bundle, tmp_path, monkeypatch):
    from prunebench import reporting
    from prunebench.running import Workers

    monkeypatch.chdir(filled(stage, tmp_path / "stage", bundle.parent / "runs"))
    monkeypatch.setattr(reporting, "workers_for", lambda *given: Workers("here"))


def call(words):
    from prunebench.cli import main
    from prunebench.registry import leave_out

    try:
        main(words)
    except SystemExit as left:
        return left.code or 0
    finally:
        leave_out(())
    return 0


@pytest.mark.parametrize("page", [p for p, bs in PAGES.items() if any(b.kind == "bash" for b in bs)])
def test_run(page, here, capfd):
    bad = []
    for b in PAGES[page]:
        if b.kind != "bash": continue
        for words in commands(b.code, VARIABLES):
            if Path(words[0]).name != "prunebench": continue
            w = shortened(words[1:])
            t = time.time()
            code = call(w)
            out, err = capfd.readouterr()
            with open("/tmp/wt/bl/times.txt", "a") as f:
                f.write(f"{time.time()-t:6.1f} {code} {page} {w} {err[-300:] if code else ''}\n")

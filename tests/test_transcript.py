"""docs/ten_minutes.md: its commands and files are those that docs/transcript.py ran; and they work, in shorter form."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest
from doc_blocks import ROOT, blocks_of, commands, console
from doc_stage import shortened
from packages import build, install
from packages import commands as run_all

from prunebench.new_plugin import new_plugin

PAGE = ROOT / "docs" / "ten_minutes.md"
BLOCKS = blocks_of(PAGE)


@pytest.fixture(scope="module")
def transcript():
    spec = importlib.util.spec_from_file_location("transcript", ROOT / "docs" / "transcript.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["transcript"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["transcript"]


def test_the_page_is_what_the_script_runs(transcript):
    shown = [console(block.code) for block in BLOCKS if block.kind == "console"]
    assert shown == [step.command for step in transcript.STEPS]
    files = [block.code for block in BLOCKS if block.kind == "python"]
    assert files == [transcript.FILES[name] for step in transcript.STEPS for name in step.files]
    headings = re.findall(r"^## \d+\. (.+)$", PAGE.read_text(), re.MULTILINE)
    assert headings == [step.heading for step in transcript.STEPS]


def test_it_took_less_than_ten_minutes():
    text = PAGE.read_text()
    seconds = [float(s) for s in re.findall(r"^([\d.]+) s(?:; it ended with exit code 4)?\.$", text, re.MULTILINE)]
    (total,) = re.findall(r"took\s+(\d+)\s+seconds", text)
    assert len(seconds) == sum(block.kind == "console" for block in BLOCKS)
    assert abs(sum(seconds) - int(total)) <= 1 and int(total) < 600


def test_long_output_is_shortened_and_says_so(transcript):
    long = transcript.shortened("\n".join(map(str, range(100)))).splitlines()
    assert long[0] == "0" and long[-1] == "99" and "[... 66 lines ...]" in long and len(long) == 35
    assert transcript.shortened("a  \nb\n") == "a\nb"


def test_the_steps_work(transcript, tmp_path):
    """Every command in its order, the package installed as a wheel, and the run on generated pictures."""
    project, target = tmp_path / transcript.FOLDER, tmp_path / "target"
    new_plugin("restless", project)
    for name, text in transcript.FILES.items():
        (tmp_path / name).write_text(text)
    install(build([project], tmp_path / "wheels"), target)
    edits = [step.command.partition(" && ")[0] for step in transcript.STEPS if step.command.startswith("sed")]
    calls = [words[1:] for s in transcript.STEPS for words in commands(s.command) if words[0] == "prunebench"]
    first, second = calls[1:3], calls[3:]

    def edited(edit, asked):
        subprocess.run(["bash", "-c", edit], cwd=tmp_path, check=True)
        shutil.copy(project / "prunebench_restless" / "__init__.py", target / "prunebench_restless")
        return run_all(target, tmp_path, *map(shortened, asked))

    listed, refused = edited(edits[0], first)
    assert listed[0] == 0 and "Restlessness" in listed[1]
    assert refused[0] == 4 and "its record says 64" in refused[1]
    checked, ran, drawn = edited(edits[1], second)
    assert checked[0] == 0 and "FAILED" not in checked[1], checked
    assert ran[0] == 0 and re.search(r"^ restless \+ ccs ", ran[1], re.MULTILINE), ran
    assert drawn[0] == 0 and (tmp_path / "site" / "index.html").is_file()
    test = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "-k", "by_hand", str(project / "tests")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *filter(None, sys.path)])}
    own = subprocess.run([sys.executable, "-m", "pytest", *test], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert own.returncode == 0 and "1 passed" in own.stdout, own.stdout + own.stderr

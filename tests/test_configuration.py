"""``--config FILE.toml``: the same options as on the command line, which wins; a file is data and names no code."""

import json
from itertools import takewhile

import pytest

from prunebench.cli.program import main, run, score, train
from prunebench.console.configuration import LIMIT, options_of
from prunebench.errors import UserError
from prunebench.store import Store

WHOLE = """
scorer = "aum"                                 # one, or a list
selector = ["hardest", "per_class(random)"]
keep = [0.3, 0.5]
dataset = "planted(train=60,test=20)"
steps = 2
seeds = 1
reference-epochs = 1
threads = 1
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """(exit code, standard output, standard error) of a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run_main(*args, config=None):
        if config is not None:
            (tmp_path / "c.toml").write_text(config)
        try:
            main(list(args))
            code = 0
        except SystemExit as left:
            code = left.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run_main


def test_a_file_says_what_the_command_line_says(call):
    code, out, err = call("run", "--config", "c.toml", "--dry-run", "--json", config=WHOLE)
    assert code == 0, err
    args = ["--scorer", "aum", "--selector", "hardest", "--selector", "per_class(random)", "--keep", "0.3,0.5"]
    args += ["--dataset", "planted(train=60,test=20)", "--steps", "2", "--seeds", "1", "--reference-epochs", "1"]
    found = json.loads(out)["cells"]
    assert json.loads(call("run", *args, "--threads", "1", "--dry-run", "--json")[1])["cells"] == found
    assert {row["keep"] for row in found} == {0.3, 0.5, 1.0}


def test_the_command_line_wins_over_the_file(call):
    _, out, _ = call(
        "run", "--config", "c.toml", "--keep", "0.2", "--selector", "ccs", "--dry-run", "--json", config=WHOLE
    )
    rows = json.loads(out)["cells"]
    assert {row["keep"] for row in rows} == {0.2, 1.0}
    assert {row["selector"] for row in rows if row["scorer"]} == {"ccs"}


def test_records_do_not_depend_on_where_an_option_came_from(call, tmp_path):
    config = (
        'selector = "random"\nkeep = 0.5\ndataset = "planted(train=60,test=20)"\nmodel = "test_resnet"\n'
        "steps = 2\nseeds = 1\nthreads = 1\n"
    )
    assert call("run", "--config", "c.toml", "--jobs", "1", "--store", "a", config=config)[0] == 0
    args = ["--selector", "random", "--keep", "0.5", "--dataset", "planted(train=60,test=20)", "--steps", "2"]
    args += ["--model", "test_resnet"]
    assert call("run", *args, "--seeds", "1", "--threads", "1", "--jobs", "1", "--store", "b")[0] == 0
    first, second = ([*Store(tmp_path / name).records("trials")] for name in "ab")
    assert [r.id for r in first] == [r.id for r in second] and len(first) == 3
    assert [r.result["accuracy"] for r in first] == [r.result["accuracy"] for r in second]
    assert not any("c.toml" in r.path.read_text() for r in first)


@pytest.mark.parametrize(
    "line, taken",
    [
        ("keep = 0.1", {"keep": ["0.1"]}),
        ('keep = "0.1,0.3"', {"keep": ["0.1,0.3"]}),
        ("keep = [1, 0.5]", {"keep": ["1", "0.5"]}),
        ('model = ["resnet18", "vit_tiny"]', {"models": ["resnet18", "vit_tiny"]}),
        ('method = ["aum", "ccs"]', {"methods": ["aum", "ccs"]}),
        ("pretrained = true", {"pretrained": "timm"}),
        ('pretrained = "w.safetensors"', {"pretrained": "w.safetensors"}),
        ("fail-fast = true\njson = false", {"fail_fast": True, "as_json": False}),
        ('shard = "1/3"', {"shard": "1/3"}),
        ('label-noise = "file:C.csv:noisy"', {"label_noise": "file:C.csv:noisy"}),
        ("", {}),
    ],
)
def test_values_as_toml_writes_them(line, taken, tmp_path):
    (tmp_path / "c.toml").write_text(line)
    assert options_of(run, tmp_path / "c.toml") == taken


@pytest.mark.parametrize(
    "content, told",
    [
        ('lable-noise = "sym:0.1"', "run has no option 'lable-noise', did you mean 'label-noise'"),
        ("label_noise = 1", "did you mean 'label-noise'"),
        ('steps = "two"', "steps must be a whole number, got 'two'"),
        ("steps = 1.5", "steps must be a whole number"),
        ("seeds = true", "seeds must be a whole number"),
        ("fail-fast = 1", "fail-fast must be true or false"),
        ("keep = [0.1, true]", "keep must be a number or a list of numbers"),
        ("keep = []", "keep must be"),
        ("keep = 2020-01-01", "keep must be"),
        ("scorer = [1]", "scorer must be a text or a list of texts"),
        ("model = 5", "model must be a text or a list of texts"),
        ("device = ['cpu']", "device must be a text"),
        ("pretrained = false", "pretrained must be a text"),
        ("shard = 3", 'of the form "i/n"'),
        ("[run]\nkeep = 0.1", "is a section"),
        ("config = 'other.toml'", "has no option 'config'"),
        ("help = true", "has no option 'help'"),
        ("keep = 0.1\nkeep = 0.2", "no TOML file"),
        ("keep = !!python/object:os.system", "no TOML file"),
        ("a: &a [1]\nb: [*a, *a]", "no TOML file"),
        ("x = " + "[" * 20_000, "no TOML file"),
        ("steps = " + "9" * 5000, "no TOML file"),
        ("\x1b[2J = 1", "no TOML file"),
        ("# " + "x" * LIMIT, "larger than"),
    ],
    ids=lambda value: value[:30],
)
def test_what_is_no_option_is_one_sentence(content, told, call):
    code, out, err = call("run", "--config", "c.toml", "--dry-run", config=content)
    assert code == 2 and told in err and len(err.splitlines()) == 1 and not out and "\x1b" not in err


def test_a_file_that_is_not_there_or_no_text(call, tmp_path):
    assert "cannot be read (No such file" in call("run", "--config", "none.toml")[2]
    assert "cannot be read (Is a directory" in call("run", "--config", ".")[2]
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    code, _, err = call("run", "--config", "b.toml")
    assert code == 2 and "no TOML file" in err
    with (tmp_path / "big.toml").open("wb") as stream:
        stream.truncate(2**36)  # of zeros, on no disk
    assert "larger than" in call("run", "--config", "big.toml")[2]


@pytest.mark.parametrize(
    "line",
    [
        "scorer = \"drd(model='mine.models:make')\"",
        'scorer = ["aum", "drd(model=mine:make)"]',
        "scorer = \"drd(model='mine\\\\x3amake')\"",
        "selector = \"per_class(d2(order='drd(model=\\\\'mine:make\\\\')'))\"",
    ],
)
def test_a_file_names_no_code(line, tmp_path):
    (tmp_path / "c.toml").write_text(line)
    with pytest.raises(UserError, match="names Python code"):
        options_of(run, tmp_path / "c.toml")


def test_score_and_train_take_their_options_from_a_file_too(call, tmp_path):
    (tmp_path / "s.toml").write_text('scorer = "random"\ndataset = "planted(train=60,test=20)"\nout = "s.npz"\n')
    assert set(options_of(score, tmp_path / "s.toml")) == {"scorer", "dataset", "out"}
    (tmp_path / "t.toml").write_text('subset = "i.npy"\nmodel = "resnet18"\n')
    assert set(options_of(train, tmp_path / "t.toml")) == {"subset", "models"}
    with pytest.raises(UserError, match="score has no option 'subset'"):
        options_of(score, tmp_path / "t.toml")
    code, out, err = call("score", "--config", "s.toml")
    assert code == 0 and "written: s.npz" in out, err
    code, _, err = call("score", "--config", "s.toml", "--from-log", "log.npz")
    assert code == 2 and "exclude each other" in err


def test_the_documented_file_is_one(tmp_path):
    from pathlib import Path

    page = (Path(__file__).parents[1] / "docs" / "files.md").read_text()
    example = takewhile(lambda line: line.startswith("    "), page[page.index("    scorer = [") :].splitlines())
    (tmp_path / "c.toml").write_text("\n".join(line.strip() for line in example))
    taken = options_of(run, tmp_path / "c.toml")
    assert (
        taken["keep"] == ["0.1", "0.3"] and taken["scorers"] == ["drd", "el2n(epoch=5)"] and taken["fail_fast"] is True
    )


def test_a_section_is_told_to_be_one(call):
    code, _, err = call("run", "--config", "c.toml", config="[run]\nkeep = 0.2\n")
    assert code == 2 and "[run] is a section: write the options without one" in err

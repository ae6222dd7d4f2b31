"""An unmodified checkout runs prunebench's methods; what cannot run is said in one sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

PLUGIN = Path(__file__).parents[1]
TINY_DRD = "prunebench:drd(dit='nano', dit_steps=20, timestep=20, draws=1, perceptual='l2')+easiest"


def subsets(printed):
    return [json.loads(line.removeprefix("subset ")) for line in printed.splitlines() if line.startswith("subset ")]


def launched(checkout, *arguments, before=(), timeout=500):
    """The command in a process of its own, beside the checkout."""
    found = [str(PLUGIN), *(p for p in sys.path if p)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "prunebench_deepcore", *before, str(checkout), *arguments]
    return subprocess.run(
        command, cwd=checkout.parent, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def content(folder):
    files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def in_process(checkout, *arguments):
    from prunebench_deepcore.launch import main

    main([str(checkout), *arguments])


def refused(capsys, arguments):
    from prunebench_deepcore.launch import main

    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    told = capsys.readouterr().err.strip()
    assert ended.value.code == 2
    assert "Traceback" not in told and told.count("\n") == 0 and told.startswith("prunebench-deepcore: "), told
    return told


def test_an_unmodified_checkout_trains_on_what_drd_selects(checkout):
    before = content(checkout)
    ran = launched(
        checkout, "--dataset", "PlantedArrays", "--selection", TINY_DRD, "--fraction", "0.2", "--num_exp", "2"
    )
    assert ran.returncode == 0, ran.stderr
    first, second = subsets(ran.stdout)
    assert first == second, "experiments of one seed select the same, crops and flips or not"
    assert len(first["indices"]) == 12 == len(set(first["indices"])) and not first["weights"]
    assert [sum(i % 3 == c for i in first["indices"] if i < 55) <= 4 for c in range(3)] == [True] * 3
    assert len(re.findall("Best accuracy", ran.stdout)) == 2
    assert content(checkout) == before, "the checkout stays as it is"


@pytest.mark.slow
def test_drd_by_its_name_alone(checkout, tmp_path):
    ran = launched(checkout, "--selection", "DRD", "--fraction", "0.1", before=("--store", str(tmp_path / "store")))
    assert ran.returncode == 0, ran.stderr
    assert "prunebench: drd + bws(order='easiest', furthest=0.5), keep 0.1" in ran.stdout
    assert len(subsets(ran.stdout)[0]["indices"]) == 6


@pytest.fixture
def three_threads():
    """Another number of threads than prunebench's own two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


def test_deepcore_goes_on_as_if_we_had_not_been_there(checkout, capsys, three_threads):
    in_process(checkout, "--selection", "Uniform")
    plain = capsys.readouterr().out
    in_process(checkout, "--selection", "PB_kcenter")
    ours = capsys.readouterr().out
    weights = [re.search(r"first weight (\S+)", printed)[1] for printed in (plain, ours)]
    assert weights[0] == weights[1], "the global generator stands where it stood"
    assert subsets(plain)[0]["indices"] != subsets(ours)[0]["indices"]
    assert subsets(ours)[0]["threads"] == 3 == torch.get_num_threads()


def test_weights_lead_to_a_weighted_training(checkout, capsys):
    """Its WeightedSubset is of a time when `Subset` had no `__getitems__`, which leaves the weights out."""
    in_process(checkout, "--selection", "CRAIG", "--fraction", "0.2", "--num_exp", "1")
    printed = capsys.readouterr().out
    assert subsets(printed)[0]["weights"] and "Best accuracy" in printed


def test_examples_of_a_batch_come_with_their_weights(checkout):
    from prunebench_deepcore.launch import prepare

    prepare(checkout, [])
    import utils

    weighted = utils.WeightedSubset(["a", "b", "c"], [2, 0], [0.5, 1.5])
    assert list(torch.utils.data.DataLoader(weighted, 2, collate_fn=list)) == [[("c", 0.5), ("a", 1.5)]]


def test_a_store_is_found_again(checkout, capsys, tmp_path):
    from prunebench_deepcore.launch import main

    for _ in range(2):
        main(["--store", str(tmp_path / "store"), str(checkout), "--selection", "PB_random__hardest"])
        (tmp_path / "seen").mkdir(exist_ok=True)
        records = sorted(p.name for p in (tmp_path / "store" / "scores").rglob("*.json"))
        assert len(records) == 1, records
    once, again = subsets(capsys.readouterr().out)
    assert once == again


@pytest.mark.parametrize(
    "arguments, told",
    [
        ((), "where is DeepCore"),
        (("nowhere",), "there is no folder nowhere"),
        (("empty",), "no DeepCore checkout: it has no main.py"),
        (("--stroe", "x", "DeepCore"), "--stroe stands before the path"),
        (("--store",), "--store needs a folder"),
        (
            ("--store", "/dev/null/store", "DeepCore", "--dataset", "NoSuchData"),
            r"cannot write /dev/null/store \(Not a dir",
        ),
        (
            ("--store=DeepCore/main.py", "DeepCore", "--dataset", "NoSuchData"),
            "cannot write DeepCore/main.py .*--store",
        ),
        (("DeepCore", "--selection", "DRDD"), "no method|has a method 'DRDD'; did you mean DRD"),
        (("DeepCore", "--selection", "drd"), "did you mean DRD"),
        (("DeepCore", "--selection", "os"), "has a method 'os'"),
        (("DeepCore", "--selection=prunebench:drd+bwss"), "selector 'bwss'"),
        (("DeepCore", "--selection", "prunebench:bws"), "prunebench:SCORER\\+bws"),
        (("DeepCore", "--selection", "prunebench:+bws"), "SCORER\\+SELECTOR"),
        (("DeepCore", "--selection", "AUM", "--fraction", "1.5"), r"\(0, 1\], got 1.5"),
        (("DeepCore", "--selection", "AUM", "--fraction", "0"), r"\(0, 1\], got 0"),
        (("DeepCore", "--selection", "AUM", "--fraction", "nan"), r"\(0, 1\], got nan"),
        (
            ("DeepCore", "--selection", "AUM", "--dataset", "Drawn"),
            "example 0 .* another picture when it was read again",
        ),
        (("DeepCore", "--selection", "EL2N"), "epoch 10, the reference training has 2 .* raise --selection_epochs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_run_is_said_in_one_sentence(checkout, capsys, arguments, told):
    (checkout.parent / "empty").mkdir()
    assert re.search(told, refused(capsys, arguments))


def test_a_package_that_deepcore_lacks_is_named(checkout, capsys):
    with (checkout / "deepcore" / "methods" / "__init__.py").open("a") as file:
        file.write("import not_a_package_of_anybody\n")
    assert "it needs not_a_package_of_anybody; install" in refused(capsys, [checkout])

    (checkout / "utils.py").write_text("import not_a_package_either\n")
    (checkout / "deepcore" / "methods" / "__init__.py").write_text("from .coresetmethod import *\n")
    for name in [n for n in sys.modules if n.startswith("deepcore")]:
        del sys.modules[name]
    assert "utils of" in (told := refused(capsys, [checkout])) and "it needs not_a_package_either" in told


def test_failures_of_deepcore_itself_stay_its_own(checkout):
    with pytest.raises(KeyError, match="NoSuchData"):
        in_process(checkout, "--dataset", "NoSuchData")


def test_the_python_of_the_page_runs(checkout, capsys):
    page = (PLUGIN.parents[1] / "docs" / "deepcore.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    assert "methods.DRD(" in code
    sys.path.insert(0, str(checkout))
    from deepcore.datasets import Planted

    names = {"dst_train": Planted("")[-2]}
    names["args"] = SimpleNamespace(device="cpu", dataset="Planted", model="MLP", im_size=(8, 8))
    exec(code.replace("methods.DRD(", "methods.RANDOM_ORDER("), names)  # DRD takes minutes
    assert len(names["subset"]["indices"]) == 6


def test_every_method_is_listed(capsys):
    from prunebench_deepcore.launch import main

    import prunebench as pb

    main(["--list"])
    printed = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert printed["DRD"] == "drd + bws(order='easiest', furthest=0.5)"
    assert printed["ACCUMULATED_MARGIN"] == "accumulated_margin + hardest"
    for entry in pb.installed().entries["scorer"].values():
        assert entry.record.name.upper() in printed and f"PB_{entry.record.name}__ccs" in printed

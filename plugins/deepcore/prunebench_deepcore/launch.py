"""``prunebench-deepcore path/to/DeepCore ARGUMENTS OF ITS main.py``: the checkout's own program, with more methods."""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import Any, NoReturn

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch is imported, as prunebench's own command does

from prunebench import PrunebenchError, UserError

USAGE = """usage: prunebench-deepcore [--store DIR] PATH_TO_DEEPCORE [arguments of its main.py]
       prunebench-deepcore --list

Runs the main.py of a DeepCore checkout, which stays as it is, with every method of prunebench beside its own:

  prunebench-deepcore ~/DeepCore --dataset CIFAR10 --model ResNet18 --selection DRD --fraction 0.1
  prunebench-deepcore ~/DeepCore --dataset CIFAR10 --selection PB_el2n__ccs --fraction 0.3
  prunebench-deepcore ~/DeepCore --dataset CIFAR10 --selection "prunebench:forgetting+bws(step=0.1)"

  --store DIR  keep prunebench's trainings, scores and selections there and find them again (default: for this process)
  --list       the names of prunebench's methods, with the scorer and selector of each, and end
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Ends in 2 where the user must change something, told in one sentence."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _run(given)
    except PrunebenchError as told:
        _end(str(told), told.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", 130)


def _run(given: list[str]) -> None:
    store: str | None = None
    while given and given[0].startswith("-"):
        option, equals, value = given.pop(0).partition("=")
        if option in ("-h", "--help"):
            print(USAGE, end="")
            return
        if option == "--list":
            _list()
            return
        if option != "--store":
            raise UserError(f"{option} stands before the path of DeepCore: options of its main.py come after the path")
        if not equals and not given:
            raise UserError("--store needs a folder")
        store = value if equals else given.pop(0)
    if not given:
        raise UserError("where is DeepCore? Give the path of its checkout first, as `prunebench-deepcore --help` shows")
    program = checkout(given[0])
    if store:
        refuse_unwritable(store)
    prepare(program.parent, given[1:], store)
    sys.argv = [str(program), *given[1:]]
    runpy.run_path(str(program), run_name="__main__")


def checkout(path: str) -> Path:
    """The main.py of a DeepCore checkout.

    Raises:
        UserError: there is none.
    """
    root = Path(path).expanduser().resolve()
    if not root.is_dir():
        raise UserError(f"there is no folder {path}: give the path of a DeepCore checkout")
    for part in ("main.py", "deepcore/methods/__init__.py"):
        if not (root / part).is_file():
            raise UserError(f"{path} is no DeepCore checkout: it has no {part}")
    return root / "main.py"


def refuse_unwritable(store: str) -> None:
    """Look before DeepCore loads its data; nothing is made for it.

    Raises:
        UserError: no folder can be made or written there.
    """
    place = Path(store).absolute()
    try:
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        with TemporaryFile(dir=there):
            pass
    except OSError as failure:
        raise UserError(
            f"cannot write {store} ({failure.strerror}): give --store a folder that can be written"
        ) from None


def prepare(root: Path, arguments: Sequence[str], store: str | None = None) -> ModuleType:
    """Import the checkout's `deepcore.methods`, extend it, and look at what its main.py will be asked for.

    Raises:
        UserError: another deepcore was imported before, a package that it needs is missing, or the arguments name an
            unknown method or a fraction out of range.
    """
    from .methods import checked_fraction, extend, offer

    sys.path.insert(0, str(root))
    methods = _imported(root, "deepcore.methods")
    extend(methods, store)
    if (root / "utils.py").is_file():
        _give_batches_their_weights(getattr(_imported(root, "utils"), "WeightedSubset", None))
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--selection")
    parser.add_argument("--fraction")
    try:
        asked = parser.parse_known_args(arguments)[0]
    except argparse.ArgumentError:  # an option without its value: main.py says it in its own words
        return methods
    if asked.fraction is not None:
        checked_fraction(asked.fraction)
    if asked.selection is not None:
        offer(methods, asked.selection, store)
    return methods


def _imported(root: Path, name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ImportError as missing:
        needed = f": it needs {missing.name}" if isinstance(missing, ModuleNotFoundError) else f" ({missing})"
        raise UserError(f"{name} of {root} cannot be imported{needed}; install what is missing") from missing
    place = getattr(module, "__file__", None)
    if place is None or root not in Path(place).resolve().parents:
        raise UserError(f"another module {name} was found first, in {place}: uninstall it, or run where it is not")
    return module


def _give_batches_their_weights(weighted: Any) -> None:
    """Let DeepCore's `WeightedSubset` give (example, weight) for a whole batch too.

    In newer torch a data loader asks a `Subset` for a batch by ``__getitems__``, which DeepCore, being older, does not
    have of its own: the one it inherits leaves the weights out.
    """
    from torch.utils.data import Subset

    if isinstance(weighted, type) and getattr(weighted, "__getitems__", None) is Subset.__getitems__:
        weighted.__getitems__ = lambda self, indices: [self[i] for i in indices]  # type: ignore[attr-defined]


def _list() -> None:
    from .names import known

    names = known()
    width = max(map(len, names))
    try:
        print("\n".join(f"{name:{width}}  {pair(1.0)}" for name, pair in names.items()), flush=True)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(told: str, code: int) -> NoReturn:
    print(f"prunebench-deepcore: {told}", file=sys.stderr)
    raise SystemExit(code)

"""Layers point one way: a module imports only modules that stand before it in this list."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "prunebench"
LAYERS = [
    *("errors", "types", "hookspecs", "seeds", "budgets", "arrays", "terminal", "display", "portable", "json_files"),
    *("matching", "spec", "methods", "registry", "store", "option_files"),
    *("datasets", "training", "harness", "evidence", "planning", "execution", "running", "foresight"),
    *("interop", "bundles", "exports", "cards", "leaderboard", "views", "figures", "leaderboard_page"),
    *("testing", "console", "new_plugin", "experiments", "cli"),
]
MAY_IMPORT = {  # beside the standard library
    "hookspecs": {"pluggy"},
    "errors": set(),
    "spec": set(),
    "methods": set(),
    "registry": {"pluggy", "packaging"},
}


def modules():
    return [p for p in CORE.rglob("*.py") if p != CORE / "__init__.py"]


def layer(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def imported(path: Path, top_level_only: bool = False):
    """(absolute module name, node) of every import."""
    tree = ast.parse(path.read_text())
    package = ["prunebench", *path.relative_to(CORE).parts[:-1]]
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{name}.{alias.name}" for alias in node.names)


def test_every_module_has_its_place():
    assert {layer(p) for p in modules()} == set(LAYERS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(CORE).as_posix())
def test_imports_point_down(path):
    mine = LAYERS.index(layer(path))
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "prunebench" or len(parts) < 2 or parts[1] not in LAYERS:
            continue
        assert LAYERS.index(parts[1]) <= mine, f"{layer(path)} imports {name}, which stands above it"


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_light_modules_stay_light(name):
    import sys

    for found in imported(CORE / f"{name}.py"):
        top = found.split(".")[0]
        assert top in sys.stdlib_module_names or top == "prunebench" or top in MAY_IMPORT[name], found


@pytest.mark.parametrize("folder", ["baselines", "plugins/drd/prunebench_drd", "plugins/deepcore/prunebench_deepcore"])
def test_plugins_use_the_public_door(folder):
    import prunebench

    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.ImportFrom)
                and (node.module or "").split(".")[0] == "prunebench"
                and not node.level
            ):
                assert node.module == "prunebench", f"{path.name} imports {node.module}"
                for alias in node.names:
                    assert alias.name in prunebench.__all__, f"{path.name} imports {alias.name}"


def test_no_pickle_is_ever_read():
    for folder in ("prunebench", "baselines", "plugins/drd/prunebench_drd"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            assert "import pickle" not in text and "allow_pickle=True" not in text, path
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    assert any(k.arg == "weights_only" for k in node.keywords), path

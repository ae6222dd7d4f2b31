"""Plugins as installed packages for tests: wheels, built from a project or written by hand, in a folder."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

BUILD = """
import os, sys
from setuptools import build_meta
out = sys.argv[1]
for project in sys.argv[2:]:
    os.chdir(project)
    build_meta.build_wheel(out)
"""


def build(projects, out: Path) -> list[Path]:
    """The wheels of projects, by the build backend that they name."""
    out.mkdir(parents=True)
    run = subprocess.run([sys.executable, "-c", BUILD, str(out), *map(str, projects)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return sorted(out.glob("*.whl"))


def wheel(out: Path, distribution: str, code: str, *, version="1.0", requires="prunebench") -> Path:
    """A wheel of one module with one entry point, written by hand: for plugins that no builder would make."""
    name = distribution.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    about = f"Name: {distribution}\nVersion: {version}\nRequires-Dist: {requires}\n"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\n{about}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[prunebench]\n{name} = {name}\n",
    }
    record = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    path = out / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def install(wheels, target: Path) -> None:
    """By pip, without a network and without what they require."""
    options = ["--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check", "-q", "--target", str(target)]
    run = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *map(str, wheels)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]


def commands(target: Path, folder: Path, *calls, timeout=300, **environment) -> list[tuple[int, str, str]]:
    """(exit code, output, errors) of commands of ``prunebench``, in one process that sees what is in ``target``."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *filter(None, sys.path)])} | environment
    run = subprocess.run(
        [sys.executable, __file__, json.dumps(calls)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return [tuple(one) for one in json.loads(run.stdout.splitlines()[-1])]


def _call(args) -> tuple[int, str, str]:
    from prunebench.cli import main
    from prunebench.registry import leave_out

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(args)
            code = 0
        except SystemExit as left:
            code = left.code or 0
    leave_out(())
    return code, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    print(json.dumps([_call(args) for args in json.loads(sys.argv[1])]))

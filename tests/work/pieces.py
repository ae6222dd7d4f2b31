"""Work for the tests of the executors: no torch, records in a store, and every way in which a task can go wrong."""

import ctypes
import multiprocessing.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from prunebench.errors import StoreError, UserError
from prunebench.store import Store


def publish(setting, number, seconds=0.0):
    """A record that is a function of its number."""
    time.sleep(seconds)
    values = np.random.default_rng(number).random(100)
    record = Store(setting["store"]).put(
        "scores", {"number": number}, {"sum": float(values.sum())}, arrays={"v": values}
    )
    Path(setting["store"], "attempts").mkdir(exist_ok=True)
    Path(setting["store"], "attempts", f"{number}-{time.monotonic_ns()}").touch()
    return record.kind, record.id


def nothing(setting):
    return None


def listens_at(setting, file):
    """Where the sockets of this run lie."""
    Path(file).write_text(multiprocessing.util.get_temp_dir())


def raises(setting):
    raise ValueError("out of\nluck")


def refuses(setting):
    raise UserError("give another option")


def store_fails(setting):
    raise StoreError("no room in the store")


def leaves(setting, code=0):
    sys.exit(code)


def exits(setting, code=0):
    os._exit(code)


def crashes(setting):
    ctypes.string_at(0)


def hangs(setting):
    time.sleep(600)


def hangs_with_a_child(setting, file):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(file).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def is_killed(setting):
    os.kill(os.getpid(), signal.SIGKILL)


def is_killed_once(setting, number):
    mark = Path(setting["store"], f"killed-{number}")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return publish(setting, number)


def lies(setting):
    return "scores", "0" * 64


def leaks(setting, megabytes):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, resource.RLIM_INFINITY))
    held = [bytearray(2**20) for _ in range(megabytes)]
    return len(held)


def prints(setting, file):
    print("a plugin prints this")
    return None


def process(setting, file):
    """Says in a file which process it is."""
    with open(file, "a") as stream:
        stream.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')}\n")
    time.sleep(0.2)


def surroundings(setting, file, names):
    """Says in a file where it is and what the environment holds."""
    Path(file).write_text("\n".join([os.getcwd(), *(os.environ.get(name, "-") for name in names)]))


def is_killed_saying(setting, file):
    with open(file, "a") as stream:
        stream.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def spoils(setting):
    """Leaves its process other than it was, and fails."""
    os.environ["SPOILT"] = "yes"
    raise ValueError("out of luck")

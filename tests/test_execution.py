"""The engine: order, attempts, deadlines and deaths, on work that loads no torch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebench.execution.inline import Inline
from prunebench.execution.local import Local
from prunebench.execution.supervisor import supervise
from prunebench.execution.tasks import Outcome, Task
from prunebench.store import Store

HERE = Path(__file__).parent
PATHS = [str(HERE / "work"), str(HERE.parent)]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE / "work"))


def task(function, *needs, key=None, **args):
    return Task(key or function, f"pieces:{function}", args, needs, function)


def publishing(numbers, **args):
    return [task("publish", key=str(n), number=n, **args) for n in numbers]


def local(folder, jobs=2, **more):
    return Local({"store": str(folder)}, jobs, preload=("pieces",), **more)


def stands_in(folder):
    store = Store(folder)
    return lambda task, outcome: outcome.record is None or store.by_id(*outcome.record) is not None


class Scripted:
    """A backend that says what it is told to say, one task at a time or several."""

    def __init__(self, outcomes=None, width=1):
        self.outcomes, self.width, self.running, self.started, self.closed = outcomes or {}, width, [], [], False

    def slots(self):
        return self.width - len(self.running)

    def start(self, task):
        self.running.append(task.key)
        self.started.append(task.key)

    def poll(self, seconds):
        key = self.running.pop(0)
        said = self.outcomes.get(key, Outcome("done"))
        return [(key, said.pop(0) if isinstance(said, list) else said)]

    def kill(self, key):
        self.running.remove(key)

    def close(self):
        self.closed = True


# -- the supervisor ---------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_needed_is_done_before_and_every_task_ends_once(data):
    count = data.draw(st.integers(1, 12))
    needs = [data.draw(st.sets(st.integers(0, i - 1))) if i else set() for i in range(count)]
    order = data.draw(st.permutations(range(count)))
    bad = data.draw(st.sets(st.integers(0, count - 1)))
    backend = Scripted({str(i): Outcome("raised", f"task {i}") for i in bad}, data.draw(st.integers(1, 4)))
    tasks = [Task(str(i), "", {}, tuple(str(n) for n in needs[i])) for i in order]
    ended = {t.key: outcome for t, outcome in supervise(tasks, backend)}
    assert len(ended) == count and backend.closed
    for i in range(count):
        upstream = {str(n) for n in needs[i]}
        if any(not ended[key].done for key in upstream):
            assert not ended[str(i)].done and str(i) not in backend.started
            assert ended[str(i)].told in {ended[key].told for key in upstream}
        else:
            assert ended[str(i)].done == (i not in bad)
            assert upstream <= set(backend.started[: backend.started.index(str(i))])


def test_tasks_start_in_their_order_where_they_are_ready():
    backend = Scripted()
    tasks = [Task("late", "", {}, ("first",)), Task("other", ""), Task("first", ""), Task("last", "")]
    assert [t.key for t, _ in supervise(tasks, backend)] == backend.started == ["other", "first", "late", "last"]


def test_a_circle_is_said_and_a_need_that_is_no_task_stands():
    circle = [Task("a", "", {}, ("b",)), Task("b", "", {}, ("a",))]
    with pytest.raises(ValueError, match="in a circle: a, b"):
        list(supervise(circle, Scripted()))
    assert [t.key for t, _ in supervise([Task("a", "", {}, ("elsewhere",))], Scripted())] == ["a"]


def test_only_a_death_is_tried_again_and_once():
    died, raised, done = Outcome("died", "gone"), Outcome("raised", "no"), Outcome("done")
    backend = Scripted({"once": [died, done], "twice": [died, died, done], "raised": [raised, done]})
    ended = {t.key: o for t, o in supervise([Task(key, "", name=key) for key in ("once", "twice", "raised")], backend)}
    assert ended == {"once": done, "twice": Outcome("died", "twice: gone, 2 times"), "raised": raised}
    assert backend.started == ["once", "once", "twice", "twice", "raised"]


def test_a_bare_word_is_not_believed():
    backend = Scripted()
    ((_, outcome),) = supervise([Task("a", "")], backend, stands=lambda task, outcome: False)
    assert outcome.kind == "died" and "left no sound record" in outcome.told and backend.started == ["a", "a"]


def test_the_backend_is_closed_when_nobody_listens_any_more():
    backend = Scripted()
    results = supervise([Task("a", ""), Task("b", "")], backend)
    next(results)
    results.close()
    assert backend.closed


def test_deadlines_do_not_know_what_time_it_is(tmp_path, monkeypatch):
    """F10: a clock that is set to and fro ends nothing and keeps nothing alive."""
    jumps = iter([86400.0, -86400.0] * 10_000)
    monkeypatch.setattr(time, "time", lambda: 1e9 + next(jumps))
    tasks = [task("hangs"), *publishing(range(3))]
    ended = {t.key: o for t, o in supervise(tasks, local(tmp_path), stands_in(tmp_path), timeout=1.5)}
    assert ended.pop("hangs").kind == "timeout" and all(o.done for o in ended.values())


# -- one contract, several backends -----------------------------------------------------------------------------------

HOSTILE = {
    "raises": ("raised", "ValueError: out of luck"),
    "refuses": ("raised", "give another option"),
    "leaves": ("raised", "SystemExit: 0"),
    "store_fails": ("storage", "no room in the store"),
    "no_such_work": ("raised", "no_such_work"),
    "exits": ("died", "exit code 0"),
    "crashes": ("died", "SIGSEGV"),
    "is_killed": ("died", "SIGKILL"),
    "lies": ("died", "left no sound record"),
}


def test_a_process_that_dies_costs_its_task_and_nothing_else(tmp_path):
    """F2, F13, F14: every way to go wrong, between tasks that go right."""
    hostile = [task(name) for name in HOSTILE]
    more = [task("hangs"), task("leaks", megabytes=600), task("is_killed_once", number=99)]
    tasks = [*publishing(range(4)), *hostile, *more, *publishing(range(4, 8))]
    ended = {t.key: o for t, o in supervise(tasks, local(tmp_path), stands_in(tmp_path), timeout=8)}
    for name, (kind, told) in HOSTILE.items():
        assert ended[name].kind == kind and told in ended[name].told, (name, ended[name])
    assert ended["hangs"].kind == "timeout" and "longer than the 8 s" in ended["hangs"].told
    assert ended["leaks"].kind == "raised" and "MemoryError" in ended["leaks"].told
    assert ended["is_killed_once"].done and all(ended[str(n)].done for n in range(8))
    attempts = [path.name.split("-")[0] for path in (tmp_path / "attempts").iterdir()]
    assert sorted(attempts) == sorted([*map(str, range(8)), "99"])  # nothing that was done was done again
    assert Store(tmp_path).verify() == (9, [])


def test_where_work_is_done_does_not_change_what_it_leaves(tmp_path):
    setting = {"store": str(tmp_path / "here")}
    list(supervise(publishing(range(6)), Inline(setting)))
    list(supervise(publishing(range(6)), local(tmp_path / "workers")))
    here, workers = ({r.id: r.card for r in Store(tmp_path / n).records("scores")} for n in ("here", "workers"))
    assert here == workers and len(here) == 6


def test_in_this_process_a_plugin_that_leaves_does_not_leave(tmp_path):
    found = {t.key: o.kind for t, o in supervise([task("leaves"), task("raises")], Inline({}))}
    assert found == {"leaves": "raised", "raises": "raised"}


def test_an_interrupt_of_this_process_is_not_the_tasks(monkeypatch):
    import pieces

    def interrupted(setting):
        raise KeyboardInterrupt

    monkeypatch.setattr(pieces, "nothing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(supervise([task("nothing")], Inline({})))


def test_an_unexpected_failure_says_where_it_was_and_no_folder(tmp_path):
    ((_, outcome),) = supervise([task("raises")], local(tmp_path, 1))
    assert any("pieces.py" in note and "in raises" in note for note in outcome.notes)
    assert not any(str(HERE) in note for note in outcome.notes)


# -- local workers ----------------------------------------------------------------------------------------------------


def test_a_worker_does_many_tasks_and_is_replaced_after_a_failure(tmp_path):
    file = str(tmp_path / "processes")
    tasks = [task("process", key=str(i), file=file) for i in range(4)]
    list(supervise([*tasks[:2], task("raises"), *tasks[2:]], local(tmp_path, 1)))
    first, second, third, fourth = (line.split()[0] for line in Path(file).read_text().splitlines())
    assert first == second != third == fourth


def test_every_worker_has_its_own_device(tmp_path):
    file = str(tmp_path / "processes")
    tasks = [task("process", key=str(i), file=file) for i in range(9)]
    list(supervise(tasks, local(tmp_path, 3, devices=("4", "7"))))
    seen = {tuple(line.split()) for line in Path(file).read_text().splitlines()}
    assert sorted(device for _, device in seen) == ["4", "4", "7"]  # three workers, two devices


def test_what_a_plugin_prints_is_no_part_of_the_output(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(paths=PATHS, work="prints", folder=str(tmp_path)))
    told = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert told.stdout == "begun\n" and told.stderr.count("a plugin prints this") == 2


# -- the end of the run's own process ---------------------------------------------------------------------------------

DRIVER = """
import sys
sys.path[:0] = {paths!r}
from prunebench.execution.local import Local
from prunebench.execution.supervisor import supervise
from prunebench.execution.tasks import Task
if __name__ == "__main__":
    tasks = [Task(str(i), "pieces:{work}", {{"file": {folder!r} + "/" + str(i)}}) for i in range(2)]
    print("begun", flush=True)
    try:
        list(supervise(tasks, Local({{}}, 2, preload=())))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_process_outlives_the_run(tmp_path, sent):
    """I6: whatever ends the driver ends its workers, and what they started."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(paths=PATHS, work="hangs_with_a_child", folder=str(tmp_path)))

    def heard():  # whoever started the tests in the background, or with nohup, had them ignore these
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, preexec_fn=heard) as driver:
        files = [tmp_path / "0", tmp_path / "1"]
        _until(lambda: all(f.exists() and len(f.read_text().split()) == 2 for f in files), 60)
        pids = [int(pid) for f in files for pid in f.read_text().split()]
        assert all(alive(pid) for pid in pids) and len(pids) == 4
        driver.send_signal(sent)
        driver.wait(timeout=10)
        if sent == signal.SIGINT:
            assert "interrupted" in driver.stdout.read()
    _until(lambda: not any(alive(pid) for pid in pids), 10)


def test_a_temporary_folder_may_lie_deep(tmp_path):
    """A socket's path has 107 bytes at most; the folder of a cluster's job may leave less than a listener needs."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(paths=PATHS, work="listens_at", folder=str(tmp_path)))
    subprocess.run([sys.executable, str(script)], env=os.environ | {"TMPDIR": str(deep)}, check=True, timeout=60)
    folders = {Path((tmp_path / name).read_text()) for name in "01"}
    assert len(folders) == 1 and not any(f.exists() for f in folders)  # one, gone when the run has ended
    assert not list(deep.iterdir())


def _until(true, seconds):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0, 3.5])
def test_an_interrupt_while_the_server_imports_is_no_traceback(tmp_path, seconds):
    """F11: as a terminal does it, the whole process group is interrupted."""
    command = [
        sys.executable,
        "-c",
        "from prunebench.cli import main; main()",
        "run",
        "--seeds",
        "1",
        "--steps",
        "20000",
    ]
    command += ["--dataset", "planted(train=60,test=20)", "--keep", "0.5", "--jobs", "1", "--threads", "1"]
    command += ["--selector", "random", "--store", str(tmp_path / "s")]
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler), "start_new_session": True}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **heard) as run:
        first = run.stderr.readline()  # the data set is loaded
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGINT)
        told = first + run.stderr.read()
        run.wait(timeout=20)
    assert run.returncode == 130 and "Traceback" not in told, told
    assert "run the same command again" in told

"""Ray: a real cluster of this machine, started here, with what befalls clusters (F26) and what they let in (S10)."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from queue import SimpleQueue

import pytest

from prunebench.errors import PrunebenchError, UserError
from prunebench.execution import ray_access, ray_driver, ray_worker
from prunebench.execution.inline import Inline
from prunebench.execution.on_ray import OnRay
from prunebench.execution.ray_nodes import Needs, Node, node_of, unfit, versions
from prunebench.execution.supervisor import supervise
from prunebench.execution.tasks import Outcome, Task
from prunebench.running import Workers
from prunebench.store import Store

psutil = pytest.importorskip("psutil")
HERE = Path(__file__).parent
PATHS = [str(HERE / "work"), str(HERE.parent)]
RAY = "from ray.scripts.scripts import main; main()"
MEASURED = ("seconds", "cost", "made", "score_cost", "select_cost", "train_cost")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE / "work"))


def task(function, key=None, **args):
    return Task(key or function, f"pieces:{function}", args, (), function)


def publishing(numbers, **args):
    return [task("publish", str(n), number=n, **args) for n in numbers]


def needs(folder, **more):
    return Needs(folder, packages=versions(["prunebench"]), **more)


def on_ray(folder, address, jobs=0, **more):
    return OnRay({"store": str(folder)}, jobs, address, needs(folder, **more))


def ended(tasks, backend, folder, timeout=None):
    store = Store(folder)
    found = supervise(tasks, backend, lambda t, o: o.record is None or store.by_id(*o.record) is not None, timeout)
    return {t.key: outcome for t, outcome in found}


def family(pid):
    """A process and all that it started, directly or not; nothing where it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes):
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, 10)


def running(processes):
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def wait_for(true, seconds):
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it took too long"
        time.sleep(0.05)


@contextmanager
def node(*options, before=()):
    """A node as a user starts it; killed at the end with all that it started."""
    pytest.importorskip("ray")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*PATHS, *sys.path])}
    command = [*before, sys.executable, "-c", RAY, "start", "--block", "--disable-usage-stats", *options]
    command += ["--object-store-memory", "80000000"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ray:
        try:
            said = iter(ray.stdout.readline, "")
            seen = next((line for line in said if "Ray runtime started" in line), None)
            assert seen, "the node did not start"
            yield ray
        finally:
            end(family(ray.pid))


@pytest.fixture(scope="module")
def cluster():
    """HOST:PORT of a cluster with one node of two CPUs, which wants a token."""
    folder = ray_access.short_folder()
    told = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(ray_access.write_token(folder))}
    with closing(socket.socket()) as free, pytest.MonkeyPatch.context() as patch:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        for name, value in told.items():
            patch.setenv(name, value)
        options = ["--head", "--port", port, "--num-cpus", "2", "--include-dashboard", "false"]
        try:
            with node(*options, "--temp-dir", str(folder / "ray")):
                yield f"127.0.0.1:{port}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


# -- the contract -----------------------------------------------------------------------------------------------------

HOSTILE = {
    "leaves": ("raised", "SystemExit: 0"),
    "store_fails": ("storage", "no room in the store"),
    "crashes": ("died", "what it said is in"),
    "is_killed_saying": ("died", "on the Ray node"),
    "lies": ("died", "left no sound record"),
}


def test_a_process_that_dies_costs_its_task_and_the_others_leave_what_they_leave_here(tmp_path, cluster, capfd):
    """F2, F13: killed always, killed once, exit, crash; the records are those of this process."""
    there, here = tmp_path / "there", tmp_path / "here"
    deaths = tmp_path / "deaths"
    hostile = [task(name, **({"file": str(deaths)} if "saying" in name else {})) for name in HOSTILE]
    tasks = [*publishing(range(3)), *hostile, task("is_killed_once", number=9), *publishing(range(3, 6))]
    found = ended(tasks, on_ray(there, cluster), there, timeout=100)
    for name, (kind, told) in HOSTILE.items():
        assert found[name].kind == kind and told in found[name].told, (name, found[name])
    assert len(set(deaths.read_text().split())) == len(deaths.read_text().split()) == 2  # Ray would go on to four
    assert any("pieces.py" in note for note in found["leaves"].notes)
    assert found["is_killed_once"].done and all(found[str(n)].done for n in range(6))
    list(supervise(publishing([*range(6), 9]), Inline({"store": str(here)})))
    cards = [{r.id: r.card for r in Store(folder).records("scores")} for folder in (there, here)]
    assert cards[0] == cards[1] and len(cards[0]) == 7
    attempts = sorted(path.name.split("-")[0] for path in (there / "attempts").iterdir())
    assert attempts == ["0", "1", "2", "3", "4", "5", "9"]  # nothing that was done was done again
    assert "Segmentation fault" in (there / ".logs" / "crashes.log").read_text()
    assert not (there / ".logs" / "1.log").exists() and not list((there / ".logs").glob("*.json*"))
    assert capfd.readouterr().out == ""  # Ray would tell there of every death


def test_a_hung_task_ends_at_its_deadline_and_a_worker_is_as_one_of_this_machine(tmp_path, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNEBENCH_PLUGINS", "drd")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    names = ["OMP_NUM_THREADS", "PRUNEBENCH_PLUGINS", "RAY_ADDRESS", "SPOILT"]
    tasks = [task("hangs_with_a_child", file="pids"), *(task("spoils", f"spoils {i}") for i in range(2))]
    tasks.append(task("surroundings", file="surroundings", names=names))
    found = ended(tasks, on_ray(tmp_path, cluster), tmp_path, timeout=12)
    assert found["hangs_with_a_child"].kind == "timeout" and found["surroundings"].done
    folder, *values = Path("surroundings").read_text().split("\n")
    cores = str(len(os.sched_getaffinity(0)))
    assert (folder, values) == (str(tmp_path), [cores, "drd", "-", "-"])  # Ray alone would say one thread
    hung = [int(pid) for pid in Path("pids").read_text().split()]
    assert len(hung) == 2
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in hung), 10)


# -- nodes that cannot do the work ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def second(cluster, hidden):
    """A second node, of one CPU, on which the folder ``hidden`` is another one."""
    alone = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs a user who may mount")
    before = [*alone, "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)]
    with node("--address", cluster, "--num-cpus", "1", before=before) as ray:
        yield ray


def test_a_store_that_is_not_shared_is_told_before_anything_is_computed(cluster, second, hidden):
    store = hidden / "store"
    with pytest.raises(UserError, match=r"node .+ does not see the store .+/store: give a --store on a file system"):
        on_ray(store, cluster)
    assert not list(store.glob("*/*"))


def test_a_plugin_that_a_node_lacks_is_told(tmp_path, cluster, second, monkeypatch):
    info = tmp_path / "site" / "prunebench_stranger-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prunebench-stranger\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    used = Needs(tmp_path / "store", packages=versions(["prunebench", "prunebench-stranger"]))
    with pytest.raises(UserError, match=r"lacks prunebench-stranger, this run uses 1\.2: install the same version"):
        OnRay({}, 0, cluster, used)


def test_what_a_lost_node_was_at_is_done_elsewhere(tmp_path, cluster, second):
    """F26."""
    backend = on_ray(tmp_path, cluster)
    results = supervise(publishing(range(5), seconds=2), backend)
    assert next(results)[1].done and backend.slots() == 1  # the other two places are taken
    end(family(second.pid))
    assert all(outcome.done for _, outcome in results)
    assert len(list(Store(tmp_path).records("scores"))) == 5


@pytest.mark.parametrize(
    "found, told",
    [
        ({"versions": {"prunebench": None}}, "lacks prunebench, this run uses 1.0: install the same version"),
        ({"versions": {"prunebench": "0.9"}}, "has prunebench 0.9, this run uses 1.0"),
        ({"store": "missing"}, "does not see the store"),
        ({"store": "other"}, "does not see the store"),
        ({"store": "Permission denied"}, "(Permission denied): give a --store that every node can write"),
        ({"folder": False}, "has no folder /here: give the command in a folder that all nodes share"),
        ({"data": False}, "has no data root /data: give a --data-root that all nodes share"),
        ({}, ""),
    ],
)
def test_what_a_node_found_is_judged(tmp_path, found, told):
    used = Needs(tmp_path, packages={"prunebench": "1.0"})
    fine = {"versions": {"prunebench": "1.0"}, "store": "shared", "folder": True, "data": True}
    said = unfit({**fine, **found}, used, {"folder": "/here", "data": "/data"})
    assert told in said and bool(told) == bool(said)


def test_room_on_a_node(tmp_path):
    told = {"NodeID": "n", "NodeManagerHostname": "box", "NodeManagerAddress": "10.0.0.1"}
    told["Resources"] = {"CPU": 7.0, "GPU": 2.0}
    assert node_of(told, Needs(tmp_path, threads=2)) == Node("n", "box (10.0.0.1)", 3)
    assert node_of(told, Needs(tmp_path, threads=2, gpus=8)).slots == 2
    assert node_of({**told, "Resources": {}}, Needs(tmp_path)).slots == 0


def test_nodes_come_and_go(tmp_path, monkeypatch):
    """One that comes later is used if it can do the work, else named and left out; one that went is not used."""
    driver = ray_driver.Driver()
    old, good, bad = (Node(name, name, 1) for name in ("old", "good", "bad"))
    driver.address, driver.name, driver.head, driver.needs = "host:1", "at host:1", ("host", 1), Needs(tmp_path)
    driver.nodes, driver.refused, driver.said, driver.under_way = {"old": old}, set(), [], {}
    driver.asked, driver.met, slow = set(), SimpleQueue(), threading.Event()
    driver.looked = driver.heard = time.monotonic() - 100

    def refuse(nodes, *_):
        slow.wait(60)
        if bad in nodes:
            raise UserError("the Ray node bad lacks torch")

    monkeypatch.setattr(ray_driver, "refuse_unfit", refuse)
    monkeypatch.setattr(ray_driver, "answers", lambda place: place == ("host", 1))
    monkeypatch.setattr(driver, "_alive", lambda: [good, bad])
    driver._look()
    assert driver.nodes == {} and driver.asked == {"good", "bad"}  # a node that takes its time holds nobody up
    slow.set()
    wait_for(lambda: driver.met.qsize() == 2, 60)
    driver.looked -= 100
    driver._look()
    assert driver.nodes == {"good": good} and driver.refused == {"bad"} and not driver.asked
    assert driver.said == ["left out: the Ray node bad lacks torch"]
    monkeypatch.setattr(ray_driver, "answers", lambda place: False)
    driver.looked -= 100
    driver._look()  # a head that is away for a moment is waited for
    driver.looked, driver.heard = driver.looked - 100, driver.heard - 100
    with pytest.raises(PrunebenchError, match="the head of the Ray cluster at host:1 is gone: what stands is kept"):
        driver._look()


def test_too_many_threads_for_every_node(tmp_path, cluster):
    with pytest.raises(UserError, match="no Ray node has 64 CPUs: give fewer --threads"):
        on_ray(tmp_path, cluster, threads=64)


# -- what is let in, and what is left ---------------------------------------------------------------------------------


def test_a_wrong_token_is_refused(tmp_path, cluster, monkeypatch):
    """S10: the cluster does not take just anybody."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.setenv("RAY_NUM_REDIS_GET_RETRIES", "1")  # the times that Ray tries, a second each
    with pytest.raises(UserError, match=r"cannot join the Ray cluster at 127\.0\.0\.1"):
        on_ray(tmp_path, cluster)


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from prunebench.execution.on_ray import OnRay
from prunebench.execution.ray_nodes import Needs
from prunebench.execution.supervisor import supervise
from prunebench.execution.tasks import Outcome, Task
if __name__ == "__main__":
    backend = OnRay({{}}, 1, "local", Needs(Path({folder!r})))
    list(supervise([Task("hung", "pieces:hangs_with_a_child", {{"file": {folder!r} + "/pids"}})], backend))
"""


@pytest.mark.slow
def test_a_cluster_that_is_started_here_is_closed_to_others_and_does_not_outlive_its_run(tmp_path, cluster):
    """S10: no address of the environment is followed, token mode, files for their owner alone; I6: killed with -9."""
    script, pids = tmp_path / "run.py", tmp_path / "pids"
    script.write_text(SCRIPT.format(paths=PATHS, folder=str(tmp_path)))
    environment = {**os.environ, "RAY_ADDRESS": cluster, "RAY_AUTH_MODE": "disabled", "HOME": str(tmp_path)}
    del environment["RAY_AUTH_TOKEN_PATH"]
    with subprocess.Popen([sys.executable, str(script)], env=environment) as run:
        wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2, 60)
        processes = family(run.pid)
        assert {int(pid) for pid in pids.read_text().split()} <= {p.pid for p in processes}
        server = next(p for p in processes if p.name() == "gcs_server").environ()
        assert server["RAY_AUTH_MODE"] == "token" and not (tmp_path / ".ray").exists()
        token = Path(server["RAY_AUTH_TOKEN_PATH"])
        assert [stat.S_IMODE(path.stat().st_mode) for path in (token, token.parent)] == [0o600, 0o700]
        assert (token.parent / "ray").is_dir()  # Ray's own folder, open to all, lies in it
        listening = {c.laddr.port for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN}
        assert listening and not listening & {8265, int(cluster.split(":")[1])}  # no dashboard, not the other cluster
        run.send_signal(signal.SIGKILL)
    wait_for(lambda: not running(processes), 90)  # Ray's last one takes its time
    assert not any(ray_access.answers(("127.0.0.1", port)) for port in listening)
    wait_for(lambda: not token.parent.exists(), 5)


@pytest.mark.slow
def test_a_lost_cluster_is_one_sentence_and_nothing_is_lost(tmp_path, cluster):
    """F26: the process that Ray cannot do without is killed while tasks are under way. (Ends the cluster.)"""
    backend = on_ray(tmp_path, cluster)
    results = supervise([*publishing(range(2)), task("hangs")], backend)
    assert next(results)[1].done and next(results)[1].done
    server = f"--gcs_server_port={cluster.split(':')[1]}"
    head = next(p for p in psutil.process_iter(["cmdline"]) if server in (p.info["cmdline"] or ()))
    head.kill()
    with pytest.raises(PrunebenchError, match=r"Ray cluster at 127\.0\.0\.1:.+: what stands is kept") as told:
        list(results)
    assert told.value.exit_code == 1
    assert Store(tmp_path).verify() == (2, []) and backend.process.poll() is not None


def test_a_run_on_ray_leaves_the_records_of_a_run_here(tmp_path, capsys):
    """One real run, bit for bit, on a cluster that it starts; workers have their own display and device."""
    pytest.importorskip("ray")
    from prunebench.console.reporting import run_and_report
    from prunebench.planning.plans import Plan

    plan = Plan(("aum",), ("bws",), dataset="planted(train=60,test=20)", keep=(0.5,), seeds=1, steps=4, threads=1)
    plan = replace(plan, models=("test_resnet",), reference="test_resnet", reference_epochs=1, device="cpu")
    records = []
    for executor in ("here", "ray"):
        store = Store(tmp_path / executor)
        assert run_and_report(replace(plan, store=str(store.root)), True, Workers(executor, 1)) == 0
        assert json.loads(capsys.readouterr().out)  # and nothing of Ray
        kinds = ("evidence", "scores", "selections", "trials")
        records.append({(kind, r.id): without_clock(r) for kind in kinds for r in store.records(kind)})
    assert records[0] == records[1] and len(records[0]) > 10


def without_clock(record):
    told = {name: value for name, value in record.result.items() if name not in MEASURED}
    return told, {name: file["sha256"] for name, file in record.card["files"].items()}


# -- without a cluster ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["auto", "", "somewhere", "ray://", "host:0", "host:99999", "a b:1", "http://h:1"])
def test_an_address_is_told_or_refused(tmp_path, address):
    with pytest.raises(UserError, match="--ray-address must be local, HOST:PORT or ray://HOST:PORT"):
        OnRay({}, 1, address, needs(tmp_path))
    with pytest.raises(UserError, match="--ray-address must be local"):  # before anything is read
        Workers("ray", ray_address=address)


def test_an_address_needs_ray():
    with pytest.raises(UserError, match="--ray-address needs --executor ray"):
        Workers("local", ray_address="host:6379")


def test_an_address_at_which_nothing_answers(tmp_path):
    pytest.importorskip("ray")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match=r"nothing answers at the Ray address 127\.0\.0\.1:\d+: start the cluster"):
            OnRay({}, 1, f"127.0.0.1:{free.getsockname()[1]}", needs(tmp_path))


def test_a_cluster_is_joined_with_a_token(tmp_path, monkeypatch):
    """S10: the token that Ray writes for all to read is closed; without one there is a sentence, no waiting."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=r"no token for the Ray cluster at .+: copy its ~/\.ray/auth_token"):
            ray_access.environment_to_join(address)
        token = tmp_path / ".ray" / "auth_token"
        token.parent.mkdir()
        token.write_text("secret")
        token.chmod(0o644)
        environment = ray_access.environment_to_join(address)
    assert environment["RAY_AUTH_MODE"] == "token" and "RAY_ADDRESS" not in environment
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_no_ray_or_an_old_one_is_a_sentence(tmp_path, monkeypatch):
    def version(name):
        raise ray_access.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(ray_access.importlib.metadata, "version", version)
    with pytest.raises(UserError, match=r'pip install "prunebench\[ray\]", or leave --executor at local'):
        ray_access.refuse_without_ray()
    for old in ("2.51.2", "1.13.0"):
        monkeypatch.setattr(ray_access.importlib.metadata, "version", lambda name, old=old: old)
        with pytest.raises(UserError, match=rf'Ray {old} is not safe to use: pip install "ray>=2\.52"'):
            ray_access.refuse_without_ray()
    monkeypatch.setattr(ray_access.importlib.metadata, "version", lambda name: "2.52.0rc1")
    ray_access.refuse_without_ray()


def test_a_long_temporary_folder_is_not_taken(tmp_path, monkeypatch):
    """F26: Ray's sockets lie there, and a socket's name has at most 107 bytes."""
    long = tmp_path / ("scratch" * 12)
    long.mkdir()
    monkeypatch.setattr(ray_access.tempfile, "tempdir", str(long))
    folder = ray_access.short_folder()
    assert folder.parent == Path("/tmp") and stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()

    def refuse(prefix, dir):
        raise PermissionError(dir)

    monkeypatch.setattr(ray_access.tempfile, "mkdtemp", refuse)
    with pytest.raises(UserError, match=r"a shorter temporary folder than .+: set TMPDIR to one of at most \d+ bytes"):
        ray_access.short_folder()


def test_word_that_an_earlier_run_left_is_not_taken_for_this_ones(tmp_path, monkeypatch):
    said = tmp_path / "task.log"
    ray_worker.word_of(said).write_text(json.dumps({"kind": "raised", "told": "last week's", "notes": []}))
    monkeypatch.setattr(ray_worker, "perform_alone", lambda setting, task: Outcome("done"))
    monkeypatch.chdir(tmp_path)
    assert ray_worker.perform_there(ForkingPickler.dumps(None), None, str(tmp_path), str(said)).done
    assert ray_worker.heard(said) is None

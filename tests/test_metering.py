"""What the harness counts of a method's own time, whatever the method says: network evaluations and peak memory."""

import json
import subprocess
import sys
import threading

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from prunebench.evidence.account import Account
from prunebench.harness import metering
from prunebench.harness.metering import Evaluations, Peak


class Coder(nn.Module):
    """Called whole, or by its methods, as VAEs are."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
        self.bridge = nn.Linear(3, 3)

    def encode(self, x):
        return self.bridge(self.encoder(x))

    def decode(self, z):
        return self.encoder(self.bridge(z))

    def forward(self, x, again=0):
        z = self.decode(self.encode(x))
        return self(z, again - 1) if again else z


X = torch.rand(5, 3)


def counted(run):
    meter = Evaluations()
    with meter.counting():
        run()
    return meter.count


@pytest.mark.parametrize(
    ("run", "examples"),
    [
        (lambda net: net(X), 5),
        (lambda net: net(x=X), 5),
        (lambda net: net.forward(X), 5),
        (lambda net: net.encode(X), 5),
        (lambda net: [net.encode(X) for _ in range(4)], 20),
        (lambda net: [net.decode(net.encode(X)) for _ in range(4)], 40),
        (lambda net: [other.encode(X) for other in (net, Coder(), Coder())], 15),
        (lambda net: [net(row[None]) for row in X], 5),
        (lambda net: net(X, again=2), 5),  # one call of the outermost
        (lambda net: nn.CrossEntropyLoss()(net(X), X), 5),  # a loss holds no parameters and is no network
        (lambda net: vmap(lambda x: functional_call(net, (dict(net.named_parameters()),), (x[None],)))(X), 5),
        (lambda net: vmap(grad(lambda x: net(x[None]).sum()))(X), 5),
        (lambda net: X @ X.T, 0),
    ],
)
def test_an_evaluation_is_one_example_through_one_network(run, examples):
    assert counted(lambda: run(Coder())) == examples


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "vit_tiny"])
def test_features_and_stages_of_a_reference_network_are_one_evaluation_each(name):
    from prunebench.training.models import build

    net, x = build(name, 4, 16, seed=0).eval(), torch.rand(2, 3, 16, 16)
    assert counted(lambda: (net.features(x), net.features(x), net.stages(x), net(x))) == 2 * 4


def test_a_failed_call_leaves_the_count_of_later_ones_right():
    def run():
        with pytest.raises(RuntimeError):
            net(torch.rand(2, 7))
        net(X)

    net = Coder()
    assert counted(run) == 2 + 5


def test_counting_pauses_nests_and_leaves_no_hook_behind():
    net, meter = Coder(), Evaluations()
    with meter.counting():
        with meter.counting():
            net(X)
        with meter.paused():
            net(X)
        thread = threading.Thread(target=lambda: net(X))  # somebody else's work
        thread.start()
        thread.join()
        net(X)
    net(X)
    assert meter.count == 10
    assert not nn.modules.module._global_forward_hooks and not nn.modules.module._global_forward_pre_hooks


def test_an_account_counts_own_time_only_and_charges_pieces_by_their_records():
    net, account = Coder(), Account("mine")
    with account.metered():
        net(X)
        with account.inside():
            net(X)
            account.charge("shared", 2.0, 3, 4, 5)
        with account.making() as made:
            net(X)
            net(X)
            account.charge("used", 7.0)
            account.reach_labels("score('theirs')")
    assert made.told()["evaluations"] == 10 and account.cost(1.0).evaluations == 5 + 5
    account.charge_made("piece", made.told())
    assert account.cost(1.0).evaluations == 5 + 5 + 10
    later = Account("mine")  # another sitting, where the piece stands
    later.charge_made("piece", {**made.told(), "seconds": 11.0})
    told = later.cost(0.5)
    assert told.evaluations == 10 and told.alone_seconds == pytest.approx(0.5 + 11.0 + 7.0)
    assert later.reached == ["score('theirs')"]


MEGABYTES = 2**20


PEAKS = """
import json, torch
from prunebench.harness.metering import Peak
outer = Peak()
held = torch.ones(64 * 1024**2)  # 256 MiB
del held
inner = Peak()
print(json.dumps([outer.read(), inner.read()]))
"""


def test_peaks_are_those_of_the_step_and_of_what_ran_inside_it():
    """In a process of its own: one that has trained keeps what it frees."""
    told = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True).stdout
    before, after = json.loads(told)
    if before["peak_of"] == "process":
        pytest.skip("this system cannot start the resident peak anew")
    assert before["peak_bytes"] - after["peak_bytes"] > 200 * MEGABYTES
    assert before["peak_of"] == "step" and before["gpu_peak_bytes"] == 0


@pytest.mark.gpu
def test_the_peak_on_the_gpu_is_that_of_the_step():
    outer = Peak("cuda")
    held = torch.ones(64 * MEGABYTES, device="cuda")  # 256 MiB
    del held
    inner = Peak("cuda")
    assert outer.read()["gpu_peak_bytes"] >= 256 * MEGABYTES > inner.read()["gpu_peak_bytes"]


def test_where_the_system_cannot_start_the_peak_anew_it_says_that_it_is_the_process(monkeypatch, tmp_path):
    monkeypatch.setattr(metering, "_CLEAR", tmp_path / "nowhere" / "clear_refs")
    told = Account("mine").cost(0.0)
    assert told.peak_of == "process" and told.peak_bytes > 10 * MEGABYTES

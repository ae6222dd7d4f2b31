"""Convolutions without the taps that only meet padding: the same function, with the same weights."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from prunebench.training import live_taps
from prunebench.training.live_taps import LiveTapsConv2d, leave_out_dead_taps
from prunebench.training.models import build


def pictures(size: int, n: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def as_published(network: nn.Module) -> nn.Module:
    """The same network with torch's own convolutions."""
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if type(module) is LiveTapsConv2d:
            module.__class__ = nn.Conv2d
    return plain


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "padding", "expected"),
    [
        (1, 3, 1, 1, (1, 2, 0)),  # one pixel: the centre
        (2, 3, 2, 1, (1, 3, 0)),  # two pixels, one output: the row above never lies on the map
        (2, 3, 1, 1, (0, 3, 1)),  # each row meets one of them
        (1, 5, 1, 2, (2, 3, 0)),
        (2, 5, 1, 2, (1, 4, 1)),
        (1, 1, 1, 0, (0, 1, 0)),
        (8, 3, 2, 1, (0, 3, 1)),
    ],
)
def test_taps_by_hand(length, kernel, stride, padding, expected):
    assert live_taps.live_taps(length, kernel, stride, padding) == expected


@settings(deadline=None, max_examples=150)
@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 3),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
)
def test_outputs_and_gradients_are_those_of_torch(height, width, kernel, stride, padding, groups, bias):
    if height + 2 * padding[0] < kernel[0] or width + 2 * padding[1] < kernel[1]:
        return  # no output at all: torch refuses it
    plain = nn.Conv2d(4, 4, kernel, stride, padding, groups=groups, bias=bias).double()
    ours = LiveTapsConv2d.of(copy.deepcopy(plain))
    x = torch.randn(2, 4, height, width, dtype=torch.float64)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    expected, got = plain(inputs[0]), ours(inputs[1])
    torch.testing.assert_close(got, expected)
    push = torch.randn_like(expected)
    expected.backward(push)
    got.backward(push)
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for p, q in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_network_is_the_published_one(name):
    network = build(name, 5, 8, seed=0)
    plain = as_published(network)
    assert list(network.state_dict()) == list(plain.state_dict())
    x, y = pictures(8), torch.tensor([0, 1, 2, 3])
    losses = [F.cross_entropy(net.train()(x), y) for net in (network, plain)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-4)
    for loss in losses:
        loss.backward()
    for (name, p), q in zip(network.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-2, atol=1e-3 * float(q.grad.abs().max()) + 1e-7, msg=name)


def test_a_resnet_at_8_px_reads_less_than_a_fifth_of_its_weights(monkeypatch):
    """Not merely the same numbers: the dead taps are gone from what is summed."""
    read = []
    true = F.conv2d
    monkeypatch.setattr(
        F, "conv2d", lambda x, w, *rest, **options: (read.append(w.numel()), true(x, w, *rest, **options))[1]
    )
    network = build("resnet18", 10, 8, seed=0).eval()
    with torch.inference_mode():
        network(pictures(8))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert sum(read) < sum(m.weight.numel() for m in convolutions) / 5
    read.clear()
    with torch.inference_mode():
        build("resnet18", 10, 32, seed=0).eval()(pictures(32))
    assert sum(read) == sum(m.weight.numel() for m in convolutions)


def test_per_example_gradients_and_copies_go_through():
    network = build("resnet18", 3, 8, seed=0).eval()
    weights = dict(network.named_parameters())
    x, y = pictures(8, 3), torch.tensor([0, 1, 2])

    def loss(weights, picture, label):
        return F.cross_entropy(torch.func.functional_call(network, weights, picture[None]), label[None])

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(weights, x, y)
    F.cross_entropy(copy.deepcopy(network)(x), y).backward()  # a copy has weights of its own
    assert all(p.grad is None for p in network.parameters())
    F.cross_entropy(network(x), y).backward()
    for name, p in network.named_parameters():
        scale = float(p.grad.abs().max())
        torch.testing.assert_close(each[name].mean(0), p.grad, rtol=1e-3, atol=1e-4 * scale + 1e-7, msg=name)


def test_what_it_does_not_know_is_left_alone():
    layers = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding="same"),
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 3, 3, padding=2, dilation=2),
        nn.Conv2d(3, 3, 3, padding=1, groups=3),
        nn.Conv2d(3, 3, 3),
        nn.Conv2d(3, 3, 3, padding=1),
    )
    before = list(layers)
    leave_out_dead_taps(layers)
    assert [ours is theirs for ours, theirs in zip(layers, before, strict=True)] == [True] * 5 + [False]
    assert type(layers[5]) is LiveTapsConv2d
    assert layers[5].weight is before[5].weight

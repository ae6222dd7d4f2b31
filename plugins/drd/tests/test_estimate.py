"""The cost model: operations against torch's counter, counts against a scoring's own, rates on a known clock."""

from __future__ import annotations

import math
import sys
import time
import weakref
from types import ModuleType

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from prunebench_drd import estimate as cost
from prunebench_drd import flops
from prunebench_drd.calibration import calibrate
from prunebench_drd.dit import build, recipe_for
from prunebench_drd.drd import drd
from prunebench_drd.estimate import SIZES, Costs, Rates, Size
from prunebench_drd.schedule import linear_abar
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from prunebench import UserError

META = torch.device("meta")
TINY_DIT = {**flops.DIT_XL_2_256, "num_layers": 2, "num_attention_heads": 3, "attention_head_dim": 8}
TINY_VAE = {**flops.SD_VAE, "block_out_channels": (8, 16, 8), "layers_per_block": 1, "norm_num_groups": 4}
TINY_VAE |= {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}


class Live(TorchDispatchMode):
    """The most numbers that results of operations held at once; what the module itself holds is not counted."""

    def __init__(self, module):
        super().__init__()
        self.known = {p.untyped_storage()._cdata for p in [*module.parameters(), *module.buffers()]}
        self.now = self.peak = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.known:
                storage = tensor.untyped_storage()
                self.known.add(storage._cdata)
                self.now += storage.nbytes() // 4
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.drop, storage._cdata, storage.nbytes() // 4)
        return result

    def drop(self, address, numbers):
        self.known.discard(address)
        self.now -= numbers


def counted(module, call):
    """(operations by torch's counter, live numbers) of a call on meta tensors."""
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            call()
        with Live(module) as live:
            call()
    return counter.get_total_flops(), live.peak


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def counted_dit(config):
    with META:
        network = DiTTransformer2DModel(**config).eval()
    side = config["sample_size"]
    x, t = (
        torch.empty(1, config["in_channels"], side, side, device=META),
        torch.zeros(1, dtype=torch.int64, device=META),
    )
    return network, *counted(network, lambda: network(x, timestep=t, class_labels=t).sample)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"out_channels": None, "in_channels": 1, "attention_bias": False, "num_embeds_ada_norm": 7},
        {"patch_size": 4, "sample_size": 24, "num_layers": 3},
        {"activation_fn": "geglu", "patch_size": 8},
    ],
)
def test_a_dit_costs_what_torch_counts(changed):
    config = {**TINY_DIT, **changed}
    network, operations, live = counted_dit(config)
    ours = flops.dit(config)
    assert (ours.flops, ours.weights) == (operations, parameters(network))
    places, heads = (config["sample_size"] // config["patch_size"]) ** 2, config["num_attention_heads"]
    maps = 5 * heads * places**2  # attention over meta tensors is not fused and keeps them
    assert ours.live <= live <= 1.1 * ours.live + maps


@settings(max_examples=8, deadline=None)
@drawn(st.integers(1, 3), st.integers(1, 4), st.sampled_from([4, 8]), st.sampled_from([1, 2, 4]), st.integers(1, 4))
def test_any_dit_costs_what_torch_counts(layers, heads, width, patch, side):
    shape = {"num_layers": layers, "num_attention_heads": heads, "attention_head_dim": width}
    config = {**flops.DIT_XL_2_256, **shape, "patch_size": patch, "sample_size": patch * side, "out_channels": 3}
    network, operations, _ = counted_dit(config)
    assert (flops.dit(config).flops, flops.dit(config).weights) == (operations, parameters(network))


def test_the_published_dit_costs_what_torch_counts():
    network, operations, _ = counted_dit(flops.DIT_XL_2_256)
    ours = flops.dit(flops.DIT_XL_2_256)
    assert (ours.flops, ours.weights) == (operations, parameters(network))
    assert ours.flops == pytest.approx(237.3e9, rel=0.01)


@pytest.mark.parametrize(
    "config, side",
    [
        (TINY_VAE, 24),
        ({**TINY_VAE, "use_quant_conv": False, "use_post_quant_conv": False, "latent_channels": 2}, 16),
        ({**TINY_VAE, "mid_block_add_attention": False, "layers_per_block": 2, "in_channels": 1, "out_channels": 1}, 8),
        (flops.SD_VAE, 256),
    ],
)
def test_a_vae_costs_what_torch_counts(config, side):
    with META:
        vae = AutoencoderKL(**config).eval()
    small = side // 2 ** (len(config["block_out_channels"]) - 1)
    pixels = torch.empty(1, config["in_channels"], side, side, device=META)
    z = torch.empty(1, config["latent_channels"], small, small, device=META)
    encode, decode = flops.vae_encode(config, side), flops.vae_decode(config, side)
    assert encode.weights + decode.weights == parameters(vae)
    for ours, call in ((encode, lambda: vae.encode(pixels)), (decode, lambda: vae.decode(z))):
        operations, live = counted(vae, call)
        assert ours.flops == operations
        assert ours.live == pytest.approx(live, rel=0.02)


def test_published_figures():
    assert flops.vae_encode(flops.SD_VAE, 256).flops == pytest.approx(272.7e9, rel=0.01)
    assert flops.vae_decode(flops.SD_VAE, 256).flops == pytest.approx(622.2e9, rel=0.01)
    assert 2 * flops.lpips_flops("lpips-alex", 256) == pytest.approx(3.5e9, rel=0.01)
    assert 2 * flops.lpips_flops("lpips-squeeze", 256) == pytest.approx(1.4e9, rel=0.01)


def test_an_unknown_vae_block_is_told():
    with pytest.raises(UserError, match="AttnDownEncoderBlock2D cannot be counted"):
        flops.vae_encode({**TINY_VAE, "down_block_types": ("AttnDownEncoderBlock2D",)}, 8)


@pytest.mark.parametrize("pixels, size", [(8, "auto"), (28, "nano"), (28, "small")])
def test_own_models_have_the_weights_counted(pixels, size):
    recipe = recipe_for(pixels, size)
    assert flops.dit(flops.own_config(recipe, 1, 10)).weights == parameters(build(recipe, 1, 10, seed=0))


COSTS, RATES = Costs(network=100, encode=30, decode=50, features=7), Rates(10.0, 0.1, 0.2, 0.01)


@pytest.fixture
def scored(given, gaussian, monkeypatch):
    """A scoring of 90 pictures in three classes by a denoiser that counts its calls; -> (details, calls)."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 3, 4, 4)).astype(np.uint8)
    denoiser = gaussian(torch.linspace(-0.3, 0.3, 3).reshape(3, 1, 1, 1).expand(3, 3, 4, 4), torch.full((3,), 0.3))
    module = ModuleType("counting_world")
    module.factory = lambda classes: denoiser
    monkeypatch.setitem(sys.modules, "counting_world", module)

    def run(**options):
        denoiser.calls = 0
        inputs = given(pixels, np.arange(90) % 3)
        return drd(**inputs, model="counting_world:factory", perceptual="l2", **options).details, denoiser.calls

    return run


@pytest.mark.parametrize(
    "samples, noises, draws, rivals, search",
    [(4, 3, 2, "auto", "exhaustive"), (50, 1, 1, 1, "exhaustive"), (3, 20, 1, "all", "fast"), (3, 8, 2, 1, "fast")],
)
def test_counts_are_those_a_scoring_reports(scored, samples, noises, draws, rivals, search):
    details, calls = scored(samples=samples, noises=noises, draws=draws, rivals=rivals, search=search)
    size, step = Size(90, 3, 4), float(details["t_star"].mean())
    candidates = len(details["candidates"])
    searching = cost.search_evaluations(size, samples, noises, candidates, rivals, search)
    told = cost.estimate(size, COSTS, RATES, searching=searching, step=step, draws=draws)
    if search == "exhaustive":
        assert told.searching == details["search_evaluations"]
        assert told.evaluations == details["evaluations"] == calls
    else:  # a class whose curve is highest at an end shares more of its levels
        peaks = [cost.noises_over_levels("fast", candidates, noises, peak) for peak in (0, candidates // 2)]
        per_noise = 3 * samples * (3 if rivals == "all" else 2)
        other = told.searching - per_noise * peaks[1]
        assert per_noise * peaks[0] <= details["search_evaluations"] - other <= per_noise * peaks[1]
        assert details["evaluations"] == calls


def test_counts_of_a_fixed_step(scored):
    details, calls = scored(timestep=7, draws=1)
    told = cost.estimate(Size(90, 3, 4), COSTS, RATES, searching=0, step=7)
    assert (told.scoring, told.agreement) == (90 * 8, 60 * 2 * 8)
    assert told.evaluations == details["evaluations"] == calls


def test_exhaustive_searches_of_the_known_sets():
    assert cost.search_evaluations(SIZES["imagenette"], how="exhaustive") == 680_000
    assert cost.search_evaluations(SIZES["imagewoof"], how="exhaustive") == 680_000
    assert cost.search_evaluations(SIZES["imagenet"], rivals="all", how="exhaustive") == 6_800_000_000


def test_fast_searches_of_the_known_sets():
    """9 coarse levels with 4 noises; then 5 at b-1 .. b+3, of which two have 4 already: 36 + 17 of 340."""
    assert cost.noises_over_levels("fast") == 53
    assert cost.noises_over_levels("fast", peak=0) == 36 + 12 == cost.noises_over_levels("fast", peak=14)
    assert cost.noises_over_levels("exhaustive") == 340
    assert cost.search_evaluations(SIZES["imagenette"]) == 10 * 20 * 10 * 53
    few = cost.search_evaluations(SIZES["imagenet"], rivals=10)
    assert few == 1000 * 20 * 11 * 53 + 3 * 4 * 1000


def test_scoring_one_picture_is_the_sum_of_its_parts():
    """Encode, 20 evaluations, decode and LPIPS-VGG: 5,721 GFLOP."""
    parts = Costs(237_333_676_032, 272_722_165_760, 622_187_282_432, 40_089_157_632)
    told = cost.Estimate(0, 20, 0, 0, encoded=1, decoded=1, featured=2, costs=parts, rates=Rates.at(parts, 1e14))
    assert told.flops == pytest.approx(5721e9, rel=0.001)
    assert told.hours == pytest.approx(told.flops / 1e14 / 3600)


def test_rows_and_hours():
    told = cost.estimate(
        Size(1000, 10, 8), COSTS, RATES, searching=7200, searched=200, step=17, draws=2, training=600, target="vae"
    )
    assert told.rows() == [
        ("training a model", 600, 600 * 3 / 10 / 3600),
        ("searching t*", 7200, 0.2),
        ("rebuilding every picture", 36_000, 1.0),
        ("agreement of draws", 200 * 2 * 18, 0.2),
        ("encoding", 1400, pytest.approx(1400 * 0.1 / 3600)),
        ("decoding", 2 * 1200 + 1200, pytest.approx(3600 * 0.2 / 3600)),
        ("perceptual features", 3600, pytest.approx(0.01)),
    ]
    assert told.hours == pytest.approx(sum(hours for *_, hours in told.rows()))
    assert told.flops == (1800 + 7200 + 36_000 + 7200) * 100 + 1400 * 30 + 3600 * 50 + 3600 * 7


def test_what_costs_nothing_has_no_row():
    told = cost.estimate(Size(10, 2, 8), Costs(5), Rates(1.0), searching=0)
    assert [what for what, *_ in told.rows()] == ["rebuilding every picture", "agreement of draws"]


@settings(max_examples=50, deadline=None)
@drawn(st.integers(1, 10**6), st.integers(1, 1000), st.integers(1, 9), st.floats(0, 49), st.integers(2, 5))
def test_twice_the_rate_is_half_the_hours_and_draws_scale(examples, classes, draws, step, factor):
    size = Size(examples, min(classes, examples), 32)
    one = cost.estimate(size, COSTS, Rates.at(COSTS, 1e9), searching=123, step=step, draws=draws, training=5)
    fast = cost.estimate(size, COSTS, Rates.at(COSTS, factor * 1e9), searching=123, step=step, draws=draws, training=5)
    assert fast.flops == one.flops and one.hours == pytest.approx(factor * fast.hours)
    assert one.hours * 3600 * 1e9 == pytest.approx(one.flops)
    more = cost.estimate(size, COSTS, RATES, searching=0, step=step, draws=factor * draws)
    assert more.scoring == pytest.approx(factor * one.scoring, abs=factor)


def test_memory_is_weights_and_the_largest_part():
    network, vae = (
        flops.Count(weights=1000, live=10),
        (flops.Count(weights=7, live=50), flops.Count(weights=3, live=60)),
    )
    assert cost.memory(network, 4) == 4 * 1040
    assert cost.memory(network, 4, vae, bytes_each=2) == 2 * (1010 + 240)


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: cost.noises_over_levels("random"), "search must be one of fast, exhaustive"),
        (lambda: cost.size_of("mnist-1d"), "size of 'mnist-1d' is not known; give one of cifar10"),
        (lambda: Rates.at(COSTS, 0.0), "operations a second"),
        (lambda: cost.estimate(SIZES["digits"], COSTS, RATES, searching=-1), "searching must not be negative"),
        (lambda: cost.estimate(SIZES["digits"], COSTS, RATES, searching=0, draws=0), "draws must be at least 1"),
        (lambda: calibrate(Paced(Clock()), (3, 4, 4), 0, torch.device("cpu")), "at least one row"),
        (lambda: calibrate(Paced(Clock()), (3, 4, 4), 1, torch.device("cpu"), math.nan), "some seconds"),
    ],
)
def test_what_cannot_be_estimated_is_told(call, told):
    with pytest.raises(UserError, match=told):
        call()


class Clock:
    """Stands still but when told to go on."""

    now = 0.0

    def __call__(self):
        return self.now


class Paced:
    """A denoiser that takes a known time: a call's own, and each picture's; and has room for so many pictures."""

    abar = linear_abar()

    def __init__(self, clock, call=0.05, picture=0.01, room=10**9):
        self.clock, self.call, self.picture, self.room, self.seen = clock, call, picture, room, []

    def _take(self, x, factor):
        if len(x) > self.room:
            raise torch.OutOfMemoryError
        self.seen.append(len(x))
        self.clock.now += factor * (self.call + self.picture * len(x))

    def predict_noise(self, x_t, t, c):
        assert t.shape == c.shape == (1,) and 1 <= int(t) < len(self.abar)
        self._take(x_t, 1)
        return x_t

    def encode(self, pixels):
        assert pixels.dtype == torch.uint8 and pixels.shape[1] == 3
        self._take(pixels, 2)

    def decode(self, z):
        self._take(z, 3)


def test_calibrating_finds_the_rates_of_a_known_clock():
    clock = Clock()
    rates = calibrate(Paced(clock), (4, 4, 4), 12, torch.device("cpu"), seconds=40.0, clock=clock)
    assert rates.evaluations == pytest.approx(12 / 0.17)
    assert (rates.encode, rates.decode) == (pytest.approx(2 * 0.17 / 12), pytest.approx(3 * 0.17 / 12))
    assert 39 < clock.now <= 40.5


def test_calibrating_keeps_batches_that_time_or_memory_allow():
    clock = Clock()
    slow = Paced(clock, call=0.0, picture=1.0)
    assert calibrate(slow, (1, 2, 2), 64, torch.device("cpu"), 20.0, clock).evaluations == pytest.approx(1)
    assert clock.now <= 20 and max(slow.seen) == 4
    clock = Clock()
    small = Paced(clock, room=5)
    assert calibrate(small, (1, 2, 2), 64, torch.device("cpu"), 20.0, clock).evaluations == pytest.approx(4 / 0.09)
    with pytest.raises(torch.OutOfMemoryError):
        calibrate(Paced(clock, room=0), (1, 2, 2), 64, torch.device("cpu"), 20.0, clock)


def test_calibrating_a_real_network_on_the_real_clock(gaussian):
    denoiser = gaussian(torch.zeros(2, 3, 8, 8), torch.ones(2))
    start = time.perf_counter()
    rates = calibrate(denoiser, (3, 8, 8), 64, torch.device("cpu"), seconds=0.4)
    took = time.perf_counter() - start
    for value in (rates.evaluations, rates.encode, rates.decode):
        assert 0 < value < float("inf")
    assert 0.3 < took < 5

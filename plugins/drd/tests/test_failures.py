"""What goes wrong with denoisers: each told in one sentence, before a value is stored, and nothing stored is lost."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given as given_
from hypothesis import settings
from hypothesis import strategies as st
from prunebench_drd import measure as measuring
from prunebench_drd.denoisers import check_abar, load_factory
from prunebench_drd.drd import drd
from prunebench_drd.equations import deviation
from prunebench_drd.measure import Deviations
from prunebench_drd.models import Chosen
from prunebench_drd.schedule import ddim_levels, linear_abar
from prunebench_drd.task import Task
from torch.nn import functional as F

from prunebench import MemoryImages, UserError

CPU = torch.device("cpu")
LABELS = np.arange(12) % 3
LEVELS = ddim_levels(1000)
QUICK = {"model": "broken_world:factory", "perceptual": "l2", "draws": 2}


@pytest.fixture
def squares():
    return np.random.default_rng(0).integers(0, 256, (12, 3, 6, 6), dtype=np.uint8)


@pytest.fixture
def world(monkeypatch, gaussian):
    """``world(member=function)``: the closed-form denoiser with a member replaced, behind the factory's name."""

    def make(classes=3, size=6, **broken):
        mu = torch.rand(classes, 3, size, size, generator=torch.Generator().manual_seed(1)) - 0.5
        denoiser = gaussian(mu, torch.full((classes,), 0.5))
        for member, function in broken.items():
            setattr(denoiser, member, function(denoiser, getattr(denoiser, member)))
        module = ModuleType("broken_world")
        module.factory = lambda classes: denoiser
        monkeypatch.setitem(sys.modules, "broken_world", module)
        return denoiser

    return make


def told(call, kind=ValueError):
    with pytest.raises(kind) as error:
        call()
    assert "\n" not in str(error.value) and str(error.value).startswith("drd: ")
    return str(error.value)


@pytest.mark.parametrize("timestep", [5, "ib"])
@pytest.mark.parametrize(
    ("cut", "got"),
    [(lambda eps: eps[:, :1], "1, 6, 6"), (lambda eps: eps[..., :3], "3, 6, 3"), (lambda eps: eps.numpy(), "ndarray")],
)
def test_noise_of_a_wrong_shape_is_told_with_both(world, squares, given, timestep, cut, got):
    """(B, 1, S, S) would broadcast in silence."""
    world(predict_noise=lambda _, right: lambda x, t, c: cut(right(x, t, c)))
    text = told(lambda: drd(**given(squares, LABELS), **QUICK, timestep=timestep, samples=1, noises=1))
    assert "predict_noise of 'broken_world:factory'" in text and "3, 6, 6)" in text and got in text


@pytest.mark.parametrize(
    ("member", "cut", "parts"),
    [
        ("encode", lambda z: z[:1], ("encode", "(12, 3, 6, 6)", "(1, 3, 6, 6) float32")),
        ("encode", lambda z: z.double(), ("encode", "float64")),
        ("encode", lambda z: z / 0, ("encodes picture 0", "NaN")),
        ("decode", lambda x: x[:, :1], ("decode", "(12, 3, S, S)", "(12, 1, 6, 6)")),
        ("decode", lambda x: x[..., :4, :4], ("decodes to (12, 3, 4, 4)", "(12, 3, 6, 6)")),
        ("decode", lambda x: 2 * x - 1, ("outside of [0, 1]", "clamp it in decode()")),
        ("decode", lambda x: x * 255, ("outside of [0, 1]",)),
        ("decode", lambda x: x * float("nan"), ("decodes picture 0 in the order of work", "outside of [0, 1]")),
    ],
)
def test_encoders_and_decoders_that_return_something_else(world, squares, given, member, cut, parts):
    world(**{member: lambda _, right: lambda z: cut(right(z))})
    inputs = given(squares, LABELS)
    inputs["blocks"] = lambda compute, order, rows: pytest.fail(f"stored {compute(torch.arange(12))}")
    text = told(lambda: drd(**inputs, **QUICK, timestep=5))
    assert all(part in text for part in parts), text


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [9, 4, 0])
def test_noise_that_is_not_finite_is_told_with_picture_and_step_and_what_stands_stays(world, squares, given, bad, step):
    """Class 2 breaks at one DDIM step; the blocks of the classes before it were stored and stay."""
    level = int(LEVELS[step])

    def breaking(_, right):
        def predict_noise(x, t, c):
            spoilt = (c == 2) & (t == level)
            return torch.where(spoilt.reshape(-1, 1, 1, 1), bad, right(x, t, c))

        return predict_noise

    world(predict_noise=breaking)
    inputs, kept = given(squares, np.repeat([0, 1, 2], 4)), []

    def blocks(compute, order, rows):
        for part in order.split(4):
            kept.append((part.tolist(), compute(part)))

    inputs["blocks"] = blocks
    text = told(lambda: drd(**inputs, **QUICK, timestep=9))
    assert (
        "NaN or infinite noise for picture 8 in the order of work (class 'class 2', model broken_world:factory)" in text
    )
    assert f"at DDIM step {step}; give another model=" in text
    assert [rows for rows, _ in kept] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert all(bool(torch.isfinite(values).all()) for _, values in kept)


def test_noise_that_is_not_finite_in_the_search_keeps_the_classes_that_were_found(world, squares, given, tmp_path):
    """The third class searched breaks; after the repair it alone is searched, and all is as without the trouble."""
    options = {**QUICK, "samples": 2, "noises": 2, "timestep": "ib"}

    def breaking(denoiser, right):
        return lambda x, t, c: right(x, t, c) + (torch.nan if denoiser.encoded == 3 else 0.0)

    def counting(denoiser, right):
        denoiser.encoded = 0

        def encode(pixels):
            denoiser.encoded += 1
            return right(pixels)

        return encode

    world(encode=counting, predict_noise=breaking)
    assert "finite" in told(lambda: drd(**given(squares, LABELS), **options))
    assert [path.name for path in sorted(tmp_path.glob("timesteps-*/*"))] == ["class-00000.npy", "class-00001.npy"]
    stood = {path: path.stat().st_mtime_ns for path in tmp_path.glob("timesteps-*/*.npy")}
    world()
    repaired = drd(**given(squares, LABELS), **options)
    assert all(path.stat().st_mtime_ns == then for path, then in stood.items())
    for path in tmp_path.glob("timesteps-*/*"):
        path.unlink()
    afresh = drd(**given(squares, LABELS), **options)
    assert repaired.details["t_star"].tolist() == afresh.details["t_star"].tolist()
    np.testing.assert_array_equal(repaired.values, afresh.values)


SCHEDULES = {
    "shape (T+1,)": (None, linear_abar().numpy(), linear_abar()[None], torch.ones(1)),
    "float32 or float64": (linear_abar().half(), linear_abar().bfloat16(), torch.arange(5)),
    "abar[0] = 1": (linear_abar()[1:], linear_abar() * 0.5, torch.tensor([float("nan"), 0.5])),
    "falling abar": (
        torch.tensor([1.0, 0.9, 0.9, 0.5]),
        torch.tensor([1.0, 0.5, 0.7]),
        torch.tensor([1.0, float("nan"), 0.5]),
    ),
    "above 0": (torch.tensor([1.0, 0.5, 0.0]), torch.tensor([1.0, 0.5, -0.1])),
}


@pytest.mark.parametrize(("part", "abar"), [(part, abar) for part, bad in SCHEDULES.items() for abar in bad])
def test_what_is_no_schedule_is_refused(world, part, abar):
    world().abar = abar
    assert part in told(lambda: load_factory("broken_world:factory", ("a",)), UserError)


@settings(deadline=None, max_examples=50)
@given_(st.lists(st.floats(0.001, 0.999), min_size=2, max_size=40), st.integers(0, 38))
def test_a_falling_schedule_passes_and_any_two_exchanged_levels_do_not(betas, place):
    abar = torch.cat([torch.ones(1), torch.cumprod(1 - torch.tensor(betas[:12], dtype=torch.float64), 0)])
    check_abar(abar, "the schedule")
    place %= len(abar) - 1
    abar[[place, place + 1]] = abar[[place + 1, place]]
    with pytest.raises(UserError):
        check_abar(abar, "the schedule")


@pytest.mark.parametrize(
    ("text", "part"),
    [("no_such_module:make", "cannot be imported"), ("math:no_such", "cannot be imported"), (":make", "imported")],
)
def test_a_factory_that_cannot_be_imported(text, part):
    assert part in told(lambda: load_factory(text, ("a",)), UserError)


@pytest.mark.parametrize("timestep", [8, "ib"])
@pytest.mark.parametrize("limit", [1, 3, 10])
def test_where_memory_does_not_suffice_the_batch_is_halved_with_the_same_values(
    world, squares, given, timestep, limit, caplog
):
    """Every member fails above ``limit`` rows; a search encodes the few pictures of a class at once."""
    refused = []

    def short(_, right):
        def call(x, *rest):
            if len(x) > limit:
                refused.append(len(x))
                raise torch.OutOfMemoryError(f"CUDA out of memory: {len(x)} rows")
            return right(x, *rest)

        return call

    options = {**QUICK, "samples": 2, "noises": 3, "timestep": timestep}
    world()
    whole = drd(**given(squares, LABELS), **options)
    world(predict_noise=short, decode=short, **({} if timestep == "ib" else {"encode": short}))
    inputs = given(squares, LABELS)
    folder_of = inputs["stored"]  # the curves of the whole one must not be taken
    inputs["stored"] = lambda name, spec, make: folder_of(name, {**spec, "limit": limit}, make)
    halved = drd(**inputs, **options)
    np.testing.assert_allclose(halved.values, whole.values, rtol=1e-5)
    assert refused and "memory does not suffice" in caplog.text


def test_what_did_not_fit_once_is_not_tried_again_in_later_blocks(world, squares, given):
    """Four blocks of three pictures, two draws: six rows fail once, three are rebuilt from then on."""
    asked = []

    def short(_, right):
        def predict_noise(x, t, c):
            asked.append(len(x))
            if len(x) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return right(x, t, c)

        return predict_noise

    def blocks(compute, order, rows):
        return torch.cat([compute(part) for part in order.split(3)]).double()[torch.argsort(order)]

    world()
    whole = drd(**{**given(squares, LABELS), "blocks": blocks}, **QUICK, timestep=4)
    world(predict_noise=short)
    halved = drd(**{**given(squares, LABELS), "blocks": blocks}, **QUICK, timestep=4)
    np.testing.assert_allclose(halved.values, whole.values, rtol=1e-5)
    assert [rows for rows in asked if rows > 3] == [6] and set(asked[1:40]) == {3}


def test_one_row_that_does_not_fit_is_the_end(world, squares, given):
    def never(_, right):
        def call(*args):
            raise torch.OutOfMemoryError("CUDA out of memory")

        return call

    world(predict_noise=never)
    with pytest.raises(torch.OutOfMemoryError):
        drd(**given(squares, LABELS), **QUICK, timestep=5)


class Halving:
    """A perfect noise predictor behind a lossy encoder: latents are 2 x 2 means, decoded as flat squares.

    eps*(x, t, c) = (x - sqrt(a) z_c) / sqrt(1 - a): every class has one picture, known exactly.
    """

    def __init__(self, pixels):
        self.abar, self.size = linear_abar(), pixels.shape[-1]
        self.known = self.encode(pixels)

    def encode(self, pixels):
        return F.avg_pool2d(pixels.float() / 127.5 - 1, 2)

    def decode(self, z):
        return (F.interpolate(z, scale_factor=2, mode="nearest") / 2 + 0.5).clamp(0, 1)

    def predict_noise(self, x_t, t, c):
        a = self.abar[t].float().reshape(-1, 1, 1, 1)
        return (x_t - a.sqrt() * self.known[c]) / (1 - a).sqrt()


def halving(pixels, features, target, steps):
    """`Deviations` of one picture per class."""
    count = len(pixels)
    images, labels = MemoryImages(pixels), torch.arange(count)
    names = tuple(str(c) for c in range(count))
    task = Task(images, labels, names, torch.arange(count), None, CPU, lambda i, total=None, text="": i, seed=0)
    denoiser = Halving(torch.from_numpy(pixels))
    chosen = Chosen(denoiser, "halving", {}, denoiser.size, latent=True)
    return Deviations(task, chosen, torch.full((count,), steps), LEVELS, features, target)


@pytest.mark.parametrize("step", [3, 20, 40])
def test_the_vae_target_is_the_round_trip_and_the_original_is_not(squares, step):
    """With perfect noise the rebuilt picture *is* the round trip: 0 against it, the encoder's own loss otherwise."""
    flat = lambda pictures: [pictures]  # noqa: E731
    against_vae, original = (
        halving(squares, flat, target, step).of(torch.arange(12), 2) for target in ("vae", "original")
    )
    pixels = torch.from_numpy(squares)
    denoiser = Halving(pixels)
    loss = deviation([pixels.float() / 255], [denoiser.decode(denoiser.encode(pixels))])
    assert against_vae.max() < 1e-6 < loss.min()
    torch.testing.assert_close(original, loss.expand(2, -1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("target", ["vae", "original"])
@pytest.mark.parametrize("draws", [1, 2, 5])
def test_features_of_the_real_picture_are_computed_once_per_picture(squares, target, draws):
    seen = []

    def counted(pictures):
        seen.extend(pictures.flatten(1).sum(dim=1).tolist())
        return [pictures]

    measured = halving(squares, counted, target, 20)
    measured.all(draws, lambda compute, order, rows: torch.cat([compute(part) for part in order.split(rows)]))
    assert len(seen) == 12 * (1 + draws)


def test_a_block_is_rebuilt_in_one_batch(monkeypatch, squares):
    batches = []
    inner = measuring.reconstruct
    monkeypatch.setattr(measuring, "reconstruct", lambda d, z, *rest: batches.append(len(z)) or inner(d, z, *rest))
    halving(squares, lambda pictures: [pictures], "vae", 5).of(torch.arange(12), 3)
    assert batches == [36]


def test_optional_members_are_seen_through_the_checks(world):
    denoiser = world()
    denoiser.size, denoiser.conditional = 6, False
    found = load_factory("broken_world:factory", ("a",))
    assert (found.size, found.conditional) == (6, False) and not hasattr(found, "identity")
    assert found.abar is denoiser.abar


def test_a_denoiser_that_works_in_place_is_given_a_copy():
    from types import SimpleNamespace

    from prunebench_drd.denoisers import CheckedDenoiser

    made = SimpleNamespace(abar=torch.ones(2), predict_noise=lambda x_t, t, c: x_t.mul_(0.5))
    x_t = torch.ones(2, 3)
    assert torch.equal(CheckedDenoiser(made, "it").predict_noise(x_t, None, None), torch.full((2, 3), 0.5))
    assert torch.equal(x_t, torch.ones(2, 3))
    made.predict_noise = lambda x_t, t, c: x_t.long()
    with pytest.raises(ValueError, match="must return floats"):
        CheckedDenoiser(made, "it").predict_noise(x_t, None, None)

"""Training policies: who is presented when, what their losses count, and what a training makes of it."""

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from trainings import state

from prunebench import MemoryImages, UserError
from prunebench.training.batches import Plan
from prunebench.training.loop import initialised, train
from prunebench.training.policies import RS2, InfoBatch, Plain, below_mean, policy_label, policy_of, policy_text
from prunebench.training.recipes import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")

N = 40
TINY = Recipe(optimizer="sgd", peak_lr=0.02, weight_decay=5e-4, batch=16, epochs=1, steps=9)


@pytest.fixture(scope="module")
def pictures():
    """40 pictures of 8 px, dark (class 0) and bright (1)."""
    labels = np.arange(N, dtype=np.int64) % 2
    pixels = np.random.default_rng(0).integers(0, 120, (N, 8, 8)) + 100 * labels[:, None, None]
    return MemoryImages(pixels.astype(np.uint8), flip=False), labels


def fit(pictures, policy=None, **changed):
    return train(*pictures, 2, **{"model": "test_resnet", "recipe": TINY, "seed": 0, "policy": policy} | changed)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- rs2


@pytest.mark.parametrize("n, k", [(12, 4), (10, 4), (7, 7), (5, 1)])
def test_rounds_without_replacement_cut_permutations(n, k):
    """The authors' released code is one example short where a round reaches the end (10 in rounds of 4: 4, 4, 3)."""
    policy, generator = RS2(k), seeded()
    rounds = [policy.round(n, generator).tolist() for _ in range(30)]
    assert all(len(set(r)) == k for r in rounds)
    per_permutation = -(-n // k)
    for start in range(0, 30 - per_permutation + 1, per_permutation):
        together = list(chain(*rounds[start : start + per_permutation]))
        assert sorted(together[:n]) == list(range(n))  # everybody once, then the beginning again
        assert together[n:] == together[: len(together) - n]
    assert n == k or k == 1 or rounds[0] != rounds[per_permutation]


def test_rounds_with_replacement_are_independent_draws():
    policy, generator = RS2(3, replacement=True), seeded()
    rounds = [policy.round(6, generator).tolist() for _ in range(4000)]
    assert all(len(set(r)) == 3 for r in rounds)
    counts = Counter(chain(*rounds))
    assert all(abs(counts[i] - 2000) < 4 * (4000 * 0.25) ** 0.5 for i in range(6))
    both = sum(0 in a and 0 in b for a, b in pairwise(rounds))
    assert abs(both - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5  # without replacement never in both halves


def test_batches_are_full_and_cut_from_consecutive_rounds():
    policy, generator = RS2(5), seeded()
    batches = list(policy.batches(Plan(N, 16, steps=7), generator))
    assert [len(p) for p, _, _ in batches] == [16] * 7 and {w for _, _, w in batches} == {None}
    again, generator = RS2(5), seeded()
    rounds = torch.cat([again.round(N, generator) for _ in range(23)])
    assert torch.equal(torch.cat([p for p, _, _ in batches]), rounds[: 7 * 16])


def test_rs2_in_as_many_steps_as_the_full_data_is_training_on_them(pictures):
    """Rounds that divide N are the same stream of permutations: what rs2 saves are steps (--budget epochs)."""
    plain = state(fit(pictures))
    for policy in (Plain(), RS2(N), RS2(N, replacement=True), RS2(4)):
        assert torch.equal(plain, state(fit(pictures, policy)))
    assert not torch.equal(plain, state(fit(pictures, RS2(4, replacement=True))))


def test_a_round_needs_one_to_n_examples():
    for k in (0, N + 1):
        with pytest.raises(ValueError, match=f"1 to {N} examples, got {k}"):
            next(RS2(k).batches(Plan(N, 16, steps=1), seeded()))


# -- infobatch


def test_the_first_pass_presents_everybody_once():
    rows = InfoBatch(losses=np.full(N, np.nan)).pass_of(0.5, seeded())
    assert sorted(rows[:, 0].tolist()) == list(range(N)) and set(rows[:, 1].tolist()) == {1.0}


def test_equal_losses_are_not_below_their_mean():
    """In the released code the mean of equal losses may be rounded above them, and all of them count as learnt."""
    for value, n in [(0.1, 10), (0.1, 1_000), (3.3, 777)]:
        assert not below_mean(np.full(n, value)).any()
    assert below_mean(np.array([1.0, 2.0, np.nan, 6.0])).tolist() == [True, True, False, False]
    assert not below_mean(np.full(3, np.nan)).any()


@pytest.mark.parametrize("ratio", [0.5, 0.3])
def test_factors_make_up_for_those_left_out(ratio):
    """Mean 3: of losses 1, 2, 3, 6 the first two are left out with probability r and else count 1 / (1 - r)."""
    policy, generator, passes = InfoBatch(losses=np.array([1.0, 2.0, 3.0, 6.0])), seeded(), 4000
    factors = torch.zeros(passes, 4, dtype=torch.float64)
    for t in range(passes):
        rows = policy.pass_of(ratio, generator)
        factors[t, rows[:, 0].long()] = rows[:, 1]
    assert set(factors[:, 2:].flatten().tolist()) == {1.0}
    kept = (factors[:, :2] > 0).double().mean(0)
    deviation = (ratio * (1 - ratio) / passes) ** 0.5
    assert torch.allclose(kept, torch.tensor(1 - ratio).double(), rtol=0, atol=4 * deviation)
    assert torch.allclose(factors[:, :2][factors[:, :2] > 0], torch.tensor(1 / (1 - ratio)).double())
    together = ((factors[:, 0] > 0) & (factors[:, 1] > 0)).double().mean()
    assert abs(float(together) - (1 - ratio) ** 2) < 4 / passes**0.5  # each by itself


class Witness(InfoBatch):
    """Remembers what went through."""

    def batches(self, plan, generator, done=0):
        self.given, self.found = [], []
        for positions, ends, factors in super().batches(plan, generator, done):
            self.given.append((positions, factors))
            yield positions, ends, factors

    def presented(self, positions, losses):
        self.found.append(losses.clone())
        super().presented(positions, losses)


def test_a_training_takes_the_weighted_losses_and_ends_with_whole_passes(pictures):
    policy = Witness(delta=0.6)  # of 12 steps the last four are annealed
    trained = fit(pictures, policy, steps=12)
    assert trained.steps == 12 and trained.forward == trained.backward == 12 * 16
    for loss, (_, factors), losses in zip(trained.losses, policy.given, policy.found, strict=True):
        assert loss == pytest.approx(float((factors * losses).mean()), rel=1e-6)
    factors = torch.stack([f for _, f in policy.given])
    assert set(factors[:2].flatten().tolist()) == set(factors[8:].flatten().tolist()) == {1.0}
    assert set(factors[2:8].flatten().tolist()) == {1.0, 2.0}
    annealed = torch.cat([p for p, _ in policy.given[8:]]).tolist()
    assert sorted(annealed[:N]) == list(range(N))
    last = {int(i): float(loss) for (p, _), found in zip(policy.given, policy.found, strict=True)
            for i, loss in zip(p, found, strict=True)}  # fmt: skip
    assert policy.losses == pytest.approx([last[i] for i in range(N)])


def test_infobatch_that_leaves_nobody_out_presents_whole_passes(pictures):
    for policy in (InfoBatch(ratio=0.0, delta=1.0), InfoBatch(delta=0.0)):
        order = torch.cat([p for p, _, _ in policy.batches(Plan(N, 16, steps=5), seeded())])
        assert sorted(order[:N].tolist()) == list(range(N))
    one, two = (fit(pictures, InfoBatch()) for _ in range(2))
    assert torch.equal(state(one), state(two))  # deterministic


# -- going on after an interruption


@pytest.mark.parametrize("make", [Plain, lambda: RS2(12), lambda: RS2(12, replacement=True), InfoBatch])
@pytest.mark.parametrize("done", [0, 1, 7, 17, 18, 19])
def test_batches_after_an_interruption_are_those_without_one(make, done):
    """Of 20 steps the last two of infobatch are annealed; the losses told are those of a made-up training."""
    plan, loss = Plan(N, 16, steps=20), torch.rand(20, N, generator=seeded(3))

    def drive(policy, generator, start, stop):
        for step, (positions, _, factors) in enumerate(policy.batches(plan, generator, start), start):
            policy.presented(positions, loss[step, positions])
            yield positions.tolist(), None if factors is None else factors.tolist()
            if step + 1 == stop:
                return

    whole = list(drive(make(), seeded(), 0, 20))
    first, second = make(), make()
    begun = list(drive(first, seeded(), 0, done)) if done else []
    second.restore(first.state())
    assert begun + list(drive(second, seeded(), done, 20)) == whole
    assert not isinstance(second, InfoBatch) or {w for _, f in whole for w in f} == {1.0, 2.0}


def test_a_policy_without_a_state_takes_none():
    with pytest.raises(ValueError, match="RS2 has no state, got losses"):
        RS2(4).restore({"losses": torch.zeros(3)})


# -- weights of examples


def test_the_loss_is_the_weighted_one(pictures):
    """loss = 1/N sum_i w_i / mean(w) * CE_i, at the first step of one batch of everybody."""
    images, labels = pictures
    network = initialised("test_resnet", 2, 8, 0).train()
    with torch.no_grad():
        losses = F.cross_entropy(network(images.pixels(range(N))), torch.from_numpy(labels), reduction="none")
    weights = np.random.default_rng(1).random(N) * (np.arange(N) % 3)  # every third is 0
    for w in (None, weights):
        expected = losses.mean() if w is None else (losses * torch.from_numpy(w / w.mean())).mean()
        for policy in (None, RS2(N), InfoBatch()):
            whole = TINY.__class__(**vars(TINY) | {"batch": N})
            trained = fit(pictures, policy, recipe=whole, weights=w, steps=1)
            assert trained.losses[0] == pytest.approx(float(expected), rel=1e-5)


def test_policies_honour_weights(pictures):
    """An example of weight 0 may bear any label; factors of infobatch multiply what is left."""
    images, labels = pictures
    weights = 2.0 * (np.arange(N) != 5)
    wrong = np.where(np.arange(N) == 5, 1 - labels, labels)
    for make in (lambda: RS2(8), lambda: RS2(8, replacement=True)):
        right, swapped = (fit((images, y), make(), weights=weights) for y in (labels, wrong))
        assert torch.equal(state(right), state(swapped))
    policy = Witness(delta=1.0)
    trained = fit(pictures, policy, weights=weights)
    w = torch.from_numpy(weights / weights.mean()).float()
    for loss, (positions, factors), losses in zip(trained.losses, policy.given, policy.found, strict=True):
        assert loss == pytest.approx(float((w[positions] * factors * losses).mean()), rel=1e-5)
    assert any(float(factors.max()) == 2.0 for _, factors in policy.given)


# -- names


def test_canonical_texts_and_labels():
    assert policy_text("plain") == policy_label("plain()") == "plain"
    assert policy_text("rs2") == "rs2(replacement=False)" and policy_label("rs2(replacement=False)") == "rs2"
    assert policy_label("rs2( replacement = True )") == "rs2(replacement=True)"
    assert policy_text("infobatch(delta=1)") == "infobatch(ratio=0.5, delta=1.0)"
    drawn, made = policy_of("rs2(replacement=True)", 7), policy_of("infobatch(ratio=0.25)", 7)
    assert isinstance(drawn, RS2) and (drawn.k, drawn.replacement) == (7, True)
    assert isinstance(made, InfoBatch) and (made.ratio, made.delta) == (0.25, 0.875)
    assert isinstance(policy_of("plain", 7), Plain)


@pytest.mark.parametrize(
    "text, told",
    [("rs3", "no policy 'rs3', did you mean 'rs2'"), ("infobatch(ratio=1)", r"ratio .* \[0, 1\), got 1.0"),
     ("infobatch(delta=1.2)", r"delta .* \[0, 1\], got 1.2"), ("infobatch(ratio=half)", "must be a number"),
     ("rs2(k=3)", "no option 'k'"), ("rs2(replacement=1)", "like its default False"), ("", "cannot read"),
     ("rs2(plain)", "no policy"), ("infobatch(ratio=None)", "ratio .* got None")],
)  # fmt: skip
def test_what_is_no_policy_is_explained(text, told):
    with pytest.raises(UserError, match=told):
        policy_text(text)


def test_epochs_are_refused(pictures):
    for policy in (RS2(4), InfoBatch()):
        with pytest.raises(ValueError, match="needs a training in steps"):
            fit(pictures, policy, epochs=2)


# -- looking along the way


def test_a_look_after_every_step_changes_nothing(pictures):
    from prunebench.training.evaluation import predict

    seen = []

    def look(step, network):
        seen.append((step, predict(network, pictures[0])))

    plain, looked = fit(pictures), fit(pictures, look=look)
    assert torch.equal(state(plain), state(looked)) and np.array_equal(plain.losses, looked.losses)
    assert [step for step, _ in seen] == list(range(1, 10))
    assert torch.equal(seen[-1][1], predict(plain.network, pictures[0]))


def test_a_look_is_no_training_time(pictures, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def look(step, network):
        now[0] += 5.0

    assert fit(pictures, look=look).seconds == 0.0 and now[0] == 100.0 + 9 * 5.0

"""What bundles claim: of labels and oracles beside the methods installed here, of subsets beside each other."""

import json
import shutil

import pytest
from bundled import card_of, copied, forge, positions, reseal

import prunebench as pb
from prunebench import VerifyError
from prunebench.bundles.verifying import verify


def refusals(bundle):
    """What one bundle is refused for."""
    (found,) = verify(bundle)
    return "\n".join(map(str, found.verdict.refusals))


def claiming(bundle, folder, selector, **claims):
    """A copy of which all subsets of a selector, and the trials on them, claim something."""
    own = copied(bundle, folder)
    for kind, name in (("selections", "text"), ("trials", "selector")):
        for seed in (0, 1):
            forge(card_of(own, kind, seed=seed, **{name: f"prunebench/{selector}"}), claims)
    return own


def test_class_balanced_random_that_claims_to_have_seen_no_label(bundle, tmp_path):
    own = claiming(bundle, tmp_path, "balanced", label_free=True)
    assert "it says that no label was seen, and balanced is given labels: it is not label-free" in refusals(own)
    with pytest.raises(VerifyError, match="is not sound"):
        pb.leaderboard([own], track="label-free")


def test_uniform_random_that_claims_to_have_seen_labels(bundle, tmp_path):
    own = claiming(bundle, tmp_path, "random", label_free=False)
    assert "it says that labels were seen, and random is given none" in refusals(own)


def test_a_method_of_another_definition_is_believed(bundle, tmp_path):
    own = claiming(bundle, tmp_path, "random", label_free=False)
    for seed in (0, 1):
        path = card_of(own, "selections", seed=seed, text="prunebench/random")
        forge(path, identity={"method": json.loads(path.read_text())["identity"]["method"] | {"definition": 99}})
    assert not refusals(own)


def test_scores_made_with_labels_give_no_label_free_subset(bundle, tmp_path):
    own = claiming(bundle, tmp_path, "hardest", label_free=True)
    assert "its scores say that they were made with labels" in refusals(own)
    forge(card_of(own, "scores", text="prunebench/aum"), {"label_free": True, "labels_reached_by": []})
    assert "it says that no label was seen, and aum is given labels" in refusals(own)
    forge(card_of(own, "selections", text="prunebench/random"), {"labels_reached_by": ["history"]})
    assert "that no label was seen, and that labels were reached by history" in refusals(own)


def test_scores_that_nothing_but_a_hash_names_are_held_against_their_scorer(bundle, tmp_path):
    own = claiming(bundle, tmp_path, "hardest", label_free=True)
    brought = {"scores": {"values": "0" * 64, "hard": "low"}}
    for seed in (0, 1):
        forge(card_of(own, "selections", seed=seed, scorer="prunebench/aum"), identity=brought)
    assert "it says that no label was seen, and aum is given labels" in refusals(own)


def test_a_contender_that_claims_to_be_an_oracle_and_an_oracle_that_does_not(bundle, tmp_path):
    assert "random is no oracle, and it says otherwise" in refusals(claiming(bundle, tmp_path, "random", oracle=True))
    own = copied(bundle, tmp_path / "other")
    path = card_of(own, "selections", seed=0, text="prunebench/hardest")
    method = {"text": "prunebench/double_end_oracle()"}
    forge(path, identity={"method": json.loads(path.read_text())["identity"]["method"] | method})
    assert "double_end_oracle is an oracle, and it says otherwise" in refusals(own)


def test_a_trial_and_its_subset_agree_on_the_oracle(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    forge(card_of(own, "trials", selector="prunebench/random", seed=0), {"oracle": True})
    assert "it says oracle = True, its subset says False" in refusals(own)


@pytest.mark.parametrize("claim", ["label_free", "oracle"])
def test_the_full_data_claim_nothing(claim, bundle, tmp_path):
    own = copied(bundle, tmp_path)
    forge(card_of(own, "trials", selector="full", seed=0), {claim: True})
    assert "it trained on all examples with their labels" in refusals(own)


# -- beside each other ------------------------------------------------------------------------------------------------


def with_a_replay(bundle, folder):
    """Two bundles: a copy, and one whose only subset, a uniform draw, is the first's class-balanced one."""
    first, second = (shutil.copytree(bundle, folder / name) for name in ("first", "second"))
    random = card_of(second, "trials", selector="prunebench/random", seed=0)
    subset = card_of(second, "selections", text="prunebench/random", seed=0)
    for kind, kept in (("trials", random), ("selections", subset), ("scores", None)):
        for path in (second / kind).iterdir():
            if kept is None or not path.name.startswith(kept.stem):
                path.unlink()
    theirs = card_of(first, "selections", text="prunebench/balanced", seed=0)
    reseal(second)
    forge(subset, arrays={"indices": positions(theirs)})
    return first, second


def test_a_board_holds_bundles_against_each_other_however_they_are_named(bundle, tmp_path):
    first, second = with_a_replay(bundle, tmp_path / "all")
    pb.leaderboard([second])  # sound by itself
    for named in ([tmp_path / "all"], [first, second], [first, bundle.parent / "runs", second]):
        with pytest.raises(VerifyError, match="the same index file as another method's or seed's"):
            pb.leaderboard(named)

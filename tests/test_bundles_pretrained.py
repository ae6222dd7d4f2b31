"""Trials of a bundle that need more than a CPU and the data to be trained again: weights, or a CUDA device."""

import json
from dataclasses import replace

import pytest
from bundled import copied, forge
from safetensors.torch import save_file
from trainings import QUICK

import prunebench as pb
from prunebench import UserError
from prunebench.bundles import retraining, trainable
from prunebench.bundles.contents import open_bundle
from prunebench.bundles.packing import submit
from prunebench.bundles.trainable import device_of, weights_of
from prunebench.bundles.verdicts import SHOWN, Verdict
from prunebench.bundles.verifying import verify
from prunebench.cli import main
from prunebench.training.models import build


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A folder with the weights ``w.safetensors``, others, and ``bundle``: two trials from these, two from scratch."""
    folder = tmp_path_factory.mktemp("tuned")
    for name, seed in (("w", 3), ("other", 4)):
        donor = build("test_resnet", 1000, 64, seed=seed)
        save_file({k.removeprefix("backbone."): v for k, v in donor.weights().items()}, folder / f"{name}.safetensors")
    plan = replace(QUICK, scorers=("random",), selectors=("hardest",), store=str(folder / "runs"))
    list(pb.run(plan))
    list(pb.run(replace(plan, pretrained=str(folder / "w.safetensors"))))
    submit(folder / "runs", folder / "bundle")
    return folder


def of_weights(bundle):
    return [trial for trial in bundle.trials if trial.result["pretrained"]]


def test_from_the_file_of_weights_it_comes_out_the_same_to_the_last_bit(tuned, tmp_path, capsys):
    own = copied(tuned / "bundle", tmp_path)
    many = len(open_bundle(own).trials)
    main(["verify", str(own), "--retrain", str(many), "--pretrained", str(tuned / "w.safetensors")])
    told = capsys.readouterr().out
    assert f"{many} of {many} trials, seed 0: {many} equal" in told and "not trained again" not in told
    assert len(of_weights(open_bundle(own))) == many // 2 > 0


@pytest.mark.parametrize("given, says", [("", ""), ("other.safetensors", ", not another"), ("timm", ", not another")])
def test_without_its_weights_every_cell_says_what_would_help(tuned, tmp_path, given, says):
    own = copied(tuned / "bundle", tmp_path)
    (found,) = verify(own, retrain=1, pretrained=str(tuned / given) if "." in given else given)
    trial = of_weights(found)[0]
    cells = [told for told in found.verdict.remarks if told.startswith("not trained again: ")]
    assert found.verdict.sound and len(cells) == len({(t.result["selector"]) for t in of_weights(found)})
    sha = trial.identity["pretrained"]["file"][:12]
    reason = f"it began with the weights file of SHA-256 {sha}: give it with --pretrained FILE{says}"
    assert all(told.endswith(f", test_resnet, seed 0: {reason}") for told in cells)
    assert any("prunebench/random() + prunebench/hardest(), keep 0.5" in told for told in cells)
    assert found.verdict.looked["trained again"].endswith("equal")  # those from scratch


def test_other_weights_under_the_name_of_these_are_no_proof(tuned, tmp_path):
    """Whoever names the file of a seed that came out well trains from another than the record says."""
    own = copied(tuned / "bundle", tmp_path)
    (trial, *_) = of_weights(open_bundle(own))
    named = {"file": trainable.weights_named("test_resnet", str(tuned / "other.safetensors"))["file"]}
    forge(own / "trials" / f"{trial.id}.json", identity={"pretrained": named})
    (found,) = verify(own, retrain=9, pretrained=str(tuned / "other.safetensors"))
    (wrong,) = found.verdict.refusals
    assert wrong.check == "trained again" and "trained again it is another number" in wrong.reason


def test_weights_of_timm_are_taken_only_where_they_are_asked_for(tuned):
    (trial, *_) = of_weights(open_bundle(tuned / "bundle"))
    trial.card["result"]["model"] = "resnet18"
    trial.card["identity"]["pretrained"] = trainable.weights_named("resnet18", True)
    assert weights_of(trial, "timm") is True
    with pytest.raises(UserError, match=r"timm's weights resnet18\.\w+: give --pretrained timm$"):
        weights_of(trial, "")
    for odd in (True, {"timm": 3}, {"\x1b[31m": {}}):
        trial.card["identity"]["pretrained"] = odd
        with pytest.raises(UserError, match="that its record does not name"):
            weights_of(trial, "timm")


def test_bfloat16_is_trained_where_there_is_a_device_for_it(bundle, tmp_path, monkeypatch):
    own = copied(bundle, tmp_path)
    for path in sorted((own / "trials").glob("*.json")):
        forge(path, {"precision": "bfloat16"}, {"precision": "bfloat16"})
    (found,) = verify(own, retrain=1)
    assert {device_of(trial) for trial in found.trials} == {"cuda"}
    cells = [told for told in found.verdict.remarks if told.startswith("not trained again: ")]
    assert len(cells) == len({(t.result["scorer"], t.result["selector"]) for t in found.trials}) == 5
    end = ", test_resnet, seeds 0, 1: it was trained in bfloat16 on a GPU: verify on a machine with a CUDA device"
    assert all(told.endswith(end) for told in cells)
    asked = []
    monkeypatch.setattr(trainable.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(retraining, "_as_it_was", lambda harness, threads, device: asked.append(device) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        verify(own, retrain=1)
    assert asked == ["cuda"]


@pytest.mark.parametrize(
    "options, says",
    [
        (["--retrain", "1", "--pretrained", "nowhere.safetensors"], "nowhere.safetensors cannot be read"),
        (["--retrain", "1", "--pretrained", "."], "cannot be read"),
        (["--pretrained", "timm"], "give --retrain N too"),
    ],
)
def test_weights_that_are_none_are_one_sentence(tuned, tmp_path, monkeypatch, capsys, options, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(tuned / "bundle"), *options])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and says in told and told.count("\n") == 1


def test_many_remarks_are_counted_and_the_last_is_shown():
    told = Verdict("b", remarks=[f"remark {i}." for i in range(SHOWN + 5)]).text()
    assert told.count("remark: remark") == SHOWN and "remark: 5 more, all of them in --json" in told
    assert f"remark {SHOWN + 4}." in told and json.dumps(Verdict("b", remarks=["x"]).told())
    assert "more" not in Verdict("b", remarks=["x"] * SHOWN).text()

"""Boards that the tests of the page write: a small one, and one in which every name is hostile."""

import hashlib

from prunebench.leaderboard import board
from prunebench.types import Cost, TrialResult

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=http://evil.example/x onerror=\"document.title='owned'\">",
    "javascript:document.title='owned'",
    '" onmouseover="document.title=1" x="',
    "</title></style><svg onload=document.title=1>",
    "\u202ertl\u2066 \x1b[31mred\x1b[0m \x00\x1e\x1f",
    "a|b\n| c | {{ 7 * 7 }} {% raw %}",
    "w" * 300,
    "../../../etc/passwd",
)


def trial(scorer="prunebench/aum()", selector="prunebench/ccs(strata=50, cutoff=0.1)", **changed):
    fields = {
        **{"dataset": "digits", "fingerprint": "f" * 64, "test_fingerprint": "e" * 64, "image_size": 8, "setting": ""},
        **{"scorer": scorer, "selector": selector, "keep": 0.1, "examples": 144, "label_free": False, "seed": 0},
        **{"model": "resnet18", "pretrained": False, "recipe": "c" * 64, "train_budget": "steps", "steps": 120},
        **{"policy": "plain", "score_seed": 0, "reference": "resnet18", "reference_epochs": 10, "threads": 2},
        **{"precision": "float32", "protocol": 1, "accuracy": 0.9, "class_accuracy": (0.95, 0.85), "train_loss": 0.1},
        **{"class_counts": (80, 64), "score_cost": Cost(seconds=5.0, alone_seconds=50.0)},
        "select_cost": Cost(seconds=1.0, alone_seconds=2.0),
        "train_cost": Cost(seconds=3.0, alone_seconds=3.0),
        "provenance": {"torch": "2.10", "plugins": {"prunebench": "0.1.0"}},
    } | changed
    named = f"{fields['scorer']}|{fields['selector']}|{fields['keep']}|{fields['seed']}|{fields['dataset']}"
    fields.setdefault("selection", hashlib.sha256(named.encode(errors="replace")).hexdigest())
    id = hashlib.sha256(f"{named}|{fields['model']}".encode(errors="replace")).hexdigest()
    return TrialResult(**fields, id=id)


def seeds(accuracies, **changed):
    return [trial(seed=seed, accuracy=accuracy, **changed) for seed, accuracy in enumerate(accuracies)]


BALANCED = {"scorer": None, "selector": "prunebench/balanced(quota='proportional')"}
FULL = {"scorer": None, "selector": "full", "keep": 1.0, "examples": 1437, "class_counts": (800, 637)}
AUM = {}
EL2N = {"scorer": "prunebench/el2n(runs=1, epoch=20)", "selector": "prunebench/hardest()"}
ZCORE = {"scorer": "prunebench/zcore()", "selector": "prunebench/hardest()", "label_free": True}


def small(**given):
    """Two networks, two keep ratios, three methods; one row rests on one seed, one cell failed."""
    trials = []
    for model in ("resnet18", "vit_tiny"):
        for keep, k, lift in ((0.1, 144, 0.0), (0.2, 287, 0.03)):
            same = {"model": model, "keep": keep, "examples": k}
            trials += seeds([0.90 + lift, 0.92 + lift, 0.94 + lift], **AUM, **same)
            trials += seeds([0.70 + lift, 0.72 + lift, 0.74 + lift], **EL2N, **same)
            trials += seeds([0.87 + lift, 0.90 + lift, 0.93 + lift], **BALANCED, **same)
        trials += seeds([0.97, 0.975, 0.98], **FULL, model=model)
    trials += seeds([0.5], **ZCORE)
    failures = [{"id": "0", "scorer": None, "selector": "prunebench/moderate()", "error": "<b>it broke</b>", "seed": 1}]
    return board(trials, failures, **given)


def hostile():
    """Every text that a record may hold is one that would like to be something else."""
    trials = []
    for i, name in enumerate(HOSTILE):
        own = {"scorer": name, "selector": f"{name}{i}", "setting": name, "dataset": name, "model": name}
        told = {"provenance": {"torch": name, name: {name: name}}, "reference": name, "recipe": name}
        for keep in (0.1, 0.2):
            trials += seeds([0.5, 0.6], **own, **told, keep=keep)
            trials += seeds([0.5, 0.55], **(own | BALANCED), **told, keep=keep)
    failures = [{"id": str(i), "scorer": name, "selector": name, "error": name} for i, name in enumerate(HOSTILE)]
    return board(trials, failures)

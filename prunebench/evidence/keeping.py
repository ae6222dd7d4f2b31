"""What a method keeps in the store, artefacts and blocks of work, and the names that tell what it was made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MethodError
from ..harness.shared import hash_array, plain_numbers
from ..option_files import named_files
from ..seeds import generator_for
from .account import Account, Part

if TYPE_CHECKING:
    from .given import Evidence

_SPENT = ".spent.json"  # in the folder of what is being made


def stored(evidence: Evidence, name: str, spec: Any, make: Callable[..., Any], shared: bool) -> Path:
    """See `Evidence.stored`."""
    entry, account, harness = evidence.method.entry, evidence.account, evidence.harness
    assert harness is not None
    identity = {
        **_worked_on(evidence),
        "method": entry.plugin.distribution if shared else entry.key,
        "definition": None if shared else entry.definition,
        "score_seed": evidence.score_seed,
        "used": None if shared else list(account.used),
        "name": name,
        "spec": spec,
    }
    if shared:
        place = (entry.plugin.distribution, identity["data"], identity["rows"], name, evidence.score_seed)
        generator, make_own = generator_for(*place), make
        make = lambda folder: make_own(folder, generator)  # noqa: E731

    def metered(folder: Path) -> dict[str, Any]:
        before = len(account.used)
        told = _made_in(folder, make, account)
        if len(account.used) > before:
            way_out = "make it of pictures and labels alone" if shared else "ask for that before, so its name tells"
            raise MethodError(f"{entry.key} asks for a training, scores or embeddings to make its {name!r}: {way_out}")
        return told

    with account.waiting():
        record = harness.store.make_folder(identity, metered, harness.provenance())
    account.charge_made(record.id, record.result)
    return record.folder


def _made_in(folder: Path, make: Callable[[Path], Any], account: Account) -> dict[str, Any]:
    """What making it cost, as `Part.told`: in this sitting, and in those that were interrupted before."""
    spent = folder / _SPENT
    try:
        before = json.loads(spent.read_text("utf-8"))
    except (OSError, ValueError):
        before = Part().told()
    try:
        with account.making() as made:
            make(folder)
    finally:  # after kill -9 this sitting is lost
        now = made.told()
        told = {
            "seconds": before["seconds"] + now["seconds"],
            "evaluations": before["evaluations"] + now["evaluations"],
            "shared": before["shared"] | now["shared"],
            "reached": [*dict.fromkeys((*before["reached"], *now["reached"]))],
        }
        if folder.is_dir():
            spent.write_text(json.dumps(told), "utf-8")
    spent.unlink(missing_ok=True)
    return told


def work_identity(evidence: Evidence) -> dict[str, Any]:
    """What names the blocks of a method: everything that it is given, or may ask for."""
    method, harness = evidence.method, evidence.harness
    assert harness is not None
    return {
        **_worked_on(evidence),
        "method": method.identity,
        "files": named_files(method),
        "reference": harness.reference_conditions(),
        "seeds": [evidence.seed, evidence.score_seed],
        "budget": list(harness.budget) if "judge" in method.needs else None,
        "selecting": _selecting(evidence),
    }


def _worked_on(evidence: Evidence) -> dict[str, Any]:
    """The data, with their labels unless the method reaches none whatever it calls."""
    assert evidence.harness is not None
    data = evidence.harness.dataset
    return {
        **evidence.harness.conditions(),
        "data": data.images_fingerprint if evidence.method.label_free == "yes" else data.fingerprint,
        "rows": None if evidence.rows is None else hash_array(evidence.rows),
    }


def _selecting(evidence: Evidence) -> dict[str, Any] | None:
    """What a selector is given beside the data, by content; None of a scorer."""
    if "budget" not in evidence.values:
        return None
    needs = evidence.method.needs
    found: dict[str, Any] = {"keep": evidence.keep, "budget": int(evidence.values["budget"])}
    if "hardness" in needs:
        found["hardness"] = hash_array(evidence.give("hardness"))
    if "details" in needs:
        numbers, arrays = plain_numbers(evidence.give("details"))
        found["details"] = numbers | {name: hash_array(array) for name, array in arrays.items()}
    return found

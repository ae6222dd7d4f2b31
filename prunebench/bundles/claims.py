"""What records claim of their methods, beside what the methods that are installed here say of themselves.

label_free: naming labels, or what is made with them, is seeing them; naming none and ranking no scores is seeing none
oracle:     as the method's record says

A method that is not installed here, or in another definition than the record tells, is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError, VerifyError
from ..evidence.selecting import SUBSET
from ..methods import Method
from ..registry import Registry
from ..store import Record
from .contents import Bundle


def check_claims(bundle: Bundle, registry: Registry) -> None:
    """Refuse, in the bundle's verdict, scores, subsets and trials that claim what their methods contradict."""
    verdict = bundle.verdict
    for record in bundle.records("scores"):
        with verdict.refusing("subsets", bundle.file_of(record)):
            _refuse_other_labels(record, _installed(registry, "scorer", record.identity["method"]))
            _refuse_both(record)
    for record in bundle.records("selections"):
        with verdict.refusing("subsets", bundle.file_of(record)):
            _refuse_subset(bundle, record, registry)
            _refuse_both(record)
    for trial in bundle.trials:
        if bundle.selection_of(trial) is None:
            with verdict.refusing("subsets", bundle.file_of(trial)):
                _refuse_claims_of_everything(trial)


def _refuse_subset(bundle: Bundle, record: Record, registry: Registry) -> None:
    result, named = record.result, record.identity.get("scores")
    if record.identity["method"]["text"] == SUBSET:
        if result["label_free"] or result.get("oracle", False):
            raise VerifyError("an index file that somebody brought tells nothing of labels, and is no oracle")
        return
    selector = _installed(registry, "selector", record.identity["method"])
    if selector is not None and selector.oracle != result.get("oracle", False):
        raise VerifyError(f"{selector.label} is {'an' if selector.oracle else 'no'} oracle, and it says otherwise")
    _refuse_other_labels(record, selector, ranks=named is not None)
    if not result["label_free"] or named is None:
        return
    scores = bundle.by_id("scores", named) if isinstance(named, str) else None
    if scores is None:  # of a score file that somebody brought, which tells of no definition
        _refuse_other_labels(record, _installed(registry, "scorer", {"text": result["scorer"] or ""}), ranks=True)
    elif not scores.result["label_free"]:
        raise VerifyError("it says that no label was seen, its scores say that they were made with labels")


def _refuse_both(record: Record) -> None:
    if record.result["label_free"] and record.result["labels_reached_by"]:
        by = ", ".join(record.result["labels_reached_by"])
        raise VerifyError(f"it says that no label was seen, and that labels were reached by {by[:80]}")


def _refuse_other_labels(record: Record, method: Method | None, ranks: bool = False) -> None:
    """``ranks``: whether scores had a part in it, which may have seen what the method did not."""
    if method is None:
        return
    told, name = record.result["label_free"], method.label
    if told and method.label_free == "no":
        raise VerifyError(f"it says that no label was seen, and {name} is given labels: it is not label-free")
    if not told and not ranks and method.label_free == "yes":
        raise VerifyError(f"it says that labels were seen, and {name} is given none: it is label-free")


def _refuse_claims_of_everything(trial: Record) -> None:
    """Of the full data, and of a policy that draws from them."""
    if trial.result["label_free"] or trial.result.get("oracle", False):
        raise VerifyError("it trained on all examples with their labels, and says that it saw none, or is an oracle")


def _installed(registry: Registry, kind: str, told: Mapping[str, Any]) -> Method | None:
    """The method that is told of, where it is installed here in that definition."""
    try:
        found = registry.method(kind, told["text"])
    except UserError:
        return None
    return found if _same_definition(found, told) else None


def _same_definition(method: Method, told: Mapping[str, Any]) -> bool:
    """One that is not told is taken to be that of here."""
    here, inner = method.entry.definition, told.get("inner")
    if told.get("definition", here) != here:
        return False
    return method.inner is None or _same_definition(method.inner, inner if isinstance(inner, Mapping) else {})

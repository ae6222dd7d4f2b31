"""What was found of a bundle: what was looked at, what is refused and why, what is remarked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import VerifyError

CHECKS = ("files", "records", "subsets", "numbers", "replays", "data", "selected again", "trained again")
SHOWN = 20  # refusals, and remarks, of one bundle that a table shows
_UNCHECKED = {
    "data": "give --data-root or --dataset",
    "selected again": "give --data-root or --dataset",
    "trained again": "give --retrain N",
}


@dataclass(frozen=True)
class Refusal:
    """One reason why a bundle is not sound."""

    check: str
    file: str  # in the bundle; "" for all of it
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}" if self.file else self.reason


@dataclass
class Verdict:
    """Of one bundle."""

    bundle: str
    manifest_sha256: str = ""
    refusals: list[Refusal] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    looked: dict[str, str] = field(default_factory=dict)  # check -> what was looked at

    @property
    def sound(self) -> bool:
        return not self.refusals

    def refuse(self, check: str, file: str, reason: str) -> None:
        self.refusals.append(Refusal(check, file, reason))

    @contextmanager
    def refusing(self, check: str, file: str) -> Iterator[None]:
        """A `VerifyError` inside is a refusal of that file."""
        try:
            yield
        except VerifyError as wrong:
            self.refuse(check, file, str(wrong))

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """(check, "ok" | "refused" | "-", what was looked at, or why nothing was)."""
        refused = [refusal.check for refusal in self.refusals]
        for check in CHECKS:
            many, told = refused.count(check), self.looked.get(check)
            if many:
                yield check, "refused", f"{many} of {told}" if told else f"{many}"
            elif told is not None:
                yield check, "ok", told
            else:
                yield check, "-", "not looked at" if refused else _UNCHECKED.get(check, "not looked at")

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {
            **{"bundle": self.bundle, "sound": self.sound, "manifest_sha256": self.manifest_sha256},
            "checks": {check: {"verdict": word, "told": told} for check, word, told in self.lines()},
            "refusals": [vars(refusal) for refusal in self.refusals],
            "remarks": self.remarks,
        }

    def text(self) -> str:
        """For people."""
        rows = [f"{self.bundle}: {'sound' if self.sound else 'NOT SOUND'}"]
        rows += [f"  {check:<15} {word:<8} {told}" for check, word, told in self.lines()]
        rows += [f"  refused: {refusal}" for refusal in self.refusals[:SHOWN]]
        if len(self.refusals) > SHOWN:
            rows.append(f"  refused: {len(self.refusals) - SHOWN} more, all of them in --json")
        shown, last = self.remarks[: SHOWN - 1], self.remarks[SHOWN - 1 :][-1:]
        rows += [f"  remark: {remark}" for remark in shown]
        if len(self.remarks) > SHOWN:
            rows.append(f"  remark: {len(self.remarks) - SHOWN} more, all of them in --json")
        return "\n".join([*rows, *(f"  remark: {remark}" for remark in last)])

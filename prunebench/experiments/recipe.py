"""A recipe: the plans behind one figure or table, as a TOML file.

    title, shows, paper, place, says                       texts for people; says: what the paper tells of its result
    ending = "dots"                                        the figure or table, one of `ENDINGS`
    references = ["drd-table1"]                            published numbers, files of reference/
    [options]                                              of the ending
    [[plans]]                                              fields of `prunebench.Plan`; profiles: only of these
    [[profiles.cpu]]                                       fields that replace those of every plan; one run for each

A run is a plan under one entry of a profile. A file is data: it names no Python code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console.configuration import refuse_code, toml_table
from ..errors import UserError
from ..spec import is_name, near
from . import PROFILES

if TYPE_CHECKING:
    from ..planning.plans import Plan

FOLDER = Path(__file__).parent / "recipes"
ENDINGS: dict[str, dict[str, str]] = {  # and the options of each: what one must be; "!": it must be given
    "tsne": {"scorer": "a text!"},
    "quintiles": {},
    "curves": {"margins": "a list of [scorer, over, selector, highest keep ratio]"},
    "dots": {},
    "sweep": {"option": "a text!", "axis": "a text"},
    "starts": {},
    "atlas": {"keep": "a share above 0 and below 1"},
    "pareto": {},
}
TEXTS = ("title", "shows", "paper", "place", "says")
_FIELDS: dict[str, Any] = {  # of a plan, as a file may give them
    **dict.fromkeys(("scorers", "selectors", "methods", "models"), str),
    **dict.fromkeys(("dataset", "reference", "budget", "policy", "pretrained", "track"), str),
    **dict.fromkeys(("label_noise", "imbalance", "corrupt"), str),
    **dict.fromkeys(("image_size", "seeds", "score_seeds", "reference_epochs", "steps", "epochs", "threads"), int),
    "keep": (int, float),
    "best_epoch": bool,
    "profiles": str,
}
_SEVERAL = ("scorers", "selectors", "methods", "models", "keep", "profiles")


@dataclass(frozen=True)
class Experiment:
    """What a recipe's file says."""

    name: str
    title: str
    shows: str
    paper: str  # arXiv:NUMBER, or empty
    place: str  # "Table 1", or empty
    says: str
    ending: str
    options: Mapping[str, Any]
    references: tuple[str, ...]
    plans: tuple[Mapping[str, Any], ...]
    profiles: Mapping[str, tuple[Mapping[str, Any], ...]]

    def runs(self, profile: str, dataset: str | None = None, **replaced: Any) -> list[Plan]:
        """The plans of a profile.

        Args:
            dataset: in place of the profile's first, with all that goes with that one; others of the profile are not
                run then.
            replaced: fields of every plan; None: as the recipe has it.

        Raises:
            UserError: the recipe has no such profile.
        """
        from ..planning.plans import Plan  # torch: not for those who only list recipes

        if profile not in self.profiles:
            raise UserError(
                f"{self.name} has no profile {profile!r}{near(profile, self.profiles)} (it has "
                f"{', '.join(self.profiles)})"
            )
        entries = self.profiles[profile]
        if dataset is not None:
            first = entries[0].get("dataset")
            entries = tuple({**entry, "dataset": dataset} for entry in entries if entry.get("dataset") == first)
        given = {name: value for name, value in replaced.items() if value is not None}
        plans = [
            {name: value for name, value in plan.items() if name != "profiles"}
            for plan in self.plans
            if profile in plan.get("profiles", self.profiles)
        ]
        found = [Plan(**_typed({**plan, **entry, **given})) for entry in entries for plan in plans]
        return list(dict.fromkeys(found))


def _typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


@cache
def names() -> tuple[str, ...]:
    """Of all recipes that come with prunebench, in the order of the paper's places."""
    return tuple(sorted((path.stem for path in FOLDER.glob("*.toml")), key=_place))


def _place(name: str) -> tuple[Any, ...]:
    return not name.startswith("drd-"), {"drd-windows": 1, "drd-cross-arch": 2}.get(name, 0), name


def named(name: str) -> Experiment:
    """The recipe of that name, or of a file ``NAME.toml`` of one's own.

    Raises:
        UserError: there is none, or the file is no recipe.
    """
    if name.endswith(".toml"):
        return read(Path(name))
    if name not in names():
        raise UserError(
            f"there is no recipe {name!r}{near(name, names())} (known: {', '.join(names())}; or name a file of your "
            "own, NAME.toml)"
        )
    return read(FOLDER / f"{name}.toml")


def read(path: Path) -> Experiment:
    """A recipe file.

    Raises:
        UserError: it cannot be read, or something in it is none of a recipe's; the message names it.
    """
    where = path.name
    if not is_name(path.stem):
        raise UserError(f"{where!r} is no name for a recipe: letters, digits, '-', '_' and '.', 64 at most, and .toml")
    table = toml_table(path, "a recipe")
    known = (*TEXTS, "ending", "options", "references", "plans", "profiles")
    _refuse_unknown(where, "a recipe", table, known)
    for name in (*TEXTS, "ending"):
        if not isinstance(table.get(name, ""), str):
            raise UserError(f"{where}: {name} must be a text, got {str(table[name])[:60]!r}")
    for name in ("title", "ending", "plans", "profiles"):
        if not table.get(name):
            raise UserError(
                f"{where}: {name} is missing: a recipe has a title, an ending, [[plans]] and [[profiles.cpu]]"
            )
    if table["ending"] not in ENDINGS:
        raise UserError(
            f"{where}: there is no ending {table['ending']!r}{near(table['ending'], ENDINGS)} (known: "
            f"{', '.join(ENDINGS)})"
        )
    options = table.get("options", {})
    if not isinstance(options, dict):
        raise UserError(f"{where}: options is a section: write [options] above them")
    _refuse_options(where, table["ending"], options)
    references = table.get("references", [])
    if not isinstance(references, list) or not all(isinstance(one, str) for one in references):
        raise UserError(f"{where}: references must be a list of texts")
    profiles = table["profiles"]
    if not isinstance(profiles, dict):
        raise UserError(f"{where}: profiles are sections: write [[profiles.cpu]] above the fields of each")
    _refuse_unknown(where, "profiles", profiles, PROFILES)
    return Experiment(
        name=path.stem,
        **{name: " ".join(table.get(name, "").split()) for name in TEXTS},
        ending=table["ending"],
        options=options,
        references=tuple(references),
        plans=_entries(where, "plans", table["plans"]),
        profiles={name: _entries(where, f"profiles.{name}", profiles[name]) for name in PROFILES if name in profiles},
    )


def _refuse_options(where: str, ending: str, options: Mapping[str, Any]) -> None:
    known, what = ENDINGS[ending], f"[options] of the ending {ending}"
    if not known and options:
        raise UserError(
            f"{where}: the ending {ending} has no options, got {', '.join(sorted(options))}: leave them out"
        )
    _refuse_unknown(where, what, options, known)
    for name, wanted in known.items():
        if name not in options and wanted.endswith("!"):
            raise UserError(f"{where}: {name} is missing in {what}: it must be {wanted[:-1]}")
        if name in options and not _is(wanted.rstrip("!"), options[name]):
            raise UserError(f"{where}: {name} in {what} must be {wanted.rstrip('!')}, got {str(options[name])[:60]!r}")
    named = [options["scorer"]] if "scorer" in options else []
    refuse_code([*named, *(text for one in options.get("margins", []) for text in one[:3])], where)


def _is(wanted: str, value: Any) -> bool:
    if wanted == "a text":
        return isinstance(value, str) and bool(value)
    if wanted.startswith("a share"):
        return _number(value) and 0 < value < 1
    return isinstance(value, list) and all(
        isinstance(one, list) and len(one) == 4 and all(isinstance(t, str) for t in one[:3]) and _number(one[3])
        for one in value
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _entries(where: str, name: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise UserError(f"{where}: {name} must be a list of tables: write [[{name}]] above each")
    for entry in value:
        _refuse_unknown(where, name, entry, _FIELDS)
        for field, given in entry.items():
            many = given if field in _SEVERAL and isinstance(given, list) else [given]
            kinds = _FIELDS[field]
            right = all(isinstance(one, kinds) and (kinds is bool or not isinstance(one, bool)) for one in many)
            if not right or (field in _SEVERAL) != isinstance(given, list):
                raise UserError(f"{where}: {field} in {name} must be {_wanted(field)}, got {str(given)[:60]!r}")
            if field in ("scorers", "selectors", "methods"):
                refuse_code(given, where)
            if field == "profiles":
                _refuse_unknown(where, f"{field} of {name}", dict.fromkeys(given), PROFILES)
    return tuple(value)


def _wanted(field: str) -> str:
    kind = {str: "text", int: "whole number", bool: "true or false"}.get(_FIELDS[field], "number")
    if field in _SEVERAL:
        return f"a list of {kind}s"
    return kind if kind == "true or false" else f"a {kind}"


def _refuse_unknown(where: str, what: str, table: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any]) -> None:
    for name in table:
        if name not in known:
            raise UserError(f"{where}: {what} has no {name!r}{near(name, known)} (known: {', '.join(sorted(known))})")

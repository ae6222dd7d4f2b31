"""The JSON Schemas that bundles keep to, those of `prunebench/schemas` that strangers' files are held to."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from ..errors import VerifyError
from ..terminal import clean

SCHEMAS = ("manifest", "trials", "selections", "scores", "reproduced")
_LONGEST = 160  # characters of what a message repeats


def schema(name: str) -> dict[str, Any]:
    """The schema of a kind of file."""
    return json.loads(files("prunebench").joinpath(f"schemas/{name}.json").read_text(encoding="utf-8"))


def refuse_unlike(name: str, found: Any) -> None:
    """Raises:
    VerifyError: it does not keep to the schema; the first place where it does not is named.
    """
    wrong = next(_validator(name).iter_errors(found), None)
    if wrong is not None:
        place = "/".join(str(part) for part in wrong.absolute_path)[:_LONGEST] or "it"
        raise VerifyError(f"does not keep to the schema {name}.json: {clean(place)}: {clean(wrong.message[:_LONGEST])}")


@cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator  # 0.1 s: not for those who check no bundle

    return Draft202012Validator(schema(name))

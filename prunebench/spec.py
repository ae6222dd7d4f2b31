"""A method's text is its identity: one small grammar, and signatures read without importing.

spec  := name ["(" arg {"," arg} ")"]        name := [distribution "/"] word
arg   := word "=" value | spec               value := Python literal | bare word
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import UserError

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_SPEC = re.compile(rf"\s*(?:(?P<distribution>{NAME})/)?(?P<name>{NAME})\s*(?:\((?P<args>.*)\))?\s*", re.DOTALL)
_OPTION = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=(?!=)(?P<value>.*)", re.DOTALL)
_BARE = re.compile(r"[A-Za-z_][\w./:+-]*")
_LONGEST = 4_000  # characters; nobody types more


CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # names a function in a module: `resolve` imports it


def is_name(text: str) -> bool:
    """Whether a record may bear this name."""
    return re.fullmatch(NAME, text) is not None


@dataclass(frozen=True)
class Spec:
    """What a text asks for, before anything is looked up."""

    name: str
    distribution: str | None = None
    inner: Spec | None = None  # combinators only
    options: Mapping[str, Any] = field(default_factory=dict)


def parse(text: str) -> Spec:
    """``"ccs(cutoff=0.3)"`` -> Spec. ``folder:DIR`` is sugar for ``folder(path="DIR")``.

    Raises:
        UserError: the text is not of the grammar.
    """
    if not isinstance(text, str):
        raise UserError(f"a method is named by a text such as 'aum', got {text!r}")
    if len(text) > _LONGEST:
        raise UserError(f"the text of a method may have {_LONGEST} characters, this one has {len(text)}")
    if text.startswith("folder:"):
        return Spec("folder", options={"path": text.removeprefix("folder:")})
    match = _SPEC.fullmatch(text)
    if match is None:
        several = "; for several methods give the option again" if "," in text.partition("(")[0] else ""
        raise UserError(
            f"cannot read {text!r}: write NAME or NAME(option=value, ...), for example ccs(cutoff=0.3){several}"
        )
    inner, options = _arguments(text, match["args"] or "")
    return Spec(match["name"], match["distribution"], inner, options)


def _arguments(text: str, args: str) -> tuple[Spec | None, dict[str, Any]]:
    inner: Spec | None = None
    options: dict[str, Any] = {}
    for arg in _split(text, args):
        option = _OPTION.fullmatch(arg)
        if option is None:
            if inner is not None or options:
                raise UserError(f"cannot read {text!r}: one method may stand inside another, before its options")
            inner = parse(arg.strip())
        elif option["name"] in options:
            raise UserError(f"cannot read {text!r}: option {option['name']} is given twice")
        else:
            options[option["name"]] = _value(text, option["value"].strip())
    return inner, options


def _split(text: str, args: str) -> list[str]:
    """Cut at the commas that stand outside brackets and quotes."""
    parts, depth, quote, start, escaped = [], 0, "", 0, False
    for i, char in enumerate(args):
        if escaped:
            escaped = False
        elif quote:
            escaped = char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth < 0:
                break
        elif char == "," and depth == 0:
            parts.append(args[start:i])
            start = i + 1
    if depth or quote:
        raise UserError(f"cannot read {text!r}: a bracket or a quotation mark is not closed")
    parts.append(args[start:])
    if parts == [""] or (len(parts) == 1 and not parts[0].strip()):
        return []
    if any(not part.strip() for part in parts):
        raise UserError(f"cannot read {text!r}: something is missing beside a comma")
    return parts


def _value(text: str, value: str) -> Any:
    if _BARE.fullmatch(value) and value not in ("True", "False", "None"):
        return value
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise UserError(f"cannot read {value!r} in {text!r}: a number, a word or a quoted text is expected") from None
    if not _plain(found):
        raise UserError(f"cannot read {value!r} in {text!r}: numbers, texts, True, False, None and tuples are allowed")
    return tuple(found) if isinstance(found, list) else found


def _plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_plain(v) for v in value)
    if isinstance(value, float):
        return value == value and value not in (float("inf"), float("-inf"))
    return value is None or isinstance(value, (bool, int, str))


def write(name: str, options: Mapping[str, Any], inner: str | None = None) -> str:
    """The canonical text: inner method first, then the options in the order given."""
    args = [inner] if inner is not None else []
    args += [f"{key}={value!r}" for key, value in options.items()]
    return f"{name}({', '.join(args)})"


@dataclass(frozen=True)
class Signature:
    """What a method is given (before ``*``), and its options (after) with their defaults."""

    inputs: tuple[str, ...]
    options: Mapping[str, Any]
    doc: str = ""
    defaulted: tuple[str, ...] = ()  # inputs with a default, which methods may not have
    numbers: frozenset[str] = frozenset()  # options annotated as numbers, which take no text


def signature_of(fn: Callable[..., Any] | str) -> Signature | None:
    """The signature of a callable, or of ``"package.module:name"`` by reading the file, without importing it.

    Returns None where the file cannot tell (a name that is not a plain ``def`` there); that is checked when the method
    is first resolved.

    Raises:
        ValueError: the signature breaks the rules for methods; the message says how.
        LookupError: there is no such module.
    """
    if callable(fn):
        return _from_inspect(fn)
    module, _, name = fn.partition(":")
    if not name:
        raise ValueError(f"{fn!r} is not of the form 'package.module:name'")
    node = _definitions(source_of(module)).get(name)
    return None if node is None else _from_ast(node)


def module_doc(fn: Callable[..., Any] | str) -> str:
    """What the module of a method says of it: of a lazy reference by reading the file, without importing it.

    Raises:
        LookupError: there is no such module.
    """
    if callable(fn):
        module = inspect.getmodule(fn)
        return (inspect.getdoc(module) if module else "") or ""
    path = source_of(fn.partition(":")[0])
    return ast.get_docstring(_parsed(path)) or "" if path.suffix == ".py" else ""


def resolve(fn: Callable[..., Any] | str) -> Callable[..., Any]:
    """The callable itself; a lazy reference is imported now.

    Raises:
        LookupError: the module or the name does not exist.
    """
    if callable(fn):
        return fn
    module, _, name = fn.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise LookupError(f"module {module!r} has no {name!r}") from None


def source_of(module: str) -> Path:
    """The file of a module, which is not imported.

    Raises:
        LookupError: there is no such module.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError as missing:
        raise LookupError(f"there is no module {module!r} ({missing})") from None
    if spec is None or not spec.origin:
        raise LookupError(f"there is no module {module!r}")
    return Path(spec.origin)


@lru_cache(maxsize=256)
def _definitions(path: Path) -> dict[str, ast.FunctionDef]:
    if path.suffix != ".py":
        return {}
    return {node.name: node for node in _parsed(path).body if isinstance(node, ast.FunctionDef)}


@lru_cache(maxsize=256)
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _from_ast(node: ast.FunctionDef) -> Signature:
    a = node.args
    if a.vararg or a.kwarg:
        raise ValueError(f"{node.name} takes *args or **kwargs: name every input and every option")
    options = {}
    for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True):
        if default is None:
            raise ValueError(f"{node.name}: option {arg.arg} needs a default")
        try:
            options[arg.arg] = ast.literal_eval(default)
        except (ValueError, TypeError, SyntaxError):
            raise ValueError(f"{node.name}: the default of option {arg.arg} must be a literal") from None
    inputs = tuple(x.arg for x in (*a.posonlyargs, *a.args))
    defaulted = inputs[len(inputs) - len(a.defaults) :]
    numbers = frozenset(x.arg for x in a.kwonlyargs if x.annotation and _is_number(ast.unparse(x.annotation)))
    return Signature(inputs, options, ast.get_docstring(node) or "", defaulted, numbers)


def _is_number(annotation: Any) -> bool:
    """Whether an annotation says int or float, maybe None, and nothing else."""
    told = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return {part.strip() for part in told.split("|")} <= {"int", "float", "None"}


def _from_inspect(fn: Callable[..., Any]) -> Signature:
    inputs, defaulted, options, numbers = [], [], {}, set()
    for p in inspect.signature(fn).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ValueError(f"{fn.__name__} takes *args or **kwargs: name every input and every option")
        if p.kind is not p.KEYWORD_ONLY:
            if p.default is not p.empty:
                defaulted.append(p.name)
            inputs.append(p.name)
        elif p.default is p.empty:
            raise ValueError(f"{fn.__name__}: option {p.name} needs a default")
        elif not _plain(p.default):
            raise ValueError(f"{fn.__name__}: the default of option {p.name} must be a literal")
        else:
            options[p.name] = p.default
            if p.annotation is not p.empty and _is_number(p.annotation):
                numbers.add(p.name)
    return Signature(tuple(inputs), options, inspect.getdoc(fn) or "", tuple(defaulted), frozenset(numbers))


def bind(
    options: Mapping[str, Any], given: Mapping[str, Any], what: str, numbers: Collection[str] = ()
) -> dict[str, Any]:
    """All options in signature order, the given ones coerced to the type of their default.

    Raises:
        UserError: an unknown option (near ones are suggested), a value of another type, or text for one of ``numbers``.
    """
    for name in given:
        if name not in options:
            known = ", ".join(options) or "none"
            raise UserError(f"{what} has no option {name!r}{near(name, options)} (its options: {known})")
        if name in numbers and isinstance(given[name], str):
            raise UserError(f"option {name} of {what} must be a number, got {given[name]!r}")
    return {name: _coerce(given.get(name, default), default, name, what) for name, default in options.items()}


def _coerce(value: Any, default: Any, name: str, what: str) -> Any:
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
    elif isinstance(default, float):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if value is None or isinstance(value, str):  # "search", "auto": the method decides
            return value
    elif isinstance(default, int):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer():
            return int(value)
    else:
        return value
    raise UserError(f"option {name} of {what} must be like its default {default!r}, got {value!r}")


def near(name: str, known: Any) -> str:
    """``", did you mean 'x'?"`` or nothing."""
    import difflib

    folded = {str(k).casefold(): str(k) for k in known}
    close = [folded[k] for k in difflib.get_close_matches(name.casefold(), list(folded), n=2, cutoff=0.5)]
    return f", did you mean {' or '.join(repr(c) for c in close)}?" if close else ""

"""Denoisers: the small protocol, and the user's own objects that speak it.

Anything with these four members can be scored with, ``drd(model="package.module:factory")``; the factory is called
with the tuple of class names.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from prunebench import PrunebenchError, UserError

from .configs import reason, whole

FINITE = "give another model=, or let it run in float32 (a factory's precision='float32', or --device cpu)"
MEMBERS = ("abar", "predict_noise", "encode", "decode")


class Denoiser(Protocol):
    """A class-conditional noise predictor on pictures or latents z.

    ``abar (T+1,)``, abar[0] = 1, is the schedule it was trained for; t indexes it: z_t has signal sqrt(abar[t]).
    Optional members: an integer ``size``, the side of the pictures it wants (without it, the data set's own);
    ``conditional = False`` where it ignores the class; ``identity``, a dict of plain JSON that tells its weights apart.
    """

    abar: Tensor

    def predict_noise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x_t (B, ...) float32; t int64 (1,) in 1..T; c int64 (1,) or (B,), class index of the data set -> (B, ...)."""

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> z (B, ...) float32."""

    def decode(self, z: Tensor) -> Tensor:
        """z (B, ...) -> (B, 3, S, S) float in [0, 1]."""


class CheckedDenoiser:
    """A user's denoiser, whose shapes are looked at in every call: a wrong one could broadcast in silence."""

    def __init__(self, denoiser: Any, name: str) -> None:
        self.denoiser, self.name = denoiser, name
        self.abar: Tensor = denoiser.abar

    def __getattr__(self, member: str) -> Any:
        return getattr(self.__dict__["denoiser"], member)  # size, conditional, identity: where it has them

    def predict_noise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """As the denoiser does, with the shape of x_t.

        Raises:
            ValueError: another shape, or no floats.
        """
        eps_hat = self.denoiser.predict_noise(x_t.clone(), t, c)  # it may work in place
        right = isinstance(eps_hat, Tensor) and eps_hat.shape == x_t.shape and eps_hat.is_floating_point()
        return self._returned("predict_noise", eps_hat, right, f"floats of the shape of x_t {tuple(x_t.shape)}")

    def encode(self, pixels: Tensor) -> Tensor:
        """As the denoiser does, one float32 z per picture.

        Raises:
            ValueError: another number of them, or another type.
        """
        z = self.denoiser.encode(pixels)
        right = isinstance(z, Tensor) and z.dim() >= 2 and len(z) == len(pixels) and z.dtype == torch.float32
        return self._returned("encode", z, right, f"float32 ({len(pixels)}, ...) for pictures {tuple(pixels.shape)}")

    def decode(self, z: Tensor) -> Tensor:
        """As the denoiser does, one RGB picture per z.

        Raises:
            ValueError: another shape.
        """
        pictures = self.denoiser.decode(z)
        right = isinstance(pictures, Tensor) and pictures.dim() == 4 and pictures.shape[:2] == (len(z), 3)
        return self._returned("decode", pictures, right, f"({len(z)}, 3, S, S) for z {tuple(z.shape)}")

    def _returned(self, member: str, found: Any, right: bool, expected: str) -> Any:
        if not right:
            raise ValueError(f"drd: {member} of {self.name} must return {expected}, got {described(found)}")
        return found


def described(found: Any) -> str:
    """What was found, for a message: '(2, 3) float32' or the type of something else."""
    if isinstance(found, Tensor):
        return f"{tuple(found.shape)} {str(found.dtype).removeprefix('torch.')}"
    return type(found).__name__


def load_factory(text: str, classes: Sequence[str]) -> CheckedDenoiser:
    """The denoiser that ``package.module:factory`` makes for these classes.

    Raises:
        UserError: it cannot be imported or called, fails, or makes something that does not keep the protocol.
    """
    module, _, name = text.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever importing a stranger's module runs into
        raise UserError(
            f"drd: the denoiser factory {text!r} cannot be imported ({reason(error)}); give package.module:factory of "
            "a module on PYTHONPATH"
        ) from error
    try:
        denoiser = factory(tuple(classes))
    except PrunebenchError:
        raise
    except Exception as error:
        if (
            isinstance(error, TypeError) and error.__traceback__ and error.__traceback__.tb_next is None
        ):  # not inside it
            told = f"must take the tuple of class names alone ({reason(error)})"
        else:
            told = (
                f"failed ({type(error).__name__}: {reason(error)}); mend it, and call it with the class names to try it"
            )
        raise UserError(f"drd: the denoiser factory {text!r} {told}") from error
    check_members(denoiser, f"the denoiser made by {text!r}")
    return CheckedDenoiser(denoiser, repr(text))


def check_members(denoiser: Any, whose: str) -> None:
    """Refuse an object whose members are not those of a `Denoiser`.

    Raises:
        UserError: naming the member, what it must be and what it is.
    """
    lacking = [member for member in MEMBERS if not hasattr(denoiser, member)]
    if lacking:
        raise UserError(f"drd: {whose} lacks {', '.join(lacking)}; give it these, see the protocol in docs/drd.md")
    for member in MEMBERS[1:]:
        if not callable(getattr(denoiser, member)):
            raise UserError(f"drd: {whose} must have a method {member}, got {described(getattr(denoiser, member))}")
    check_abar(denoiser.abar, whose)
    size, identity = getattr(denoiser, "size", 1), getattr(denoiser, "identity", {})
    if not whole(size):
        raise UserError(f"drd: {whose} must have a size in whole pixels, at least 1, or none, got {size!r}")
    if not isinstance(getattr(denoiser, "conditional", True), bool):
        raise UserError(f"drd: {whose} must have conditional True or False, or none, got {denoiser.conditional!r}")
    if not isinstance(identity, dict) or not plain(identity):
        raise UserError(
            f"drd: {whose} must have an identity that is a dict of plain JSON (texts, numbers, lists), or none, got "
            f"{identity!r:.80}"
        )


def plain(value: Any) -> bool:
    """Whether JSON holds it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def check_abar(abar: Any, whose: str) -> None:
    """Refuse what is not a noise schedule: abar (T+1,), float32 or float64, from 1 strictly down, never 0.

    Raises:
        UserError: naming what is wrong with it.
    """
    if not isinstance(abar, Tensor) or abar.dim() != 1 or len(abar) < 2:
        raise UserError(f"drd: {whose} must have abar of shape (T+1,), got {described(abar)}")
    if abar.dtype not in (torch.float32, torch.float64):
        raise UserError(f"drd: {whose} must have abar in float32 or float64, got {described(abar)}")
    if not abs(float(abar[0]) - 1) <= 1e-6:  # NaN as well
        raise UserError(f"drd: {whose} must have abar[0] = 1, got {float(abar[0]):g}")
    rising = ~(abar[1:] < abar[:-1])  # true for NaN as well
    if bool(rising.any()):
        t = int(rising.nonzero()[0]) + 1
        raise UserError(
            f"drd: {whose} must have a falling abar, but abar[{t}] = {float(abar[t]):g} comes after "
            f"abar[{t - 1}] = {float(abar[t - 1]):g}"
        )
    if float(abar[-1]) <= 0:
        raise UserError(f"drd: {whose} must have abar above 0, got {float(abar[-1]):g} at its end")

"""`prunebench verify`: everything that can be known of bundles, alone, beside each other, beside data, by training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .. import registry as plugins
from ..errors import UserError, VerifyError
from ..interop.files import refuse_unplaceable
from .against_data import Data, check_data, check_selected_again, load_all
from .claims import check_claims
from .containers import bundles_in, is_bundle
from .contents import Bundle, open_bundle
from .numbers import check_numbers, check_subsets
from .replays import check_replays
from .reproduced import beside, read_reproduced, write_reproduced
from .retraining import check_trained_again
from .trainable import refuse_no_weights


def verify(
    path: str | Path,
    *,
    data: Data | None = None,
    retrain: int = 0,
    seed: int = 0,
    pretrained: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> list[Bundle]:
    """The bundle at ``path``, or all that lie in that folder, each with its verdict.

    Args:
        data: where the data lie that the bundles are held against; None: they are not, unless ``retrain`` is given.
        retrain: so many trials of each sound bundle are trained again; what came out is written beside the bundle.
        seed: of the draw of these trials.
        pretrained: what trials that began with pretrained weights begin with: a file of them, or "timm".
        say: is told of every training.

    Raises:
        UserError: no bundle there, data that are not here, a count or seed below 0, weights that are no file, no place
            for what is trained again.
    """
    if retrain < 0 or seed < 0:
        raise UserError(f"--retrain and --seed must be at least 0, got {retrain} and {seed}")
    refuse_no_weights(pretrained)
    place = Path(path)
    bundles = read(_paths(place))
    if not bundles:
        raise UserError(f"there is no bundle in {place}: give a folder or a .zip that `prunebench submit` wrote")
    for bundle in filter(_sound, bundles) if retrain else ():
        refuse_unplaceable(beside(bundle.path))
    if data is not None or retrain:
        harnesses = load_all(bundles, data or Data(), plugins.installed())
        for bundle in filter(_sound, bundles):
            check_data(bundle, harnesses)
            if _sound(bundle):
                check_selected_again(bundle, harnesses)
        for bundle in filter(_sound, bundles) if retrain else ():
            found = check_trained_again(bundle, harnesses, retrain, seed, say, pretrained)
            if found:
                say(f"written: {write_reproduced(bundle.path, bundle.verdict.manifest_sha256, found)}")
    return bundles


def read(paths: Sequence[Path]) -> list[Bundle]:
    """Bundles, each checked by itself and beside the others; without data.

    Raises:
        UserError: no bundle there.
    """
    bundles, registry = [open_bundle(path) for path in paths], plugins.installed()
    for bundle in filter(_sound, bundles):
        check_subsets(bundle)
        check_claims(bundle, registry)
        check_numbers(bundle)
    check_replays([bundle for bundle in bundles if _sound(bundle)], registry)
    return bundles


def read_sound(places: Sequence[Path]) -> list[Bundle]:
    """The bundles at ``places``, and all that lie in those that are folders, with what was trained again of them.

    All are read together, so that none stands for another.

    Raises:
        UserError: no bundle there.
        VerifyError: one is not sound, or a trial of it was trained again and came out otherwise.
    """
    bundles = read([path for place in places for path in _paths(place)])
    for bundle in bundles:
        verdict = bundle.verdict
        if not verdict.sound:
            raise VerifyError(f"{verdict.bundle} is not sound: {verdict.refusals[0]}; leave it out, or mend it")
        bundle.again = read_reproduced(bundle.path, verdict.manifest_sha256)
        for id, found in bundle.again.items():
            if found["agreement"] == "apart":
                raise VerifyError(
                    f"{verdict.bundle} is not sound: trial {id[:12]} reports {found['reported']:.4f} and came out at "
                    f"{found['reproduced']:.4f} when it was trained again; leave it out"
                )
    return bundles


def _paths(place: Path) -> list[Path]:
    return [place] if is_bundle(place) or not place.is_dir() else bundles_in(place)


def _sound(bundle: Bundle) -> bool:
    return bundle.verdict.sound

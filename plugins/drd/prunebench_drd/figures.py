"""What DRD shows: sheets of pictures, and the curve of eq. (9) of every class. Figures are written, never shown."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from prunebench import UserError

INK, QUIET, MARK = "#222222", "#888888", "#c0392b"
TILE = 0.62  # inches a side
LETTER = 0.068  # inches of a letter in a title, in the mean
MOST = 40  # classes in one figure
FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a sheet: tiles (3, S, S) in [0, 1] or None for a gap, and a caption over any of them."""

    name: str
    tiles: Sequence[Tensor | None]
    captions: Sequence[str] = ()


def save_sheet(path: Path, title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """A grid of pictures with named columns and rows; long names and titles widen it."""
    captioned = any(any(row.captions) for row in rows)
    high, widths = TILE * (1.28 if captioned else 1.06), _widths(rows)
    left, tiles = 0.3 + LETTER * max(15, *(len(row.name) for row in rows)), TILE * 1.06 * sum(widths)
    wide = max(left + tiles, 0.3 + LETTER * max(len(line) for line in title.splitlines()))
    figure = _figure(wide, 0.9 + high * len(rows))
    grid = figure.add_gridspec(
        len(rows), len(widths), width_ratios=widths, left=(left - 0.1) / wide, right=(left + tiles) * 0.99 / wide,
        bottom=0.02, top=1 - 0.72 / figure.get_figheight(), wspace=0.06, hspace=0.3 if captioned else 0.06,
    )  # fmt: skip
    for i, row in enumerate(rows):
        for j, tile in enumerate(row.tiles):
            axes = figure.add_subplot(grid[i, j])
            axes.set_axis_off()
            if tile is not None:
                axes.imshow(tile.permute(1, 2, 0).float().cpu().numpy(), interpolation="nearest", vmin=0, vmax=1)
            above = {"ha": "center", "transform": axes.transAxes}
            if i == 0 and j < len(columns) and columns[j]:
                axes.text(0.5, 1.42 if captioned else 1.12, columns[j], fontsize=7, **above)
            if j < len(row.captions) and row.captions[j]:
                axes.set_title(row.captions[j], fontsize=6, color=QUIET, pad=1.5)
            if j == 0:
                axes.text(-0.15, 0.5, plainly(row.name), ha="right", va="center", transform=axes.transAxes, fontsize=8)
    told = plainly("\n".join(drawable(line) for line in title.splitlines()))
    figure.text(0.1 / wide, 1 - 0.06 / figure.get_figheight(), told, fontsize=9, color=INK, va="top")
    _save(figure, path)


def short_names(names: Sequence[str], longest: int = 16) -> list[str]:
    """Class names that fit beside a row and stay distinct: cut at the end, else in the middle, else numbered."""
    plain = [drawable(name) for name in names]
    plain = [f"{c}: {name}" if "?" in name else name for c, name in enumerate(plain)]
    half = longest // 2
    cuts: tuple[Callable[[int, str], str], ...] = (
        lambda _, name: name[: longest - 1] + "…",
        lambda _, name: name[: half - 1] + "…" + name[-half:],
        lambda c, name: f"{c}: {name}"[: longest - 1] + "…",
    )
    for cut in cuts:
        found = [name if len(name) <= longest else cut(c, name) for c, name in enumerate(plain)]
        if len(set(found)) == len(found):
            return found
    return [f"{c}: {name}"[:longest] for c, name in enumerate(plain)]


def drawable(text: str) -> str:
    """On one line, with a question mark for every letter that matplotlib's own font lacks."""
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(letter if ord(letter) in glyphs else "?" for letter in " ".join(text.split()))


def plainly(text: str) -> str:
    """With dollars that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def _widths(rows: Sequence[Row]) -> list[float]:
    """One tile wide, a column of gaps a fifth of it."""
    columns = range(max(len(row.tiles) for row in rows))
    return [1.0 if any(j < len(row.tiles) and row.tiles[j] is not None for row in rows) else 0.2 for j in columns]


def save_curves(path: Path, title: str, classes: Sequence[str], details: Any) -> None:
    """The curve of every class over its candidate steps, t* marked; from the details of `searched_steps`.

    Dark points are those judged by the most noises, among which t* is chosen.
    """
    names = ("candidates", "curve", "curve_noises", "t_star")
    steps, curves, used, found = (np.asarray(details[name]) for name in names)
    shown = short_names(classes)[:MOST]
    if len(classes) > MOST:
        title = f"{title}\nthe first {MOST} of {len(classes)} classes"
    across = min(5, len(shown))
    down = -(-len(shown) // across)
    figure = _figure(max(1.9 * across + 0.5, 0.3 + LETTER * max(map(len, title.splitlines()))), 1.5 * down + 0.9)
    grid = figure.subplots(down, across, sharex=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.spines[["top", "right"]].set_visible(False)
        if place >= len(shown):
            axes.set_axis_off()
            continue
        seen, judged = used[place] > 0, used[place] == max(used[place].max(), 1)
        axes.plot(steps[seen], curves[place][seen], color=QUIET, linewidth=0.8, marker="o", markersize=2)
        axes.plot(steps[judged], curves[place][judged], color=INK, linewidth=0, marker="o", markersize=3)
        axes.axvline(found[place], color=MARK, linewidth=0.8)
        told = f"t* = {found[place]}" + ("" if seen.any() else ", no pictures")
        axes.set_title(f"{plainly(shown[place])}: {told}", fontsize=8)
        axes.set_ylim(0, None if (curves[place][seen] > 0).any() else 1)
        axes.set_xlim(steps[0] - 1, steps[-1] + 1)
        axes.locator_params(axis="y", nbins=4)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axes.tick_params(labelsize=6)
    figure.supxlabel("DDIM step t (0-based, of 50)", fontsize=8)
    figure.supylabel("|d log p(c | x_t) / dt|, nats per step", fontsize=8)
    figure.suptitle(plainly("\n".join(drawable(line) for line in title.splitlines())), fontsize=9)
    figure.tight_layout()
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150)
    FigureCanvasAgg(figure)
    return figure


def writable(path: Path) -> Path:
    """The path of a figure to be, its folder made.

    Raises:
        UserError: another format, or no place to write.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give --out the name of a figure in it, such as {path / 'figure.png'}")
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"a figure is written as {', '.join(FORMATS)}, not as {path.name!r}: give another --out")
    folder_for(path.parent)
    return path


def folder_for(folder: Path) -> Path:
    """The folder, made where it is missing.

    Raises:
        UserError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}): give another --out") from error


def _save(figure: Any, path: Path) -> None:
    figure.savefig(writable(path), metadata={"Software": None} if path.suffix == ".png" else None)

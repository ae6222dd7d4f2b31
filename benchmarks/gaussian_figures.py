"""The pictures of `gaussian_worlds`: likelihood, where it fails, and the loss of information."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaussian_cases import ABAR, CASES, DIMENSIONS, DRAWS, LEVELS, SIGMA, STARTS, WINDOW
from gaussian_measurements import CLASSES, SHOWN, WIDE
from prunebench_drd.mixtures import gaussian_agreement
from torch import Tensor

INK, QUIET, MARK = "#222222", "#8a8a8a", "#c0392b"
BLUES = ("#a6c8e0", "#6aa3cc", "#2f75aa", "#0b3d66")


def canvas(wide: float, high: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, high), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def dressed(axes: Any, title: str) -> Any:
    """Axes with the window shaded."""
    axes.axvspan(WINDOW[0] - 0.5, WINDOW[-1] + 0.5, color="#f3ead3", zorder=0, linewidth=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.tick_params(labelsize=9, colors=INK)
    return axes


def likelihood_figure(found: dict[str, Any], cases: Sequence[str], path: Path) -> None:
    """Spearman against the starting step: a column for each case, one draw above, the mean of all below."""
    figure = canvas(9.0, 5.2)
    grid = figure.subplots(2, len(cases), sharex=True, sharey=True)
    for row, draws in zip(grid, ("1", str(DRAWS)), strict=True):
        for axes, case in zip(row, cases, strict=True):
            dressed(axes, CASES[case].title if draws == "1" else "")
            by_dimension(axes, found[case], draws)
            if case == "one gaussian":
                r = [gaussian_agreement(SIGMA, ABAR, LEVELS, step, int(draws)) for step in STARTS]
                as_rho = [6 / math.pi * math.asin(x / 2) for x in r]  # of two normal variables
                axes.plot(STARTS, as_rho, color=MARK, linestyle="--", linewidth=1.3, label="closed form")
            axes.set_ylim(0, 1.02)
        row[0].set_ylabel("one draw" if draws == "1" else f"mean of {draws} draws", fontsize=10)
    grid[0][0].legend(frameon=False, fontsize=8, loc="upper left", ncols=2, borderaxespad=0.2, columnspacing=1)
    captions(figure, f"A single draw follows the likelihood weakly, the mean of {DRAWS} well")
    save(figure, path)


def failures_figure(found: dict[str, Any], cases: Sequence[str], path: Path) -> None:
    """The cases in which more draws do not help, mean of all draws."""
    figure = canvas(9.0, 3.5)
    row = figure.subplots(1, len(cases), sharex=True, sharey=True)
    for axes, case in zip(row, cases, strict=True):
        dressed(axes, CASES[case].title)
        axes.axhline(0, color=QUIET, linewidth=0.6)
        by_dimension(axes, found[case], str(DRAWS))
        axes.set_ylim(-0.4, 1.02)
    row[-1].legend(frameon=False, fontsize=8, loc="lower left", ncols=2, columnspacing=1)
    captions(figure, f"Where deviation does not follow likelihood, even with {DRAWS} draws")
    save(figure, path)


def by_dimension(axes: Any, found: dict[str, Any], draws: str) -> None:
    for size, colour in zip(DIMENSIONS, BLUES, strict=True):
        axes.plot(STARTS, found[str(size)][draws], color=colour, marker="o", markersize=3, label=f"D = {size}")
    axes.set_xlim(0, 50)


def captions(figure: Any, title: str) -> None:
    figure.supxlabel("DDIM step from which the example is rebuilt (of 50); shaded: SNR in [0.05, 1]", fontsize=10)
    figure.supylabel("Spearman with −log q(x | c)", fontsize=10)
    figure.suptitle(title, fontsize=12, color=INK)


LINES = {
    "truth": ("truth", INK, "-", 2.4),
    "sum, inside": ("sum, inside", "#2f75aa", "-", 1.4),
    "sum, outside": ("sum, outside", "#0b3d66", ":", 2.2),
    "mean, inside": ("mean, inside", "#e08a7d", "-", 1.4),
    "mean, outside": ("mean, outside", MARK, ":", 2.2),
}


def information_figure(shown: dict[str, Tensor], path: Path) -> None:
    """Left: the true curve, mean over classes, and the readings of eq. 9. Right: the posteriors they come from."""
    figure = canvas(9.0, 4.1)
    left, right = figure.subplots(1, 2)
    part = slice(WINDOW[0] - 1, WINDOW[-1])
    dressed(left, "Loss of information per step")
    top = 1.3 * float(shown["truth"].mean(dim=0).max())
    for name, (label, colour, style, width) in LINES.items():
        curve = shown[name].mean(dim=0)
        at = int(curve[part].argmax()) + WINDOW[0]
        left.plot(WIDE, curve, color=colour, linestyle=style, linewidth=width, label=f"{label}: {at}")
        left.plot([at], [curve[at - 1]], color=colour, marker="v", markersize=8, markeredgecolor="white", zorder=5)
    left.set_ylim(0, top)
    left.set_ylabel("nats per step", fontsize=10)
    left.legend(frameon=False, fontsize=8, title="curve: its t*", title_fontsize=8, loc="upper right")
    left.text(4.6, 0.93 * top, "false rise\nof eq. 8", fontsize=8, color=QUIET, va="center")
    dressed(right, "Mean log p of the own class")
    for name, label, colour in (
        ("exact", "exact", INK),
        ("sum", "eq. 8, sum", "#2f75aa"),
        ("mean", "eq. 8, mean", MARK),
    ):
        curve = shown[name].mean(dim=0)
        right.plot(range(len(curve)), curve, color=colour, linewidth=2.4 if name == "exact" else 1.5, label=label)
    right.axhline(-math.log(CLASSES), color=QUIET, linewidth=0.8, linestyle="--")
    right.text(49, -math.log(CLASSES) - 0.03, "chance", fontsize=8, color=QUIET, ha="right", va="top")
    right.set_ylabel("nats", fontsize=10)
    right.set_ylim(-math.log(CLASSES) - 0.15, 0.08)
    right.legend(frameon=False, fontsize=8, loc="upper right")
    figure.supxlabel("DDIM step t (of 50); shaded: SNR in [0.05, 1], where t* is searched", fontsize=10)
    figure.suptitle(
        f"Eq. 9 finds t* late with the summed error, early with the averaged one (D = {SHOWN[0]}, {SHOWN[1]:g}σ apart)",
        fontsize=12,
    )
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    print(path, path.stat().st_size // 1024, "KB", flush=True)

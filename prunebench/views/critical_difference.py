"""Average ranks over data sets, and which methods they do not tell apart (Demsar 2006)."""

from __future__ import annotations

from dataclasses import dataclass

from ..leaderboard.ranking import Board


@dataclass(frozen=True)
class RankDiagram:
    """The methods of one keep ratio, the best first."""

    heading: str
    keep: float
    data_sets: tuple[str, ...]
    methods: tuple[str, ...]  # labels
    average: tuple[float, ...]  # rank, 1 is best, mean over the data sets
    critical: float  # Nemenyi's critical difference at the 5 % level
    p: float  # of Friedman's test
    cliques: tuple[tuple[int, int], ...]  # (first, last) places of methods that it does not tell apart


def critical_differences(board: Board) -> tuple[RankDiagram, ...]:
    """A diagram per keep ratio that enough data sets have (`prunebench.leaderboard.friedman`)."""
    return tuple(
        RankDiagram(
            heading=f"{len(each.data_sets)} data sets · {each.conditions.get('model', '')}"
            + " · reported" * (each.conditions["source"] != "here"),
            keep=each.keep,
            data_sets=each.data_sets,
            methods=each.methods,
            average=each.average,
            critical=each.critical,
            p=each.p,
            cliques=each.cliques,
        )
        for each in board.ranks
    )

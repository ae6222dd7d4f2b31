"""The built-in scorers, one row each: name, which end is hard, what is watched, paper."""

from __future__ import annotations

from typing import Any, Literal

from prunebench import Scorer

from .papers import (
    AUM,
    CCS,
    DATA_DIET,
    DEEPCORE,
    DUAL,
    DYN_UNC,
    ELFS,
    FORGETTING,
    HERDING,
    KCENTER,
    MAPS,
    MODERATE,
    PROXY,
    SCALING,
    TDDS,
    ZCORE,
    Paper,
)


def scorer(name: str, hard: Literal["high", "low"], paper: Paper, fn: str = "", **fields: Any) -> Scorer:
    """The record of the method in the module of its name, or of ``module:function``."""
    place = f"prunebench_baselines.{fn or f'{name}:{name}'}"
    return Scorer(name, place, hard, paper=paper.where, bibtex=paper.bibtex, **{"definition": 1} | fields)


def dynamics(
    name: str, hard: Literal["high", "low"], watch: str | tuple[str, ...], paper: Paper, stream: str
) -> Scorer:
    """The record of a method that needs the history of training only, whose rows it adds up."""
    stream = f"prunebench_baselines.streaming:{stream}"
    return scorer(name, hard, paper, watch=watch, bytes_per_example=64, stream=stream)


SCORERS = (
    dynamics("forgetting", "high", "correct", FORGETTING, "Forgetting"),
    dynamics("el2n", "high", "el2n", DATA_DIET, "AtEpoch"),
    scorer("grand", "high", DATA_DIET),
    dynamics("aum", "low", "logit_margin", AUM, "Mean"),
    dynamics("accumulated_margin", "low", "probability_margin", CCS, "Total"),
    dynamics("entropy", "high", "entropy", PROXY, "AtEpoch"),
    dynamics("margin", "low", "top_margin", DEEPCORE, "AtEpoch"),
    dynamics("least_confidence", "high", ("true_probability", "probability_margin"), DEEPCORE, "LeastConfidence"),
    dynamics("loss", "high", "loss", CCS, "AtEpoch"),
    dynamics("correctness", "low", "correct", MAPS, "Total"),
    dynamics("confidence", "low", "true_probability", MAPS, "Mean"),
    dynamics("dyn_unc", "high", "true_probability", DYN_UNC, "DynUnc"),
    dynamics("tdds", "high", "prunebench_baselines.tdds:divergence", TDDS, "Tdds"),
    dynamics("dual", "high", "true_probability", DUAL, "Dual"),
    dynamics("first_learned", "high", "correct", FORGETTING, "FirstLearned"),
    dynamics("presentations_to_learn", "high", "correct", FORGETTING, "PresentationsToLearn"),
    scorer("moderate", "high", MODERATE, "moderate:class_distance", bytes_per_example=16384),
    scorer("kcenter", "low", KCENTER, "kcenter:kcenter_place", bytes_per_example=6144),
    scorer("herding", "high", HERDING, "herding:herding_place", bytes_per_example=8192),
    scorer("prototypicality", "high", SCALING, bytes_per_example=16384),
    scorer("zcore", "high", ZCORE, bytes_per_example=8192),
    scorer("elfs", "low", ELFS),
    scorer("random", "high", DEEPCORE, "uniform:random_score", bytes_per_example=16),
)

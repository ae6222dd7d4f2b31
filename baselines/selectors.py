"""The built-in selectors, one row each: name, what they rank, paper."""

from __future__ import annotations

from typing import Any, Literal

from prunebench import Selector

from .papers import (
    BWS,
    CCS,
    CRAIG,
    D2,
    DATA_DIET,
    DEEPCORE,
    DROP,
    DUAL,
    ELFS,
    GRADMATCH,
    HERDING,
    KCENTER,
    MODERATE,
    NO_FREE_LUNCH,
    SCALING,
    SUBMODULAR,
    Paper,
)


def selector(name: str, ranks: Literal["set", "class", "none"], paper: Paper, fn: str = "", **fields: Any) -> Selector:
    """The record of the method in the module of its name, or of ``module:function``."""
    place = f"prunebench_baselines.{fn or f'{name}:{name}'}"
    return Selector(name, place, ranks, paper=paper.where, bibtex=paper.bibtex, **{"definition": 1} | fields)


SELECTORS = (
    selector("random", "none", DEEPCORE, "uniform:random", bytes_per_example=64),
    selector("balanced", "none", DEEPCORE, "uniform:balanced", bytes_per_example=128),
    selector("hardest", "set", DATA_DIET, "extremes:hardest", bytes_per_example=64),
    selector("easiest", "set", SCALING, "extremes:easiest", bytes_per_example=64),
    selector("ccs", "set", CCS, bytes_per_example=128),
    selector("window", "set", DATA_DIET, bytes_per_example=128),
    selector("stratified", "set", CCS, bytes_per_example=128),
    selector("beta", "set", DUAL, bytes_per_example=128),
    selector("double_end", "set", ELFS),
    selector("double_end_oracle", "set", ELFS, "double_end:double_end_oracle", oracle=True),
    selector("moderate", "set", MODERATE, bytes_per_example=64),
    selector("bws", "class", BWS),
    selector("kcenter", "none", KCENTER, bytes_per_example=6144),
    selector("herding", "none", HERDING, bytes_per_example=8192),
    selector("facility_location", "none", SUBMODULAR, bytes_per_example=12288),
    selector("graph_cut", "none", SUBMODULAR, bytes_per_example=12288),
    selector("d2", "set", D2, bytes_per_example=4096),
    selector("craig", "none", CRAIG),
    selector("gradmatch", "none", GRADMATCH),
    selector("class_quota", "none", DROP),
    selector("mix_random", "set", NO_FREE_LUNCH),
    selector("per_class", "class", DEEPCORE),
)

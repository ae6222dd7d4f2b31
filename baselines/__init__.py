"""The built-in methods: one catalogue of records, read without importing the methods or torch."""

from __future__ import annotations

from prunebench import Scorer, Selector, hookimpl

_FORGETTING = """@inproceedings{toneva2019forgetting,
  title = {An Empirical Study of Example Forgetting during Deep Neural Network Learning},
  author = {Toneva, Mariya and Sordoni, Alessandro and Tachet des Combes, Remi and Trischler, Adam
            and Bengio, Yoshua and Gordon, Geoffrey J.},
  booktitle = {ICLR}, year = {2019}}"""
_DATA_DIET = """@inproceedings{paul2021datadiet,
  title = {Deep Learning on a Data Diet: Finding Important Examples Early in Training},
  author = {Paul, Mansheej and Ganguli, Surya and Dziugaite, Gintare Karolina},
  booktitle = {NeurIPS}, year = {2021}}"""
_AUM = """@inproceedings{pleiss2020aum,
  title = {Identifying Mislabeled Data using the Area Under the Margin Ranking},
  author = {Pleiss, Geoff and Zhang, Tianyi and Elenberg, Ethan and Weinberger, Kilian Q.},
  booktitle = {NeurIPS}, year = {2020}}"""
_CCS = """@inproceedings{zheng2023ccs,
  title = {Coverage-centric Coreset Selection for High Pruning Rates},
  author = {Zheng, Haizhong and Liu, Rui and Lai, Fan and Prakash, Atul},
  booktitle = {ICLR}, year = {2023}}"""
_MODERATE = """@inproceedings{xia2023moderate,
  title = {Moderate Coreset: A Universal Method of Data Selection for Real-world Data-efficient Deep Learning},
  author = {Xia, Xiaobo and Liu, Jiale and Yu, Jun and Shen, Xu and Han, Bo and Liu, Tongliang},
  booktitle = {ICLR}, year = {2023}}"""
_BWS = """@inproceedings{choi2024bws,
  title = {{BWS}: Best Window Selection Based on Sample Scores for Data Pruning across Broad Ranges},
  author = {Choi, Hoyong and Ki, Nohyun and Chung, Hye Won},
  booktitle = {ICML}, year = {2024}}"""
_DEEPCORE = """@inproceedings{guo2022deepcore,
  title = {DeepCore: A Comprehensive Library for Coreset Selection in Deep Learning},
  author = {Guo, Chengcheng and Zhao, Bo and Bai, Yanbing},
  booktitle = {DEXA}, year = {2022}}"""
_SCALING = """@inproceedings{sorscher2022beyond,
  title = {Beyond neural scaling laws: beating power law scaling via data pruning},
  author = {Sorscher, Ben and Geirhos, Robert and Shekhar, Shashank and Ganguli, Surya and Morcos, Ari S.},
  booktitle = {NeurIPS}, year = {2022}}"""

SCORERS = (
    Scorer(
        name="forgetting",
        fn="prunebench_baselines.forgetting:forgetting",
        hard="high",
        watch="correct",
        definition=1,
        bytes_per_example=64,
        paper="arXiv:1812.05159",
        bibtex=_FORGETTING,
    ),
    Scorer(
        name="el2n",
        fn="prunebench_baselines.el2n:el2n",
        hard="high",
        watch="el2n",
        definition=1,
        bytes_per_example=64,
        paper="arXiv:2107.07075",
        bibtex=_DATA_DIET,
    ),
    Scorer(
        name="aum",
        fn="prunebench_baselines.aum:aum",
        hard="low",
        watch="logit_margin",
        definition=1,
        bytes_per_example=64,
        paper="arXiv:2001.10528",
        bibtex=_AUM,
    ),
    Scorer(
        name="accumulated_margin",
        fn="prunebench_baselines.accumulated_margin:accumulated_margin",
        hard="low",
        watch="probability_margin",
        definition=1,
        bytes_per_example=64,
        paper="arXiv:2210.15809",
        bibtex=_CCS,
    ),
    Scorer(
        name="moderate",
        fn="prunebench_baselines.moderate:class_distance",
        hard="high",
        definition=1,
        paper="https://openreview.net/forum?id=7D5EECbOaf9",
        bibtex=_MODERATE,
    ),
    Scorer(
        name="random",
        fn="prunebench_baselines.uniform:random_score",
        hard="high",
        definition=1,
        bytes_per_example=16,
        paper="arXiv:2204.08499",
        bibtex=_DEEPCORE,
    ),
)

SELECTORS = (
    Selector(
        name="random",
        fn="prunebench_baselines.uniform:random",
        ranks="none",
        definition=1,
        bytes_per_example=64,
        paper="arXiv:2204.08499",
        bibtex=_DEEPCORE,
    ),
    Selector(
        name="balanced",
        fn="prunebench_baselines.uniform:balanced",
        ranks="none",
        definition=1,
        bytes_per_example=128,
        paper="arXiv:2204.08499",
        bibtex=_DEEPCORE,
    ),
    Selector(
        name="hardest",
        fn="prunebench_baselines.extremes:hardest",
        ranks="set",
        definition=1,
        bytes_per_example=64,
        paper="arXiv:2107.07075",
        bibtex=_DATA_DIET,
    ),
    Selector(
        name="easiest",
        fn="prunebench_baselines.extremes:easiest",
        ranks="set",
        definition=1,
        bytes_per_example=64,
        paper="arXiv:2206.14486",
        bibtex=_SCALING,
    ),
    Selector(
        name="ccs",
        fn="prunebench_baselines.ccs:ccs",
        ranks="set",
        definition=1,
        bytes_per_example=128,
        paper="arXiv:2210.15809",
        bibtex=_CCS,
    ),
    Selector(
        name="moderate",
        fn="prunebench_baselines.moderate:moderate",
        ranks="set",
        definition=1,
        bytes_per_example=64,
        paper="https://openreview.net/forum?id=7D5EECbOaf9",
        bibtex=_MODERATE,
    ),
    Selector(
        name="bws",
        fn="prunebench_baselines.bws:bws",
        ranks="class",
        definition=1,
        paper="arXiv:2406.03057",
        bibtex=_BWS,
    ),
    Selector(
        name="per_class",
        fn="prunebench_baselines.per_class:per_class",
        ranks="class",
        definition=1,
        paper="arXiv:2204.08499",
        bibtex=_DEEPCORE,
    ),
)


@hookimpl
def prunebench_scorers() -> tuple[Scorer, ...]:
    """The built-in scorers."""
    return SCORERS


@hookimpl
def prunebench_selectors() -> tuple[Selector, ...]:
    """The built-in selectors."""
    return SELECTORS

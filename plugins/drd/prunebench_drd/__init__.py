"""DRD as a prunebench plugin: the record only; the method lives in `prunebench_drd.drd`."""

from __future__ import annotations

from collections.abc import Iterable

from prunebench import Scorer, hookimpl

_BIBTEX = """@inproceedings{chen2026drd,
  title     = {Diffusion Reconstruction-based Data Likelihood Estimation for Core-Set Selection},
  author    = {Chen, Mingyang and Du, Jiawei and Huang, Bo and Wang, Yi and Zhang, Xiaobo and Wang, Wei},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2026},
  note      = {arXiv:2511.19274}
}"""


@hookimpl
def prunebench_scorers() -> Iterable[Scorer]:
    """Diffusion Reconstruction Deviation; high = low likelihood = hard, comparable inside a class only."""
    return [
        Scorer(
            name="drd",
            fn="prunebench_drd.drd:drd",
            hard="high",
            comparable="class",
            definition=1,
            paper="arXiv:2511.19274",
            bibtex=_BIBTEX,
        )
    ]

"""Scores of diffusion models as a prunebench plugin: the records only; each method lives in the module it names."""

from __future__ import annotations

from collections.abc import Iterable

from prunebench import Command, Scorer, hookimpl

_BIBTEX = """@inproceedings{chen2026drd,
  title     = {Diffusion Reconstruction-based Data Likelihood Estimation for Core-Set Selection},
  author    = {Chen, Mingyang and Du, Jiawei and Huang, Bo and Wang, Yi and Zhang, Xiaobo and Wang, Wei},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2026},
  note      = {arXiv:2511.19274}
}"""

_BIBTEX_ELBO = """@inproceedings{kingma2021vdm,
  title     = {Variational Diffusion Models},
  author    = {Kingma, Diederik P. and Salimans, Tim and Poole, Ben and Ho, Jonathan},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {34},
  year      = {2021},
  note      = {arXiv:2107.00630}
}
@inproceedings{ho2020ddpm,
  title     = {Denoising Diffusion Probabilistic Models},
  author    = {Ho, Jonathan and Jain, Ajay and Abbeel, Pieter},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {33},
  year      = {2020},
  note      = {arXiv:2006.11239}
}"""

_BIBTEX_CONFIDENCE = """@inproceedings{li2023diffusion,
  title     = {Your Diffusion Model is Secretly a Zero-Shot Classifier},
  author    = {Li, Alexander C. and Prabhudesai, Mihir and Duggal, Shivam and Brown, Ellis and Pathak, Deepak},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
  year      = {2023},
  note      = {arXiv:2303.16203}
}"""

_TINY = {"dit": "nano", "dit_steps": 5}  # the model that conformance checks train, many times
_SEARCH = {"samples": 2, "noises": 2, "draws": 1}


@hookimpl
def prunebench_scorers() -> Iterable[Scorer]:
    """Three scores of one class-conditional diffusion model, each comparable inside a class only."""
    return [
        Scorer(
            name="drd",
            fn="prunebench_drd.drd:drd",
            hard="high",
            comparable="class",
            definition=2,  # 1: exhaustive search, random rivals
            paper="arXiv:2511.19274",
            bibtex=_BIBTEX,
            checked_with={**_TINY, **_SEARCH, "perceptual": "l2"},
        ),
        Scorer(
            name="elbo",
            fn="prunebench_drd.elbo:elbo",
            hard="high",
            comparable="class",
            definition=1,
            paper="arXiv:2107.00630",
            bibtex=_BIBTEX_ELBO,
            checked_with={**_TINY, "levels": 4, "noises": 1},
        ),
        Scorer(
            name="classifier_confidence",
            fn="prunebench_drd.confidence:classifier_confidence",
            hard="low",
            comparable="class",
            definition=1,
            paper="arXiv:2303.16203",
            bibtex=_BIBTEX_CONFIDENCE,
            checked_with={**_TINY, **_SEARCH},
        ),
    ]


@hookimpl
def prunebench_commands() -> Iterable[Command]:
    """``prunebench drd pretrain | timesteps | explain | estimate``."""
    return [Command("drd", "prunebench_drd.commands:drd", "Train DRD's diffusion model, look at t* and at pictures.")]

"""DRD where the truth is known: Gaussian-mixture classes, their exact denoiser, the exact likelihood and information.

    python benchmarks/gaussian_worlds.py [--out benchmarks/records/gaussian_worlds.json] [--pictures docs/pictures]

*Likelihood* (theorem 1). Spearman's rho between the deviation (squared L2; one draw, and the mean of 8) and
-log q(x | c), over starting steps and dimensions. All examples carry the label of one class. Distances between means
are in units of the class's sigma, and the same in every dimension.

*Information* (lemma 1, eq. 9). t* of four readings of eq. 9 (B = 20, 20 noises; error summed or averaged; absolute
value inside or outside the mean), and of half the summed error, against the step where |d E log p(c | x_t) / dt| of
the exact posterior is largest. Regret is the share of that maximum which the true curve misses at the chosen step.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import torch
from gaussian_cases import ABAR, DRAWS, EXAMPLES, FAILS, FOLLOWS, LEVELS, SEEDS, SIGMA, STARTS, WINDOW
from gaussian_figures import failures_figure, information_figure, likelihood_figure
from gaussian_measurements import CLASSES, NOISES, PICTURES, TRUTH, all_choices, all_likelihoods
from prunebench_drd.mixtures import gaussian_agreement, posterior_sharpness

import prunebench as pb


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("benchmarks/records/gaussian_worlds.json"))
    parser.add_argument("--pictures", type=Path, default=Path("docs/pictures"))
    given = parser.parse_args()
    found = all_likelihoods()
    chosen, shown = all_choices()
    record = {
        "command": "python benchmarks/gaussian_worlds.py",
        "versions": {"prunebench": pb.__version__, "torch": torch.__version__},
        "sigma": SIGMA,
        "window": [WINDOW[0], WINDOW[-1]],
        "likelihood": {"starts": STARTS, "examples": EXAMPLES, "seeds": len(SEEDS), "spearman": found},
        "closed_form_r": {
            str(m): [round(gaussian_agreement(SIGMA, ABAR, LEVELS, s, m), 3) for s in STARTS] for m in (1, DRAWS)
        },
        "information": {"classes": CLASSES, "pictures": PICTURES, "noises": NOISES, "truth_examples": TRUTH, **chosen},
        "sharpness_of_eq_8": {
            str(s): round(posterior_sharpness(SIGMA, float(ABAR[LEVELS[s]])), 3) for s in (0, 3, WINDOW[0], WINDOW[-1])
        },
    }
    text = json.dumps(record, indent=1)
    given.out.write_text(re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n")
    likelihood_figure(found, FOLLOWS, given.pictures / "gaussian_likelihood.png")
    failures_figure(found, FAILS, given.pictures / "gaussian_failures.png")
    information_figure(shown, given.pictures / "gaussian_information.png")


if __name__ == "__main__":
    main()

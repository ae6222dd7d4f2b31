"""The methods of `stranger`; the hostile ones are in the order of its list."""

import ctypes
import os
import sys
import time

import numpy as np
import torch

from prunebench import Scored


def blockwise(images, blocks):
    """The mean of every picture, in blocks of eight."""
    return blocks(lambda rows: images.pixels(rows).double().mean(dim=(1, 2, 3)), rows=8)


def raises(images):
    raise RuntimeError("out of luck")


def leaves(images):
    sys.exit(0)


def exits(images):
    os._exit(0)


def crashes(images):
    ctypes.string_at(0)


def hangs(images):
    time.sleep(600)


def leaks(images):
    import resource

    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (2**30, most))
    return [bytearray(2**24) for _ in range(10_000)]


def gives_nan(images):
    return torch.arange(len(images)).double().masked_fill(torch.arange(len(images)) == 7, torch.nan)


def gives_inf(images):
    return torch.arange(len(images)).double() / torch.zeros(len(images))


def one_short(images):
    return torch.arange(len(images) - 1).double()


def of_objects(images):
    return np.array([object()] * len(images))


def writes_labels(labels):
    labels[:] = 0
    return torch.arange(len(labels)).double()


def draws_globally(images):
    torch.manual_seed(1)
    return torch.arange(len(images)).double()


def moves_away(images):
    os.chdir("/")
    torch.set_default_dtype(torch.float64)
    return torch.arange(len(images)).double()


def tells_objects(images):
    return Scored(torch.arange(len(images)).double(), {"o": object()})


class Unsaid(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def says_nothing(images):
    raise Unsaid


def leaves_as_generator(images):
    raise GeneratorExit


def constant(images):
    return torch.ones(len(images))


def twice_the_same(hardness, budget):
    return torch.zeros(budget, dtype=torch.int64)


def one_too_many(hardness, budget):
    return torch.arange(budget + 1)


def out_of_range(hardness, budget):
    return torch.arange(budget) + len(hardness)


def of_floats(hardness, budget):
    return torch.arange(budget).double() + 0.5

"""A stand-in for a DeepCore checkout, written from its contract: the same modules, signatures and calls, tiny data.

main.py                     argparse; channel, im_size, ... = datasets.__dict__[args.dataset](args.data_path);
                            methods.__dict__[args.selection](dst_train, args, args.fraction, args.seed, **kwargs);
                            subset = method.select(); crops and flips before the transform; a training loop
deepcore/methods            CoresetMethod(dst_train, args, fraction, random_seed, **kwargs), a Uniform of its own
deepcore/datasets           functions that give channel, im_size, num_classes, class_names, mean, std, train, test
deepcore/nets               networks by name, called with channel, num_classes, im_size
"""

FILES = {
    "deepcore/__init__.py": "",
    "deepcore/methods/__init__.py": "from .coresetmethod import *\nfrom .uniform import *\n",
    "deepcore/methods/coresetmethod.py": """
class CoresetMethod(object):
    def __init__(self, dst_train, args, fraction=0.5, random_seed=None, **kwargs):
        if not 0.0 < fraction <= 1.0:
            raise ValueError("fraction")
        self.dst_train, self.args, self.fraction, self.random_seed = dst_train, args, fraction, random_seed
        self.num_classes, self.n_train = len(dst_train.classes), len(dst_train)
        self.coreset_size = round(self.n_train * fraction)
        self.index = []

    def select(self, **kwargs):
        return
""",
    "deepcore/methods/uniform.py": """
import numpy as np
from .coresetmethod import CoresetMethod


class Uniform(CoresetMethod):
    def __init__(self, dst_train, args, fraction=0.5, random_seed=None, balance=False, **kwargs):
        super().__init__(dst_train, args, fraction, random_seed)

    def select(self, **kwargs):
        draw = np.random.default_rng(self.random_seed)
        return {"indices": draw.choice(self.n_train, self.coreset_size, replace=False)}
""",
    "deepcore/datasets/__init__.py": "from .planted import *\n",
    "deepcore/datasets/planted.py": '''
import numpy as np
import torch
from torchvision import transforms
from torchvision.datasets import VisionDataset

MEAN, STD = [0.4], [0.25]


class Pictures(torch.utils.data.Dataset):
    """(1, 8, 8): a bright row per class; the last five examples bear a wrong label."""

    def __init__(self, count, transform, seed):
        draw = np.random.default_rng(seed)
        row = np.arange(count) % 3
        self.data = draw.integers(0, 90, (count, 8, 8), dtype=np.uint8)
        self.data[np.arange(count), 1 + 2 * row] = 230
        self.targets = torch.as_tensor(np.where(np.arange(count) < count - 5, row, (row + 1) % 3))
        self.classes, self.transform = ["one", "two", "three"], transform

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        from PIL import Image

        return self.transform(Image.fromarray(self.data[i])), int(self.targets[i])


class Arrays(Pictures, VisionDataset):
    """The same as one of torchvision's data sets."""


def _sets(kind, transform):
    return 1, (8, 8), 3, ["one", "two", "three"], MEAN, STD, kind(60, transform, 0), kind(30, transform, 1)


def _plain():
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def Planted(data_path):
    return _sets(Pictures, _plain())


def PlantedArrays(data_path):
    return _sets(Arrays, transforms.Compose([transforms.RandomHorizontalFlip(), _plain()]))


def Drawn(data_path):
    return _sets(Pictures, transforms.Compose([transforms.RandomCrop(8, padding=4), _plain()]))
''',
    "deepcore/nets/__init__.py": "from .mlp import *\n",
    "deepcore/nets/mlp.py": """
from torch import nn


def MLP(channel, num_classes, im_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channel * im_size[0] * im_size[1], num_classes))
""",
    "utils.py": """
import torch


class WeightedSubset(torch.utils.data.Subset):
    def __init__(self, dataset, indices, weights):
        assert len(indices) == len(weights)
        self.dataset, self.indices, self.weights = dataset, indices, weights

    def __getitem__(self, i):
        return self.dataset[self.indices[i]], self.weights[i]


def str_to_bool(text):
    return str(text).lower() in ("yes", "true", "1")
""",
    "main.py": """
import argparse
import json
import torch
import deepcore.datasets as datasets
import deepcore.methods as methods
import deepcore.nets as nets
from torchvision import transforms
from utils import *


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", type=str, default="Planted")
    parser.add_argument("--model", type=str, default="MLP")
    parser.add_argument("--selection", type=str, default="Uniform")
    parser.add_argument("--num_exp", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--data_path", type=str, default="data")
    parser.add_argument("--gpu", default=None, nargs="+", type=int)
    parser.add_argument("--print_freq", "-p", type=int, default=20)
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--batch", "-b", type=int, default=16)
    parser.add_argument("--selection_epochs", "-se", type=int, default=2)
    parser.add_argument("--balance", type=str_to_bool, default=True)
    args = parser.parse_args()
    args.device, args.train_batch, args.selection_batch = "cpu", args.batch, args.batch
    channel, im_size, num_classes, names, mean, std, dst_train, dst_test = datasets.__dict__[args.dataset](
        args.data_path
    )
    args.channel, args.im_size, args.num_classes, args.class_names = channel, im_size, num_classes, names
    for exp in range(args.num_exp):
        torch.random.manual_seed(args.seed)
        selection_args = dict(
            epochs=args.selection_epochs, selection_method="Entropy", balance=args.balance, greedy="LazyGreedy",
            function="GraphCut",
        )
        method = methods.__dict__[args.selection](dst_train, args, args.fraction, args.seed, **selection_args)
        subset = method.select()
        told = {"indices": [int(i) for i in subset["indices"]], "weights": "weights" in subset}
        told["threads"] = torch.get_num_threads()
        print("subset", json.dumps(told))
        dst_train.transform = transforms.Compose([
            transforms.RandomCrop(args.im_size, padding=4, padding_mode="reflect"), transforms.RandomHorizontalFlip(),
            dst_train.transform,
        ])
        weighted = "weights" in subset.keys()
        chosen = (
            WeightedSubset(dst_train, subset["indices"], subset["weights"])
            if weighted
            else torch.utils.data.Subset(dst_train, subset["indices"])
        )
        network = nets.__dict__[args.model](channel, num_classes, im_size)
        print("first weight", next(network.parameters()).flatten()[0].item())
        criterion = torch.nn.CrossEntropyLoss(reduction="none")
        optimizer = torch.optim.SGD(network.parameters(), 0.05)
        for epoch in range(args.epochs):
            for contents in torch.utils.data.DataLoader(chosen, batch_size=args.train_batch, shuffle=True):
                (x, y), w = contents if weighted else (contents, 1.0)
                optimizer.zero_grad()
                (criterion(network(x), y) * w).mean().backward()
                optimizer.step()
        test = torch.utils.data.DataLoader(dst_test, batch_size=args.train_batch)
        right = sum(int((network(x).argmax(1) == y).sum()) for x, y in test)
        print("Best accuracy: ", 100.0 * right / len(dst_test))


if __name__ == "__main__":
    main()
""",
}


def make(root):
    """Write the stand-in into an empty folder and return it."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    return root

"""ResNet-8 in PyTorch by the recipe of `saliq train --network resnet-8`, for its accuracy beside saliq's.

Adam with a cosine schedule, no augmentation, a pair of mean and deviation a channel. With --bits 4: SAWB weights of 4 bits
behind the folded batch norms, unsigned PACT of 4 bits, and 8 bits in the first and the last layer. With --sgt: Saliency
Guided Training as in Algorithm 1 (log-softmax of the label, the half of the pixels of lowest gradient, uniform noise, λ = 1).
Random numbers are PyTorch's own: two programs with one recipe, not one run twice.

    python torch_resnet8.py DATA --epochs 5 --out float.csv            # DATA/train/CLASS/*.jpg, DATA/test/CLASS/*.jpg
    python torch_resnet8.py --compare saliq.csv float.csv              # of `saliq eval --predictions`, and the one above
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "goldens"))
import reference as ref  # noqa: E402

ref.SAWB[8] = (31.76, -35.04)
CALIBRATION_BATCHES, PERCENTILE = 4, 0.999


class Convolution(nn.Module):
    """A convolution with TensorFlow's `same` padding, and the batch norm behind it if there is one. With `bits`, its weights
    are quantized: scaled by γ/σ of the running statistics, which is undone behind it while the batch norm is live."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, bits: int | None, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01) if norm else None
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.conv.kernel_size, self.conv.stride
        missing = max((math.ceil(x.shape[2] / stride) - 1) * stride + kernel - x.shape[2], 0)
        first = missing // 2
        x = F.pad(x, (first, missing - first, first, missing - first))
        weight, bias = self.conv.weight, self.conv.bias
        if self.norm is None:
            weight = ref.Sawb.apply(weight, self.bits) if self.bits else weight
            return F.conv2d(x, weight, bias, stride)
        if not self.bits:
            return self.norm(F.conv2d(x, weight, bias, stride))
        factor = self.norm.weight / torch.sqrt(self.norm.running_var.clone() + self.norm.eps)
        weight = ref.Sawb.apply(weight * factor.view(-1, 1, 1, 1), self.bits)
        return self.norm(F.conv2d(x, weight, bias * factor, stride) / factor.view(1, -1, 1, 1))


class Activation(nn.Module):
    """ReLU, or PACT with `bits`; keeps its inputs' ReLU while α is calibrated."""

    def __init__(self, bits: int | None) -> None:
        super().__init__()
        self.bits = bits
        self.seen: list[Tensor] | None = None
        if bits:
            self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        if self.seen is not None:
            self.seen.append(F.relu(x).detach().flatten())
            return F.relu(x)
        return ref.Pact.apply(x, self.alpha, self.bits) if self.bits else F.relu(x)


class ResNet8(nn.Module):
    """MLPerf Tiny's network for image classification; `bits` inside, 8 bits at both ends."""

    def __init__(self, classes: int, bits: int | None) -> None:
        super().__init__()
        ends = 8 if bits else None
        self.bits = ends
        self.first, self.first_act = Convolution(3, 16, 3, 1, ends, True), Activation(ends)
        self.blocks = nn.ModuleList()
        for inputs, outputs, stride in [(16, 16, 1), (16, 32, 2), (32, 64, 2)]:
            block = {
                "conv1": Convolution(inputs, outputs, 3, stride, bits, True), "act1": Activation(bits),
                "conv2": Convolution(outputs, outputs, 3, 1, bits, True), "act2": Activation(bits),
            }
            if stride > 1:
                block["down"] = Convolution(inputs, outputs, 1, stride, bits, False)
            self.blocks.append(nn.ModuleDict(block))
        self.last = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_act(self.first(x))
        for block in self.blocks:
            around = block["down"](x) if "down" in block else x
            x = block["act2"](block["conv2"](block["act1"](block["conv1"](x))) + around)
        weight = ref.Sawb.apply(self.last.weight, self.bits) if self.bits else self.last.weight
        return F.linear(x.mean((2, 3)), weight, self.last.bias)


def pictures(folder: Path) -> tuple[Tensor, Tensor]:
    """Bytes [image, 3, row, column] and classes of FOLDER/CLASS/*, in the order of the names."""
    classes = sorted(own.name for own in folder.iterdir() if own.is_dir())
    images, labels = [], []
    for label, name in enumerate(classes):
        for file in sorted((folder / name).iterdir()):
            images.append(np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1))
            labels.append(label)
    return torch.from_numpy(np.stack(images)), torch.tensor(labels)


def guided(network: ResNet8, x: Tensor, labels: Tensor, ratio: float) -> Tensor:
    """The batch with the pixels of lowest gradient replaced by noise from each image's own range."""
    network.eval()
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(ref.target_sum(network(x), labels, "log_softmax"), x)
    network.train()
    x = x.detach()
    mask = ref.lowest_mask(gradient.mean(1, keepdim=True), ratio)
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return torch.where(mask, low + (high - low) * torch.rand_like(x), x)


def calibrate(network: ResNet8, batches: list[Tensor]) -> None:
    """α: the 99.9th percentile of what the first batches have there, in float behind quantized weights."""
    activations = [own for own in network.modules() if isinstance(own, Activation)]
    for own in activations:
        own.seen = []
    statistics = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for batch in batches:
            network(batch)
    network.load_state_dict(statistics)
    for own in activations:
        values = torch.cat(own.seen)
        own.seen = None
        beyond = values.numel() - int(PERCENTILE * values.numel())
        own.alpha.data.fill_(values.topk(max(beyond, 1)).values[-1].item())


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    images, labels = pictures(arguments.data / "train")
    flat = images.float().div_(255)
    mean, deviation = flat.mean((0, 2, 3)), flat.std((0, 2, 3), correction=0)
    del flat

    def inputs(chosen: Tensor) -> Tensor:
        return (chosen.float() / 255 - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)

    network = ResNet8(int(labels.max()) + 1, arguments.bits)
    size, count = arguments.batch_size, len(labels)
    if arguments.bits:
        network.train()
        calibrate(network, [inputs(images[at * size : (at + 1) * size]) for at in range(CALIBRATION_BATCHES)])
    optimizer = torch.optim.Adam(network.parameters(), lr=arguments.lr)
    steps = arguments.epochs * math.ceil(count / size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: 0.5 * (1 + math.cos(math.pi * at / steps)))
    for epoch in range(arguments.epochs):
        begin, losses = time.perf_counter(), []
        network.train()
        for chosen in torch.randperm(count).split(size):
            x, y = inputs(images[chosen]), labels[chosen]
            masked = guided(network, x, y, 0.5) if arguments.sgt else None
            log_p = F.log_softmax(network(x), 1)
            loss = F.nll_loss(log_p, y)
            if masked is not None:
                loss = loss + F.kl_div(F.log_softmax(network(masked), 1), log_p, log_target=True, reduction="batchmean")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            for own in network.modules():
                if isinstance(own, Activation) and own.bits:
                    own.alpha.data.clamp_(min=1e-3)
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}, {time.perf_counter() - begin:.0f} s", flush=True)
    network.eval()
    images, labels = pictures(arguments.data / "test")
    with torch.no_grad():
        predicted = torch.cat([network(inputs(batch)).argmax(1) for batch in images.split(500)])
    with arguments.out.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "prediction"])
        rows.writerows(zip(range(len(labels)), labels.tolist(), predicted.tolist()))
    print(f"test accuracy {100 * (predicted == labels).double().mean():.2f} % on {len(labels)} images")


def right(path: Path) -> np.ndarray:
    """Whether each image of a file of predictions is right."""
    with path.open() as file:
        return np.array([row["label"] == row["prediction"] for row in csv.DictReader(file)], float)


def compare(ours: Path, theirs: Path) -> None:
    """Both accuracies and their difference, paired by image, with the 95 % interval of the mean of the pairs."""
    first, second = right(ours), right(theirs)
    if len(first) != len(second):
        raise SystemExit(f"{ours} has {len(first)} images and {theirs} {len(second)}: not the same test set")
    pairs = 100 * (first - second)
    half = 1.96 * pairs.std(ddof=1) / math.sqrt(len(pairs))
    print(f"{100 * first.mean():.2f} % and {100 * second.mean():.2f} %, difference {pairs.mean():+.2f} ± {half:.2f} points")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a folder with train/CLASS/* and test/CLASS/*")
    parser.add_argument("--bits", type=int, help="bits inside (default: float)")
    parser.add_argument("--sgt", action="store_true", help="Saliency Guided Training")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="CSV of the test images' predictions")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="CSV", help="compare two files of predictions instead")
    arguments = parser.parse_args()
    if arguments.compare:
        compare(*arguments.compare)
    elif arguments.data is None:
        parser.error("the folder of the data is missing")
    else:
        train(arguments)


if __name__ == "__main__":
    main()

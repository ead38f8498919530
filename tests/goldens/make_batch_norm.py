"""Writes batch_norm.safetensors beside this script: ten steps of small networks with batch norm, see README.md.

    python make_batch_norm.py

`ref_*` values are float64, reproducible to about 1e-12 on any machine. The metadata says how far PyTorch's own float32 run is from them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import reference as ref

HERE = Path(__file__).resolve().parent
STEPS, BATCH = 10, 12
BITS = {"conv1": 4, "conv2": 2}
RATES = {"plain": 0.05, "sgt": 0.05, "folded": 0.01}
FREEZE_AFTER = 6
ALPHAS = {"act1": 1.5, "act2": 2.5}


class Network(nn.Module):
    """As anyone would write it: a batch norm behind every convolution and behind the first linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 7, 3, stride=2, padding=1)
        self.bn2 = nn.BatchNorm2d(7)
        self.fc1 = nn.Linear(343, 5)
        self.bn3 = nn.BatchNorm1d(5)
        self.fc2 = nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc2(F.relu(self.bn3(self.fc1(torch.flatten(x, 1)))))


class Folded(Network):
    """Krishnamoorthi 2018, section 3.2.2: the convolutions' weights are scaled by the running statistics before they are quantized. While the batch norms
    are live that is undone behind the convolution, and batch statistics of the result are used; automatic differentiation goes through all of it but
    the running statistics and the quantizer's range. (PyTorch's ConvBn2d for quantization-aware training does the same.)"""

    def __init__(self) -> None:
        super().__init__()
        for name, alpha in ALPHAS.items():
            setattr(self, name, nn.ParameterDict({"alpha": torch.tensor([alpha])}))

    def convolution(self, index: int, x: Tensor) -> Tensor:
        layer, norm = getattr(self, f"conv{index}"), getattr(self, f"bn{index}")
        factor = norm.weight / torch.sqrt(norm.running_var.clone() + norm.eps)
        weight = ref.Sawb.apply(layer.weight * factor.view(-1, 1, 1, 1), BITS[f"conv{index}"])
        z = F.conv2d(x, weight, layer.bias * factor, layer.stride, layer.padding)
        y = norm(z / factor.view(1, -1, 1, 1))
        return ref.Pact.apply(y, getattr(self, f"act{index}")["alpha"], BITS[f"conv{index}"])

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.convolution(2, self.convolution(1, x)), 1)
        return self.fc2(F.relu(self.bn3(self.fc1(x))))


def initial(kind: type[Network]) -> Network:
    """PyTorch's initialisation, seed 0, with batch norms that are not the identity."""
    torch.manual_seed(0)
    network = kind()
    for name in ("bn1", "bn2", "bn3"):
        norm = getattr(network, name)
        with torch.no_grad():
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.05, 0.6)
    return network


def step(network: Network, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor, guided: bool) -> tuple[float, float]:
    """(CE, KL) of one step, before its update. Saliency is taken in inference mode; then the clean and the masked images are a batch each."""
    if guided:
        network.eval()
        x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(ref.target_sum(network(x), labels, "log_softmax"), x)
        mask = ref.lowest_mask(gradient, 0.5)
        x = x.detach()
        network.train()
    log_p = F.log_softmax(network(x), 1)
    ce = F.nll_loss(log_p, labels)
    kl = torch.zeros((), dtype=x.dtype)
    if guided:
        masked = torch.where(mask, x[:, :, :1, :1], x)
        kl = F.kl_div(F.log_softmax(network(masked), 1), log_p, log_target=True, reduction="batchmean")
    optimizer.zero_grad(set_to_none=True)
    (ce + kl).backward()
    optimizer.step()
    return ce.item(), kl.item()


def run(case: str, dtype: torch.dtype, images: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Network]:
    """The ten steps of a case: CE, KL, and the state_dict after them."""
    network = initial(Folded if case == "folded" else Network).to(dtype)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATES[case], momentum=0.9)
    x = torch.from_numpy(ref.normalize(images.numpy())).to(dtype)
    losses = []
    for index in range(STEPS):
        if case == "folded" and index == FREEZE_AFTER:
            for name in ("bn1", "bn2", "bn3"):
                getattr(network, name).eval()
        batch = slice(BATCH * index, BATCH * (index + 1))
        losses.append(step(network, optimizer, x[batch], labels[batch], case == "sgt"))
    result = {"ce": torch.tensor([ce for ce, _ in losses], dtype=torch.float64), "kl": torch.tensor([kl for _, kl in losses], dtype=torch.float64)}
    return {**result, **{f"final.{name}": value for name, value in network.state_dict().items()}}, network


def main() -> None:
    loaded = load_file(HERE / "images.safetensors")
    images, labels = loaded["images"][: STEPS * BATCH], loaded["labels"][: STEPS * BATCH]
    tensors = {}
    distances = {}
    for name, value in initial(Folded).state_dict().items():
        tensors[f"initial.{name}"] = value
    for case in RATES:
        double, network = run(case, torch.float64, images, labels)
        single, _ = run(case, torch.float32, images, labels)
        tensors.update({f"{case}.ref_{name}": value for name, value in double.items()})
        distances[case] = {
            name: float((single[name].double() - value.double()).norm() / value.double().norm().clamp(min=1e-30)) for name, value in double.items()
        }
        print(case, double["ce"].numpy().round(4), double["kl"].numpy().round(4), f"worst of float32: {max(distances[case].values()):.1e}")
        if case == "plain":
            network.eval()
            with torch.no_grad():
                x = torch.from_numpy(ref.normalize(images[:BATCH].numpy())).double()
                tensors["plain.ref_inference_logits"] = network(x)
    made = {
        "torch": torch.__version__, "numpy": np.__version__, "script": "tests/goldens/make_batch_norm.py", "batch_size": BATCH, "steps": STEPS,
        "optimizer": "momentum", "momentum": 0.9, "learning_rates": RATES, "bits": "4,2", "quantizer": "sawb", "freeze_after": FREEZE_AFTER,
        "mask_ratio": 0.5, "mask_fill": "corner", "lambda": 1.0, "float32_distance": distances,
    }
    contiguous = {key: value.detach().contiguous() for key, value in tensors.items()}
    save_file(contiguous, HERE / "batch_norm.safetensors", {"golden": json.dumps(made)})


if __name__ == "__main__":
    main()

"""Writes align.safetensors beside this script: one step with a teacher, by double backward in float64, see README.md.

    python make_align.py

L = CE + DISTILL * KL(teacher || student) + ALIGN * mean(1 - cos(student's map, teacher's map)), without masked images. A map is
the gradient of the label's logit with respect to the normalised image, in inference mode; torch differentiates the student's
once more (`create_graph=True`). Numbers are float64, reproducible to about 1e-12 on any machine.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from reference import Pact, quantized_weight, sawb_clip
from safetensors.torch import save_file
from torch import Tensor

HERE = Path(__file__).resolve().parent
IMAGES, SIZE, CLASSES = 6, 12, 10
DISTILL, ALIGN = 0.5, 5.0
BITS = (4, 2)
EPSILON = 1e-5
MARGIN = 2e-5
"""Distance of everything that is rounded or clipped from an edge, in levels: far above what float32 gets wrong."""

SHAPES = {
    "chain": {"conv1": [8, 1, 3, 3], "conv2": [12, 8, 3, 3], "fc1": [16, 192], "fc2": [CLASSES, 16]},
    "residual": {"conv1": [6, 1, 3, 3], "conv2": [6, 6, 3, 3], "conv3": [10, 6, 3, 3], "fc1": [CLASSES, 360]},
}
SHAPES["norm"] = SHAPES["residual"]
ALPHAS = {"act1.alpha": 1.9, "act2.alpha": 1.3}


class Network:
    """A network with parameters of `generator`, every one exact in float32."""

    def __init__(self, case: str, quantized: bool, generator: torch.Generator) -> None:
        self.case, self.quantizer = case, "sawb" if quantized else None
        self.parameters: dict[str, Tensor] = {}
        self.statistics: dict[str, Tensor] = {}

        def draw(name: str, shape: list[int], scale: float, offset: float = 0.0) -> None:
            values = torch.randn(shape, generator=generator, dtype=torch.float64) * scale + offset
            self.parameters[name] = values.float().double().requires_grad_()

        for name, shape in SHAPES[case].items():
            draw(f"{name}.weight", shape, fan_in(shape) ** -0.5)
            draw(f"{name}.bias", shape[:1], 0.1)
        if quantized:
            for name, alpha in ALPHAS.items():
                self.parameters[name] = torch.tensor([alpha]).double().requires_grad_()
        if case == "norm":
            draw("bn1.weight", [10], 0.3, 1.0)
            draw("bn1.bias", [10], 0.2)
            for name, low, high in [("bn1.running_mean", -0.3, 0.3), ("bn1.running_var", 0.4, 1.5)]:
                drawn = torch.rand(10, generator=generator, dtype=torch.float64) * (high - low) + low
                self.statistics[name] = drawn.float().double()
        self.margin = float("inf")

    def conv(self, x: Tensor, number: int, **options: int) -> Tensor:
        quantizer, bits = (self.quantizer, BITS[number - 1]) if number <= 2 else (None, 32)
        name = f"conv{number}"
        weight = quantized_weight(self.parameters, name, quantizer, bits)
        if quantizer is not None:
            self.near_weights(self.parameters[f"{name}.weight"].detach(), bits)
        return F.conv2d(x, weight, self.parameters[f"{name}.bias"], **options)

    def near_weights(self, weight: Tensor, bits: int) -> None:
        clip = sawb_clip(weight, bits)
        position = (weight.clamp(-clip, clip) + clip) / (2 * clip) * (2**bits - 1)
        inside = weight.abs() < clip
        self.near((position[inside] - position[inside].floor() - 0.5).abs())
        self.near((weight.abs() - clip).abs() / clip)

    def near(self, distances: Tensor) -> None:
        self.margin = min(self.margin, distances.min().item())

    def act(self, x: Tensor, number: int) -> Tensor:
        self.near(x.detach().abs())
        if self.quantizer is None or number > 2:
            return F.relu(x)
        bits, alpha = BITS[number - 1], self.parameters[f"act{number}.alpha"]
        levels = 2**bits - 1
        position = (x.detach() / alpha.detach()) * levels
        self.near((position - levels).abs())
        inside = (position > 0) & (position < levels)
        self.near((position[inside] - position[inside].floor() - 0.5).abs())
        return Pact.apply(x, alpha, bits)

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x.flatten(1), self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"])

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        first = self.act(self.conv(x, 1, padding=0 if self.case == "chain" else 1), 1)
        if self.case == "chain":
            x = F.max_pool2d(self.act(self.conv(first, 2), 2), 2)
            return self.linear(self.act(self.linear(x, "fc1"), 3), "fc2")
        x = self.act(self.conv(first, 2, padding=1), 2) + first
        x = self.conv(x, 3, stride=2, padding=1)
        if self.case == "norm":
            mean, variance = (self.statistics[f"bn1.running_{own}"].clone() for own in ("mean", "var"))
            x = F.batch_norm(x, mean, variance, self.parameters["bn1.weight"], self.parameters["bn1.bias"], training, 0.1, EPSILON)
        return self.linear(self.act(x, 3), "fc1")

    def maps(self, x: Tensor, labels: Tensor, create_graph: bool) -> Tensor:
        x = x.detach().requires_grad_()
        scores = self(x).gather(1, labels[:, None]).sum()
        return torch.autograd.grad(scores, x, create_graph=create_graph)[0]


def fan_in(shape: list[int]) -> int:
    count = 1
    for size in shape[1:]:
        count *= size
    return count


def case(name: str, quantized: bool, images: Tensor, labels: Tensor, seed: int) -> tuple[dict[str, Tensor], float]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = Network(name, quantized, generator), Network(name, False, generator)
    teacher.margin = student.margin
    # torch's float32 of the bytes, as the kernels see them.
    x = ((images.float() / 255 - 0.5) / 0.25).double()
    logits = student(x, training=True)
    targets = F.log_softmax(teacher(x), 1).detach()
    terms = {
        "ce": F.cross_entropy(logits, labels),
        "distill": F.kl_div(F.log_softmax(logits, 1), targets, log_target=True, reduction="batchmean"),
    }
    own, other = student.maps(x, labels, True), teacher.maps(x, labels, False)
    distances = 1 - F.cosine_similarity(own.flatten(1), other.flatten(1), dim=1, eps=0.0)
    terms["align"] = distances.mean()
    names = list(student.parameters)
    leaves = list(student.parameters.values())
    aligned = torch.autograd.grad(terms["align"], leaves, retain_graph=True, allow_unused=True)
    loss = terms["ce"] + DISTILL * terms["distill"] + ALIGN * terms["align"]
    gradients = torch.autograd.grad(loss, leaves)
    label = f"{name}{'_42' if quantized else ''}"
    tensors = {f"{label}.student.{key}": value.detach() for key, value in (student.parameters | student.statistics).items()}
    tensors |= {f"{label}.teacher.{key}": value.detach() for key, value in (teacher.parameters | teacher.statistics).items()}
    tensors |= {f"{label}.{key}": value.detach().reshape(1) for key, value in terms.items()}
    tensors |= {f"{label}.distances": distances.detach(), f"{label}.maps": own.detach(), f"{label}.teacher_maps": other.detach()}
    for key, leaf, one, all_ in zip(names, leaves, aligned, gradients, strict=True):
        tensors[f"{label}.align_gradient.{key}"] = torch.zeros_like(leaf) if one is None else one
        tensors[f"{label}.gradient.{key}"] = all_
    return tensors, min(student.margin, teacher.margin)


def main() -> None:
    generator = torch.Generator().manual_seed(4)
    images = torch.randint(0, 256, [IMAGES, 1, SIZE, SIZE], generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, [IMAGES], generator=generator)
    tensors: dict[str, Tensor] = {"images": images, "labels": labels}
    margins = {}
    for name, quantized in [("chain", False), ("chain", True), ("residual", False), ("residual", True), ("norm", False)]:
        for seed in range(1000):
            own, margin = case(name, quantized, images, labels, seed)
            if margin > MARGIN:
                break
        margins[f"{name}{'_42' if quantized else ''}"] = [seed, margin]
        tensors |= own
    settings = {"torch": torch.__version__, "distill": DISTILL, "align": ALIGN, "seeds_and_margins": margins}
    save_file({name: own.contiguous() for name, own in tensors.items()}, HERE / "align.safetensors", {"golden": json.dumps(settings)})
    print(settings)


if __name__ == "__main__":
    main()

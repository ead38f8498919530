"""Writes networks.safetensors beside this script: outputs and gradients of the networks in `networks`, see README.md.

    python make_networks.py

All numbers are float64, reproducible to about 1e-12 on any machine.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

HERE = Path(__file__).resolve().parent
IMAGES = 5
MOMENTUM = 0.1  # torch's momentum of running statistics
FUNCTIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "hard-swish": F.hardswish,
}
PREFIX = {"conv": "conv", "batch-norm": "bn", "activation": "act", "linear": "fc", "add": "add", "multiply": "mul", "concat": "concat"}


def pair(value: int | list[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else value


def sides(layer: dict, x: Tensor) -> list[int]:
    """Zeros at the top, left, bottom and right."""
    padding = layer.get("padding", 0)
    if padding == "same":
        # TensorFlow's rule: as many outputs as strides, the odd zero at the end.
        found = []
        for size, kernel, stride, dilation in zip(
            x.shape[2:], pair(layer["kernel"]), pair(layer.get("stride", 1)), pair(layer.get("dilation", 1)), strict=True
        ):
            extent = (kernel - 1) * dilation + 1
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            found.append([total // 2, total - total // 2])
        return [found[0][0], found[1][0], found[0][1], found[1][1]]
    if isinstance(padding, int):
        return [padding] * 4
    return padding if len(padding) == 4 else padding * 2


def average_pool(layer: dict, x: Tensor) -> Tensor:
    top, left, bottom, right = sides(layer, x)
    stride, ceil = layer.get("stride", layer["kernel"]), layer.get("ceil_mode", False)
    if [top, left] == [bottom, right]:
        return F.avg_pool2d(x, layer["kernel"], stride, (top, left), ceil, layer.get("count_include_pad", True))
    means = [F.avg_pool2d(F.pad(own, (left, right, top, bottom)), layer["kernel"], stride, 0, ceil) for own in [x, torch.ones_like(x)]]
    return means[0] if layer.get("count_include_pad", True) else means[0] / means[1]


class Network:
    """The layers of a file, with parameters drawn as they are met."""

    def __init__(self, text: str, generator: torch.Generator) -> None:
        self.config = tomllib.loads(text)
        self.generator = generator
        self.parameters: dict[str, Tensor] = {}
        self.statistics: dict[str, Tensor] = {}

    def parameter(self, name: str, shape: list[int], scale: float, offset: float = 0.0) -> Tensor:
        if name not in self.parameters:
            # Exact in float32, as a model file has them.
            values = torch.randn(shape, generator=self.generator, dtype=torch.float64) * scale + offset
            self.parameters[name] = values.float().double().requires_grad_()
        return self.parameters[name]

    def statistic(self, name: str, channels: int, low: float, high: float) -> Tensor:
        if name not in self.statistics:
            drawn = torch.rand(channels, generator=self.generator, dtype=torch.float64)
            self.statistics[name] = (drawn * (high - low) + low).float().double()
        return self.statistics[name]

    def __call__(self, images: Tensor, training: bool) -> Tensor:
        values = {"input": images}
        counts: dict[str, int] = {}
        x = images
        for place, layer in enumerate(self.config["layers"]):
            kind = layer["type"]
            stem = PREFIX.get(kind)
            number = place + 1
            if stem is not None:
                counts[stem] = number = counts.get(stem, 0) + 1
            name = layer.get("name", f"{stem or 'pool'}{number}")
            inputs = [values[own] for own in layer["inputs"]] if "inputs" in layer else [x]
            x = self.layer(name, kind, layer, inputs, training)
            values[name] = x
        return x.flatten(1)

    def layer(self, name: str, kind: str, layer: dict, inputs: list[Tensor], training: bool) -> Tensor:
        x = inputs[0]
        channels = x.shape[1]
        match kind:
            case "conv":
                groups = layer.get("groups", 1)
                groups = channels if groups == "depthwise" else groups
                shape = [layer["out_channels"], channels // groups, *pair(layer["kernel"])]
                fan_in = shape[1] * shape[2] * shape[3]
                weight = self.parameter(f"{name}.weight", shape, fan_in**-0.5)
                bias = self.parameter(f"{name}.bias", shape[:1], 0.2) if layer.get("bias", True) else None
                top, left, bottom, right = sides(layer, x)
                padded = F.pad(x, (left, right, top, bottom))
                stride, dilation = pair(layer.get("stride", 1)), pair(layer.get("dilation", 1))
                return F.conv2d(padded, weight, bias, stride=stride, dilation=dilation, groups=groups)
            case "linear":
                flat = x.flatten(1)
                weight = self.parameter(f"{name}.weight", [layer["out_features"], flat.shape[1]], flat.shape[1] ** -0.5)
                bias = self.parameter(f"{name}.bias", [layer["out_features"]], 0.2)
                return F.linear(flat, weight, bias)[:, :, None, None]
            case "batch-norm":
                weight = self.parameter(f"{name}.weight", [channels], 0.3, 1.0)
                bias = self.parameter(f"{name}.bias", [channels], 0.2)
                mean = self.statistic(f"{name}.running_mean", channels, -0.3, 0.3)
                variance = self.statistic(f"{name}.running_var", channels, 0.4, 1.5)
                # Copies: a pass while training moves them.
                return F.batch_norm(x, mean.clone(), variance.clone(), weight, bias, training, MOMENTUM, layer.get("epsilon", 1e-5))
            case "activation":
                own = layer.get("kind", "relu")
                if own == "prelu":
                    slopes = channels if layer.get("per_channel", False) else 1
                    return F.prelu(x, self.parameter(f"{name}.weight", [slopes], 0.3, 0.1))
                if own == "leaky-relu":
                    return F.leaky_relu(x, layer.get("slope", 0.01))
                return FUNCTIONS[own](x)
            case "max-pool":
                top, left, bottom, right = sides(layer, x)
                # What is padded is never a maximum.
                padded = F.pad(x, (left, right, top, bottom), value=-torch.inf)
                stride = layer.get("stride", layer["kernel"])
                return F.max_pool2d(padded, layer["kernel"], stride, ceil_mode=layer.get("ceil_mode", False))
            case "average-pool":
                return average_pool(layer, x)
            case "global-average-pool":
                return x.mean((2, 3), keepdim=True)
            case "add":
                return sum(inputs[1:], inputs[0])
            case "multiply":
                return inputs[0] * inputs[1]
            case "concat":
                return torch.cat(inputs, 1)
        raise ValueError(f"a layer of type {kind}")


def main() -> None:
    tensors: dict[str, Tensor] = {}
    for path in sorted((HERE / "networks").glob("*.toml")):
        case = path.stem
        network = Network(path.read_text(), torch.Generator().manual_seed(20))
        images = torch.randn([IMAGES, *network.config["input"]], generator=network.generator, dtype=torch.float64).requires_grad_()
        upstream = torch.randn([IMAGES, network.config["classes"]], generator=network.generator, dtype=torch.float64)
        network(images, training=False)
        tensors |= {f"{case}.initial.{name}": values.detach() for name, values in network.parameters.items()}
        tensors |= {f"{case}.initial.{name}": values for name, values in network.statistics.items()}
        tensors |= {f"{case}.input": images.detach(), f"{case}.upstream": upstream}
        for mode in ["inference", "training"]:
            logits = network(images, training=mode == "training")
            leaves = {"input": images, **network.parameters}
            gradients = torch.autograd.grad((logits * upstream).sum(), list(leaves.values()))
            tensors[f"{case}.{mode}.logits"] = logits.detach()
            tensors |= {f"{case}.{mode}.gradient.{name}": own for name, own in zip(leaves, gradients, strict=True)}
    settings = {"torch": torch.__version__, "images": IMAGES}
    save_file({name: own.contiguous() for name, own in tensors.items()}, HERE / "networks.safetensors", {"golden": json.dumps(settings)})


if __name__ == "__main__":
    main()

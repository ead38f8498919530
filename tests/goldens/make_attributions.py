#!/usr/bin/env python3
"""Writes attributions.safetensors and attributions_odd.safetensors: Captum's maps (0.9.0) of saliq's methods, in float64, stored as
float32. Networks are reference.py's and an odd one (stride 2, padding, 3 channels, batch norm, no pool), float and quantized.

Captum draws random numbers inside; here they are saliq's own, drawn by its generator (pcg4d, see shaders/common/random.wgsl) in NumPy.
RISE, Grad-CAM++ and Score-CAM are not in Captum: their published formulas stand below. Run as make_goldens.py, with the same requirements."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import captum
import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import (
    LRP, DeepLift, GradientShap, GuidedBackprop, GuidedGradCam, InputXGradient, IntegratedGradients, LayerAttribution, LayerGradCam, NoiseTunnel, Occlusion,
    Saliency,
)
from captum.attr._core import deep_lift, lrp
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import reference as ref

HERE = Path(__file__).resolve().parent
SEED = 0x0000_0002_0000_0007
NOISE, PATH, MASKS = 16, 17, 18
SAMPLES, SHARE = 6, 0.15
GRID, MASK_SHARE, RISE_SAMPLES = 7, 0.5, 40
GAMMA = 0.25


# ---------------------------------------------------------------- saliq's random numbers

def pcg4d(x, y, z, w):
    """Words (arrays of uint32, broadcast) to four well-mixed words."""
    with np.errstate(over="ignore"):
        v = [np.asarray(word, np.uint32) * np.uint32(1664525) + np.uint32(1013904223) for word in np.broadcast_arrays(x, y, z, w)]
        for last in (False, True):
            v[0] = v[0] + v[1] * v[3]
            v[1] = v[1] + v[2] * v[0]
            v[2] = v[2] + v[0] * v[1]
            v[3] = v[3] + v[1] * v[2]
            if not last:
                v = [word ^ (word >> np.uint32(16)) for word in v]
    return v


def bits(step: int, stream: int, a, b, c=0):
    key = pcg4d(SEED & 0xFFFFFFFF, SEED >> 32, step, stream)
    with np.errstate(over="ignore"):
        return pcg4d(*(np.asarray(k, np.uint32) + np.asarray(n, np.uint32) for k, n in zip(key, (a, b, c, 0))))


def uniform(word):
    return (word >> np.uint32(8)).astype(np.float64) / 2**24


def normal(number: int, sample: int, shape) -> np.ndarray:
    """[C, H, W] standard normal numbers of one sample of image `number`: by group of 4 channels of a pixel, pairs by Box and Muller."""
    channels, height, width = shape
    groups = (channels + 3) // 4
    element = np.arange(height * width * groups)
    x, y, z, w = bits(number, NOISE, sample, element)
    first = np.sqrt(-2 * np.log(uniform(x) + 2.0**-24))
    second = np.sqrt(-2 * np.log(uniform(z) + 2.0**-24))
    angle, other = 2 * np.pi * uniform(y), 2 * np.pi * uniform(w)
    four = np.stack([first * np.cos(angle), first * np.sin(angle), second * np.cos(other), second * np.sin(other)], -1)
    return four.reshape(height, width, groups * 4)[:, :, :channels].transpose(2, 0, 1)


def rise_mask(sample: int, height: int, width: int) -> Tensor:
    lattice = (uniform(bits(0, MASKS, sample, np.arange(GRID * GRID))[0]) < MASK_SHARE).astype(np.float64).reshape(1, 1, GRID, GRID)
    cell = -(-height // GRID), -(-width // GRID)
    words = bits(0, MASKS, sample, 0xFFFFFFFF)
    shift = int(words[0]) % cell[0], int(words[1]) % cell[1]
    size = ((GRID + 1) * cell[0], (GRID + 1) * cell[1])
    large = F.interpolate(torch.from_numpy(lattice), size=size, mode="bilinear", align_corners=False)[0, 0]
    return large[shift[0] : shift[0] + height, shift[1] : shift[1] + width]


# ---------------------------------------------------------------- networks

class StableConvolution(torch.autograd.Function):
    """As reference.StableConv, with stride and padding: equal windows give equal bits, so that pooling ties are ties."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding):
        ctx.save_for_backward(weight)
        ctx.sizes = x.shape, stride, padding
        wide = F.pad(x, (padding,) * 4)
        rows, columns = weight.shape[2:]
        height, width = ((size - k) // stride + 1 for size, k in zip(wide.shape[2:], (rows, columns)))
        out = torch.zeros(x.shape[0], weight.shape[0], height, width, dtype=x.dtype)
        for channel in range(weight.shape[1]):
            for row in range(rows):
                for column in range(columns):
                    window = wide[:, channel : channel + 1, row : row + (height - 1) * stride + 1 : stride, column : column + (width - 1) * stride + 1 : stride]
                    out += window * weight[:, channel, row, column].view(1, -1, 1, 1)
        return out + bias.view(1, -1, 1, 1)

    @staticmethod
    def backward(ctx, gradient):
        shape, stride, padding = ctx.sizes
        return torch.nn.grad.conv2d_input(shape, ctx.saved_tensors[0], gradient, stride, padding), None, None, None, None


class Convolution(nn.Conv2d):
    stable = False
    """Whether equal windows must give equal bits: a constant baseline is all ties; elsewhere the library's convolution will do."""

    def forward(self, x):
        if not Convolution.stable:
            return super().forward(x)
        return StableConvolution.apply(x, self.weight.detach(), self.bias.detach(), self.stride[0], self.padding[0])


class Pact(nn.ReLU):
    """Unsigned PACT of reference.py as a module; to Captum's hooks it is a ReLU."""

    def __init__(self, alpha: float, width: int):
        super().__init__()
        self.register_buffer("alpha", torch.tensor([alpha]))
        self.width = width

    def forward(self, x):
        return ref.Pact.apply(x, self.alpha.to(x.dtype), self.width)


deep_lift.SUPPORTED_NON_LINEAR[Pact] = deep_lift.nonlinear
lrp.SUPPORTED_NON_LINEAR_LAYERS.append(Pact)
lrp.SUPPORTED_LAYERS_WITH_RULES[Convolution] = EpsilonRule


class Network(nn.Sequential):
    """Captum knows no Flatten module: the first linear layer is preceded by the function."""

    apart = False
    """Whether the pool gets a copy of the activations: DeepLift's hooks of two modules on one tensor get in each other's way, and its rule
    for max-pooling would be lost on the ReLU in front (Captum 0.9.0)."""

    def forward(self, x):
        for name, layer in self.named_children():
            if name == "pool" and Network.apart:
                x = x.clone()
            x = layer(torch.flatten(x, 1) if name == "fc1" else x)
        return x


def assemble(layers: list[tuple[str, nn.Module]]) -> nn.Sequential:
    network = Network()
    for name, layer in layers:
        network.add_module(name, layer)
    return network.double().eval()


def set_weights(layer, weight: Tensor, bias: Tensor) -> None:
    layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
    layer.bias = nn.Parameter(bias.clone(), requires_grad=False)


def table_one(quantized: bool, alphas=(0.0, 0.0)) -> nn.Sequential:
    p = {name: value.double() for name, value in load_file(HERE / "table1.safetensors").items()}
    layers = {"conv1": Convolution(1, 32, 3), "conv2": Convolution(32, 64, 3), "fc1": nn.Linear(9216, 128), "fc2": nn.Linear(128, 10)}
    for index, (name, layer) in enumerate(layers.items()):
        weight = p[f"{name}.weight"]
        if quantized and index < 2:
            weight = ref.Affine.apply(weight, (4, 2)[index])
        set_weights(layer, weight, p[f"{name}.bias"])
    act = [Pact(alphas[0], 4), Pact(alphas[1], 2)] if quantized else [nn.ReLU(), nn.ReLU()]
    return assemble([
        ("conv1", layers["conv1"]), ("act1", act[0]), ("conv2", layers["conv2"]), ("act2", act[1]), ("pool", nn.MaxPool2d(2)),
        ("fc1", layers["fc1"]), ("act3", nn.ReLU()), ("fc2", layers["fc2"]),
    ])


ODD_BITS = (8, 4)


def odd_parameters() -> dict[str, Tensor]:
    """Seeded parameters of the odd network, float32 values."""
    generator = torch.Generator().manual_seed(5)
    draw = lambda *shape, scale: (torch.rand(*shape, generator=generator) * 2 - 1) * scale
    p = {"conv1.weight": draw(6, 3, 3, 3, scale=0.3), "conv1.bias": draw(6, scale=0.2), "conv2.weight": draw(8, 6, 3, 3, scale=0.25), "conv2.bias": draw(8, scale=0.2)}
    for name, channels in (("bn1", 6), ("bn2", 8)):
        p[f"{name}.weight"] = 1 + draw(channels, scale=0.4)
        p[f"{name}.bias"] = draw(channels, scale=0.3)
        p[f"{name}.running_mean"] = draw(channels, scale=0.2)
        p[f"{name}.running_var"] = 0.6 + draw(channels, scale=0.4)
    p |= {"fc1.weight": draw(9, 8 * 8 * 9, scale=0.1), "fc1.bias": draw(9, scale=0.1), "fc2.weight": draw(4, 9, scale=0.5), "fc2.bias": draw(4, scale=0.2)}
    return p


def odd_network(quantized: bool, alphas=(0.0, 0.0), folded=False) -> nn.Sequential:
    """3x11x13, conv1 6 of 3x3, stride 2, padding 1, bn1; conv2 8 of 3x3, padding 2, bn2; fc1 9; fc2 4; activations between. Quantized:
    the weights times gamma/sigma (the folded ones) are what is quantized; `folded` has them in float."""
    folded = folded or quantized
    p = {name: value.double() for name, value in odd_parameters().items()}
    convolutions = [Convolution(3, 6, 3, 2, 1), Convolution(6, 8, 3, 1, 2)]
    linear = [nn.Linear(8 * 8 * 9, 9), nn.Linear(9, 4)]
    layers: list[tuple[str, nn.Module]] = []
    for index, convolution in enumerate(convolutions):
        name, norm = f"conv{index + 1}", f"bn{index + 1}"
        weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
        if folded:
            scale = p[f"{norm}.weight"] / torch.sqrt(p[f"{norm}.running_var"] + 1e-5)
            weight = weight * scale.view(-1, 1, 1, 1)
            weight = ref.Affine.apply(weight, ODD_BITS[index]) if quantized else weight
            bias = (bias - p[f"{norm}.running_mean"]) * scale + p[f"{norm}.bias"]
        set_weights(convolution, weight, bias)
        layers.append((name, convolution))
        if not folded:
            batch_norm = nn.BatchNorm2d(weight.shape[0])
            batch_norm.load_state_dict({key: p[f"{norm}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}, strict=False)
            layers.append((norm, batch_norm))
        layers.append((f"act{index + 1}", Pact(alphas[index], ODD_BITS[index]) if quantized else nn.ReLU()))
    for index, layer in enumerate(linear):
        set_weights(layer, p[f"fc{index + 1}.weight"], p[f"fc{index + 1}.bias"])
    layers += [("fc1", linear[0]), ("act3", nn.ReLU()), ("fc2", linear[1])]
    return assemble(layers)


# ---------------------------------------------------------------- maps

def deviations(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    return SHARE * (flat.max(1).values - flat.min(1).values)


def noise(x: Tensor) -> Tensor:
    """sigma * n for SAMPLES samples of each image, image after image."""
    sigma = deviations(x)
    drawn = [float(sigma[i]) * normal(i, sample, x.shape[1:]) for i in range(len(x)) for sample in range(SAMPLES)]
    return torch.from_numpy(np.stack(drawn))


def smoothed(network, x, target, kind: str) -> Tensor:
    with mock.patch("torch.normal", lambda *_, **__: noise(x)):
        return NoiseTunnel(Saliency(network)).attribute(x, nt_type=kind, nt_samples=SAMPLES, stdevs=1.0, target=target, abs=False)


def gradient_shap(network, x, target, baselines) -> Tensor:
    words = [bits(i, PATH, np.arange(SAMPLES), 0) for i in range(len(x))]
    along = np.concatenate([uniform(word[0]) for word in words])
    chosen = np.concatenate([word[1] % np.uint32(len(baselines)) for word in words]).astype(np.int64)
    with mock.patch("torch.normal", lambda *_, **__: noise(x)), mock.patch("numpy.random.uniform", lambda *_, **__: along), mock.patch(
        "numpy.random.choice", lambda *_, **__: chosen
    ):
        return GradientShap(network).attribute(x, baselines=baselines, n_samples=SAMPLES, stdevs=1.0, target=target)


def rise(network, x, target) -> Tensor:
    total = torch.zeros_like(x)
    for sample in range(RISE_SAMPLES):
        mask = rise_mask(sample, *x.shape[2:])
        score = torch.softmax(network(x * mask), 1).gather(1, target[:, None]).view(-1, 1, 1, 1)
        total += score * mask / (RISE_SAMPLES * MASK_SHARE)
    return total.detach()


def deeplift(network, x, target) -> Tensor:
    with mock.patch.object(Convolution, "stable", True), mock.patch.object(Network, "apart", True):
        return DeepLift(network).attribute(x, baselines=torch.zeros_like(x), target=target)


def integrated_gradients(network, x, target) -> Tensor:
    with mock.patch.object(Convolution, "stable", True):
        return IntegratedGradients(network).attribute(x, target=target, n_steps=50, method="gausslegendre")


def grad_cam_plus_plus(network, x, target) -> Tensor:
    """Of conv2, before it is enlarged: Chattopadhyay et al. 2018 with the logit's gradient, as pytorch-grad-cam has it but without the
    1e-6 that it adds to the denominator. Not in Captum."""
    outputs = []
    hook = network.conv2.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output))
    logits = network(x)
    hook.remove()
    channels = outputs[0]
    (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), channels)
    below = 2 * gradient**2 + channels.sum((2, 3), keepdim=True) * gradient**3
    alpha = torch.where(below != 0, gradient**2 / below, 0)
    weights = (alpha * gradient.relu()).sum((2, 3), keepdim=True)
    return (weights * channels).sum(1, keepdim=True)


def score_cam(network, x, target) -> Tensor:
    """Of conv2, before it is enlarged: Wang et al. 2020, algorithm 1, with the logit as score and 0 as baseline, without the ReLU on
    the sum. Not in Captum."""
    outputs = []
    hook = network.conv2.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output))
    network(x)
    hook.remove()
    channels = outputs[0].detach()
    large = F.interpolate(channels, size=x.shape[2:], mode="bilinear", align_corners=False)
    lowest, highest = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
    masks = torch.where(highest > lowest, (large - lowest) / (highest - lowest), 0)
    with torch.no_grad():
        scores = [network(x * masks[:, k : k + 1]).gather(1, target[:, None]) for k in range(channels.shape[1])]
        empty = network(torch.zeros_like(x)).gather(1, target[:, None])
    weights = torch.softmax(torch.cat(scores, 1) - empty, 1)
    return (weights[:, :, None, None] * channels).sum(1, keepdim=True)


def gamma(network, x, target) -> Tensor:
    """LRP by the gamma rule in every layer with weights; a network without batch norms, which Captum would treat as layers of their own."""
    weighted = [layer for layer in network.children() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    for layer in weighted:
        layer.rule = GammaRule(gamma=GAMMA)
    relevance = LRP(network).attribute(x, target=target)
    for layer in weighted:
        if hasattr(layer, "rule"):
            del layer.rule
    return relevance


def z_plus(network, x, target) -> Tensor:
    """LRP by positive weights without biases, of inputs that are not negative."""
    for layer in network.children():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)
    return LRP(network).attribute(x.detach().abs().requires_grad_(True), target=target)


def maps(network: nn.Sequential, images: Tensor, target: Tensor, baselines: Tensor, prefix: str, folded=None) -> dict[str, Tensor]:
    """Every method's map of `images`, [N, C, H, W], for the logit at `target`; `folded` is the network without its batch norms."""
    folded = folded or network
    x = images.double().requires_grad_(True)
    channels = x.shape[1]

    def enlarged(small: Tensor) -> Tensor:
        return LayerAttribution.interpolate(small, tuple(x.shape[2:]), interpolate_mode="bilinear").expand_as(x)

    found = {
        "gradient": Saliency(network).attribute(x, target=target, abs=False),
        "input-x-gradient": InputXGradient(network).attribute(x, target=target),
        "smoothgrad": smoothed(network, x, target, "smoothgrad"),
        "smoothgrad-sq": smoothed(network, x, target, "smoothgrad_sq"),
        "vargrad": smoothed(network, x, target, "vargrad"),
        "integrated-gradients": integrated_gradients(network, x, target),
        "gradient-shap": gradient_shap(network, x, target, baselines),
        "grad-cam": enlarged(LayerGradCam(network, network.conv2).attribute(x, target=target, relu_attributions=False)),
        "grad-cam-plus-plus": enlarged(grad_cam_plus_plus(network, x, target)),
        "score-cam": enlarged(score_cam(network, x, target)),
        "guided-grad-cam": GuidedGradCam(network, network.conv2).attribute(x, target=target, interpolate_mode="bilinear"),
        "guided-backprop": GuidedBackprop(network).attribute(x, target=target),
        "deeplift": deeplift(network, x, target),
        "lrp": LRP(network).attribute(x, target=target),
        "lrp-gamma": gamma(folded, x, target),
        "occlusion": Occlusion(network).attribute(x, sliding_window_shapes=(channels, 3, 3), strides=(1, 1, 1), target=target, baselines=0),
        "rise": rise(network, x, target),
    }
    found["lrp.z-plus-of-abs"] = z_plus(folded, x, target)
    return {f"{prefix}.{name}": value.detach().float().contiguous() for name, value in found.items()} | {f"{prefix}.logits": network(x).detach().float()}


def percentiles(network: nn.Sequential, x: Tensor, names=("act1", "act2")) -> tuple[float, float]:
    """alpha of each activation: the 99th percentile of its input, layer after layer, to three digits (see reference.calibrated_alphas)."""
    for name in names:
        value = x
        for layer_name, layer in network.named_children():
            if layer_name == name:
                layer.alpha = torch.tensor([float(f"{np.percentile(value.clamp(min=0).numpy(), 99):.3g}")]).float().double()
            if layer_name == name:
                break
            value = layer(value)
    return tuple(float(getattr(network, name).alpha) for name in names)


def save(name: str, tensors: dict[str, Tensor], more: dict) -> None:
    about = {
        "captum": captum.__version__, "torch": torch.__version__, "numpy": np.__version__, "seed": SEED, "samples": SAMPLES, "noise": SHARE,
        "rise_samples": RISE_SAMPLES, "grid": GRID, "share": MASK_SHARE, "gamma": GAMMA, "target": "logit at the label", "baseline": "0 after normalisation",
    }
    save_file(tensors, HERE / f"{name}.safetensors", {"golden": json.dumps(about | more)})


def main() -> None:
    torch.set_num_threads(1)
    start = load_file(HERE / "images.safetensors")
    images, labels = start["images"][:3], start["labels"][:3]
    x = torch.from_numpy(ref.normalize(images.numpy()))
    baselines = torch.from_numpy(ref.normalize(start["images"][3:5].numpy()))
    tensors = {"images": images, "labels": labels, "baselines": baselines.contiguous()}
    tensors |= maps(table_one(False), x, labels, baselines.double(), "float")
    quantized = table_one(True)
    with torch.no_grad():
        alphas = percentiles(quantized, x.double())
    tensors |= maps(quantized, x, labels, baselines.double(), "quantized")
    save("attributions", tensors, {"bits": [4, 2], "weight-quant": "affine", "alpha": alphas})

    generator = torch.Generator().manual_seed(6)
    x = (torch.rand(3, 3, 11, 13, generator=generator) * 4 - 2).float()
    labels = torch.tensor([2, 0, 3])
    baselines = (torch.rand(2, 3, 11, 13, generator=generator) - 0.5).float()
    tensors = {"input": x, "labels": labels, "baselines": baselines} | odd_parameters()
    tensors |= maps(odd_network(False), x, labels, baselines.double(), "float", odd_network(False, folded=True))
    quantized = odd_network(True)
    with torch.no_grad():
        alphas = percentiles(quantized, x.double())
    tensors |= maps(quantized, x, labels, baselines.double(), "quantized")
    save("attributions_odd", tensors, {"bits": list(ODD_BITS), "weight-quant": "affine", "alpha": alphas})


if __name__ == "__main__":
    main()

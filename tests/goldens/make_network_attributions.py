"""Writes network_attributions.safetensors beside this script: attributions on the networks in `networks`, see README.md.

    python make_network_attributions.py

Captum has no rules for sums, products and concatenations. Here each operation has its own: in DeepLIFT's multipliers they are
contributions to the difference from a baseline, in layer-wise relevance propagation relevances are handed back themselves, R_i = x_i
sum_j w_ij R_j / (z_j +- epsilon), in every linear operation. All numbers are float64.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from make_networks import FUNCTIONS, HERE, IMAGES, Network, pair, sides
from safetensors.torch import load_file, save_file
from torch import Tensor

EPSILON = 1e-9
SMALLEST_DIFFERENCE = 1e-10  # as Captum's DeepLift
GAMMA = 0.25
LOWEST = -1e9  # what is padded is never a maximum
STEPS = 50
NODES, WEIGHTS = np.polynomial.legendre.leggauss(STEPS)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Images and their baselines."""
    return x[: len(x) // 2], x[len(x) // 2 :]


def with_zeros(x: Tensor) -> Tensor:
    return torch.cat([x, torch.zeros_like(x)])


class Rescaled(torch.autograd.Function):
    """A function of every value with the multiplier of DeepLIFT's rescale rule."""

    @staticmethod
    def forward(ctx, x, function):
        ctx.function = function
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        own, base = halves(x)
        with torch.enable_grad():
            point = own.clone().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.function(point).sum(), point)
        step = own - base
        flat = step.abs() < SMALLEST_DIFFERENCE
        quotient = (ctx.function(own) - ctx.function(base)) / torch.where(flat, 1.0, step)
        return with_zeros(halves(upstream)[0] * torch.where(flat, slope, quotient)), None


class RescaledProduct(torch.autograd.Function):
    """d(ab) = mean(b)·d(a) + mean(a)·d(b)."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, upstream):
        upstream = halves(upstream)[0]
        a, b = ((own + base) / 2 for own, base in map(halves, ctx.saved_tensors))
        shares = [(upstream * other).sum_to_size(like.shape) for other, like in ((b, a), (a, b))]
        return with_zeros(shares[0]), with_zeros(shares[1])


class RescaledPool(torch.autograd.Function):
    """Max-pooling: the difference of two outputs goes to the maximum of the larger."""

    @staticmethod
    def forward(ctx, x, layer):
        stride = layer.get("stride", layer["kernel"])
        # A constant baseline is all ties, which go to the first element: last bits must not decide.
        _, places = F.max_pool2d(
            (x * 1e9).round(), layer["kernel"], stride, ceil_mode=layer.get("ceil_mode", False), return_indices=True
        )
        y = x.flatten(2).gather(2, places.flatten(2)).view_as(places)
        ctx.save_for_backward(x, y, places)
        return y

    @staticmethod
    def backward(ctx, upstream):
        x, y, places = ctx.saved_tensors
        upstream = halves(upstream)[0].flatten(2)
        (own, base), (y, r) = halves(x.flatten(2)), halves(y.flatten(2))
        of_own, of_base = halves(places.flatten(2))
        larger = torch.where(y >= r, of_own, of_base)
        step = own - base
        flat = step.abs() < SMALLEST_DIFFERENCE
        moved = torch.zeros_like(own).scatter_add(2, larger, upstream * (y - r)) / torch.where(flat, 1.0, step)
        plain = torch.zeros_like(own).scatter_add(2, of_own, upstream)
        return with_zeros(torch.where(flat, plain, moved).view_as(halves(x)[0])), None


class Relevant(torch.autograd.Function):
    """A linear operation whose backward pass takes and gives relevances: by `rule`, which may differ from `function`."""

    @staticmethod
    def forward(ctx, function, rule, *inputs):
        ctx.rule = rule
        ctx.save_for_backward(*inputs)
        return function(*inputs)

    @staticmethod
    def backward(ctx, relevance):
        with torch.enable_grad():
            inputs = [x.clone().requires_grad_() for x in ctx.saved_tensors]
            z = ctx.rule(*inputs)
            shares = torch.autograd.grad(z, inputs, relevance / (z + torch.where(z < 0, -EPSILON, EPSILON)))
        return None, None, *(x.detach() * share for x, share in zip(inputs, shares, strict=True))


class Handed(torch.autograd.Function):
    """An operation that hands relevance back as it is: to the one input, or to the first of two."""

    @staticmethod
    def forward(ctx, function, *inputs):
        ctx.count = len(inputs)
        return function(*inputs)

    @staticmethod
    def backward(ctx, relevance):
        return None, relevance, *[None] * (ctx.count - 1)


class Attributed(Network):
    """A network whose backward pass goes by `rule`: deeplift, lrp, lrp-gamma or z-plus."""

    rule = ""

    def weighed(self, function, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
        """function(x, weight, bias), by the rule's weights on the way back."""
        ruled, ruled_bias = weight, bias
        if self.rule == "z-plus":
            ruled, ruled_bias = weight.clamp(min=0), None
        if self.rule == "lrp-gamma":
            ruled = weight + GAMMA * weight.clamp(min=0)
        return Relevant.apply(lambda x: function(x, weight, bias), lambda x: function(x, ruled, ruled_bias), x)

    def layer(self, name: str, kind: str, layer: dict, inputs: list[Tensor], training: bool) -> Tensor:
        def plain(*inputs):
            return Network.layer(self, name, kind, layer, list(inputs), training)

        x = inputs[0]
        if self.rule == "deeplift":
            match kind:
                case "activation" if layer.get("kind") == "prelu":
                    slopes = self.parameters[f"{name}.weight"].detach()
                    return Rescaled.apply(x, lambda x: F.prelu(x, slopes))
                case "activation" if layer.get("kind") == "leaky-relu":
                    return Rescaled.apply(x, lambda x: F.leaky_relu(x, layer.get("slope", 0.01)))
                case "activation":
                    return Rescaled.apply(x, FUNCTIONS[layer.get("kind", "relu")])
                case "multiply":
                    return RescaledProduct.apply(*inputs)
                case "max-pool":
                    top, left, bottom, right = sides(layer, x)
                    return RescaledPool.apply(F.pad(x, (left, right, top, bottom), value=LOWEST), layer)
            return plain(*inputs)
        parameter = {suffix: values.detach() for suffix, values in self.of(name).items()}
        match kind:
            case "conv":
                top, left, bottom, right = sides(layer, x)
                groups = layer.get("groups", 1)
                options = {
                    "stride": pair(layer.get("stride", 1)),
                    "dilation": pair(layer.get("dilation", 1)),
                    "groups": x.shape[1] if groups == "depthwise" else groups,
                }

                def convolution(x, weight, bias):
                    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, **options)

                weight, bias = parameter["weight"], parameter.get("bias")
                self.behind = (x, convolution, weight, bias)
                return self.weighed(convolution, weight, bias, x)
            case "linear":
                return self.weighed(
                    lambda x, weight, bias: F.linear(x.flatten(1), weight, bias)[:, :, None, None], parameter["weight"], parameter["bias"], x
                )
            case "batch-norm":
                scale = parameter["weight"] / (parameter["running_var"] + layer.get("epsilon", 1e-5)).sqrt()
                shift = parameter["bias"] - scale * parameter["running_mean"]
                if self.rule == "lrp":
                    return Relevant.apply(plain, plain, x)
                # Folded into the convolution in front.
                read, convolution, weight, bias = self.behind
                bias = shift if bias is None else scale * bias + shift
                return self.weighed(convolution, weight * scale[:, None, None, None], bias, read)
            case "activation":
                return Handed.apply(plain, x)
            case "multiply":
                # "Signal takes all": the larger of two shapes, or the first, is the signal.
                signal = int(inputs[0].shape != torch.broadcast_shapes(inputs[0].shape, inputs[1].shape))
                return Handed.apply(plain, inputs[signal], inputs[1 - signal])
            case "average-pool" | "global-average-pool" | "add":
                return Relevant.apply(plain, plain, *inputs)
        return plain(*inputs)

    def of(self, name: str) -> dict[str, Tensor]:
        everything = self.parameters | self.statistics
        return {full[len(name) + 1 :]: values for full, values in everything.items() if full.rsplit(".", 1)[0] == name}


def attributed(network: Attributed, rule: str, images: Tensor, labels: Tensor) -> Tensor:
    network.rule = rule
    inputs = (with_zeros(images) if rule == "deeplift" else images).requires_grad_()
    logits = network(inputs, training=False)[: len(images)].gather(1, labels[:, None])
    (result,) = torch.autograd.grad(logits, inputs, torch.ones_like(logits) if rule == "deeplift" else logits)
    return images.detach() * result[: len(images)] if rule == "deeplift" else result


def main() -> None:
    goldens = load_file(HERE / "networks.safetensors")
    labels = torch.tensor([0, 1, 2, 0, 1])[:IMAGES]
    tensors = {"labels": labels}
    for path in sorted((HERE / "networks").glob("*.toml")):
        case = path.stem
        network = Attributed(path.read_text(), torch.Generator())
        for name, values in goldens.items():
            if name.startswith(f"{case}.initial."):
                own = name[len(case) + 9 :]
                where = network.statistics if "running" in own else network.parameters
                where[own] = values
        images = goldens[f"{case}.input"]
        plain = Network(path.read_text(), torch.Generator())
        plain.parameters, plain.statistics = network.parameters, network.statistics

        def logit(x, network=plain):
            return network(x, training=False).gather(1, labels[:, None])

        total = torch.zeros_like(images)
        for node, weight in zip((NODES + 1) / 2, WEIGHTS / 2, strict=True):
            point = (images * node).requires_grad_()
            total += weight * torch.autograd.grad(logit(point).sum(), point)[0]
        tensors[f"{case}.integrated-gradients"] = images * total
        tensors[f"{case}.deeplift"] = attributed(network, "deeplift", images.clone(), labels)
        tensors[f"{case}.lrp"] = attributed(network, "lrp", images.clone(), labels)
        difference = (logit(images) - logit(torch.zeros_like(images)))[:, 0]
        lost = (tensors[f"{case}.deeplift"].sum((1, 2, 3)) - difference).abs().max()
        assert lost < 1e-9 * difference.abs().max(), (case, lost)
        if case != "pre_activation":  # a batch norm is behind a sum
            for rule in ("lrp-gamma", "z-plus"):
                tensors[f"{case}.{rule}"] = attributed(network, rule, images.abs(), labels)
        for name in ("lrp", "lrp-gamma", "z-plus"):
            if (own := tensors.get(f"{case}.{name}")) is not None:
                print(case, name, own.abs().max().item(), own.abs().median().item())
    settings = {"torch": torch.__version__, "numpy": np.__version__, "steps": STEPS, "gamma": GAMMA, "epsilon": EPSILON}
    tensors = {name: own.detach().contiguous() for name, own in tensors.items()}
    save_file(tensors, Path(HERE / "network_attributions.safetensors"), {"golden": json.dumps(settings)})


if __name__ == "__main__":
    main()

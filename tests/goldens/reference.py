"""An independent PyTorch statement of what saliq computes: the network of Table I, its fake quantizers and one step of
Saliency Guided Training. Every function works in the data type of its arguments, so that the same code run in float32 and
in float64 gives a result and its twin.

Plain PyTorch is used except where its result is not determined well enough to be compared with:

* `StableConv` gives bit-equal outputs for equal input windows. Library convolutions need not (edge tiles may sum in another
  order); a last-bit difference between equal neighbours would move a max-pool's winner, and the gradient, to another pixel.
* The quantizers are autograd functions, because the published rules (straight-through estimators, PACT's gradient for its
  clipping level) are not what automatic differentiation of the forward pass would give.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, DEVIATION = 0.1307, 0.3081
"""Published mean and standard deviation of MNIST's pixels in 0..1."""

SAWB = {2: (3.12, -2.064), 4: (12.68, -12.80)}
"""SAWB's (c1, c2) by bit width: clip = c1 * sqrt(E[w^2]) + c2 * E|w|."""
SAWB_LEAST = 0.5
"""From this share of sqrt(E[w^2]) down, the clip goes up again to the largest weight, which it is from 0 down."""

PARAMETERS = ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]


class TableOne(nn.Module):
    """The network of Table I as anyone would write it in PyTorch; for initial values and for exports."""

    def __init__(self, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.bn1, self.bn2 = (nn.BatchNorm2d(32), nn.BatchNorm2d(64)) if batch_norm else (nn.Identity(), nn.Identity())
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        x = torch.flatten(F.max_pool2d(x, 2), 1)
        return self.fc2(F.relu(self.fc1(x)))


def normalize(pixels: np.ndarray) -> np.ndarray:
    """u8 pixels to (p/255 - mean)/deviation, each operation rounded to float32. The float64 twin starts from the same values."""
    one = np.float32
    return ((pixels.astype(one) / one(255)) - one(MEAN)) / one(DEVIATION)


class StableConv(torch.autograd.Function):
    """Valid convolution, stride 1: one separately rounded multiply and add per tap, taps in (input channel, row, column) order."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        out_channels, in_channels, rows, columns = weight.shape
        height, width = x.shape[2] - rows + 1, x.shape[3] - columns + 1
        out = torch.zeros(x.shape[0], out_channels, height, width, dtype=x.dtype)
        for channel in range(in_channels):
            for row in range(rows):
                for column in range(columns):
                    window = x[:, channel : channel + 1, row : row + height, column : column + width]
                    out += window * weight[:, channel, row, column].view(1, -1, 1, 1)
        return out + bias.view(1, -1, 1, 1)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        return (
            torch.nn.grad.conv2d_input(x.shape, weight, gradient) if needs_x else None,
            torch.nn.grad.conv2d_weight(x, weight.shape, gradient) if needs_weight else None,
            gradient.sum((0, 2, 3)),
        )


class Affine(torch.autograd.Function):
    """q = clamp(round(w/step) + zero, 0, 2^b - 1), (q - zero)*step; range = [min, max] widened to contain 0. Passes every gradient
    (the range comes from the tensor, so every weight lies inside it)."""

    @staticmethod
    def forward(ctx, weight, bits):
        levels = 2**bits - 1
        low, high = weight.min().clamp(max=0), weight.max().clamp(min=0)
        step = (high - low) / levels
        zero = torch.round(-low / step)
        return ((torch.round(weight / step) + zero).clamp(0, levels) - zero) * step

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Dorefa(torch.autograd.Function):
    """2*Q(tanh w / (2 max|tanh w|) + 1/2) - 1 with Q rounding to multiples of 1/(2^b - 1). Backward (1 - tanh^2 w)/max|tanh w|."""

    @staticmethod
    def forward(ctx, weight, bits):
        levels = 2**bits - 1
        tanh = torch.tanh(weight)
        largest = tanh.abs().max()
        ctx.save_for_backward(tanh, largest)
        return 2 * (torch.round((tanh / (2 * largest) + 0.5) * levels) / levels) - 1

    @staticmethod
    def backward(ctx, gradient):
        tanh, largest = ctx.saved_tensors
        return gradient * (1 - tanh * tanh) / largest, None


class Sawb(torch.autograd.Function):
    """2^b evenly spaced levels from -c to c; c from E[w^2] and E|w|. Passes the gradient where |w| <= c."""

    @staticmethod
    def forward(ctx, weight, bits):
        clip = sawb_clip(weight, bits)
        step = 2 * clip / (2**bits - 1)
        ctx.save_for_backward(weight.abs() <= clip)
        return torch.round((torch.clamp(weight, -clip, clip) + clip) / step) * step - clip

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


def sawb_clip(weight: Tensor, bits: int) -> Tensor:
    """SAWB's clipping level (a scalar tensor)."""
    c1, c2 = SAWB[bits]
    root, largest = weight.square().mean().sqrt(), weight.abs().max()
    clip, least = c1 * root + c2 * weight.abs().mean(), SAWB_LEAST * root
    return clip if clip >= least else largest - (largest - least) * clip.clamp(min=0) / least


class Pact(torch.autograd.Function):
    """Unsigned PACT: clip(x, 0, alpha), rounded to 2^b - 1 steps. d/dx = 1 for 0 < x < alpha; d/dalpha = 1 for x >= alpha, else 0."""

    @staticmethod
    def forward(ctx, x, alpha, bits):
        ctx.save_for_backward(x, alpha)
        return pact_levels(x, alpha, bits) * alpha / (2**bits - 1)

    @staticmethod
    def backward(ctx, gradient):
        x, alpha = ctx.saved_tensors
        inside = (x > 0) & (x < alpha)
        return gradient * inside, (gradient * (x >= alpha)).sum().view(1), None


def pact_levels(x: Tensor, alpha: Tensor, bits: int) -> Tensor:
    """Integer levels 0 .. 2^b - 1 of unsigned PACT, in x's data type."""
    return torch.round(torch.minimum(x.clamp(min=0), alpha) * (2**bits - 1) / alpha)


WEIGHT_QUANTIZERS = {"affine": Affine, "dorefa": Dorefa, "sawb": Sawb}


@dataclass
class Trace:
    """What a forward pass leaves behind: logits [N,10], and for quantized layers the pre-activations by activation name."""

    logits: Tensor
    before: dict[str, Tensor] = field(default_factory=dict)


def quantized_weight(parameters: dict[str, Tensor], name: str, quantizer: str | None, bits: int) -> Tensor:
    """The de-quantized weight of a layer, or the weight itself where `quantizer` is None."""
    weight = parameters[f"{name}.weight"]
    return weight if quantizer is None else WEIGHT_QUANTIZERS[quantizer].apply(weight, bits)


def forward(parameters: dict[str, Tensor], x: Tensor, quantizer: str | None = None, bits: tuple[int, int] = (4, 2)) -> Trace:
    """The network of Table I on x [N,1,28,28]; with a `quantizer`, conv1 and conv2 have bits[0]- and bits[1]-bit weights and
    unsigned PACT of as many bits after them (parameters act1.alpha, act2.alpha, shape [1])."""
    trace = Trace(x)
    for index in (1, 2):
        weight = quantized_weight(parameters, f"conv{index}", quantizer, bits[index - 1])
        x = StableConv.apply(x, weight, parameters[f"conv{index}.bias"])
        trace.before[f"act{index}"] = x.detach()
        x = F.relu(x) if quantizer is None else Pact.apply(x, parameters[f"act{index}.alpha"], bits[index - 1])
    x = torch.flatten(F.max_pool2d(x, 2), 1)
    x = F.relu(F.linear(x, parameters["fc1.weight"], parameters["fc1.bias"]))
    trace.logits = F.linear(x, parameters["fc2.weight"], parameters["fc2.bias"])
    return trace


def calibrated_alphas(parameters: dict[str, Tensor], x: Tensor, quantizer: str, bits: tuple[int, int]) -> dict[str, Tensor]:
    """99.9th percentile of the rectified pre-activations, layer after layer through the quantized network, to three digits, [1].

    Rounded because quantized weights and inputs repeat values: a percentile is often exactly one of them, and whether a value
    equal to alpha counts as clipped would then hang on its last bit."""
    alphas: dict[str, Tensor] = {}
    for name in ("act1", "act2"):
        guess = {f"{other}.alpha": torch.ones(1, dtype=x.dtype) for other in ("act1", "act2")}
        before = forward({**parameters, **guess, **alphas}, x, quantizer, bits).before[name]
        percentile = np.percentile(np.maximum(before.numpy(), 0), 99.9)
        alphas[f"{name}.alpha"] = torch.tensor([np.float32(f"{percentile:.3g}")]).to(x.dtype)
    return alphas


def target_sum(logits: Tensor, labels: Tensor, target: str) -> Tensor:
    """Sum over the images of what an input gradient is taken of: `log_softmax` at the label, the logit at the `label`, or at the `predicted` class."""
    if target == "log_softmax":
        return F.log_softmax(logits, 1).gather(1, labels[:, None]).sum()
    return logits.gather(1, (labels if target == "label" else logits.argmax(1))[:, None]).sum()


def lowest_mask(gradient: Tensor, ratio: float) -> Tensor:
    """True at exactly floor(ratio * features) features an image with the lowest signed gradient, ties to the lower index, -0 equal to 0."""
    flat = gradient.flatten(1) + 0.0
    chosen = torch.sort(flat, dim=1, stable=True).indices[:, : int(ratio * flat.shape[1])]
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, chosen, True).view_as(gradient)


@dataclass
class StepResult:
    """Values before the update: losses are means over the batch, `accuracy` is a fraction."""

    ce: float
    kl: float
    accuracy: float
    input_gradient: Tensor
    mask: Tensor


def sgt_step(parameters, optimizer, x, labels, quantizer=None, bits=(4, 2), mask_ratio=0.5, weight=1.0, class_weights=None) -> StepResult:
    """One step of Algorithm 1 with fill `corner`, the clean forward shared, the gradient flowing through both branches; `class_weights`
    [10] are those of `F.cross_entropy`."""
    x = x.detach().requires_grad_(True)
    logits = forward(parameters, x, quantizer, bits).logits
    (gradient,) = torch.autograd.grad(target_sum(logits, labels, "log_softmax"), x, retain_graph=True)
    mask = lowest_mask(gradient, mask_ratio)
    clean = x.detach()
    masked = torch.where(mask, clean[:, :, :1, :1], clean)
    log_p = F.log_softmax(logits, 1)
    log_masked = F.log_softmax(forward(parameters, masked, quantizer, bits).logits, 1)
    ce = F.nll_loss(log_p, labels, class_weights)
    kl = F.kl_div(log_masked, log_p, log_target=True, reduction="batchmean")
    optimizer.zero_grad(set_to_none=True)
    (ce + weight * kl).backward()
    optimizer.step()
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return StepResult(ce.item(), kl.item(), accuracy, gradient, mask)

"""Writes quantizers.safetensors beside this script: what PyTorch makes of every weight and activation quantizer; see README.md.

    python make_quantizers.py

Quantizers are stated the way PyTorch libraries (Brevitas, the LSQ and PACT authors' code) state them: a differentiable clip, a rounding whose
gradient is passed straight through, and automatic differentiation for the rest. All in float64.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

HERE = Path(__file__).resolve().parent
SAWB_LEAST = 0.5  # the share of sqrt(E[w^2]) below which the clip goes up again
SAWB = {2: (3.12, -2.064), 3: (7.509, -6.892), 4: (12.68, -12.80), 5: (17.74, -18.64), 8: (31.76, -35.04)}
WIDTHS = {
    "affine": range(2, 9), "dorefa": range(2, 9), "sawb": sorted(SAWB), "symmetric": range(2, 9), "lsq": range(2, 9), "binary": [1],
}
SHAPE = (4, 3, 3)
STEP_FLOOR = 1e-6
ALPHA = 1.25
RANGE, OFFSET = 2.0, -0.47


def round_pass(x: Tensor) -> Tensor:
    """Rounded half to even; the gradient passes straight through."""
    return (torch.round(x) - x).detach() + x


def pass_where(inside: Tensor, x: Tensor, value: Tensor) -> Tensor:
    """`value`, with the gradient of x where `inside`; torch.clamp with tensors as bounds halves it at their very ends."""
    return value.detach() + (x - x.detach()) * inside


def grad_scale(x: Tensor, scale: float) -> Tensor:
    """x, with its gradient multiplied by `scale`."""
    return (x - x * scale).detach() + x * scale


def spread(w: Tensor, per_channel: bool, of) -> Tensor:
    """`of` the tensor, or of each output channel, in a shape that broadcasts with w [out, in, tap]; a constant."""
    found = torch.stack([of(channel) for channel in w.detach()]) if per_channel else of(w.detach()).view(1)
    return found.view(-1, 1, 1)


def quantize(name: str, bits: int, w: Tensor, per_channel: bool, step: Tensor | None) -> Tensor:
    """The de-quantized weights."""
    levels = 2**bits - 1
    if name == "affine":
        low, high = (spread(w, per_channel, of) for of in (lambda t: t.min().clamp(max=0), lambda t: t.max().clamp(min=0)))
        delta = torch.where(high > low, (high - low) / levels, torch.ones_like(low))
        zero = torch.round(-low / delta)
        exact = (torch.clamp(torch.round(w / delta) + zero, 0, levels) - zero) * delta
        return pass_where((w >= low) & (w <= high), w, exact)
    if name == "dorefa":
        largest = spread(w, per_channel, lambda t: torch.tanh(t).abs().max())
        scaled = torch.where(largest == 0, torch.zeros_like(w), torch.tanh(w) / (2 * largest))
        return 2 * round_pass((scaled + 0.5) * levels) / levels - 1
    if name == "sawb":
        c1, c2 = torch.tensor(SAWB[bits], dtype=torch.float32).double()  # as a program in float32 has them

        def clip_of(t):
            root, largest = t.square().mean().sqrt(), t.abs().max()
            estimate, least = c1 * root + c2 * t.abs().mean(), SAWB_LEAST * root
            return estimate if estimate >= least else largest - (largest - least) * estimate.clamp(min=0) / least

        clip = spread(w, per_channel, clip_of)
        clipped = torch.clamp(w, -clip, clip)
        unit = torch.where(clip == 0, torch.ones_like(clip), 2 * clip / levels)
        return pass_where(w.abs() <= clip, w, torch.round((clipped + clip) / unit) * unit - clip)
    if name == "symmetric":
        highest = 2 ** (bits - 1) - 1
        largest = spread(w, per_channel, lambda t: t.abs().max())
        delta = torch.where(largest == 0, torch.ones_like(largest), largest / highest)
        return round_pass(w / delta) * delta
    if name == "lsq":
        highest = 2 ** (bits - 1) - 1
        count = w.numel() // step.numel()
        s = grad_scale(step, 1 / (count * highest) ** 0.5).view(-1, 1, 1)
        return round_pass(torch.clamp(w / s, -highest - 1, highest)) * s
    if name == "binary":
        mean = spread(w, per_channel, lambda t: t.abs().mean())
        passed = torch.clamp(w, -1, 1)
        signs = torch.where(w >= 0, torch.ones_like(w), -torch.ones_like(w))
        return (signs * mean - passed).detach() + passed
    raise ValueError(name)


def weights() -> tuple[list[str], Tensor]:
    """Tensors that are hard on a quantizer, exact in float32."""
    torch.manual_seed(4)
    draw = lambda: torch.rand(SHAPE, dtype=torch.float32) * 2 - 1
    outlier, zero_channel = draw() * 0.1, draw()
    outlier[1, 2, 0] = 300
    zero_channel[2] = 0
    cases = {
        "random": draw(), "small": draw() * 0.05, "constant": torch.full(SHAPE, 0.3), "zero channel": zero_channel,
        "huge": draw() * 1e20, "tiny": draw() * 1e-4, "outlier": outlier, "beyond one": draw() * 3,
    }
    return list(cases), torch.stack(list(cases.values())).double()


def initial_steps(w: Tensor, bits: int, per_channel: bool) -> Tensor:
    """2 E|w| / sqrt(Q_p), for the tensor or for each channel."""
    means = w.abs().mean((1, 2)) if per_channel else w.abs().mean().view(1)
    return (2 * means / (2 ** (bits - 1) - 1) ** 0.5).clamp(min=STEP_FLOOR)


def activation(kind: str, learns: str, bits: int, x: Tensor, learned: Tensor) -> Tensor:
    """PACT (`alpha`) or LSQ (`step`) on the grid `kind`."""
    levels = 2**bits - 1 if kind == "unsigned" else 2 ** (bits - 1) - 1
    x = torch.relu(x) if kind == "signed-after-relu" else x
    if learns == "alpha":
        low = torch.zeros_like(learned) if kind == "unsigned" else -learned
        clipped = torch.minimum(torch.maximum(x, low), learned)
        exact = torch.round(clipped * levels / learned) * learned / levels
        return (exact - clipped).detach() + clipped
    s = grad_scale(learned, 1 / (x.numel() * levels) ** 0.5)
    return round_pass(torch.clamp(x / s, 0 if kind == "unsigned" else -levels, levels)) * s


def with_offset(function: str, bits: int, x: Tensor, step: Tensor, offset: Tensor) -> Tensor:
    """LSQ+ of the values of `function` on 2^bits levels, of which the z-th stands for 0: a clip of v/s at whole levels, and the offset added where
    it clips, as in the published y = s round(clip((v - b)/s)) + b; z is the offset in levels, rounded, without a gradient."""
    levels = 2**bits - 1
    v = torch.relu(x) if function == "relu" else x
    s, b = (grad_scale(learned, 1 / (x.numel() * levels) ** 0.5) for learned in (step, offset))
    zero = torch.clamp(torch.round(-b / s), 0, levels).item()
    position = v / s
    outside = (position < -zero) | (position >= levels - zero)
    return round_pass(torch.clamp(position, -zero, levels - zero)) * s + (b - b.detach()) * outside


def main() -> None:
    names, stacked = weights()
    torch.manual_seed(5)
    upstream = torch.rand(SHAPE, dtype=torch.float64) * 2 - 1
    tensors = {"weights": stacked, "upstream": upstream}
    for name, widths in WIDTHS.items():
        for bits in widths:
            for per_channel in (False, True):
                key = f"{name}.{bits}.{'channel' if per_channel else 'tensor'}"
                values, gradients, steps, step_gradients = [], [], [], []
                for w in stacked:
                    w = w.clone().requires_grad_(True)
                    step = initial_steps(w.detach(), bits, per_channel).requires_grad_(True) if name == "lsq" else None
                    value = quantize(name, bits, w, per_channel, step)
                    (value * upstream).sum().backward()
                    values.append(value.detach())
                    gradients.append(w.grad)
                    if step is not None:
                        steps.append(step.detach())
                        step_gradients.append(step.grad)
                tensors[f"{key}.values"] = torch.stack(values)
                # Zero divided by a channel's zero: dorefa's gradient there is 0 by definition.
                tensors[f"{key}.gradients"] = torch.nan_to_num(torch.stack(gradients), nan=0.0)
                if steps:
                    tensors[f"{key}.steps"], tensors[f"{key}.step_gradients"] = torch.stack(steps), torch.stack(step_gradients)
    x = (torch.rand(60, dtype=torch.float64) * 2 - 0.9) * 2
    tensors["x"], tensors["x.upstream"] = x, torch.rand(60, dtype=torch.float64) * 2 - 1
    for kind in ("unsigned", "signed", "signed-after-relu"):
        for bits in range(1 if kind == "unsigned" else 2, 9):
            for learns in ("alpha", "step"):
                levels = 2**bits - 1 if kind == "unsigned" else 2 ** (bits - 1) - 1
                learned = torch.tensor([ALPHA if learns == "alpha" else ALPHA / levels], dtype=torch.float64, requires_grad=True)
                own = x.clone().requires_grad_(True)
                value = activation(kind, learns, bits, own, learned)
                (value * tensors["x.upstream"]).sum().backward()
                key = f"{learns}.{kind}.{bits}"
                tensors[f"{key}.values"], tensors[f"{key}.gradients"] = value.detach(), own.grad
                tensors[f"{key}.learned_gradient"] = learned.grad
    for function in ("identity", "relu"):
        for bits in range(1, 9):
            step = torch.tensor([RANGE / (2**bits - 1)], dtype=torch.float64, requires_grad=True)
            offset = torch.tensor([OFFSET], dtype=torch.float64, requires_grad=True)
            own = x.clone().requires_grad_(True)
            value = with_offset(function, bits, own, step, offset)
            (value * tensors["x.upstream"]).sum().backward()
            key = f"offset.{function}.{bits}"
            tensors[f"{key}.values"], tensors[f"{key}.gradients"] = value.detach(), own.grad
            tensors[f"{key}.learned_gradients"] = torch.cat([step.grad, offset.grad])
    made = {
        "torch": torch.__version__, "script": "tests/goldens/make_quantizers.py", "tensors": names, "alpha": ALPHA, "range": RANGE, "offset": OFFSET,
    }
    save_file({key: value.contiguous() for key, value in tensors.items()}, HERE / "quantizers.safetensors", {"golden": json.dumps(made)})


if __name__ == "__main__":
    main()

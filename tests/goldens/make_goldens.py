"""Writes the golden files beside this script; see README.md for what each holds.

    python make_goldens.py                  # images from the committed images.safetensors
    python make_goldens.py --mnist DIR      # images anew from MNIST's train-*-ubyte.gz in DIR
    python make_goldens.py --only forward   # some of the files

Everything is seeded; `*_f64` and `ref_*` values are float64 and reproducible to about 1e-12 on any machine, float32 values to
their rounding. table1.safetensors is kept where it exists (all others start from it); delete it to have it made anew.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import reference as ref

HERE = Path(__file__).resolve().parent
BITS = (4, 2)
FC1_SAMPLE = 20_000
QUANTIZED_RATE = 0.003
"""At 0.05 or 0.02 one weight level that rounding flips moves the cross-entropy by up to 1e-2 within the ten steps; at this rate by less than 1e-3."""
SAWB_RATE = 0.0005
"""With sawb, runs at 0.003 (and some at 0.001 and 0.002) flip a level at one step or another, by the last bits of their sums; at this rate none does."""
JITTER = 1e-6
"""Relative size of the change to the perturbed runs' initial parameters: about ten float32 roundings, so that some level does flip."""
PERTURBED_RUNS = 3
SGT = {
    "steps": 10, "batch_size": 12, "images": 120, "shuffle": False, "optimizer": "momentum", "momentum": 0.9, "learning_rate": 0.05,
    "weight_decay": 0.0, "lambda": 1.0, "mask_ratio": 0.5, "mask_fill": "corner", "mask_rank": "signed", "target": "log_softmax",
    "stop_gradient": False, "init": "table1.safetensors",
}


def save(name: str, tensors: dict[str, Tensor], settings: dict) -> None:
    """Writes HERE/name.safetensors with how it was made under the metadata key `golden`."""
    made = {"torch": torch.__version__, "numpy": np.__version__, "script": "tests/goldens/make_goldens.py", **settings}
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, HERE / f"{name}.safetensors", {"golden": json.dumps(made)})


def images_and_labels(mnist: Path | None) -> tuple[Tensor, Tensor]:
    """The first 128 training images of MNIST, u8 [128,1,28,28], and their labels, i64 [128]."""
    path = HERE / "images.safetensors"
    if mnist is not None:
        pixels = gzip.open(mnist / "train-images-idx3-ubyte.gz").read()[16 : 16 + 128 * 784]
        labels = gzip.open(mnist / "train-labels-idx1-ubyte.gz").read()[8 : 8 + 128]
        tensors = {
            "images": torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(128, 1, 28, 28),
            "labels": torch.frombuffer(bytearray(labels), dtype=torch.uint8).long(),
        }
        save("images", tensors, {"source": "MNIST (LeCun, Cortes, Burges), CC BY-SA 3.0, first 128 training images"})
    loaded = load_file(path)
    return loaded["images"], loaded["labels"]


def inputs(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Normalised in float32 whatever the dtype, so that twins start from the same numbers."""
    return torch.from_numpy(ref.normalize(images.numpy())).to(dtype)


def make_table1(images: Tensor, labels: Tensor) -> None:
    """PyTorch's default initialisation, seed 0, then 12 plain steps: logits that differ, losses near 1, gradients that are not tiny."""
    torch.manual_seed(0)
    network = ref.TableOne()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    x = inputs(images, torch.float32)
    for step in range(12):
        batch = slice(32 * (step % 4), 32 * (step % 4) + 32)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        print(f"table1: step {step + 1}, loss {loss.item():.4f}")
    # As torch users write it: names and shapes of the state_dict, no metadata of ours.
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, HERE / "table1.safetensors", {"format": "pt"})


def table1(dtype: torch.dtype) -> dict[str, Tensor]:
    """Parameters of table1.safetensors in the given dtype."""
    return {key: value.to(dtype) for key, value in load_file(HERE / "table1.safetensors").items()}


def relative(value: Tensor, twin: Tensor) -> float:
    """L2 distance relative to the twin's norm."""
    return ((value.double() - twin.double()).norm() / twin.double().norm()).item()


def edge_distance(before: Tensor, alpha: Tensor, bits: int) -> Tensor:
    """Per image, how near a pre-activation comes to a value where its level (half-integers) or its gradient (0 and alpha) jumps, in levels."""
    top = 2**bits - 1
    scaled = before * top / alpha
    nearest = torch.minimum(scaled.abs(), (scaled - top).abs())
    rounding = (scaled - (scaled.floor().clamp(0, top - 1) + 0.5)).abs()
    return torch.minimum(nearest, rounding).flatten(1).amin(1)


def make_forward(images: Tensor, labels: Tensor) -> None:
    """Logits, input gradients and activation levels of 16 images, float and quantized three ways."""
    images, labels = images[:16].clone(), labels[:16].clone()
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    tensors = {"images": images, "labels": labels, "normalized_pixels": inputs(pixels, torch.float32).flatten()}
    distances = {}
    for variant in ("float", "sawb", "affine", "dorefa"):
        quantizer = None if variant == "float" else variant
        alphas = {}
        if quantizer:
            # DoReFa's weights reach from -1 to 1 whatever the tensor; with a range fitted to that the softmax saturates and its
            # gradients vanish. SAWB's range keeps the activations as large as the fully connected layers expect.
            fitted = "sawb" if variant == "dorefa" else quantizer
            alphas = ref.calibrated_alphas(table1(torch.float64), inputs(images, torch.float64), fitted, BITS)
            tensors.update({f"{variant}.{name}": value.float() for name, value in alphas.items()})
        found = {}
        for dtype, suffix in ((torch.float32, ""), (torch.float64, "_f64")):
            parameters = {**table1(dtype), **{name: value.to(dtype) for name, value in alphas.items()}}
            x = inputs(images, dtype).requires_grad_(True)
            trace = ref.forward(parameters, x, quantizer, BITS)
            out = {"logits": trace.logits.detach()}
            for target in ("log_softmax", "label", "predicted"):
                if target == "predicted" and quantizer:
                    continue
                (out[f"grad_{target}"],) = torch.autograd.grad(ref.target_sum(trace.logits, labels, target), x, retain_graph=True)
            found[suffix] = dict(out)
            if quantizer:
                for index, bits in enumerate(BITS, 1):
                    name, alpha = f"act{index}", parameters[f"act{index}.alpha"]
                    found[suffix][f"levels.{name}"] = ref.pact_levels(trace.before[name], alpha, bits).to(torch.uint8)
                    found[suffix][f"weight.conv{index}"] = ref.quantized_weight(parameters, f"conv{index}", quantizer, bits)
                    if suffix:
                        tensors[f"{variant}.{name}.edge_distance_f64"] = edge_distance(trace.before[name], alpha, bits)
            tensors.update({f"{variant}.{name}{suffix}": value for name, value in out.items()})
        tensors[f"{variant}.predicted"] = found["_f64"]["logits"].argmax(1)
        single, double = found[""], found["_f64"]
        distance = {name: relative(single[name], double[name]) for name in single if name.startswith(("logits", "grad"))}
        for index in (1, 2) if quantizer else ():
            levels, weight = f"levels.act{index}", f"weight.conv{index}"
            distance[f"act{index}_levels_that_differ"] = int((single[levels] != double[levels]).sum())
            distance[weight] = relative(single[weight], double[weight])
            tensors[f"{variant}.act{index}.levels"] = double[levels][:8].clone()
            tensors[f"{variant}.conv{index}.weight_quantized"] = double[weight].float()
        distances[variant] = distance
        print(f"forward {variant}:", {key: f"{value:.2g}" for key, value in distance.items()})
    settings = {"bits": BITS, "pact": "unsigned", "mean": ref.MEAN, "deviation": ref.DEVIATION, "parameters": "table1.safetensors"}
    save("forward", tensors, {**settings, "relative_distance_f32_f64": distances})


def run_sgt(images, labels, dtype, quantizer, alphas, rate, jitter: int | None = None):
    """The steps of SGT in one data type from table1 and `alphas`; `jitter` multiplies the initial parameters by up to 1 +- JITTER, seeded.
    Returns the step results and the change of every parameter."""
    start = {**table1(dtype), **{name: value.to(dtype) for name, value in alphas.items()}}
    if jitter is not None:
        generator = torch.Generator().manual_seed(1000 + jitter)
        start = {n: v * (1 + JITTER * (2 * torch.rand(v.shape, generator=generator, dtype=torch.float64) - 1)).to(dtype) for n, v in start.items()}
    parameters = {name: value.clone().requires_grad_(True) for name, value in start.items()}
    optimizer = torch.optim.SGD(parameters.values(), lr=rate, momentum=SGT["momentum"])
    x, size, results = inputs(images, dtype), SGT["batch_size"], []
    for step in range(SGT["steps"]):
        batch = slice(step * size, (step + 1) * size)
        results.append(ref.sgt_step(parameters, optimizer, x[batch], labels[batch], quantizer, BITS, SGT["mask_ratio"], SGT["lambda"]))
    return results, {name: (parameters[name].detach() - start[name]) for name in parameters}


def make_sgt(name: str, images: Tensor, labels: Tensor, quantizer: str | None, rate: float) -> None:
    """Ten SGT steps in float64 and float32, plus slightly perturbed float32 runs that show how far independent ones may lie apart."""
    images, labels = images[: SGT["images"]].clone(), labels[: SGT["images"]].clone()
    alphas = {}
    if quantizer:
        alphas = ref.calibrated_alphas(table1(torch.float64), inputs(images[: SGT["batch_size"]], torch.float64), quantizer, BITS)
    run = lambda dtype, jitter=None: run_sgt(images, labels, dtype, quantizer, alphas, rate, jitter)
    steps, change = run(torch.float64)
    tensors = {"images": images, "labels": labels, **{key: value.float() for key, value in alphas.items()}}
    indices = torch.randperm(change["fc1.weight"].numel(), generator=torch.Generator().manual_seed(7))[:FC1_SAMPLE].sort().values
    tensors["fc1.weight.indices"] = indices
    tensors["ref_step1.input_gradient"] = steps[0].input_gradient
    tensors["ref_step1.mask"] = steps[0].mask.to(torch.uint8)
    twins = [run(torch.float32)] + [run(torch.float32, jitter) for jitter in range(PERTURBED_RUNS)]
    for prefix, (results, changes) in (("ref", (steps, change)), ("f32", twins[0])):
        dtype = torch.float64 if prefix == "ref" else torch.float32
        for column in ("ce", "kl", "accuracy"):
            tensors[f"{prefix}_{column}"] = torch.tensor([getattr(result, column) for result in results], dtype=torch.float64)
        for parameter, value in changes.items():
            tensors[f"{prefix}_change.{parameter}"] = value.flatten()[indices].to(dtype) if parameter == "fc1.weight" else value.to(dtype)
        tensors[f"{prefix}_change_norm.fc1.weight"] = changes["fc1.weight"].double().norm().view(1)
    largest = lambda values: max(values)
    table = []
    print(f"{name} (lr {rate}); distances from float64: the float32 run / the largest of it and {PERTURBED_RUNS} perturbed ones")
    for step, result in enumerate(steps):
        ce = [abs(results[step].ce - result.ce) for results, _ in twins]
        kl = [abs(results[step].kl - result.kl) for results, _ in twins]
        masks = [int((results[step].mask != result.mask).sum()) // 2 for results, _ in twins]
        table.append({"ce": result.ce, "kl": result.kl, "accuracy": result.accuracy, "ce_distance": largest(ce), "kl_distance": largest(kl), "mask_swaps": largest(masks)})
        print(
            f"| {step + 1} | {result.ce:.6f} | {result.kl:.6f} | {result.accuracy:.3f} | {ce[0]:.1e} / {largest(ce):.1e} "
            f"| {kl[0]:.1e} / {largest(kl):.1e} | {masks[0]} / {largest(masks)} |"
        )
    changes = {parameter: [relative(other[parameter], value) for _, other in twins] for parameter, value in change.items()}
    print("| change of |", " | ".join(changes), "|\n| distance |", " | ".join(f"{v[0]:.1e} / {largest(v):.1e}" for v in changes.values()), "|")
    settings = {**SGT, "learning_rate": rate, "bits": BITS if quantizer else (32, 32), "weight_quant": quantizer, "pact": "unsigned"}
    distances = {"steps": table, "change": {parameter: largest(values) for parameter, values in changes.items()}}
    save(name, tensors, {**settings, "largest_distance_f32_f64": distances})


def make_optimizers() -> None:
    """Five steps of every update rule, float64, from the same parameters and gradients."""
    generator = torch.Generator().manual_seed(3)
    initial = torch.randn(37, generator=generator, dtype=torch.float64)
    gradients = torch.randn(5, 37, generator=generator, dtype=torch.float64) * 0.3
    gradients[:, 5], gradients[2, 8] = 0, 0  # An element that never has a gradient, one that has none once.
    # Rounded to float32 so that a float32 implementation starts from the very same numbers.
    initial, gradients = initial.float().double(), gradients.float().double()
    tensors = {"initial": initial.clone(), "gradients": gradients}
    cases = {
        "sgd": (torch.optim.SGD, {"lr": 0.1}),
        "sgd_decay": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.01}),
        "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        "nesterov_decay": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        "adam": (torch.optim.Adam, {"lr": 0.001}),
        "adam_decay": (torch.optim.Adam, {"lr": 0.001, "weight_decay": 0.01}),
        "adamw": (torch.optim.AdamW, {"lr": 0.001, "weight_decay": 0.01}),
        "adadelta": (torch.optim.Adadelta, {"lr": 1.0, "rho": 0.9, "eps": 1e-6}),
    }
    for name, (kind, options) in cases.items():
        parameter = nn.Parameter(initial.clone())
        optimizer = kind([parameter], **options)
        history = []
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
            history.append(parameter.detach().clone())
        tensors[f"{name}.parameters"] = torch.stack(history)
        tensors[f"{name}.lr"] = torch.tensor([options["lr"]], dtype=torch.float64)
    save("optimizers", tensors, {"cases": {name: options for name, (_, options) in cases.items()}, "dtype": "float64"})


def make_schedules() -> None:
    """The rate (and one-cycle's momentum) in force at each step, from torch.optim.lr_scheduler."""
    def record(make, steps, advance_every=1, rate=0.1):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate, momentum=0.9)
        scheduler, rows = make(optimizer), []
        for step in range(steps):
            rows.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
            optimizer.step()
            if (step + 1) % advance_every == 0 and step + 1 < steps:
                scheduler.step()
        return [rate for rate, _ in rows], [momentum for _, momentum in rows]

    kinds = torch.optim.lr_scheduler
    cosine, _ = record(lambda o: kinds.CosineAnnealingLR(o, T_max=50), 50)
    rate, momentum = record(lambda o: kinds.OneCycleLR(o, max_lr=0.1, total_steps=50), 50)
    step, _ = record(lambda o: kinds.StepLR(o, step_size=2, gamma=0.5), 42, advance_every=7)
    one_cycle = {
        "max_lr": 0.1, "total_steps": 50, "pct_start": 0.3, "anneal_strategy": "cos", "base_momentum": 0.85, "max_momentum": 0.95,
        "div_factor": 25.0, "final_div_factor": 1e4, "three_phase": False, "learning_rate": rate, "momentum": momentum,
    }
    content = {
        "made_with": {"torch": torch.__version__, "script": "tests/goldens/make_goldens.py"},
        "cosine": {"base_lr": 0.1, "total_steps": 50, "minimum": 0.0, "learning_rate": cosine},
        "one_cycle": one_cycle,
        "step": {"base_lr": 0.1, "gamma": 0.5, "step_epochs": 2, "steps_per_epoch": 7, "learning_rate": step},
    }
    (HERE / "schedules.json").write_text(json.dumps(content, indent=1) + "\n")


def make_odd_network() -> None:
    """Strides, paddings, an overlapping pool and odd sizes: logits and every gradient of the mean cross-entropy."""
    torch.manual_seed(5)
    layers = {"conv1": nn.Conv2d(3, 5, 3, stride=2, padding=1), "conv2": nn.Conv2d(5, 7, 2, padding=1), "fc1": nn.Linear(63, 9), "fc2": nn.Linear(9, 4)}
    initial = {f"{name}.{key}": value.detach() for name, layer in layers.items() for key, value in layer.state_dict().items()}
    x, labels = torch.randn(3, 3, 11, 13), torch.tensor([2, 0, 3])
    tensors = {**initial, "input": x, "labels": labels}
    for dtype, suffix in ((torch.float32, ""), (torch.float64, "_f64")):
        p = {name: value.to(dtype).clone().requires_grad_(True) for name, value in initial.items()}
        image = x.to(dtype).clone().requires_grad_(True)
        hidden = F.relu(F.conv2d(image, p["conv1.weight"], p["conv1.bias"], stride=2, padding=1))
        hidden = F.relu(F.conv2d(hidden, p["conv2.weight"], p["conv2.bias"], padding=1))
        hidden = torch.flatten(F.max_pool2d(hidden, 3, 2), 1)
        logits = F.linear(F.relu(F.linear(hidden, p["fc1.weight"], p["fc1.bias"])), p["fc2.weight"], p["fc2.bias"])
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        tensors.update({f"logits{suffix}": logits, f"loss{suffix}": loss.view(1), f"input_gradient{suffix}": image.grad})
        tensors.update({f"gradient.{name}{suffix}": value.grad for name, value in p.items()})
    layers = [
        "conv1 3->5, 3x3, stride 2, padding 1", "relu", "conv2 5->7, 2x2, stride 1, padding 1", "relu", "max-pool 3x3, stride 2", "flatten 63",
        "fc1 9", "relu", "fc2 4",
    ]
    save("odd_network", tensors, {"layers": layers, "loss": "mean cross-entropy over the 3 images"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz")
    parser.add_argument("--only", nargs="*", help="names of files to make, without the ending; all where absent")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images, labels = images_and_labels(arguments.mnist)
    if not (HERE / "table1.safetensors").exists():
        make_table1(images, labels)
    rate = SGT["learning_rate"]
    makers = {
        "forward": lambda: make_forward(images, labels),
        "sgt_float": lambda: make_sgt("sgt_float", images, labels, None, rate),
        "sgt_pact42": lambda: make_sgt("sgt_pact42", images, labels, "sawb", SAWB_RATE),
        "sgt_pact42_affine": lambda: make_sgt("sgt_pact42_affine", images, labels, "affine", QUANTIZED_RATE),
        "optimizers": make_optimizers,
        "schedules": make_schedules,
        "odd_network": make_odd_network,
    }
    for name in arguments.only or makers:
        makers[name]()


if __name__ == "__main__":
    main()

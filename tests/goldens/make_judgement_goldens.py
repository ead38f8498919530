"""Golden values of the judgements of explanations, from Captum, Quantus, scikit-image and SciPy.

    pip install -r tests/goldens/requirements-judgements.txt
    python tests/goldens/make_judgement_goldens.py

Writes `judgements.safetensors` beside itself. The network is that of `odd_network.safetensors`, in float64, the images are random bytes, and the
random numbers are saliq's own (pcg4d, stated again in NumPy), so that both sides see the same noise.
"""

from __future__ import annotations

import json
from pathlib import Path

import captum
import numpy as np
import quantus
import scipy.stats
import skimage.metrics
import torch
import torch.nn.functional as F
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max
from quantus.functions.perturb_func import noisy_linear_imputation
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
SHAPE = (3, 11, 13)
PIXELS = 11 * 13
COUNT = 6
MEAN, DEVIATION = np.float32(0.4), np.float32(0.25)
SEED = 0x123456789ABCDEF
FILL, INITIALIZE, PERTURB, BOOTSTRAP = 3, 5, 32, 33


def pcg4d(v: np.ndarray) -> np.ndarray:
    """Jarzynski and Olano's hash of [..., 4] uint32."""
    v = v.astype(np.uint32) * np.uint32(1664525) + np.uint32(1013904223)
    x, y, z, w = (v[..., i].copy() for i in range(4))
    for last in (False, True):
        x += y * w
        y += z * x
        z += x * y
        w += y * z
        if not last:
            x, y, z, w = (part ^ (part >> np.uint32(16)) for part in (x, y, z, w))
    return np.stack([x, y, z, w], -1)


def key(seed: int, step: int, stream: int) -> np.ndarray:
    # Of an array: NumPy's scalars warn where unsigned arithmetic wraps.
    return pcg4d(np.array([[seed & 0xFFFFFFFF, seed >> 32, step, stream]], np.uint32))[0]


def bits(of: np.ndarray, a, b=0) -> np.ndarray:
    a, b = np.broadcast_arrays(np.asarray(a, np.uint32), np.asarray(b, np.uint32))
    return pcg4d(of + np.stack([a, b, np.zeros_like(a), np.zeros_like(a)], -1))


def uniform01(words: np.ndarray) -> np.ndarray:
    return (words >> np.uint32(8)).astype(np.float64) / 2**24


def normal4(words: np.ndarray) -> np.ndarray:
    u = uniform01(words)
    radius = np.sqrt(-2 * np.log(u[..., 0::2] + 2.0**-24))
    angle = 2 * np.pi * u[..., 1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(words.shape)


def noise(sample: int, scale: np.float32, normal: bool) -> np.ndarray:
    """[image, channel, row, column]; the three channels are one group of four."""
    words = bits(key(SEED, sample, PERTURB), np.arange(COUNT)[:, None], np.arange(PIXELS)[None, :])
    drawn = normal4(words) if normal else 2 * uniform01(words) - 1
    return (float(scale) * drawn[..., :3]).transpose(0, 2, 1).reshape(COUNT, *SHAPE)


class Odd(torch.nn.Module):
    def __init__(self, parameters: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.p = {name: torch.tensor(value, dtype=torch.float64) for name, value in parameters.items()}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.p
        x = F.relu(F.conv2d(x, p["conv1.weight"], p["conv1.bias"], stride=2, padding=1))
        x = F.relu(F.conv2d(x, p["conv2.weight"], p["conv2.bias"], padding=1))
        x = torch.flatten(F.max_pool2d(x, 3, 2), 1)
        return F.linear(F.relu(F.linear(x, p["fc1.weight"], p["fc1.bias"])), p["fc2.weight"], p["fc2.bias"])


LAYERS = ["conv1", "conv2", "fc1", "fc2"]


def gradients(network: Odd, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    with torch.enable_grad():  # Captum calls without
        x = torch.tensor(images, dtype=torch.float64, requires_grad=True)
        network(x)[torch.arange(len(x)), torch.tensor(targets)].sum().backward()
    return x.grad.numpy()


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    return skimage.metrics.structural_similarity(
        a / np.abs(a).max(), b / np.abs(b).max(), data_range=2.0, channel_axis=0, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )


def iou(a: np.ndarray, b: np.ndarray, share: float) -> float:
    pixel = lambda m: np.abs(m).sum(0).ravel()
    k = int(share * PIXELS)
    top = [set(np.argsort(-pixel(m), kind="stable")[:k]) for m in (a, b)]
    return len(top[0] & top[1]) / len(top[0] | top[1])


def removed(image: np.ndarray, order: np.ndarray, k: int, fill: str, place: int) -> np.ndarray:
    out = image.reshape(3, -1).copy()
    gone = np.sort(order[:k])
    if fill == "zero":
        out[:, gone] = 0
    elif fill == "mean":
        out[:, gone] = image.mean()
    elif fill == "corner":
        out[:, gone] = out[:, :1]
    elif k > 0:
        out = np.asarray(noisy_linear_imputation(image, gone, noise=0.0)).reshape(3, -1).copy()
        words = bits(key(SEED, 0, FILL), place, gone)
        out[:, gone] += float(np.float32(0.01)) * normal4(words)[:, :3].T
    return out.reshape(SHAPE)


def main() -> None:
    random = np.random.default_rng(20)
    parameters = {k: v for k, v in load_file(HERE / "odd_network.safetensors").items() if k.split(".")[0] in LAYERS}
    # Smooth images: a removed pixel then has neighbours that say something about it.
    coarse = random.normal(size=(COUNT, 3, 4, 4))
    smooth = F.interpolate(torch.tensor(coarse), SHAPE[1:], mode="bicubic").numpy() + 0.1 * random.normal(size=(COUNT, *SHAPE))
    images = np.clip(110 + 60 * smooth, 0, 255).astype(np.uint8)
    x = ((images.astype(np.float32) / np.float32(255) - MEAN) / DEVIATION).astype(np.float64)
    # A last layer that tells the images apart, so that predictions depend on what is removed.
    parameters["fc2.weight"] = parameters["fc2.weight"] * np.float32(20)
    centre = Odd(parameters)(torch.tensor(x)).numpy().mean(0)
    parameters["fc2.bias"] = (parameters["fc2.bias"] - centre).astype(np.float32)
    network = Odd(parameters)
    logits = network(torch.tensor(x)).numpy()
    targets = logits.argmax(1)
    labels = targets.copy()
    labels[1] = (labels[1] + 1) % 4
    tensors = {name: parameters[name] for name in ("fc2.weight", "fc2.bias")}
    tensors |= {"images": images, "labels": labels.astype(np.int64), "targets": targets.astype(np.int64)}

    a = random.normal(size=(COUNT, *SHAPE)).astype(np.float32)
    b = (0.6 * a + random.normal(size=a.shape)).astype(np.float32)
    # Ties: rank correlation has to average them.
    a[2], b[2] = np.round(a[2]), np.round(b[2])
    tensors |= {"a": a, "b": b}
    wide = [m.astype(np.float64) for m in (a, b)]
    pairs = list(zip(*wide))
    tensors["spearman"] = np.array([scipy.stats.spearmanr(p.ravel(), q.ravel()).statistic for p, q in pairs])
    tensors["pearson"] = np.array([np.corrcoef(p.ravel(), q.ravel())[0, 1] for p, q in pairs])
    tensors["cosine"] = np.array([p.ravel() @ q.ravel() / np.linalg.norm(p) / np.linalg.norm(q) for p, q in pairs])
    tensors["ssim"] = np.array([ssim(p, q) for p, q in pairs])
    tensors["top_overlap"] = np.array([iou(p, q, 0.1) for p, q in pairs])
    quiet = dict(disable_warnings=True, display_progressbar=False, abs=True, normalise=False)
    for name, metric in [("gini", quantus.Sparseness(**quiet)), ("entropy", quantus.Complexity(**quiet))]:
        tensors[name] = np.array(metric.evaluate_batch(x_batch=x, a_batch=np.abs(wide[0]).copy()), np.float64)

    torch_x, torch_targets = torch.tensor(x), torch.tensor(targets)
    samples = 10
    drawn = np.stack([noise(s, np.float32(0.02), False) for s in range(samples)], 1)
    spread = lambda values: torch.tensor(values.reshape(-1, *SHAPE))
    only = lambda inputs: inputs[0] if isinstance(inputs, tuple) else inputs
    tensors["max_sensitivity"] = sensitivity_max(
        lambda inputs, target: (torch.tensor(gradients(network, only(inputs).detach().numpy(), target.numpy())),),
        torch_x, lambda inputs, radius: only(inputs) + spread(drawn),
        n_perturb_samples=samples, target=torch_targets, norm_ord=2, max_examples_per_batch=COUNT * samples,
    ).numpy()
    # Half the gradient: then the map's and the network's side of the difference both count.
    original = gradients(network, x, targets).astype(np.float32)
    half = torch.tensor(0.5 * original.astype(np.float64))
    drawn_normal = np.stack([noise(s, np.float32(0.1), True) for s in range(samples)], 1)
    tensors["infidelity"] = infidelity(
        network, lambda inputs: (spread(drawn_normal), inputs - spread(drawn_normal)), torch_x, half,
        target=torch_targets, n_perturb_samples=samples, max_examples_per_batch=COUNT * samples,
    ).detach().numpy()

    # A map that holds the image's distance from a baseline as a factor; one pixel is no distance from it.
    baseline = float(np.float32(x[0, 0, 0, 0]))
    tensors["infidelity.multiplied"] = infidelity(
        network, infidelity_perturb_func_decorator(True)(lambda inputs, baselines: inputs - spread(drawn_normal)), torch_x,
        half * (torch_x - baseline), baselines=baseline, target=torch_targets, n_perturb_samples=samples,
        max_examples_per_batch=COUNT * samples,
    ).detach().numpy()
    tensors["infidelity.baseline"] = np.array([baseline])

    order = [np.argsort(-np.abs(m).sum(0).ravel(), kind="stable") for m in a]
    shares = [0.0, 0.3, 0.6, 0.9]
    for fill in ["zero", "mean", "corner", "road"]:
        left = np.stack([[removed(x[i], order[i], int(round(s * 1e7) / 1e7 * PIXELS), fill, i) for i in range(COUNT)] for s in shares])
        tensors[f"removed.{fill}"] = left[[1, 3]]
        predicted = network(torch.tensor(left.reshape(-1, *SHAPE))).argmax(1).numpy().reshape(len(shares), COUNT)
        tensors[f"accuracy.{fill}"] = (predicted == labels).mean(1)
    steps = 5
    for name, inverted in [("deletion", False), ("insertion", True)]:
        curve = []
        for step in range(steps + 1):
            k = int(step / steps * PIXELS)
            gone = [o[k:] if inverted else o[:k] for o in order]
            left = np.stack([removed(x[i], gone[i], len(gone[i]), "zero", i) for i in range(COUNT)])
            curve.append(torch.softmax(network(torch.tensor(left)), 1).numpy()[np.arange(COUNT), targets])
        tensors[name] = np.trapezoid(np.stack(curve), dx=1 / steps, axis=0)

    names = [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
    fresh, offset, initial = {}, 0, key(SEED ^ 0x5EED5EED5EED5EED, 0, INITIALIZE)
    for name in names:
        shape = parameters[name].shape
        fan_in = np.prod(parameters[name.split(".")[0] + ".weight"].shape[1:])
        drawn_words = bits(initial, offset + np.arange(np.prod(shape)))[:, 0]
        fresh[name] = ((2 * uniform01(drawn_words) - 1) / np.sqrt(fan_in)).astype(np.float32).reshape(shape)
        offset += int(np.prod(shape))
    current, agreement = dict(parameters), []
    for layer in reversed(LAYERS):
        current |= {name: fresh[name] for name in names if name.startswith(layer + ".")}
        maps = gradients(Odd(current), x, targets)
        agreement.append([scipy.stats.spearmanr(np.abs(p).ravel(), np.abs(q).ravel()).statistic for p, q in zip(original, maps)])
    tensors["randomization"] = np.array(agreement)
    tensors["gradients"] = original

    values = tensors["infidelity"].astype(np.float64)
    firsts = np.arange(0, COUNT, 4)
    means = []
    for resample in range(1000):
        words = bits(key(SEED, 0, BOOTSTRAP), resample, firsts).reshape(-1)[:COUNT]
        means.append(values[(words.astype(np.uint64) * np.uint64(COUNT)) >> np.uint64(32)].mean())
    means = np.sort(means)
    tensors["bootstrap"] = np.array([values.mean(), means[round(0.025 * 999)], means[round(0.975 * 999)]])

    made = {
        "versions": {m.__name__: m.__version__ for m in (torch, captum, quantus, skimage, scipy, np)},
        "seed": SEED, "mean": float(MEAN), "deviation": float(DEVIATION), "shares": shares, "steps": steps,
    }
    # Captum and the images are float64 to their end; nothing is lost by f32 but space.
    stored = {k: np.ascontiguousarray(v.astype(np.float32) if k.startswith(("removed", "gradients")) else v) for k, v in tensors.items()}
    save_file(stored, HERE / "judgements.safetensors", {"golden": json.dumps(made)})
    for name, value in stored.items():
        print(f"{name:20} {value.dtype} {value.shape} {value.ravel()[:3]}")


if __name__ == "__main__":
    main()

"""Writes class_weights.safetensors beside this script: steps with PyTorch's weighted cross entropy, see README.md.

    python make_class_weights.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from reference import PARAMETERS, normalize, sgt_step
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
IMAGES, BATCH, STEPS, RATE = 24, 12, 2, 0.01


def main() -> None:
    own = load_file(HERE / "images.safetensors")
    images = own["images"][:IMAGES]
    # Three rare classes, a frequent one, and six without images.
    labels = own["labels"][:IMAGES].clamp(max=3)
    counts = torch.bincount(labels, minlength=10).double()
    weights = torch.where(counts > 0, IMAGES / ((counts > 0).sum() * counts), torch.zeros(10).double())
    start = load_file(HERE / "table1.safetensors")
    parameters = {name: start[name].double().requires_grad_() for name in PARAMETERS}
    optimizer = torch.optim.SGD(list(parameters.values()), lr=RATE)
    x = torch.from_numpy(normalize(images.numpy())).double()
    results = []
    for step in range(STEPS):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        results.append(sgt_step(parameters, optimizer, x[batch], labels[batch], class_weights=weights))
    tensors = {"images": images, "labels": labels, "weights": weights}
    for name in ("ce", "kl", "accuracy"):
        tensors[name] = torch.tensor([getattr(result, name) for result in results], dtype=torch.float64)
    for name in PARAMETERS:
        if name != "fc1.weight":
            tensors[f"change.{name}"] = (parameters[name].detach() - start[name].double()).contiguous()
    settings = {"torch": torch.__version__, "learning_rate": RATE, "batch_size": BATCH, "counts": counts.tolist()}
    save_file({name: own.contiguous() for name, own in tensors.items()}, HERE / "class_weights.safetensors", {"golden": json.dumps(settings)})
    print(settings, tensors["ce"], tensors["kl"])


if __name__ == "__main__":
    main()

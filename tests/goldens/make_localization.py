"""Writes localization.safetensors beside this script: Quantus' localisation metrics of random maps and masks, see README.md.

    python make_localization.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import quantus
from safetensors.numpy import save_file

HERE = Path(__file__).resolve().parent
IMAGES, CHANNELS, HEIGHT, WIDTH = 7, 3, 9, 11


def main() -> None:
    random = np.random.default_rng(5)
    maps = random.standard_normal((IMAGES, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    # Boxes of all sizes: a row, all pixels, and one without pixels among them.
    masks = np.zeros((IMAGES, 1, HEIGHT, WIDTH), dtype=np.uint8)
    for image in range(IMAGES - 1):
        top, left = random.integers(0, HEIGHT // 2), random.integers(0, WIDTH // 2)
        masks[image, :, top : top + 1 + image, left : left + 2 + image] = 1
    masks[2] = 1
    # The most relevant pixel twice, once inside.
    inside = np.argwhere(masks[3, 0])[0]
    maps[3, :, *inside] = maps[3, :, -1, -1] = 4
    relevance = np.abs(maps.astype(np.float64)).sum(1, keepdims=True)
    given = {"model": None, "x_batch": relevance, "y_batch": np.zeros(IMAGES, dtype=int), "a_batch": relevance, "s_batch": masks}
    plain = {"abs": True, "normalise": False, "disable_warnings": True}
    metrics = {"pointing": quantus.PointingGame, "mass": quantus.RelevanceMassAccuracy, "rank": quantus.RelevanceRankAccuracy}
    tensors = {name: np.asarray(metric(**plain)(**given), dtype=np.float64) for name, metric in metrics.items()}
    settings = {"quantus": quantus.__version__, "numpy": np.__version__}
    save_file({"maps": maps, "masks": masks[:, 0], **tensors}, HERE / "localization.safetensors", {"golden": json.dumps(settings)})
    print(settings, tensors)


if __name__ == "__main__":
    main()

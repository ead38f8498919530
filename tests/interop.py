"""Loads a model.safetensors written by saliq into a plain PyTorch network of Table I and prints its accuracy on an IDX test set.

    python tests/interop.py MODEL.safetensors --images t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz
        [--mean 0.1307 --deviation 0.3081] [--expect 0.9905 --tolerance 0.0002]

Names and shapes must be PyTorch's (load_state_dict with strict=True) once the clipping levels act*.alpha are dropped;
batch norms bn1 and bn2 behind the convolutions are there where the file has them. PyTorch runs
the float (latent) weights, so only a float model's accuracy equals what `saliq eval` says. Exit status 1 where --expect is missed.
Needs the packages of tests/goldens/requirements.txt.
"""

from __future__ import annotations

import argparse
import gzip
import re
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parent / "goldens"))
from reference import DEVIATION, MEAN, TableOne  # noqa: E402


def read_idx(path: Path) -> np.ndarray:
    """A u8 IDX file, gzip or raw."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise SystemExit(f"error: {path}: not an IDX file of bytes")
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, int(np.prod(shape)), 4 + 4 * rank).reshape(shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a .safetensors file or a run folder")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--mean", type=float, default=MEAN)
    parser.add_argument("--deviation", type=float, default=DEVIATION)
    parser.add_argument("--expect", type=float, help="accuracy, 0..1, that must come out")
    parser.add_argument("--tolerance", type=float, default=0.0002)
    arguments = parser.parse_args()
    path = arguments.model / "model.safetensors" if arguments.model.is_dir() else arguments.model
    state = {name: value for name, value in load_file(path).items() if not re.fullmatch(r"act\d+\.alpha", name)}
    network = TableOne(batch_norm="bn1.weight" in state)
    network.load_state_dict(state, strict=True)
    network.eval()
    images, labels = read_idx(arguments.images), read_idx(arguments.labels)
    x = torch.from_numpy(((images.astype(np.float32) / np.float32(255)) - np.float32(arguments.mean)) / np.float32(arguments.deviation))
    with torch.no_grad():
        predicted = torch.cat([network(batch[:, None]).argmax(1) for batch in x.split(500)])
    accuracy = (predicted == torch.from_numpy(labels.astype(np.int64))).double().mean().item()
    print(f"{path}: accuracy {accuracy:.4f} on {len(labels)} images")
    if arguments.expect is not None and abs(accuracy - arguments.expect) > arguments.tolerance:
        raise SystemExit(f"error: expected {arguments.expect}, off by more than {arguments.tolerance}")


if __name__ == "__main__":
    main()

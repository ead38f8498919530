"""Writes onnx.safetensors beside this script: files that `saliq export --format onnx` writes, and ONNX Runtime's logits of them; see README.md.

    pip install -r requirements-onnx.txt
    python make_onnx.py --saliq ../../target/debug/saliq

To be run again whenever what is written changes; `tests/program/formats.rs` compares.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors import safe_open
from safetensors.numpy import save, save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from onnx_check import logits_of  # noqa: E402

LAYERS = [
    {"type": "conv", "name": "conv1", "out_channels": 6, "kernel": 3, "stride": 2, "padding": 1},
    {"type": "batch-norm", "name": "bn1"},
    {"type": "activation", "name": "act1"},
    {"type": "max-pool", "kernel": 2, "stride": 1},
    {"type": "conv", "name": "conv2", "out_channels": 8, "kernel": 3, "stride": 2, "padding": 2},
    {"type": "batch-norm", "name": "bn2"},
    {"type": "activation", "name": "act2"},
    {"type": "linear", "name": "fc1", "out_features": 9},
    {"type": "activation", "name": "act3"},
    {"type": "linear", "name": "fc2", "out_features": 4},
]
# Name: bits, quantizer, per channel, activations, flags.
CASES = {
    "float": ("32", "sawb", False, "unsigned", []),
    "normalized": ("32", "sawb", False, "unsigned", ["--input", "normalized"]),
    "affine": ("w8a8,w4a4,w5a3", "affine", False, "unsigned", []),
    "affine_int4": ("w4a8,w2a4,w3a32", "affine", True, "signed", ["--int4"]),
    "sawb": ("w2a2,w4a2,w5a8", "sawb", False, "unsigned", []),
    "sawb_int4": ("w2a4,w3a3,w2a2", "sawb", True, "signed-after-relu", ["--int4"]),
    "sawb_wide": ("w8a8,w8a5", "sawb", True, "unsigned", []),
    "symmetric": ("w8a8,w6a5,w4a4,w3a32", "symmetric", True, "signed", []),
    "binary": ("w1a4,w1a1", "binary", True, "unsigned", ["--int4"]),
}


def config(bits: list[str], quantizer: str, per_channel: bool, pact: str) -> str:
    quantization = {"bits": bits, "weight-quant": quantizer, "per-channel": per_channel, "pact": pact}
    network = {"input": [3, 11, 13], "classes": 4, "layers": LAYERS}
    return json.dumps({
        "network": network, "quantization": quantization, "normalize": {"mean": 0.4, "deviation": 0.3},
        "dataset": "colours", "class-names": ["red", "grün", "blue", "\"other\""], "training": None,
    })


def parameters(random: np.random.Generator) -> dict[str, np.ndarray]:
    def uniform(*shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
        return random.uniform(low, high, shape).astype(np.float32)

    found = {}
    for name, shape in [("conv1", (6, 3, 3, 3)), ("conv2", (8, 6, 3, 3)), ("fc1", (9, 128)), ("fc2", (4, 9))]:
        found[f"{name}.weight"] = uniform(*shape) * np.float32(2 / np.sqrt(np.prod(shape[1:])))
        found[f"{name}.bias"] = uniform(shape[0]) * np.float32(0.2)
    for name, channels in [("bn1", 6), ("bn2", 8)]:
        found[f"{name}.weight"], found[f"{name}.running_var"] = uniform(channels, low=0.6, high=1.4), uniform(channels, low=0.4, high=1.6)
        found[f"{name}.bias"], found[f"{name}.running_mean"] = uniform(channels) * np.float32(0.3), uniform(channels) * np.float32(0.3)
        found[f"{name}.num_batches_tracked"] = np.array(7, np.int64)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saliq", type=Path, required=True, help="the program")
    arguments = parser.parse_args()
    random = np.random.default_rng(20261124)
    images = random.integers(0, 256, (5, 3, 11, 13)).astype(np.float32) / np.float32(255)
    state = parameters(random)
    tensors: dict[str, np.ndarray] = {"input": images}
    cases = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (bits, quantizer, per_channel, pact, flags) in CASES.items():
            widths = [*bits.split(","), "32", "32", "32", "32"][:4]
            quantized = [index for index, width in enumerate(widths) if not width.endswith("a32") and width != "32"]
            alphas = {f"act{index + 1}.alpha": np.array([1.37 + 0.21 * index], np.float32) for index in quantized}
            model, out = Path(folder) / "model.safetensors", Path(folder) / "model.onnx"
            model.write_bytes(save(state | alphas, {"saliq": config(widths, quantizer, per_channel, pact)}))
            subprocess.run([arguments.saliq, "export", model, "--format", "onnx", "--out", out, *flags], check=True)
            onnx.checker.check_model(out, full_check=True)
            plain, optimized = (logits_of(out.read_bytes(), images, batch=5, optimize=optimize) for optimize in (False, True))
            # Whatever the optimiser makes of it.
            assert np.abs(plain - optimized).max() < 1e-5 * np.abs(plain).max(), name
            tensors[f"{name}.model"] = np.frombuffer(model.read_bytes(), np.uint8)
            tensors[f"{name}.onnx"] = np.frombuffer(out.read_bytes(), np.uint8)
            tensors[f"{name}.logits"] = plain
            cases[name] = {"bits": bits, "flags": flags}
    made = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__, "cases": cases}
    save_file(tensors, HERE / "onnx.safetensors", {"golden": json.dumps(made)})
    print(f"{len(cases)} cases, {(HERE / 'onnx.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""Holds saliq to the node tests that the onnx package carries: of each of its operators, what it takes is right, what it does not take it refuses in a line.

    pip install -r tests/goldens/requirements-onnx.txt
    python tests/onnx_nodes.py target/release/saliq [PATTERN]

A test becomes a classifier: its first input of floats with three axes or more is the batch of images, the others are constants, and behind the node stand a
Flatten and a product with the identity. Not made into one: tests that keep no image apart (the output has another first axis), and outputs of more than 3,000
numbers an image. Right is 1e-4 of the largest number; expected numbers that the package writes with four digits are allowed their rounding. Exit status 1 where
something is wrong, or a refusal is more than a line or has another exit status than 1.
"""

from __future__ import annotations

import argparse
import collections
import re
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from safetensors.numpy import load_file

OPERATORS = set(
    "Add AveragePool BatchNormalization Cast Clip Concat Conv DequantizeLinear Div Dropout Flatten Gather Gemm GlobalAveragePool GlobalMaxPool HardSigmoid "
    "HardSwish Identity LeakyRelu LogSoftmax MatMul MaxPool Mul PRelu Pad QLinearConv QLinearMatMul QuantizeLinear ReduceMax ReduceMean Relu Reshape Sigmoid "
    "Slice Softmax Split Squeeze Sub Sum Swish Tanh Transpose Unsqueeze".split()
)
LARGEST = 3000
TOLERANCE = 1e-4
# Written with four digits.
ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 5e-4}


def classifier(case) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray] | None:
    """The node of `case` as a classifier, its images, and the scores that are right."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    inputs, outputs = case.data_sets[0]
    given = dict(zip([value.name for value in graph.input], inputs))
    images = [name for name, value in given.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim >= 3]
    if not images:
        return None
    [image, *_], expected = images, np.asarray(outputs[0])
    features = int(np.prod(expected.shape[1:]))
    if expected.shape[:1] != given[image].shape[:1] or features > LARGEST or expected.dtype.kind != "f":
        return None
    for name, value in given.items():
        if name != image and value is not None:
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    kept = [value for value in graph.input if value.name == image]
    del graph.input[:]
    graph.input.extend(kept)
    identity = numpy_helper.from_array(np.eye(features, dtype=expected.dtype), "identity")
    graph.initializer.append(identity)
    graph.node.append(helper.make_node("Flatten", [graph.output[0].name], ["features"], axis=1))
    graph.node.append(helper.make_node("MatMul", ["features", "identity"], ["scores"]))
    kind = helper.np_dtype_to_tensor_dtype(expected.dtype)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("scores", kind, [len(expected), features]))
    return model, given[image], expected.reshape(len(expected), -1)


def judged(saliq: Path, case, folder: Path) -> str:
    made = classifier(case)
    if made is None:
        return "not made"
    model, images, expected = made
    path, array = folder / "model.onnx", folder / "images.npy"
    onnx.save(model, path)
    images = images.astype(np.float32)
    np.save(array, images[:, None] if images.ndim == 3 else images)
    command = [saliq, "explain", path, "--method", "gradient", "--array", array, "--normalize", "none", "--out", folder / "maps"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ") and "XDG_RUNTIME_DIR" not in line]
        good = result.returncode == 1 and len(lines) == 1
        return f"{'refused' if good else 'WRONG'}: {lines[-1][:200] if lines else result.stderr[-200:]}"
    found = load_file(folder / "maps" / "attributions.safetensors")["logits"]
    if found.shape != expected.shape:
        return f"WRONG: shape {found.shape}, not {expected.shape}"
    difference = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6)
    return "right" if difference <= ROUNDED.get(case.name, TOLERANCE) else f"WRONG by {difference:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("saliq", type=Path)
    parser.add_argument("pattern", nargs="?", default="")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    counts = collections.Counter()
    for case in collect_testcases(None):
        operators = [node.op_type for node in case.model.graph.node] if case.model else []
        if len(operators) != 1 or operators[0] not in OPERATORS or not re.search(arguments.pattern, case.name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            said = judged(arguments.saliq.resolve(), case, Path(folder))
        counts[said.split(":")[0].split(" by")[0]] += 1
        print(f"{case.name}: {said}", flush=True)
    print(dict(counts))
    if counts["WRONG"]:
        raise SystemExit("error: some are wrong")


if __name__ == "__main__":
    main()

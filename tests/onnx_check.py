"""Holds an ONNX file that saliq wrote to ONNX's checker and, image by image, ONNX Runtime's logits to saliq's own.

    pip install -r tests/goldens/requirements-onnx.txt
    saliq explain MODEL --method random --count 10000 --out maps
    saliq export MODEL --format onnx --out model.onnx
    python tests/onnx_check.py model.onnx maps/attributions.safetensors

`attributions.safetensors` has the images and saliq's logits. Checked, with ONNX Runtime's optimiser and without it, in batches of several sizes:
logits within 1e-4 of the image's largest, predictions equal but for ties within 1e-4. Where the model is quantized, images are left out of the
comparison of logits that have an activation so close to the border between two levels (2e-6 of its range) that the rounding of f32 decides: two
correct programs may choose different levels. Their number is printed, and their predictions are counted with all others. Exit status 1 where
something differs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

TOLERANCE = 1e-4
UNDECIDED = 2e-6


def session_of(model: bytes, optimize: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def logits_of(model: bytes, images: np.ndarray, batch: int, optimize: bool) -> np.ndarray:
    """ONNX Runtime's logits of images in 0..1, `batch` at a time."""
    session = session_of(model, optimize)
    name = session.get_inputs()[0].name
    if name == "normalized_image":
        [own] = [entry.value for entry in onnx.load_from_string(model).metadata_props if entry.key == "saliq"]
        normalize = json.loads(own)["normalize"]
        images = (images - np.float32(normalize["mean"])) / np.float32(normalize["deviation"])
    parts = [images[first : first + batch] for first in range(0, len(images), batch)]
    return np.concatenate([session.run(["logits"], {name: part})[0] for part in parts])


def margins_of(model: bytes, images: np.ndarray, batch: int) -> np.ndarray:
    """How close every image's activations come to a border between two levels, as a share of their range."""
    graph = onnx.load_from_string(model)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    quantized = [(node.input[0], node.input[1:], node.name.split("/")[0]) for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    margins = np.full(len(images), np.inf)
    if not quantized:
        return margins
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name, _, _ in quantized)
    session = session_of(graph.SerializeToString(), optimize=False)
    given = session.get_inputs()[0].name
    for first in range(0, len(images), batch):
        values = session.run([name for name, _, _ in quantized], {given: images[first : first + batch]})
        for value, (_, (scale, zero), layer) in zip(values, quantized):
            origin = float(constants[zero])
            lowest, highest = (float(constants.get(f"{layer}/{end}", default)) - origin for end, default in [("lowest", 0), ("highest", 255)])
            position = value.reshape(len(value), -1).astype(np.float64) / constants[scale]
            inside = (position >= lowest) & (position <= highest)
            distance = np.where(inside, 0.5 - np.abs(position - np.round(position)), np.inf).min(1) / highest
            margins[first : first + batch] = np.minimum(margins[first : first + batch], distance)
    return margins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("attributions", type=Path)
    parser.add_argument("--batch", type=int, default=500)
    arguments = parser.parse_args()
    model, tensors = arguments.model.read_bytes(), load_file(arguments.attributions)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        onnx.save(onnx.shape_inference.infer_shapes(onnx.load_from_string(model), check_type=True, strict_mode=True, data_prop=True), file.name)
    images, ours, labels = tensors["images"], tensors["logits"], tensors["labels"]
    margins = margins_of(model, images, arguments.batch)
    decided = margins >= UNDECIDED
    failed = False
    for optimize in (True, False):
        theirs = logits_of(model, images, arguments.batch, optimize)
        # A batch's size does not matter.
        assert np.abs(logits_of(model, images[:7], 3, optimize) - theirs[:7]).max() <= 1e-5 * np.abs(theirs[:7]).max()
        difference = np.abs(theirs - ours).max(1) / np.abs(theirs).max(1)
        rows = np.arange(len(ours))
        classes, own = theirs.argmax(1), ours.argmax(1)
        gap = (theirs[rows, classes] - theirs[rows, own]) / np.abs(theirs).max(1)
        differing = np.flatnonzero(classes != own)
        beyond = np.flatnonzero(gap > TOLERANCE)
        failed |= bool((difference[decided] > TOLERANCE).any() or len(set(beyond) & set(np.flatnonzero(decided))))
        print(json.dumps({
            "model": arguments.model.name,
            "optimizer": optimize,
            "images": len(ours),
            "accuracy": float((classes == labels).mean()),
            "accuracy_saliq": float((own == labels).mean()),
            "differing_predictions": len(differing),
            "differing_beyond_a_tie": len(beyond),
            "undecided_images": int((~decided).sum()),
            "largest_difference": float(difference[decided].max()) if decided.any() else None,
            "largest_difference_of_all": float(difference.max()),
            "images_beyond_1e-4": int((difference > TOLERANCE).sum()),
        }), flush=True)
    if failed:
        raise SystemExit("error: the file and saliq differ")


if __name__ == "__main__":
    main()

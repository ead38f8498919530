"""Runs a C header of saliq and an ONNX file of the same model on the same images, and compares them.

    saliq export MODEL --format onnx --out model.onnx
    saliq export MODEL --format c --out model.h
    python tests/c_check.py model.h model.onnx images.npy

`images.npy` holds bytes, [N, C, H, W]. Printed: predictions that differ, and the largest difference of a logit as a share of the image's
largest one. An activation that lies between two levels but for the rounding of f32 may get either: such an image's logits differ by more than
1e-4, and are counted; `saliq export --verify` holds every level to be right or at an edge. Exit status 1 where logits agree and predictions
do not, but for ties.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

MAIN = """
#include <stdio.h>
#include "@file@"
int main(void) {
    static @prefix@_workspace workspace;
    static uint8_t pixels[@PREFIX@_CHANNELS * @PREFIX@_HEIGHT * @PREFIX@_WIDTH];
    float scores[@PREFIX@_CLASSES];
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        @prefix@_classify(pixels, &workspace, scores);
        fwrite(scores, sizeof scores[0], @PREFIX@_CLASSES, stdout);
    }
    return 0;
}
"""


def scores_of(header: Path, images: np.ndarray, compiler: str) -> np.ndarray:
    """The scores of the header on images [N, C, H, W]."""
    text = header.read_text()
    prefix = re.search(r"\n\} (\w+)_workspace;", text)[1]
    if "[row][column][channel]: " in text:
        images = images.transpose(0, 2, 3, 1)
    source = MAIN.replace("@file@", str(header.resolve())).replace("@PREFIX@", prefix.upper()).replace("@prefix@", prefix)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "main.c")
        path.write_text(source)
        subprocess.run([compiler, "-std=c99", "-O2", str(path), "-o", str(path.with_suffix("")), "-lm"], check=True)
        ran = subprocess.run([path.with_suffix("")], input=np.ascontiguousarray(images).tobytes(), stdout=subprocess.PIPE, check=True)
    return np.frombuffer(ran.stdout, np.float32).reshape(len(images), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("header", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--compiler", default="cc")
    args = parser.parse_args()
    images = np.load(args.images)
    own = scores_of(args.header, images, args.compiler)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(args.model.read_bytes(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    floats = images.astype(np.float32) / np.float32(255)
    theirs = np.concatenate([session.run(["logits"], {name: floats[at : at + 64]})[0] for at in range(0, len(floats), 64)])
    largest = np.abs(theirs).max(axis=1)
    differences = np.abs(own - theirs).max(axis=1) / largest
    classes, others = own.argmax(axis=1), theirs.argmax(axis=1)
    each = np.arange(len(images))
    gaps = (theirs[each, others] - theirs[each, classes]) / largest
    within = differences <= 1e-4
    wrong = within & (gaps > 1e-4)
    print(f"{len(images)} images: {int((classes != others).sum())} predictions differ")
    print(f"{int(within.sum())} images with logits within 1e-4, the largest {differences[within].max(initial=0):.1e}")
    print(f"{int((~within).sum())} images with other logits, within {differences.max():.1e}")
    if wrong.any():
        raise SystemExit(f"images {np.flatnonzero(wrong)[:10]} differ")


if __name__ == "__main__":
    main()

"""Runs the Python code of docs/python.md on files that saliq wrote, and holds it to what the page says.

    python tests/python_recipe.py --saliq target/release/saliq --float runs/mnist-float --quantized runs/mnist-2,2 [--data-dir DIR] [--count 1000]

Needs the packages that the page names. Exit status 1 where a block fails or numbers differ.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saliq", type=Path, required=True)
    parser.add_argument("--float", type=Path, required=True, help="a run folder: the network of Table I in float")
    parser.add_argument("--quantized", type=Path, required=True, help="a run folder: the same, quantized, unsigned PACT")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--count", default="1000")
    arguments = parser.parse_args()
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    saliq, data = arguments.saliq.resolve(), ["--data-dir", arguments.data_dir.resolve()] if arguments.data_dir else []
    models = [arguments.float.resolve(), arguments.quantized.resolve()]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)

        def run(*command: object) -> None:
            subprocess.run([saliq, *command], check=True, stdout=subprocess.DEVNULL)

        shutil.copy(models[0] / "model.safetensors", "model.safetensors")
        run("explain", models[0], "--method", "gradient", "--count", arguments.count, "--out", "maps", *data)
        shutil.copy("maps/attributions.safetensors", "attributions.safetensors")
        run("export", models[1], "--format", "packed", "--out", "packed.safetensors")
        run("export", models[1], "--format", "onnx", "--out", "model.onnx")
        run("explain", models[1], "--method", "random", "--count", arguments.count, "--out", "quantized", *data)
        names: dict = {}
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102
        import numpy as np
        import torch

        largest = np.abs(names["logits"]).max()
        difference = np.abs(names["scores"].detach().numpy() - names["logits"]).max() / largest
        gradients = np.abs(names["x"].grad.numpy() - names["gradient"])
        off = (gradients.max((1, 2, 3)) > 1e-3 * np.abs(names["gradient"]).max((1, 2, 3))).sum()
        print(f"float: logits within {difference:.1e}; gradients beyond 0.1 % in {off} of {len(gradients)} images")
        assert difference < 1e-4 and off <= 0.01 * len(gradients)
        # The network is the quantized one now.
        ours = names["load_arrays"]("quantized/attributions.safetensors")
        with torch.no_grad():
            scores = names["network"]((torch.from_numpy(ours["images"]) - names["mean"]) / names["deviation"]).numpy()
        equal = (scores.argmax(1) == ours["predictions"]).mean()
        onnx_equal = (names["onnx_logits"].argmax(1) == ours["predictions"]).mean()
        print(f"quantized: predictions equal on {100 * equal:.2f} % in PyTorch, {100 * onnx_equal:.2f} % in ONNX Runtime")
        assert min(equal, onnx_equal) > 0.998
    print(f"{len(blocks)} blocks ran")


if __name__ == "__main__":
    main()

"""saliq's judgements of gradient maps beside Quantus's on PyTorch: the same model, images and maps, in one sitting.

    python quantus_judge.py MODEL [--saliq target/release/saliq] [--dataset mnist-mini] [--data-dir DIR] [--count 100] [--json]

MODEL is a float run folder or file of the network of Table I. `saliq explain` writes the images; both sides judge the gradient of the
label's logit. saliq's times are those of whole commands, and of the same commands for one image (start, pipelines, files); the
difference is what the judgements take. Times are of the clock and of the processor: the latter can be compared beside other load.
README.md says what differs in definition.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import quantus
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parent))
from torch_sgt_step import TableOne  # noqa: E402

STEPS = 28
"""Points of Quantus's timed deletion curve behind the first: a divisor of the number of pixels, as it asks for."""
OUR_STEPS = 20
"""Those of saliq's."""
TOLERANCE = 1e-3


class Logits(TableOne):
    """The network of Table I up to the logits, which are explained."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = torch.flatten(torch.max_pool2d(x, 2), 1)
        return self.fc2(torch.relu(self.fc1(x)))


def gradient(model: torch.nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: object) -> np.ndarray:
    """The gradient of the targets' logits, as an explain_func of Quantus."""
    with torch.enable_grad():
        x = torch.tensor(np.asarray(inputs, np.float32), requires_grad=True)
        logits = model(x)
        (slope,) = torch.autograd.grad(logits[torch.arange(len(x)), torch.as_tensor(targets)].sum(), x)
    return slope.numpy()


def area(predictions: list, first: np.ndarray) -> np.ndarray:
    """Areas under curves of probabilities, with the whole image's in front; one a image."""
    curves = np.concatenate([first[:, None], np.asarray(predictions, np.float64).reshape(len(first), -1)], 1)
    return np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1)


def quantus_side(model: Logits, x: np.ndarray, labels: np.ndarray, maps: np.ndarray) -> dict[str, dict]:
    """Means and seconds of every measure."""
    quiet = dict(disable_warnings=True, display_progressbar=False, normalise=False)
    evaluated = dict(model=model, x_batch=x, y_batch=labels, device="cpu", batch_size=len(x))
    with torch.no_grad():
        clean = torch.softmax(model(torch.tensor(x)), 1).numpy()[np.arange(len(x)), labels].astype(np.float64)
    black = dict(perturb_baseline=0.0, features_in_step=x[0].size // STEPS)
    explained = dict(a_batch=maps, explain_func=gradient)
    measures = {
        "gini": lambda: quantus.Sparseness(abs=True, **quiet)(**evaluated, a_batch=maps),
        "entropy": lambda: quantus.Complexity(abs=True, **quiet)(**evaluated, a_batch=maps),
        "deletion": lambda: area(quantus.PixelFlipping(abs=True, **black, **quiet)(**evaluated, a_batch=maps, softmax=True), clean),
        "max-sensitivity": lambda: quantus.MaxSensitivity(nr_samples=10, lower_bound=0.02, abs=False, **quiet)(**evaluated, **explained),
        "infidelity": lambda: quantus.Infidelity(n_perturb_samples=10, abs=False, **quiet)(**evaluated, a_batch=maps),
        "ROAD": lambda: quantus.ROAD(percentages=list(range(10, 100, 10)), noise=0.01, abs=True, **quiet)(**evaluated, a_batch=maps),
        "randomisation": lambda: quantus.MPRT(
            similarity_func=quantus.similarity_func.correlation_spearman, abs=True, layer_order="top_down", return_average_correlation=True,
            **quiet)(**evaluated, **explained),
    }
    # saliq's points of the curve, for the value alone: out of a curve of all pixels.
    every = quantus.PixelFlipping(abs=True, perturb_baseline=0.0, features_in_step=1, **quiet)(**evaluated, a_batch=maps, softmax=True)
    places = [int(step / OUR_STEPS * x[0].size) - 1 for step in range(1, OUR_STEPS + 1)]
    results = {"deletion at saliq's points": {"mean": float(area(np.asarray(every)[:, places], clean).mean())}}
    for name, measure in measures.items():
        begin, worked = time.perf_counter(), processor_seconds()
        try:
            value = measure()
        except Exception as error:  # One that a version lacks must not cost the others.
            results[name] = {"error": (str(error).strip() or repr(error)).splitlines()[0]}
            continue
        seconds, processor = time.perf_counter() - begin, processor_seconds() - worked
        if isinstance(value, dict):  # A curve, or a value a layer.
            value = [np.mean(one) for one in value.values()]
        results[name] = {"mean": float(np.mean(value)), "seconds": seconds, "processor_seconds": processor}
    return results


def processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def timed(command: list[str]) -> tuple[dict, float, float]:
    """The JSON that a command prints, its seconds and those of the processor."""
    begin, worked = time.perf_counter(), processor_seconds()
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(text), time.perf_counter() - begin, processor_seconds() - worked


def saliq_side(program: str, model: str, data: list[str], count: int, folder: Path) -> dict[str, dict]:
    """The same of saliq: everything together, ROAD, and what each takes for one image."""

    def run(images: int, *command: str) -> tuple[dict, float, float]:
        name, *flags = command
        return timed([program, name, model, *flags, *data, "--count", str(images), "--quiet", "--json", "--out", str(folder / name)])

    results: dict[str, dict] = {}
    commands = {
        "all but ROAD": ["compare", model, "--method", "gradient", "--target", "label", "--fill", "zero", "--randomisation"],
        "ROAD": ["drop", "--method", "gradient", "--target", "label", "--fill", "road"],
    }
    for name, command in commands.items():
        run(1, *command)  # Pipelines come from the cache from here on.
        _, *alone = run(1, *command)
        found, *own = run(count, *command)
        results[name] = {
            "seconds": own[0], "processor_seconds": own[1], "seconds_of_one_image": alone[0], "processor_seconds_of_one_image": alone[1],
        }
        if command[0] == "compare":
            method = found["models"][0]["methods"][0]
            for measure in ("gini", "entropy", "deletion", "max-sensitivity", "infidelity"):
                results[measure] = {"mean": method["scores"][measure]["mean"]}
            results["randomisation"] = {"mean": float(np.mean([layer["spearman"]["mean"] for layer in method["randomisation"]]))}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a float model of the network of Table I")
    parser.add_argument("--saliq", default="target/release/saliq", metavar="PATH")
    parser.add_argument("--dataset", default="mnist-mini")
    parser.add_argument("--data-dir")
    parser.add_argument("--count", type=int, default=100, help="images (default 100)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    data = ["--dataset", arguments.dataset, *(["--data-dir", arguments.data_dir] if arguments.data_dir else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            [arguments.saliq, "explain", arguments.model, *data, "--count", str(arguments.count), "--target", "label", "--quiet",
             "--out", str(folder / "maps")], check=True)
        tensors = load_file(folder / "maps" / "attributions.safetensors")
        ours = saliq_side(arguments.saliq, arguments.model, data, arguments.count, folder)
    model, path = Logits(), Path(arguments.model)
    with safe_open(path / "model.safetensors" if path.is_dir() else path, "numpy") as file:
        settings = json.loads((file.metadata() or {}).get("saliq", "{}"))
        model.load_state_dict({key: torch.tensor(file.get_tensor(key)) for key in file.keys()})
    model.eval()
    labels = tensors["labels"]
    # The normalisation that makes PyTorch's logits saliq's: the model's own, else MNIST's.
    mean, deviation = normalization(settings)
    x = ((tensors["images"] - np.float32(mean)) / np.float32(deviation)).astype(np.float32)
    with torch.no_grad():
        logits = float(np.abs(model(torch.tensor(x)).numpy() - tensors["logits"]).max())
    maps = gradient(model, x, labels)
    difference = float(np.abs(maps - tensors["gradient"]).max() / np.abs(maps).max())
    theirs = quantus_side(model, x, labels, maps)
    # Deterministic and of one definition on both sides.
    pairs = [("gini", "gini"), ("entropy", "entropy"), ("deletion", "deletion at saliq's points")]
    same = {own: abs(ours[own]["mean"] - theirs[other].get("mean", float("nan"))) for own, other in pairs}
    result = {
        "quantus": quantus.__version__, "torch": torch.__version__, "threads": torch.get_num_threads(), "images": len(labels),
        "largest_difference_of_logits": logits, "largest_relative_difference_of_maps": difference,
        "differences": same, "saliq_side": ours, "quantus_side": theirs,
    }
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    if any(not value <= TOLERANCE for value in same.values()):
        sys.exit(f"values differ by more than {TOLERANCE}: {same}")


def normalization(settings: dict) -> tuple[float, float]:
    """Mean and deviation that a model file's configuration names, else MNIST's."""
    found = settings.get("normalize", {"mean": 0.1307, "deviation": 0.3081})
    return found["mean"], found["deviation"]


def show(result: dict) -> None:
    ours, theirs = result["saliq_side"], result["quantus_side"]
    print(f"{result['images']} images; Quantus {result['quantus']}, PyTorch {result['torch']} on {result['threads']} threads.\n"
          f"Logits differ by {result['largest_difference_of_logits']:.1e}, maps by {result['largest_relative_difference_of_maps']:.1e}.\n")
    print("| measure | saliq | Quantus | Quantus, s | processor, s |\n| --- | ---: | ---: | ---: | ---: |")
    for name, one in theirs.items():
        own = ours.get(name, {}).get("mean")
        cells = ["–" if own is None else f"{own:.5f}", one.get("error") or f"{one['mean']:.5f}"]
        cells += [f"{one[key]:.2f}" if key in one else "–" for key in ("seconds", "processor_seconds")]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| commands | s | for one image | processor, s | for one image | Quantus, s | processor, s |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    keys = ("seconds", "seconds_of_one_image", "processor_seconds", "processor_seconds_of_one_image")
    sums = [0.0] * 6
    for name, command in (("all but ROAD", "compare"), ("ROAD", "drop")):
        of_quantus = [one for other, one in theirs.items() if (other == "ROAD") == (name == "ROAD")]
        row = [ours[name][key] for key in keys]
        row += [sum(one.get(key, 0) for one in of_quantus) for key in ("seconds", "processor_seconds")]
        sums = [one + other for one, other in zip(sums, row)]
        print(f"| {name}: `{command}` | " + " | ".join(f"{value:.2f}" for value in row) + " |")
    print("| all | " + " | ".join(f"{value:.2f}" for value in sums) + " |")
    clock, processor = max(sums[0] - sums[1], 1e-9), max(sums[2] - sums[3], 1e-9)
    print(f"\nQuantus takes {sums[4] / sums[0]:.2f} × the time, without what one image takes {sums[4] / clock:.2f} ×;\n"
          f"of the processor {sums[5] / sums[2]:.2f} × and {sums[5] / processor:.2f} ×.")


if __name__ == "__main__":
    main()

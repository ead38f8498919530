"""saliq from Python: a thin layer over the program. Needs NumPy alone.

    import saliq

    saliq.train("runs/first", dataset="mnist-mini", bits="4,2", epochs=3)
    maps = saliq.explain("runs/first", images, "gradient")["gradient"]

Settings are the flags of the program without dashes in front; underscores stand for hyphens:
`train_limit=500` is `--train-limit 500`. True and False are `true` and `false`, lists are joined by
commas, None leaves a flag out. Errors of the program are raised as `SaliqError`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Callable

import numpy as np

__all__ = ["SaliqError", "evaluate", "explain", "read_tensors", "run", "train"]


class SaliqError(RuntimeError):
    """An error of the program: its line, without `error: `."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def program() -> str:
    """The program: `SALIQ_PROGRAM`, that of this Python environment, or the one on the path."""
    if named := os.environ.get("SALIQ_PROGRAM"):
        return named
    ending = ".exe" if sys.platform == "win32" else ""
    beside = Path(sysconfig.get_path("scripts"), f"saliq{ending}")
    found = str(beside) if beside.exists() else shutil.which("saliq")
    if found is None:
        raise FileNotFoundError("the program saliq was not found; set SALIQ_PROGRAM to its path")
    return found


def _flags(settings: dict[str, Any]) -> list[str]:
    words = []
    for key, value in settings.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, (list, tuple)):
            value = ",".join(str(one) for one in value)
        words.append(f"--{key.replace('_', '-')}={value}")
    return words


def _command(*words: object) -> list[str]:
    return [program(), *(str(word) for word in words), "--quiet", "--json=lines"]


def _lines(command: list[str], on_line: Callable[[dict], Any] | None) -> list[dict]:
    """Runs a command and returns what it prints; ends it early where `on_line` returns False."""
    lines = []
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            try:
                for text in process.stdout or ():
                    lines.append(json.loads(text))
                    if on_line is not None and on_line(lines[-1]) is False:
                        process.terminate()
                        on_line = None
            except BaseException:
                process.terminate()
                raise
        errors.seek(0)
        said = errors.read().strip().splitlines()
    # A training that was ended by `on_line` is no error.
    if process.returncode not in (0, 143, -15):
        message = said[-1] if said else f"saliq ended with exit code {process.returncode}"
        raise SaliqError(message.removeprefix("error: "), process.returncode)
    return lines


def run(*words: object, **settings: Any) -> dict:
    """Any command, such as `run("cost", "runs/first")`: its JSON."""
    return _lines(_command(*words, *_flags(settings)), None)[-1]


def train(out: str | Path, on_line: Callable[[dict], Any] | None = None, **settings: Any) -> dict:
    """Trains a network into the run folder `out`, and returns the result: accuracy, loss, …

    `on_line` gets every step and epoch as it is in metrics.jsonl (`kind` is begin, step, epoch or
    result). Where it returns False, the training ends early with a checkpoint, and its last line is
    returned. `resume=True` and `force=True` are the switches of the program.
    """
    switches = [f"--{name}" for name in ("resume", "force") if settings.pop(name, False)]
    flags = _flags(settings | {"out": out})
    return _lines(_command("train", *switches, *flags), on_line)[-1]


def evaluate(model: str | Path, **settings: Any) -> dict:
    """Accuracy, loss, per-class figures and the confusion matrix of a model."""
    return run("eval", model, **settings)


def explain(
    model: str | Path,
    images: np.ndarray | None = None,
    method: str | list[str] = "gradient",
    labels: np.ndarray | None = None,
    **settings: Any,
) -> dict[str, np.ndarray]:
    """Attribution maps of a model, [N, C, H, W] for each method, with logits and predictions.

    `images` is [N, C, H, W]: uint8 pixels, or floats from 0 to 1. Their `labels` are -1 where they
    are not given. Without images, `count=8` or `indices="0,5,7-20"` takes them from the data set.
    """
    with tempfile.TemporaryDirectory() as folder:
        if images is not None:
            settings["array"] = f"{folder}/images.npy"
            np.save(settings["array"], images)
        if labels is not None:
            settings["labels"] = f"{folder}/labels.npy"
            np.save(settings["labels"], labels)
        run("explain", model, **settings, method=method, out=f"{folder}/maps")
        return read_tensors(f"{folder}/maps/attributions.safetensors")


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    types = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "U32": "<u4", "U8": "u1"}
    arrays = {}
    for name, own in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, last = (start + offset for offset in own["data_offsets"])
            values = np.frombuffer(data[first:last], types[own["dtype"]])
            arrays[name] = values.reshape(own["shape"]).copy()
    return arrays

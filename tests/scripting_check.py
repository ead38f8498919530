"""Runs the Optuna code of docs/scripting.md, and reads event files with TensorBoard's own reader.

    python tests/scripting_check.py --saliq target/debug/saliq

Needs optuna and tensorboard. Exit status 1 where something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scripting.md"


def check_optuna(saliq: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = code.replace('SALIQ = "saliq"', f"SALIQ = {str(saliq)!r}").replace('"500"', '"100", "--test-limit", "50"')
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102
    trials = names["study"].trials
    states = [trial.state.name for trial in trials]
    assert len(trials) == 3 and "COMPLETE" in states and set(states) <= {"COMPLETE", "PRUNED"}, states
    print(f"Optuna: {len(trials)} trials, {states}")


def check_tensorboard(saliq: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    flags = ["--train-limit", "256", "--test-limit", "100", "--batch-size", "64", "--bits", "4,4"]
    flags += ["--log", "tensorboard,csv", "--out", "logged", "--quiet"]
    subprocess.run([saliq, "train", *flags, "--epochs", "1"], check=True, stdout=subprocess.DEVNULL)
    more = ["--epochs", "2", "--resume"]
    subprocess.run([saliq, "train", *flags, *more], check=True, stdout=subprocess.DEVNULL)
    events = EventAccumulator("logged", size_guidance={"images": 0, "scalars": 0, "histograms": 0})
    events.Reload()
    lines = [json.loads(line) for line in Path("logged/metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    found = events.Scalars("step/loss")
    assert [value.step for value in found] == [line["step"] for line in steps]
    assert all(abs(value.value - line["loss"]) < 1e-5 for value, line in zip(found, steps))
    last = [line for line in lines if line["kind"] == "epoch"][-1]
    assert abs(events.Scalars("test/accuracy")[-1].value - last["test_accuracy"]) < 1e-6
    assert abs(events.Scalars("alpha/act1")[-1].value - last["alpha"]["act1"]) < 1e-6
    histogram = events.Histograms("parameters/conv1.weight")[-1].histogram_value
    assert histogram.num == sum(histogram.bucket) == 288, histogram
    images = events.Tags()["images"]
    pictures = [events.Images(tag) for tag in images]
    assert len(images) == 8 and all(one[0].encoded_image_string[:4] == b"\x89PNG" for one in pictures)
    print(f"TensorBoard: {len(found)} steps, {len(events.Tags()['scalars'])} curves, {len(images)} maps")


def check_schemas() -> None:
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        print("schemas: left out, jsonschema was not found")
        return
    schemas = {path.stem: json.loads(path.read_text()) for path in (PAGE.parent / "schemas").glob("*.json")}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    lines = Path("logged/metrics.jsonl").read_text().splitlines()
    for line in lines:
        Draft202012Validator(schemas["metrics"]).validate(json.loads(line))
    print(f"schemas: {len(schemas)} are valid, {len(lines)} lines fit theirs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saliq", type=Path, required=True)
    saliq = parser.parse_args().saliq.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        check_tensorboard(saliq)
        check_schemas()
        check_optuna(saliq)


if __name__ == "__main__":
    main()

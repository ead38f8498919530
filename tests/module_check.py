"""Runs the Python module `saliq` and the notebook examples/explain.ipynb.

    python tests/module_check.py --saliq target/debug/saliq

Needs numpy; the notebook also nbclient, nbformat and ipykernel, and is left out without them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def check_module() -> None:
    import numpy as np
    import saliq

    small = {"train_limit": 200, "test_limit": 50, "batch_size": 50}
    kinds = []
    result = saliq.train("run", lambda line: kinds.append(line["kind"]), epochs=1, **small)
    assert kinds == ["begin", *["step"] * 4, "epoch", "result"], kinds
    assert saliq.evaluate("run")["loss"] > 0 and 0 <= result["accuracy"] <= 1
    maps = saliq.explain("run", count=4, method=["gradient", "lrp"])
    assert maps["gradient"].shape == maps["lrp"].shape == (4, 1, 28, 28)
    pixels = np.rint(maps["images"] * 255).astype(np.uint8)
    again = saliq.explain("run", pixels, ["gradient"], labels=maps["labels"])
    assert np.array_equal(again["gradient"], maps["gradient"])
    assert np.array_equal(again["labels"], maps["labels"])
    floats = saliq.explain("run", maps["images"])
    assert np.array_equal(floats["logits"], maps["logits"])
    # An early end leaves a checkpoint, and the run goes on.
    last = saliq.train("early", lambda line: line["kind"] != "step", epochs=3, **small)
    assert last["kind"] != "result", last
    rest = saliq.train("early", resume=True)
    assert rest["kind"] == "result"
    for call, expected in [
        (lambda: saliq.train("run", epochs=1), "a run is there already"),
        (lambda: saliq.evaluate("nowhere"), "nowhere"),
        (lambda: saliq.train("x", lamda=1), "--lambda"),
    ]:
        try:
            call()
        except saliq.SaliqError as error:
            assert expected in str(error), error
        else:
            raise AssertionError(expected)
    print("module: train, evaluate, explain, errors")


def check_notebook() -> None:
    try:
        import nbformat
        from nbclient import NotebookClient
    except ImportError:
        print("notebook: left out, nbclient and nbformat were not found")
        return
    notebook = nbformat.read(ROOT / "examples" / "explain.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    texts = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])]
    print("notebook:", " | ".join(text.strip().replace("\n", ", ") for text in texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saliq", type=Path, required=True)
    os.environ["SALIQ_PROGRAM"] = str(parser.parse_args().saliq.resolve())
    os.environ["NOTEBOOK_IMAGES"] = "200"
    os.environ["PYTHONPATH"] = str(ROOT / "python")
    sys.path.insert(0, str(ROOT / "python"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        check_module()
        check_notebook()


if __name__ == "__main__":
    main()

"""Times ONNX files in ONNX Runtime on the CPU, by batch size, beside `saliq bench --inference` in the same sitting.

    python onnxruntime_inference.py model.onnx [more.onnx] [--saliq target/release/saliq --model runs/4-2] [--threads 2] [--json]

Inputs are pixels from 0 to 1, as `saliq export --format onnx` makes its graphs take them. Medians of --rounds, rounds of all files in turns.
Requires onnxruntime (requirements.txt) and NumPy.
"""

import argparse
import json
import statistics
import subprocess
import time

import numpy
import onnxruntime

IMAGES = 256  # a timing takes at least so many


def sizes(most):
    size = 1
    while size < most:
        yield size
        size *= 4
    yield most


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--saliq")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as ONNX Runtime wants")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    result = {"onnxruntime": onnxruntime.__version__, "threads": arguments.threads, "points": []}
    if arguments.saliq and arguments.model:
        command = [arguments.saliq, "bench", "--inference", arguments.model, "--json"]
        command += ["--batch-size", str(arguments.batch), "--steps", str(arguments.rounds)]
        result["saliq"] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    sessions = {path: session(path, arguments.threads) for path in arguments.files}
    generator = numpy.random.default_rng(0)
    for size in sizes(arguments.batch):
        times = {path: [] for path in sessions}
        for round_ in range(arguments.rounds + 1):
            for path, run in sessions.items():
                shape = [size] + run.get_inputs()[0].shape[1:]
                images = generator.random(shape, dtype=numpy.float32)
                batches = -(-IMAGES // size)
                start = time.perf_counter()
                for _ in range(batches):
                    run.run(None, {run.get_inputs()[0].name: images})
                if round_ > 0:  # the first one warms up
                    times[path].append((time.perf_counter() - start) * 1e3 / batches)
        result["points"].append({"batch_size": size, "median_ms": {path: statistics.median(times[path]) for path in sessions}})

    if arguments.json:
        print(json.dumps(result))
        return
    for index, point in enumerate(result["points"]):
        line = f"{point['batch_size']:5} images"
        if "saliq" in result:
            own = result["saliq"]["points"][index]
            line += "".join(f"  saliq {name} {own[name]['median_ms']:.3f} ms" for name in ["float", "fake_quantized", "integer"])
        line += "".join(f"  {path} {time:.3f} ms" for path, time in point["median_ms"].items())
        print(line)


if __name__ == "__main__":
    main()

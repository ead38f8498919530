"""One step of Saliency Guided Training on the network of Table I in PyTorch, timed, and the two rates it lives on.

Two forms of the step: `reference`, as the released code does it (its own forward for the input gradient: 8 forward-equivalents),
and `shared`, where the clean forward serves both (7, what saliq does). Each eager, and on a CUDA device also under torch.compile with
CUDA graphs. float32 with TF32 allowed, fill `uniform`, no dropout, plain SGD; random data made on the device.

    python torch_sgt_step.py --batch 256 --steps 9 [--json] [--device cpu|cuda] [--no-tf32] [--compile] [--saliq target/release/saliq]

With --saliq, `saliq bench --json` runs before and after the timings here, in the same sitting, and ratios are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time

import torch
import torch._functorch.config
import torch.nn.functional as F
from torch import nn

MACS_PER_IMAGE = 11_992_448
"""Multiply-accumulates of one forward pass of one image."""


class TableOne(nn.Module):
    """The network of Table I."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = torch.flatten(F.max_pool2d(x, 2), 1)
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), 1)


class Step:
    """A network, an optimiser and one batch. Where `compiled`, the forward passes, their backward passes and the masking are; the
    step around them, which takes a gradient with respect to the input midway, and the optimiser are not."""

    def __init__(self, batch: int, device: str, shared: bool, compiled: bool) -> None:
        torch.manual_seed(0)
        self.network = TableOne().to(device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.05)
        self.x = torch.rand(batch, 1, 28, 28, device=device)
        self.y = torch.randint(0, 10, (batch,), device=device)
        self.masked = int(0.5 * 784)
        self.shared = shared
        self.compiled = compiled
        self.mask = self.lowest_replaced
        self.forward = self.network
        if compiled:
            # The shared form goes back through the clean forward twice: its saved tensors must outlive the first pass.
            torch._functorch.config.donated_buffer = False
            self.forward = torch.compile(self.network, mode="reduce-overhead" if device == "cuda" else "default")
            self.mask = torch.compile(self.lowest_replaced)

    def lowest_replaced(self, gradient: torch.Tensor) -> torch.Tensor:
        """The batch with each image's lowest-gradient features replaced by uniform noise from its own range."""
        flat = self.x.flatten(1)
        index = torch.topk(gradient.flatten(1), self.masked, dim=1, largest=False).indices
        low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
        noise = low + (high - low) * torch.rand(index.shape, device=flat.device)
        return flat.scatter(1, index, noise).view_as(self.x)

    def __call__(self) -> None:
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()  # Tells CUDA graphs that the last step's outputs are done with.
        x = self.x.detach().clone().requires_grad_(True)
        clean = self.forward(x)
        (gradient,) = torch.autograd.grad(clean.gather(1, self.y[:, None]).sum(), x, retain_graph=self.shared)
        replaced = self.mask(gradient)
        self.optimizer.zero_grad(set_to_none=True)
        if not self.shared:
            clean = self.forward(self.x)
        masked = self.forward(replaced)
        loss = F.nll_loss(clean, self.y) + F.kl_div(masked, clean, log_target=True, reduction="batchmean")
        loss.backward()
        self.optimizer.step()


def captured(step: Step) -> object:
    """The whole step, gradients and update included, as one CUDA graph that is replayed: the least that the host can do."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    step.optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def median_seconds(call, device: str, steps: int, warm_up: int = 3) -> float:
    """Median wall time of a call, the device idle before and after each."""
    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(warm_up):
        call()
    wait()
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def measure(arguments: argparse.Namespace) -> dict:
    """Every timing, as the object that --json prints."""
    device, batch = arguments.device, arguments.batch
    steps = []
    executions = ["eager"]
    if arguments.compile:
        executions.append("compiled + CUDA graphs" if device == "cuda" else "compiled")
    if device == "cuda":
        executions.append("whole step as a CUDA graph")
    for execution in executions:
        for shared in (False, True):
            name = "shared" if shared else "reference"
            forwards = 7 if shared else 8
            try:
                step = Step(batch, device, shared, execution.startswith("compiled"))
                seconds = median_seconds(captured(step) if execution.startswith("whole") else step, device, arguments.steps)
            except Exception as error:  # A missing compiler or an unsupported device must not cost the other figures.
                steps.append({"form": name, "execution": execution, "error": (str(error).strip() or repr(error)).splitlines()[0]})
                continue
            steps.append(
                {
                    "form": name, "execution": execution, "median_ms": seconds * 1e3, "images_per_second": batch / seconds,
                    "gflops": forwards * 2 * MACS_PER_IMAGE * batch / seconds / 1e9,
                }
            )
    kernels = []
    with torch.no_grad():
        conv, images = nn.Conv2d(32, 64, 3).to(device), torch.rand(64, 32, 26, 26, device=device)
        seconds = median_seconds(lambda: conv(images), device, arguments.steps)
        flops = 2 * 64 * 64 * 24 * 24 * 288
        kernels.append({"name": "conv2 forward, 64 images", "median_ms": seconds * 1e3, "gflops": flops / seconds / 1e9})
        left, right = torch.rand(36864, 64, device=device), torch.rand(64, 288, device=device)
        seconds = median_seconds(lambda: left @ right, device, arguments.steps)
        kernels.append({"name": "product 36864x64x288", "median_ms": seconds * 1e3, "gflops": 2 * 36864 * 64 * 288 / seconds / 1e9})
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "tf32": torch.backends.cuda.matmul.allow_tf32 if device == "cuda" else False,
        "step": {"batch_size": batch, "forms": steps},
        "kernels": kernels,
    }


def saliq_bench(program: str, batch: int, steps: int) -> dict:
    """What `saliq bench --json` measures."""
    command = [program, "bench", "--json", "--batch-size", str(batch), "--steps", str(steps)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def compare(ours: list[dict], theirs: dict) -> list[dict]:
    """saliq's figures next to PyTorch's: the step, conv2's forward pass, and the product of its shape."""
    forms = [form for form in theirs["step"]["forms"] if "median_ms" in form]
    fastest = min(forms, key=lambda form: form["median_ms"])
    step_ms = statistics.mean(run["step"]["median_ms"] for run in ours)
    conv2 = [kernel["gflops"] for run in ours for kernel in run["kernels"] if kernel["name"] == "conv2 forward"]
    product = [run["peaks"]["product_gflops"] for run in ours]
    rows = [
        {
            "what": f"SGT step, ms (PyTorch: {fastest['form']}, {fastest['execution']})",
            "saliq": step_ms, "torch": fastest["median_ms"], "times_as_long": step_ms / fastest["median_ms"],
        }
    ]
    for what, values, kernel in [("conv2 forward, GFLOP/s", conv2, 0), ("product 36864x64x288, GFLOP/s", product, 1)]:
        rate, other = statistics.mean(values), theirs["kernels"][kernel]["gflops"]
        rows.append({"what": what, "saliq": rate, "torch": other, "times_as_long": other / rate})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256, help="images a step (default 256)")
    parser.add_argument("--steps", type=int, default=9, help="timed repetitions, after 3 untimed (default 9)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tf32", action=argparse.BooleanOptionalAction, default=True, help="TF32 tensor cores on CUDA (default on)")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help="also torch.compile (default: on CUDA only)")
    parser.add_argument("--saliq", metavar="PATH", help="the saliq program: also run its benchmark, before and after, and print ratios")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    if arguments.batch < 1 or arguments.steps < 1:
        parser.error("--batch and --steps must be at least 1")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("this PyTorch sees no CUDA device; use --device cpu")
    if arguments.compile is None:
        arguments.compile = arguments.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
    torch.backends.cudnn.allow_tf32 = arguments.tf32
    torch.backends.cudnn.benchmark = True
    ours = [saliq_bench(arguments.saliq, arguments.batch, arguments.steps)] if arguments.saliq else []
    result = measure(arguments)
    if arguments.saliq:
        ours.append(saliq_bench(arguments.saliq, arguments.batch, arguments.steps))
        result["saliq"] = ours
        result["comparison"] = compare(ours, result)
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    print(f"PyTorch {result['torch']} on {result['device']}, TF32 {'on' if result['tf32'] else 'off'}, batch {arguments.batch}")
    for row in result["step"]["forms"]:
        label = f"SGT step, {row['form']}, {row['execution']}"
        figures = row.get("error") or f"median {row['median_ms']:.2f} ms, {row['images_per_second']:.0f} images/s, {row['gflops']:.1f} GFLOP/s"
        print(f"{label}: {figures}")
    for row in result["kernels"]:
        print(f"{row['name']}: {row['median_ms']:.3f} ms, {row['gflops']:.1f} GFLOP/s")
    if ours:
        print(f"saliq on {ours[0]['adapter']['description']}, step before and after: "
              + " and ".join(f"{run['step']['median_ms']:.2f} ms" for run in ours))
    for row in result.get("comparison", []):
        print(f"{row['what']}: saliq {row['saliq']:.1f}, PyTorch {row['torch']:.1f}; saliq takes {row['times_as_long']:.2f} times as long")


if __name__ == "__main__":
    main()

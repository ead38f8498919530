"""Do the explanations of a 2-bit network survive when it is trained with a teacher?

Trains a float network for every data set and seed, trains it on in several ways, and compares the
maps of all of them with the maps of the network that they started from. Only the gradient is
trained on; the other methods are not. Folders that exist are kept, so that a stopped run goes on
where it was:

    python3 examples/alignment_runs.py --out runs/alignment --seeds 0,1,2

`results.csv` has a line a run and method; the table and `alignment.svg` are made of it.
`docs/alignment.md` has results. Needs nothing beside Python and `saliq`.
"""

import argparse
import array
import csv
import json
import math
import statistics
import subprocess
from pathlib import Path

METHODS = ["gradient", "integrated-gradients", "lrp", "grad-cam", "smoothgrad"]
TWO = ["--bits", "2,2"]
TAUGHT = [*TWO, "--teacher", "{start}"]
WAYS = {
    "float": ["--bits", "32"],
    "plain": TWO,
    "sgt": [*TWO, "--sgt", "true"],
    "distill": [*TAUGHT, "--distill", "1"],
    "align2": [*TAUGHT, "--align", "2"],
    "align5": [*TAUGHT, "--align", "5"],
    "both": [*TAUGHT, "--distill", "1", "--align", "5"],
}
# Student's t, two-sided 95 %, for 2 values and more.
STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]


def tensors(path):
    """The f32 tensors of a safetensors file, each as shape and values."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            values = array.array("f", content[8 + size + start : 8 + size + end])
            found[name] = (entry["shape"], values)
    return found


def ranks(values):
    """Ranks; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for place in order[at : end + 1]:
            found[place] = (at + end) / 2
        at = end + 1
    return found


def cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b)) / lengths if lengths else 0.0


def correlation(a, b):
    a, b = ([x - statistics.fmean(v) for x in v] for v in (a, b))
    return cosine(a, b)


def likeness(own, other):
    """Mean rank correlation of magnitudes, and mean cosine, of the maps of each image."""
    (shape, own), (_, other) = own, other
    pixels = math.prod(shape[1:])
    both = [(own[at : at + pixels], other[at : at + pixels]) for at in range(0, len(own), pixels)]
    rank = [correlation(ranks(list(map(abs, a))), ranks(list(map(abs, b)))) for a, b in both]
    return statistics.fmean(rank), statistics.fmean(cosine(a, b) for a, b in both)


class Runs:
    def __init__(self, options):
        self.options = options
        self.out = Path(options.out)

    def saliq(self, *arguments):
        subprocess.run([self.options.saliq, *map(str, arguments)], check=True)

    def train(self, out, data, seed, *arguments):
        if (out / "model.safetensors").exists():
            return
        size = ["--image-size", self.options.size] if self.options.size else []
        common = ["--dataset", data, *size, "--batch-size", "64", "--seed", seed]
        rest = ["--sgt", "false", "--log-every", "0", "--force", "--out", out]
        self.saliq("train", *common, *rest, *arguments)

    def maps(self, run):
        out = run / "maps"
        if not (out / "attributions.safetensors").exists():
            count = ["--count", self.options.count, "--target", "label"]
            few = ["--samples", "16", "--steps", "16", "--method", ",".join(METHODS)]
            self.saliq("explain", run, *count, *few, "--out", out)
        return tensors(out / "attributions.safetensors")

    def results(self, data, seed):
        folder = self.out / f"{data}-{seed}"
        start = folder / "start"
        self.train(start, data, seed, "--epochs", self.options.epochs, *self.options.start.split())
        reference = self.maps(start)
        for way in self.options.ways.split(","):
            run = folder / way
            given = [text.format(start=start) for text in WAYS[way]]
            rate = ["--lr", self.options.lr] if self.options.lr else []
            rest = ["--schedule", self.options.schedule, "--steps", self.options.steps]
            self.train(run, data, seed, "--init", start, *rest, *rate, *given)
            maps = self.maps(run)
            *_, last = (run / "metrics.jsonl").read_text().splitlines()
            accuracy = json.loads(last)["test_accuracy"]
            for method in METHODS:
                alike = likeness(reference[method], maps[method])
                yield [data, seed, way, method, accuracy, *alike]


def interval(values):
    """Mean, and half the width of its 95 % interval by Student's t; NaN where there is none."""
    width = math.nan
    if 1 < len(values) <= len(STUDENT) + 1:
        width = STUDENT[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), width


def written(values):
    mean, width = interval(values)
    return f"{mean:.3f}" + ("" if math.isnan(width) else f" ±{width:.3f}")


def change(own, other, digits):
    """The mean of paired differences, with its interval."""
    mean, width = interval([a - b for a, b in zip(own, other)])
    return f"{mean:+.{digits}f}" + ("" if math.isnan(width) else f" ±{width:.{digits}f}")


def share(own, plain, control):
    """The share of the gap from `plain` to `control` that `own` closes, if there is one."""
    if control <= plain:
        return ""
    return f", {100 * (own - plain) / (control - plain):.0f} % of the gap to float"


def tables(rows, ways):
    """Markdown: means and intervals, and what teaching changes."""
    text = ""
    for data in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == data]
        of = lambda way, method, at: [r[at] for r in own if r[2] == way and r[3] == method]
        count = len(of(ways[0], "gradient", 4))
        text += f"\n| {data}, n = {count} | " + " | ".join(ways) + " |\n"
        text += "| --- " * (len(ways) + 1) + "|\n"
        lines = [("accuracy", "gradient", 4)]
        lines += [(f"{method}: rank correlation", method, 5) for method in METHODS]
        lines += [(f"{method}: cosine", method, 6) for method in METHODS]
        for name, method, at in lines:
            cells = [written(of(way, method, at)) for way in ways]
            text += f"| {name} | " + " | ".join(cells) + " |\n"
        for way in [way for way in ways if way not in ("float", "plain") and "plain" in ways]:
            text += f"\nRank correlations and accuracy, {data}:\n"
            for method in METHODS:
                taught, plain = of(way, method, 5), of("plain", method, 5)
                text += f"\n- {way}, {method}: {change(taught, plain, 3)} over plain"
                control = of("float", method, 5) if "float" in ways else plain
                text += share(*map(statistics.fmean, (taught, plain, control)))
            taught, plain = ([100 * x for x in of(w, "gradient", 4)] for w in (way, "plain"))
            text += f"\n- {way}, accuracy: {change(taught, plain, 2)} points over plain\n"
    return text


COLORS = ["#555555", "#0072b2", "#56b4e9", "#009e73", "#d55e00", "#cc79a7"]


def figure(rows, ways):
    """Rank correlations with their intervals, as SVG."""
    sets = list(dict.fromkeys(row[0] for row in rows))
    width, left, row_height = 640, 170, 16
    block = (len(ways) + 1) * row_height
    height = 40 + len(sets) * (24 + len(METHODS) * block)
    x = lambda value: left + (width - left - 20) * min(max(value, 0), 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    text = lambda at, y, own, more="": parts.append(f'<text x="{at}" y="{y}" {more}>{own}</text>')
    y = 20
    for data in sets:
        text(8, y, f"{data}: rank correlation with the maps of the start", 'font-weight="bold"')
        y += 10
        end = y + len(METHODS) * block
        for tick in range(0, 11, 2):
            at = x(tick / 10)
            parts.append(f'<path d="M{at:.1f} {y}V{end - 8}" stroke="#dddddd" stroke-width="1"/>')
            text(f"{at:.1f}", end + 4, f"{tick / 10:.1f}", 'text-anchor="middle" fill="#555555"')
        for method in METHODS:
            text(8, y + 14, method)
            for color, way in zip(COLORS, ways):
                values = [r[5] for r in rows if (r[0], r[2], r[3]) == (data, way, method)]
                y += row_height
                if not values:
                    continue
                mean, half = interval(values)
                half = 0 if math.isnan(half) else half
                text(left - 8, y - 1, way, f'text-anchor="end" fill="{color}"')
                parts.append(
                    f'<path d="M{x(mean - half):.1f} {y - 5}H{x(mean + half):.1f}" '
                    f'stroke="{color}" stroke-width="2"/>'
                    f'<circle cx="{x(mean):.1f}" cy="{y - 5}" r="4" fill="{color}"/>'
                )
            y += row_height
        y += 24
    return "\n".join(parts) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saliq", default="saliq", help="the program")
    parser.add_argument("--out", required=True, help="folder of all runs")
    parser.add_argument("--data", default="mnist-mini,fashion-mini")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--size", default="", help="H,W of the images, such as 14,14")
    parser.add_argument("--epochs", default="10", help="of the float network")
    parser.add_argument("--start", default="", help="more flags of its training")
    parser.add_argument("--steps", default="120", help="from it on")
    parser.add_argument("--lr", default="", help="rate from the float network on")
    parser.add_argument("--schedule", default="constant", help="of this rate")
    parser.add_argument("--count", default="200", help="test images whose maps are compared")
    options = parser.parse_args()
    runs, rows = Runs(options), []
    for seed in options.seeds.split(","):
        for data in options.data.split(","):
            rows += runs.results(data, seed)
            with open(runs.out / "results.csv", "w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow("data,seed,way,method,accuracy,rank correlation,cosine".split(","))
                writer.writerows(rows)
    rows.sort(key=lambda row: row[0])
    ways = options.ways.split(",")
    (runs.out / "alignment.svg").write_text(figure(rows, ways))
    print(tables(rows, ways))


if __name__ == "__main__":
    main()

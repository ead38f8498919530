"""Times C headers of `saliq export --format c` beside plain loops over int8 arrays of the same
shapes, or counts the instructions of both on a Cortex-M core under QEMU.

    python benches/peers/c_header.py digits.h colour.h
    python benches/peers/c_header.py digits.h --arm cortex-m4 --plugin ./count_instructions.so

The plain loops are what one would write first: a layer is seven loops over [channel][row][column],
padded arrays, sums of 32 bits, a shift in place of a rescale. They do no more than that: no
unpacking, no float, no max-pool but as loops of its own.
"""

import argparse
import json
import pathlib
import re
import subprocess
import tempfile

# Machines of qemu-system-arm with these cores and 4 MB of memory for each of code and data.
MACHINES = {"cortex-m3": "mps2-an385", "cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}
STEP = re.compile(r"case \d+: /\* (?P<names>[^:]+): (?P<what>.*?), (?P<shapes>[\d x]+ to [^;]*); ")
SHAPE = re.compile(r"(\d+) x (\d+) x (\d+)")


def steps(header):
    """(what, shapes) of every step."""
    for line in header.splitlines():
        if found := STEP.search(line):
            shapes = [tuple(map(int, shape)) for shape in SHAPE.findall(found["shapes"])]
            yield found["what"], shapes


def layer(number, what, source, target):
    """The plain loops of a layer with weights, and its products."""
    (h, w, c), (oh, ow, o) = source, target
    taps = re.search(r"(\d+) x (\d+) taps", what)
    kh, kw = (int(taps[1]), int(taps[2])) if taps else (h, w)
    stride = re.search(r"steps of (\d+) x (\d+)", what)
    sh, sw = (int(stride[1]), int(stride[2])) if stride else (1, 1)
    padding = re.search(r"padding (\d+) (\d+) (\d+) (\d+)", what)
    top, left, bottom, right = map(int, padding.groups()) if padding else (0, 0, 0, 0)
    groups = c if "a channel" in what else 1
    if found := re.search(r"in (\d+) groups", what):
        groups = int(found[1])
    ph, pw, own = h + top + bottom, w + left + right, c // groups
    macs = oh * ow * o * own * kh * kw
    first = "" if groups == 1 else f"o / {o // groups} * {own} + "
    text = f"""
int8_t in{number}[{c * ph * pw}], weights{number}[{o * own * kh * kw}], out{number}[{o * oh * ow}];
static void plain{number}(void) {{
    for (int o = 0; o < {o}; o++)
        for (int y = 0; y < {oh}; y++)
            for (int x = 0; x < {ow}; x++) {{
                int32_t sum = 0;
                for (int c = 0; c < {own}; c++)
                    for (int i = 0; i < {kh}; i++)
                        for (int j = 0; j < {kw}; j++)
                            sum += weights{number}[((o * {own} + c) * {kh} + i) * {kw} + j] *
                                   in{number}[(({first}c) * {ph} + y * {sh} + i) * {pw} + x * {sw} + j];
                sum >>= 8;
                out{number}[(o * {oh} + y) * {ow} + x] = (int8_t)(sum < 0 ? 0 : sum > 127 ? 127 : sum);
            }}
}}
"""
    return text, macs


def pool(number, size, source, target):
    """Plain maxima (the work of means and sums is about the same)."""
    (h, w, c), (oh, ow, _) = source, target
    return f"""
int8_t in{number}[{c * h * w}], out{number}[{c * oh * ow}];
static void plain{number}(void) {{
    for (int c = 0; c < {c}; c++)
        for (int y = 0; y < {oh}; y++)
            for (int x = 0; x < {ow}; x++) {{
                int8_t most = -128;
                for (int i = 0; i < {size}; i++)
                    for (int j = 0; j < {size}; j++) {{
                        int8_t own = in{number}[(c * {h} + y * {h // oh} + i) * {w} + x * {w // ow} + j];
                        if (own > most) most = own;
                    }}
                out{number}[(c * {oh} + y) * {ow} + x] = most;
            }}
}}
"""


def peer(header):
    """The plain network, and its products."""
    text, calls, macs, number = "", [], 0, 0
    for what, shapes in steps(header):
        source, target = shapes[0], shapes[1]
        if "taps" in what or "fully connected" in what:
            own, products = layer(number, what, source, target)
            text, macs = text + own, macs + products
            calls.append(number)
            number += 1
        pooled = re.search(r"(?:maxima|means) of (\d+)", what)
        if len(shapes) > 2 or pooled:
            size = int(pooled[1]) if pooled else 2
            source, target = (target, shapes[2]) if len(shapes) > 2 else (source, target)
            text += pool(number, size, source, target)
            calls.append(number)
            number += 1
    all_calls = " ".join(f"plain{own}(); BARRIER" for own in calls)
    return text + f"static void plain(void) {{ {all_calls} }}\n", macs


MAIN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "@file@"
#define BARRIER __asm__ volatile("" : : : "memory");
@peer@
static @prefix@_workspace workspace;
static uint8_t pixels[@PREFIX@_CHANNELS * @PREFIX@_HEIGHT * @PREFIX@_WIDTH];
static float scores[@PREFIX@_CLASSES];
static void header(void) { @prefix@_classify(pixels, &workspace, scores); BARRIER }
"""

TIMES = r"""
static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return at.tv_sec * 1e3 + at.tv_nsec * 1e-6;
}
static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
int main(void) {
    enum { ROUNDS = @rounds@ };
    static double times[2][ROUNDS];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 37 + i / 11);
    for (int round = -2; round < ROUNDS; round++)
        for (int side = 0; side < 2; side++) {
            double before = now();
            if (side) header(); else plain();
            if (round >= 0) times[side][round] = now() - before;
        }
    for (int side = 0; side < 2; side++) {
        qsort(times[side], ROUNDS, sizeof(double), order);
        printf("%.4f ", times[side][ROUNDS / 2]);
    }
    return 0;
}
"""

# Where the core begins: the top of its stack, and a start that switches on floats before newlib's.
VECTORS = r"""
extern void _start(void);
static void reset(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
    _start();
}
__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = { 0x20400000, (uintptr_t)reset };
"""

# Runs one side as often as the macro TIMES says: the difference of two counts is a run.
ONCE = r"""
int main(void) {
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 37 + i / 11);
    for (int i = 0; i < RUNS; i++) SIDE();
    return 0;
}
"""


def program(path, main):
    header = path.read_text()
    prefix = re.search(r"\n\} (\w+)_workspace;", header)[1]
    loops, macs = peer(header)
    text = (MAIN + main).replace("@peer@", loops)
    for name, value in [("file", str(path.resolve())), ("PREFIX", prefix.upper()), ("prefix", prefix)]:
        text = text.replace(f"@{name}@", value)
    sizes = [int(re.search(rf"_{name}_BYTES (\d+)", header)[1]) for name in ("RAM", "ROM")]
    return text, macs, sizes


def build(folder, compiler, flags, text):
    source, binary = folder / "main.c", folder / "main"
    source.write_text(text)
    subprocess.run([*compiler.split(), *flags, str(source), "-o", str(binary), "-lm"], check=True)
    return binary


def times(args, folder, path):
    text, macs, (ram, rom) = program(path, TIMES.replace("@rounds@", str(args.rounds)))
    for level in args.levels:
        flags = ["-std=c99", "-D_POSIX_C_SOURCE=200809L", level]
        binary = build(folder, args.compiler, flags, text)
        plain, own = map(float, subprocess.check_output([str(binary)], text=True).split())
        yield {
            "header": path.name, "flags": level, "macs": macs, "ram_bytes": ram, "rom_bytes": rom,
            "plain_ms": plain, "header_ms": own, "ratio": round(own / plain, 3),
        }


def instructions(args, folder, path):
    text, macs, (ram, rom) = program(path, ONCE + VECTORS)
    for level in args.levels:
        counts = {}
        for side in ("plain", "header"):
            runs = []
            for count in (1, 2):
                flags = [
                    f"-mcpu={args.arm}", "-mthumb", *args.arm_flags.split(), "-std=c99", level,
                    f"-DRUNS={count}", f"-DSIDE={side}", "--specs=rdimon.specs",
                    "-Wl,--section-start=.vectors=0",
                ]
                binary = build(folder, "arm-none-eabi-gcc", flags, text)
                ran = subprocess.run(
                    [
                        "qemu-system-arm", "-M", MACHINES[args.arm], "-nographic", "-semihosting",
                        "-plugin", args.plugin, "-d", "plugin", "-kernel", str(binary),
                    ],
                    check=True, capture_output=True, text=True,
                )
                found = re.findall(r"total insns: (\d+)", ran.stdout + ran.stderr)
                runs.append(int(found[-1]))
            counts[side] = runs[1] - runs[0]
        yield {
            "header": path.name, "core": args.arm, "flags": level, "macs": macs, "ram_bytes": ram,
            "rom_bytes": rom, "plain_instructions": counts["plain"],
            "header_instructions": counts["header"],
            "ratio": round(counts["header"] / counts["plain"], 3),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("headers", nargs="+", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=31, help="timed runs of each side, in turns")
    parser.add_argument("--compiler", default="gcc")
    parser.add_argument("--levels", nargs="+", default=["-O2", "-Os"])
    parser.add_argument("--arm", choices=MACHINES, help="count instructions on this core")
    parser.add_argument("--arm-flags", default="-mfloat-abi=soft")
    parser.add_argument("--plugin", help="count_instructions.c, compiled as it says")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.levels = [level if level.startswith("-") else f"-{level}" for level in args.levels]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for path in args.headers:
            measure = instructions if args.arm else times
            for result in measure(args, pathlib.Path(folder), path):
                results.append(result)
                if not args.json:
                    print("  ".join(f"{name} {value}" for name, value in result.items()))
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()

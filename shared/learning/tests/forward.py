#!/usr/bin/env python3
"""Computes what a model file of rafty says of some images, with numpy alone.

    forward.py MODEL.safetensors EXAMPLES.f32

EXAMPLES.f32 holds little-endian 32-bit floats, one example behind another, as their file has them. For each
example one line of class probabilities is printed. Nothing here knows Rust or burn: the layers are written as
PyTorch defines them, so agreement with rafty means that the file can be used anywhere. Of a regression the outputs
are printed.
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
    """Every window of all axes behind the first two: [n, channels, *positions, *sizes]."""
    axes = tuple(range(2, x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(x, (size,) * len(axes), axis=axes)
    return view[(slice(None), slice(None)) + (slice(None, None, step),) * len(axes)]


def convolution(x, weight, bias, kernel, stride=1, padding=0, **_):
    """Of [n, channels, length] or [n, channels, height, width]."""
    axes = x.ndim - 2
    x = np.pad(x, ((0, 0), (0, 0)) + ((padding, padding),) * axes)
    positions, sizes = "hw"[:axes], "ij"[:axes]
    y = np.einsum(f"nc{positions}{sizes},oc{sizes}->no{positions}", windows(x, kernel, stride), weight)
    return y + bias.reshape([-1] + [1] * axes)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, tensors, hidden, sequence=False):
    """torch.nn.GRU with batch_first, on [n, channels, length]: step by step, gate by gate."""
    gates = {}
    for name in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]:
        gates[name] = np.split(tensors[name], 3)
    (w_ir, w_iz, w_in), (w_hr, w_hz, w_hn) = gates["weight_ih_l0"], gates["weight_hh_l0"]
    (b_ir, b_iz, b_in), (b_hr, b_hz, b_hn) = gates["bias_ih_l0"], gates["bias_hh_l0"]
    h = np.zeros((len(x), hidden))
    states = []
    for t in range(x.shape[2]):
        step = x[:, :, t]
        r = sigmoid(step @ w_ir.T + b_ir + h @ w_hr.T + b_hr)
        z = sigmoid(step @ w_iz.T + b_iz + h @ w_hz.T + b_hz)
        n = np.tanh(step @ w_in.T + b_in + r * (h @ w_hn.T + b_hn))
        h = (1 - z) * n + z * h
        states.append(h)
    return np.stack(states, axis=2) if sequence else h


def forward(task, tensors, x):
    for position, layer in enumerate(task["layers"]):
        kind, settings = (layer, {}) if isinstance(layer, str) else next(iter(layer.items()))
        prefix = f"{position}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        if kind == "linear":
            x = x @ own["weight"].T + own["bias"]
        elif kind in ("conv1d", "conv2d"):
            x = convolution(x, own["weight"], own["bias"], **settings)
        elif kind in ("max_pool", "max_pool1d"):
            x = windows(x, settings["size"], settings["size"])
            x = x.max(axis=tuple(range(2 + (x.ndim - 2) // 2, x.ndim)))
        elif kind == "gru":
            x = gru(x, own, **settings)
        elif kind == "global_average":
            x = x.reshape(*x.shape[:2], -1).mean(axis=2)
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
    x = (examples.reshape([-1, *shape]) / data.get("divide_by", 1.0) - mean) / std
    if data.get("window", {}).get("normalise") == "per_channel":
        x = (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)
    return x


def main(model, examples):
    metadata, tensors = read_safetensors(model)
    assert metadata["format"] == "pt"
    task = tomllib.loads(metadata["task"])
    x = scaled(task, np.fromfile(examples, "<f4").astype(np.float64))
    outputs = forward(task, tensors, x)
    if task["loss"] == "cross_entropy":
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs = odds / odds.sum(axis=1, keepdims=True)
    for row in outputs:
        print(*row)


if __name__ == "__main__":
    main(*sys.argv[1:])

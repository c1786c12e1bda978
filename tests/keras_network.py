"""Keras networks, computed with numpy from nothing but their HDF5 file: what the file says is done, layer by layer.

Nothing of the trainer is used here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def forward(path: Path, **inputs: npt.NDArray[Any]) -> dict[str, Array]:
    """The output of every layer, by name, for one example: ``inputs`` are those of the input layers."""
    with h5py.File(path) as file:
        network = json.loads(file.attrs["model_config"])["config"]
        weights = {
            name: {
                key.split("/")[-1].split(":")[0]: group[key][()]
                for key in map(_text, group.attrs["weight_names"])
            }
            for name, group in file["model_weights"].items()
        }
    outputs: dict[str, Array] = {}
    for layer in network["layers"]:
        name, config = layer["name"], layer["config"]
        before = [outputs[node[0]] for nodes in layer["inbound_nodes"] for node in nodes]
        kind = layer["class_name"]
        if kind == "InputLayer":
            outputs[name] = inputs[name].astype(float)
            assert outputs[name].shape == tuple(config["batch_input_shape"][1:])
        elif kind == "Conv1D":
            assert (config["padding"], config["strides"], config["dilation_rate"]) == ("same", [1], [1])
            outputs[name] = _activated(_same_convolution(before[0], **weights[name]), config)
        elif kind == "MaxPooling1D":
            assert (config["padding"], config["strides"]) == ("valid", config["pool_size"])
            n = config["pool_size"][0]
            whole = before[0][: len(before[0]) // n * n]
            outputs[name] = whole.reshape(-1, n, whole.shape[1]).max(axis=1)
        elif kind == "Flatten":
            outputs[name] = before[0].reshape(-1)
        elif kind == "Concatenate":
            outputs[name] = np.concatenate(before)
        elif kind == "Dense":
            outputs[name] = _activated(before[0] @ weights[name]["kernel"] + weights[name]["bias"], config)
        elif kind == "Activation":
            outputs[name] = _activated(before[0], config)
        else:
            assert kind == "Dropout", kind
            outputs[name] = before[0]
    return outputs


def _same_convolution(x: Array, kernel: Array, bias: Array) -> Array:
    width = len(kernel)
    before = (width - 1) // 2
    padded = np.pad(x, ((before, width - 1 - before), (0, 0)))
    return bias + sum(padded[i : i + len(x)] @ kernel[i].astype(float) for i in range(width))


def _activated(x: Array, config: dict[str, Any]) -> Array:
    assert config["activation"] in ("relu", "linear")
    return np.maximum(x, 0) if config["activation"] == "relu" else x


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def write_xpresso(path: Path, *, backend: str = "tensorflow", **shapes: tuple[int, ...]) -> None:
    """A file like Xpresso's with random weights; ``shapes`` are kernels that differ from its."""
    kernels = {
        "conv1d_1": (6, 4, 128),
        "conv1d_2": (9, 128, 32),
        "dense_1": (1126, 64),
        "dense_2": (64, 2),
        "dense_3": (2, 1),
    } | shapes
    convolution = {"padding": "same", "strides": [1], "dilation_rate": [1], "activation": "relu"}
    layers: list[tuple[str, str, dict[str, Any], list[str]]] = [
        ("promoter", "InputLayer", {"batch_input_shape": [None, 10500, 4]}, []),
        ("conv1d_1", "Conv1D", convolution, ["promoter"]),
        ("pool_1", "MaxPooling1D", {"padding": "valid", "strides": [30], "pool_size": [30]}, ["conv1d_1"]),
        ("conv1d_2", "Conv1D", convolution, ["pool_1"]),
        ("pool_2", "MaxPooling1D", {"padding": "valid", "strides": [10], "pool_size": [10]}, ["conv1d_2"]),
        ("flatten_1", "Flatten", {}, ["pool_2"]),
        ("halflife", "InputLayer", {"batch_input_shape": [None, 6]}, []),
        ("concatenate_1", "Concatenate", {}, ["flatten_1", "halflife"]),
        ("dense_1", "Dense", {"activation": "linear"}, ["concatenate_1"]),
        ("activation_1", "Activation", {"activation": "relu"}, ["dense_1"]),
        ("dropout_1", "Dropout", {}, ["activation_1"]),
        ("dense_2", "Dense", {"activation": "linear"}, ["dropout_1"]),
        ("activation_2", "Activation", {"activation": "relu"}, ["dense_2"]),
        ("dense_3", "Dense", {"activation": "linear"}, ["activation_2"]),
    ]
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["backend"] = np.bytes_(backend)
        network = [
            {
                "name": name,
                "class_name": kind,
                "config": config,
                "inbound_nodes": [[[node, 0, 0, {}] for node in before]],
            }
            for name, kind, config, before in layers
        ]
        file.attrs["model_config"] = json.dumps({"config": {"layers": network}})
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [name.encode() for name, *_ in layers]
        for name, *_ in layers:
            group = weights.create_group(name)
            if name not in kernels:
                group.attrs["weight_names"] = np.zeros(0, dtype="S1")
                continue
            group.attrs["weight_names"] = [f"{name}/{part}:0".encode() for part in ("kernel", "bias")]
            shape = kernels[name]
            scale = 2 / np.sqrt(np.prod(shape[:-1]))
            group[f"{name}/kernel:0"] = rng.normal(scale=scale, size=shape).astype(np.float32)
            group[f"{name}/bias:0"] = rng.normal(size=shape[-1:]).astype(np.float32)

"""Pretrained checkpoints: of a local folder, or of the Hugging Face hub or its local cache."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqstore.errors import InputError

#: What a checkpoint that cannot be read makes transformers, safetensors and torch raise, but for safetensors' own.
_UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError)

#: The files that transformers looks for, in its order.
_FILES = ("model.safetensors", "pytorch_model.bin")


def load_model(kind: Any, pretrained: str, parts: Collection[str], **options: Any) -> Any:
    """A trunk's model with the weights of its checkpoint.

    Args:
        kind: class of the model, a transformers.PreTrainedModel
        pretrained: hub id or local folder
        parts: names of the model's children that the checkpoint must have whole
        options: settings that differ from the checkpoint's

    Raises:
        InputError: it cannot be read, or lacks weights of these parts, which would stay random.
    """
    from safetensors import SafetensorError

    try:
        model, found = kind.from_pretrained(pretrained, output_loading_info=True, **options)
    except (*_UNREADABLE, SafetensorError) as error:
        raise InputError(f"trunk.pretrained: {pretrained}: {_first_line(error)}") from error
    missing = sorted(name for name in found["missing_keys"] if name.split(".")[0] in parts)
    if missing:
        raise InputError(
            f"trunk.pretrained: {pretrained} lacks {len(missing)} weights of {kind.__name__}, such as {missing[0]}; "
            "give a whole checkpoint"
        )
    return model


def read_tensors(pretrained: str, names: Sequence[str], *, key: str) -> list[Tensor]:
    """The tensors of these names, whole, on the CPU.

    Args:
        pretrained: folder with model.safetensors or pytorch_model.bin, or hub id (owner/name) of such
        names: names in the checkpoint's state dict
        key: config key that errors name

    Raises:
        InputError: there is no such checkpoint, it cannot be read, or it lacks one of the tensors.
    """
    from safetensors import SafetensorError, safe_open

    path = _locate(pretrained, key)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                there = set(file.keys())
                found = {name: file.get_tensor(name) for name in names if name in there}
        else:
            # Mapped, so that a few tensors do not cost the memory of all; the older format cannot be.
            weights = torch.load(path, "cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
            found = {name: weights[name].clone() for name in names if name in weights}
    except (*_UNREADABLE, SafetensorError) as error:
        raise InputError(f"{key}: {path}: {_first_line(error)}") from error
    for name in names:
        if name not in found:
            raise InputError(f"{key}: {path} has no {name!r}; give a checkpoint that has it")
    return [found[name] for name in names]


def _first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _locate(pretrained: str, key: str) -> Path:
    """The file of weights, downloaded where it is neither local nor in the hub's cache."""
    folder = Path(pretrained)
    if folder.is_dir():
        for name in _FILES:
            if (folder / name).is_file():
                return folder / name
        raise InputError(f"{key}: {folder} has neither {_FILES[0]} nor {_FILES[1]}")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    reason = ""
    for name in _FILES:
        try:
            return Path(hf_hub_download(pretrained, name))
        except EntryNotFoundError as error:  # also: not in the cache, and the hub is out of reach
            reason = _first_line(error)
        except (OSError, ValueError) as error:
            raise InputError(f"{key}: {pretrained}: {_first_line(error)}") from error
    raise InputError(f"{key}: {pretrained}: {reason}")

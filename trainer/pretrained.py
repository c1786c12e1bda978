"""Single tensors of a pretrained checkpoint: of a local folder, or of the Hugging Face hub or its local cache."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from seqstore.errors import InputError

#: What a checkpoint that cannot be read makes transformers, safetensors and torch raise, but for safetensors' own.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError)

#: The files that transformers looks for, in its order.
_FILES = ("model.safetensors", "pytorch_model.bin")


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
    except (*UNREADABLE, SafetensorError) as error:
        raise InputError(f"{key}: {path}: {first_line(error)}") from error
    for name in names:
        if name not in found:
            raise InputError(f"{key}: {path} has no {name!r}; give a checkpoint that has it")
    return [found[name] for name in names]


def first_line(error: BaseException) -> str:
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
            reason = first_line(error)
        except (OSError, ValueError) as error:
            raise InputError(f"{key}: {pretrained}: {first_line(error)}") from error
    raise InputError(f"{key}: {pretrained}: {reason}")

"""A tiny Enformer, as if it had been trained, and the two ways in which its checkpoint is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from enformer_pytorch import Enformer
from safetensors.torch import save_file

TINY: dict[str, Any] = {"dim": 24, "depth": 2, "heads": 2, "dim_divisible_by": 4}


def tiny_enformer() -> Enformer:
    """In evaluation mode; it has three tracks of people and two of mice."""
    torch.manual_seed(0)
    model = Enformer.from_hparams(**TINY, output_heads={"human": 3, "mouse": 2}, target_length=3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def save_with_torch(model: Enformer, folder: Path) -> None:
    model.save_pretrained(folder, safe_serialization=False)


def save_with_safetensors(model: Enformer, folder: Path) -> None:
    folder.mkdir(parents=True)
    weights = {k: v.contiguous() for k, v in model.state_dict().items() if not k.startswith("_trunk.")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)

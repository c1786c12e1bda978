"""Run a frozen trunk once over every distinct window: ``python trainer/embed.py CONFIG --output EMBEDDINGS``.

Then ``trunk: {class_path: Cached, init_args: {embeddings: EMBEDDINGS}}`` trains what is behind it in seconds.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.codecs import BytesCodec

from seqstore.commands import run as run_command
from seqstore.errors import InputError
from seqstore.outputs import check_folder
from trainer.cohort import Cohort, open_cohort
from trainer.config import Accelerator, Enformer, FitConfig, read_config
from trainer.embeddings import AFTER, WINDOWS_IN_CHUNK

logger = logging.getLogger("trainer.embed")


def embed(
    config: str,
    *,
    output: str,
    bins: int = 10,
    everyone: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    microbatch: int | None = None,
    accelerator: Accelerator | None = None,
) -> None:
    """Write what an Enformer's transformer makes of the centre bins of every distinct window, on both strands.

    Of the config the keys store, split, context, ambiguous, trunk, seed, microbatch, precision and accelerator are
    used. What was stopped goes on when the same command is run again.

    Args:
        config: config of a run of trainer/fit.py, with an Enformer as its trunk
        output: folder to write
        bins: centre bins to keep; a head cannot see more
        everyone: embed all genes of the store, not only those with a role in the split
        dtype: of the numbers that are kept
        microbatch: windows in memory at once; default as in the config
        accelerator: device of Lightning Fabric; default as in the config
    """
    asked = read_config(config)
    asked = dataclasses.replace(
        asked, microbatch=microbatch or asked.microbatch, accelerator=accelerator or asked.accelerator
    )
    if asked.start is not None:
        raise InputError(
            f"{config}: begins from {asked.start}, whose trunk is not the one embedded; leave start out"
        )
    if not isinstance(asked.trunk, Enformer):
        raise InputError(f"{config}: its trunk is no Enformer, whose embeddings can be cached")
    check_folder(Path(output).parent)
    cohort = open_cohort(asked)
    n_bins = asked.trunk.bins(cohort.context)
    if not 1 <= bins <= n_bins:
        raise InputError(f"--bins {bins}: a window of {cohort.context} bases has {n_bins}")
    wanted = np.ones(len(cohort.genes), bool) if everyone else (cohort.role > 0).any(axis=1)
    _embed(asked, asked.trunk, cohort, np.flatnonzero(wanted), Path(output), bins, dtype)


def _embed(
    config: FitConfig,
    trunk_config: Enformer,
    cohort: Cohort,
    genes: np.ndarray[Any, np.dtype[np.int64]],
    path: Path,
    bins: int,
    dtype: str,
) -> None:
    import torch
    from safetensors.torch import save_file
    from tqdm import tqdm

    from trainer.devices import lack_of_memory_named, launched_fabric
    from trainer.model import build_model
    from trainer.onehot import OneHot
    from trainer.trunks import EnformerTrunk

    crops = cohort.crops(genes)
    n_windows = {gene: int(crops.ids(gene).max()) + 1 for gene in genes.tolist()}
    size = sum(n_windows.values()) * 2 * bins * trunk_config.dim * np.dtype(dtype).itemsize
    logger.info(
        "%s: %d distinct windows of %d genes on two strands, %d bins of %d channels: %.1f GB",
        *(path, sum(n_windows.values()), len(genes), bins, trunk_config.dim, size / 1e9),
    )
    attributes = {
        **{"format": "seqstore embeddings", "context": cohort.context, "ambiguous": config.ambiguous},
        **{"store_fingerprint": cohort.identity["store_fingerprint"], "seed": config.seed},
        **{
            "trunk": dataclasses.asdict(trunk_config),
            "dropout": trunk_config.dropout,
            "bins": bins,
            "dtype": dtype,
        },
        **{"genes": [str(label) for label in cohort.genes[genes]]},
    }
    group = _begun(path, attributes, crops, n_windows, cohort, bins, trunk_config.dim, dtype)

    fabric = launched_fabric(config)
    trunk = build_model(config).trunk
    assert isinstance(trunk, EnformerTrunk)
    save_file(
        {name: tensor.contiguous() for name, tensor in trunk.final_pointwise.state_dict().items()},
        path / AFTER,
    )
    model = fabric.setup_module(trunk)
    model.mark_forward_method("before")
    model.eval()
    one_hot = OneHot(config.ambiguous).to(fabric.device)
    centre = slice((trunk_config.bins(cohort.context) - bins) // 2, None)
    todo = [gene for gene in genes.tolist() if not group["done"][gene]]
    progress = tqdm(total=2 * sum(n_windows[gene] for gene in todo), unit="window", disable=None)
    with progress, lack_of_memory_named(config.microbatch), torch.no_grad():
        for gene in todo:
            windows = crops.windows(gene, np.arange(n_windows[gene]))
            found = np.empty((len(windows), 2, bins, trunk_config.dim), dtype=dtype)
            for first in range(0, len(windows), config.microbatch):
                part = fabric.to_device(torch.from_numpy(windows[first : first + config.microbatch]))
                for strand in range(2):
                    before = model.before(one_hot(part, reverse=bool(strand)))
                    kept = before[:, centre][:, :bins].float().cpu().numpy()
                    found[first : first + len(part), strand] = kept
                    progress.update(len(part))
            first = int(group["first"][gene])
            group["embedding"][first : first + len(found)] = found
            group["done"][gene] = True
    group.attrs["status"] = "complete"
    logger.info("%s: complete", path)


def _begun(
    path: Path,
    attributes: dict[str, Any],
    crops: Any,
    n_windows: dict[int, int],
    cohort: Cohort,
    bins: int,
    channels: int,
    dtype: str,
) -> Any:
    """The group of these embeddings as far as it has come."""
    if path.exists() and any(path.iterdir()):
        group: Any = zarr.open_group(path, mode="r+", use_consolidated=False)
        if {key: value for key, value in group.attrs.items() if key != "status"} != attributes:
            raise InputError(f"{path}: something else stands there; choose another --output or remove it")
        return group
    n_genes, n_people = cohort.role.shape
    first, stop = np.zeros((2, n_genes), dtype=np.int64)
    window_of = np.full((n_genes, n_people, 2), -1, dtype=np.int32)
    row = 0
    for gene, n in n_windows.items():
        first[gene], stop[gene] = row, row + n
        window_of[gene] = crops.ids(gene)
        row += -(-n // WINDOWS_IN_CHUNK) * WINDOWS_IN_CHUNK
    aside = path.with_name(path.name + ".partial")
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.open_group(aside, mode="w", attributes=attributes | {"status": "unfinished"})
        group.create_array(
            "embedding",
            shape=(row, 2, bins, channels),
            chunks=(WINDOWS_IN_CHUNK, 2, bins, channels),
            dtype=dtype,
            serializer=BytesCodec(),
            compressors=None,
            filters=None,
            dimension_names=("window", "strand", "bin", "channel"),
        )
        group.create_array("window_of", data=window_of, chunks=(1, n_people, 2))
        group.create_array("first", data=first)
        group.create_array("stop", data=stop)
        group.create_array("done", shape=(n_genes,), chunks=(1,), dtype=bool, fill_value=False)
    aside.rename(path)
    return zarr.open_group(path, mode="r+", use_consolidated=False)


if __name__ == "__main__":
    run_command("embed.py", embed)

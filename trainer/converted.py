"""Zarr groups of training data, as the trainer's converters write them."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from seqstore.errors import InputError

#: What zarr and its codecs raise where something cannot be decoded.
DECODING = (OSError, ValueError, TypeError, KeyError, RuntimeError)


def open_converted(
    path: str | Path, *, what: str, format_name: str, version: int, converter: str
) -> xr.Dataset:
    """A group's coordinates, and its arrays unread.

    Args:
        path: the group
        what: what it holds, for errors
        format_name: its attribute ``format``
        version: its attribute ``format_version``
        converter: the script that writes such groups

    Raises:
        InputError: nothing is there, something else is, or it is of another version.
    """
    try:
        group: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no {what} here (a Zarr group that {converter} wrote)") from None
    except DECODING as error:
        raise InputError(f"{path}: cannot be opened as a Zarr group of {converter} ({error})") from error
    if group.attrs.get("format") != format_name:
        raise InputError(f"{path}: is no group of {what}; write one with trainer/{converter}")
    if group.attrs.get("format_version") != version:
        raise InputError(
            f"{path}: has format version {group.attrs.get('format_version')}, this is {version}; convert it "
            "again, or upgrade seqstore"
        )
    return group

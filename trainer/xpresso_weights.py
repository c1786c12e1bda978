"""The weights of Xpresso, from the Keras HDF5 files in which its authors publish them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seqstore.errors import InputError

#: Bases that Xpresso reads up to the TSS, and from the TSS on.
UPSTREAM, DOWNSTREAM = 7000, 3500
#: Features of the transcript that say how long it lives. They are standardised: zeros are those of an average gene.
HALF_LIFE_FEATURES = 6

#: The layers with weights, in the network's order, and the shapes of their kernels as Keras has them: (width, in, out)
#: of a convolution, (in, out) of a dense layer.
SHAPES = {
    "motifs": (6, 4, 128),
    "pairs": (9, 128, 32),
    "dense": (1120 + HALF_LIFE_FEATURES, 64),
    "narrow": (64, 2),
    "level": (2, 1),
}


class Layer(NamedTuple):
    """The weights of a layer, as Keras has them: ``kernel`` (…, in, out) and ``bias`` (out,), float32."""

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def read_layers(path: str, *, key: str) -> dict[str, Layer]:
    """The layers of `SHAPES` of a Keras HDF5 file.

    Args:
        path: file that Keras 1 or 2 saved, such as GM12878_trainepoch.06-0.5062.h5 of Zenodo record 4075690
        key: config key that errors name

    Raises:
        InputError: h5py is not installed, or the file is no Xpresso.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{key}: HDF5 needs h5py ({error}); pip install seqstore[hdf5]") from error
    try:
        with h5py.File(path, "r") as file:
            backend = _text(file.attrs.get("backend", "tensorflow"))
            weights = file.get("model_weights", file)
            groups = [weights[_text(name)] for name in weights.attrs["layer_names"]]
            arrays = [
                [np.asarray(group[_text(name)], dtype=np.float32) for name in group.attrs["weight_names"]]
                for group in groups
            ]
    except OSError as error:
        raise InputError(f"{key}: {path} cannot be read as HDF5 ({error})") from None
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{key}: {path} is no file of weights that Keras saved ({error})") from None
    if backend != "tensorflow":  # Theano turns kernels round
        raise InputError(f"{key}: {path} was saved with {backend}; give one that was saved with tensorflow")
    found = [of_layer for of_layer in arrays if of_layer]
    shapes = [tuple(array.shape for array in of_layer) for of_layer in found]
    expected = [(kernel, kernel[-1:]) for kernel in SHAPES.values()]
    if shapes != expected:
        raise InputError(
            f"{key}: {path} is no Xpresso: its kernels and biases are {_listed(shapes)}, not {_listed(expected)}"
        )
    return {name: Layer(*of_layer) for name, of_layer in zip(SHAPES, found, strict=True)}


def _text(name: Any) -> str:
    """Keras wrote bytes; h5py may give them as text."""
    return name.decode() if isinstance(name, bytes) else str(name)


def _listed(shapes: list[Any]) -> str:
    return ", ".join(" ".join(str(list(shape)) for shape in of_layer) for of_layer in shapes) or "none"

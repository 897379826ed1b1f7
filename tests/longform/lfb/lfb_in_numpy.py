"""FBO-NL once more, in NumPy, one query at a time, written from the description of the released code."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Blobs = Mapping[str, Array]


def fbo_nl(
    short: Array,
    bank: Array,
    blobs: Blobs,
    *,
    num_layers: int,
    form: str = "embedded_gaussian",
    scaled: bool = True,
    pre_activation: bool = True,
    layer_norm: bool = True,
) -> Array:
    """(d,) for one query (D,) and its window (L, D). Blobs have the names of the released files, input's is `reduc`."""
    a = blobs["reduc_w"] @ short + blobs["reduc_b"]
    b = bank @ blobs["lfb_1x1_w"].T + blobs["lfb_1x1_b"]
    norm: Callable[[Array], Array] = _layer_norm if layer_norm else lambda x: x
    for index in range(num_layers):

        def linear(x: Array, name: str, index: int = index) -> Array:
            return x @ blobs[f"lfb_nl{index}_{name}_w"].T + blobs[f"lfb_nl{index}_{name}_b"]

        weights = _weights(linear(a, "theta"), linear(b, "phi"), form, scaled, blobs.get(f"lfb_nl{index}_pair_w"))
        y = sum(weight * row for weight, row in zip(weights, linear(b, "g"), strict=True))
        assert isinstance(y, np.ndarray)
        if pre_activation:
            a = a + linear(np.maximum(norm(y), 0), "out")
        else:
            a = np.maximum(a + norm(linear(y, "out")), 0)
    return a


def _weights(theta: Array, phi: Array, form: str, scaled: bool, pair: Array | None) -> list[float]:
    if form == "concatenation":
        assert pair is not None
        return [max(0.0, float(pair.ravel() @ np.concatenate([theta, row]))) / len(phi) for row in phi]
    affinity = [float(theta @ row) / (np.sqrt(len(theta)) if scaled else 1.0) for row in phi]
    if form == "dot_product":
        return [value / len(phi) for value in affinity]
    powers = [np.exp(value - max(affinity)) for value in affinity]
    return [power / sum(powers) for power in powers]


def _layer_norm(x: Array) -> Array:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)

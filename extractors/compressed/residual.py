"""What motion alone does not explain of a P-frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from extractors.compressed.accumulate import Trace
from extractors.errors import ShapeError


def residual(picture: NDArray[np.uint8], reference: NDArray[np.uint8], trace: Trace) -> NDArray[np.int16]:
    """Accumulated residual R(p) = picture(p) - reference(S(p)), (H, W, 3) in -255..255.

    With a map in whole pixels the sum of residuals along the way (thesis, section 4.1) telescopes to this difference of
    decoded pictures, so that `reference` warped by the trace plus R is `picture` exactly. The transform coefficients of
    the stream are not read; nor are they in the original.

    Args:
        picture: the P-frame, (H, W, 3).
        reference: the picture the trace began at, of the same size and colour order.
    """
    if picture.shape != reference.shape:
        raise ShapeError(f"A residual needs two pictures of one shape: got {picture.shape} and {reference.shape}.")
    return np.subtract(picture, trace.warp(reference), dtype=np.int16)

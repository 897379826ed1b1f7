"""Optical flow as input of a network: TV-L1, clipped and scaled.

Zach, Pock and Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow" (2007), from scikit-image. Clipping
at 20 px is that of Inception-I3D (google-deepmind/kinetics-i3d) and of the S3D paper (section 5.1). Their flow came
from another implementation of the method, so that values differ a little from theirs.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from extractors.errors import ShapeError

BOUND_PX = 20.0
"""Displacements beyond this are clipped."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, of RGB


def flow_input(frames_rgb: NDArray[np.uint8], *, quantised: bool = False) -> NDArray[np.float32]:
    """The flow clip of a network, from the frames at the size that the network sees.

    Args:
        frames_rgb: (T, H, W, 3) uint8, T at least 2.
        quantised: round to the 256 levels of a picture with 8 bits, from -20 to 20 px, as the S3D paper stored its flow
            (without the losses of JPEG). No level is exactly 0: a still pixel becomes 20 / 255 px.
    Returns:
        (2, T, H, W) float32 in [-1, 1]: the flow of `tvl1_flow`, clipped at `BOUND_PX` and divided by it.
    Raises:
        ShapeError: the frames have another shape or dtype, or are fewer than 2.
    """
    flow = np.clip(tvl1_flow(frames_rgb) / np.float32(BOUND_PX), -1, 1)
    return np.rint((flow + 1) * np.float32(127.5)) / np.float32(127.5) - 1 if quantised else flow


def tvl1_flow(frames_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Displacement of every pixel from each frame to the next, in pixels.

    Args:
        frames_rgb: (T, H, W, 3) uint8, T at least 2.
    Returns:
        (2, T, H, W) float32: x (to the right), then y (down). Place t is the flow from frame t to frame t + 1; the last
        frame has no next one and gets the flow of the frame before it again, so that T frames give T flows.
    Raises:
        ShapeError: the frames have another shape or dtype, or are fewer than 2.
    """
    if frames_rgb.ndim != 4 or frames_rgb.shape[3] != 3 or frames_rgb.dtype != np.uint8 or len(frames_rgb) < 2:
        raise ShapeError(
            f"Frames have shape {frames_rgb.shape} and dtype {frames_rgb.dtype}; expected (T, H, W, 3) uint8, T >= 2."
        )
    from skimage.registration import optical_flow_tvl1  # takes long to import; most networks see no flow

    grey = frames_rgb @ _LUMA / np.float32(255)
    steps = [optical_flow_tvl1(now, after, dtype=np.float32) for now, after in pairwise(grey)]
    rows_and_columns = np.stack([*steps, steps[-1]], axis=1)
    return np.ascontiguousarray(rows_and_columns[::-1])

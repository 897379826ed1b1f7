"""From motion and residuals to the input of CoViAR's networks, in the steps of its code (`dataset.py`).

Maps are first brought to 8 bit, resized and cropped as pictures are, and then to float. Motion is not rescaled with the
picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOTION_SPAN_PX = 20.0
"""Motion of this many pixels reaches the end of the 8-bit code; larger motion is cut off."""
_ZERO = 128
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def motion_code(motion: NDArray) -> NDArray[np.uint8]:
    """(H, W, 2) motion in px as 8-bit numbers around 128; the fraction of the code is cut toward zero."""
    code = (motion * (127.5 / MOTION_SPAN_PX)).astype(np.int32) + _ZERO
    return np.clip(code, 0, 255).astype(np.uint8)


def residual_code(residual: NDArray) -> NDArray[np.uint8]:
    """(H, W, 3) residual in grey levels as 8-bit numbers around 128: -128..127, beyond it is cut off."""
    return np.clip(residual.astype(np.int16) + _ZERO, 0, 255).astype(np.uint8)


def flip_motion_code(code: NDArray) -> NDArray[np.int16]:
    """Mirror left and right. The code 0 of x becomes 256, which 8 bit do not hold and the original keeps."""
    flipped = code[:, ::-1].astype(np.int16)
    flipped[..., 0] = 2 * _ZERO - flipped[..., 0]
    return flipped


def iframe_input(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) RGB to (3, H, W), normalised with ImageNet's mean and deviation."""
    return _channels_first((picture.astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD)


def motion_input(code: NDArray) -> NDArray[np.float32]:
    """(H, W, 2) motion code to (2, H, W), about -0.5..0.5; the network normalises it further (data BN)."""
    return _channels_first(code.astype(np.float32) / 255 - np.float32(0.5))


def residual_input(code: NDArray[np.uint8], *, order: str = "bgr") -> NDArray[np.float32]:
    """(H, W, 3) RGB residual code to (3, H, W).

    Args:
        order: of the output's channels. The original gives blue first to a network trained on RGB, and divides by
            ImageNet's deviations as if red came first: `bgr`, which its checkpoints need. `rgb` is the sound one.
    """
    ordered = code[..., ::-1] if order == "bgr" else code
    return _channels_first((ordered.astype(np.float32) / 255 - np.float32(0.5)) / IMAGENET_STD)


def _channels_first(array: NDArray) -> NDArray[np.float32]:
    return np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32)

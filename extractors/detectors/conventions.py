"""What three code bases do differently with the same Faster R-CNN: pixels, anchors, pooling, the width of a box.

A file's boxes and scores come out exactly only with the arithmetic of the code base that trained it.
"""

from __future__ import annotations

from dataclasses import dataclass

from extractors.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Convention:
    """The arithmetic of one code base around the network."""

    channels: str
    """`bgr` or `rgb`: order of colours in the network's input, and in `mean` and `std`."""
    mean: tuple[float, float, float]
    """Subtracted from pixels in 0..255."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Pixels are divided by it; 1 where the first convolution of the file has absorbed it."""
    std_resnext: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """`std` of networks with a ResNeXt body."""
    resize: str
    """How pictures are scaled: a name in `extractors.detectors.image_input.RESIZES`."""
    anchors: str
    """How anchors are rounded: a name in `extractors.detectors.anchors.ROUNDINGS`."""
    strides_from_maps: bool = False
    """Anchors are as far apart as the input's size over the map's, rounded down, instead of 4, 8, ..., 64."""
    extra_px: float = 0.0
    """A box is x2 - x1 + extra_px wide: 1 where corners are the indices of the first and last pixel."""
    min_proposal_px: float = 0.0
    """Proposals must be wider and higher than this (0), or at least as much (above 0)."""
    min_detection_px: float = 0.0
    """The same for detections."""
    clips_to_padding: bool = False
    """Proposals are clipped to the padded input, not to the picture in it."""
    decodes_in_frame: bool = False
    """Detections are decoded, clipped and suppressed in pixels of the frame, not of the network's input."""
    roi_aligned: bool
    """See `extractors.ops.roi_align.roi_align`."""
    roi_sampling_ratio: int
    level_epsilon: float = 0.0
    """Added to log2(side / 224) when a box is given a level of the pyramid."""
    side_epsilon: float = 0.0
    """Added to side / 224 there."""
    bn_eps: float = 1e-5
    stride_in_1x1: bool = True
    """Whether plain bottlenecks stride in their first 1x1 convolution, not in the 3x3; ResNeXt always in the 3x3."""


CONVENTIONS: dict[str, Convention] = {
    "detectron2": Convention(
        channels="bgr",
        mean=(103.53, 116.28, 123.675),
        std_resnext=(57.375, 57.12, 58.395),
        resize="pillow",
        anchors="exact",
        roi_aligned=True,
        roi_sampling_ratio=0,
        side_epsilon=1e-8,
    ),
    "detectron": Convention(
        channels="bgr",
        mean=(102.9801, 115.9465, 122.7717),
        resize="opencv",
        anchors="quantised",
        extra_px=1.0,
        clips_to_padding=True,
        decodes_in_frame=True,
        roi_aligned=False,
        roi_sampling_ratio=2,
        side_epsilon=1e-6,
    ),
    "torchvision": Convention(
        channels="rgb",
        mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
        std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
        std_resnext=(0.229 * 255, 0.224 * 255, 0.225 * 255),
        resize="torch",
        anchors="rounded",
        strides_from_maps=True,
        min_proposal_px=1e-3,
        min_detection_px=1e-2,
        roi_aligned=False,
        roi_sampling_ratio=2,
        level_epsilon=1e-6,
        bn_eps=0.0,
        stride_in_1x1=False,
    ),
}
"""facebookresearch/detectron2, facebookresearch/Detectron (Caffe2), and pytorch/vision's `fasterrcnn_resnet50_fpn`."""


def convention(name: str) -> Convention:
    """The convention of that name.

    Raises:
        ConfigError: there is none; the message lists those there are.
    """
    if name not in CONVENTIONS:
        raise ConfigError(f"No convention is called {name!r}; expected one of: {', '.join(CONVENTIONS)}.")
    return CONVENTIONS[name]

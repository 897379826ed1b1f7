"""How decoded frames become a network's clip: which frames, and the arithmetic from bytes to floats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClipInput:
    """The input that a network was trained on. Every clip weight card has one."""

    num_frames: int
    """Frames of a clip, at the rate of the network's fastest pathway."""
    stride: int
    """Distance of two frames of a clip, in frames of a source at `fps`."""
    fps: float = 30.0
    """Rate at which strides count; a source at another rate is sampled by time."""
    short_side_px: int = 256
    """The picture is scaled (bilinear) until its shorter side has this length."""
    square: bool = False
    """Scale both sides to `short_side_px` instead, whatever the shape of the picture."""
    crop_px: int = 256
    """Side of the square crop: the centre, or several side by side along the longer side."""
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    """Per channel, of values in [0, 1]."""
    std: tuple[float, ...] = (0.225, 0.225, 0.225)
    channels: str = "rgb"
    """`rgb` or `bgr` (order of colours), or `flow` (x and y displacement, clipped at 20 px and divided by 20)."""
    sampling: str = "pyslowfast"
    """Which frames the original's test looks at: a name in `extractors.clips.views.SAMPLINGS`."""
    resize: str = "float"
    """How the original scales pictures: a name in `extractors.clips.preprocess.RESIZES`."""
    crop: str = "pyslowfast"
    """Where the original's test crops: a name in `extractors.clips.preprocess.CROPS`."""

    @property
    def clip_s(self) -> float:
        """Seconds that a clip spans, from its first frame to one stride past its last."""
        return self.num_frames * self.stride / self.fps

"""From stored pixels to the displayed picture: pixel aspect ratio, rotation, and the size a consumer wants."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSpec:
    """A picture a consumer wants of a frame.

    `short_side_px` bounds the shorter, `width_px` the horizontal side of the displayed picture; a picture
    is never enlarged. With neither, the picture has its full displayed size.
    """

    format: str = "rgb24"
    """`rgb24`, `bgr24` or `gray`."""
    short_side_px: int | None = None
    width_px: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """How a stored picture is shown."""

    stored_hw: tuple[int, int]
    pixel_aspect: Fraction
    """Width over height of one stored pixel."""
    rotation_deg: int
    """Quarter turns counter-clockwise to show the picture, as degrees in {0, 90, 180, 270}."""

    @classmethod
    def of_frame(cls, frame: VideoFrame, pixel_aspect: Fraction | None) -> "Geometry":
        """Geometry of a decoded frame; a display matrix that is not a quarter turn counts as none."""
        quarter_turns = round(frame.rotation / 90)
        is_quarter_turn = abs(frame.rotation - 90 * quarter_turns) <= 1
        return cls(
            stored_hw=(frame.height, frame.width),
            pixel_aspect=Fraction(pixel_aspect) if pixel_aspect else Fraction(1),
            rotation_deg=90 * quarter_turns % 360 if is_quarter_turn else 0,
        )

    @property
    def display_hw(self) -> tuple[int, int]:
        """Height and width of the picture as shown: square pixels, turned upright."""
        height, width = self.stored_hw
        square = (height, max(1, round(width * self.pixel_aspect)))
        return square[::-1] if self.rotation_deg in (90, 270) else square

    def picture_hw(self, spec: PictureSpec) -> tuple[int, int]:
        """Height and width of the displayed picture that `spec` asks for."""
        height, width = self.display_hw
        scale = Fraction(1)
        if spec.short_side_px is not None:
            scale = min(scale, Fraction(spec.short_side_px, min(height, width)))
        if spec.width_px is not None:
            scale = min(scale, Fraction(spec.width_px, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def scaled_hw(self, spec: PictureSpec) -> tuple[int, int]:
        """Height and width before turning, as the scaler must make them."""
        hw = self.picture_hw(spec)
        return hw[::-1] if self.rotation_deg in (90, 270) else hw

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """Turn a scaled stored picture (H, W[, C]) to how it is shown; no copy where nothing turns."""
        turns = self.rotation_deg // 90
        return np.ascontiguousarray(np.rot90(stored, turns)) if turns else stored

"""Motion vectors of a group of pictures, traced back to its I-frame (Wu et al. 2018; thesis, eq. 4.1).

The state is a map S that says for every pixel of the present picture where it was in the I-frame. A P-frame brings
blocks, each with a vector to the picture before. Inside a block S_new(p) = S_old(p + vector), elsewhere S stays: one
look at the map for each picture, however long the group. D(p) = p - S(p) is the accumulated motion, along the motion
from past to present, in pixels, channels x and y.

Two precisions:

whole      The original's. Vectors are cut to whole pixels toward zero, as FFmpeg gives sources; a pixel whose source
           lies outside the picture keeps S.
sub-pixel  Vectors keep their half and quarter pixels, and S is float32, looked up bilinearly. A source outside the
           picture is taken at its border, as decoders do with reference pictures.
"""

from __future__ import annotations

import functools
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from extractors.errors import ConfigError, ShapeError

Precision = Literal["whole", "sub-pixel"]

CELL = 8
"""Side of the smallest block that FFmpeg reports, px. All blocks lie on this grid."""
MOST_PX = 1 << 14
_CELLS_OF_CODED_UNIT = 4
"""Coded pictures reach to multiples of 16 px, interlaced ones to 32."""


class Trace:
    """Where the pixels of the present picture were in the I-frame.

    Args:
        size_hw: height and width of the pictures, px.
        precision: `whole` or `sub-pixel`.
    """

    def __init__(self, size_hw: tuple[int, int], precision: Precision = "whole") -> None:
        height, width = size_hw
        if precision not in get_args(Precision):
            raise ConfigError(f"Unknown precision {precision!r} of motion. Choose one of: whole, sub-pixel.")
        if not (0 < height < MOST_PX and 0 < width < MOST_PX):
            raise ShapeError(f"Sides of a picture to trace must lie in 1..{MOST_PX - 1} px: got {width}x{height}.")
        self.size_hw = size_hw
        self.precision = precision
        self.intra_share = 0.0
        """Part of the present picture that no block of its P-frame covers; 0 for an I-frame."""
        rows, columns = (_CELLS_OF_CODED_UNIT * -(-side // (_CELLS_OF_CODED_UNIT * CELL)) for side in size_hw)
        self._whole = precision == "whole"
        self._here = _places(size_hw, self._whole)
        self._source = self._here.copy()
        self._spare = np.empty_like(self._source)
        self._looked_at = np.empty_like(self._source)
        self._cells = np.zeros((rows, columns, 2), self._here.dtype)
        self._covered = np.zeros((rows, columns), np.bool_)

    def restart(self) -> None:
        """The present picture is an I-frame: every pixel is its own source."""
        np.copyto(self._source, self._here)
        self.intra_share = 0.0

    def advance(self, vectors: NDArray[np.void] | None) -> None:
        """Go on to the next P-frame.

        Args:
            vectors: (N,) items with the fields of FFmpeg's `AVMotionVector`; those to later pictures are left out. None
                or none at all: every block is intra-coded, and the map stays.
        """
        self._paint(vectors)
        if self._cells.any():
            self._look_up()

    def motion(self) -> NDArray[np.int32] | NDArray[np.float32]:
        """Accumulated motion D, (H, W, 2), x and y, px: int32 in whole pixels, float32 in parts of them."""
        motion = self._here - self._source
        return motion.astype(np.int32) if self._whole else motion

    def warp(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The I-frame (H, W, C) brought to where its pixels are now: what motion alone says of the present picture.

        Sub-pixel sources are taken bilinearly, at steps of 1/32 px (`cv2.remap`).
        """
        if picture.shape[:2] != self.size_hw:
            raise ShapeError(f"The picture to warp must be {self.size_hw} (H, W): got {picture.shape}.")
        how = cv2.INTER_NEAREST if self._whole else cv2.INTER_LINEAR
        return cv2.remap(picture, self._source, None, how, borderMode=cv2.BORDER_REPLICATE)

    def _paint(self, vectors: NDArray[np.void] | None) -> None:
        """Enter the vectors of a P-frame into the grid of cells, and count what is covered."""
        self._cells.fill(0)
        self._covered.fill(False)
        if vectors is not None:
            is_past = vectors["source"] < 0
            self._paint_blocks(vectors if is_past.all() else vectors[is_past])
        height, width = self.size_hw
        shown = self._covered[: -(-height // CELL), : -(-width // CELL)]
        self.intra_share = 1.0 - np.count_nonzero(shown) / shown.size

    def _paint_blocks(self, blocks: NDArray[np.void]) -> None:
        width, height = blocks["w"], blocks["h"]
        left, top = blocks["dst_x"] - width // 2, blocks["dst_y"] - height // 2
        rows, columns = self._covered.shape
        fits = (left | top) % CELL == 0
        fits &= (left >= 0) & (top >= 0) & (left + width <= CELL * columns) & (top + height <= CELL * rows)
        if not fits.all():
            raise ShapeError(f"A block at {left[~fits][0]}, {top[~fits][0]} does not lie on the {CELL} px grid of a "
                             f"picture of {self.size_hw} (H, W).")  # fmt: skip
        cell = top // CELL * columns + left // CELL
        vector = _pairs(self._vectors(blocks))
        cells, covered = _pairs(self._cells), self._covered.reshape(-1)
        for down in range(2):
            for across in range(2):
                reaches = (height > CELL * down) & (width > CELL * across)
                at = cell[reaches] + (down * columns + across)
                cells[at] = vector[reaches]
                covered[at] = True

    def _vectors(self, blocks: NDArray[np.void]) -> NDArray:
        """(N, 2) from a block to its source, px."""
        vector = np.empty((len(blocks), 2), self._cells.dtype)
        for axis, name in enumerate("xy"):
            if self._whole:
                np.subtract(blocks[f"src_{name}"], blocks[f"dst_{name}"], out=vector[:, axis])
            else:
                np.divide(blocks[f"motion_{name}"], blocks["motion_scale"], out=vector[:, axis], casting="same_kind")
        return vector

    def _look_up(self) -> None:
        """S_new(p) = S_old(p + vector)."""
        self._spread_cells()
        if self._whole:
            np.copyto(self._spare, self._source)
            cv2.remap(  # the pair (x, y) of a pixel moves as one number of 32 bits
                self._source.view(np.float32),
                self._looked_at,
                None,
                cv2.INTER_NEAREST,
                dst=self._spare.view(np.float32),
                borderMode=cv2.BORDER_TRANSPARENT,
            )
        else:
            cv2.remap(
                self._source,
                self._looked_at,
                None,
                cv2.INTER_LINEAR,
                dst=self._spare,
                borderMode=cv2.BORDER_REPLICATE,
            )
        self._source, self._spare = self._spare, self._source

    def _spread_cells(self) -> None:
        """Where to look for each pixel: its place plus its cell's vector."""
        height, width = self.size_hw
        rows = -(-height // CELL)
        packed = _pairs(self._cells).reshape(self._cells.shape[:2])[:rows]
        wide = np.repeat(packed, CELL, axis=1)[:, :width].copy().view(self._cells.dtype)
        whole_rows = height // CELL
        end = whole_rows * CELL
        of_rows = (whole_rows, CELL, 2 * width)
        np.add(self._here[:end].reshape(of_rows), wide[:whole_rows, None], out=self._looked_at[:end].reshape(of_rows))
        if end < height:
            np.add(self._here[end:], wide[-1].reshape(width, 2), out=self._looked_at[end:])


@functools.lru_cache(maxsize=4)
def _places(size_hw: tuple[int, int], whole: bool) -> NDArray:
    """(H, W, 2) the place x, y of every pixel, int16 or float32, read only."""
    height, width = size_hw
    places = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.int16 if whole else np.float32)
    places.flags.writeable = False
    return places


def _pairs(array: NDArray) -> NDArray:
    """(..., 2) seen as one number for each pair, in a row."""
    return array.view(f"i{2 * array.itemsize}").reshape(-1)

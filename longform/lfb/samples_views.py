"""Views of a clip in testing, which boxes a view shows, and how the answers of views become one.

AVA's best results are of 18 views: three scales, mirrored or not, three crops. EPIC-KITCHENS has one view, the centre
of the segment; Charades 30, three crops of ten clips, of whose scores the largest count
(`longform.lfb.samples.charades_test_centres`, `largest_scores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from extractors.errors import ShapeError
from longform.lfb.samples_augment import (
    CENTRE,
    FIRST,
    LARGEST_TESTING_CROP_PX,
    LAST,
    TESTING_SHORT_SIDE_PX,
    Placement,
    fixed_placement,
)


@dataclass(frozen=True, kw_only=True)
class View:
    """One way to look at a clip."""

    short_side_px: int = TESTING_SHORT_SIDE_PX
    position: int = CENTRE
    flip: bool = False

    def placement(self, source_hw: tuple[int, int]) -> Placement:
        """How the frames of a clip become the network's input."""
        return fixed_placement(source_hw, short_side_px=self.short_side_px, position=self.position, flip=self.flip)

    def shows(self, boxes: ArrayLike, source_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """(N,) which boxes overlap the crop along the longer side of the picture.

        Args:
            boxes: (N, 4) xyxy in [0, 1] of the picture, not mirrored.
        """
        height, width = source_hw
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        axis = 1 if height > width else 0
        start, end = corners[:, axis], corners[:, axis + 2]
        if self.flip and axis == 0:
            start, end = 1 - end, 1 - start
        crop = min(self.short_side_px, LARGEST_TESTING_CROP_PX) / (self.short_side_px * max(source_hw) / min(source_hw))
        before = {FIRST: 0.0, CENTRE: 0.5 - crop / 2, LAST: 1 - crop}[self.position]
        after_begin = end > before if self.position != FIRST else np.ones(len(corners), bool)
        before_end = start < before + crop if self.position != LAST else np.ones(len(corners), bool)
        return after_begin & before_end


AVA_VIEWS = (View(),)
"""Centre crop of one scale: most results."""
AVA_ALL_VIEWS = tuple(
    View(short_side_px=side, position=position, flip=flip)
    for flip in (False, True)
    for side in (224, 256, 320)
    for position in (FIRST, CENTRE, LAST)
)
"""The bank is made anew for each scale and mirroring, from centre crops."""
CHARADES_VIEWS = tuple(View(position=position) for position in (FIRST, CENTRE, LAST))
"""Of each clip."""


def combined_ava_scores(
    logits: ArrayLike, views: Sequence[View], boxes: ArrayLike, source_hw: tuple[int, int]
) -> NDArray[np.float64]:
    """Scores of boxes of one frame size from several views: probabilities, averaged over crops, then summed.

    Of each scale and mirroring, the crops that show a box count; the sum is over scales and mirrorings. A box between
    two crops (there is room where a picture is wider than 2.4 : 1, at 320 px) takes the mean of all; the original has
    no answer then.

    Args:
        logits: (V, N, C), in the order of `views`.
        boxes: (N, 4) xyxy in [0, 1].
    Returns:
        (N, C).
    Raises:
        ShapeError: the arrays do not fit together.
    """
    values = np.asarray(logits, np.float64)
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    if values.ndim != 3 or values.shape[:2] != (len(views), len(corners)):
        raise ShapeError(f"The logits are {values.shape}; expected ({len(views)}, {len(corners)}, C).")
    shown = np.stack([view.shows(corners, source_hw) for view in views])
    total = np.zeros(values.shape[1:])
    for settings in dict.fromkeys((view.short_side_px, view.flip) for view in views):
        crops = [place for place, view in enumerate(views) if (view.short_side_px, view.flip) == settings]
        weights = np.where(shown[crops].any(0), shown[crops], True).astype(np.float64)
        total += (expit(values[crops]) * weights[..., None]).sum(0) / weights.sum(0)[:, None]
    return total


def largest_scores(logits: ArrayLike) -> NDArray[np.float64]:
    """(N, C) of (V, N, C): the largest of the views for each class, as videos of Charades are judged."""
    return np.asarray(logits, np.float64).max(0)

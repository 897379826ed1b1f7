"""Frame-mAP of JHMDB, UCF101-24 and whatever else has boxes with one action on frames.

These sets have no evaluator of their own. Papers count in two ways that give different numbers, so say which:

- `pascal`: PASCAL VOC's rules, as AVA counts: Gu et al. (AVA, CVPR 2018) and Xie et al. (S3D, ECCV 2018) on these sets.
- `act`: those of the ACT detector (Kalogeiton et al., ICCV 2017), which MOC, and most later work on tubes, took over:
  boxes name their last pixel, a second detection on a found box may find its neighbour, and the area is taken by
  trapezoids from precision 1 at recall 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extractors.errors import ConfigError
from longform.metrics.detection_ap import Area, Boxes, class_precisions, true_positives


@dataclass(frozen=True, kw_only=True)
class FrameRules:
    """How detections of a frame are counted; see `detection_ap`."""

    only_free: bool
    inclusive: bool
    area: Area


RULES = {
    "pascal": FrameRules(only_free=False, inclusive=False, area="envelope"),
    "act": FrameRules(only_free=True, inclusive=True, area="trapezoid"),
}


def frame_map(
    annotated: Boxes, detected: Boxes, *, iou_threshold: float = 0.5, rules: str = "pascal"
) -> dict[str, object]:
    """Mean over classes of the average precision of boxes on single frames.

    Args:
        annotated: one row for each person and frame. A frame without rows has nobody: detections there are wrong.
        detected: boxes in the same unit; in pixels for `act`.
        rules: `pascal` or `act`.
    Returns:
        `mAP` in 0…1, the mean over annotated classes, and `per_class`, class to AP.
    Raises:
        ConfigError: unknown rules, a threshold outside (0, 1], or nothing is annotated.
    """
    if rules not in RULES:
        raise ConfigError(f"No rules are called {rules!r}; expected one of: {', '.join(RULES)}.")
    if not 0 < iou_threshold <= 1:
        raise ConfigError(f"iou_threshold is {iou_threshold!r}; expected a number in (0, 1].")
    if not len(annotated.frames):
        raise ConfigError("Nothing is annotated, so no average precision exists; give at least one box.")
    chosen = RULES[rules]
    found = true_positives(
        annotated, detected, iou_threshold=iou_threshold, only_free=chosen.only_free, inclusive=chosen.inclusive
    )
    precisions = class_precisions(annotated, detected, found, chosen.area)
    return {"mAP": float(np.mean(list(precisions.values()))), "per_class": precisions}

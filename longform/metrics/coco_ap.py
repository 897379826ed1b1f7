"""Box AP of object detectors as COCO counts it (Lin et al., "Microsoft COCO", ECCV 2014; rules of its `COCOeval`).

Over all sizes of boxes, and without crowd regions, which the bank does not know of.
"""

from __future__ import annotations

import numpy as np

from extractors.errors import ConfigError
from longform.metrics.detection_ap import Boxes, class_precisions, true_positives

IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
MAX_DETECTIONS = 100


def box_ap(annotated: Boxes, detected: Boxes) -> dict[str, float]:
    """Average precision of object detections.

    Args:
        annotated: one row for each object.
        detected: the 100 best of each class on a frame count.
    Returns:
        `AP`, the mean over annotated classes and IoU thresholds 0.50, 0.55 … 0.95; `AP50`; `AP75`. All in 0…1.
    Raises:
        ConfigError: nothing is annotated.
    """
    if not len(annotated.frames):
        raise ConfigError("Nothing is annotated, so no average precision exists; give at least one box.")
    counted = detected.best(MAX_DETECTIONS)
    means = {iou: _mean_precision(annotated, counted, iou) for iou in IOU_THRESHOLDS}
    return {"AP": float(np.mean(list(means.values()))), "AP50": means[0.5], "AP75": means[0.75]}


def _mean_precision(annotated: Boxes, detected: Boxes, iou: float) -> float:
    found = true_positives(annotated, detected, iou_threshold=iou, only_free=True)
    return float(np.mean(list(class_precisions(annotated, detected, found, "101-point").values())))

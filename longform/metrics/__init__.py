"""Scores of the benchmarks, equal to their official evaluators; docs/metrics.md says which and how exactly."""

from longform.metrics.ava_map import ava_frame_map
from longform.metrics.charades_map import charades_map
from longform.metrics.coco_ap import box_ap
from longform.metrics.detection_ap import Boxes
from longform.metrics.epic_topk import epic_prior, epic_topk
from longform.metrics.jhmdb_ucf import frame_map
from longform.metrics.mot import mot_metrics
from longform.metrics.tables import AnnotationError
from longform.metrics.tracking_scores import TrackedBoxes, tracking_metrics

__all__ = [
    "AnnotationError",
    "Boxes",
    "TrackedBoxes",
    "ava_frame_map",
    "box_ap",
    "charades_map",
    "epic_prior",
    "epic_topk",
    "frame_map",
    "mot_metrics",
    "tracking_metrics",
]

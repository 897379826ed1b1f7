"""Figures of systems that are not clip backbones of this project: detectors, and other people's networks."""

from __future__ import annotations

from longform.published import Reading, Row
from longform.published_coviar import OTHER_NETWORK, THESIS
from longform.published_nonlocal import SLOWFAST

ACTION_DETECTION = Row(
    model="slowfast_16x8_r101_nl",
    variant="non-local pool (1,2,2), 80 classes",
    input=(64, 256, 256),
    options={"nonlocal_pool": (1, 2, 2), "num_classes": 80, "activation": "sigmoid"},
    params=59.2e6,
    macs=242.0e9,
    source=f"{THESIS}, Table 8.3 (action detection)",
    note="The figure is that of the network for clips: SlowFast 16x8 R101 with non-local blocks whose keys are pooled "
    "by (1, 2, 2), PySlowFast's default, at 256x256. The checkpoints for AVA need (2, 2, 2), and finer maps in res5.",
)

DETECTOR_INPUT = (1, 800, 1344)
"""800x1333, the size of Detectron2's model zoo, padded to whole cells of the coarsest map."""

TABLE_8_3 = (
    Row(
        model="faster_rcnn_r101_fpn",
        variant="COCO",
        input=DETECTOR_INPUT,
        options={"body": "r101"},
        params=60.6e6,
        macs=88.6e9,
        source=f"{THESIS}, Table 8.3 (object detection)",
        reading=Reading(
            text="The parameters are those for COCO's 80 classes, without the frozen normalisations. The multiply-adds "
            "are not explained, only matched: the thesis states neither the picture's size nor how it counts. At "
            "Detectron2's own size, 800x1333 padded to 800x1344, the network needs 3.3 times as many (body 162.2 G, "
            "pyramid 60.9 G, proposals 53.1 G, head over 1000 boxes 14.3 G), so pictures were smaller. No size in "
            "whole cells of 32 pixels gives 88.6 G with 1000 boxes: it may be a mean over pictures, or a part, as "
            "448x768 without the box head comes to 88.4 G, and with two operations for each normalised value to "
            "88.6 G. All of it at 448x640, 0.29 megapixels, is nearest",
            input=(1, 448, 640),
        ),
    ),
)

DETECTORS = tuple(
    Row(model=model, variant="COCO", input=DETECTOR_INPUT, options={"body": body})
    for model, body in (("faster_rcnn_r50_fpn", "r50"), ("faster_rcnn_x101_fpn", "x101_32x8d"))
)

SLOWFAST_COMPARISONS = (
    *(
        Row(model=model, absent=OTHER_NETWORK, macs=macs, source=f"{SLOWFAST}, Table 2")
        for model, macs in (("R(2+1)D, flow", 152e9), ("R(2+1)D", 152e9), ("R(2+1)D, two-stream", 304e9),
                            ("ARTNet", 23.5e9))
    ),
    Row(
        model="STRG, R101 with non-local blocks",
        absent=OTHER_NETWORK,
        macs=630e9,
        source=f"{SLOWFAST}, Table 4",
    ),
)  # fmt: skip

SYSTEM_ROWS = (ACTION_DETECTION, *TABLE_8_3, *DETECTORS, *SLOWFAST_COMPARISONS)

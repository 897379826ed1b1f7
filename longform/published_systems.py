"""Figures of systems that are not clip backbones of this project: other people's, and those of later issues."""

from __future__ import annotations

from longform.published import Reading, Row
from longform.published_nonlocal import SLOWFAST

THESIS = "Wu's thesis"

OTHER_NETWORK = "A network of other authors, for comparison in the document; it is not in this project."
COVIAR_ISSUE = "Compressed-domain recognition comes with issue 8."

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

COVIAR = Row(
    model="coviar",
    absent=COVIAR_ISSUE,
    macs=4.2e9,
    source=f"{THESIS}, Table 4.3",
    note="Mean over the frames of a group of 12: one ResNet-152 and eleven pairs of ResNet-18 give "
    "(11.3 + 11 (1.8 + 1.8)) / 12 = 4.2 G.",
)

IMAGE_NETWORKS = tuple(
    Row(model=model, absent=OTHER_NETWORK, macs=macs, source=f"{THESIS}, Table 4.3")
    for model, macs in (("ResNet-50", 3.8e9), ("ResNet-152", 11.3e9), ("C3D", 38.5e9), ("Res3D", 19.3e9))
)

COVIAR_RATIOS = (
    Row(
        model="ResNet-152",
        variant="to CoViAR",
        absent=OTHER_NETWORK,
        relative_to=COVIAR,
        macs_times=2.7,
        source=f"{THESIS}, section 4.4: '2.7x faster than ResNet-152'",
    ),
    Row(
        model="Res3D",
        variant="to CoViAR",
        absent=OTHER_NETWORK,
        relative_to=COVIAR,
        macs_times=4.6,
        source=f"{THESIS}, section 4.4 and Table 4.3: '4.6x'",
    ),
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

SYSTEM_ROWS = (
    ACTION_DETECTION, COVIAR, *IMAGE_NETWORKS, *COVIAR_RATIOS, *TABLE_8_3, *DETECTORS,
    *SLOWFAST_COMPARISONS,
)  # fmt: skip

"""Figures of CoViAR (Wu's thesis, chapter 4; Wu et al., CVPR 2018): sizes of its networks, accuracy, speed."""

from __future__ import annotations

from dataclasses import dataclass

from longform.published import Reading, Row

THESIS = "Wu's thesis"
MODEL = "coviar"
FRAMES_OF_A_GOP = 12
"""One I-frame and eleven P-frames."""

FRAME = (1, 224, 224)
IMAGENET = {"num_classes": 1000}
STRIDE_IN_THE_FIRST_CONVOLUTION = -(256 * 128 * 56**2 + 512 * 256 * 28**2 + 1024 * 512 * 14**2) * 3 // 4
"""What ResNet-152 saves where the blocks that halve the maps do so in their first 1x1 convolution."""

OTHER_NETWORK = "A network of other authors, for comparison in the document; it is not in this project."
FIRST_CONVOLUTION = (
    "The figure is the one that He et al. (CVPR 2016) print for their ResNet-152, which strides in the first 1x1 "
    "convolution of a block. The released code of CoViAR has torchvision's, which strides in the 3x3 convolution. With "
    "He et al.'s"
)

IFRAME = Row(
    model=MODEL,
    variant="I-frame (ResNet-152)",
    input=FRAME,
    options={"stream": "iframe", **IMAGENET},
    macs=11.3e9,
    source=f"{THESIS}, Table 4.3 (ResNet-152)",
    reading=Reading(text=FIRST_CONVOLUTION, extra_macs=STRIDE_IN_THE_FIRST_CONVOLUTION),
)

MEAN_OF_A_GOP = Row(
    model=MODEL,
    variant="mean frame of a GOP",
    input=FRAME,
    options={"frames_of_gop": FRAMES_OF_A_GOP, **IMAGENET},
    macs=4.2e9,
    source=f"{THESIS}, Table 4.3",
    reading=Reading(
        text="A mean over one I-frame, through ResNet-152, and eleven P-frames, each through two ResNet-18. The "
        "document's own numbers give (11.3 + 11 (1.8 + 1.8)) / 12 = 4.2 G. With a ResNet-152 that strides in the first "
        "1x1 convolution of a block, as He et al.'s",
        extra_macs=STRIDE_IN_THE_FIRST_CONVOLUTION // FRAMES_OF_A_GOP,
    ),
)

P_FRAMES = tuple(
    Row(model=MODEL, variant=f"{stream} (ResNet-18)", input=FRAME, options={"stream": stream, **IMAGENET})
    for stream in ("motion", "residual")
)

OTHERS = tuple(
    Row(model=model, absent=OTHER_NETWORK, macs=macs, source=f"{THESIS}, Table 4.3")
    for model, macs in (("ResNet-50", 3.8e9), ("C3D", 38.5e9), ("Res3D", 19.3e9))
)

RATIOS = (
    Row(
        model=MODEL,
        variant="I-frame (ResNet-152)",
        input=FRAME,
        options={"stream": "iframe", **IMAGENET},
        relative_to=MEAN_OF_A_GOP,
        macs_times=2.7,
        source=f"{THESIS}, section 4.2.2: '2.7x faster than ResNet-152'",
        reading=Reading(text=FIRST_CONVOLUTION, extra_macs=STRIDE_IN_THE_FIRST_CONVOLUTION),
    ),
    Row(
        model="Res3D",
        variant="to CoViAR",
        absent=OTHER_NETWORK,
        relative_to=MEAN_OF_A_GOP,
        macs_times=4.6,
        source=f"{THESIS}, section 4.2.2 and Table 4.3: '4.6x'",
    ),
)

COVIAR_ROWS = (MEAN_OF_A_GOP, IFRAME, *P_FRAMES, *OTHERS, *RATIOS)


@dataclass(frozen=True, kw_only=True)
class StreamAccuracy:
    """Top-1 accuracy in % of the streams alone and of sums of their scores."""

    dataset: str
    split: str
    """`1`, `2`, `3`, or `mean`."""
    accumulated: bool = True
    """Whether vectors and residuals are traced back to the I-frame; otherwise they are those of the bitstream."""
    iframe: float | None = None
    motion: float
    residual: float
    iframe_motion: float
    iframe_residual: float
    all: float
    source: str


def _table_4_1(dataset: str, split: str, *values: float) -> StreamAccuracy:
    """A row: I, M, R, I+M, I+R, I+M+R."""
    iframe, motion, residual, iframe_motion, iframe_residual, everything = values
    return StreamAccuracy(
        dataset=dataset,
        split=split,
        iframe=iframe,
        motion=motion,
        residual=residual,
        iframe_motion=iframe_motion,
        iframe_residual=iframe_residual,
        all=everything,
        source=f"{THESIS}, Table 4.1",
    )


STREAM_ACCURACY = (
    _table_4_1("ucf101", "1", 88.4, 63.9, 79.9, 90.4, 90.0, 90.8),
    _table_4_1("ucf101", "2", 87.4, 64.6, 80.8, 89.9, 89.6, 90.5),
    _table_4_1("ucf101", "3", 87.3, 66.6, 82.1, 89.6, 89.4, 90.0),
    _table_4_1("ucf101", "mean", 87.7, 65.0, 80.9, 89.9, 89.7, 90.4),
    _table_4_1("hmdb51", "1", 54.1, 37.8, 44.6, 60.3, 55.9, 60.4),
    _table_4_1("hmdb51", "2", 51.9, 38.7, 43.1, 57.9, 54.2, 58.2),
    _table_4_1("hmdb51", "3", 54.1, 39.7, 44.4, 58.5, 55.6, 58.7),
    _table_4_1("hmdb51", "mean", 53.3, 38.8, 44.1, 58.9, 55.2, 59.1),
)
"""Table 4.1: all on accumulated vectors and residuals."""

ACCUMULATION = (
    StreamAccuracy(dataset="ucf101", split="1", accumulated=False, motion=58.3, residual=79.0, iframe_motion=90.0,
                   iframe_residual=89.8, all=90.4, source=f"{THESIS}, Table 4.2"),
    StreamAccuracy(dataset="ucf101", split="1", accumulated=True, motion=63.9, residual=79.9, iframe_motion=90.4,
                   iframe_residual=90.0, all=90.8, source=f"{THESIS}, Table 4.2"),
)  # fmt: skip
"""Table 4.2: vectors and residuals of the bitstream against accumulated ones."""

CHARADES = {"mAP": 21.9, "wAP": 29.4}
"""Table 4.7, without optical flow."""

WITH_FLOW = {
    "ucf101": {"1": (87.7, 94.0), "2": (90.2, 95.4), "3": (89.1, 95.2), "mean": (89.0, 94.9)},
    "hmdb51": {"1": (61.8, 71.5), "2": (63.7, 69.4), "3": (64.2, 69.7), "mean": (63.2, 70.2)},
}
"""Table 4.6: of each split a network on TV-L1 flow alone, and its scores added to CoViAR's."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Milliseconds for a frame at 340x256 (Table 4.4): preprocessing on CPUs (flow on a P100), networks on a P100."""

    system: str
    preprocess: float | None
    preprocess_threaded: float | None
    sequential: float
    concurrent: float


SPEED = (
    Speed(system="two-stream BN-Inception", preprocess=75.0, preprocess_threaded=None, sequential=1.6, concurrent=0.9),
    Speed(system="two-stream ResNet-152", preprocess=75.0, preprocess_threaded=None, sequential=7.5, concurrent=4.0),
    Speed(system="CoViAR", preprocess=2.87, preprocess_threaded=0.46, sequential=1.3, concurrent=0.3),
)

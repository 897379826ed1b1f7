"""The PySlowFast zoo (facebookresearch/SlowFast, MODEL_ZOO.md).

Traps of the file names: `SLOWFAST_32x2` is SlowFast 8x8, `64x2` is 16x8, AVA's `C2D_8x8_R50` is Slow 4x16, and a
`.pkl` may be a Caffe2 pickle or a file of torch.save.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from extractors.clips.input import ClipInput
from extractors.weights.card import WeightCard

ZOO = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/"
MULTIGRID = "https://dl.fbaipublicfiles.com/pyslowfast/pyslowfast/model_zoo/multigrid/model_zoo/"

THIRTY_VIEWS = "10 clips x 3 crops of 256; mean of the views' probabilities"
CHARADES_VIEWS = "10 clips x 3 crops of 256; maximum of the views' sigmoids"
AVA_WHOLE_FRAME = "AVA {version}, val; whole frames with short side 256, boxes of a person detector"
AVA_NOTE = "RoI head: RoIAlign with aligned=False, res5 with stride 1 and dilation 2, one sigmoid a class."

MULTIGRID_NOTE = "Multigrid training: the head averages whole maps, whatever their size."

NONLOCAL_IN_RES4: Mapping[str, Any] = {
    "nonlocal_at": {4: (6, 13, 20)},
    "nonlocal_form": "dot_product",
    "nonlocal_pool": (2, 2, 2),
    "lateral_kernel": 5,
}
"""The non-local blocks of the AVA models, which tensors do not tell."""


def input_of(num_frames: int, stride: int, classes: str = "kinetics-400") -> ClipInput:
    """PySlowFast's input: RGB, mean 0.45 and deviation 0.225, short side 256.

    Frames of Charades are 24 a second, those of AVA are scaled as bytes, and clips of Something-Something are the
    middles of segments.
    """
    return ClipInput(
        num_frames=num_frames,
        stride=stride,
        fps=24.0 if classes == "charades-157" else 30.0,
        sampling={"charades-157": "charades", "ssv2-174": "segments"}.get(classes, "pyslowfast"),
        resize="bytes" if classes == "ava-80" else "float",
    )


def _kinetics(name: str, model: str, file: str, frames: tuple[int, int], top: tuple[float, float], *, url: str = ZOO
              + "kinetics400/", container: str = "caffe2", note: str = "", **options: Any) -> WeightCard:  # fmt: skip
    return WeightCard(
        name=name,
        model=model,
        options=options,
        url=url + file,
        file_name=file,
        container=container,
        licence="Apache-2.0",
        num_classes=400,
        classes="kinetics-400",
        input=input_of(*frames),
        accuracy={"top1": top[0], "top5": top[1]},
        protocol=f"Kinetics-400 val; {THIRTY_VIEWS}",
        source="facebookresearch/SlowFast, MODEL_ZOO.md",
        note=note,
    )


def _ava(name: str, model: str, path: str, frames: tuple[int, int], mean_ap: float, *, version: str = "2.2",
         container: str, note: str, **options: Any) -> WeightCard:  # fmt: skip
    return WeightCard(
        name=name,
        model=model,
        options={"num_classes": 80, "roi_aligned": False, **options},
        url=ZOO + path,
        file_name=path.rsplit("/", 1)[-1],
        container=container,
        licence="Apache-2.0",
        num_classes=80,
        classes="ava-80",
        input=input_of(*frames, "ava-80"),
        accuracy={"mAP": mean_ap},
        protocol=AVA_WHOLE_FRAME.format(version=version),
        source="facebookresearch/SlowFast, MODEL_ZOO.md",
        note=f"{note} {AVA_NOTE}",
    )


def _pretraining(name: str, model: str, path: str, frames: tuple[int, int], classes: int, container: str,
                 **options: Any) -> WeightCard:  # fmt: skip
    return WeightCard(
        name=name,
        model=model,
        options={"num_classes": classes, **options},
        url=ZOO + path,
        file_name=path.rsplit("/", 1)[-1],
        container=container,
        licence="Apache-2.0",
        num_classes=classes,
        classes=f"kinetics-{classes}",
        input=input_of(*frames),
        source="facebookresearch/SlowFast, MODEL_ZOO.md",
        note="What the AVA model of the same file name was trained from; no accuracy is published.",
    )


def _multigrid(name: str, path: str, data: str, accuracy: Mapping[str, float], note: str, crop_px: int = 256,
               **options: Any) -> WeightCard:  # fmt: skip
    num_classes = {"kinetics-400": 400, "ssv2-174": 174, "charades-157": 157}[data]
    return WeightCard(
        name=name,
        model="slowfast_8x8_r50",
        options={"num_classes": num_classes, **options},
        url=MULTIGRID + path,
        file_name=path.rsplit("/", 1)[-1],
        container="pyslowfast",
        licence="Apache-2.0",
        num_classes=num_classes,
        classes=data,
        input=replace(input_of(64 if "sampling" in options else 32, 2, data), short_side_px=crop_px, crop_px=crop_px),
        accuracy=accuracy,
        protocol={
            "kinetics-400": f"Kinetics-400 val; {THIRTY_VIEWS.replace('256', str(crop_px))}",
            "ssv2-174": "Something-Something V2 val; 1 clip of 64 segment centres, 1 crop",
            "charades-157": f"Charades val; {CHARADES_VIEWS}",
        }[data],
        source="facebookresearch/SlowFast, MODEL_ZOO.md and projects/multigrid",
        note=note,
    )


CARDS: tuple[WeightCard, ...] = (
    _kinetics("c2d_nopool_8x8_r50_k400", "c2d_r50", "C2D_NOPOOL_8x8_R50.pkl", (8, 8), (67.2, 87.8),
              note="No pool after res2. The file was once published as a gzip of two I3D files (SlowFast issues 98 "
              "and 163).", pool1_padding=1, pool2=False),
    _kinetics("i3d_8x8_r50_k400", "i3d_r50", "I3D_8x8_R50.pkl", (8, 8), (73.5, 90.8), pool1_padding=1),
    _kinetics("i3d_nl_8x8_r50_k400", "i3d_nl_r50", "I3D_NLN_8x8_R50.pkl", (8, 8), (74.0, 91.1), pool1_padding=1),
    _kinetics("slow_4x16_r50_k400", "slow_4x16_r50", "SLOWONLY_4x16_R50.pkl", (4, 16), (72.7, 90.3)),
    _kinetics("slow_8x8_r50_k400", "slow_8x8_r50", "SLOWONLY_8x8_R50.pkl", (8, 8), (74.8, 91.6)),
    _kinetics("slowfast_4x16_r50_k400", "slowfast_4x16_r50", "SLOWFAST_4x16_R50.pkl", (32, 2), (75.6, 92.0),
              note="alpha is 8, lateral kernels 5."),
    _kinetics("slowfast_8x8_r50_k400", "slowfast_8x8_r50", "SLOWFAST_8x8_R50.pkl", (32, 2), (77.0, 92.6),
              note="Lateral kernels 7; every other SlowFast of the zoo but its descendants has 5.", lateral_kernel=7),
    _multigrid("slowfast_8x8_r50_k400_stepwise", "Kinetics/SLOWFAST_8x8_R50_stepwise.pkl", "kinetics-400",
               {"top1": 76.8, "top5": 92.7}, "Trained with a stepwise schedule.", lateral_kernel=7),
    _multigrid("slowfast_8x8_r50_k400_multigrid", "Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.pkl", "kinetics-400",
               {"top1": 76.6, "top5": 92.7}, MULTIGRID_NOTE, crop_px=224, lateral_kernel=7, head="global"),
    _multigrid("slowfast_16x8_r50_ssv2", "SSv2/SLOWFAST_16x8_R50.pkl", "ssv2-174", {"top1": 63.0, "top5": 88.5},
               "Files are read as BGR and turned: the network takes RGB.", lateral_kernel=7, sampling="16x8"),
    _multigrid("slowfast_16x8_r50_ssv2_multigrid", "SSv2/SLOWFAST_16x8_R50_multigrid.pkl", "ssv2-174",
               {"top1": 63.5, "top5": 88.7}, f"{MULTIGRID_NOTE} RGB.", crop_px=224, lateral_kernel=7, sampling="16x8",
               head="global"),
    _multigrid("slowfast_16x8_r50_charades", "Charades/SLOWFAST_16x8_R50.pkl", "charades-157", {"mAP": 38.9},
               "One sigmoid a class.", lateral_kernel=7, sampling="16x8", activation="sigmoid"),
    _multigrid("slowfast_16x8_r50_charades_multigrid", "Charades/SLOWFAST_16x8_R50_multigrid.pkl", "charades-157",
               {"mAP": 38.6}, f"{MULTIGRID_NOTE} One sigmoid a class.", lateral_kernel=7, sampling="16x8",
               activation="sigmoid", head="global"),
    _ava("slow_4x16_r50_ava", "ava_slow_4x16_r50", "ava/C2D_8x8_R50.pkl", (4, 16), 19.5, container="caffe2",
         note="Slow 4x16, in spite of the file's name."),
    _ava("slowfast_8x8_r101_nl_ava21", "ava_slowfast_8x8_r101_nl", "ava/SLOWFAST_32x2_R101_50_50_v2.1.pkl",
         (32, 2), 28.2, version="2.1", container="caffe2", note="SlowFast 8x8, in spite of the file's name.",
         **NONLOCAL_IN_RES4),
    _ava("slowfast_8x8_r101_nl_ava", "ava_slowfast_8x8_r101_nl", "ava/SLOWFAST_32x2_R101_50_50.pkl", (32, 2), 29.1,
         container="pyslowfast", note="SlowFast 8x8, in spite of the file's name; a file of torch.save.",
         **NONLOCAL_IN_RES4),
    _ava("slowfast_16x8_r101_nl_ava", "ava_slowfast_16x8_r101_nl", "ava/SLOWFAST_64x2_R101_50_50.pkl", (64, 2), 29.4,
         container="pyslowfast", note="SlowFast 16x8, in spite of the file's name; a file of torch.save since 2020 "
         "(SlowFast issue 85).", **NONLOCAL_IN_RES4),
    _pretraining("slow_4x16_r50_k400_for_ava", "slow_4x16_r50", "ava/pretrain/C2D_8x8_R50.pkl", (4, 16), 400, "caffe2"),
    _pretraining("slowfast_8x8_r101_nl_k600_for_ava21", "slowfast_8x8_r101_nl",
                 "ava/pretrain/SLOWFAST_32x2_R101_50_50_v2.1.pkl", (32, 2), 600, "caffe2",
                 **NONLOCAL_IN_RES4),
    _pretraining("slowfast_8x8_r101_nl_k600", "slowfast_8x8_r101_nl", "ava/pretrain/SLOWFAST_32x2_R101_50_50.pkl",
                 (32, 2), 600, "pyslowfast", **NONLOCAL_IN_RES4),
    _pretraining("slowfast_16x8_r101_nl_k600", "slowfast_16x8_r101_nl", "ava/pretrain/SLOWFAST_64x2_R101_50_50.pkl",
                 (64, 2), 600, "pyslowfast", **NONLOCAL_IN_RES4),
    WeightCard(
        name="r50_in1k",
        model="c2d_r50",
        options={"num_classes": 1000, "pool1_padding": 1},
        url=f"{ZOO}kinetics400/R50_IN1K.pyth",
        file_name="R50_IN1K.pyth",
        container="pyslowfast",
        licence="Apache-2.0",
        num_classes=1000,
        classes="imagenet-1000",
        accuracy={"top1": 76.4, "top5": 93.2},
        protocol="ImageNet-1k val; centre crop of 224 (the zoo prints the errors, 23.6 and 6.8)",
        source="facebookresearch/SlowFast, MODEL_ZOO.md",
        note="An image network: its kernels are inflated in time, so that video networks can start from it.",
    ),
)  # fmt: skip

"""The PyTorchVideo hub (facebookresearch/pytorchvideo). The networks are those of PySlowFast; the names differ.

The hub's heads return logits averaged over positions, PySlowFast's probabilities: equal on crops of 224 px only.
"""

from __future__ import annotations

from typing import Any

from extractors.weights.card import WeightCard
from extractors.weights.cards.pyslowfast import AVA_NOTE, AVA_WHOLE_FRAME, CHARADES_VIEWS, THIRTY_VIEWS, input_of

HUB = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/"

_DATA = {
    "kinetics": ("kinetics-400", 400, f"Kinetics-400 val; {THIRTY_VIEWS}"),
    "ssv2": ("ssv2-174", 174, "Something-Something V2 val; 1 clip x 3 crops"),
    "charades": ("charades-157", 157, f"Charades val; {CHARADES_VIEWS}"),
    "ava": ("ava-80", 80, AVA_WHOLE_FRAME.format(version="2.2")),
}


def _card(name: str, model: str, path: str, frames: tuple[int, int], accuracy: dict[str, float], note: str = "",
          **options: Any) -> WeightCard:  # fmt: skip
    folder, file_name = path.split("/")
    classes, num_classes, protocol = _DATA[folder]
    return WeightCard(
        name=name,
        model=model,
        options={"num_classes": num_classes, **options},
        url=HUB + path,
        file_name=file_name,
        container="pytorchvideo",
        licence="Apache-2.0",
        num_classes=num_classes,
        classes=classes,
        input=input_of(*frames, classes),
        accuracy=accuracy,
        protocol=protocol,
        source="facebookresearch/pytorchvideo, docs/source/model_zoo.md",
        note=note,
    )


CARDS: tuple[WeightCard, ...] = (
    _card("c2d_8x8_r50_k400_ptv", "c2d_r50", "kinetics/C2D_8x8_R50.pyth", (8, 8), {"top1": 71.46, "top5": 89.68},
          pool1_padding=1),
    _card("i3d_8x8_r50_k400_ptv", "i3d_r50", "kinetics/I3D_8x8_R50.pyth", (8, 8), {"top1": 73.27, "top5": 90.70},
          pool1_padding=1),
    _card("slow_4x16_r50_k400_ptv", "slow_4x16_r50", "kinetics/SLOW_4x16_R50.pyth", (4, 16),
          {"top1": 72.40, "top5": 90.18}),
    _card("slow_8x8_r50_k400_ptv", "slow_8x8_r50", "kinetics/SLOW_8x8_R50.pyth", (8, 8),
          {"top1": 74.58, "top5": 91.63}),
    _card("slowfast_4x16_r50_k400_ptv", "slowfast_4x16_r50", "kinetics/SLOWFAST_4x16_R50.pyth", (32, 2),
          {"top1": 75.34, "top5": 91.89}, "alpha is 8, lateral kernels 5; the hub's builder has 4 and 7."),
    _card("slowfast_8x8_r50_k400_ptv", "slowfast_8x8_r50", "kinetics/SLOWFAST_8x8_R50.pyth", (32, 2),
          {"top1": 76.94, "top5": 92.69}, lateral_kernel=7),
    _card("slowfast_8x8_r101_101_101_k400_ptv", "slowfast_8x8_r101_101_101", "kinetics/SLOWFAST_8x8_R101.pyth", (32, 2),
          {"top1": 77.90, "top5": 93.27}, "res4 has temporal kernels in all 23 blocks of both pathways; the paper's "
          "R101 has them in 6.", lateral_kernel=5),
    _card("slowfast_16x8_r101_k400_ptv", "slowfast_16x8_r101", "kinetics/SLOWFAST_16x8_R101_50_50.pyth", (64, 2),
          {"top1": 78.70, "top5": 93.61}, lateral_kernel=5),
    _card("slow_8x8_r50_ssv2_ptv", "slow_8x8_r50", "ssv2/SLOW_8x8_R50.pyth", (8, 8), {"top1": 60.04, "top5": 85.19}),
    _card("slowfast_8x8_r50_ssv2_ptv", "slowfast_8x8_r50", "ssv2/SLOWFAST_8x8_R50.pyth", (32, 2),
          {"top1": 61.68, "top5": 86.92}, lateral_kernel=7),
    _card("slow_8x8_r50_charades_ptv", "slow_8x8_r50", "charades/SLOW_8x8_R50.pyth", (8, 8), {"mAP": 34.72},
          activation="sigmoid"),
    _card("slowfast_8x8_r50_charades_ptv", "slowfast_8x8_r50", "charades/SLOWFAST_8x8_R50.pyth", (32, 2),
          {"mAP": 37.24}, lateral_kernel=7, activation="sigmoid"),
    _card("slow_4x16_r50_ava_ptv", "ava_slow_4x16_r50", "ava/SLOW_4x16_R50_DETECTION.pyth", (4, 16), {"mAP": 19.5},
          AVA_NOTE, roi_aligned=False),
    _card("slowfast_8x8_r50_ava_ptv", "ava_slowfast_8x8_r50", "ava/SLOWFAST_8x8_R50_DETECTION.pyth", (32, 2),
          {"mAP": 24.67}, AVA_NOTE, lateral_kernel=7, roi_aligned=False),
)  # fmt: skip

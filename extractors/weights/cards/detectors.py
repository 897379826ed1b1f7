"""Faster R-CNN with FPN: the Detectron2 zoo, torchvision, and the person detector of LFB (Detectron, Caffe2).

Not here, because no network of ours has their graph: Detectron2's C4 and DC5 models, torchvision's V2.
"""

from __future__ import annotations

from typing import Any

from extractors.weights.card import WeightCard

ZOO = "https://dl.fbaipublicfiles.com/detectron2/"
LFB_DETECTOR = (
    "https://dl.fbaipublicfiles.com/video-long-term-feature-banks/67091280/"
    "e2e_keypoint_rcnn_X-101-32x8d-FPN_s1x_ava.yaml.13_26_25.49ooxNS5/output/train/ava_train/generalized_rcnn/"
    "model_final.pkl"
)


def _detectron2(name: str, model: str, folder: str, md5: str, ap: float, note: str = "", **options: Any) -> WeightCard:
    return WeightCard(
        name=name,
        model=model,
        options=options,
        url=f"{ZOO}{folder}/model_final_{md5}.pkl",
        file_name=f"model_final_{md5}.pkl",
        container="detectron2",
        digest_prefix=f"md5:{md5}",
        licence="CC-BY-SA-3.0",
        num_classes=options.get("num_classes", 80),
        classes="coco-80" if options.get("num_classes", 80) == 80 else "person",
        accuracy={"box_AP": ap},
        protocol="COCO val2017; short side 800, at most 1333",
        source="facebookresearch/detectron2, MODEL_ZOO.md",
        note=f"BGR.{' ' * bool(note)}{note}",
    )


CARDS: tuple[WeightCard, ...] = (
    _detectron2("faster_rcnn_r50_fpn_1x_d2", "faster_rcnn_r50_fpn",
                "COCO-Detection/faster_rcnn_R_50_FPN_1x/137257794", "b275ba", 37.9),
    _detectron2("faster_rcnn_r50_fpn_3x_d2", "faster_rcnn_r50_fpn",
                "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458", "280758", 40.2),
    _detectron2("faster_rcnn_r101_fpn_3x_d2", "faster_rcnn_r101_fpn",
                "COCO-Detection/faster_rcnn_R_101_FPN_3x/137851257", "f6e8b1", 42.0),
    _detectron2("faster_rcnn_x101_fpn_3x_d2", "faster_rcnn_x101_fpn",
                "COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x/139173657", "68b088", 43.0,
                "Pixels are also divided by (57.375, 57.120, 58.395)."),
    _detectron2("faster_rcnn_r50_fpn_noaug_1x_d2", "faster_rcnn_r50_fpn",
                "Detectron1-Comparisons/faster_rcnn_R_50_FPN_noaug_1x/137781054", "7ab50c", 36.9,
                "As Detectron pools: RoIAlign with aligned=False and 2 samples a bin.", roi_aligned=False,
                roi_sampling_ratio=2),
    _detectron2("keypoint_rcnn_x101_fpn_3x_d2", "faster_rcnn_x101_fpn",
                "COCO-Keypoints/keypoint_rcnn_X_101_32x8d_FPN_3x/139686956", "5ad38f", 57.3,
                "Persons only; the file's keypoint head is not used.", num_classes=1),
    WeightCard(
        name="keypoint_rcnn_x101_fpn_ava_lfb",
        model="faster_rcnn_x101_fpn",
        options={"num_classes": 1, "convention": "detectron"},
        url=LFB_DETECTOR,
        file_name="model_final.pkl",
        container="caffe2",
        licence="Apache-2.0",
        num_classes=1,
        classes="person",
        accuracy={"person_AP50": 93.9},
        protocol="AVA val, persons; short side 800",
        source="facebookresearch/video-long-term-feature-banks, DATASET.md",
        note="Detectron's arithmetic: boxes one pixel wider, RoIAlign with aligned=False and 2 samples a bin, BGR "
        "minus (102.9801, 115.9465, 122.7717), background first. The file's keypoint head is not used.",
    ),
    WeightCard(
        name="faster_rcnn_r50_fpn_tv",
        model="faster_rcnn_r50_fpn",
        options={"num_classes": 90, "convention": "torchvision"},
        url="https://download.pytorch.org/models/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        file_name="fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        container="torch",
        digest_prefix="sha256:258fb6c6",
        licence="BSD-3-Clause",
        num_classes=90,
        classes="coco-90",
        accuracy={"box_AP": 37.0},
        protocol="COCO val2017; short side 800, at most 1333",
        source="pytorch/vision, torchvision/models/detection/faster_rcnn.py",
        note="RGB in [0, 1]; frozen batch normalisation with eps 0, rounded anchors, background first, COCO's 90 ids.",
    ),
)  # fmt: skip

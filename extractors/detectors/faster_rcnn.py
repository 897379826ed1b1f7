"""Faster R-CNN with a feature pyramid, for inference: boxes, scores, classes, and a feature for each box.

Ren et al., "Faster R-CNN", NIPS 2015; Lin et al., "Feature Pyramid Networks", CVPR 2017. The arithmetic is that of
facebookresearch/detectron2, whose boxes and scores come out equal; two other code bases are a setting (`convention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.detectors import coco
from extractors.detectors.box_coding import clip, decode, is_large_enough
from extractors.detectors.conventions import convention
from extractors.detectors.image_input import NetworkImage, network_image, padded_batch
from extractors.detectors.resnet_fpn import FPN, ResNet, body_named
from extractors.detectors.roi_pooling import POOLED_SIZE, pool_boxes
from extractors.detectors.rpn import RPN, Proposals
from extractors.errors import ConfigError, ShapeError
from extractors.ops import boxes as box_ops
from extractors.ops.nms import grouped_nms
from extractors.runtime import Runtime
from extractors.types import Detections

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
FEATURES_OF = ("proposal", "final_box")


@dataclass(frozen=True, kw_only=True)
class FasterRCNNConfig:
    """The network, and what counts as a detection. Defaults: Detectron2's `faster_rcnn_R_50_FPN_3x`."""

    body: str = "r50"
    """A name in `extractors.detectors.resnet_fpn.BODIES`."""
    width: int = 64
    """Channels after the stem of the body."""
    fpn_channels: int = 256
    """Channels of every level of the pyramid."""
    feature_dim: int = 1024
    """Width of the box head's two layers, and so of the features."""
    nonlocal_res4: bool = False
    """See `extractors.detectors.resnet_fpn.ResNet`."""
    num_classes: int = 80
    """Without background."""
    class_names: tuple[str, ...] = ()
    """One a class; where none are given, COCO's for 80 and 90 classes, `person` for 1, else numbers."""
    convention: str = "detectron2"
    """Whose arithmetic: a name in `extractors.detectors.conventions.CONVENTIONS`."""
    roi_aligned: bool | None = None
    roi_sampling_ratio: int | None = None
    """How boxes are pooled, where it differs from the convention; see `extractors.ops.roi_align.roi_align`."""
    short_side_px: int = 800
    """Frames are scaled to this short side, up or down, as long as the long side stays below `max_side_px`."""
    max_side_px: int = 1333
    max_proposals: int = 1000
    """Boxes of a frame that the box head looks at."""
    score_threshold: float = 0.05
    """Detections score more than this."""
    nms_iou: float = 0.5
    """Of two boxes of one class that overlap more than this, the weaker one goes."""
    max_detections: int = 100
    """Of a frame, the surest."""
    feature_of: str = "proposal"
    """Box that a feature is pooled from: the `proposal` that became the detection, or the `final_box`, for which the
    box head runs once more."""

    def __post_init__(self) -> None:
        convention(self.convention)
        body_named(self.body)
        counts = ("width", "fpn_channels", "feature_dim", "num_classes", "short_side_px", "max_proposals",
                  "max_detections")  # fmt: skip
        rules = {name: (getattr(self, name) >= 1, "at least 1") for name in counts}
        rules |= {
            "max_side_px": (self.max_side_px >= self.short_side_px, f"at least short_side_px ({self.short_side_px})"),
            "score_threshold": (0.0 <= self.score_threshold < 1.0, "in [0, 1)"),
            "nms_iou": (0.0 <= self.nms_iou <= 1.0, "in [0, 1]"),
            "feature_of": (self.feature_of in FEATURES_OF, f"one of: {', '.join(FEATURES_OF)}"),
            "class_names": (len(self.class_names) in (0, self.num_classes), f"{self.num_classes} names"),
            "roi_sampling_ratio": ((self.roi_sampling_ratio or 0) >= 0, "0 or more"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ConfigError(f"Faster R-CNN: {name} is {getattr(self, name)!r}; expected {rule}.")


class BoxHead(nn.Module):
    """Two layers over a pooled box, then a score for every class and background, and four offsets for every class."""

    def __init__(self, channels: int, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels * POOLED_SIZE**2, feature_dim)
        self.fc2 = nn.Linear(feature_dim, feature_dim)
        self.classes = nn.Linear(feature_dim, num_classes + 1)
        self.boxes = nn.Linear(feature_dim, 4 * num_classes)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.normal_(self.boxes.weight, std=0.001)

    def embed(self, pooled: Tensor) -> Tensor:
        """(R, C, 7, 7) -> (R, D): the features of the boxes."""
        return F.relu_(self.fc2(F.relu_(self.fc1(pooled.flatten(1)))))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(R, D) -> probabilities (R, K + 1), background last, and offsets (R, K, 4), float32."""
        probabilities = self.classes(features).float().softmax(1)
        return probabilities, self.boxes(features).float().unflatten(1, (-1, 4))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """M detections of one picture, surest first."""

    boxes_px: Tensor
    """(M, 4) in pixels of the network's input."""
    frame_boxes_px: Tensor
    """(M, 4) in pixels of the frame."""
    scores: Tensor
    classes: Tensor
    proposals: Tensor
    """(M,): index of the proposal that each comes from."""

    def take(self, which: Tensor) -> _Chosen:
        return _Chosen(*(getattr(self, name)[which] for name in self.__slots__))


class FasterRCNN(nn.Module):
    """Objects in a frame. The same frame gives the same answer, alone or in a batch (to float rounding).

    Frames are batched only with frames of their own size: padding to a common size would change what the network
    computes near the border.

    Args:
        config: the network, and what counts as a detection.
        runtime: where and how it runs. The caller prepares the network (`Runtime.prepare`) once it has its weights.
    """

    def __init__(self, config: FasterRCNNConfig | None = None, runtime: Runtime | None = None) -> None:
        super().__init__()
        self.config = config = config or FasterRCNNConfig()
        self.runtime = runtime or Runtime()
        self.convention = convention(config.convention)
        self.class_names = config.class_names or coco.class_names(config.num_classes)
        body = body_named(config.body)
        self.pixel_std = self.convention.std_resnext if body.groups > 1 else self.convention.std
        self.backbone = ResNet(
            body,
            width=config.width,
            stride_in_1x1=self.convention.stride_in_1x1,
            eps=self.convention.bn_eps,
            nonlocal_res4=config.nonlocal_res4,
        )
        self.fpn = FPN(self.backbone.output_channels, config.fpn_channels)
        self.rpn = RPN(config.fpn_channels, self.convention, config.max_proposals)
        self.box_head = BoxHead(config.fpn_channels, config.feature_dim, config.num_classes)
        self.eval()

    def detect(self, frame_rgb: NDArray[np.uint8]) -> Detections:
        """The objects in one frame, surest first.

        Args:
            frame_rgb: (H, W, 3) uint8 RGB as displayed.
        Returns:
            Detections with the softmax score of their class and `feature_dim` features each (after the ReLU of the
            box head's second layer).
        Raises:
            ShapeError: not a (H, W, 3) uint8 array, or an empty one.
        """
        return self.detect_batch([frame_rgb])[0]

    @torch.inference_mode()
    def detect_batch(self, frames_rgb: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """`detect` of every frame; frames of one size run together."""
        images = [self.network_image(frame) for frame in frames_rgb]
        found: dict[int, Detections] = {}
        for size in dict.fromkeys(image.frame_hw for image in images):
            indices = [i for i, image in enumerate(images) if image.frame_hw == size]
            found.update(zip(indices, self._detect_same_size([images[i] for i in indices]), strict=True))
        return [found[i] for i in range(len(images))]

    @torch.inference_mode()
    def box_features(self, frame_rgb: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        """(N, feature_dim): what the box head says of given boxes (N, 4) in [0, 1] of the frame.

        A box may reach beyond the frame; what lies there counts as zero.

        Raises:
            ShapeError: not such a frame, or boxes that are not (N, 4) finite numbers.
        """
        image = self.network_image(frame_rgb)
        array = box_ops.to_pixels(boxes, image.frame_hw)
        if not np.isfinite(array).all():
            raise ShapeError(f"Boxes {array[~np.isfinite(array).all(1)].tolist()} are not finite numbers.")
        pyramid = self.forward_features(self._input([image]))
        boxes_px = torch.from_numpy(array * np.array(image.scale_xy * 2, np.float32)).to(pyramid[0].device)
        return _numpy(self.embed(pyramid, [boxes_px]))

    def network_image(self, frame_rgb: NDArray[np.uint8]) -> NetworkImage:
        """The frame as the network sees it, before padding."""
        return network_image(
            frame_rgb,
            self.convention,
            self.pixel_std,
            short_side_px=self.config.short_side_px,
            max_side_px=self.config.max_side_px,
        )

    def forward_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W), normalised and padded -> P2 to P6."""
        pyramid: tuple[Tensor, ...] = self.fpn(self.backbone(images))
        return pyramid

    def propose(self, pyramid: Sequence[Tensor], images: Sequence[NetworkImage]) -> list[Proposals]:
        """The proposals of each picture in P2 to P6."""
        return self.rpn.propose(pyramid, [image.hw for image in images])

    def embed(self, pyramid: Sequence[Tensor], boxes_px: Sequence[Tensor]) -> Tensor:
        """(R, D): features of boxes (R_n, 4), pixels of the network's input, of each picture n in turn."""
        numbered = [F.pad(boxes, (1, 0), value=float(n)) for n, boxes in enumerate(boxes_px)]
        aligned, ratio = self.config.roi_aligned, self.config.roi_sampling_ratio
        pooled = pool_boxes(
            pyramid[:4],
            torch.cat(numbered),
            self.convention,
            aligned=self.convention.roi_aligned if aligned is None else aligned,
            sampling_ratio=self.convention.roi_sampling_ratio if ratio is None else ratio,
        )
        return self.box_head.embed(pooled)

    def _input(self, images: Sequence[NetworkImage]) -> Tensor:
        return self.runtime.to(padded_batch(images))

    def _detect_same_size(self, images: Sequence[NetworkImage]) -> list[Detections]:
        pyramid = self.forward_features(self._input(images))
        proposals = [proposal.boxes_px for proposal in self.propose(pyramid, images)]
        features = self.embed(pyramid, proposals)
        scores, deltas = self.box_head(features)
        counts = [len(boxes) for boxes in proposals]
        chosen = [
            self._choose(*parts)
            for parts in zip(proposals, scores.split(counts), deltas.split(counts), images, strict=True)
        ]
        if self.config.feature_of == "proposal":
            own = [part[some.proposals] for part, some in zip(features.split(counts), chosen, strict=True)]
        else:
            again = self.embed(pyramid, [some.boxes_px for some in chosen])
            own = list(again.split([len(some.scores) for some in chosen]))
        return [self._detections(*parts) for parts in zip(chosen, own, images, strict=True)]

    def _choose(self, proposals: Tensor, scores: Tensor, deltas: Tensor, image: NetworkImage) -> _Chosen:
        """What the box head says of one picture's proposals (R, 4), thinned out to detections."""
        rules, config = self.convention, self.config
        scale = proposals.new_tensor(image.scale_xy * 2)
        start, hw = (proposals / scale, image.frame_hw) if rules.decodes_in_frame else (proposals, image.hw)
        usable = scores.isfinite().all(1) & deltas.isfinite().flatten(1).all(1)
        row, label = torch.nonzero((scores[:, :-1] > config.score_threshold) & usable[:, None], as_tuple=True)
        boxes = decode(start[row], deltas[row, label][:, None], BOX_WEIGHTS, rules.extra_px)[:, 0]
        boxes = clip(boxes, hw, rules.extra_px)
        in_frame = boxes if rules.decodes_in_frame else clip(boxes / scale, image.frame_hw, 0.0)
        in_input = boxes * scale if rules.decodes_in_frame else boxes
        chosen = _Chosen(in_input, in_frame, scores[row, label], label, row)
        if rules.min_detection_px:
            large = is_large_enough(boxes, hw, rules.min_detection_px, rules.extra_px)
            chosen, boxes = chosen.take(large), boxes[large]
        touched = boxes + boxes.new_tensor([0.0, 0.0, rules.extra_px, rules.extra_px])
        kept = grouped_nms(touched, chosen.scores, chosen.classes, config.nms_iou)[: config.max_detections]
        chosen = chosen.take(kept)
        return chosen.take(is_large_enough(chosen.frame_boxes_px, image.frame_hw, 0.0, rules.extra_px))

    def _detections(self, chosen: _Chosen, features: Tensor, image: NetworkImage) -> Detections:
        boxes = box_ops.to_normalised(_numpy(chosen.frame_boxes_px), image.frame_hw)
        return Detections(
            boxes=box_ops.clip(boxes),  # a division may miss 1.0 by a rounding
            scores=_numpy(chosen.scores),
            classes=chosen.classes.to(torch.int32).cpu().numpy(),
            class_names=self.class_names,
            features=_numpy(features),
        )


def _numpy(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().numpy()
    return array

"""Models with a long-term feature bank: short-term 3D CNN, feature bank operator, classifier.

Wu et al., "Long-Term Feature Banks for Detailed Video Understanding", CVPR 2019 (Wu's thesis, chapter 7); numbers are
those of the released code (facebookresearch/video-long-term-feature-banks, lib/models/resnet_video.py, configs/).

The classifier reads the short-term feature with the operator's output after it: 2048 + 512 channels for FBO-NL and STO,
2048 + 2048 for FBO-Avg and FBO-Max, 2048 for the 3D CNN alone. Shapes are those of `longform.lfb.operators`; N queries
are the boxes of all clips (AVA) or the clips themselves (EPIC-Kitchens, Charades).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from extractors.backbones.catalog import build_backbone
from extractors.backbones.heads import LinearHead
from extractors.backbones.video_resnet import VideoResNet
from extractors.errors import ConfigError, ShapeError, WeightsError
from extractors.weights import LoadReport, load_weights
from longform.lfb.operators import FBONL, STO, FBOAvg, FBOMax, FBONLConfig, FeatureBankOperator, boxes_as_bank

OPERATORS = ("none", "sto", "avg", "max", "nl")
FREEZE = ("nothing", "backbone")


@dataclass(frozen=True, slots=True)
class LFBTask:
    """What a data set asks of a model."""

    num_classes: int
    activation: str
    """`sigmoid`: classes can be true together; `softmax`: one is."""
    boxes: bool
    """Whether boxes are classified, not clips."""
    pre_activation: bool = True
    """Of FBO-NL in the released model."""
    dilated_depths: tuple[int, ...] = ()
    """Depths of the backbone whose res5 is dilated by 2 in the released models."""


TASKS: Mapping[str, LFBTask] = {
    "ava": LFBTask(80, "sigmoid", boxes=True, dilated_depths=(50, 101)),
    "epic-verb": LFBTask(125, "softmax", boxes=False),
    "epic-noun": LFBTask(352, "softmax", boxes=False),
    "charades": LFBTask(157, "sigmoid", boxes=False, pre_activation=False, dilated_depths=(50,)),
}


@dataclass(frozen=True, kw_only=True)
class LFBConfig:
    """Everything to build a model; plain values, so that it can be written beside the weights."""

    task: str = "ava"
    """One of `TASKS`."""
    operator: str = "nl"
    """`nl`, `avg` or `max` over the bank; `sto` over the clip itself; `none`: the 3D CNN alone."""
    backbone: str | None = "lfb_i3d_nl_r50"
    """A ResNet or SlowFast of `build_backbone`, without `ava_`; None for a model over features (see `relate`)."""
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of its builder over those of the task."""
    feature_dim: int = 2048
    """Channels of a short-term feature, where there is no backbone to say it."""
    bank_dim: int = 2048
    operator_options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `FBONLConfig` over those of the task, for `nl` and `sto`."""
    masked: bool = False
    """Leave empty slots of the bank out; False is what the released code does."""
    num_classes: int | None = None
    """None for the task's."""
    dropout: float = 0.3
    """Before the classifier."""
    freeze: str = "nothing"
    """`backbone`: only operator and classifier are trained (second stage of Charades; fixed features of Table 7.2b)."""
    frozen_norm: bool = True
    """Batch normalisation is a fixed scale and shift. False to train a backbone that has no weights yet."""

    def __post_init__(self) -> None:
        for name, known in (("task", tuple(TASKS)), ("operator", OPERATORS), ("freeze", FREEZE)):
            if getattr(self, name) not in known:
                raise ConfigError(f"LFB {name} is {getattr(self, name)!r}; expected one of: {', '.join(known)}.")
        if self.operator_options and self.operator not in ("nl", "sto"):
            raise ConfigError(f"LFB operator {self.operator!r} has no options; leave out operator_options.")

    @property
    def facts(self) -> LFBTask:
        """The task."""
        return TASKS[self.task]

    @property
    def classes(self) -> int:
        """`num_classes` with the default decided."""
        return self.facts.num_classes if self.num_classes is None else self.num_classes

    @property
    def reads_bank(self) -> bool:
        """Whether a call needs windows of a bank."""
        return self.operator in ("avg", "max", "nl")


@dataclass(frozen=True, slots=True)
class ShortTerm:
    """What the short-term side says of B clips."""

    features: Tensor
    """(N, D)."""
    clip_index: Tensor | None = None
    """(N,): the clip of each box; None where clips are classified, and N is B."""
    positions: Tensor | None = None
    """(B, T, D): one spatially pooled feature for each temporal position, which STO needs where there are no boxes."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A prediction and where in the bank it came from."""

    logits: Tensor
    """(N, K)."""
    weights: Tensor
    """(N, layers, L): see `explain` of the operator."""


class LFBModel(nn.Module):
    """A model. Its parameters are under `backbone`, `lfb` (the operator) and `head.fc` (the classifier)."""

    places_of_parts: ClassVar[Mapping[str, str]] = {
        "slow.": "backbone.slow.",
        "fast.": "backbone.fast.",
        "fuse": "backbone.fuse",
    }
    """For `load_weights`: where the parts of a network by itself are here, by the beginnings of their names."""

    backbone: VideoResNet | None
    lfb: FeatureBankOperator | None

    def __init__(self, config: LFBConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _backbone(config)
        dim = self.backbone.embedding_dim if self.backbone is not None else config.feature_dim
        self.lfb = _operator(config, dim)
        channels = [dim] if self.lfb is None else [dim, self.lfb.output_dim]
        self.head = LinearHead(channels, config.classes, config.dropout)
        self._freeze()

    def forward(
        self,
        clip: Tensor,
        bank: Tensor | None = None,
        bank_mask: Tensor | None = None,
        boxes_px: Tensor | None = None,
    ) -> Tensor:
        """(N, K) logits.

        Args:
            clip: (B, 3, T, H, W), normalised.
            bank: (B, L, D): the window of each clip; None for operators that read none.
            bank_mask: (B, L), which slots hold a feature.
            boxes_px: (N, 5): index of the clip, x1, y1, x2, y2 in pixels of the clip; for AVA only.
        Raises:
            ShapeError: something is missing, too much, or of another shape.
        """
        return self.relate(self.short_term(clip, boxes_px), bank, bank_mask)

    def short_term(self, clip: Tensor, boxes_px: Tensor | None = None) -> ShortTerm:
        """The features of boxes or clips. ShapeError as in a call."""
        if self.backbone is None:
            raise ShapeError("This model has no backbone: give features to `relate`.")
        if (boxes_px is not None) != self.config.facts.boxes:
            wants = "boxes: give boxes_px" if self.config.facts.boxes else "clips: leave out boxes_px"
            raise ShapeError(f"A model for {self.config.task!r} classifies {wants}.")
        maps = self.backbone.forward_features(clip)
        if boxes_px is not None:
            return ShortTerm(self.backbone.roi_features(maps, boxes_px), boxes_px[:, 0].long())
        features = self.backbone.pool(maps).flatten(1)
        return ShortTerm(features, positions=_positions(maps) if self.config.operator == "sto" else None)

    def relate(self, short: ShortTerm, bank: Tensor | None = None, bank_mask: Tensor | None = None) -> Tensor:
        """(N, K) logits of features; the other arguments as in a call."""
        if self.lfb is None:
            return self._classify(short.features)
        return self._classify(short.features, self.lfb(*self._arguments(short, bank, bank_mask)))

    def explain(self, short: ShortTerm, bank: Tensor | None = None, bank_mask: Tensor | None = None) -> Explained:
        """The logits of `relate`, and the weights of the slots. ConfigError for a model without an operator."""
        if self.lfb is None:
            raise ConfigError("A model with operator 'none' attends to nothing that could explain its answer.")
        attended = self.lfb.explain(*self._arguments(short, bank, bank_mask))
        return Explained(self._classify(short.features, attended.output), attended.weights)

    def activate(self, logits: Tensor) -> Tensor:
        """(N, K) probabilities."""
        return logits.sigmoid() if self.config.facts.activation == "sigmoid" else logits.softmax(1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The scalar that training minimises; 0 where there are no rows.

        Args:
            labels: (N, K) of 0 and 1 for sigmoid, mean over queries and classes; (N,) class ids for softmax.
        """
        if len(logits) == 0:
            return logits.sum()
        if self.config.facts.activation == "sigmoid":
            return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        return F.cross_entropy(logits, labels)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for an optimiser: weights and biases of convolutions and linear layers decay, of norms they do not."""
        norms = [module for module in self.modules() if isinstance(module, (_BatchNorm, nn.LayerNorm))]
        of_norms = {parameter for module in norms for parameter in module.parameters() if parameter.requires_grad}
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        groups = [
            {"params": [parameter for parameter in trained if parameter not in of_norms], "weight_decay": weight_decay},
            {"params": [parameter for parameter in trained if parameter in of_norms], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def train(self, mode: bool = True) -> LFBModel:
        """Training mode, but for what is frozen."""
        super().train(mode)
        for module in self.modules() if self.config.frozen_norm else ():
            if isinstance(module, _BatchNorm):
                module.eval()
        if self.backbone is not None and self.config.freeze == "backbone":
            self.backbone.eval()
        return self

    def _freeze(self) -> None:
        for module in self.modules():
            if self.config.frozen_norm and isinstance(module, _BatchNorm):
                module.requires_grad_(False)
        if self.backbone is not None and self.config.freeze == "backbone":
            self.backbone.requires_grad_(False)
        self.train()

    def _classify(self, *features: Tensor) -> Tensor:
        return self.head.classify(torch.cat(features, 1))

    def _arguments(
        self, short: ShortTerm, bank: Tensor | None, bank_mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """The operator's: the window of the bank or, for STO, of the clip itself."""
        if isinstance(self.lfb, STO):
            return self._clip_as_bank(short)
        if bank is None:
            raise ShapeError(f"Operator {self.config.operator!r} reads a bank: give its windows (B, L, D).")
        return short.features, bank, bank_mask, short.clip_index

    def _clip_as_bank(self, short: ShortTerm) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        index = short.clip_index
        if index is not None:
            num_clips = int(index.max()) + 1 if len(index) else 1
            return short.features, *boxes_as_bank(short.features, index, num_clips), index
        if short.positions is None:
            raise ShapeError("Operator 'sto' over clips needs their temporal positions (B, T, D).")
        return short.features, short.positions, None, None


def load_backbone(model: LFBModel, path: str | Path) -> LoadReport:
    """Start the short-term network from a file: a clip network's, or that of another model with or without a bank.

    Operator and classifier stay as they are: training for AVA and EPIC-Kitchens starts from Kinetics-400, the second
    stage for Charades from the 3D CNN alone.

    Raises:
        WeightsError: the file has not just the short-term network's weights, or not all of them. Do not use the model.
        MisfitError: a shape differs.
    """
    report = load_weights(model, path, strict=False, classifier="skip")
    wrong = [name for name in (*report.missing, *report.unexpected) if not name.startswith("lfb.")]
    if wrong:
        raise WeightsError(
            f"{path} ({report.layout} names) is not of the backbone {model.config.backbone!r}: {len(wrong)} tensors "
            f"are missing or too many, such as {', '.join(wrong[:3])}. Build the model with the file's backbone."
        )
    return report


def _backbone(config: LFBConfig) -> VideoResNet | None:
    """The short-term network, without the classifier of its own."""
    if config.backbone is None:
        return None
    head = "roi" if config.facts.boxes else "global"
    options: dict[str, Any] = {"head": head, "num_classes": config.classes}
    if config.backbone.startswith("lfb_"):
        depth = 101 if config.backbone.endswith("_r101") else 50
        options["res5_dilation"] = 2 if depth in config.facts.dilated_depths else 1
    backbone = build_backbone(config.backbone, **{**options, **config.backbone_options})
    if not isinstance(backbone, VideoResNet):
        raise ConfigError(
            f"Backbone {config.backbone!r} cannot be the short-term network: expected a ResNet or SlowFast."
        )
    del backbone.head.fc
    return backbone


def _operator(config: LFBConfig, dim: int) -> FeatureBankOperator | None:
    if config.operator == "none":
        return None
    if config.operator in ("avg", "max"):
        return (FBOAvg if config.operator == "avg" else FBOMax)(config.bank_dim, masked=config.masked)
    is_sto = config.operator == "sto"
    options = {
        "feature_dim": dim,
        "bank_dim": dim if is_sto else config.bank_dim,
        "pre_activation": config.facts.pre_activation,
        "masked": config.masked and not is_sto,
        **config.operator_options,
    }
    return (STO if is_sto else FBONL)(_fbo_nl_config(options))


def _fbo_nl_config(options: dict[str, Any]) -> FBONLConfig:
    known = [known.name for known in fields(FBONLConfig)]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise ConfigError(f"FBO-NL has no option {', '.join(unknown)}. There are: {', '.join(known)}.")
    return FBONLConfig(**options)


def _positions(maps: tuple[Tensor, ...]) -> Tensor:
    """(B, T, D): the maps' spatial means."""
    if len(maps) != 1:
        raise ShapeError(f"Operator 'sto' over clips needs a network of one pathway; this one has {len(maps)}.")
    return maps[0].float().mean((3, 4)).mT

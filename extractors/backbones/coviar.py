"""The three networks of CoViAR (Wu et al., "Compressed Video Action Recognition", CVPR 2018; thesis, section 4.1.2).

Image networks over frames of a compressed video: ResNet-152 for I-frames, ResNet-18 for accumulated motion vectors and
for accumulated residuals. They share nothing and are trained apart; the motion and residual networks serve every
P-frame position. A clip is a few frames from all over a video (temporal segments), a position of the output is a frame,
and the answer is the mean of the frames' scores before the softmax (chaoyuaw/pytorch-coviar, model.py and train.py).

The graph is torchvision's ResNet (post-activation, stride in the 3x3 convolution), as in the released code; the thesis
says pre-activation, "with similar results".
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from extractors.backbones.base import Backbone
from extractors.backbones.heads import ClipHead
from extractors.backbones.residual import EXPANSION, STAGES, Bottleneck, ConvBN
from extractors.clips.input import ClipInput
from extractors.errors import ConfigError, ShapeError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

BASIC_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Residual blocks of res2 to res5 by depth (He et al., CVPR 2016, Table 1)."""

FRAMES_IN_TRAINING = 3
"""Temporal segments."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a network of CoViAR looks at."""

    channels: int
    depth: int
    """Of the paper's network."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per channel, of values in [0, 1]."""
    normalises_data: bool
    """Whether a batch normalisation comes before the first convolution."""


STREAMS = {
    "iframe": Stream(3, 152, IMAGENET_MEAN, IMAGENET_STD, normalises_data=False),
    "motion": Stream(2, 18, (0.5, 0.5), (1.0, 1.0), normalises_data=True),
    "residual": Stream(3, 18, (0.5, 0.5, 0.5), IMAGENET_STD, normalises_data=True),
}
"""The streams by name, in the order in which features and scores are put together."""


@dataclass(frozen=True, kw_only=True)
class CoviarConfig:
    """Settings of one of the networks."""

    stream: str = "iframe"
    """`iframe`: RGB; `motion`: accumulated vectors (x, y); `residual`: accumulated residuals."""
    depth: int | None = None
    """18, 34, 50, 101 or 152; None for 152 on I-frames and 18 on the others."""
    width: int = 64
    """Channels after the stem; everything scales with it."""
    num_classes: int = 101
    activation: str = "softmax"
    """`softmax`, or `sigmoid` for classes that can be true together (Charades)."""
    crop_px: int = 224
    """Side of the picture it is trained on; the head averages over whatever there is."""

    def __post_init__(self) -> None:
        self._expect("stream", self.stream in STREAMS, f"one of {', '.join(STREAMS)}")
        depths = BASIC_BLOCKS | BOTTLENECKS
        self._expect("depth", self.depth in (None, *depths), f"one of {', '.join(map(str, depths))}")
        self._expect("width", self.width >= 1, "1 or more")
        self._expect("num_classes", self.num_classes >= 1, "1 or more")
        self._expect("activation", self.activation in ("softmax", "sigmoid"), "'softmax' or 'sigmoid'")
        self._expect("crop_px", self.crop_px >= 32, "32 or more")

    def _expect(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ConfigError(f"{type(self).__name__}.{name} is {getattr(self, name)!r}; expected {rule}.")

    @property
    def depth_of_stream(self) -> int:
        """`depth` with the default decided."""
        return self.depth or STREAMS[self.stream].depth


class CoviarNetwork(Backbone):
    """A network over frames (N, C, T, H, W), each by itself. Its parameters are under `data_bn`, `slow` and `head`."""

    num_frames = FRAMES_IN_TRAINING
    stride = 1

    def __init__(self, config: CoviarConfig) -> None:
        super().__init__()
        stream = STREAMS[config.stream]
        self.stream, self.crop_px = config.stream, config.crop_px
        self.input_channels, self.num_classes, self.activation = stream.channels, config.num_classes, config.activation
        self.data_bn = nn.BatchNorm3d(stream.channels) if stream.normalises_data else None
        self.slow = ImageResNet(stream.channels, config.depth_of_stream, config.width)
        self.embedding_dim = self.slow.output_channels
        self.head = ClipHead([self.embedding_dim], config.num_classes, dropout=0.0, windows=None)

    def default_input(self) -> ClipInput:
        """Both sides scaled to 8/7 of the crop, in bytes: codes of vectors and residuals are bytes too."""
        stream = STREAMS[self.stream]
        return ClipInput(
            num_frames=self.num_frames,
            stride=self.stride,
            short_side_px=self.crop_px * 8 // 7,
            square=True,
            crop_px=self.crop_px,
            mean=stream.mean,
            std=stream.std,
            channels="rgb" if self.stream == "iframe" else self.stream,
            sampling="segments",
            resize="bytes",
        )

    def forward_features(self, clip: Tensor) -> tuple[Tensor, ...]:
        """(N, D, T, H', W') of res5. Raises `ShapeError` for a clip of another shape."""
        if clip.dim() != 5 or clip.shape[1] != self.input_channels:
            raise ShapeError(f"Clip has shape {tuple(clip.shape)}; expected (N, {self.input_channels}, T, H, W).")
        return (self.slow(clip if self.data_bn is None else self.data_bn(clip)),)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """(N, D, T, 1, 1): mean over each frame."""
        return features[0].float().mean((3, 4), keepdim=True)

    def classify(self, pooled: Tensor) -> Tensor:
        """(N, K, T, 1, 1): raw scores of each frame."""
        return self.head.classify(pooled)


class ImageResNet(nn.Module):
    """torchvision's ResNet without its classifier, over every frame of a clip."""

    def __init__(self, in_channels: int, depth: int, width: int) -> None:
        super().__init__()
        self.stem = ConvBN(in_channels, width, (1, 7, 7), (1, 2, 2))
        self.pool1 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        channels = width
        for stage, count in zip(STAGES, {**BASIC_BLOCKS, **BOTTLENECKS}[depth], strict=True):
            blocks: list[nn.Module] = []
            for i in range(count):
                inner, stride = width * 2 ** (stage - 2), 2 if i == 0 and stage > 2 else 1
                out_channels = inner if depth in BASIC_BLOCKS else inner * EXPANSION
                blocks.append(
                    BasicBlock(channels, inner, stride)
                    if depth in BASIC_BLOCKS
                    else Bottleneck(channels, inner, out_channels, kernel_t=1, stride=stride)
                )
                channels = out_channels
            self.add_module(f"res{stage}", nn.Sequential(*blocks))
        self.output_channels = channels

    def forward(self, clip: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, D, T, H', W')."""
        x = self.pool1(F.relu_(self.stem(clip)))
        for stage in STAGES:
            x = self.get_submodule(f"res{stage}")(x)
        return x


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, ReLU after the sum."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        spatial = (1, stride, stride)
        changes_shape = stride > 1 or in_channels != out_channels
        self.shortcut = ConvBN(in_channels, out_channels, (1, 1, 1), spatial) if changes_shape else None
        self.a = ConvBN(in_channels, out_channels, (1, 3, 3), spatial)
        self.b = ConvBN(out_channels, out_channels, (1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H', W')."""
        y = self.b(F.relu_(self.a(x)))
        return F.relu_(y.add_(x if self.shortcut is None else self.shortcut(x)))

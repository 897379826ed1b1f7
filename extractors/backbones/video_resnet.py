"""What single-pathway networks and SlowFast share: settings, and the way from maps to answers for clips and boxes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

from torch import Tensor

from extractors.backbones.heads import HEADS, ClipHead, RoiHead, Window, build_head
from extractors.backbones.nonlocal_block import ATTENTION
from extractors.backbones.residual import BLOCKS, STAGES, NonLocalSpec
from extractors.backbones.roi_backbone import RoiBackbone
from extractors.errors import ConfigError, ShapeError


@dataclass(frozen=True, kw_only=True)
class VideoResNetConfig:
    """Settings of every network of the family."""

    depth: int = 50
    """50 or 101."""
    sampling: str = "8x8"
    """T x tau: frames of the (slow) pathway, and their distance in frames of the source."""
    width: int = 64
    """Channels after the (slow) stem; everything scales with it."""
    num_classes: int = 400
    activation: str = "softmax"
    """`softmax`, or `sigmoid` for classes that can be true together."""
    dropout: float = 0.5
    head: str = "windowed"
    """`windowed`: average pool over the size trained on, at every position; `global`: over everything there is, for
    clips of any size and length; `roi`: per box."""
    crop_px: int = 224
    """Side of the picture in training: the pooling window is 1/32 of it, whatever the size of the input."""
    roi_aligned: bool = False
    """Convention of RoIAlign; see `extractors.ops.roi_align`."""
    res5_stride: int | None = None
    """2, or 1 for maps of 1/16; None for 2, and 1 with head `roi`."""
    res5_dilation: int | None = None
    """Of the 3x3 convolutions of res5; None for 1, and 2 where the stride is 1."""
    nonlocal_blocks: int = 0
    """0, 1, 5 or 10 non-local blocks (paper, Table 2c); see `nonlocal_positions`."""
    nonlocal_at: Mapping[int, Sequence[int]] | None = None
    """Instead of a number: stage -> indices of the residual blocks that one follows, such as `{4: (6, 13, 20)}`."""
    nonlocal_form: str = "embedded_gaussian"
    nonlocal_direction: str = "spacetime"
    nonlocal_pool: tuple[int, int, int] | None = None
    """(t, h, w) pool of keys and values; None for (1, 2, 2), and no pool in direction `time`."""
    nonlocal_group: Mapping[int, int] | None = None
    """Stage -> frames of the groups within which it attends; None for what the sampling's code does."""
    nonlocal_scaled: bool | None = None
    nonlocal_attention: str = "fused"
    """See `NonLocalBlock` for these."""

    def __post_init__(self) -> None:
        self._expect("depth", self.depth in BLOCKS, f"one of {', '.join(map(str, BLOCKS))}")
        numbers = str(self.sampling).split("x")
        parsed = len(numbers) == 2 and all(number.isdigit() and int(number) > 0 for number in numbers)
        self._expect("sampling", parsed, "frames x distance, such as '8x8'")
        self._expect("width", isinstance(self.width, Integral) and self.width >= 1, "a whole number, 1 or more")
        whole = isinstance(self.num_classes, Integral)
        self._expect("num_classes", whole and self.num_classes >= 1, "a whole number, 1 or more")
        self._expect("activation", self.activation in ("softmax", "sigmoid"), "'softmax' or 'sigmoid'")
        self._expect("dropout", 0 <= self.dropout < 1, "0 or more and below 1")
        self._expect("head", self.head in HEADS, f"one of {', '.join(HEADS)}")
        self._expect("crop_px", self.crop_px >= 32, "32 or more")
        self._expect("res5_stride", self.res5_stride in (None, 1, 2), "1 or 2")
        self._expect("res5_dilation", self.res5_dilation in (None, 1, 2), "1 or 2")
        self._expect("nonlocal_blocks", self.nonlocal_blocks in (0, 1, 5, 10), "0, 1, 5 or 10")
        self._expect("nonlocal_attention", self.nonlocal_attention in ATTENTION, f"one of {', '.join(ATTENTION)}")
        pool = self.nonlocal_pool
        sizes = pool is None or (isinstance(pool, Sequence) and len(pool) == 3 and all(n >= 1 for n in pool))
        self._expect("nonlocal_pool", sizes, "three sizes (t, h, w), each 1 or more")
        groups = self.nonlocal_group or {}
        sizes = isinstance(groups, Mapping) and all(stage in STAGES and n >= 1 for stage, n in groups.items())
        self._expect("nonlocal_group", sizes, "stages 2 to 5 with frames, each 1 or more")
        self._expect("nonlocal_at", isinstance(self.nonlocal_at, Mapping | None), "stage -> blocks")
        for stage, blocks in self._nonlocal_at().items():
            there = stage in STAGES and all(0 <= i < BLOCKS[self.depth][stage - 2] for i in blocks)
            self._expect("nonlocal_at", there, f"stages 2 to 5 and blocks of {BLOCKS[self.depth]}")

    def _expect(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ConfigError(f"{type(self).__name__}.{name} is {getattr(self, name)!r}; expected {rule}.")

    @property
    def frames_and_stride(self) -> tuple[int, int]:
        """T and tau of `sampling`."""
        frames, stride = map(int, self.sampling.split("x"))
        return frames, stride

    @property
    def stride_of_res5(self) -> int:
        """`res5_stride` with the default decided."""
        return self.res5_stride or (1 if self.head == "roi" else 2)

    @property
    def dilation_of_res5(self) -> int:
        """`res5_dilation` with the default decided."""
        return self.res5_dilation or (2 if self.stride_of_res5 == 1 else 1)

    @property
    def map_stride(self) -> int:
        """Pixels of the input per cell of the last maps."""
        return 16 * self.stride_of_res5

    @property
    def window_side(self) -> int:
        """Side of the pooling window, in cells of the last maps."""
        return self.crop_px // self.map_stride

    def nonlocal_spec(self) -> NonLocalSpec:
        """Where the (slow) pathway has non-local blocks, and of which kind."""
        pool = self.nonlocal_pool or ((1, 1, 1) if self.nonlocal_direction == "time" else (1, 2, 2))
        return NonLocalSpec(
            at=self._nonlocal_at(),
            group_frames=self._default_groups() if self.nonlocal_group is None else dict(self.nonlocal_group),
            form=self.nonlocal_form,
            direction=self.nonlocal_direction,
            pool=pool,
            scaled=self.nonlocal_scaled,
            attention=self.nonlocal_attention,
        )

    def _default_groups(self) -> dict[int, int]:
        return {}

    def _nonlocal_at(self) -> dict[int, tuple[int, ...]]:
        if self.nonlocal_at is None:
            return nonlocal_positions(self.nonlocal_blocks, self.depth)
        return {stage: tuple(blocks) for stage, blocks in self.nonlocal_at.items()}


def nonlocal_positions(count: int, depth: int) -> dict[int, tuple[int, ...]]:
    """Stage -> residual blocks that a non-local block follows, for 0, 1, 5 or 10 of them.

    Non-local paper, section 5.1: one is right before the last block of res4; five are after every other block of res3
    and res4, ten after every block. In R101, five are where the Caffe2 code has them (res4 6, 13, 20); for ten, the
    paper does not say where the six of res4 are: here they are spread evenly.
    """
    res3, res4 = BLOCKS[depth][1:3]
    every_other = {3: (1, 3), 4: (1, 3, 5) if depth == 50 else (6, 13, 20)}
    every = {3: tuple(range(res3)), 4: tuple(range(res4)) if depth == 50 else (3, 7, 11, 15, 19, 22)}
    positions: dict[int, dict[int, tuple[int, ...]]] = {0: {}, 1: {4: (res4 - 2,)}, 5: every_other, 10: every}
    return positions[count]


class VideoResNet(RoiBackbone):
    """A network of the family."""

    head: ClipHead | RoiHead

    def _finish(self, config: VideoResNetConfig, channels: Sequence[int], windows: Sequence[Window]) -> None:
        """Add the head over the pathways' last maps."""
        self.num_classes, self.activation, self.embedding_dim = config.num_classes, config.activation, sum(channels)
        self.head = build_head(
            config.head,
            channels,
            config.num_classes,
            dropout=config.dropout,
            windows=windows,
            scale=1 / config.map_stride,
            aligned=config.roi_aligned,
        )

    @abstractmethod
    def shortest_clip(self) -> int:
        """Fewest frames from which every pathway has a map."""

    def _check_clip(self, clip: Tensor) -> None:
        if clip.dim() != 5 or clip.shape[1] != self.input_channels or clip.shape[2] < self.shortest_clip():
            raise ShapeError(
                f"Clip has shape {tuple(clip.shape)}; expected (N, {self.input_channels}, T, H, W) "
                f"with T of at least {self.shortest_clip()}."
            )

        if not clip.is_floating_point():
            raise ShapeError(f"Clip is {clip.dtype}; expected normalised floats, as extractors.clips.preprocess makes.")

    def pool_clips(self, features: tuple[Tensor, ...]) -> Tensor:
        """(N, D, T'', H'', W''): the classifier's input at every position."""
        assert isinstance(self.head, ClipHead)
        return self.head.pool(features)

    def classify(self, pooled: Tensor) -> Tensor:
        """(N, K, ...): logits of pooled features (N, D, ...)."""
        return self.head.classify(pooled)

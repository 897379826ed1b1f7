"""What the network is trained for: motions, appearances, the direction of time, and to know a video again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.builtin_network.classes import NO_DIRECTION, labels_of
from benchmarks.builtin_network.videos import GeneratedVideos
from benchmarks.builtin_network.views import Pair, PairBatch, batch_of, draw_pair
from benchmarks.motions.classes import APPEARANCES
from extractors.backbones.compact import CompactSlowFast
from extractors.clips.input import ClipInput
from extractors.clips.preprocess import to_clip
from longform.clip_training.batch_norm import make_precise, set_group_size
from longform.clip_training.examples import ClipExample, planned
from longform.clip_training.shapes import ClipSchedule, StepShape
from longform.training.seeds import derived_seed

APPEARANCE_WEIGHT, DIRECTION_WEIGHT, SAME_VIDEO_WEIGHT = 0.5, 0.3, 0.5
TEMPERATURE = 0.15
HEADS_LR_FACTOR = 0.25
"""Of the linear layers on the pooled maps: their thousand dimensions of deviation 1 multiply their steps."""

PROJECTION = 128

PRECISE = 3
"""First key of the seeds of clips for precise statistics; those of `longform.training.seeds` come before it."""

PRECISE_BATCHES = 24
EVALUATION_BATCH = 16


class NetworkWithHeads(nn.Module):
    """The network, whose own classifier says the motion, and what only training needs."""

    def __init__(self, backbone: CompactSlowFast) -> None:
        super().__init__()
        self.backbone = backbone
        channels = backbone.head.fc.in_features
        self.appearance = nn.Linear(channels, len(APPEARANCES))
        self.direction = nn.Linear(channels, 1)
        self.projection = nn.Linear(channels, PROJECTION)

    def forward(self, clips: Tensor) -> Tensor:
        """(N, C) inputs of the heads for (N, 3, T, S, S)."""
        return self.backbone.pool_clips(self.backbone.forward_features(clips)).flatten(1)


class BuiltinTask:
    """See `longform.training.task.Task`. A batch of B clips is two clips of each of B / 2 videos."""

    metric = "score"
    higher_is_better = True

    def __init__(
        self,
        backbone: CompactSlowFast,
        train: GeneratedVideos,
        val: GeneratedVideos,
        schedule: ClipSchedule,
        full: StepShape,
        *,
        seed: int = 0,
        precise_batches: int = PRECISE_BATCHES,
    ) -> None:
        """
        Args:
            backbone: as `network_to_train` makes it.
            full: clips that precise statistics are taken over, `precise_batches` times its `bn_clips`.
        """
        self.model = NetworkWithHeads(backbone).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._train, self._val, self._schedule, self._full, self._seed = train, val, schedule, full, seed
        self._input, self._precise_batches = backbone.default_input(), precise_batches

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Scales, shifts and biases are not decayed; what reads the pooled maps learns more slowly."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            in_trunk = name.startswith("backbone.") and not name.startswith("backbone.head.")
            groups.setdefault((in_trunk, parameter.dim() > 1), []).append(parameter)
        return [
            {"params": parameters, "lr_factor": 1.0 if in_trunk else HEADS_LR_FACTOR}
            | ({} if decays else {"weight_decay": 0.0})
            for (in_trunk, decays), parameters in groups.items()
        ]

    def plan(self, step: int) -> Sequence[ClipExample]:
        shape = self._schedule.shape(step)
        videos = replace(shape, batch=shape.batch // 2)
        return planned(len(self._train), self._schedule.first_example(step) // 2, videos, self._seed)

    def read(self, example: ClipExample, seed: int) -> Pair:
        return draw_pair(self._train, example.index, example.shape, seed)

    def collate(self, items: list[Pair]) -> PairBatch:
        return batch_of(items)

    def losses(self, batch: PairBatch) -> Mapping[str, Tensor]:
        """`loss`, its four parts, and the share of motions that are right."""
        set_group_size(self.model, batch.bn_clips)
        pooled = self.model(self._clips(batch.pixels)).float()
        logits = self.model.backbone.classify(pooled)
        motion = F.cross_entropy(logits, batch.motion)
        appearance = F.cross_entropy(self.model.appearance(pooled), batch.appearance)
        direction = direction_loss(self.model.direction(pooled).squeeze(1), batch.forwards)
        same = same_video_loss(self.model.projection(pooled))
        loss = motion + APPEARANCE_WEIGHT * appearance + DIRECTION_WEIGHT * direction + SAME_VIDEO_WEIGHT * same
        return {
            "loss": loss, "motion": motion, "appearance": appearance, "direction": direction, "same_video": same,
            "accuracy": (logits.argmax(1) == batch.motion).float().mean(),
        }  # fmt: skip

    def evaluate(self) -> Mapping[str, float]:
        """Shares of right motions and appearances of the middle clips of videos that are not trained on, and their
        mean, `score`. Normalisation is made precise before."""
        set_group_size(self.model, self._full.bn_clips)
        make_precise(self.model, self._precise())
        right = {"motion": 0, "appearance": 0}
        for first in range(0, len(self._val), EVALUATION_BATCH):
            places = range(first, min(first + EVALUATION_BATCH, len(self._val)))
            pooled = self.model(self._prepared(torch.cat([self._middle(place) for place in places]))).float()
            truth = [labels_of(self._val.shown(place), mirrored=False, backwards=False) for place in places]
            answers = {
                "motion": self.model.backbone.classify(pooled),
                "appearance": self.model.appearance(pooled),
            }
            for name, logits in answers.items():
                right[name] += sum(a == getattr(t, name) for a, t in zip(logits.argmax(1).tolist(), truth, strict=True))
        shares = {name: count / len(self._val) for name, count in right.items()}
        return {"score": sum(shares.values()) / len(shares), **shares}

    def _middle(self, index: int) -> Tensor:
        """(1, 3, T, S, S) float."""
        return to_clip(middle_frames(self._val.video(index), self._input), self._input)

    def _precise(self) -> Iterator[Tensor]:
        """Clips as training draws them, the same ones each time."""
        for number in range(self._precise_batches):
            keys = (PRECISE, number)
            places = range(number * self._full.bn_clips // 2, (number + 1) * self._full.bn_clips // 2)
            pairs = [
                draw_pair(self._train, place % len(self._train), self._full, derived_seed(self._seed, *keys, place))
                for place in places
            ]
            yield self._clips(batch_of(pairs).pixels)

    def _clips(self, pixels: Tensor) -> Tensor:
        """(N, 3, T, S, S) float, normalised, of (N, T, S, S, 3) bytes, on the network's device."""
        mean, std = (torch.tensor(values) * 255 for values in (self._input.mean, self._input.std))
        device = next(self.model.parameters()).device
        floats = pixels.to(device).float().sub_(mean.to(device)).div_(std.to(device))
        return self._prepared(floats.permute(0, 4, 1, 2, 3))

    def _prepared(self, clips: Tensor) -> Tensor:
        device = next(self.model.parameters()).device
        return clips.to(device).contiguous(memory_format=torch.channels_last_3d)


def middle_frames(video: Any, spec: ClipInput) -> Any:
    """(T, H, W, 3): the frames in the middle of a video at the network's stride; the last one again if it is short."""
    span = (spec.num_frames - 1) * spec.stride
    first = max(0, (len(video) - 1 - span) // 2)
    return video[[min(first + i * spec.stride, len(video) - 1) for i in range(spec.num_frames)]]


def direction_loss(logits: Tensor, forwards: Tensor) -> Tensor:
    """Binary cross-entropy of (N,) logits over the clips that have a direction; 0 if none has."""
    known = forwards != NO_DIRECTION
    losses = F.binary_cross_entropy_with_logits(logits, known * forwards.float(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def same_video_loss(projected: Tensor) -> Tensor:
    """Of each of 2N clips, which of the others is of the same video: clips i and N + i are.

    The normalised, temperature-scaled cross-entropy of Chen et al., "A Simple Framework for Contrastive Learning of
    Visual Representations" (ICML 2020), equation 1.
    """
    unit = F.normalize(projected.float(), dim=1)
    similarity = unit @ unit.T / TEMPERATURE
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    partner = torch.arange(len(unit), device=unit.device).roll(len(unit) // 2)
    return F.cross_entropy(similarity.masked_fill(itself, -torch.inf), partner)

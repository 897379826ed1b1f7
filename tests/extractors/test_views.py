"""Frames of the originals' tests, from their rules written out, and how views are combined."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from extractors.backbones.base import Backbone
from extractors.clips.input import ClipInput
from extractors.clips.views import SAMPLINGS, combine, recognise, uniform_clips
from extractors.errors import ConfigError
from extractors.runtime import Runtime

FAST = ClipInput(num_frames=32, stride=2)
SLOW = ClipInput(num_frames=4, stride=16)
CHARADES = ClipInput(num_frames=64, stride=2, sampling="charades")
NONLOCAL = ClipInput(num_frames=8, stride=8, sampling="nonlocal")
S3D = ClipInput(num_frames=64, stride=1, fps=25.0)


def test_the_step_inside_a_pyslowfast_clip_is_63_31_and_not_2() -> None:
    (first, *_) = uniform_clips(300, 30.0, FAST, 10)
    assert first.tolist() == [math.floor(j * 63 / 31) for j in range(32)]
    assert first[[1, 16, 31]].tolist() == [2, 32, 63]


@pytest.mark.parametrize("fps", [30.0, 25.0, 23.976, 60.0])
@pytest.mark.parametrize("spec", [FAST, SLOW])
@pytest.mark.parametrize("num_frames", [1, 40, 64, 250, 301, 10_000])
def test_pyslowfast_clips_follow_the_rule(num_frames: int, fps: float, spec: ClipInput) -> None:
    clips = uniform_clips(num_frames, fps, spec, 10)
    span = spec.num_frames * spec.stride * fps / 30
    for i, clip in enumerate(clips):
        start = max(num_frames - span, 0) * i / 10
        for j, index in enumerate(clip):
            place = min(max(start + j * (span - 1) / (spec.num_frames - 1), 0), num_frames - 1)
            rounding = 1e-3 * (num_frames == 10_000) + 1e-4  # single precision, as in the original
            assert math.floor(place - rounding) <= index <= math.floor(place + rounding)
    assert clips.dtype == np.int64


def test_pyslowfast_never_begins_at_the_last_possible_place() -> None:
    clips = uniform_clips(364, 30.0, FAST, 10)
    assert clips[:, 0].tolist() == [30 * i for i in range(10)]
    assert clips[9].max() == 333


def test_nonlocal_counts_frames_and_goes_round() -> None:
    clips = uniform_clips(100, 12.5, NONLOCAL, 10)
    assert clips[:, 0].tolist() == list(range(0, 100, 10))
    assert clips[0].tolist() == list(range(0, 64, 8))
    assert clips[9].tolist() == [90, 98, 6, 14, 22, 30, 38, 46]


@pytest.mark.parametrize("num_frames", [50, 127, 128, 700])
def test_charades_reaches_the_end(num_frames: int) -> None:
    clips = uniform_clips(num_frames, 24.0, CHARADES, 10)
    spare = max(num_frames - 127, 0)
    assert clips[:, 0].tolist() == [round(i * spare / 9) for i in range(10)]
    assert clips[3].tolist() == [min(clips[3, 0] + 2 * j, num_frames - 1) for j in range(64)]
    assert clips.max() == num_frames - 1


def test_segments_are_the_middles_of_equal_parts() -> None:
    spec = ClipInput(num_frames=64, stride=2, sampling="segments")
    (clip,) = uniform_clips(90, 12.0, spec, 10)
    edges = [round(89 / 64 * i) for i in range(65)]
    assert clip.tolist() == [(edges[i] + edges[i + 1]) // 2 for i in range(64)]


def test_even_clips_are_resampled_and_reach_both_ends() -> None:
    spec = replace(S3D, sampling="even")
    clips = uniform_clips(500, 50.0, spec, 3)
    assert clips[0].tolist() == list(range(0, 128, 2))
    assert clips[2].tolist() == list(range(372, 500, 2))
    assert uniform_clips(10, 25.0, spec, 1)[0].tolist() == [*range(10), *[9] * 54]


@pytest.mark.parametrize(("fps", "expected"), [(25.0, 250), (50.0, 125), (30.0, 208), (12.5, 500)])
def test_all_frames_are_the_whole_video_at_the_networks_rate(fps: float, expected: int) -> None:
    (clip,) = uniform_clips(250, fps, replace(S3D, sampling="all"), 10)
    assert len(clip) == expected
    assert clip[0] == 0
    assert 250 - 1.01 * max(1, fps / 25) - 1 <= clip[-1] < 250
    assert (np.diff(clip) >= 0).all()


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("num_frames", [1, 2, 31, 250])
def test_every_sampling_stays_inside_the_video(sampling: str, num_frames: int) -> None:
    clips = uniform_clips(num_frames, 29.97, replace(FAST, sampling=sampling), 5)
    assert clips.ndim == 2
    assert clips.min() >= 0
    assert clips.max() < num_frames


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(ConfigError, match="pyslowfast, nonlocal"):
        uniform_clips(10, 30.0, replace(FAST, sampling="random"), 1)
    with pytest.raises(ConfigError, match="0 frames"):
        uniform_clips(0, 30.0, FAST, 1)


class Mean(Backbone):
    """Answers with the mean of each channel at two positions: the first and the last frame of the clip."""

    embedding_dim = num_classes = input_channels = 3
    num_frames, stride = 2, 1

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.activation = activation
        self.scale = nn.Parameter(torch.ones(()))
        self.batches: list[int] = []

    def forward_features(self, clip: Tensor) -> tuple[Tensor, ...]:
        self.batches.append(len(clip))
        return (clip,)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        return features[0].mean((3, 4), keepdim=True)

    def classify(self, pooled: Tensor) -> Tensor:
        return pooled * self.scale


@pytest.mark.parametrize(("activation", "function"), [("softmax", lambda x: x.softmax(1)), ("sigmoid", torch.sigmoid)])
def test_views_are_batched_in_order_and_activated_before_the_mean(
    activation: str, function: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    clips = [torch.randn(3, 3, 2, 4, 4) for _ in range(3)]
    model = Runtime().prepare(Mean(activation))
    found = recognise(model, iter(clips), Runtime(), batch=4)
    per_frame = torch.cat(clips).mean((3, 4))
    expected = (function(per_frame[:, :, 0]) + function(per_frame[:, :, 1])) / 2
    torch.testing.assert_close(found, expected)
    assert model.batches == [4, 4, 1]
    assert not found.requires_grad


def test_clips_are_drawn_as_they_are_needed() -> None:
    model, seen = Mean("softmax"), []

    def clips() -> Iterator[Tensor]:
        for i in range(3):
            seen.append((i, len(model.batches)))
            yield torch.zeros(2, 3, 2, 4, 4)

    recognise(model, clips(), Runtime(), batch=2)
    assert seen == [(0, 0), (1, 1), (2, 2)]


def test_views_become_one_by_mean_or_by_maximum() -> None:
    views = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    torch.testing.assert_close(combine(views), torch.tensor([0.4, 0.6]))
    torch.testing.assert_close(combine(views, "max"), torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(combine(torch.stack([views, views]), "max").shape, torch.Size([2, 2]))
    with pytest.raises(ConfigError, match="expected mean or max"):
        combine(views, "median")

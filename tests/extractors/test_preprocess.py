"""A clip equals what the originals compute, step by step in their order, to float rounding."""

import math

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from extractors.clips.input import ClipInput
from extractors.clips.preprocess import FULL, to_clip
from extractors.errors import ConfigError, ShapeError

SMALL = ClipInput(num_frames=3, stride=1, short_side_px=32, crop_px=32)
INCEPTION = ClipInput(num_frames=3, stride=1, short_side_px=32, crop_px=28, mean=(0.5,) * 3, std=(0.5,) * 3)
TORCHVISION = ClipInput(
    num_frames=3, stride=1, short_side_px=32, square=True, crop_px=28, resize="rounded",
    mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989),
)  # fmt: skip
NONLOCAL = ClipInput(num_frames=3, stride=1, short_side_px=32, crop_px=32, resize="bytes", crop="nonlocal")
SIZES = [(48, 71), (71, 48), (45, 45), (20, 37), (32, 57), (57, 32), (32, 33)]


def pictures(height: int, width: int, num_frames: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (num_frames, height, width, 3), np.uint8)


def pyslowfast(frames: NDArray[np.uint8], side: int, which: int) -> Tensor:
    """Normalise, scale in float, crop number `which`: the order of PySlowFast's test."""
    clip = (torch.from_numpy(frames).float() / 255.0 - 0.45) / 0.225
    clip = clip.permute(3, 0, 1, 2)
    height, width = clip.shape[2:]
    if min(height, width) != side:
        if width < height:
            size = math.floor(height / width * side), side
        else:
            size = side, math.floor(width / height * side)
        clip = functional.interpolate(clip, size=size, mode="bilinear", align_corners=False)
    height, width = clip.shape[2:]
    top, left = math.ceil((height - side) / 2), math.ceil((width - side) / 2)
    if height > width:
        top = {0: 0, 1: top, 2: height - side}[which]
    else:
        left = {0: 0, 1: left, 2: width - side}[which]
    return clip[:, :, top : top + side, left : left + side]


@pytest.mark.parametrize("hw", SIZES)
def test_pyslowfast_normalises_scales_and_crops(hw: tuple[int, int]) -> None:
    frames = pictures(*hw)
    expected = torch.stack([pyslowfast(frames, 32, which) for which in range(3)])
    clip = to_clip(frames, SMALL, crops=3)
    assert clip.shape == (3, 3, 3, 32, 32)
    torch.testing.assert_close(clip, expected, rtol=0, atol=1e-5)
    assert torch.equal(to_clip(frames, SMALL)[0], clip[1])


def test_full_size_equals_pyslowfast() -> None:
    frames = pictures(360, 641, 2)
    spec = ClipInput(num_frames=2, stride=1)
    expected = torch.stack([pyslowfast(frames, 256, which) for which in range(3)])
    torch.testing.assert_close(to_clip(frames, spec, crops=3), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hw", SIZES)
def test_inception_centre_crop_is_smaller_than_the_short_side(hw: tuple[int, int]) -> None:
    frames = pictures(*hw)
    whole = to_clip(frames, INCEPTION, crops=FULL)[0]
    top, left = math.ceil((whole.shape[2] - 28) / 2), math.ceil((whole.shape[3] - 28) / 2)
    assert min(whole.shape[2:]) == 32
    assert torch.equal(to_clip(frames, INCEPTION)[0], whole[:, :, top : top + 28, left : left + 28])
    if hw == (32, 57):
        expected = torch.from_numpy(frames).float().permute(3, 0, 1, 2) / 127.5 - 1
        torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hw", SIZES)
def test_torchvision_squeezes_the_picture_to_a_square_of_whole_numbers(hw: tuple[int, int]) -> None:
    frames = pictures(*hw)
    planes = torch.from_numpy(frames).float().permute(0, 3, 1, 2)
    square = functional.interpolate(planes, size=(32, 32), mode="bilinear", align_corners=False).round()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (TORCHVISION.mean, TORCHVISION.std))
    expected = ((square / 255 - mean) / std)[:, :, 2:30, 2:30].transpose(0, 1)
    torch.testing.assert_close(to_clip(frames, TORCHVISION)[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hw", SIZES)
def test_nonlocal_scales_bytes_and_steps_by_the_rounded_half(hw: tuple[int, int]) -> None:
    frames = pictures(*hw)
    height, width = hw
    scaled = (32 * height // width, 32) if height > width else (32, 32 * width // height)
    resized = [cv2.resize(frame, scaled[::-1]) if scaled != hw else frame for frame in frames]
    floats = torch.from_numpy(np.stack(resized)).float().permute(3, 0, 1, 2)
    normalised = (floats - 114.75) / 57.375
    step_y, step_x = (scaled[0] - 32) // 2, (scaled[1] - 32) // 2
    for k, view in enumerate(to_clip(frames, NONLOCAL, crops=3)):
        top, left = (k * step_y, step_x) if step_y else (step_y, k * step_x)
        expected = normalised[:, :, top : top + 32, left : left + 32]
        torch.testing.assert_close(view, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hw", [(48, 71), (71, 48), (32, 57)])
def test_detection_keeps_the_whole_picture_scaled_in_bytes(hw: tuple[int, int]) -> None:
    frames = pictures(*hw)
    size = (32, 47) if hw == (48, 71) else (47, 32) if hw == (71, 48) else hw
    expected = np.stack([cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR) for frame in frames])
    normalised = (torch.from_numpy(expected).float() / 255 - 0.45) / 0.225
    clip = to_clip(frames, ClipInput(num_frames=3, stride=1, short_side_px=32, resize="bytes"), crops=FULL)
    torch.testing.assert_close(clip[0], normalised.permute(3, 0, 1, 2), rtol=0, atol=1e-5)


def test_bgr_turns_the_colours_round_and_keeps_the_order_of_the_means() -> None:
    frames = pictures(32, 40)
    means = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
    bgr = ClipInput(num_frames=3, stride=1, short_side_px=32, crop_px=32, channels="bgr", **means)
    rgb = ClipInput(num_frames=3, stride=1, short_side_px=32, crop_px=32, **means)
    turned = np.ascontiguousarray(frames[..., ::-1])
    assert torch.equal(to_clip(frames, bgr), to_clip(turned, rgb))
    assert not torch.equal(to_clip(frames, bgr), to_clip(frames, rgb))


def test_read_only_frames_are_left_as_they_are() -> None:
    frames = pictures(32, 40)
    frames.flags.writeable = False
    before = frames.copy()
    clip = to_clip(list(frames), SMALL, crops=3)
    clip.zero_()
    assert np.array_equal(frames, before)


@pytest.mark.parametrize(
    ("changes", "crops", "message"),
    [
        ({"channels": "flow"}, 1, "'flow' cannot be made of pictures"),
        ({"resize": "nearest"}, 1, "float, rounded, smooth, bytes"),
        ({"crop": "corner"}, 1, "pyslowfast, nonlocal"),
        ({"crop_px": 40}, 1, "40 px does not fit a picture of 35x32"),
        ({}, 2, "expected 1, 3 or 'full'"),
    ],
)
def test_what_is_not_known_is_refused(changes: dict, crops: int, message: str) -> None:
    settings = {"num_frames": 3, "stride": 1, "short_side_px": 32, "crop_px": 32} | changes
    with pytest.raises(ConfigError, match=message):
        to_clip(pictures(64, 70), ClipInput(**settings), crops=crops)


@pytest.mark.parametrize("frames", [np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 8, 8), np.uint8)])
def test_frames_that_are_no_bytes_in_three_colours_are_refused(frames: NDArray) -> None:
    with pytest.raises(ShapeError, match="uint8 RGB"):
        to_clip(frames, SMALL)

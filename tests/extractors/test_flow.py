"""TV-L1 flow of a texture that is moved by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from extractors.clips.flow import flow_input, tvl1_flow
from extractors.errors import ShapeError

INNER = (slice(None), slice(None), slice(8, -8), slice(8, -8))


def moved_texture(*shifts: tuple[int, int]) -> NDArray[np.uint8]:
    """Frames of 48 x 64 px that show a smooth random texture, moved by (right, down) pixels from its first place."""
    noise = gaussian_filter(np.random.RandomState(0).rand(128, 144), 2)
    texture = ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)
    frames = [texture[40 - down : 88 - down, 40 - right : 104 - right] for right, down in shifts]
    return np.repeat(np.stack(frames)[..., None], 3, axis=3)


def test_flow_is_the_motion_to_the_next_frame_x_before_y() -> None:
    flow = tvl1_flow(moved_texture((0, 0), (2, 1), (1, 3)))
    assert flow.shape == (2, 3, 48, 64)
    assert flow.dtype == np.float32
    inner = flow[INNER]
    for place, (right, down) in enumerate([(2, 1), (-1, 2), (-1, 2)]):
        assert np.abs(inner[0, place] - right).max() < 0.1
        assert np.abs(inner[1, place] - down).max() < 0.1


def test_the_last_frame_repeats_the_flow_before_it() -> None:
    flow = tvl1_flow(moved_texture((0, 0), (1, 0), (3, 0)))
    assert np.array_equal(flow[:, 2], flow[:, 1])
    assert not np.array_equal(flow[:, 1], flow[:, 0])


def test_input_is_in_units_of_20_px() -> None:
    frames = moved_texture((0, 0), (2, 1))
    network_input = flow_input(frames)
    assert network_input.dtype == np.float32
    np.testing.assert_allclose(network_input, tvl1_flow(frames) / 20, atol=1e-6)


def test_displacements_beyond_20_px_are_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extractors.clips.flow.tvl1_flow", lambda frames: np.array([-45.0, 10.0, 33.0], np.float32))
    assert flow_input(moved_texture((0, 0))).tolist() == [-1.0, 0.5, 1.0]


def test_quantised_input_has_256_levels_and_is_off_by_half_a_level_at_most() -> None:
    frames = moved_texture((0, 0), (2, 1))
    exact, quantised = flow_input(frames), flow_input(frames, quantised=True)
    assert quantised.dtype == np.float32
    levels = (quantised + 1) * 127.5
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)
    assert 0 < np.abs(quantised - exact).max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((2, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 2), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
    ],
)
def test_wrong_frames_are_refused(frames: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match=r"expected \(T, H, W, 3\) uint8, T >= 2"):
        tvl1_flow(frames)

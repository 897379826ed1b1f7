"""HOG/HOF: bins worked out by hand, mirror symmetry, and independence of frame rate and brightness."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from extractors.clips.hoghof import HogHof, HogHofConfig

VERTICAL, DIAGONAL, HORIZONTAL, ANTIDIAGONAL = range(4)  # HOG: direction of the edge
RIGHT, DOWN, LEFT, UP, STILL = range(5)  # HOF


@pytest.fixture(scope="module")
def hoghof() -> HogHof:
    return HogHof(HogHofConfig())


def scene(seed: int = 0, size_px: int = 512) -> np.ndarray:
    """A smooth random picture with detail of about 8 px."""
    noise = np.random.default_rng(seed).uniform(0, 255, (size_px, size_px)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)


def view(picture: np.ndarray, x: float, y: float, hw: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A window of the scene at a position with fractions of a px."""
    height, width = hw
    centre = (150 + x + (width - 1) / 2, 150 + y + (height - 1) / 2)
    return np.clip(cv2.getRectSubPix(picture, (width, height), centre), 0, 255).astype(np.uint8)


def split(config: HogHofConfig, descriptor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """HOG (rows, columns, time, 4) and HOF (rows, columns, time, 5)."""
    shape = (*config.grid, config.time_cells)
    num_hog = int(np.prod(shape)) * config.hog_bins
    return descriptor[:num_hog].reshape(*shape, -1), descriptor[num_hog:].reshape(*shape, -1)


def clip(hoghof: HogHof, frames: list[np.ndarray], times_s: list[float]) -> np.ndarray:
    """Descriptor of one clip sampled at 10 Hz whose first frame has no predecessor."""
    cells = [hoghof.cells(None, frames[0])]
    for k in range(1, len(frames)):
        cells.append(hoghof.cells(frames[k - 1], frames[k], times_s[k] - times_s[k - 1]))
    return hoghof.describe((k / 10, c) for k, c in enumerate(cells))


def test_the_papers_dimensions(hoghof):
    assert HogHofConfig().dim == 162
    assert HogHofConfig(grid=(2, 4), time_cells=3, hog_bins=9, hof_directions=8).dim == 2 * 4 * 3 * 18
    gray = view(scene(), 0, 0)
    cells = hoghof.cells(gray, gray, 0.1)
    assert cells.shape == (3, 3, 9)
    assert cells.dtype == np.float32
    descriptor = hoghof.describe([(0.0, cells), (0.6, cells)])
    assert descriptor.shape == (162,)
    assert descriptor.dtype == np.float32


def test_a_vertical_edge_by_hand(hoghof):
    gray = np.zeros((30, 30), np.uint8)
    gray[:, 15:] = 100  # in the middle column of cells; central differences see it at x = 14 and 15
    hog = hoghof.cells(None, gray)[..., :4]
    expected = np.zeros((3, 3, 4))
    expected[:, 1, VERTICAL] = 2 * 50 / 10  # two of a cell's ten columns, 50 grey levels per px each
    np.testing.assert_allclose(hog, expected, atol=1e-4)
    turned = hoghof.cells(None, np.ascontiguousarray(gray.T))[..., :4]
    np.testing.assert_allclose(turned[1, :, HORIZONTAL], 10, atol=1e-4)
    hog_of_clip, _ = split(hoghof.config, hoghof.describe([(0.0, hoghof.cells(None, gray))]))
    np.testing.assert_allclose(hog_of_clip[:, 1, 0, VERTICAL], 10 / (10 + 1.0), rtol=1e-5)


def test_diagonals_and_interpolation_between_bins(hoghof):
    y, x = np.mgrid[:60, :60]
    for slope, expected in {(1, 1): DIAGONAL, (-1, 1): ANTIDIAGONAL}.items():
        inner = hoghof.cells(None, (100 + slope[0] * x + slope[1] * y).astype(np.uint8))[1, 1, :4]
        assert inner.argmax() == expected
        assert inner[expected] == pytest.approx(np.sqrt(2), rel=0.01)
    between = hoghof.cells(None, (2 * x + y).astype(np.uint8))[1, 1, :4]  # 26.6 degrees
    share = np.degrees(np.arctan2(1, 2)) / 45
    np.testing.assert_allclose(between, [np.sqrt(5) * (1 - share), np.sqrt(5) * share, 0, 0], atol=0.03)


@pytest.mark.parametrize(("shift", "direction"), [((3, 0), RIGHT), ((-3, 0), LEFT), ((0, 3), DOWN), ((0, -3), UP)])
@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_a_known_shift_is_in_its_bin(shift, direction, preset):
    picture = scene()
    prev, now = view(picture, 0, 0), view(picture, -shift[0], -shift[1])
    hof = HogHof(HogHofConfig(flow_preset=preset)).cells(prev, now, 0.1)[..., 4:]
    assert (hof.argmax(axis=-1) == direction).all()
    assert hof[..., direction].mean() > 0.85
    np.testing.assert_allclose(hof.sum(axis=-1), 1, atol=1e-5)


def test_speed_is_in_picture_heights_per_second():
    picture = scene()
    prev, now = view(picture, 0, 0), view(picture, -2.4, 0)  # 2.4 of 96 px: 0.025 heights
    for dt_s, still in {0.1: False, 1.0: True}.items():  # 0.25 and 0.025 heights/s
        hof = HogHof(HogHofConfig(still_heights_per_s=0.1)).cells(prev, now, dt_s)[..., 4:]
        assert (hof[..., STILL].mean() > 0.9) == still


def test_no_motion(hoghof):
    gray = view(scene(), 0, 0)
    noise = np.random.default_rng(1).normal(0, 2, gray.shape)
    noisy = np.clip(gray + noise, 0, 255).astype(np.uint8)
    for other in (gray, noisy):
        hof = hoghof.cells(gray, other, 0.1)[..., 4:]
        assert (hof[..., STILL] > 0.99).all()


def test_mirror_swaps_columns_and_bins(hoghof):
    picture = scene(3)
    for hw in ((96, 128), (97, 131)):
        prev, now = view(picture, 0, 0, hw), view(picture, -2, -1, hw)
        cells = hoghof.cells(prev, now, 0.1)
        mirrored = hoghof.cells(prev[:, ::-1], now[:, ::-1], 0.1)
        swapped = cells[:, ::-1][..., [VERTICAL, ANTIDIAGONAL, HORIZONTAL, DIAGONAL, 4 + LEFT, 4 + DOWN,
                                       4 + RIGHT, 4 + UP, 4 + STILL]]  # fmt: skip
        np.testing.assert_allclose(mirrored[..., :4], swapped[..., :4], atol=0.02)
        np.testing.assert_allclose(mirrored[..., 4:], swapped[..., 4:], atol=0.08)


def moving_clip(hoghof: HogHof, fps: float, gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """One second at 40 px/s right, then 30 px/s down, as a video of `fps` sampled at 10 Hz."""
    picture = scene(4) * gain + offset
    frames, times = [], []
    for k in range(10):
        t = np.floor(k / 10 * fps + 1e-9) / fps  # the frame displayed at k / 10 s
        frames.append(view(picture, -40 * min(t, 0.5), -30 * max(t - 0.5, 0)))
        times.append(float(t))
    return clip(hoghof, frames, times)


def test_frame_rate_does_not_matter(hoghof):
    at_50 = moving_clip(hoghof, 50)
    for fps in (24, 25, 30, 60):
        np.testing.assert_allclose(moving_clip(hoghof, fps), at_50, atol=0.12)
        assert np.linalg.norm(moving_clip(hoghof, fps) - at_50) < 0.05 * np.linalg.norm(at_50)
    _, hof = split(hoghof.config, at_50)
    assert hof[..., 0, RIGHT].mean() > 0.85
    assert hof[..., 1, DOWN].mean() > 0.7  # the first frame of the second half still moves right


def test_picture_size_does_not_matter_for_speed():
    hoghof = HogHof(HogHofConfig(still_heights_per_s=0.15))
    for speed, still in ((0.1, True), (0.2, False)):  # heights/s
        for hw in ((64, 96), (128, 192)):
            shift = speed * 0.1 * hw[0]
            prev, now = view(scene(5), 0, 0, hw), view(scene(5), -shift, 0, hw)
            assert (hoghof.cells(prev, now, 0.1)[..., 4 + STILL].mean() > 0.5) == still


def test_brightness_and_contrast_hardly_matter(hoghof):
    base = moving_clip(hoghof, 50, gain=0.5, offset=40)
    brighter = moving_clip(hoghof, 50, gain=0.5, offset=90)
    weaker = moving_clip(hoghof, 50, gain=0.35, offset=60)
    np.testing.assert_allclose(brighter, base, atol=0.03)
    assert np.linalg.norm(weaker - base) < 0.1 * np.linalg.norm(base)


def test_every_histogram_is_normalised_on_its_own(hoghof):
    hog, hof = split(hoghof.config, moving_clip(hoghof, 25))
    np.testing.assert_allclose(hof.sum(axis=-1), 1, atol=1e-5)
    assert (hog.sum(axis=-1) > 0.5).all()
    assert (hog.sum(axis=-1) < 1).all()


def test_single_frame_has_hog_only(hoghof):
    gray = view(scene(), 0, 0)
    hog, hof = split(hoghof.config, hoghof.describe([(0.0, hoghof.cells(None, gray))]))
    assert (hog[:, :, 0] > 0).any()
    assert not hog[:, :, 1].any()
    assert not hof.any()


def test_frames_without_a_predecessor_do_not_dilute_motion(hoghof):
    gray = view(scene(), 0, 0)
    first, second = hoghof.cells(None, gray), hoghof.cells(view(scene(), 3, 0), gray, 0.1)
    _, hof = split(hoghof.config, hoghof.describe([(0.0, first), (0.1, second)]))
    assert np.array_equal(hoghof.without_motion(second), hoghof.cells(None, gray))
    _, alone = split(hoghof.config, hoghof.describe([(0.1, second)]))
    np.testing.assert_allclose(hof, alone, atol=1e-6)


def test_flat_frames_are_zero_and_still(hoghof):
    flat = np.full((96, 128), 77, np.uint8)
    descriptor = clip(hoghof, [flat] * 10, [k / 10 for k in range(10)])
    hog, hof = split(hoghof.config, descriptor)
    assert np.isfinite(descriptor).all()
    assert not hog.any()
    np.testing.assert_allclose(hof[..., STILL], 1)


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("hw", [(3, 3), (16, 16), (17, 31), (24, 96), (12, 300), (300, 12), (241, 321), (96, 1500)])
def test_tiny_odd_and_long_pictures(hw, preset):
    hoghof = HogHof(HogHofConfig(flow_preset=preset))
    rng = np.random.default_rng(0)
    for _ in range(3):
        prev, now = rng.integers(0, 256, (2, *hw), dtype=np.uint8)
        cells = hoghof.cells(prev, now, 0.1)
        assert np.isfinite(cells).all()
        np.testing.assert_allclose(cells[..., 4:].sum(axis=-1), 1, atol=1e-4)


def test_tiny_pictures_see_motion(hoghof):
    prev, now = (view(scene(), x, 0, (16, 16)) for x in (2, 0))
    assert hoghof.cells(prev, now, 0.1)[..., 4 + RIGHT].mean() > 0.8


def test_results_repeat_whatever_was_computed_before(hoghof):
    """OpenCV's DIS object keeps the scales it chose for a small picture."""
    prev, now = np.random.default_rng(0).integers(0, 256, (2, 96, 128), dtype=np.uint8)
    expected = hoghof.cells(prev, now, 0.1)
    for hw in ((64, 64), (16, 200), (240, 320)):
        hoghof.cells(*np.random.default_rng(1).integers(0, 256, (2, *hw), dtype=np.uint8), 0.1)
        assert np.array_equal(hoghof.cells(prev, now, 0.1), expected)


def test_pictures_need_not_be_contiguous(hoghof):
    padded = np.random.default_rng(0).integers(0, 256, (2, 96, 160), dtype=np.uint8)
    prev, now = padded[:, :, :128]
    assert np.array_equal(hoghof.cells(prev, now, 0.1), hoghof.cells(prev.copy(), now.copy(), 0.1))


def test_thread_count_does_not_change_results(hoghof):
    prev, now = np.random.default_rng(0).integers(0, 256, (2, 112, 199), dtype=np.uint8)
    before = cv2.getNumThreads()
    try:
        results = []
        for num_threads in (1, 2, 5):
            cv2.setNumThreads(num_threads)
            results.append(hoghof.cells(prev, now, 0.1))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_bad_input_is_refused(hoghof):
    gray = np.zeros((32, 32), np.uint8)
    for bad in (gray.astype(np.float32), np.zeros((32, 32, 3), np.uint8), np.zeros((2, 32), np.uint8)):
        with pytest.raises(ValueError, match="Grey picture"):
            hoghof.cells(None, bad)
    with pytest.raises(ValueError, match="same size"):
        hoghof.cells(gray[:16], gray, 0.1)
    with pytest.raises(ValueError, match="time above 0"):
        hoghof.cells(gray, gray, 0.0)
    with pytest.raises(ValueError, match="without frames"):
        hoghof.describe([])
    with pytest.raises(ValueError, match="expected a time in"):
        hoghof.describe([(1.0, hoghof.cells(None, gray))])


@pytest.mark.parametrize(
    "changes",
    [{"sample_hz": 0.0}, {"grid": (0, 3)}, {"hog_bins": 1}, {"short_side_px": 8}, {"flow_preset": "best"}],
)
def test_bad_configuration_is_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        HogHofConfig(**changes)


def test_clips_of_one_video_are_alike(hoghof, clips: Path):
    names = ("asl/again.mkv", "chaplin.mp4", "carphone_pristine.mp4", "v_GGSY1Qvo990.mp4")
    first, second = zip(*(two_clips(hoghof, clips / name) for name in names), strict=True)
    distances = np.linalg.norm(np.array(first)[:, None] - np.array(second)[None], axis=-1)
    assert (distances.argmin(axis=1) == np.arange(len(names))).all()


def two_clips(hoghof: HogHof, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first second of a video and the second after it."""
    with av.open(str(path)) as container:
        frames = list(itertools.islice(container.decode(video=0), 62))
    grid_s = [frames[0].time + k / 10 for k in range(20)]
    shown = [max((f for f in frames if f.time <= t + 1e-6), key=lambda f: f.time) for t in grid_s]
    height = hoghof.config.short_side_px
    width = round(shown[0].width * height / shown[0].height)
    grays = [f.reformat(width, height, "gray").to_ndarray() for f in shown]
    times = [f.time for f in shown]
    return clip(hoghof, grays[:10], times[:10]), clip(hoghof, grays[10:], times[10:])

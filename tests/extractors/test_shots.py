"""Shot detection in two halves equals PySceneDetect in one, however the video was cut into segments."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import scenedetect
from hypothesis import given, settings
from hypothesis import strategies as st
from scenedetect import FrameTimecode, SceneManager
from scenedetect.common import Timecode
from scenedetect.detector import FlashFilter
from scenedetect.detectors import (
    AdaptiveDetector,
    ContentDetector,
    HashDetector,
    HistogramDetector,
    ThresholdDetector,
)

from benchmarks.shots import Tally, Transition, compare, read_transitions, score_video
from extractors.shots.config import (
    EDGES_ONLY,
    LUMA_ONLY,
    AdaptiveConfig,
    ContentConfig,
    HashConfig,
    HistogramConfig,
    ShotConfig,
    ThresholdConfig,
)
from extractors.shots.cuts import find_cuts
from extractors.shots.scoring import FrameScorer, score_names

FPS = Fraction(25)
WEIGHTS = ContentDetector.Components
DETECTORS = {
    "content": (ContentConfig(), lambda: ContentDetector(min_scene_len=0.6)),
    "content, edges, suppress": (
        ContentConfig(threshold=20.0, weights=(1.0, 0.5, 1.0, 0.2), filter_mode="suppress", min_shot_s=0.2),
        lambda: ContentDetector(
            threshold=20.0,
            weights=WEIGHTS(1.0, 0.5, 1.0, 0.2),
            filter_mode=FlashFilter.Mode.SUPPRESS,
            min_scene_len=0.2,
        ),
    ),
    "content, merge many": (
        ContentConfig(threshold=3.0, min_shot_s=0.3, weights=LUMA_ONLY),
        lambda: ContentDetector(threshold=3.0, min_scene_len=0.3, luma_only=True),
    ),
    "content, no minimum": (
        ContentConfig(threshold=5.0, min_shot_s=0.0),
        lambda: ContentDetector(threshold=5.0, min_scene_len=0),
    ),
    "adaptive": (AdaptiveConfig(), lambda: AdaptiveDetector(min_scene_len=0.6)),
    "adaptive, window 4": (
        AdaptiveConfig(
            adaptive_threshold=1.5, window_width=4, min_content_val=3.0, min_shot_s=0.2, weights=EDGES_ONLY,
            kernel_size=5,
        ),
        lambda: AdaptiveDetector(
            adaptive_threshold=1.5, window_width=4, min_content_val=3.0, min_scene_len=0.2,
            weights=WEIGHTS(0.0, 0.0, 0.0, 1.0), kernel_size=5,
        ),
    ),
    "threshold": (ThresholdConfig(), lambda: ThresholdDetector(min_scene_len=0.6)),
    "threshold, bias 1, final": (
        ThresholdConfig(threshold=40, fade_bias=1.0, add_final_scene=True, min_shot_s=0.1, min_out_s=0.1),
        lambda: ThresholdDetector(
            threshold=40, fade_bias=1.0, add_final_scene=True, min_scene_len=0.1, min_out_length=0.1
        ),
    ),
    "threshold, ceiling": (
        ThresholdConfig(threshold=125, fade_bias=-0.6, method="ceiling", min_shot_s=0.2),
        lambda: ThresholdDetector(
            threshold=125, fade_bias=-0.6, method=ThresholdDetector.Method.CEILING, min_scene_len=0.2
        ),
    ),
    "histogram": (HistogramConfig(), lambda: HistogramDetector(min_scene_len=0.6)),
    "histogram, fine": (
        HistogramConfig(threshold=0.02, bins=64, min_shot_s=0.2),
        lambda: HistogramDetector(threshold=0.02, bins=64, min_scene_len=0.2),
    ),
    "hash": (HashConfig(), lambda: HashDetector(min_scene_len=0.6)),
    "hash, fine": (
        HashConfig(threshold=0.05, size=6, lowpass=3, min_shot_s=0.2),
        lambda: HashDetector(threshold=0.05, size=6, lowpass=3, min_scene_len=0.2),
    ),
}  # fmt: skip


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A coloured random texture with detail at several scales, uint8 (height, width, 3)."""
    total = np.zeros((height, width, 3), np.float32)
    for cell in (10, 24):
        small = rng.uniform(0, 255, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    tint = rng.uniform(0.4, 1.2, 3)
    return np.clip(total / 2 * tint, 0, 255).astype(np.uint8)


def pan(rng: np.random.Generator, num_frames: int, hw: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """A camera moving over a texture at up to 1 px a frame, with sensor noise."""
    height, width = hw
    margin = num_frames
    speed = rng.uniform(-1, 1, 2)
    scene = texture(rng, height + 2 * margin, width + 2 * margin)
    frames = []
    for k in range(num_frames):
        y, x = margin + np.round(speed * k).astype(int)
        noise = rng.normal(0, 3, (height, width, 3))
        frames.append(np.clip(scene[y : y + height, x : x + width] + noise, 0, 255).astype(np.uint8))
    return frames


def faded(frames: list[np.ndarray], num_frames: int) -> list[np.ndarray]:
    """The shot with a fade from black and one to black of `num_frames` each."""
    gain = np.ones(len(frames))
    gain[:num_frames] = np.arange(num_frames) / num_frames
    gain[-num_frames:] = np.arange(num_frames)[::-1] / num_frames
    return [(frame * g).astype(np.uint8) for frame, g in zip(frames, gain, strict=True)]


@pytest.fixture(scope="module")
def film() -> list[np.ndarray]:
    """Pans, hard cuts, fades through black, a strobe of one-frame flashes, and an end in black."""
    rng = np.random.default_rng(3)
    strobe = pan(rng, 60)
    for k in (20, 21, 24, 28, 40):
        strobe[k] = 255 - strobe[k]
    black = [np.zeros_like(strobe[0])] * 9
    return [*pan(rng, 40), *pan(rng, 7), *pan(rng, 30), *faded(pan(rng, 50), 14), *black, *faded(pan(rng, 45), 9),
            *strobe, *pan(rng, 33), *faded(pan(rng, 40), 12), *black]  # fmt: skip


def scores_in_segments(config: ShotConfig, frames: list[np.ndarray], starts: list[int]) -> np.ndarray:
    """Scores as different workers compute them: each reads one frame past the end of its segment."""
    rows = []
    for start, stop in itertools.pairwise([0, *starts, len(frames)]):
        scorer = FrameScorer(config, at_video_start=start == 0)
        rows += [scorer.score(frame) for frame in frames[start : stop + 1]]
    return np.array([row for row in rows if row is not None])


def cuts_of(config, frames, starts=(), *, pts=None, time_base=1 / FPS, rate=FPS) -> list[int]:
    stored = np.frombuffer(scores_in_segments(config, frames, list(starts)).tobytes(), np.float64)
    pts = range(len(frames)) if pts is None else pts
    scores = stored.reshape(len(frames), -1)
    return find_cuts(config, enumerate(pts), scores, time_base=time_base, rate=rate)


def pyscenedetect_cuts(detector, frames, pts, time_base, rate) -> list[int]:
    """The detector fed with the pictures themselves."""
    times = [FrameTimecode(Timecode(p - pts[0], time_base), fps=rate) for p in pts]
    found = [cut for time, frame in zip(times, frames, strict=True) for cut in detector.process_frame(time, frame)]
    found += detector.post_process(times[-1])
    return sorted({index_of_time(cut, times) for cut in found})


def index_of_time(cut: FrameTimecode, times: list[FrameTimecode]) -> int:
    exact = [i for i, time in enumerate(times) if time is cut]
    return exact[0] if exact else next(i for i, time in enumerate(times) if time.frame_num >= cut.frame_num)


@pytest.mark.parametrize("name", DETECTORS)
def test_equals_pyscenedetect_on_generated_film(name, film):
    config, make = DETECTORS[name]
    expected = pyscenedetect_cuts(make(), film, range(len(film)), 1 / FPS, FPS)
    assert expected, "the film should have something for every detector"
    shots = ShotConfig(detectors=(config,), min_gap_s=0.0)
    for starts in ([], [1], [39, 40, 41, 77], list(range(20, len(film), 20))):
        assert cuts_of(shots, film, starts) == expected


@pytest.mark.parametrize("name", DETECTORS)
def test_equals_pyscenedetect_at_variable_frame_rate(name, film):
    config, make = DETECTORS[name]
    steps = np.random.default_rng(0).integers(400, 3000, len(film))
    pts = (7_000 + np.cumsum(steps)).tolist()
    rate = Fraction(len(pts) - 1, pts[-1] - pts[0]) * 30_000
    if isinstance(config, ThresholdConfig):
        rate *= 8  # so that its frame numbers tell all frames apart, see the test of fades below
    timing = {"pts": pts, "time_base": Fraction(1, 30_000), "rate": rate}
    shots = ShotConfig(detectors=(config,), min_gap_s=0.0)
    assert cuts_of(shots, film, [50, 100], **timing) == pyscenedetect_cuts(make(), film, **timing)


@given(st.sets(st.integers(1, 60), max_size=12))
@settings(max_examples=25, deadline=None)
def test_scores_do_not_depend_on_segments(starts):
    rng = np.random.default_rng(1)
    frames = pan(rng, 31, (24, 32)) + pan(rng, 30, (24, 32))
    config = ShotConfig(detectors=tuple(config for config, _ in DETECTORS.values()))
    whole = scores_in_segments(config, frames, [])
    assert whole.dtype == np.float64
    assert whole.shape == (len(frames), len(score_names(config)))
    assert np.array_equal(scores_in_segments(config, frames, sorted(starts)), whole)


def test_combination_is_the_union(film):
    configs = tuple(config for config, _ in DETECTORS.values())
    alone = [set(cuts_of(ShotConfig(detectors=(c,), min_gap_s=0.0), film)) for c in configs]
    assert cuts_of(ShotConfig(detectors=configs, min_gap_s=0.0), film) == sorted(set.union(*alone))


def test_min_gap_keeps_the_first_of_close_cuts(film):
    every = ShotConfig(detectors=(ContentConfig(threshold=5.0, min_shot_s=0.0),), min_gap_s=0.0)
    all_cuts = cuts_of(every, film)
    cuts = cuts_of(replace(every, min_gap_s=0.4), film)
    assert cuts[0] == all_cuts[0]
    assert min(np.diff(cuts)) == 10  # 0.4 s at 25 frames/s, exactly
    assert all(any(0 <= cut - kept < 10 for kept in cuts) for cut in all_cuts)


@pytest.mark.parametrize("seed", range(4))
def test_default_finds_generated_cuts_exactly(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(16, 60, 14)
    frames = [frame for length in lengths for frame in pan(rng, int(length), (72, 128))]
    expected = np.cumsum(lengths)[:-1].tolist()
    assert cuts_of(ShotConfig(), frames, [100, 200]) == expected


def test_still_picture_and_slow_brightness_change_have_no_cut():
    still = texture(np.random.default_rng(0), 72, 128)
    assert cuts_of(ShotConfig(), [still] * 50) == []
    ramp = [np.clip(still * (0.6 + 0.004 * k), 0, 255).astype(np.uint8) for k in range(100)]
    assert cuts_of(ShotConfig(), ramp) == []


def flat(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


def test_minimum_length_is_in_seconds_of_presentation_time():
    frames = [flat(v) for v in (20, 20, 200, 200, 20, 20)]
    config = ShotConfig(detectors=(ContentConfig(min_shot_s=0.6, filter_mode="suppress"),))
    timing = {"time_base": Fraction(1, 1000), "rate": Fraction(10)}
    assert cuts_of(config, frames, pts=[0, 500, 600, 700, 1200, 1300], **timing) == [2, 4]
    assert cuts_of(config, frames, pts=[0, 500, 600, 700, 1199, 1300], **timing) == [2]
    assert cuts_of(config, frames, pts=[0, 500, 599, 700, 1200, 1300], **timing) == [4]


@pytest.mark.parametrize(("bias", "cut"), [(-1.0, 3), (0.0, 6), (1.0, 9)])
def test_fade_bias_places_the_cut_in_the_dark(bias, cut):
    frames = [flat(v) for v in (90, 90, 50, 5, 0, 0, 0, 0, 5, 50, 90, 90)]
    config = ShotConfig(detectors=(ThresholdConfig(fade_bias=bias, min_shot_s=0.0),))
    assert cuts_of(config, frames) == [cut]
    late = find_cuts(
        config,
        ((100 + i, 8_000 + 40 * i) for i in range(12)),
        scores_in_segments(config, frames, []),
        time_base=Fraction(1, 1000),
        rate=FPS,
    )
    assert late == [100 + cut]  # neither the first index nor the first time need be 0


@pytest.mark.parametrize(("bias", "cut"), [(-1.0, 2), (0.0, 5), (1.0, 8)])
def test_fade_at_variable_frame_rate_lands_on_a_real_frame(bias, cut):
    # Dark from 200 ms (frame 2) to 800 ms (frame 8, the second frame of the same PySceneDetect number);
    # the middle is 500 ms: frame 5 at 620 ms is the first not before it.
    frames = [flat(v) for v in (90, 90, 5, 5, 5, 5, 5, 5, 90, 90)]
    pts = [0, 100, 200, 210, 220, 620, 630, 790, 800, 900]
    config = ShotConfig(detectors=(ThresholdConfig(fade_bias=bias, min_shot_s=0.0),))
    assert cuts_of(config, frames, pts=pts, time_base=Fraction(1, 1000), rate=Fraction(10)) == [cut]


def test_default_survives_realistic_fades():
    rng = np.random.default_rng(2)
    shots = [faded(pan(rng, 60, (72, 128)), 18) for _ in range(4)]
    frames = [np.clip(f + rng.normal(0, 2, f.shape), 0, 255).astype(np.uint8) for s in shots for f in s]
    labels = [Transition(kind="fade", first=60 * k - 18, last=60 * k + 18) for k in (1, 2, 3)]
    _, tally = compare(cuts_of(ShotConfig(), frames), labels)
    assert tally == Tally(hits=3)


def test_no_frames_and_one_frame():
    config = ShotConfig()
    assert find_cuts(config, [], [], time_base=Fraction(1, 25), rate=FPS) == []
    assert cuts_of(config, [flat(0)]) == []


def test_find_cuts_streams_in_constant_memory():
    num_frames = 20_000  # the last 10,000 are one long fade to black
    config = ShotConfig()
    rows = (np.array([k % 7, 80.0 if k < num_frames / 2 else 0.0]) for k in range(num_frames))
    tracemalloc.start()
    find_cuts(config, enumerate(range(num_frames)), rows, time_base=1 / FPS, rate=FPS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize(
    ("stamps", "num_scores"),
    [
        ([(0, 0), (0, 1)], 2),
        ([(0, 5), (1, 4)], 2),
        ([(0, 0), (1, 1)], 1),
        ([(0, 0), (1, 1)], 3),
    ],
    ids=["index repeats", "time goes back", "scores missing", "scores left over"],
)
def test_find_cuts_refuses_bad_streams(stamps, num_scores):
    scores = np.zeros((num_scores, 2))
    with pytest.raises(ValueError, match=r"expected|shorter|longer"):
        find_cuts(ShotConfig(), stamps, scores, time_base=Fraction(1, 25), rate=FPS)


@pytest.mark.parametrize("scores", [np.zeros((1, 3)), np.full((1, 2), np.nan)])
def test_find_cuts_refuses_bad_scores(scores):
    with pytest.raises(ValueError, match="expected 2 finite numbers"):
        find_cuts(ShotConfig(), [(0, 0)], scores, time_base=Fraction(1, 25), rate=FPS)


def test_scorer_refuses_bad_frames():
    scorer = FrameScorer(ShotConfig())
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="Frame to score"):
            scorer.score(bad)
    assert scorer.score(np.zeros((4, 4, 3), np.uint8)) is None
    with pytest.raises(ValueError, match="expected the same"):
        scorer.score(np.zeros((4, 5, 3), np.uint8))


def test_detectors_share_scores():
    config = ShotConfig(detectors=(ContentConfig(), AdaptiveConfig(), AdaptiveConfig(window_width=3)))
    assert len(score_names(config)) == 1
    other = AdaptiveConfig(weights=LUMA_ONLY)
    assert len(set(score_names(replace(config, detectors=(*config.detectors, other))))) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContentConfig(threshold=0.0),
        lambda: ContentConfig(min_shot_s=-1.0),
        lambda: ContentConfig(kernel_size=4),
        lambda: ContentConfig(weights=(0.0, 0.0, 0.0, 0.0)),
        lambda: ContentConfig(filter_mode="drop"),
        lambda: AdaptiveConfig(window_width=0),
        lambda: ThresholdConfig(fade_bias=1.5),
        lambda: ThresholdConfig(threshold=1.5),
        lambda: ThresholdConfig(method="black"),
        lambda: HistogramConfig(bins=0),
        lambda: HashConfig(size=5, lowpass=1),
        lambda: ShotConfig(detectors=()),
        lambda: ShotConfig(detectors=("adaptive",)),
        lambda: ShotConfig(width_px=0),
    ],
)
def test_bad_configuration_is_refused(make):
    with pytest.raises(ValueError, match=r"expected|needs"):
        make()


def read_clip(path: Path, width_px: int) -> tuple[list[np.ndarray], list[int], Fraction, Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        time_base, rate = Fraction(stream.time_base), Fraction(stream.average_rate)
    height = round(width_px * decoded[0].height / decoded[0].width)
    frames = [f.reformat(width_px, height, "bgr24").to_ndarray() for f in decoded]
    return frames, [f.pts for f in decoded], time_base, rate


@pytest.mark.parametrize("clip", ["bikes.mp4", "goldeneye-vfr-drop3.mp4", "fades.mp4"])
def test_equals_pyscenedetect_on_real_clips(clip, clips):
    frames, pts, time_base, rate = read_clip(clips / clip, 96)
    timing = {"pts": pts, "time_base": time_base, "rate": rate}
    for config, make in DETECTORS.values():
        shots = ShotConfig(detectors=(config,), min_gap_s=0.0)
        cuts = cuts_of(shots, frames, [31, 76, 140], **timing)
        assert cuts == pyscenedetect_cuts(make(), frames, **timing), config


def test_equals_scene_manager_reading_the_file(clips):
    frames, pts, time_base, rate = read_clip(clips / "nasa_13013.mp4", 320)
    manager = SceneManager()
    manager.auto_downscale = False
    manager.add_detector(AdaptiveDetector(min_scene_len=0.6))
    manager.add_detector(ThresholdDetector(min_scene_len=0.6, fade_bias=1.0))
    manager.detect_scenes(scenedetect.open_video(str(clips / "nasa_13013.mp4"), backend="pyav"))
    starts = [scene[0].seconds for scene in manager.get_scene_list()][1:]
    config = ShotConfig(detectors=(AdaptiveConfig(), ThresholdConfig(fade_bias=1.0)), min_gap_s=0.0)
    cuts = cuts_of(config, frames, [100, 200], pts=pts, time_base=time_base, rate=rate)
    assert cuts
    assert [float((pts[c] - pts[0]) * time_base) for c in cuts] == pytest.approx(starts, abs=1e-6)


@pytest.mark.parametrize(
    "clip", ["bikes.mp4", "goldeneye-vfr-drop3.mp4", "counter.mp4", "nasa_13013.mp4", "issue-236-split-copy.mkv"]
)
def test_default_finds_every_labelled_cut(clip, clips):
    config = ShotConfig()
    hard, every = compare(score_video(clips / clip, config).cuts(config), read_transitions(clips / "cuts.csv")[clip])
    assert (hard.misses, hard.false_alarms) == (0, 0)
    assert (every.misses, every.false_alarms) == (0, 0)

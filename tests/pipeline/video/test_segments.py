"""The segmenter: whatever the key frames, segments cover a video once, and the time grid picks the same frames."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.video import segments as module
from pipeline.video.geometry import Geometry
from pipeline.video.probe import MeasuredFacts, PacketIndex
from pipeline.video.segments import plan_segments
from pipeline.video.timebase import Clock

videos = st.builds(
    lambda first, steps, keys, tick: (first, steps, keys, Fraction(1, tick)),
    st.integers(-1000, 10**6),
    st.lists(st.integers(1, 5000), min_size=0, max_size=300),
    st.sets(st.integers(0, 300)),
    st.sampled_from([25, 1000, 12800, 90000]),
)


def measured_of(pts: np.ndarray, time_base: Fraction) -> MeasuredFacts:
    return MeasuredFacts(
        num_frames=len(pts),
        duration_s=float((int(pts[-1]) + 1 - int(pts[0])) * time_base),
        fps=25.0,
        is_vfr=True,
        is_timed=True,
        clock=Clock(start_pts=int(pts[0]), time_base=time_base),
        end_pts=int(pts[-1]) + 1,
        geometry=Geometry(stored_hw=(8, 8), pixel_aspect=Fraction(1), rotation_deg=0),
        pixel_format="yuv420p",
        bytes=1,
        sha256="",
    )


@settings(deadline=None)
@given(videos, st.floats(0.001, 100))
def test_segments_cover_every_frame_once(video: tuple, segment_s: float) -> None:
    first, steps, keys, time_base = video
    pts = np.cumsum([first, *steps])
    key_pts = np.unique(pts[[0, *(key for key in keys if key < len(pts))]])
    measured = measured_of(pts, time_base)
    original, module._decodable = module._decodable, lambda uri, cuts, limits: (cuts, len(cuts))
    try:
        segments, _ = plan_segments("x", measured, PacketIndex(pts=pts, key_pts=key_pts, last_duration=1), segment_s)
    finally:
        module._decodable = original
    owners = [[segment.index for segment in segments if segment.owns(int(p))] for p in pts]
    assert all(len(owner) == 1 for owner in owners)
    assert sum(segment.num_frames for segment in segments) == len(pts)
    for segment in segments:
        assert pts[segment.start_frame] == segment.start_pts
        assert segment.start_pts in key_pts
        assert segment.previous_pts == (int(pts[segment.start_frame - 1]) if segment.index else None)
    for segment in segments[:-1]:
        assert float((segment.end_pts - segment.start_pts) * time_base) >= segment_s * 0.999


@settings(deadline=None)
@given(videos, st.fractions(Fraction(1, 10), 60, max_denominator=100))
def test_the_grid_picks_the_first_frame_at_or_after_each_point(video: tuple, rate: Fraction) -> None:
    first, steps, _, time_base = video
    pts = [int(p) for p in np.cumsum([first, *steps])]
    clock = Clock(start_pts=pts[0], time_base=time_base)
    picked = [p for before, p in zip([None, *pts], pts, strict=False) if clock.starts_grid_step(p, before, rate)]
    times = [(p - pts[0]) * time_base for p in pts]
    last_point = int(times[-1] * rate)
    wanted = sorted({next(p for p, t in zip(pts, times, strict=True) if t >= k / rate) for k in range(last_point + 1)})
    assert picked == wanted

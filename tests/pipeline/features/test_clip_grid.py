"""Which frames make which clips: against the rule written out, on any timestamps and any cuts."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.clip_grid import Clip, ClipGrid
from pipeline.video.geometry import Geometry
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment
from pipeline.video.timebase import Clock

OFFSETS = [Fraction(j, 15) - Fraction(4, 15) for j in range(8)]


def facts(pts: list[int], end_pts: int, time_base: Fraction = Fraction(1, 1000)) -> MeasuredFacts:
    """Measured facts of a stream with frames at `pts`."""
    duration = float((end_pts - pts[0]) * time_base)
    return MeasuredFacts(
        num_frames=len(pts),
        duration_s=duration,
        fps=len(pts) / duration,
        is_vfr=True,
        is_timed=True,
        clock=Clock(start_pts=pts[0], time_base=time_base),
        end_pts=end_pts,
        geometry=Geometry(stored_hw=(4, 4), pixel_aspect=Fraction(1), rotation_deg=0),
        pixel_format="yuv420p",
        bytes=1,
        sha256="",
    )


def segments(pts: list[int], end_pts: int, cuts: list[int]) -> list[Segment]:
    """Segments that begin at the frames numbered `cuts`."""
    first_frames = [0, *cuts]
    ends = [*(pts[n] for n in cuts), end_pts]
    return [
        Segment(
            index=i,
            start_pts=pts[first],
            end_pts=ends[i],
            start_frame=first,
            num_frames=sum(pts[first] <= p < ends[i] for p in pts),
            previous_pts=pts[first - 1] if first else None,
        )
        for i, first in enumerate(first_frames)
    ]


def clips_of(measured: MeasuredFacts, segment: Segment, pts: list[int], hop: Fraction) -> list[Clip[int]]:
    """The clips a segment owns, fed as a stage feeds them, each picture being its own timestamp."""
    grid: ClipGrid[int] = ClipGrid(measured, segment, hop, OFFSETS)
    found: list[Clip[int]] = []
    frames = pts[segment.start_frame :]
    grid.skip_to(frames[0])
    for shown, until in zip(frames, [*frames[1:], None], strict=True):
        if until is not None and shown >= segment.end_pts and not grid.wants_more:
            return found
        found += grid.show(shown, until, lambda shown=shown: shown)
    return found


def by_the_rule(measured: MeasuredFacts, pts: list[int], hop: Fraction) -> list[list[int]]:
    """Timestamps of every clip: for each sample the last frame that begins by then, give or take the slack."""
    slack = Fraction(measured.end_pts - pts[0], 4 * len(pts))
    second = 1 / measured.clock.time_base
    clips, moment = [], Fraction(pts[0])
    while moment < measured.end_pts:
        targets = [moment + offset * second + slack for offset in OFFSETS]
        clips.append([max((p for p in pts if p <= target), default=pts[0]) for target in targets])
        moment += hop * second
    return clips


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    start=st.integers(-1000, 100_000),
    hop=st.sampled_from([Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(3, 7)]),
    data=st.data(),
)
def test_any_cut_gives_the_clips_of_the_rule(steps: list[int], start: int, hop: Fraction, data: st.DataObject) -> None:
    pts = [start]
    for step in steps[:-1]:
        pts.append(pts[-1] + step)
    end_pts = pts[-1] + steps[-1]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(pts) - 1)), max_size=4))) if len(pts) > 1 else []
    measured = facts(pts, end_pts)
    found = [clip for part in segments(pts, end_pts, cuts) for clip in clips_of(measured, part, pts, hop)]
    assert [clip.pts for clip in found] == by_the_rule(measured, pts, hop)
    assert [clip.index for clip in found] == list(range(len(found)))
    assert all(clip.pictures == clip.pts for clip in found)


@pytest.mark.parametrize("rounded", [False, True], ids=["exact", "milliseconds"])
def test_rounded_timestamps_choose_every_second_frame_of_30_fps(rounded: bool) -> None:
    time_base = Fraction(1, 1000) if rounded else Fraction(1, 30)
    pts = [round(n * 1000 / 30) if rounded else n for n in range(90)]
    measured = facts(pts, 3000 if rounded else 90, time_base)
    (whole,) = segments(pts, measured.end_pts, [])
    middle = clips_of(measured, whole, pts, Fraction(1))[1]
    assert [pts.index(p) for p in middle.pts] == [22, 24, 26, 28, 30, 32, 34, 36]


def test_a_picture_is_made_once_and_only_for_frames_that_a_clip_wants() -> None:
    pts = list(range(0, 3000, 10))
    measured = facts(pts, 3000)
    (whole,) = segments(pts, 3000, [])
    grid: ClipGrid[int] = ClipGrid(measured, whole, Fraction(1, 4), OFFSETS)
    made: list[int] = []
    for shown, until in zip(pts, [*pts[1:], None], strict=True):
        list(grid.show(shown, until, lambda shown=shown: made.append(shown) or shown))
    assert len(made) == len(set(made)) < len(pts) / 3


def test_a_stream_that_breaks_off_in_a_segment_leaves_the_clips_of_the_next_ones_alone() -> None:
    pts = list(range(0, 4000, 40))
    measured = facts(pts, 4000)
    first, second = segments(pts, 4000, [50])
    grid: ClipGrid[int] = ClipGrid(measured, first, Fraction(1), OFFSETS)
    broken = pts[:30]
    found = []
    for shown, until in zip(broken, [*broken[1:], None], strict=True):
        found += [clip.index for clip in grid.show(shown, until, lambda: 0)]
    assert found == [0, 1, 2]
    assert [clip.index for clip in clips_of(measured, second, pts, Fraction(1))] == [3]

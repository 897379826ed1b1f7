"""Stitching: wherever a video is cut, in whatever order its segments are done, and done again, the bank is the same."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import count
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.types import Detections
from pipeline.bank.compare import compare
from pipeline.bank.reader import FeatureBank
from pipeline.bank.staging import note_publishing
from pipeline.bank.verify import verify
from pipeline.bank.writer import BankWriter
from pipeline.config import ExtractConfig
from pipeline.extract import prepare_bank
from pipeline.features.box_rows import DETECTION_PART, IDS_PER_FRAME, LOOKED_AT, box_part, detection_rows, feature_rows
from pipeline.features.clips import ClipStage
from pipeline.features.shots import ShotStage
from pipeline.features.tracks import TrackStage
from pipeline.inputs import find_videos
from pipeline.jobs import SegmentJob, VideoJob
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from pipeline.settings import RunSettings
from pipeline.stages import Row, Stage
from pipeline.steps import extract_segment, finish_stage, probe_video, publish_video
from pipeline.video.frames import Frame
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

SPACE = "person.hsv_stripes"
SECONDS, FRAMES_PER_S = 5, 10
GROUPS = (3, 7, 10)
"""Frames from key frame to key frame of the videos to cut."""

runs = count()


class Walkers(Stage):
    """Two boxes in every frame that cross the picture; where they are follows from the frame."""

    name = "people"
    publishes = ()

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        return {"detections": DETECTION_PART, f"features/{SPACE}": box_part(2)}

    @property
    def spaces(self) -> Mapping[str, int]:
        return {SPACE: 2}

    def open(self, measured: MeasuredFacts, segment: Segment) -> "Walking":
        return Walking()


class Walking:
    def feed(self, frame: Frame) -> Iterable[tuple[str, Row]]:
        x = frame.index / (SECONDS * FRAMES_PER_S)
        boxes = np.array([[0.6 * x, 0.1, 0.6 * x + 0.2, 0.5], [0.6 - 0.6 * x, 0.5, 0.8 - 0.6 * x, 0.9]], np.float32)
        found = Detections(
            boxes=boxes, scores=np.array([0.9, 0.8], np.float32), classes=np.zeros(2, np.int32), class_names=("person",)
        )
        ids = range(frame.index * IDS_PER_FRAME, frame.index * IDS_PER_FRAME + 2)
        for row in detection_rows(found, ids, at_s=frame.at_s, frame=frame.index, pts=frame.pts):
            yield "detections", row
        yield from feature_rows(SPACE, np.eye(2, dtype=np.float16), ids, dict.fromkeys(LOOKED_AT, frame.at_s))

    def wants_more(self) -> bool:
        return False

    def finish(self) -> Iterable[tuple[str, Row]]:
        return ()


def prepared(bank: Path, segment_s: float) -> RunSettings:
    walkers = Walkers()
    stages = (ShotStage(), walkers, ClipStage(), TrackStage(boxes=[walkers]))
    config = ExtractConfig(preset="test", stages=stages, segment_s=segment_s)
    prepare_bank(str(bank), config)
    return RunSettings(run_id=f"stitching {next(runs)}", bank=str(bank), config=config)


def segments_of(video: Path, run: RunSettings) -> list[SegmentJob]:
    (source,) = find_videos([str(video)]).videos
    return list(probe_video(source, run).results)


def extract(jobs: Iterable[SegmentJob], run: RunSettings) -> None:
    """The steps of a run, one after another in this process."""
    for job in jobs:
        for video in extract_segment(job, run).results:
            for stage in run.config.stages:
                (video,) = finish_stage(video, stage.name, run).results
            publish_video(video, run)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By group of pictures: a folder with the video and its bank from an unsplit run."""
    folders = {}
    for gop in GROUPS:
        folders[gop] = tmp_path_factory.mktemp(f"gop{gop}")
        make_clip(folders[gop] / "v.mp4", seconds=SECONDS, fps=Fraction(FRAMES_PER_S), size_hw=(48, 64), shots=3,
                  coding=Coding(gop=gop, bframes=2))  # fmt: skip
        run = prepared(folders[gop] / "whole", 1e9)
        extract(segments_of(folders[gop] / "v.mp4", run), run)
    return folders


def test_the_unsplit_bank_has_shots_and_tracks_that_cuts_go_through(videos: dict[int, Path]) -> None:
    bank = FeatureBank.open(videos[7] / "whole")
    assert len(bank.table("shots")) == 3
    tracks = bank.table("tracks").to_pylist()
    assert len(tracks) == 6
    assert all(track["num_detections"] > 10 for track in tracks)


@settings(max_examples=15, deadline=None)
@given(
    gop=st.sampled_from(GROUPS),
    segment_s=st.floats(0.1, 2.0),
    order=st.randoms(use_true_random=False),
    again=st.integers(0, 3),
)
def test_cuts_order_and_repetition_change_nothing(
    videos: dict[int, Path],
    tmp_path_factory: pytest.TempPathFactory,
    gop: int,
    segment_s: float,
    order: Random,
    again: int,
) -> None:
    bank = tmp_path_factory.mktemp("split")
    run = prepared(bank, segment_s)
    jobs = segments_of(videos[gop] / "v.mp4", run)
    assert len(jobs) > 1
    order.shuffle(jobs)
    repeated = jobs[:-1][:again]
    extract([*jobs[:-1], *repeated, jobs[-1]], run)
    assert verify(bank).is_whole
    report = compare(videos[gop] / "whole", bank)
    assert report.is_same, report.differences
    assert report.rows > 200


@pytest.mark.parametrize("steps_before", [1, 3, 4])
def test_who_finds_a_video_finished_by_another_leaves_nothing_behind(
    videos: dict[int, Path], tmp_path: Path, steps_before: int
) -> None:
    """Two segments that end at the same moment both find the video complete, and both finish it."""
    run = prepared(tmp_path, 1.0)
    jobs = segments_of(videos[3] / "v.mp4", run)
    (second,) = [video for job in jobs for video in extract_segment(job, run).results]
    stages = [stage.name for stage in run.config.stages]
    for name in stages[:steps_before]:
        (second,) = finish_stage(second, name, run).results
    extract(jobs[-1:], run)
    assert not list((tmp_path / "_staging").iterdir())
    bank = BankWriter.open(tmp_path)
    note_publishing(bank.fs, bank.staging(second.source.video_id), second.files[-1].path)  # from parts it had open
    finish_rest(second, stages[steps_before:], run)
    assert not list((tmp_path / "_staging").iterdir())
    assert compare(tmp_path, videos[3] / "whole").is_same


def finish_rest(video: VideoJob, stages: list[str], run: RunSettings) -> None:
    """The steps that are left, as far as they go."""
    for name in stages:
        results = finish_stage(video, name, run).results
        if not results:
            return
        (video,) = results
    publish_video(video, run)

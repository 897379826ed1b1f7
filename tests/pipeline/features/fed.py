"""A stage at work on a video, outside a run."""

from pathlib import Path

from pipeline.stages import Row, Stage
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments


def rows_of(stage: Stage, video: Path, segment_s: float = 1e9) -> list[Row]:
    """What the stage emits for a video, segment after segment, fed as the pipeline feeds it."""
    facts, index = probe(str(video))
    rows: list[Row] = []
    for segment in plan_segments(str(video), facts.measured, index, segment_s)[0]:
        consumer = stage.open(facts.measured, segment)
        for frame in decode(facts, segment, DecodeStats()):
            if not (frame.pts < segment.end_pts or consumer.wants_more()):
                break
            rows += [row for _, row in consumer.feed(frame)]
        rows += [row for _, row in consumer.finish()]
    return rows

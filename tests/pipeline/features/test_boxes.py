"""Boxes at a steady rate: the frame on screen at each moment, what is kept of a box, and what people do."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.catalog import build_detector
from extractors.clips.preprocess import FULL, boxes_in_clip, to_clip
from extractors.detector_source import DetectorSource, detector_source
from extractors.errors import WeightsError
from extractors.networks import NetworkSource, network_source
from extractors.runtime import Runtime
from extractors.types import Detections
from pipeline.config import ExtractConfig
from pipeline.errors import ConfigError
from pipeline.extract import extract
from pipeline.features import boxes
from pipeline.features.boxes import BoxConfig, BoxStage
from pipeline.features.shots import ShotStage
from pipeline.features.tracks import TrackStage
from pipeline.inference import models
from pipeline.presets import NetworkOptions, build_config
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from pipeline.stages import Row
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments
from tests.integration.banks import contents


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("boxes") / "clip.mp4"
    make_clip(path, seconds=4, shots=1, figures=2, size_hw=(240, 320), fps=Fraction(30), coding=Coding(gop=15))
    return path


@pytest.fixture(scope="module")
def actions() -> NetworkSource:
    """A small SlowFast that classifies boxes, over small pictures."""
    source = network_source("ava_slowfast_4x16_r50", "untrained", width=8, num_classes=6, crop_px=64)
    return replace(source, input=replace(source.input, short_side_px=64, crop_px=64, resize="bytes"))


def stage_of(actions: NetworkSource | None = None, **config: float) -> BoxStage:
    return BoxStage("people", detector_source("hog"), Runtime(), BoxConfig(**config), actions=actions)


def rows_of(stage: BoxStage, video: Path, segment_s: float = 1e9) -> dict[str, list[Row]]:
    """What the stage emits for a video by part, fed as the pipeline feeds it."""
    facts, index = probe(str(video))
    rows: dict[str, list[Row]] = {}
    for segment in plan_segments(str(video), facts.measured, index, segment_s)[0]:
        consumer = stage.open(facts.measured, segment)
        for frame in decode(facts, segment, DecodeStats()):
            if not (frame.pts < segment.end_pts or consumer.wants_more()):
                break
            for part, row in consumer.feed(frame):
                rows.setdefault(part, []).append(row)
        for part, row in consumer.finish():
            rows.setdefault(part, []).append(row)
    return rows


def pictures_of(video: Path) -> dict[int, np.ndarray]:
    facts, index = probe(str(video))
    (whole,) = plan_segments(str(video), facts.measured, index, 1e9)[0]
    return {frame.pts: frame.picture(PictureSpec()).copy() for frame in decode(facts, whole, DecodeStats())}


def test_the_detector_looks_at_the_frame_of_every_moment(video: Path) -> None:
    rows, pictures = rows_of(stage_of(), video)["detections"], pictures_of(video)
    order, detector = list(pictures), build_detector("hog")
    assert {row["at_s"] for row in rows} == {0, 1, 2, 3}
    for at_s in range(4):
        mine = [row for row in rows if row["at_s"] == at_s]
        assert {row["frame"] for row in mine} == {30 * at_s}
        expected = detector.detect(pictures[order[30 * at_s]])
        assert [row["box"] for row in mine] == expected.boxes[np.argsort(-expected.scores, kind="stable")].tolist()
        assert [row["detection_id"] for row in mine] == [30000 * at_s + place for place in range(len(mine))]


@pytest.mark.parametrize("segment_s", [1e9, 0.5])
def test_a_frame_is_looked_at_once_however_long_it_is_on_screen(
    tmp_path: Path, actions: NetworkSource, segment_s: float
) -> None:
    """Slides of 2.5 s each; one that begins up to a quarter of that after a moment counts as on screen there."""
    slides = tmp_path / "slides.mp4"
    make_clip(slides, seconds=12, shots=1, figures=2, size_hw=(240, 320), fps=Fraction(2, 5))
    for rate_hz, seen in ((1, [0, 2, 5, 7, 10]), (4, [0, 2, 4.5, 7, 9.5])):
        rows = rows_of(stage_of(actions, rate_hz=rate_hz), slides, segment_s)
        ids = [row["detection_id"] for row in rows["detections"]]
        assert len(ids) == len(set(ids)) == len(rows["features/action.ava_slowfast_4x16_r50"])
        assert sorted({(row["frame"], row["at_s"]) for row in rows["detections"]}) == list(enumerate(seen))


def test_person_features_are_those_of_the_network_on_the_clip_around(video: Path, actions: NetworkSource) -> None:
    rows, pictures = rows_of(stage_of(actions), video), pictures_of(video)
    features, scores = rows["features/person.ava_slowfast_4x16_r50"], rows["features/action.ava_slowfast_4x16_r50"]
    assert len(features) == len(scores) == len(rows["detections"]) >= 4
    network = actions.build()
    for detection, feature, score in zip(rows["detections"], features, scores, strict=True):
        assert detection["detection_id"] == feature["detection_id"] == score["detection_id"]
        clip = to_clip([pictures[pts] for pts in feature["frame_pts"]], actions.input, crops=FULL)
        box = boxes_in_clip(np.array([detection["box"]], np.float32), 240, 320, actions.input)
        with torch.no_grad():
            output = network.run(clip, torch.cat([torch.zeros(1, 1), torch.from_numpy(box)], 1))
        for found, expected in ((feature, output.embedding), (score, output.probabilities)):
            truth = expected[0].numpy()
            np.testing.assert_allclose(found["feature"], truth, rtol=1e-3, atol=1e-3 * np.abs(truth).max())
        assert feature["frame_pts"][16] == detection["pts"], "the clip is centred on the picture with the boxes"


def test_splitting_changes_no_bit(video: Path, actions: NetworkSource) -> None:
    stage = stage_of(actions, rate_hz=2)
    whole, split = rows_of(stage, video), rows_of(stage, video, segment_s=0.5)
    assert whole.keys() == split.keys()
    for part in whole:
        for a, b in zip(whole[part], split[part], strict=True):
            assert np.array_equal(a.pop("feature", 0), b.pop("feature", 0))
            assert a == b


class _Scripted:
    """A detector that finds what it is told, frame after frame."""

    class_names = ("person", "dog", "ball")

    def __init__(self, counts: Iterator[int]) -> None:
        self._counts = counts

    def detect(self, frame_rgb: np.ndarray) -> Detections:
        count = next(self._counts)
        generator = np.random.default_rng(count)
        corners = generator.uniform(-0.2, 1.2, (count, 2, 2)).astype(np.float32)
        found = np.concatenate([corners.min(1), corners.max(1)], 1)
        return Detections(
            boxes=np.clip(found, 0, 1),
            scores=generator.random(count, np.float32),
            classes=(np.arange(count) % 3).astype(np.int32),
            class_names=self.class_names,
        )


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch):
    """Makes every stage use a scripted detector."""

    def use(*counts: int) -> None:
        remaining = iter(counts)
        monkeypatch.setattr(models, "_models", {})
        monkeypatch.setattr(DetectorSource, "build", lambda *_: _Scripted(remaining))

    return use


def test_a_moment_without_people_costs_no_pass(
    video: Path, actions: NetworkSource, scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(0, 3, 0, 0)
    passes: list[int] = []
    monkeypatch.setattr(boxes._Actions, "rows", lambda *_: passes.append(1) or iter(()))
    rows = rows_of(stage_of(actions), video)
    assert len(passes) == 1
    assert len(rows["detections"]) == 3


def test_300_people_and_boxes_on_the_border(video: Path, actions: NetworkSource, scripted) -> None:
    scripted(300, 1, 300, 2)
    rows = rows_of(stage_of(actions), video)
    assert len(rows["detections"]) == len(rows["features/person.ava_slowfast_4x16_r50"]) == 603
    assert all(np.isfinite(row["feature"]).all() for row in rows["features/person.ava_slowfast_4x16_r50"])
    ids = [row["detection_id"] for row in rows["detections"]]
    assert ids == sorted(set(ids))


def test_which_boxes_are_kept(video: Path, scripted) -> None:
    scripted(30, 30, 30, 30)
    rows = rows_of(stage_of(None, keep=("person", "dog"), drop=("dog",), min_score=0.5, first_place=200), video)
    kept = rows["detections"]
    assert {row["label"] for row in kept} == {"person"}
    assert min(row["score"] for row in kept) >= 0.5
    assert kept[0]["detection_id"] == 200
    assert [row["score"] for row in kept if row["frame"] == 0] == sorted(
        (row["score"] for row in kept if row["frame"] == 0), reverse=True
    )


def test_two_stages_of_boxes_become_one_table_and_never_one_track(video: Path, tmp_path: Path) -> None:
    people = BoxStage("people", detector_source("hog"), Runtime())
    others = BoxStage("others", detector_source("hog"), Runtime(), BoxConfig(first_place=500), kind="object")
    banks = {}
    for name, segment_s in (("whole", 1e9), ("split", 1.0)):
        stages = (ShotStage(), people, others, TrackStage(boxes=[people, others]))
        config = ExtractConfig(preset="test", stages=stages, segment_s=segment_s)
        assert extract([str(video)], str(tmp_path / name), config, workers=2, quiet=True).ok == 1
        banks[name] = contents(tmp_path / name)
    assert banks["whole"] == banks["split"]
    rows = banks["whole"]["detections"]
    ids = [row["detection_id"] for row in rows]
    assert ids == sorted(ids)
    assert sum(i % 1000 >= 500 for i in ids) == sum(i % 1000 < 500 for i in ids) == len(ids) / 2
    assert len(banks["whole"]["person.hsv_stripes"]) == len(banks["whole"]["object.hsv_stripes"]) == len(ids) / 2


def test_settings_and_cards_are_json(actions: NetworkSource) -> None:
    stage = stage_of(actions)
    assert json.loads(json.dumps(stage.settings()))["boxes"]["detector"] == "hog"
    card = json.loads(json.dumps(stage.feature_cards()["person.ava_slowfast_4x16_r50"]))
    assert card["crop"] == "none: the whole picture"
    assert "RoIAlign" in card["layer"]
    assert stage.weights == {"untrained": "untrained:seed=0"}


def test_presets_with_several_networks_name_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGFORM_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="longform weights fetch"):
        build_config("ava")
    with pytest.raises(ConfigError, match="Say which one: --weights people=x, "):
        build_config("lvu", networks=NetworkOptions(weights=("x",)))
    own = {"people": "a", "actions": "b"}
    assert NetworkOptions(weights=("untrained",)).weights_of(own) == {"people": "untrained", "actions": "untrained"}
    assert NetworkOptions(weights=("actions=c",)).weights_of(own) == {"people": "a", "actions": "c"}


@pytest.mark.parametrize("bad", [{"rate_hz": 0.0}, {"first_place": 600}, {"max_boxes": 0}])
def test_bad_settings(bad: dict) -> None:
    with pytest.raises(ConfigError):
        BoxConfig(**bad)

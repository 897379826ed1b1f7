"""Boxes, objects, actions and tracks of small networks, by the whole job, on videos that are easy to trip over."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from extractors.detector_source import detector_source
from extractors.networks import network_source
from extractors.runtime import Runtime
from pipeline.config import ExtractConfig
from pipeline.extract import extract
from pipeline.features.boxes import BoxConfig, BoxStage
from pipeline.features.shots import ShotStage
from pipeline.features.tracks import TrackStage
from pipeline.presets import NetworkOptions, build_config
from pipeline.sample.encode import encode
from pipeline.sample.samples import make_clip
from tests.integration.banks import contents

DETECTOR = {"width": 8, "fpn_channels": 16, "feature_dim": 24, "short_side_px": 64, "max_side_px": 96}
FEW = {"max_proposals": 40, "max_detections": 5, "score_threshold": 0.1}
ACTIONS, OBJECTS = "ava_slowfast_4x16_r50", "faster_rcnn_r50_fpn"
SPACES = (f"person.{ACTIONS}", f"action.{ACTIONS}", "person.hsv_stripes", f"object.{OBJECTS}", "object.hsv_stripes")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    noise = np.random.RandomState(0).randint(0, 256, (25, 16, 16, 3)).astype(np.uint8)
    make_clip(folder / "people.mp4", seconds=2, shots=2, figures=1, size_hw=(90, 160))
    encode(noise, folder / "16px.mp4")
    encode(noise[:1].repeat(6, 1).repeat(8, 2), folder / "one-frame.mp4")
    encode(np.full((30, 96, 128, 3), 128, np.uint8), folder / "nobody.mp4")
    return folder


def config_of(segment_s: float) -> ExtractConfig:
    """As preset `lvu` is, of small networks."""
    actions = network_source(ACTIONS, "untrained", width=8, num_classes=6, crop_px=64)
    actions = replace(actions, input=replace(actions.input, short_side_px=64, crop_px=64))
    person = detector_source(OBJECTS, "untrained", num_classes=1, **DETECTOR, **FEW)
    thing = detector_source(OBJECTS, "untrained", num_classes=3, **DETECTOR, **FEW)
    people = BoxStage("people", person, Runtime(), actions=actions)
    config = BoxConfig(first_place=500)
    objects = BoxStage("objects", thing, Runtime(), config, kind="object", feature_dim=DETECTOR["feature_dim"])
    return ExtractConfig(
        preset="test", stages=(ShotStage(), people, objects, TrackStage(boxes=[people, objects])), segment_s=segment_s
    )


def test_no_video_is_too_small_or_too_short(corpus: Path, tmp_path: Path) -> None:
    banks = {}
    for name, segment_s in (("whole", 1e9), ("split", 0.5)):
        report = extract([str(corpus)], str(tmp_path / name), config_of(segment_s), workers=2, quiet=True)
        assert (report.ok, report.failures) == (4, [])
        banks[name] = contents(tmp_path / name)
    whole = banks["whole"]
    assert whole == banks["split"]
    seen = {row["video_id"] for row in whole["detections"]}
    assert {"16px.mp4", "one-frame.mp4"} <= seen, "untrained networks see things everywhere"
    assert all(0 <= side <= 1 for row in whole["detections"] for side in row["box"])
    assert {row["num_detections"] for row in whole["tracks"] if row["video_id"] == "one-frame.mp4"} == {1}
    for space in SPACES:
        of_objects = space.startswith("object")
        expected = [key(row) for row in whole["detections"] if (row["detection_id"] % 1000 >= 500) == of_objects]
        assert sorted(map(key, whole[space])) == sorted(expected)


def key(row: dict) -> tuple[str, int, int]:
    return row["video_id"], row["detection_id"], row["track_id"]


def test_nobody_is_an_answer(corpus: Path, tmp_path: Path) -> None:
    report = extract([str(corpus)], str(tmp_path / "bank"), build_config("builtin"), workers=2, quiet=True)
    assert (report.ok, report.failures) == (4, [])
    assert {row["video_id"] for row in contents(tmp_path / "bank")["detections"]} <= {"people.mp4"}


@pytest.mark.parametrize(
    ("preset", "spaces"),
    [
        ("ava", {"person.hsv_stripes": 72, "person": 2304, "action": 80}),
        (
            "lvu",
            {
                "person.hsv_stripes": 72, "person": 2304, "action": 80, "object.hsv_stripes": 72,
                "object.faster_rcnn_r101_fpn": 1024,
            },
        ),
    ],
)  # fmt: skip
def test_what_the_presets_of_the_papers_write(preset: str, spaces: dict[str, int]) -> None:
    model = "ava_slowfast_16x8_r101_nl"
    config = build_config(preset, networks=NetworkOptions(weights=("untrained",)))
    named = {f"{name}.{model}" if name in ("person", "action") else name: dim for name, dim in spaces.items()}
    assert config.stage("tracks").spaces == named
    assert config.stage("tracks").needs[0] == "shots"

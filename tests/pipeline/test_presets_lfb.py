"""Presets for the banks of Long-Term Feature Banks: which frames and boxes a feature sees, at any rate of the video."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.backbones.catalog import build_backbone
from extractors.clips.input import ClipInput
from extractors.clips.preprocess import to_clip
from extractors.detectors.faster_rcnn import FasterRCNN, FasterRCNNConfig
from extractors.weights.cards import CARDS
from extractors.weights.load import save_weights
from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.errors import ConfigError
from pipeline.extract import extract
from pipeline.features.boxes import BoxStage, boxes_in_centre_crop
from pipeline.features.networks import NetworkClipStage
from pipeline.presets import LFB_NETWORKS, NetworkOptions, build_config
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from pipeline.stages import Row
from pipeline.video.probe import probe
from tests.pipeline.features.test_boxes import pictures_of, rows_of

SMALL = {"width": 4, "num_classes": 5}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small networks as this program saves them: their files say how they were built."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    for name, model in (("clips", "lfb_i3d_nl_r50"), ("actions", "ava_lfb_i3d_nl_r50")):
        save_weights(build_backbone(model, **SMALL), folder / f"{name}.safetensors", name=model, options=SMALL)
    options = {"body": "r50", "width": 8, "fpn_channels": 16, "feature_dim": 24, "num_classes": 3,
               "short_side_px": 64, "score_threshold": 0.0, "max_proposals": 50}  # fmt: skip
    detector = FasterRCNN(FasterRCNNConfig(**options))
    save_weights(detector, folder / "objects.safetensors", name="faster_rcnn_r50_fpn", options=options)
    return folder


def run(video: Path, bank: Path, preset: str, *networks: str, settings: tuple[str, ...] = ()) -> FeatureBank:
    config = build_config(preset, settings=settings, networks=NetworkOptions(weights=networks))
    report = extract([str(video)], str(bank), config, workers=1, quiet=True)
    assert report.failed == 0, report.failures
    assert verify(bank).is_whole
    return FeatureBank.open(bank)


def clips_of(preset: str, weights: Path, video: Path, segment_s: float = 1e9) -> list[Row]:
    """Rows of a video, whose pictures are made small for speed."""
    stage = build_config(preset, networks=NetworkOptions(weights=(str(weights / "clips.safetensors"),))).stage("clips")
    assert isinstance(stage, NetworkClipStage)
    stage.network = replace(stage.network, input=replace(stage.network.input, short_side_px=64, crop_px=64))
    return rows_of(stage, video, segment_s)["features/clip.lfb_i3d_nl_r50"]


@pytest.mark.parametrize(
    ("preset", "moments", "step_s"),
    [
        ("lfb-epic-verb", [1.0, 2.0], 2 / 30),
        ("lfb-charades", [11 / 24, 23 / 24, 35 / 24, 47 / 24, 59 / 24, 71 / 24], 4 / 24),
    ],
)
@pytest.mark.parametrize("fps", [24, 30, 60])
def test_clips_are_those_of_the_data_set_at_any_rate(
    preset: str, moments: list[float], step_s: float, fps: int, weights: Path, tmp_path: Path
) -> None:
    """Frame 16 of 32 is the one at the moment, the others are 2/30 s or 4/24 s apart, clamped to the video."""
    path = tmp_path / "v.mp4"
    make_clip(path, seconds=3, shots=1, figures=1, size_hw=(64, 64), fps=Fraction(fps), coding=Coding(gop=12))
    rows, tick = clips_of(preset, weights, path), probe(str(path))[0].measured.clock.time_base
    assert [row["at_s"] for row in rows] == pytest.approx(moments, abs=1e-12)
    for row in rows:
        wanted = np.clip(row["at_s"] + (np.arange(32) - 16) * step_s, 0, 3 - 1 / fps)
        on_screen = np.floor(wanted * fps + 0.25 + 1e-6)
        shown = np.array([float(pts * tick * fps) for pts in row["frame_pts"]])
        np.testing.assert_allclose(shown, on_screen, atol=1e-3)


def test_splitting_changes_no_bit(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    make_clip(path, seconds=3, shots=1, figures=1, size_hw=(64, 64), fps=Fraction(30), coding=Coding(gop=12))
    whole, split = (clips_of("lfb-charades", weights, path, segment_s) for segment_s in (1e9, 0.4))
    assert [row["at_s"] for row in whole] == [row["at_s"] for row in split]
    for ours, theirs in zip(whole, split, strict=True):
        np.testing.assert_array_equal(ours["feature"], theirs["feature"])


def test_people_of_ava_go_into_a_bank(weights: Path, tmp_path: Path) -> None:
    make_clip(tmp_path / "v.mp4", seconds=2, shots=1, figures=2, size_hw=(240, 320), fps=Fraction(25))
    networks = ("people=hog", f"actions={weights / 'actions.safetensors'}")
    bank = run(tmp_path / "v.mp4", tmp_path / "bank", "lfb-ava", *networks, settings=("people.min_score=0.5",))
    window = bank.window("person.ava_lfb_i3d_nl_r50", "v.mp4", 1.0, before_s=30, after_s=30)
    assert set(window.times_s) == {0.0, 1.0}
    assert window.scores is not None
    assert (window.scores >= 0.5).all()


def test_people_of_ava_are_pooled_from_the_centre_crop(weights: Path, tmp_path: Path) -> None:
    """Against the same network over a clip that is cropped first."""
    path = tmp_path / "v.mp4"
    make_clip(path, seconds=2, shots=1, figures=2, size_hw=(240, 320), fps=Fraction(30), coding=Coding(gop=15))
    networks = NetworkOptions(weights=("people=hog", f"actions={weights / 'actions.safetensors'}"))
    stage = build_config("lfb-ava", settings=["people.min_score=0.5"], networks=networks).stage("people")
    assert isinstance(stage, BoxStage)
    assert stage.actions is not None
    spec = replace(stage.actions.input, short_side_px=64, crop_px=64)
    stage.actions = replace(stage.actions, input=spec)
    rows, pictures = rows_of(stage, path), pictures_of(path)
    network = stage.actions.build()
    found = rows["features/person.ava_lfb_i3d_nl_r50"]
    assert found
    for detection, feature in zip(rows["detections"], found, strict=True):
        clip = to_clip(np.stack([pictures[pts] for pts in feature["frame_pts"]]), spec)
        assert clip.shape[2:] == (32, 64, 64)
        box = boxes_in_centre_crop(np.array([detection["box"]], np.float32), 240, 320, spec)
        with torch.no_grad():
            truth = network.embed(clip, torch.cat([torch.zeros(1, 1), torch.from_numpy(box)], 1))[0].numpy()
        np.testing.assert_allclose(feature["feature"], truth, rtol=1e-3, atol=1e-3 * np.abs(truth).max())


def test_boxes_in_the_centre_crop() -> None:
    """A picture of 480 x 640 is scaled to 256 x 341; the crop begins at 42, rounded down."""
    spec = ClipInput(num_frames=32, stride=2, crop="nonlocal")
    boxes = np.array([[0.5, 0.5, 0.6, 0.75], [0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 0.05, 0.2]], np.float32)
    found = boxes_in_centre_crop(boxes, 480, 640, spec)
    scale = 256 / 480
    np.testing.assert_allclose(found[0], [320 * scale - 42, 240 * scale, 384 * scale - 42, 360 * scale], rtol=1e-6)
    np.testing.assert_allclose(found[1], [0, 0, 255, 255])
    assert found[2][0] == found[2][2] == 0, "a box beside the crop is a line at its border"


def test_objects_of_epic_are_the_ten_surest(weights: Path, tmp_path: Path) -> None:
    make_clip(tmp_path / "v.mp4", seconds=2, shots=1, figures=1, size_hw=(96, 128), fps=Fraction(30))
    bank = run(tmp_path / "v.mp4", tmp_path / "bank", "lfb-epic-noun", str(weights / "objects.safetensors"))
    space = "object.faster_rcnn_r50_fpn"
    assert bank.spaces[space].dim == 24
    at_s = bank.features(space)["at_s"].to_pylist()
    assert [at_s.count(second) for second in (0.0, 1.0)] == [10, 10]


def test_the_presets_have_the_published_networks_and_thresholds() -> None:
    for preset, name in LFB_NETWORKS.items():
        assert name in CARDS, preset
    config = build_config("lfb-ava", networks=NetworkOptions(weights=("untrained",)))
    people = config.stage("people")
    assert isinstance(people, BoxStage)
    assert (people.config.min_score, people.config.rate_hz, people.config.view) == (0.9, 1.0, "centre")
    assert people.spaces["person.ava_lfb_i3d_nl_r50"] == 2048
    assert people.feature_cards()["person.ava_lfb_i3d_nl_r50"]["crop"].startswith("centre, 256 x 256")
    assert people.actions is not None
    assert (people.actions.input.num_frames, people.actions.input.stride, people.actions.input.fps) == (32, 2, 30)
    objects = build_config("lfb-epic-noun", networks=NetworkOptions(weights=("untrained",))).stage("objects")
    assert isinstance(objects, BoxStage)
    assert (objects.spaces["object.faster_rcnn_x101_fpn"], objects.config.max_boxes) == (2048, 10)


def test_the_detector_of_epic_must_be_named() -> None:
    with pytest.raises(ConfigError, match="'lfb-epic-noun' needs --weights FILE"):
        build_config("lfb-epic-noun")

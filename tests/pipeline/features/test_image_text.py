"""Frame features that texts are compared with: the right frames, and a card that finds the model again."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from extractors.runtime import Runtime
from pipeline.errors import ConfigError
from pipeline.features.image_text import ImageTextConfig, ImageTextStage
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments

pytest.importorskip("transformers")

from extractors.image_text import ImageTextSource, image_text_source
from tests.extractors.tiny_image_text import save_clip, save_xclip
from tests.pipeline.features.fed import rows_of


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "clip.mp4"
    make_clip(path, seconds=3.4, shots=2, figures=1, size_hw=(90, 160), fps=Fraction(10), coding=Coding(gop=5))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ImageTextSource:
    return image_text_source(f"hf:{save_clip(tmp_path_factory.mktemp('models') / 'CLIP-ViT-tiny')}")


@pytest.fixture(scope="module")
def xclip(tmp_path_factory: pytest.TempPathFactory) -> ImageTextSource:
    return image_text_source(f"hf:{save_xclip(tmp_path_factory.mktemp('models') / 'xclip-tiny')}")


def frames_of(video: Path) -> dict[int, np.ndarray]:
    """Every picture of a video by its timestamp."""
    facts, index = probe(str(video))
    (whole,) = plan_segments(str(video), facts.measured, index, 1e9)[0]
    return {frame.pts: frame.picture(PictureSpec()).copy() for frame in decode(facts, whole, DecodeStats())}


def test_a_frame_each_second_and_its_own_feature(video: Path, clip: ImageTextSource) -> None:
    stage, pictures = ImageTextStage(clip, Runtime()), frames_of(video)
    assert stage.spaces == {"frame.clip_vit_tiny": 16}
    rows, model = rows_of(stage, video), clip.build(Runtime())
    assert [(row["at_s"], row["start_s"], round(row["end_s"], 6)) for row in rows] == [
        (0, 0, 1), (1, 1, 2), (2, 2, 3), (3, 3, 3.4),
    ]  # fmt: skip
    assert [list(pictures).index(pts) for row in rows for pts in row["frame_pts"]] == [0, 10, 20, 30]
    for row in rows:
        expected = model.embed([model.prepare(pictures[row["frame_pts"][0]])])
        np.testing.assert_allclose(row["feature"], expected, atol=1e-5 * np.abs(expected).max())


def test_a_model_of_clips_gets_frames_around_the_moment(video: Path, xclip: ImageTextSource) -> None:
    stage = ImageTextStage(xclip, Runtime(), ImageTextConfig(frame_step_s=0.3))
    assert stage.spaces == {"clip.xclip_tiny": 16}
    rows, places = rows_of(stage, video), list(frames_of(video))
    assert [places.index(pts) for pts in rows[1]["frame_pts"]] == [4, 7, 10, 13]
    assert (rows[1]["start_s"], rows[1]["end_s"]) == (pytest.approx(0.4), pytest.approx(1.6))
    assert [places.index(pts) for pts in rows[0]["frame_pts"]] == [0, 0, 0, 3]
    assert rows[3]["end_s"] == pytest.approx(3.4)


@pytest.mark.parametrize("kind", ["clip", "xclip"])
def test_splitting_changes_no_bit(video: Path, kind: str, request: pytest.FixtureRequest) -> None:
    stage = ImageTextStage(request.getfixturevalue(kind), Runtime(), ImageTextConfig(hop_s=0.5))
    whole, split = rows_of(stage, video), rows_of(stage, video, segment_s=0.5)
    assert len(whole) == len(split) == 7
    for a, b in zip(whole, split, strict=True):
        assert np.array_equal(a.pop("feature"), b.pop("feature"))
        assert a == b


def test_the_card_names_the_model_and_where_it_lies(clip: ImageTextSource) -> None:
    card = json.loads(json.dumps(ImageTextStage(clip, Runtime()).feature_cards()["frame.clip_vit_tiny"]))
    assert card["text_model"] == {"name": clip.name, "sha256": clip.sha256, "family": "clip"}
    assert Path(clip.name.removeprefix("hf:")).is_absolute()


def test_another_place_is_the_same_work_and_another_model_is_not(clip: ImageTextSource, tmp_path: Path) -> None:
    moved = image_text_source(f"hf:{shutil.copytree(clip.folder, tmp_path / 'CLIP-ViT-tiny')}")
    settings = ImageTextStage(clip, Runtime()).settings()
    assert ImageTextStage(moved, Runtime()).settings() == settings
    assert ImageTextStage(replace(clip, sha256="0" * 64), Runtime()).settings() != settings
    assert ImageTextStage(clip, Runtime(precision="bf16")).settings() != settings
    assert ImageTextStage(clip, Runtime(), ImageTextConfig(hop_s=2.0)).settings() != settings


@pytest.mark.parametrize("bad", [{"hop_s": 0.0}, {"frame_step_s": -1.0}, {"hop_s": float("nan")}])
def test_bad_settings(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ImageTextConfig(**bad)

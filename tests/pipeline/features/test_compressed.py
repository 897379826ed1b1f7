"""A row for each group of pictures, from as few decoded frames as possible."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from extractors.backbones.catalog import build_backbone
from extractors.compressed.network_input import motion_input, residual_code, residual_input
from extractors.compressed.views import centre, squeezed
from extractors.coviar_source import options_of_file, stream_source
from extractors.errors import WeightsError
from extractors.runtime import Runtime
from pipeline.errors import ConfigError, DecodeError
from pipeline.features.compressed import SPACE, CompressedConfig, CompressedStage
from pipeline.presets import NetworkOptions, build_config
from pipeline.stages import Row
from pipeline.video.compressed import CompressedReader
from pipeline.video.frames import DecodeStats
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments
from tests.extractors.coviar_files import write_coviar_checkpoint
from tests.longform.coviar.films import moving_square, write_film

STREAMS = ("iframe", "motion", "residual")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Small networks in files of pytorch-coviar's form."""
    folder, files = tmp_path_factory.mktemp("weights"), {}
    for stream in STREAMS:
        torch.manual_seed(len(stream))
        network = build_backbone("coviar", stream=stream, depth=18, width=4, num_classes=6)
        write_coviar_checkpoint(network, folder / f"{stream}.pth.tar", arch="resnet18")
        files[stream] = str(folder / f"{stream}.pth.tar")
    return files


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """41 frames at 25 frames/s in groups of 12, 12, 12 and 5."""
    return write_film(tmp_path_factory.mktemp("film") / "a.mp4", moving_square((3, 1), frames=41))


def stage_of(weights: dict[str, str], **config: object) -> CompressedStage:
    sources = {stream: stream_source(stream, weights[stream]) for stream in STREAMS}
    return CompressedStage(sources, Runtime(), CompressedConfig(**config))  # type: ignore[arg-type]


def rows_of(stage: CompressedStage, path: Path, segment_s: float = 1e9) -> tuple[list[Row], DecodeStats]:
    facts, index = probe(str(path))
    segments, _ = plan_segments(str(path), facts.measured, index, segment_s)
    stats = DecodeStats()
    found = [item for segment in segments for item in stage.read(str(path), facts.measured, segment, stats)]
    assert {part for part, _ in found} == {f"features/{SPACE}"}
    return [row for _, row in found], stats


def test_a_row_has_the_time_of_its_group_and_the_embeddings_of_the_streams(weights: dict[str, str], film: Path) -> None:
    rows, _ = rows_of(stage_of(weights), film)
    assert [row["start_s"] for row in rows] == pytest.approx([0.0, 0.48, 0.96, 1.44])
    assert [row["end_s"] for row in rows] == pytest.approx([0.48, 0.96, 1.44, 1.64])
    assert [row["at_s"] for row in rows] == pytest.approx([0.24, 0.72, 1.2, 1.54])
    networks = {stream: stream_source(stream, weights[stream]).build() for stream in STREAMS}
    with CompressedReader(str(film)) as reader, torch.inference_mode():
        for number, position in ((0, 6), (2, 6), (3, 4)):
            frame = reader.read(number, position)
            assert frame.iframe is not None
            assert frame.residual is not None
            code = np.clip(np.trunc(frame.motion * 127.5 / 20) + 128, 0, 255).astype(np.uint8)
            picture = (centre(squeezed(frame.iframe, 224), 224) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
            inputs = {
                "iframe": picture.transpose(2, 0, 1).astype(np.float32),
                "motion": motion_input(centre(squeezed(code, 224), 224)),
                "residual": residual_input(centre(squeezed(residual_code(frame.residual), 224), 224)),
            }
            expected = [networks[s].embed(torch.from_numpy(inputs[s])[None, :, None])[0] for s in STREAMS]
            np.testing.assert_allclose(rows[number]["feature"], torch.cat(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_the_tail_of_a_group_is_not_decoded(weights: dict[str, str], tmp_path: Path, codec: str) -> None:
    path = write_film(tmp_path / "a.mp4", moving_square((3, 1), frames=48), codec=codec)
    counts = {}
    for positions in ((2,), (6,), (2, 6), (11,)):
        rows, stats = rows_of(stage_of(weights, positions=positions), path)
        assert len(rows) == 4
        counts[positions] = stats.frames_decoded
    assert counts == {(2,): 4 * 3, (6,): 4 * 7, (2, 6): 4 * 7, (11,): 4 * 12}


def test_long_groups_are_cut_in_one_pass(weights: dict[str, str], tmp_path: Path) -> None:
    path = write_film(tmp_path / "one_key.mp4", moving_square((3, 1), frames=41), gop=1000)
    (whole,), stats = rows_of(stage_of(weights), path)
    assert (whole["start_s"], whole["end_s"], stats.frames_decoded) == (0.0, pytest.approx(1.64), 7)
    rows, stats = rows_of(stage_of(weights, max_gop=12), path)
    assert [row["start_s"] for row in rows] == pytest.approx([0.0, 0.48, 0.96, 1.44])
    assert rows[-1]["end_s"] == pytest.approx(1.64)
    assert stats.frames_decoded == 41
    np.testing.assert_array_equal(rows[0]["feature"], whole["feature"])
    with CompressedReader(str(path), max_gop=12) as reader:
        frames = [reader.read(gop, position) for gop, position in ((0, 6), (1, 6), (2, 6), (3, 4))]
    assert [row["frame_pts"][1] for row in rows] == [frame.pts for frame in frames]
    alone = stage_of(weights)
    for row, frame in zip(rows, frames, strict=True):
        expected = np.concatenate([alone._embedding(stream, [frame]) for stream in STREAMS])
        np.testing.assert_array_equal(row["feature"], expected)
    assert "cut after 12 frames" in stage_of(weights, max_gop=12).feature_cards()[SPACE]["rows"]


def test_behind_damage_rows_go_on_at_the_next_key_frame(weights: dict[str, str], tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", moving_square((3, 1), frames=48), gop=24, codec="libx264")
    whole, _ = rows_of(stage_of(weights, max_gop=8), path)
    assert len(whole) == 6
    with av.open(str(path)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size][10]
    data = bytearray(path.read_bytes())
    data[place : place + 4] = b"\x7f\xff\xff\xff"  # the length of the unit
    path.write_bytes(data)
    rows, stats = rows_of(stage_of(weights, max_gop=8), path)
    assert [row["frame_pts"] for row in rows] == [whole[part]["frame_pts"] for part in (0, 3, 4, 5)]
    assert [hole.frames for hole in stats.holes] == [8, 8]
    assert stats.frames_decoded < 60


def test_several_p_frames_are_averaged(weights: dict[str, str], film: Path) -> None:
    features = {}
    for positions in ((2,), (9,), (2, 9)):
        rows, _ = rows_of(stage_of(weights, positions=positions), film)
        features[positions] = rows[0]["feature"]
    np.testing.assert_allclose(features[2, 9], (features[2,] + features[9,]) / 2, rtol=1e-3, atol=1e-4)
    assert not np.allclose(features[2,], features[9,], rtol=1e-3)


def test_a_split_video_has_the_same_rows(weights: dict[str, str], film: Path) -> None:
    whole, _ = rows_of(stage_of(weights), film)
    split, _ = rows_of(stage_of(weights), film, segment_s=0.4)
    assert [row["frame_pts"] for row in split] == [row["frame_pts"] for row in whole]
    assert all(np.array_equal(one["feature"], other["feature"]) for one, other in zip(split, whole, strict=True))


def test_a_video_of_i_frames_is_refused(weights: dict[str, str], tmp_path: Path) -> None:
    path = write_film(tmp_path / "still.mp4", moving_square((1, 0), frames=5), gop=1)
    with pytest.raises(DecodeError, match=r"still.mp4.*I-frames only"):
        rows_of(stage_of(weights), path)


def test_the_card_says_which_columns_are_whose(weights: dict[str, str]) -> None:
    stage = stage_of(weights)
    assert stage.spaces == {SPACE: 3 * 32}
    card = stage.feature_cards()[SPACE]
    assert card["columns"] == {"iframe": [0, 32], "motion": [32, 64], "residual": [64, 96]}
    assert card["networks"]["motion"]["sha256"] == stage.networks["motion"].sha256
    assert stage_of(weights, precision="sub-pixel").settings() != stage.settings()


def test_networks_are_built_as_their_files_are(weights: dict[str, str], tmp_path: Path) -> None:
    assert options_of_file(weights["motion"]) == {"stream": "motion", "depth": 18, "width": 4, "num_classes": 6}
    with pytest.raises(WeightsError, match="of stream 'motion', not of 'residual'"):
        stream_source("residual", weights["motion"])
    torch.save({"a.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other.pth holds no network of CoViAR"):
        stream_source("motion", str(tmp_path / "other.pth"))


def test_the_preset_wants_weights_of_every_stream(weights: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="--weights motion=FILE --weights residual=FILE"):
        build_config("compressed", networks=NetworkOptions(weights=(f"iframe={weights['iframe']}",)))
    named = tuple(f"{stream}={path}" for stream, path in weights.items())
    config = build_config("compressed", settings=("compressed.positions=3,6",), networks=NetworkOptions(weights=named))
    (stage,) = config.stages
    assert stage.config.positions == (3, 6)
    config = build_config("compressed", settings=("compressed.max_gop=48",), networks=NetworkOptions(weights=named))
    assert config.stages[0].config.max_gop == 48
    with pytest.raises(ConfigError, match="max_gop: got 1, expected at least 2"):
        build_config("compressed", settings=("compressed.max_gop=1",), networks=NetworkOptions(weights=named))
    with pytest.raises(ConfigError, match="positions"):
        build_config("compressed", settings=("compressed.positions=0",), networks=NetworkOptions(weights=named))

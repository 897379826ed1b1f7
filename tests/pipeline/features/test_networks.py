"""Clip features of a network: the right frames through the right arithmetic, however the video is cut."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.clips import frames
from extractors.clips.flow import flow_input
from extractors.clips.preprocess import to_clip
from extractors.errors import ConfigError as ExtractorConfigError
from extractors.errors import WeightsError
from extractors.networks import NetworkSource, network_source
from extractors.runtime import Runtime
from extractors.weights.cards import CARDS
from pipeline.errors import ConfigError
from pipeline.features.networks import NetworkClipConfig, NetworkClipStage
from pipeline.inference import models
from pipeline.inference.models import loaded
from pipeline.presets import PRESETS, NetworkOptions, build_config
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from pipeline.tallies import taken
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments
from tests.pipeline.features.fed import rows_of


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "clip.mp4"
    make_clip(path, seconds=5, shots=2, figures=1, size_hw=(90, 160), fps=Fraction(30), coding=Coding(gop=15))
    return path


@pytest.fixture(scope="module")
def network() -> NetworkSource:
    """A small SlowFast over small pictures."""
    source = network_source("slowfast_4x16_r50", "untrained", width=8, num_classes=5, crop_px=64)
    return replace(source, input=replace(source.input, short_side_px=72, crop_px=64))


def test_features_are_the_networks_own_on_the_frames_that_the_rows_name(video: Path, network: NetworkSource) -> None:
    stage = NetworkClipStage(network, Runtime())
    rows = rows_of(stage, video)
    assert [row["at_s"] for row in rows] == [0, 1, 2, 3, 4]
    facts, index = probe(str(video))
    (whole,) = plan_segments(str(video), facts.measured, index, 1e9)[0]
    pictures = {f.pts: f.picture(PictureSpec()).copy() for f in decode(facts, whole, DecodeStats())}
    plain = network.build()
    for row in rows:
        clip = to_clip([pictures[pts] for pts in row["frame_pts"]], network.input)
        with torch.no_grad():
            expected = plain.embed(clip)[0].numpy()
        np.testing.assert_allclose(row["feature"], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    middle = rows[2]
    places = [list(pictures).index(pts) for pts in middle["frame_pts"]]
    assert places == list(range(60 - 32, 60 + 32, 2)), "AVA's rule: every second frame, the 17th at the moment"
    assert (middle["start_s"], middle["end_s"]) == (pytest.approx(2 - 32 / 30), pytest.approx(2 + 32 / 30))
    first, last = rows[0], rows[-1]
    assert first["frame_pts"][:17] == [facts.measured.clock.start_pts] * 17, "before the start it is the first frame"
    assert last["frame_pts"][-1] == max(pictures)
    assert (first["start_s"], last["end_s"]) == (0, facts.measured.duration_s)


def test_splitting_changes_no_bit(video: Path, network: NetworkSource) -> None:
    stage = NetworkClipStage(network, Runtime(), NetworkClipConfig(hop_s=0.5))
    whole, split = rows_of(stage, video), rows_of(stage, video, segment_s=0.5)
    assert len(whole) == len(split) == 10
    for a, b in zip(whole, split, strict=True):
        assert np.array_equal(a.pop("feature"), b.pop("feature"))
        assert a == b


def test_batches_change_rounding_only(video: Path, network: NetworkSource) -> None:
    singles = rows_of(NetworkClipStage(network, Runtime()), video)
    batched = rows_of(NetworkClipStage(network, Runtime(), NetworkClipConfig(batch=3)), video)
    for a, b in zip(singles, batched, strict=True):
        np.testing.assert_allclose(a["feature"], b["feature"], rtol=1e-4, atol=1e-5)


def test_a_batch_that_does_not_fit_is_halved_and_counted(
    video: Path, network: NetworkSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is a stand-in with room for two clips, and torch's own error; CUDA itself is not tested here."""
    singles = rows_of(NetworkClipStage(network, Runtime()), video)
    model = loaded(network, Runtime())
    embed = model.embed

    def crowded(clips: torch.Tensor) -> torch.Tensor:
        if len(clips) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return embed(clips)

    monkeypatch.setattr(model, "embed", crowded)
    monkeypatch.setattr(models, "_models", {})
    taken()
    halved = rows_of(NetworkClipStage(network, Runtime(), NetworkClipConfig(batch=4)), video)
    assert taken() == {"batches_halved": 1}
    assert [row["at_s"] for row in halved] == [row["at_s"] for row in singles]
    for a, b in zip(singles, halved, strict=True):
        np.testing.assert_allclose(a["feature"], b["feature"], rtol=1e-4, atol=1e-5)


def test_a_frame_is_prepared_once_for_all_clips(
    video: Path, network: NetworkSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr(frames, "to_clip", lambda *args, **options: made.append(1) or to_clip(*args, **options))
    rows = rows_of(NetworkClipStage(network, Runtime(), NetworkClipConfig(hop_s=0.5)), video)
    assert len(made) == len({pts for row in rows for pts in row["frame_pts"]}) < 32 * len(rows) / 2


def test_a_flow_network_sees_the_flow_between_its_frames(video: Path) -> None:
    source = network_source("i3d", "untrained", width=8, num_classes=5, input_channels=2, crop_px=64)
    spec = replace(source.input, num_frames=16, short_side_px=72, crop_px=64)
    source = replace(source, input=replace(spec, channels="flow", mean=(0.0,) * 2, std=(1.0,) * 2))
    stage = NetworkClipStage(source, Runtime(), NetworkClipConfig(hop_s=2.0))
    assert (stage.space, stage.spaces) == ("clip.i3d_flow", {"clip.i3d_flow": 128})
    middle = rows_of(stage, video)[1]
    facts, index = probe(str(video))
    (whole,) = plan_segments(str(video), facts.measured, index, 1e9)[0]
    pictures = {f.pts: f.picture(PictureSpec()).copy() for f in decode(facts, whole, DecodeStats())}
    plain = replace(spec, channels="rgb", mean=(0.0,) * 3, std=(1 / 255,) * 3)
    seen = to_clip([pictures[pts] for pts in middle["frame_pts"]], plain)[0].round().byte().permute(1, 2, 3, 0).numpy()
    with torch.no_grad():
        expected = source.build().embed(torch.from_numpy(flow_input(np.ascontiguousarray(seen)))[None])[0].numpy()
    np.testing.assert_allclose(middle["feature"], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_bf16_is_close_and_another_fingerprint(video: Path, network: NetworkSource) -> None:
    exact, coarse = NetworkClipStage(network, Runtime()), NetworkClipStage(network, Runtime(precision="bf16"))
    assert exact.settings() != coarse.settings()
    for a, b in zip(rows_of(exact, video), rows_of(coarse, video), strict=True):
        assert a["feature"] @ b["feature"] > 0.999 * np.linalg.norm(a["feature"]) * np.linalg.norm(b["feature"])


def test_the_feature_card_is_json_and_names_every_step(network: NetworkSource) -> None:
    stage = NetworkClipStage(network, Runtime())
    card = json.loads(json.dumps(stage.feature_cards()["clip.slowfast_4x16_r50"]))
    assert card["weights"] == {"name": "untrained", "sha256": "untrained:seed=0"}
    assert {"frames", "colour", "resize", "crop", "normalisation", "layer", "dtype", "versions"} <= set(card)
    assert json.loads(json.dumps(stage.settings()))["network"]["model"] == "slowfast_4x16_r50"


def test_untrained_weights_are_the_same_in_every_process(network: NetworkSource) -> None:
    first, second = network.build().state_dict(), network.build().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_without_weights_it_refuses_and_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGFORM_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="longform weights fetch slowfast_8x8_r50_k400"):
        build_config("slowfast_8x8_r50")
    config = build_config("slowfast_8x8_r50", networks=NetworkOptions(weights=("untrained",)))
    assert config.stage("clips").weights == {"untrained": "untrained:seed=0"}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in sorted(PRESETS.keys() - {"builtin", "hoghof", "ava", "lvu", "text", "compressed"})
        if not name.startswith("lfb-")
    ],
)
def test_every_preset_names_its_networks_own_checkpoint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGFORM_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as refused:
        build_config(name)
    (card,) = [card for card in CARDS.values() if f"`longform weights fetch {card.name}`" in str(refused.value)]
    assert card.model == name


def test_every_network_over_clips_is_a_preset_that_must_be_told_its_weights() -> None:
    with pytest.raises(ConfigError, match=r"slowfast_16x8_r101_k400_ptv.* a weight file, or 'untrained'"):
        build_config("slowfast_16x8_r101")
    config = build_config("top_heavy_s3d_3", networks=NetworkOptions(weights=("untrained",)))
    assert config.stage("clips").spaces == {"clip.top_heavy_s3d_3": 1024}
    with pytest.raises(ConfigError, match="Unknown preset 'coviar'"):
        build_config("coviar")


def test_weights_of_another_network_are_refused_by_name() -> None:
    with pytest.raises(WeightsError, match=r"for 'slow_8x8_r50', not for 'slowfast_8x8_r50'"):
        network_source("slowfast_8x8_r50", "slow_8x8_r50_k400")


def test_options_for_networks_are_refused_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match="takes no --weights"):
        build_config("hoghof", networks=NetworkOptions(weights=("untrained",)))
    with pytest.raises(ConfigError, match="takes no --device"):
        build_config("hoghof", networks=NetworkOptions(device="cuda"))


def test_a_device_that_is_not_there_is_an_error_that_says_what_is() -> None:
    if torch.cuda.device_count() < 9:
        with pytest.raises(ExtractorConfigError, match="CUDA devices"):
            Runtime(device="cuda:8")
    with pytest.raises(ExtractorConfigError, match="Choose cpu, cuda"):
        Runtime(device="gpu")


@pytest.mark.parametrize("bad", [{"hop_s": 0.0}, {"batch": 0}, {"scaler": "nearest"}])
def test_bad_settings(bad: dict) -> None:
    with pytest.raises(ConfigError):
        NetworkClipConfig(**bad)


def test_features_of_a_deep_untrained_network_fit_the_bank() -> None:
    network = network_source("slowfast_16x8_r101_nl", "untrained", width=16).build()
    with torch.inference_mode():
        slow, fast = network.forward_features(torch.randn(1, 3, 64, 64, 64, generator=torch.Generator().manual_seed(0)))
    for maps in (slow, fast):
        assert maps.abs().max() < np.finfo(np.float16).max / 100
        assert maps.std() > 0.01

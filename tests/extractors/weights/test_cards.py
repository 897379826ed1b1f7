"""The cards are complete, and every network that one names can be built with its options."""

import re

import pytest
import torch

from extractors.backbones.catalog import build_backbone
from extractors.catalog import DETECTORS
from extractors.clips.preprocess import CROPS, RESIZES
from extractors.clips.views import SAMPLINGS
from extractors.detectors.faster_rcnn import FasterRCNNConfig
from extractors.errors import WeightsError
from extractors.weights.card import WeightCard
from extractors.weights.cards import CARDS, FAMILIES, card

DETECTOR_CARDS = [known for known in CARDS.values() if "rcnn" in known.model]
CLIP_CARDS = [known for known in CARDS.values() if "rcnn" not in known.model]


def test_names_are_not_used_twice() -> None:
    assert len(CARDS) == sum(len(cards) for cards in FAMILIES.values())


@pytest.mark.parametrize("known", CARDS.values(), ids=lambda known: known.name)
def test_a_card_says_where_the_file_is_and_what_it_may_be_used_for(known: WeightCard) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", known.name)
    assert known.packaged or known.url.startswith("https://")
    assert known.licence
    assert known.source
    assert known.protocol or not known.accuracy
    assert known.packaged or known.url.endswith(known.file_name) or "drive.google.com" in known.url
    assert all(0 < value < 100 for value in known.accuracy.values())
    assert known.sha256 if known.packaged else known.url
    algorithm, _, prefix = known.digest_prefix.partition(":")
    assert (algorithm, len(prefix)) in (("", 0), ("md5", 6), ("sha256", 8))


def test_no_two_cards_are_the_same_file() -> None:
    addresses = [known.url for known in CARDS.values()]
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize("known", CLIP_CARDS, ids=lambda known: known.name)
def test_the_network_of_a_clip_card_can_be_built_and_takes_its_input(known: WeightCard) -> None:
    with torch.device("meta"):
        network = build_backbone(known.model, **known.options)
    assert network.num_classes == known.num_classes
    if known.input is None:
        return
    assert network.input_channels == len(known.input.mean) == len(known.input.std)
    assert (known.input.sampling in SAMPLINGS, known.input.resize in RESIZES, known.input.crop in CROPS) == (True,) * 3
    if known.model not in ("i3d", "s3d"):  # fully convolutional in time: tested at other lengths than trained at
        assert network.num_frames == known.input.num_frames


@pytest.mark.parametrize("known", DETECTOR_CARDS, ids=lambda known: known.name)
def test_a_detector_takes_the_options_of_its_card(known: WeightCard) -> None:
    assert known.model in DETECTORS
    assert FasterRCNNConfig(**known.options).num_classes == known.num_classes


@pytest.mark.parametrize(
    ("name", "lateral_shape"),
    [("slowfast_8x8_r50_k400", (16, 8, 7, 1, 1)), ("slowfast_4x16_r50_k400", (16, 8, 5, 1, 1)),
     ("slowfast_8x8_r101_nl_ava", (16, 8, 5, 1, 1)), ("slowfast_16x8_r50_ssv2", (16, 8, 7, 1, 1))],
)  # fmt: skip
def test_lateral_kernels_are_those_of_the_files(name: str, lateral_shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = build_backbone(CARDS[name].model, **CARDS[name].options)
    assert tuple(network.state_dict()["fuse1.conv.weight"].shape) == lateral_shape


def test_an_unknown_name_is_answered_with_close_ones() -> None:
    with pytest.raises(WeightsError, match="slowfast_8x8_r50_k400"):
        card("slowfast_8x8_r50_k40")
    with pytest.raises(WeightsError, match="longform weights list"):
        card("zzz")


@pytest.mark.parametrize("training", ["multigrid", "stepwise"])
def test_networks_of_multigrid_training_average_whole_maps(training: str) -> None:
    """PySlowFast's configurations with short cycles have no window, so their answer at 256 px is another one."""
    for known in CARDS.values():
        if known.name.endswith(f"_{training}"):
            with torch.device("meta"):
                network = build_backbone(known.model, **known.options)
            assert (network.head.windows is None) == (training == "multigrid"), known.name


def test_the_head_of_torchvisions_s3d_has_windows_and_that_of_kylemins_none() -> None:
    with torch.device("meta"):
        sides = {
            name: build_backbone("s3d", **CARDS[name].options).head.window_side
            for name in ("s3d_k400_tv", "s3d_k400_kylemin")
        }
    assert sides == {"s3d_k400_tv": 7, "s3d_k400_kylemin": None}


@pytest.mark.parametrize("known", CLIP_CARDS, ids=lambda known: known.name)
def test_classes_that_can_be_true_together_have_a_sigmoid_each(known: WeightCard) -> None:
    with torch.device("meta"):
        network = build_backbone(known.model, **known.options)
    assert (network.activation == "sigmoid") == (known.classes in ("charades-157", "ava-80"))

"""Detectors beside the published figure: what is counted, part by part."""

from __future__ import annotations

import pytest

from extractors.detectors.faster_rcnn import FasterRCNNConfig
from longform.complexity import Counts, Line, compare

BOX_HEAD_OF_COCO = 256 * 7 * 7 * 1024 + 1024 * 1024 + 1024 * (81 + 4 * 80)


@pytest.fixture(scope="module")
def line() -> Line:
    (only,) = compare(["faster_rcnn_r101_fpn"])
    return only


def test_parameters_of_table_8_3_are_those_of_the_coco_network(line: Line) -> None:
    assert line.params is not None
    assert round(line.params / 1e6, 1) == 60.6
    assert line.published_params == 60.6e6


def test_multiply_adds_are_marked_and_not_said_to_be_explained(line: Line) -> None:
    assert line.is_off
    assert line.published_macs == 88.6e9
    assert "not explained" in line.note


def test_the_box_head_looks_at_every_proposal() -> None:
    """What remains when the proposals change is body, pyramid and proposals, which grow with the picture."""
    counts = Counts()

    def macs(side: int, proposals: int) -> int:
        options = {"body": "r50", "max_proposals": proposals}
        return counts.of("faster_rcnn_r50_fpn", options, (1, side, side)).macs

    assert macs(128, 300) - macs(128, 100) == 200 * BOX_HEAD_OF_COCO
    maps_only = macs(128, 1) - BOX_HEAD_OF_COCO
    assert macs(256, 1) - BOX_HEAD_OF_COCO == pytest.approx(4 * maps_only, rel=1e-3)


def test_defaults_are_what_the_rows_count() -> None:
    config = FasterRCNNConfig()
    assert (config.max_proposals, config.num_classes) == (1000, 80)
    assert (config.short_side_px, config.max_side_px) == (800, 1333)
    assert {tuple(line.input or ()) for line in compare([f"faster_rcnn_{b}_fpn" for b in ("r50", "r101", "x101")])} == {
        (1, 800, 1344)
    }

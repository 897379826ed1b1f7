"""extractors/ops/nms.py against the loop over boxes that defines it, and through a stand-in for torchvision."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from extractors import ConfigError, MissingDependency, ShapeError
from extractors.ops import nms as module
from extractors.ops.nms import grouped_nms, nms


def by_loop(boxes: torch.Tensor, scores: torch.Tensor, iou: float) -> list[int]:
    """One box after the other, in float32 as torchvision's kernel, compared in double precision."""
    order = np.argsort(-scores.numpy(), kind="stable")
    array, kept = boxes.numpy(), []
    areas = (array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1])
    for i in order:
        wh = np.minimum(array[kept, 2:], array[i, 2:]) - np.maximum(array[kept, :2], array[i, :2])
        shared = np.prod(np.maximum(wh, np.float32(0)), axis=1, dtype=np.float32)
        with np.errstate(invalid="ignore"):
            overlap = shared / (areas[kept] + areas[i] - shared)
        if not (overlap.astype(np.float64) > iou).any():
            kept.append(int(i))
    return kept


def crowd(count: int, seed: int, spread: float = 100.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * spread
    boxes = torch.cat([corner, corner + 5 + 30 * torch.rand(count, 2, generator=generator)], 1)
    return boxes, torch.rand(count, generator=generator).mul(50).round() / 50  # many equal scores


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("count", [0, 1, 2, 400])
def test_equals_the_loop(count, iou):
    boxes, scores = crowd(count, seed=count)
    assert nms(boxes, scores, iou, backend="torch").tolist() == by_loop(boxes, scores, iou)


def test_equals_the_loop_across_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 64)
    boxes, scores = crowd(500, seed=3, spread=60)
    assert nms(boxes, scores, 0.3, backend="torch").tolist() == by_loop(boxes, scores, 0.3)


def test_a_long_chain_in_which_each_box_hangs_on_the_one_before():
    left = torch.arange(300.0) * 3
    boxes = torch.stack([left, torch.zeros(300), left + 10, torch.full((300,), 10.0)], 1)
    scores = torch.linspace(1, 0, 300)
    assert nms(boxes, scores, 0.5, backend="torch").tolist() == list(range(0, 300, 2))


def test_equal_scores_keep_their_order_and_an_overlap_of_just_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 2, 1], [1, 0, 3, 1], [0, 0, 2, 1], [0, 0, 1, 1]])
    scores = torch.full((4,), 0.5)
    assert nms(boxes, scores, 1 / 3, backend="torch").tolist() == by_loop(boxes, scores, 1 / 3)
    assert nms(boxes, scores, 0.5, backend="torch").tolist() == [0, 1, 3]
    assert nms(boxes, scores, 0.49, backend="torch").tolist() == [0, 1]


def test_threshold_is_not_rounded_up_to_float32():
    """0.3 is a larger number in float32 than in float64: an overlap of just that float32 is above 0.3."""
    boxes = torch.tensor([[0.0, 0, 10, 1], [7, 0, 10, 1]])
    overlap = torch.tensor(3.0) / torch.tensor(10.0)
    assert float(overlap) > 0.3
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.3, backend="torch").tolist() == [0]


def test_boxes_without_area_suppress_nothing():
    boxes = torch.zeros(3, 4)
    assert nms(boxes, torch.tensor([0.1, 0.3, 0.2]), 0.5, backend="torch").tolist() == [1, 2, 0]


def test_groups_do_not_touch_each_other():
    boxes, scores = crowd(300, seed=7, spread=40)
    groups = torch.arange(300) % 7 * 1000 - 3000
    expected = [i for g in groups.unique() for i in own(boxes, scores, groups, int(g))]
    expected.sort(key=lambda i: (-float(scores[i]), i))
    assert grouped_nms(boxes, scores, groups, 0.4, backend="torch").tolist() == expected
    assert grouped_nms(boxes[:0], scores[:0], groups[:0], 0.4, backend="torch").tolist() == []


def own(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, group: int) -> list[int]:
    member = torch.nonzero(groups == group)[:, 0]
    return member[by_loop(boxes[member], scores[member], 0.4)].tolist()


def test_torchvision_is_used_where_it_is_installed(monkeypatch):
    """A stand-in with torchvision's signature: a CPU build that installs beside this torch does not exist."""
    calls = []

    def stand_in(boxes, scores, iou_threshold):
        calls.append(len(boxes))
        return torch.tensor(by_loop(boxes, scores, iou_threshold), dtype=torch.long)

    ops = types.ModuleType("torchvision.ops")
    ops.nms = stand_in
    monkeypatch.setattr("extractors.ops.torchvision_ops.HAS_TORCHVISION", True)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.ops", ops)
    boxes, scores = crowd(200, seed=1)
    assert nms(boxes, scores, 0.5).tolist() == nms(boxes, scores, 0.5, backend="torch").tolist()
    assert calls == [200]


def test_real_torchvision_gives_the_same_boxes():
    ops = pytest.importorskip("torchvision.ops", reason="no torchvision that installs beside a CPU build of torch")
    boxes, scores = crowd(2000, seed=5)
    assert nms(boxes, scores, 0.5, backend="torch").tolist() == ops.nms(boxes, scores, 0.5).tolist()


def test_errors_say_what_is_wrong(monkeypatch):
    boxes, scores = crowd(3, seed=0)
    with pytest.raises(ConfigError, match="'cuda' is not known; expected one of: auto, torch, torchvision"):
        nms(boxes, scores, 0.5, backend="cuda")
    with pytest.raises(ShapeError, match=r"\(3, 4\) and scores \(2,\)"):
        nms(boxes, scores[:2], 0.5)
    monkeypatch.setattr("extractors.ops.torchvision_ops.HAS_TORCHVISION", False)
    with pytest.raises(MissingDependency, match="use backend 'torch'"):
        nms(boxes, scores, 0.5, backend="torchvision")

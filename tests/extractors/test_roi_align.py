"""RoIAlign: a grid worked by hand, a slow reference, and torchvision where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from extractors.errors import ConfigError, MissingDependency, ShapeError
from extractors.ops.roi_align import roi_align

BOXES = torch.tensor(
    [
        [0, 3.0, 5.0, 90.0, 60.0],
        [1, 0.0, 0.0, 127.0, 95.0],
        [1, -40.0, -30.0, 50.0, 40.0],  # over the border
        [0, 100.0, 70.0, 180.0, 160.0],
        [0, 20.0, 20.0, 22.0, 21.0],  # smaller than a cell
        [1, 400.0, 400.0, 420.0, 430.0],  # outside
        [0, 0.0, 0.0, 0.0, 0.0],
    ]
)


def reference(maps: Tensor, boxes: Tensor, bins: int, scale: float, ratio: int, aligned: bool) -> Tensor:
    """One sample after the other, as the definition reads."""

    def sample(plane: np.ndarray, y: float, x: float) -> np.ndarray:
        height, width = plane.shape[1:]
        if not (-1 <= y <= height and -1 <= x <= width):
            return np.zeros(len(plane))
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        dy, dx = y - top, x - left
        upper = plane[:, top, left] * (1 - dx) + plane[:, top, right] * dx
        lower = plane[:, bottom, left] * (1 - dx) + plane[:, bottom, right] * dx
        return upper * (1 - dy) + lower * dy

    pooled = np.zeros((len(boxes), maps.shape[1], bins, bins))
    for r, (index, *corners) in enumerate(boxes.tolist()):
        x1, y1, x2, y2 = (corner * scale - (0.5 if aligned else 0.0) for corner in corners)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
        rows, columns = (ratio or math.ceil(side / bins) for side in (height, width))
        plane = maps[int(index)].numpy().astype(np.float64)
        for p in range(bins):
            for q in range(bins):
                samples = [
                    sample(
                        plane,
                        y1 + (p + (i + 0.5) / rows) * height / bins,
                        x1 + (q + (j + 0.5) / columns) * width / bins,
                    )
                    for i in range(rows)
                    for j in range(columns)
                ]
                pooled[r, :, p, q] = np.mean(samples, 0) if samples else 0.0
    return torch.from_numpy(pooled).float()


@pytest.fixture(scope="module")
def maps() -> Tensor:
    return torch.randn(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("scale", [1 / 4, 1 / 16])
def test_equals_the_definition(maps: Tensor, aligned: bool, ratio: int, scale: float) -> None:
    ours = roi_align(maps, BOXES, 7, spatial_scale=scale, sampling_ratio=ratio, aligned=aligned, backend="torch")
    torch.testing.assert_close(ours, reference(maps, BOXES, 7, scale, ratio, aligned), rtol=1e-4, atol=1e-5)


def test_grid_worked_by_hand() -> None:
    """On the plane F(y, x) = 5 y + x, bilinear samples are F at the sample, and bins hold F at their centre."""
    plane = torch.arange(25.0).view(1, 1, 5, 5)
    box = torch.tensor([[0, 1.0, 1.0, 3.0, 3.0]])
    legacy = roi_align(plane, box, 2, spatial_scale=1.0, backend="torch")
    assert legacy[0, 0].tolist() == [[9.0, 10.0], [14.0, 15.0]]  # centres 1.5 and 2.5
    aligned = roi_align(plane, box, 2, spatial_scale=1.0, aligned=True, backend="torch")
    assert aligned[0, 0].tolist() == [[6.0, 7.0], [11.0, 12.0]]  # centres 1 and 2


def test_equals_torchvision(maps: Tensor) -> None:
    pytest.importorskip("torchvision", exc_type=ImportError)
    for aligned in (False, True):
        ours, theirs = (
            roi_align(maps, BOXES, 7, spatial_scale=1 / 4, aligned=aligned, backend=backend)
            for backend in ("torch", "torchvision")
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_torchvision_is_asked_for_and_absent(maps: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extractors.ops.torchvision_ops.HAS_TORCHVISION", False)
    with pytest.raises(MissingDependency, match="use backend 'torch'"):
        roi_align(maps, BOXES, 7, spatial_scale=1.0, backend="torchvision")
    assert roi_align(maps, BOXES, 7, spatial_scale=1.0, backend="auto").shape == (7, 3, 7, 7)


def test_no_boxes(maps: Tensor) -> None:
    assert roi_align(maps, torch.zeros(0, 5), 7, spatial_scale=1 / 16, backend="torch").shape == (0, 3, 7, 7)


def test_half_precision_maps_keep_exact_boxes(maps: Tensor) -> None:
    low = maps.bfloat16()
    pooled = roi_align(low, BOXES, 7, spatial_scale=1 / 4, backend="torch")
    exact = roi_align(low.float(), BOXES, 7, spatial_scale=1 / 4, backend="torch")
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled.float(), exact, rtol=0.02, atol=0.02)


def test_bad_arguments_are_named(maps: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"\(7, 4\)"):
        roi_align(maps, BOXES[:, 1:], 7, spatial_scale=1.0)
    with pytest.raises(ShapeError, match="expected 0 to 1"):
        roi_align(maps, torch.tensor([[2.0, 0, 0, 1, 1]]), 7, spatial_scale=1.0)
    for side in (float("nan"), float("inf")):
        with pytest.raises(ShapeError, match="not finite"):
            roi_align(maps, torch.tensor([[0, 0, 0, side, 1]]), 7, spatial_scale=1.0)
    with pytest.raises(ConfigError, match="'cuda'"):
        roi_align(maps, BOXES, 7, spatial_scale=1.0, backend="cuda")

"""Which boxes a view shows, and the scores of several views against a literal version of the original's rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from extractors.clips.views import combine
from extractors.errors import ShapeError
from longform.lfb.samples_views import (
    AVA_ALL_VIEWS,
    AVA_VIEWS,
    CHARADES_VIEWS,
    View,
    combined_ava_scores,
    largest_scores,
)


def literal(logits: np.ndarray, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Box by box, with crops as shares of the scaled width; views in the order flip, scale, crop."""
    total = np.zeros(logits.shape[1:])
    place = 0
    for flip in (False, True):
        for scale in (224, 256, 320):
            share = min(scale, 256) / (width * scale / height)
            for n, (x1, _, x2, _) in enumerate(boxes):
                if flip:
                    x1, x2 = 1 - x2, 1 - x1
                used = []
                if x1 < share:
                    used.append(place)
                if x2 > 0.5 - share / 2 and x1 < 0.5 + share / 2:
                    used.append(place + 1)
                if x2 > 1 - share:
                    used.append(place + 2)
                total[n] += np.mean([1 / (1 + np.exp(-logits[view, n])) for view in used], axis=0)
            place += 3
    return total


@pytest.mark.parametrize(("height", "width"), [(360, 640), (272, 640), (480, 640), (256, 256)])
def test_scores_of_all_views(height: int, width: int) -> None:
    rng = np.random.default_rng(5)
    corners = np.sort(rng.random((40, 2, 2)), axis=1)
    boxes = corners.reshape(40, 4)
    boxes[:20, 2] = boxes[:20, 0] + 0.02
    logits = rng.normal(size=(18, 40, 80))
    found = combined_ava_scores(logits, AVA_ALL_VIEWS, boxes, (height, width))
    assert np.allclose(found, literal(logits, boxes, height, width), atol=1e-12)


def test_views_of_the_data_sets() -> None:
    assert len(AVA_ALL_VIEWS) == len(set(AVA_ALL_VIEWS)) == 18
    assert (View(short_side_px=256, position=1, flip=False),) == AVA_VIEWS
    assert [view.position for view in CHARADES_VIEWS] == [0, 1, 2]
    assert {view.placement((360, 640)).crop_px for view in AVA_ALL_VIEWS} == {224, 256}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("hw", [(240, 520), (520, 240)])
def test_a_view_shows_a_box_where_its_placement_has_pixels_of_it(hw: tuple[int, int], flip: bool) -> None:
    rng = np.random.default_rng(1)
    starts = rng.random((50, 2)) * 0.9
    boxes = np.concatenate([starts, starts + 0.08], axis=1)
    for position in range(3):
        view = View(short_side_px=240, position=position, flip=flip)
        px = view.placement(hw).boxes_px(boxes)
        along = 0 if hw[1] > hw[0] else 1
        has_area = px[:, along + 2] > px[:, along]
        near_edge = np.minimum(abs(px[:, along]), abs(px[:, along + 2] - 239)) < 1.5
        assert (view.shows(boxes, hw) == has_area)[~near_edge | has_area].all()


def test_a_box_that_no_crop_shows_takes_all_of_them() -> None:
    """A picture of 4 : 1 at 256 px: crops end at 0.25, span 0.375 to 0.625, and begin at 0.75."""
    views = tuple(View(position=position) for position in range(3))
    logits = np.array([0.0, 1.0, 2.0])[:, None, None]
    found = combined_ava_scores(logits, views, [[0.28, 0, 0.35, 1]], (100, 400))
    assert found[0, 0] == pytest.approx(np.mean(1 / (1 + np.exp(-np.arange(3.0)))))
    seen = combined_ava_scores(logits, views, [[0.28, 0, 0.4, 1]], (100, 400))
    assert seen[0, 0] == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_logits_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"logits are \(2, 1, 80\); expected \(1, 1, C\)"):
        combined_ava_scores(np.zeros((2, 1, 80)), AVA_VIEWS, [[0, 0, 1, 1]], (100, 200))


def test_largest_scores_of_a_video() -> None:
    logits = np.random.default_rng(0).normal(size=(30, 4, 157)).astype(np.float32)
    found = largest_scores(logits)
    assert found.shape == (4, 157)
    assert np.allclose(found, combine(torch.from_numpy(logits).transpose(0, 1), "max"))

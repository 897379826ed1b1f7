"""Scores of a video over its views, and sums of streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.backbones.coviar import CoviarConfig, CoviarNetwork
from extractors.compressed.network_input import motion_code, motion_input
from extractors.compressed.views import resized
from extractors.runtime import Runtime
from longform.coviar.evaluation import Views, accuracies, fused, published_accuracy, video_scores
from longform.coviar.hyperparameters import FUSION
from longform.coviar.videos import VectorReading, open_videos
from longform.training.errors import TrainingError
from pipeline.video.compressed import CompressedReader
from tests.longform.coviar.films import moving_square, write_film


def test_a_video_is_the_mean_of_all_its_views(tmp_path: Path) -> None:
    """25 middles of 30 frames, corners and middle of a square of 64 px, mirrored, in loops."""
    path = str(write_film(tmp_path / "a.mp4", moving_square((3, -2), frames=30)))
    source, _ = open_videos([path], VectorReading(), needs_motion=True)
    network = CoviarNetwork(CoviarConfig(stream="motion", width=4, num_classes=3)).eval()
    scores = []
    with CompressedReader(path) as reader, torch.inference_mode():
        for segment in range(25):
            frame = round(28 / 25 * (segment + 0.5)) + 1
            gop, position = divmod(frame, 12) if frame % 12 else (frame // 12 - 1, 11)
            square = resized(motion_code(reader.read(gop, position).motion), 64)
            for top, left in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4)):
                crop = square[top : top + 56, left : left + 56].astype(int)
                mirrored = crop[:, ::-1].copy()
                mirrored[..., 0] = 256 - mirrored[..., 0]
                scores += [network(torch.from_numpy(motion_input(view))[None, :, None])[0] for view in (crop, mirrored)]
    assert len(scores) == 250
    runtime = Runtime()
    found = video_scores(runtime.prepare(network), source, 0, Views(size=56, batch=32), runtime)
    np.testing.assert_allclose(found, torch.stack(scores).mean(0), rtol=1e-3, atol=1e-4)


def test_streams_are_added_as_2_1_1() -> None:
    iframe, motion, residual = np.eye(3, dtype=np.float32)[:, None]
    scores = {"iframe": iframe, "motion": 3 * motion, "residual": residual}
    assert fused(scores, FUSION).tolist() == [[2.0, 3.0, 1.0]]
    assert accuracies(scores, [1], FUSION) == {
        "I": 0.0, "M": 100.0, "R": 0.0, "I+M": 100.0, "I+R": 0.0, "M+R": 100.0, "I+M+R": 100.0,
    }  # fmt: skip
    assert accuracies({"iframe": iframe, "motion": motion}, [1], FUSION) == {"I": 0.0, "M": 100.0, "I+M": 0.0}


def test_figures_of_the_thesis_stand_beside() -> None:
    assert published_accuracy("ucf101", 1, "I+M+R", accumulated=True) == 90.8
    assert published_accuracy("ucf101", 1, "I+M+R", accumulated=False) == 90.4
    assert published_accuracy("hmdb51", 3, "M", accumulated=True) == 39.7
    assert published_accuracy("hmdb51", 3, "M", accumulated=False) is None
    assert published_accuracy("ucf101", 1, "M+R", accumulated=True) is None
    assert published_accuracy("auto", 1, "M", accumulated=True) is None


def test_views_that_cannot_be_are_refused() -> None:
    with pytest.raises(TrainingError, match="--crops 3: expected 1 or 10"):
        Views(crops=3)

"""UCF101-24: 24 of the actions of UCF101 with boxes, as corrected by Singh et al. (gurkirt/corrected-UCF101-Annots).

`longform.datasets.tubes.read_act_tubes` reads `UCF101v2-GT.pkl`, the form the ACT detector and MOC use.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy.io import loadmat

from longform.datasets.tubes import Tube, TubeSet, tube_of
from longform.metrics.tables import AnnotationError, PathLike, malformed, text_lines

CLASS_NAMES = (
    "Basketball", "BasketballDunk", "Biking", "CliffDiving", "CricketBowling", "Diving", "Fencing", "FloorGymnastics",
    "GolfSwing", "HorseRiding", "IceDancing", "LongJump", "PoleVault", "RopeClimbing", "SalsaSpin", "SkateBoarding",
    "Skiing", "Skijet", "SoccerJuggling", "Surfing", "TennisSwing", "TrampolineJumping", "VolleyballSpiking",
    "WalkingWithDog",
)  # fmt: skip

RESOLUTION_HW = (240, 320)
"""Of every video."""


def read_corrected_tubes(annotations_mat: PathLike, test_list_txt: PathLike) -> TubeSet:
    """The corrected annotations, with the one split that everybody uses: videos of the list test, all others train.

    Args:
        annotations_mat: `finalAnnots.mat`; boxes there are x, y, width, height in pixels, frames count from 1.
        test_list_txt: `testlist01.txt`, one `<action>/<video>` a line.
    Raises:
        AnnotationError: a file cannot be read, is another, or the list names a video without annotations.
    """
    records = _records(annotations_mat)
    videos = {str(record["name"]): int(record["num_imgs"]) for record in records}
    test = _test_videos(test_list_txt, videos)
    return TubeSet(
        class_names=CLASS_NAMES,
        tubes=tuple(_tube(annotations_mat, record, tube) for record in records for tube in _listed(record["tubes"])),
        num_frames=videos,
        resolution_hw=dict.fromkeys(videos, RESOLUTION_HW),
        train_videos=(tuple(video for video in videos if video not in test),),
        test_videos=(tuple(test),),
    )


def _records(path: PathLike) -> list[dict[str, Any]]:
    try:
        records = _listed(loadmat(os.fspath(path), appendmat=False, simplify_cells=True)["annot"])
    except OSError as error:
        raise AnnotationError(f"{os.fspath(path)!r} cannot be read: {error.strerror or error}.") from error
    except (KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise AnnotationError(
            f"{os.fspath(path)!r} is not as 'finalAnnots.mat' is, a MATLAB file with 'annot': {error}."
        ) from error
    for record in records:
        if not (isinstance(record, dict) and {"name", "num_imgs", "tubes"} <= record.keys()):
            raise AnnotationError(f"{os.fspath(path)!r} has an entry without name, num_imgs and tubes.")
    return records


def _listed(value: Any) -> list[Any]:
    """MATLAB makes no difference between one structure and a list of one."""
    return [value] if isinstance(value, dict) else list(value)


def _tube(path: PathLike, record: dict[str, Any], tube: dict[str, Any]) -> Tube:
    video = str(record["name"])
    try:
        corner_and_size = np.asarray(tube["boxes"], np.float64).reshape(-1, 4)
        frames = np.arange(int(tube["sf"]), int(tube["ef"]) + 1)
        action = int(tube["class"]) - 1
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"{os.fspath(path)!r}, video {video!r}: a tube is malformed: {error}.") from error
    corner, size = corner_and_size[:, :2], corner_and_size[:, 2:]
    return tube_of(path, video, action, len(CLASS_NAMES), frames, np.concatenate([corner, corner + size], 1))


def _test_videos(path: PathLike, videos: dict[str, int]) -> dict[str, None]:
    test = dict[str, None]()
    for line, text in text_lines(path):
        name = text.strip()
        if name not in videos:
            raise malformed(path, line, f"{name!r} has no annotations")
        test[name] = None
    return test

"""UCF101-24: 24 of the actions of UCF101 with boxes, as corrected by Singh et al. (gurkirt/corrected-UCF101-Annots).

The same 4,458 tubes of 3,194 videos are published in two forms: `read_corrected_tubes` reads the MATLAB file,
`read_python_tubes` the pickle. A third, `UCF101v2-GT.pkl` of the ACT detector and MOC, is for
`longform.datasets.tubes.read_act_tubes`. Boxes of the first two count pixels from 1, and keep that here.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from longform.datasets.tubes import Tube, TubeSet, tube_of, unpickled
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
    return _tube_set(
        {str(record["name"]): int(record["num_imgs"]) for record in records},
        tuple(_tube(annotations_mat, record, tube) for record in records for tube in _listed(record["tubes"])),
        test_list_txt,
    )


def read_python_tubes(annotations_pkl: PathLike, test_list_txt: PathLike) -> TubeSet:
    """What `read_corrected_tubes` reads, from `pyannot.pkl` or `pyannot_with_class_names.pkl`.

    The pickle holds a dict, in the second file under `db`: video -> `numf`, its frames, and `annotations`, dicts of
    `label`, counted from 0, `sf`, the first frame, counted from 0, `ef`, the frame after the last, and `boxes`, one
    x, y, width, height in pixels a frame.

    Args:
        test_list_txt: `testlist01.txt`, one `<action>/<video>` a line.
    Raises:
        AnnotationError: a file cannot be read, is another, or the list names a video without annotations.
    """
    content = unpickled(annotations_pkl)
    try:
        videos = content.get("db", content)
        frames = {video: int(record["numf"]) for video, record in videos.items()}
        tubes = tuple(
            _tube_of_sizes(
                annotations_pkl, video, tube["label"], np.arange(int(tube["sf"]), int(tube["ef"])) + 1, tube["boxes"]
            )
            for video, record in videos.items()
            for tube in record["annotations"]
        )
    except AnnotationError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"{os.fspath(annotations_pkl)!r} is not as 'pyannot.pkl' is: {error!r}.") from error
    return _tube_set(frames, tubes, test_list_txt)


def _tube_set(videos: dict[str, int], tubes: tuple[Tube, ...], test_list_txt: PathLike) -> TubeSet:
    test = _test_videos(test_list_txt, videos)
    return TubeSet(
        class_names=CLASS_NAMES,
        tubes=tubes,
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
        frames = np.arange(int(tube["sf"]), int(tube["ef"]) + 1)
        return _tube_of_sizes(path, video, int(tube["class"]) - 1, frames, tube["boxes"])
    except AnnotationError:
        raise
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"{os.fspath(path)!r}, video {video!r}: a tube is malformed: {error}.") from error


def _tube_of_sizes(path: PathLike, video: str, action: int, frames: NDArray[np.int64], boxes: Any) -> Tube:
    """A tube whose boxes are x, y, width, height, in bytes where that suffices: 200 + 100 must not wrap."""
    corner, size = np.split(np.asarray(boxes, np.float64).reshape(-1, 4), 2, axis=1)
    return tube_of(path, video, action, len(CLASS_NAMES), frames, np.concatenate([corner, corner + size], 1))


def _test_videos(path: PathLike, videos: dict[str, int]) -> dict[str, None]:
    test = dict[str, None]()
    for line, text in text_lines(path):
        name = text.strip()
        if name not in videos:
            raise malformed(path, line, f"{name!r} has no annotations")
        test[name] = None
    return test

"""Tubes of JHMDB and UCF101-24 in both published forms, and their way into the metric."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.io import savemat

from longform.datasets.tubes import frame_name, read_act_tubes
from longform.datasets.ucf101_24 import CLASS_NAMES, read_corrected_tubes, read_python_tubes
from longform.metrics import AnnotationError, Boxes, frame_map


def act_content() -> dict[str, Any]:
    first = np.array([[1, 10, 20, 30, 40], [2, 11, 20, 31, 40]], np.float32)
    return {
        "labels": ["brush_hair", "catch"],
        "train_videos": [["catch/b"], ["brush_hair/a"]],
        "test_videos": [["brush_hair/a"], ["catch/b"]],
        "nframes": {"brush_hair/a": 2, "catch/b": 40},
        "resolution": {"brush_hair/a": (240, 320), "catch/b": (240, 320)},
        "gttubes": {
            "brush_hair/a": {0: [first]},
            "catch/b": {1: [first + np.array([2, 0, 0, 0, 0], np.float32), np.array([[7, 0, 0, 9, 9]], np.float32)]},
        },
    }


def pickled(folder: Path, content: object, protocol: int = 2) -> Path:
    path = folder / "JHMDB-GT.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


class Python2Pickler(pickle._Pickler):
    """Strings and the bytes of arrays as Python 2 wrote them: `str`, without saying whether it is text."""

    def save_str_of_2(self, value: str | bytes) -> None:
        data = value if isinstance(value, bytes) else value.encode("latin1")
        short = len(data) < 256
        self.write(b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data)))
        self.write(data)
        self.memoize(value)

    dispatch: ClassVar[dict[type, Any]] = {**pickle._Pickler.dispatch, str: save_str_of_2, bytes: save_str_of_2}


def pickled_by_python_2(folder: Path, content: object) -> Path:
    stream = io.BytesIO()
    Python2Pickler(stream, 2).dump(content)
    path = folder / "JHMDB-GT.pkl"
    path.write_bytes(stream.getvalue().replace(b"numpy._core", b"numpy.core"))
    return path


def test_the_published_file_comes_from_python_2(tmp_path: Path) -> None:
    content = act_content()
    content["gttubes"]["catch/b"][1].append(np.array([[i, 1, 2, 3, 4] for i in range(1, 41)], np.float32))
    tubes = read_act_tubes(pickled_by_python_2(tmp_path, content))
    assert tubes.class_names == ("brush_hair", "catch")
    assert tubes.train_videos == (("catch/b",), ("brush_hair/a",))
    assert tubes.tubes[-1].frames.tolist() == list(range(40))
    assert tubes.tubes[-1].boxes_px[39].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_tubes_of_the_act_detector(tmp_path: Path, protocol: int) -> None:
    tubes = read_act_tubes(pickled(tmp_path, act_content(), protocol))
    assert tubes.class_names == ("brush_hair", "catch")
    assert [(tube.video, tube.action, tube.frames.tolist()) for tube in tubes.tubes] == [
        ("brush_hair/a", 0, [0, 1]),
        ("catch/b", 1, [2, 3]),
        ("catch/b", 1, [6]),
    ]
    assert tubes.tubes[0].boxes_px.tolist() == [[10, 20, 30, 40], [11, 20, 31, 40]]
    assert tubes.num_frames["catch/b"] == 40
    assert tubes.resolution_hw["catch/b"] == (240, 320)
    assert tubes.test_videos == (("brush_hair/a",), ("catch/b",))


def test_annotations_find_themselves(tmp_path: Path) -> None:
    tubes = read_act_tubes(pickled(tmp_path, act_content()))
    annotated = tubes.boxes(["brush_hair/a", "catch/b"])
    assert annotated.frames.tolist()[:2] == [frame_name("brush_hair/a", 0), frame_name("brush_hair/a", 1)]
    found = Boxes.of(annotated.frames, annotated.classes, annotated.boxes, np.linspace(1, 0.5, 5))
    for rules in ("pascal", "act"):
        assert frame_map(annotated, found, rules=rules)["mAP"] == pytest.approx(1.0)
    one_split = tubes.boxes(tubes.test_videos[0])
    assert len(one_split.frames) == 2
    assert frame_map(one_split, found)["per_class"] == pytest.approx({0: 1.0})
    assert len(tubes.boxes([]).frames) == 0


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def test_nothing_in_a_pickle_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnnotationError, match="mkdir"):
        read_act_tubes(pickled(tmp_path, {**act_content(), "labels": Malicious()}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gttubes": {"a": {2: [np.ones((1, 5))]}}}, "video 'a': a tube has label 2; expected 0 to 1"),
        ({"gttubes": {"a": {0: [np.ones((2, 5))]}}}, "frames that do not rise"),
        ({"gttubes": {"a": {0: [np.zeros((1, 5))]}}}, "frames that do not rise from 1"),
        ({"gttubes": {"a": {0: [np.ones((3, 4))]}}}, r"boxes \(3, 3\); expected \(3, 4\)"),
        ({"gttubes": {"a": {0: [np.array([[1.0, 9, 9, 5, 5]])]}}}, "end before they begin"),
        ({"gttubes": {"a": {0: [np.array([[1.0, 9, 9, np.nan, 50]])]}}}, "end before they begin"),
        ({"nframes": [3, 4]}, "not as tubes are annotated"),
    ],
)
def test_what_is_wrong_in_a_pickle_is_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(AnnotationError, match=r"JHMDB-GT\.pkl.*" + reason):
        read_act_tubes(pickled(tmp_path, {**act_content(), **change}))


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="expected a dict with labels, gttubes"):
        read_act_tubes(pickled(tmp_path, {"weights": 1}))
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_act_tubes(tmp_path / "absent.pkl")


def tube(action: int, first: int, boxes: list[list[int]]) -> dict[str, Any]:
    return {"ef": first + len(boxes) - 1, "sf": first, "class": action, "boxes": np.array(boxes, np.uint8)}


def record(name: str, *tubes: dict[str, Any]) -> dict[str, Any]:
    return {"num_imgs": 100, "name": name, "tubes": list(tubes)}


def corrected(folder: Path, records: list[dict[str, Any]], test: str) -> tuple[Path, Path]:
    annotations, listed = folder / "finalAnnots.mat", folder / "testlist01.txt"
    savemat(annotations, {"annot": records})
    listed.write_text(test, encoding="utf-8")
    return annotations, listed


def test_corrected_annotations_of_ucf101_24(tmp_path: Path) -> None:
    """Numbers are bytes in the file: 200 + 100 must not wrap. One tube, and one box, have a dimension less."""
    records = [
        record("Skijet/v_1", tube(18, 9, [[200, 102, 100, 120], [189, 102, 47, 78]]), tube(18, 1, [[1, 1, 8, 8]])),
        record("Biking/v_2", tube(3, 5, [[1, 2, 3, 4]])),
    ]
    tubes = read_corrected_tubes(*corrected(tmp_path, records, "Biking/v_2\n"))
    assert [(tube.video, CLASS_NAMES[tube.action], tube.frames.tolist()) for tube in tubes.tubes] == [
        ("Skijet/v_1", "Skijet", [8, 9]),
        ("Skijet/v_1", "Skijet", [0]),
        ("Biking/v_2", "Biking", [4]),
    ]
    assert tubes.tubes[0].boxes_px.tolist() == [[200, 102, 300, 222], [189, 102, 236, 180]]
    assert (tubes.train_videos, tubes.test_videos) == ((("Skijet/v_1",),), (("Biking/v_2",),))
    assert tubes.resolution_hw["Biking/v_2"] == (240, 320)


def test_one_video_alone(tmp_path: Path) -> None:
    tubes = read_corrected_tubes(*corrected(tmp_path, [record("Biking/v_2", tube(3, 5, [[1, 2, 3, 4]]))], ""))
    assert tubes.test_videos == ((),)
    assert len(tubes.tubes) == 1


def test_what_is_wrong_in_corrected_annotations_is_named(tmp_path: Path) -> None:
    good = record("Biking/v_2", tube(3, 5, [[1, 2, 3, 4]]))
    with pytest.raises(AnnotationError, match=r"testlist01\.txt, line 2: 'Biking/v_3' has no annotations"):
        read_corrected_tubes(*corrected(tmp_path, [good], "Biking/v_2\nBiking/v_3\n"))
    longer = tube(3, 5, [[1, 2, 3, 4]]) | {"ef": 9}
    with pytest.raises(AnnotationError, match=r"'Biking/v_2': a tube has 5 frames with boxes \(1, 4\)"):
        read_corrected_tubes(*corrected(tmp_path, [record("Biking/v_2", longer)], ""))
    with pytest.raises(AnnotationError, match="label 24; expected 0 to 23"):
        read_corrected_tubes(*corrected(tmp_path, [record("Biking/v_2", tube(25, 5, [[1, 2, 3, 4]]))], ""))
    other = tmp_path / "other.mat"
    savemat(other, {"weights": np.ones(3)})
    with pytest.raises(AnnotationError, match=r"not as 'finalAnnots\.mat' is"):
        read_corrected_tubes(other, tmp_path / "testlist01.txt")
    other.write_bytes(b"no MATLAB file at all, but long enough to hold a header" * 10)
    with pytest.raises(AnnotationError, match=r"not as 'finalAnnots\.mat' is"):
        read_corrected_tubes(other, tmp_path / "testlist01.txt")
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_corrected_tubes(tmp_path / "absent.mat", tmp_path / "testlist01.txt")


def python_tube(label: int, first: int, boxes: list[list[int]]) -> dict[str, Any]:
    return {"label": label, "ef": first + len(boxes), "boxes": np.array(boxes, np.uint8), "sf": first}


def pyannot(folder: Path, *, with_class_names: bool, **videos: list[dict[str, Any]]) -> Path:
    """As published: names that are strings of NumPy, protocol 3, from NumPy 1."""
    names = {name: np.str_(f"Biking/{name}") for name in videos}
    content: dict[Any, Any] = {
        names[name]: {"annotations": tubes, "numf": 100, "label": 2} for name, tubes in videos.items()
    }
    if with_class_names:
        content = {"db": content, "trainvideos": list(names.values()), "classes": list(CLASS_NAMES)}
    path = folder / "pyannot.pkl"
    path.write_bytes(pickle.dumps(content, 3).replace(b"numpy._core", b"numpy.core"))
    return path


@pytest.mark.parametrize("with_class_names", [False, True])
def test_both_forms_of_the_corrected_annotations_agree(tmp_path: Path, with_class_names: bool) -> None:
    records = [
        record("Biking/v_1", tube(3, 9, [[200, 102, 100, 120], [189, 102, 47, 78]]), tube(3, 1, [[1, 1, 8, 8]])),
        record("Biking/v_2", tube(3, 5, [[1, 2, 3, 4]])),
    ]
    matlab = read_corrected_tubes(*corrected(tmp_path, records, "Biking/v_2\n"))
    pickled_form = pyannot(
        tmp_path,
        with_class_names=with_class_names,
        v_1=[python_tube(2, 8, [[200, 102, 100, 120], [189, 102, 47, 78]]), python_tube(2, 0, [[1, 1, 8, 8]])],
        v_2=[python_tube(2, 4, [[1, 2, 3, 4]])],
    )
    python = read_python_tubes(pickled_form, tmp_path / "testlist01.txt")
    assert [(one.video, one.action, one.frames.tolist(), one.boxes_px.tolist()) for one in python.tubes] == [
        (one.video, one.action, one.frames.tolist(), one.boxes_px.tolist()) for one in matlab.tubes
    ]
    assert (python.num_frames, python.resolution_hw) == (matlab.num_frames, matlab.resolution_hw)
    assert (python.train_videos, python.test_videos) == (matlab.train_videos, matlab.test_videos)


def test_what_is_wrong_in_the_pickle_of_the_corrected_annotations_is_named(tmp_path: Path) -> None:
    listed = tmp_path / "testlist01.txt"
    listed.write_text("", encoding="utf-8")
    longer = python_tube(2, 4, [[1, 2, 3, 4]]) | {"ef": 9}
    with pytest.raises(AnnotationError, match=r"pyannot\.pkl', video 'Biking/v_1': a tube has 5 frames with boxes"):
        read_python_tubes(pyannot(tmp_path, with_class_names=False, v_1=[longer]), listed)
    nameless = python_tube(2, 4, [[1, 2, 3, 4]])
    del nameless["boxes"]
    with pytest.raises(AnnotationError, match=r"not as 'pyannot\.pkl' is: KeyError\('boxes'\)"):
        read_python_tubes(pyannot(tmp_path, with_class_names=False, v_1=[nameless]), listed)
    for other in ([1, 2], act_content()):
        with pytest.raises(AnnotationError, match=r"JHMDB-GT\.pkl' is not as 'pyannot\.pkl' is"):
            read_python_tubes(pickled(tmp_path, other), listed)

"""Files of other projects are read without running anything, and hostile ones are refused."""

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extractors.errors import WeightsError
from longform.interchange.errors import InterchangeError
from longform.interchange.python2_pickle import write_python2_pickle
from longform.interchange.source_file import read_object_npz, read_pickle


class Touch:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def write(path: Path, value: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_a_pickle_of_arrays_is_read_exactly(protocol: int, tmp_path: Path) -> None:
    value = {0: {902: [np.arange(3, dtype=np.float32), np.float32(2.5)]}, "P01_01": {30: np.ones((2, 2), np.float64)}}
    read = read_pickle(write(tmp_path / "bank.pkl", value, protocol))
    assert read.keys() == value.keys()
    np.testing.assert_array_equal(read[0][902][0], value[0][902][0])
    assert read[0][902][1] == 2.5
    np.testing.assert_array_equal(read["P01_01"][30], value["P01_01"][30])


def test_a_defaultdict_is_read_as_a_dict(tmp_path: Path) -> None:
    value = collections.defaultdict(dict, {"video": {3: {"0.1,0.1,0.2,0.2": [0, 1]}}})
    assert read_pickle(write(tmp_path / "meta.pkl", value)) == dict(value)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_something_is_refused(protocol: int, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    path = write(tmp_path / "train_lfb.pkl", {0: {902: [Touch(victim)]}}, protocol)
    with pytest.raises(WeightsError, match=r"train_lfb\.pkl asks to import posix\.system"):
        read_pickle(path)
    assert not victim.exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_object_of_an_npz_is_read(save: Any, tmp_path: Path) -> None:
    value = {3: {"0.100,0.200,0.300,0.400": np.arange(4, dtype=np.float32)}, 5: {}}
    save(tmp_path / "video.npz", a=value)
    read = read_object_npz(tmp_path / "video.npz", "a")
    assert read.keys() == value.keys()
    np.testing.assert_array_equal(*(some[3]["0.100,0.200,0.300,0.400"] for some in (read, value)))


def test_an_npz_that_runs_something_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    np.savez(tmp_path / "video.npz", a={3: Touch(victim)})
    with pytest.raises(WeightsError, match=r"video\.npz \(a\.npy\) asks to import posix\.system"):
        read_object_npz(tmp_path / "video.npz", "a")
    assert not victim.exists()


def test_an_npz_whose_array_hides_a_second_pickle_is_refused(tmp_path: Path) -> None:
    """NumPy would load the bytes of an object array's state as a pickle of its own."""
    victim = tmp_path / "victim"
    np.savez(tmp_path / "good.npz", a={3: b"inner"})
    inner = pickle.dumps([Touch(victim)], 2)
    array = np.array({}, dtype=object)
    function, arguments, state = array.__reduce__()

    class Hidden:
        def __reduce__(self) -> Any:
            return function, arguments, (*state[:-1], inner)

    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "|O", "fortran_order": False, "shape": ()})
    data.write(pickle.dumps(Hidden(), 2))
    with zipfile.ZipFile(tmp_path / "video.npz", "w") as archive:
        archive.writestr("a.npy", data.getvalue())
    with pytest.raises(WeightsError, match=r"posix\.system"):
        read_object_npz(tmp_path / "video.npz", "a")
    assert not victim.exists()


def test_other_archives_are_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "numbers.npz", a=np.ones(3))
    with pytest.raises(InterchangeError, match=r"array \(3,\) of float64"):
        read_object_npz(tmp_path / "numbers.npz", "a")
    with pytest.raises(InterchangeError, match="has no array 'b'"):
        read_object_npz(tmp_path / "numbers.npz", "b")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InterchangeError, match=r"Cannot read .*text\.npz"):
        read_object_npz(tmp_path / "text.npz", "a")
    with pytest.raises(InterchangeError, match="No such file"):
        read_pickle(tmp_path / "absent.pkl")


def test_an_archive_that_blows_up_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "video.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(10_000_000))
    with pytest.raises(InterchangeError, match="10000000 bytes"):
        read_object_npz(tmp_path / "video.npz", "a")


def test_a_python_2_pickle_is_read_by_python_3_and_by_us(tmp_path: Path) -> None:
    """Its opcodes are those that Python 2 and NumPy 1 have: Python 3 reads it as it reads Python 2's own files."""
    arrays = [np.array([1.5, -2.25, 0], np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)]
    with open(tmp_path / "bank.pkl", "wb") as file:
        write_python2_pickle(file, iter([(0, iter([(902, arrays), (-3, [])])), ("P01_01", iter([(30, arrays[1])]))]))
    data = (tmp_path / "bank.pkl").read_bytes()
    assert b"_core" not in data
    for read in (pickle.loads(data, encoding="latin1"), read_pickle(tmp_path / "bank.pkl")):  # noqa: S301
        assert [*read] == [0, "P01_01"]
        assert read[0][-3] == []
        np.testing.assert_array_equal(read[0][902][0], arrays[0])
        np.testing.assert_array_equal(read[0][902][1], arrays[1])
        np.testing.assert_array_equal(read["P01_01"][30], arrays[1])
        assert read["P01_01"][30].dtype == np.float32


def test_a_python_2_pickle_takes_features_only(tmp_path: Path) -> None:
    with open(tmp_path / "bank.pkl", "wb") as file:
        with pytest.raises(InterchangeError, match="ndarray"):
            write_python2_pickle(file, iter([(0, np.ones(2, np.float64))]))
        with pytest.raises(InterchangeError, match="key 2147483648"):
            write_python2_pickle(file, iter([(1 << 31, [])]))

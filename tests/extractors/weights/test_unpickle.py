"""Pickles that could run something are refused by name, and nothing of theirs runs; plain ones are read exactly."""

import collections
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from extractors.errors import WeightsError
from extractors.weights.containers import read_tensors
from extractors.weights.unpickle import unpickle


def load(data: bytes) -> Any:
    return unpickle(io.BytesIO(data), len(data), "file.pkl")


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def touches(path: Path) -> Calls:
    return Calls(os.system, f"touch {path}")


def text_call(module: str, name: str, argument: str) -> bytes:
    """A protocol 0 pickle that calls module.name(argument)."""
    return f"c{module}\n{name}\n(S'{argument}'\ntR.".encode()


@pytest.mark.parametrize(
    "name",
    ["os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "__builtin__.eval",
     "builtins.getattr", "builtins.__import__", "numpy.load", "numpy.f2py.diagnose.run", "numpy.testing.rundocs",
     "torch.load", "torch.hub.load", "torch.storage._load_from_bytes", "torch.jit.load", "importlib.import_module",
     "_pickle.loads", "pickle.loads", "operator.attrgetter", "functools.partial", "runpy.run_path", "pip.main",
     "numpy.core.multiarray.fromfile", "numpy.ctypeslib.load_library", "webbrowser.open", "copyreg._reconstructor"],
)  # fmt: skip
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_names_outside_the_list_are_refused_and_told(name: str, protocol: int) -> None:
    module, _, function = name.rpartition(".")
    if protocol == 0:
        data = text_call(module, function, "x")
    elif protocol == 2:
        data = b"\x80\x02" + text_call(module, function, "x")
    else:
        strings = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, function))
        data = b"\x80\x04" + strings + b"\x93)R."
    with pytest.raises(WeightsError, match=rf"asks to import {name}\b.*nothing was imported or run"):
        load(data)


def test_mentioning_a_name_is_enough_to_be_refused() -> None:
    with pytest.raises(WeightsError, match=r"os\.system"):
        load(b"cos\nsystem\n0}.")


def test_the_name_of_other_call_instructions_is_told() -> None:
    with pytest.raises(WeightsError, match=r"os\.system"):
        load(b"(S'true'\nios\nsystem\n.")
    with pytest.raises(WeightsError, match=r"os\.system"):
        load(b"(cos\nsystem\nS'true'\no.")
    with pytest.raises(WeightsError, match="EXT1"):
        load(b"\x80\x02\x82\x01.")


def test_dunder_names_reached_through_an_allowed_class_are_refused() -> None:
    data = b"\x80\x04\x8c\x0bcollections\x8c\x20OrderedDict.__init__.__globals__\x93."
    with pytest.raises(WeightsError, match="__globals__"):
        load(data)


def test_a_state_cannot_change_an_allowed_name() -> None:
    attack = b"\x80\x02c_codecs\nencode\n}X\x08\x00\x00\x00__code__K\x01sb."
    with pytest.raises(WeightsError, match="damaged"):
        load(attack)


@pytest.mark.parametrize("form", ["array", "scalar"])
def test_objects_inside_arrays_are_refused_and_what_they_import_is_told(form: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    if form == "array":
        data = pickle.dumps(np.array([touches(marker)], dtype=object), 2)
    else:
        inner = pickle.dumps(touches(marker), 2)
        scalar = np.float32(0).__reduce__()[0]
        data = pickle.dumps(Calls(scalar, np.dtype("O"), inner), 2)
    with pytest.raises(WeightsError, match=r"(posix|nt)\.system"):
        load(data)
    assert not marker.exists()


def test_an_array_of_plain_objects_is_refused() -> None:
    with pytest.raises(WeightsError, match="Python objects in an array"):
        load(pickle.dumps(np.array([1, "a"], dtype=object), 2))


def test_other_text_encodings_are_refused() -> None:
    with pytest.raises(WeightsError, match="'zip'"):
        load(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8", "f2", "i8", "u1", "?"])
def test_plain_data_is_read_exactly(protocol: int, dtype: str) -> None:
    values = np.random.RandomState(0).randint(0, 2, (2, 3, 4)).astype(dtype)
    tree = {
        "fortran": np.asfortranarray(values),
        "c": values,
        "empty": values[:0],
        "scalar": np.float32(0.5),
        "big": 2**80,
        "ordered": collections.OrderedDict(a=(1, 2.5, None, True), b=[b"\xff", "é"]),
    }
    read = load(pickle.dumps(tree, protocol))
    for name in ("fortran", "c", "empty"):
        np.testing.assert_array_equal(read[name], tree[name])
        assert read[name].dtype == values.dtype
    assert (read["scalar"], read["big"], read["ordered"]) == (0.5, 2**80, dict(tree["ordered"]))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_strings_of_numpy_are_read(protocol: int) -> None:
    tree = {"one": np.str_("Skijet/v_é"), "many": np.array(["a", "bcd"]), "bytes": np.array([b"a", b"bcd"])}
    read = load(pickle.dumps(tree, protocol))
    assert read["one"] == "Skijet/v_é"
    assert type(read["one"]) is str
    assert (read["many"].tolist(), read["bytes"].tolist()) == (["a", "bcd"], [b"a", b"bcd"])


def test_strings_of_numpy_cannot_claim_more_than_there_is() -> None:
    data = pickle.dumps(np.str_("abc"), 3)
    for claimed in (b"U9", b"U0", b"V3"):
        with pytest.raises(WeightsError, match="damaged"):
            load(data.replace(b"U3", claimed))


def test_arrays_of_python_2_are_read() -> None:
    """As Python 2 wrote them: their bytes are a `str`, which reads as latin-1 text."""
    values = np.array([1.0, -2.5], "<f4")
    raw = values.tobytes()
    data = (
        b"\x80\x02}U\x05blobs}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U" + bytes([len(raw)]) + raw + b"tbss."
    )
    np.testing.assert_array_equal(load(data)["blobs"]["w"], values)


def test_leftovers_of_training_scripts_become_empty_objects() -> None:
    import argparse

    read = load(pickle.dumps({"options": argparse.Namespace(rate=0.1), "epoch": 3}, 2))
    assert read["epoch"] == 3
    assert not vars(read["options"])


_U1 = (
    b"cnumpy\ndtype\n(X\x02\x00\x00\x00u1K\x00K\x01tR"
    b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
_DOUBLED = b"]q\x00" + b"".join(b"0]q%c(h%ch%ce" % (i + 1, i, i) for i in range(29))
"""29 lists, each of the one before it twice: the text of the last has two thousand million brackets."""

BOMBS = {
    "announced string": b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"x.",
    "announced bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x.",
    "memo index": b"\x80\x02}r\xff\xff\xff\xff.",
    "array shape": pickle.dumps(np.zeros(3, "f4"), 2).replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"),
    "negative shape": pickle.dumps(np.zeros(3, "f4"), 2).replace(b"K\x03\x85", b"J\xff\xff\xff\xff\x85"),
    "nested keys": b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.",
    "no end": pickle.dumps({"a": 1}, 2)[:-1],
    "empty stack": b"\x80\x02.",
    "no mark": b"\x80\x02K\x01t.",
    "decoded again and again": b"\x80\x02(" + b"X\x10\x27\x00\x00" + b"a" * 10_000 + b"q\x000"
    + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 1000 + b"l.",
    "bytes by their number": b"\x80\x04cnumpy.core.numeric\n_frombuffer\n(J\x00\x00\x00\x10" + _U1
    + b"J\x00\x00\x00\x10\x85X\x01\x00\x00\x00CtR.",
    "array again and again": b"\x80\x04B" + struct.pack("<I", 100_000) + bytes(100_000) + b"q\x000" + _U1 + b"q\x010("
    + (_ARRAY + b"(K\x01J\xa0\x86\x01\x00\x85h\x01\x89h\x00tb") * 1000 + b"l.",
    "dict again and again": b"\x80\x02](" + b"".join(b"J" + struct.pack("<I", i) + b"K\x00\x86" for i in range(1000))
    + b"eq\x000(" + b"ccollections\nOrderedDict\nh\x00\x85R" * 1000 + b"l.",
    "text of nested lists": b"\x80\x02" + _DOUBLED + b"0cnumpy\ndtype\nh\x1dK\x00K\x01\x87R.",
    "name of nested lists": b"\x80\x04" + _DOUBLED + b"0h\x1dh\x1d\x93.",
    "encoding of nested lists": b"\x80\x02" + _DOUBLED + b"0c_codecs\nencode\nX\x01\x00\x00\x00ah\x1d\x86R.",
    "shape of text": b"\x80\x04" + _ARRAY + b"(K\x01X\x01\x00\x00\x00aJ\x00\x00\x00\x10\x86" + _U1 + b"\x89U\x01atb.",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_and_damage_are_refused_without_using_memory(name: str) -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        if name == "memo index":
            assert load(BOMBS[name]) == {}
        else:
            with pytest.raises(WeightsError, match="damaged or cut off"):
                load(BOMBS[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


def test_deep_nesting_is_read_without_recursion() -> None:
    read = load(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    assert isinstance(read, list)


def _pickle_file(path: Path, payload: Calls) -> None:
    path.write_bytes(pickle.dumps({"blobs": {"conv1_w": np.zeros(2)}, "x": payload}, 2))


def _zip_file(path: Path, payload: Calls) -> None:
    torch.save({"model_state": {"a": torch.zeros(2)}, "x": payload}, path)


def _legacy_file(path: Path, payload: Calls) -> None:
    torch.save({"model_state": {"a": torch.zeros(2)}, "x": payload}, path, _use_new_zipfile_serialization=False)


def _tar_file(path: Path, payload: Calls) -> None:
    inner = path.with_suffix(".inner")
    _pickle_file(inner, payload)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(inner, "C2D_NOPOOL_8x8_R50.pkl")


def _gzip_file(path: Path, payload: Calls) -> None:
    path.write_bytes(gzip.compress(pickle.dumps({"a": payload}, 2)))


def _detectron2_file(path: Path, payload: Calls) -> None:
    path.write_bytes(pickle.dumps({"model": {"w": payload}, "__author__": "x"}, 4))


@pytest.mark.parametrize("write", [_pickle_file, _zip_file, _legacy_file, _tar_file, _gzip_file, _detectron2_file])
def test_a_malicious_file_of_every_container_is_refused_and_does_not_run(
    write: Callable[[Path, Calls], None], tmp_path: Path
) -> None:
    marker, path = tmp_path / "ran", tmp_path / "SLOWFAST_8x8_R50.pkl"
    write(path, touches(marker))
    with pytest.raises(WeightsError, match=r"SLOWFAST_8x8_R50\.pkl.* asks to import (posix|nt)\.system"):
        read_tensors(path)
    assert not marker.exists()


def test_the_payload_of_these_tests_would_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(touches(marker)))  # noqa: S301 (our own bytes, to prove that the tests above can fail)
    assert marker.exists()


def test_a_zip_whose_pickle_was_exchanged_is_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.pyth", tmp_path / "bad.pyth"
    torch.save({"a": torch.zeros(2)}, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            evil = text_call("os", "system", f"touch {tmp_path / 'ran'}")
            target.writestr(info.filename, evil if info.filename.endswith("data.pkl") else data)
    with pytest.raises(WeightsError, match=r"asks to import os\.system"):
        read_tensors(bad)
    assert not (tmp_path / "ran").exists()

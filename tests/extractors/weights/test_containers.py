"""Every container is told from its bytes, and read to the same tensors."""

import argparse
import gzip
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from extractors.errors import WeightsError
from extractors.weights.containers import read_tensors
from tests.extractors.weights.test_tensorflow_bundle import write_bundle

ARRAYS = {
    "conv1_w": np.random.RandomState(0).standard_normal((4, 3, 1, 7, 7)).astype(np.float32),
    "pred_b": np.arange(5, dtype=np.float32),
}
TENSORS = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}


def _write(kind: str, path: Path) -> None:
    if kind == "safetensors":
        save_file(TENSORS, path, metadata={"model": "i3d_r50"})
    elif kind in ("torch-zip", "torch-legacy"):
        saved = {"epoch": 7, "model_state": TENSORS, "optimizer_state": {"lr": 0.1}, "cfg": "MODEL: slow"}
        torch.save(saved, path, _use_new_zipfile_serialization=kind == "torch-zip")
    elif kind == "caffe2":
        blobs = {**ARRAYS, "conv1_w_momentum": ARRAYS["conv1_w"], "lr": 0.1, "model_iter": 1000}
        path.write_bytes(pickle.dumps({"blobs": blobs, "cfg": "x"}, 2))
    elif kind == "detectron2":
        path.write_bytes(pickle.dumps({"model": ARRAYS, "__author__": "them", "matching_heuristics": True}, 4))
    else:
        path.write_bytes(pickle.dumps({**ARRAYS, "lr": 0.1}, 2))


KINDS = ("safetensors", "torch-zip", "torch-legacy", "caffe2", "detectron2", "pickle")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["weights.pkl", "weights.safetensors", "weights.jpg"])
def test_the_container_is_told_from_the_bytes_whatever_the_name(kind: str, name: str, tmp_path: Path) -> None:
    _write(kind, tmp_path / name)
    contents = read_tensors(tmp_path / name)
    assert contents.container == kind
    for key, tensor in TENSORS.items():
        torch.testing.assert_close(contents.tensors[key], tensor, rtol=0, atol=0)


def test_a_tensorflow_bundle_is_read_from_its_index(tmp_path: Path) -> None:
    contents = read_tensors(write_bundle(tmp_path))
    assert contents.container == "tensorflow"
    assert contents.tensors["Conv/w"].dtype == torch.float32


def test_facts_beside_the_tensors_are_kept(tmp_path: Path) -> None:
    _write("torch-zip", tmp_path / "a")
    assert read_tensors(tmp_path / "a").facts == {"epoch": 7, "cfg": "MODEL: slow"}
    _write("caffe2", tmp_path / "b")
    assert read_tensors(tmp_path / "b").facts == {"cfg": "x", "lr": 0.1, "model_iter": 1000}


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_beside_leftovers_of_a_training_script_are_read(zipped: bool, tmp_path: Path) -> None:
    """torch.load(weights_only=True) refuses such files as a whole."""
    path = tmp_path / "checkpoint.pth.tar"
    views = {
        "t": TENSORS["conv1_w"].transpose(0, 1),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "none": torch.empty(0),
    }
    parameter = torch.nn.Parameter(TENSORS["pred_b"][1:4])
    saved = {"state_dict": {**TENSORS, **views, "p": parameter}, "args": argparse.Namespace(lr=0.1), "arch": "resnet"}
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    contents = read_tensors(path)
    for key, tensor in {**TENSORS, **views, "p": parameter.detach()}.items():
        torch.testing.assert_close(contents.tensors[key], tensor, rtol=0, atol=0)
    assert contents.facts == {"arch": "resnet"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_named_with_its_size(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    _write(kind, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=r"weights\.pkl.*(damaged|cut off).*[Gg]et (it|the file) again"):
        read_tensors(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused_but_never_ends_in_another_error(kind: str, tmp_path: Path) -> None:
    path, random = tmp_path / "weights.pkl", np.random.RandomState(0)
    _write(kind, path)
    whole = path.read_bytes()
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole)
        for place in random.randint(0, 600, random.randint(1, 12)):
            data[place] = random.randint(256)
        path.write_bytes(data)
        try:
            read_tensors(path)
            outcomes.add("read")
        except WeightsError:
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_archives_with_one_weight_file_are_read_through(kind: str, tmp_path: Path) -> None:
    _write(kind, tmp_path / "inner")
    (tmp_path / "README").write_text("A model.")
    with tarfile.open(tmp_path / "a.pkl", "w:gz") as archive:
        archive.add(tmp_path / "README", "model/README")
        archive.add(tmp_path / "inner", "model/C2D.pkl")
    (tmp_path / "b.pkl").write_bytes(gzip.compress((tmp_path / "inner").read_bytes()))
    for name in ("a.pkl", "b.pkl"):
        contents = read_tensors(tmp_path / name)
        assert contents.container == kind
        torch.testing.assert_close(contents.tensors["conv1_w"], TENSORS["conv1_w"], rtol=0, atol=0)


def test_an_archive_of_several_weight_files_lists_them(tmp_path: Path) -> None:
    _write("caffe2", tmp_path / "inner")
    with tarfile.open(tmp_path / "C2D_NOPOOL_8x8_R50.pkl", "w:gz") as archive:
        archive.add(tmp_path / "inner", "I3D.pkl")
        archive.add(tmp_path / "inner", "I3D_NLN.pkl")
    with pytest.raises(WeightsError, match=r"2 weight files inside \(I3D\.pkl, I3D_NLN\.pkl\)"):
        read_tensors(tmp_path / "C2D_NOPOOL_8x8_R50.pkl")


def test_an_archive_that_unpacks_beyond_all_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extractors.weights.containers.MAX_UNPACKED_BYTES", 2**20)
    (tmp_path / "bomb.pkl").write_bytes(gzip.compress(bytes(2**24)))
    with pytest.raises(WeightsError, match="more than there is room for"):
        read_tensors(tmp_path / "bomb.pkl")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty: the download failed"),
        (b"<!DOCTYPE html><html>", "HTML or XML page"),
        (b"\n <HTML><body>", "HTML or XML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "HTML or XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"MATLAB 5.0 MAT-file", "MATLAB file"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\xff\xd8\xff\xe0", "not a weight file of a kind that we know"),
    ],
)
def test_what_is_no_weight_file_is_called_by_its_name(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pkl").write_bytes(data)
    with pytest.raises(WeightsError, match=said):
        read_tensors(tmp_path / "weights.pkl")


def test_files_without_tensors_say_what_they_hold(tmp_path: Path) -> None:
    torch.save({"lr": 0.1, "steps": [1, 2]}, tmp_path / "a")
    with pytest.raises(WeightsError, match=r"no tensors at its top.*lr, steps"):
        read_tensors(tmp_path / "a")
    torch.save({"model_state": {}, "epoch": 1}, tmp_path / "c")
    with pytest.raises(WeightsError, match="holds no tensors at its top and none under"):
        read_tensors(tmp_path / "c")
    torch.save([torch.zeros(2)], tmp_path / "b")
    with pytest.raises(WeightsError, match="holds a list"):
        read_tensors(tmp_path / "b")
    with pytest.raises(WeightsError, match="no weight file"):
        read_tensors(tmp_path / "absent")


def test_a_zip_that_could_unpack_to_any_size_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2**20)}, tmp_path / "plain")
    with (
        zipfile.ZipFile(tmp_path / "plain") as plain,
        zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for info in plain.infolist():
            bomb.writestr(info.filename, plain.read(info))
    with pytest.raises(WeightsError, match="compressed tensors"):
        read_tensors(tmp_path / "bomb")


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="TorchScript"):
        read_tensors(tmp_path / "a.pt")

"""Files as the original code bases write them, loaded as a user loads them, give the originals' answers."""

import importlib.util
import json
import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from extractors.backbones.catalog import build_backbone
from extractors.weights import load_weights

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def golden_case(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_case", shared / "golden/checkpoints/golden_case.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(container: str, arrays: dict[str, np.ndarray], path: Path) -> None:
    """A file in the container that the case names, as golden_case.py describes it."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if container == "pyslowfast":
        torch.save({"epoch": 1, "model_state": tensors, "optimizer_state": {}, "cfg": ""}, path)
    elif container == "caffe2":
        momenta = {f"{name}_momentum": array for name, array in arrays.items()}
        blobs = {**arrays, **momenta, "model_iter": 1000, "lr": 0.1}
        path.write_bytes(pickle.dumps({"blobs": blobs}, 2))
    else:
        torch.save(tensors, path)


@pytest.mark.parametrize(
    ("case", "model", "layout"),
    [("slowfast_4x16_r50", "slowfast_4x16_r50", "pyslowfast"), ("i3d_nl_8x8_r50", "i3d_nl_r50", "caffe2"),
     ("s3d_kylemin", "s3d", "kylemin")],
)  # fmt: skip
def test_a_file_of_the_original_gives_the_original_logits(
    case: str, model: str, layout: str, shared: Path, golden_case: ModuleType, tmp_path: Path
) -> None:
    folder = shared / "golden/checkpoints" / case
    facts = json.loads((folder / "case.json").read_text())
    write(facts["container"], golden_case.weights(folder), tmp_path / "weights.pkl")
    network = build_backbone(model)
    assert load_weights(network, tmp_path / "weights.pkl").layout == layout
    expected = golden_case.expected(folder)
    if isinstance(facts["frames"], list):
        frames = facts["frames"][0]
        clip = golden_case.clip_inception(facts["input_seed"], facts["channels"], frames, facts["size"])
        logits = expected[f"logits_{frames}"]
    else:
        clip = golden_case.clip_pyslowfast(facts["input_seed"], facts["frames"], facts["size"])
        logits = expected["logits"]
    with torch.inference_mode():
        answer = network.eval()(torch.from_numpy(clip)).numpy()
    assert np.abs(answer - logits).max() <= TOLERANCE * np.abs(logits).max()

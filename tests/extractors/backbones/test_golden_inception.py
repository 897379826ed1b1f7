"""Inception-I3D and S3D against the answers of the original implementations."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from extractors.backbones.inception import INCEPTION
from extractors.weights.inception_layouts import LAYOUTS

TOLERANCE = 1e-4  # relative to the largest value of an array, as golden_case.py says


@pytest.fixture(scope="module")
def golden_case(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_case", shared / "golden/checkpoints/golden_case.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("case", "layout", "name"), [("i3d_rgb", "piergiaj", "i3d"), ("s3d_kylemin", "kylemin", "s3d")]
)
def test_original_weights_give_the_original_answers(
    shared: Path, golden_case: ModuleType, case: str, layout: str, name: str
) -> None:
    folder = shared / "golden/checkpoints" / case
    facts = json.loads((folder / "case.json").read_text())
    tensors = {name: torch.from_numpy(array) for name, array in golden_case.weights(folder).items()}
    (recognised,) = [one for one in LAYOUTS if one.recognises(tensors)]
    assert recognised.name == layout
    network = INCEPTION[name]().eval()
    counters = {key: tensor for key, tensor in network.state_dict().items() if key.endswith("num_batches_tracked")}
    network.load_state_dict(recognised.convert(tensors) | counters, strict=True)
    assert sum(parameter.numel() for parameter in network.parameters()) == facts["params"]
    expected = golden_case.expected(folder)
    for frames in facts["frames"]:
        clip = golden_case.clip_inception(facts["input_seed"], facts["channels"], frames, facts["size"])
        with torch.no_grad():
            pooled = network.pool(network.forward_features(torch.from_numpy(clip)))
            scores = network.classify(pooled)
        answers = {
            "per_time": scores.flatten(2),
            "logits": scores.flatten(2).mean(2),
            "embedding": pooled.flatten(2).mean(2),
        }
        compared = [key for key in answers if f"{key}_{frames}" in expected]
        assert {"logits", "embedding"} <= set(compared)
        for key in compared:
            original = expected[f"{key}_{frames}"]
            assert np.abs(answers[key].numpy() - original).max() <= TOLERANCE * np.abs(original).max(), (key, frames)

"""Weights of original checkpoints give the originals' outputs: `shared/golden/checkpoints`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from extractors.backbones.catalog import build_backbone
from extractors.backbones.video_resnet import VideoResNet
from extractors.weights.resnet_layouts import LAYOUTS

CASES = {
    "slowfast_4x16_r50": "slowfast_4x16_r50",
    "i3d_nl_8x8_r50": "i3d_nl_r50",
    "ava_slowfast_8x8_r50": "ava_slowfast_8x8_r50",
}
"""Folder of the case -> our model."""

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def golden(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_case", shared / "golden/checkpoints/golden_case.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CASES)
def test_original_weights_give_the_original_output(name: str, shared: Path, golden: ModuleType) -> None:
    folder = shared / "golden/checkpoints" / name
    case = json.loads((folder / "case.json").read_text())
    model = build_backbone(CASES[name]).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == case["params"]
    load_original(model, golden.weights(folder), case["container"])
    clip = torch.from_numpy(golden.clip_pyslowfast(case["input_seed"], case["frames"], case["size"]))
    expected = golden.expected(folder)
    boxes = None
    if "boxes_px" in expected:
        boxes = torch.from_numpy(expected["boxes_px"]).float()
        boxes = torch.cat((torch.zeros(len(boxes), 1), boxes), 1)
    means = record_stage_means(model)
    with torch.inference_mode():
        output = model.run(clip, boxes) if boxes is not None else model.run(clip)
    answers = {**means, "logits": output.logits, "prob": output.probabilities, "embedding": output.embedding}
    for key in expected.keys() - {"boxes_px"}:
        difference = np.abs(answers[key].numpy() - expected[key]).max() / np.abs(expected[key]).max()
        print(name, key, difference)
        assert difference < TOLERANCE, (key, difference)


def load_original(model: nn.Module, weights: dict[str, np.ndarray], container: str) -> None:
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in weights.items()}
    layouts = [layout for layout in LAYOUTS if layout.recognises(tensors)]
    assert [layout.name for layout in layouts] == [container]
    missing, unexpected = model.load_state_dict(layouts[0].convert(tensors), strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)


def record_stage_means(model: VideoResNet) -> dict[str, torch.Tensor]:
    """Channel means of every stage, under the names of the golden files, filled in when the model runs."""
    means: dict[str, torch.Tensor] = {}
    for pathway, module in enumerate([model.slow, model.fast] if hasattr(model, "fast") else [model.slow]):
        for stage, layer in enumerate((module.pool1, module.res2, module.res3, module.res4, module.res5), start=1):
            key = f"s{stage}_pathway{pathway}_mean"
            layer.register_forward_hook(lambda _, __, maps, key=key: means.update({key: maps.mean((2, 3, 4))}))
    return means

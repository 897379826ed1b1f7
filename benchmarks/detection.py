"""Pictures per second of the detectors, RoI features per second, and the share of time in NMS and RoIAlign.

    python -m benchmarks.detection --json benchmarks/results/detection.json

Weights are untrained: a trained network may give the box head more proposals. The operators are measured on the
sizes of Faster R-CNN (1000 boxes on P2, 5 x 1000 boxes to suppress), beside torchvision's where that is installed.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from extractors import build_detector
from extractors.ops.nms import grouped_nms
from extractors.ops.roi_align import roi_align

DETECTORS: dict[str, dict[str, Any]] = {
    "hog": {},
    "faster_rcnn_r50_fpn": {"weights": "untrained"},
    "faster_rcnn_r101_fpn": {"weights": "untrained"},
    "faster_rcnn_x101_fpn": {"weights": "untrained"},
}


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Median of `rounds` after one to warm up."""
    run()
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def boxes_of(count: int, width: int, height: int) -> torch.Tensor:
    """(count, 4) boxes of up to 112 px, those that FPN pools from P2."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([width - 120.0, height - 120.0])
    return torch.cat([corner, corner + 8 + 104 * torch.rand(count, 2, generator=generator)], 1)


def operators(rounds: int) -> dict[str, float]:
    """Seconds of each operator at the sizes of a picture of 800 x 1333."""
    maps = torch.randn(1, 256, 200, 336).contiguous(memory_format=torch.channels_last)
    boxes = boxes_of(1000, 1333, 800)
    rois = torch.cat([torch.zeros(1000, 1), boxes], 1)
    many, scores, levels = boxes_of(5000, 1333, 800), torch.rand(5000), torch.arange(5000) % 5
    backends = ["torch", *(["torchvision"] if importlib.util.find_spec("torchvision") else [])]
    found: dict[str, float] = {}
    with torch.inference_mode():
        for backend in backends:
            pool = partial(roi_align, maps, rois, 7, spatial_scale=0.25, aligned=True, backend=backend)
            suppress = partial(grouped_nms, many, scores, levels, 0.7, backend=backend)
            found |= {f"RoIAlign, {backend}": seconds(pool, rounds), f"NMS, {backend}": seconds(suppress, rounds)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    picture = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    single = operators(options.rounds)
    for name, spent in single.items():
        print(f"{name:22} {1000 * spent:8.1f} ms" + (f"  {1000 / spent:8.0f} boxes/s" if "RoI" in name else ""))
    rows = []
    for name in options.detectors:
        detector = build_detector(name, **DETECTORS[name])
        spent = seconds(partial(detector.detect, picture), options.rounds)
        row: dict[str, Any] = {"detector": name, "pictures_per_s": round(1 / spent, 3)}
        if name != "hog":
            row |= {key: round(single[f"{key}, torch"] / spent, 3) for key in ("RoIAlign", "NMS")}
        rows.append(row)
        shares = "  ".join(f"{key} {row[key]:.1%} of it" for key in ("RoIAlign", "NMS") if key in row)
        print(f"{name:22} {1 / spent:8.2f} pictures/s  {shares}", flush=True)
    if options.json:
        about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "picture": picture.shape[:2]}
        command = "python -m benchmarks.detection " + " ".join(sys.argv[1:])
        content = {"command": command, **about, "operators_s": single, "detectors": rows}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Clips per second of the backbones, ours beside the way the originals run, at equal output.

    python -m benchmarks.backbones --json benchmarks/results/backbones.json
    python -m benchmarks.backbones --models slowfast_8x8_r50 --device cuda --batch 8

One video of generated frames, a clip every second, so clips overlap. Four ways to get their embeddings:

    original    the networks as PySlowFast and pytorch-i3d run them: every clip takes its frames anew, full frames
                become float, are normalised, then scaled; contiguous float32; batch normalisation and the
                attention matrix computed as written
    fp32, bf16  ours: every frame is prepared once; batch normalisation folded, channels-last, fused attention
    compiled    ours in fp32 through torch.compile (with --compile)

Each way runs in a process of its own, all in turns, so that they see the same machine; the median of the rounds
counts. Weights are untrained, with batch statistics taken from the clips: speed does not depend on them, and the
drift of bf16 is then measured on activations of a trained network's size.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from extractors.backbones.base import Backbone
from extractors.clips.frames import frames_of as frame_kind
from extractors.clips.input import ClipInput
from extractors.networks import UNTRAINED, network_source
from extractors.runtime import Runtime
from pipeline.features.networks import centred_offsets

MODELS = ("slowfast_4x16_r50", "slowfast_8x8_r50", "slow_8x8_r50", "i3d_nl_r50", "i3d", "s3d")
HEIGHT, WIDTH, FPS = 360, 640, 30
PATCH = 40


@dataclass(frozen=True)
class Task:
    """What one process measures."""

    model: str
    way: str
    device: str
    clips: int
    batch: int


def frames_of(clips: int) -> np.ndarray:
    """(frames, HEIGHT, WIDTH, 3) uint8: patches that drift over a gradient, the same in every process."""
    random = np.random.default_rng(7)
    tiles = random.integers(0, 256, (HEIGHT // PATCH, 2 * WIDTH // PATCH, 3), np.uint8)
    wide = tiles.repeat(PATCH, 0).repeat(PATCH, 1)
    return np.stack([wide[:, 2 * t % WIDTH :][:, :WIDTH] for t in range((clips + 1) * FPS)])


def indices_of(spec: ClipInput, clips: int) -> list[list[int]]:
    """Frame indices of each clip; clips are centred a second apart."""
    offsets = [float(offset) for offset in centred_offsets(spec)]
    last = (clips + 1) * FPS - 1
    return [[min(max(int((k + o) * FPS + 0.25), 0), last) for o in offsets] for k in range(clips)]


def as_the_original_prepares(frames: np.ndarray, spec: ClipInput) -> torch.Tensor:
    """(1, 3, T, crop, crop): float, normalise, then scale, then crop the centre."""
    clip = torch.from_numpy(frames).float() / 255
    clip = (clip - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    clip = clip.permute(3, 0, 1, 2)
    height, width = clip.shape[2:]
    size = (spec.short_side_px, int(width / height * spec.short_side_px))
    clip = functional.interpolate(clip, size=size, mode="bilinear", align_corners=False)
    top, left = (-(-(side - spec.crop_px) // 2) for side in clip.shape[2:])
    return clip[None, :, :, top : top + spec.crop_px, left : left + spec.crop_px].contiguous()


def calibrate(network: Backbone, clip: torch.Tensor) -> None:
    """Set the batch normalisations' statistics to those of one clip."""
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm3d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum, norm.training = None, True
    with torch.no_grad():
        network.embed(clip)
    network.eval()


class Original:
    """Embeddings as the originals compute them."""

    def __init__(self, network: Backbone, spec: ClipInput, task: Task) -> None:
        for module in network.modules():
            if hasattr(module, "attention"):
                module.attention = "plain"  # type: ignore[assignment]
        self._network, self._spec, self._task = network.to(task.device), spec, task

    def embeddings(self, frames: np.ndarray, clips: list[list[int]]) -> list[torch.Tensor]:
        found = []
        with torch.no_grad():
            for first in range(0, len(clips), self._task.batch):
                group = clips[first : first + self._task.batch]
                batch = torch.cat([as_the_original_prepares(frames[indices], self._spec) for indices in group])
                found.append(self._network.embed(batch.to(self._task.device)).cpu())
        return found


class Ours:
    """Embeddings as `longform extract` computes them."""

    def __init__(self, network: Backbone, spec: ClipInput, task: Task) -> None:
        precision = "bf16" if task.way == "bf16" else "fp32"
        self._runtime = Runtime(device=task.device, precision=precision, compile=task.way == "compiled")
        self._network, self._frames, self._task = self._runtime.prepare(network), frame_kind(spec), task

    def embeddings(self, frames: np.ndarray, clips: list[list[int]]) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        prepared: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            for first in range(0, len(clips), self._task.batch):
                group = clips[first : first + self._task.batch]
                needed = sorted({index for indices in group for index in indices})
                prepared = {i: prepared[i] if i in prepared else self._frames.prepare(frames[i]) for i in needed}
                batch = torch.stack([self._frames.clip([prepared[i] for i in indices]) for indices in group])
                found.append(self._network.embed(self._runtime.to(batch)).float().cpu())
        return found


def serve(task: Task, pipe: Connection) -> None:
    """A measuring process: each `go` gives the seconds of one round; `done` gives embeddings and peak memory."""
    source = network_source(task.model, UNTRAINED)
    network, spec = source.build(), source.input
    frames, clips = frames_of(task.clips), indices_of(spec, task.clips)
    calibrate(network, as_the_original_prepares(frames[clips[1]], spec))
    before_mb = peak_mb()
    way = (Original if task.way == "original" else Ours)(network, spec, task)
    embeddings = torch.cat(way.embeddings(frames, clips))
    pipe.send("ready")
    while pipe.recv() == "go":
        began = time.perf_counter()
        way.embeddings(frames, clips)
        pipe.send(time.perf_counter() - began)
    pipe.send((embeddings.numpy(), peak_mb(), before_mb))


def peak_mb() -> float:
    """Most resident memory of this process so far, in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used / 1e3


def measure(model: str, ways: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each way, with ratios to the original."""
    context = multiprocessing.get_context("spawn")
    task = Task(model, "original", options.device, options.clips, options.batch)
    pipes = {}
    for way in ways:
        pipes[way], theirs = context.Pipe()
        context.Process(target=serve, args=(replace(task, way=way), theirs), daemon=True).start()
    for pipe in pipes.values():
        pipe.recv()
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, pipe in pipes.items():
            pipe.send("go")
            seconds[way].append(pipe.recv())
    answers = {}
    for way, pipe in pipes.items():
        pipe.send("done")
        answers[way] = pipe.recv()
    truth, base = answers["original"][0], statistics.median(seconds["original"])
    return [row_of(replace(task, way=way), seconds[way], answers[way], truth, base) for way in ways]


def row_of(task: Task, seconds: list[float], answer: tuple, truth: np.ndarray, base_s: float) -> dict[str, Any]:
    """The measured figures of one way."""
    embeddings, peak, before = answer
    median = statistics.median(seconds)
    cosines = (embeddings * truth).sum(1) / np.linalg.norm(embeddings, axis=1) / np.linalg.norm(truth, axis=1)
    return asdict(task) | {
        "clips_per_s": round(task.clips / median, 3),
        "seconds_per_minute_of_video": round(60 * median / task.clips, 2),
        "ratio": round(base_s / median, 2),
        "rounds_s": [round(value, 3) for value in seconds],
        "largest_difference": float(np.abs(embeddings - truth).max() / np.abs(truth).max()),
        "least_cosine": float(cosines.min()),
        "peak_mb": round(peak),
        "peak_mb_of_weights_and_frames": round(before),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ways = ["original", "fp32", "bf16", *(["compiled"] if options.compile else [])]
    rows = []
    print(f"{'model':20} {'way':9} {'clips/s':>8} {'ratio':>6} {'s/min':>7} {'difference':>10} {'cosine':>8} {'MB':>6}")
    for model in options.models:
        for row in measure(model, ways, options):
            rows.append(row)
            print(
                f"{model:20} {row['way']:9} {row['clips_per_s']:8.2f} {row['ratio']:5.2f}x "
                f"{row['seconds_per_minute_of_video']:7.1f} {row['largest_difference']:10.1e} "
                f"{row['least_cosine']:8.5f} {row['peak_mb']:6}",
                flush=True,
            )
    if options.json:
        about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "frame": [HEIGHT, WIDTH]}
        command = "python -m benchmarks.backbones " + " ".join(sys.argv[1:])
        options.json.write_text(json.dumps({"command": command, **about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

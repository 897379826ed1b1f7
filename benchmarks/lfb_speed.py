"""Speed of training with a feature bank: on disk against in memory, and FBO-NL against a plain way to compute it.

    python -m benchmarks.lfb_speed [--json FILE] [--rounds N] [--steps N]

bank      Steps of SGD on operator and classifier (16 key frames of AVA, 3 boxes each, windows of 60 x 5 x 2048): those
          of a compacted bank, and the same from {video: {second: vectors}} in memory, as the code of Long-Term Feature
          Banks keeps them. `alone`: short-term features are given, so reading weighs most. `with network`: a small
          3D CNN (width 16, 8 frames of 56 px) makes them; a full one takes a hundred times as long.
operator  Forward and backward of FBO-NL (2 layers), against one that pads the boxes, gives each a window of its own and
          forms the softmax: equal to 1e-4 with the same weights.

The two ways take turns, `ratio` is of the same round, figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD

from longform.lfb.bank_windows import BankWindows
from longform.lfb.model import LFBConfig, LFBModel, ShortTerm
from longform.lfb.operators import FBONL, FBONLConfig, NonLocalLayer
from pipeline.bank.compact import compact
from pipeline.bank.manifest import create_or_open
from pipeline.bank.schema import FEATURES
from pipeline.bank.writer import BankWriter

DIM, CLIPS, BOXES = 2048, 16, 3
VIDEOS, SECONDS, PEOPLE = 6, 200, 5
SPACE, FINGERPRINT, FPS = "person.test", "0" * 16, 30
Memory = Mapping[str, Mapping[int, list[np.ndarray]]]
Figures = dict[str, dict[str, float]]


class Windows(Protocol):
    """(300, 2048) of a key frame."""

    def __call__(self, video: str, second: int, rng: np.random.Generator) -> np.ndarray: ...


def make_bank(folder: Path) -> Memory:
    """Write and compact a bank; the same features in memory."""
    create_or_open(str(folder)).register_space(SPACE, DIM, {})
    writer = BankWriter.open(str(folder))
    rng = np.random.default_rng(0)
    memory: dict[str, dict[int, list[np.ndarray]]] = {}
    for number in range(VIDEOS):
        video = f"v{number}"
        values = np.abs(rng.standard_normal((SECONDS, PEOPLE, DIM), np.float32)).astype(np.float16)
        rows = [
            {"video_id": video, "at_s": float(s), "start_s": float(s), "end_s": s + 1.0, "detection_id": None,
             "track_id": None, "feature": values[s, person]}
            for s in range(SECONDS)
            for person in range(PEOPLE)
        ]  # fmt: skip
        file = writer.write_final(FEATURES + SPACE, video, "made", FINGERPRINT, [rows])
        assert file is not None
        stages = [{"stage": "made", "fingerprint": FINGERPRINT}]
        writer.commit({"video_id": video, "uri": video, "status": "ok", "stages": stages}, [file])
        memory[video] = {s: list(values[s].astype(np.float32)) for s in range(SECONDS)}
    compact(str(folder))
    return memory


def on_disk(folder: Path) -> Windows:
    """Of the bank."""
    windows = BankWindows(str(folder), SPACE, "ava")
    windows.require([f"v{number}" for number in range(VIDEOS)])
    return lambda video, second, rng: windows.read(video, second * FPS, rng).features


def in_memory(memory: Memory) -> Windows:
    """As lib/datasets of the released code: vectors of each second into zeros, five at random if there are more."""

    def window(video: str, second: int, rng: np.random.Generator) -> np.ndarray:
        found = np.zeros((60, 5, DIM), np.float32)
        for step, at in enumerate(range(second - 30, second + 30)):
            vectors = memory[video].get(at, [])
            chosen = rng.permutation(len(vectors))[:5] if len(vectors) > 5 else range(len(vectors))
            for place, one in enumerate(chosen):
                found[step, place] = vectors[one]
        return found.reshape(300, DIM)

    return window


class Training:
    """Steps with windows of one source."""

    def __init__(self, windows: Windows, *, network: bool) -> None:
        torch.manual_seed(0)
        config = LFBConfig(
            backbone="lfb_i3d_nl_r50" if network else None, backbone_options={"width": 16} if network else {}
        )
        self.model = LFBModel(config)
        self.optimiser = SGD(self.model.parameter_groups(1e-6), lr=1e-6, momentum=0.9, nesterov=True)
        self.windows, self.network = windows, network
        self.clip = torch.randn(CLIPS, 3, 8, 56, 56)
        boxes = torch.tensor([4.0, 4.0, 40.0, 48.0]).repeat(CLIPS * BOXES, 1)
        self.index = torch.arange(CLIPS).repeat_interleave(BOXES)
        self.boxes_px = torch.cat([self.index[:, None].float(), boxes], 1)
        self.short = ShortTerm(torch.rand(CLIPS * BOXES, DIM), self.index)
        self.labels = (torch.rand(CLIPS * BOXES, 80) < 0.05).float()

    def step(self, number: int) -> None:
        """One step."""
        rng = np.random.default_rng(number)
        places = zip(rng.integers(VIDEOS, size=CLIPS), rng.integers(SECONDS, size=CLIPS), strict=True)
        bank = torch.from_numpy(np.stack([self.windows(f"v{v}", int(s), rng) for v, s in places]))
        short = self.model.short_term(self.clip, self.boxes_px) if self.network else self.short
        loss = self.model.loss(self.model.relate(short, bank), self.labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


class PlainFBONL(nn.Module):
    """FBO-NL as one would write it down: a window for every box, padded to the most boxes of a clip."""

    def __init__(self, fast: FBONL) -> None:
        super().__init__()
        self.fast = fast

    def forward(self, short: Tensor, bank: Tensor, index: Tensor) -> Tensor:
        """(N, 512)."""
        most = int(torch.bincount(index).max())
        padded = short.new_zeros(len(bank), most, short.shape[1])
        places = torch.cat([torch.arange(int(count)) for count in torch.bincount(index)])
        padded[index, places] = short
        state = self.fast.reduce_input(padded).flatten(0, 1)[:, None]
        slots = self.fast.reduce_bank(bank[:, None].expand(-1, most, -1, -1).reshape(-1, *bank.shape[1:]))
        for layer in self.fast.layers:
            assert isinstance(layer, NonLocalLayer)
            affinity = (layer.theta(state) @ layer.phi(slots).mT * layer.scale).softmax(-1)
            state = state + layer.out(torch.relu(layer.norm(affinity @ layer.g(slots))))
        return state.squeeze(1).unflatten(0, (len(bank), most))[index, places]


def compare_banks(folder: Path, memory: Memory, *, rounds: int, steps: int) -> Figures:
    """Steps a second from disk and from memory."""
    sources = {"disk": on_disk(folder), "memory": in_memory(memory)}
    _check_equal(sources["disk"], sources["memory"])
    figures: Figures = {}
    for name, network in (("alone", False), ("with network", True)):
        runs = {source: Training(windows, network=network) for source, windows in sources.items()}
        works = {source: lambda run=run: [run.step(n) for n in range(steps)] for source, run in runs.items()}
        seconds = _in_turns(works, rounds)
        figures[name] = {f"{source}_steps_per_s": steps / statistics.median(s) for source, s in seconds.items()}
        ratios = [m / d for d, m in zip(seconds["disk"], seconds["memory"], strict=True)]
        figures[name]["ratio"] = statistics.median(ratios)
    return figures


def compare_operators(*, rounds: int) -> Figures:
    """Milliseconds of FBO-NL and of the plain way, in training and in testing."""
    torch.manual_seed(0)
    fast = FBONL(FBONLConfig(dropout=0.0, zero_init=False))
    plain = PlainFBONL(fast)
    counts = torch.arange(CLIPS) % (2 * BOXES) + 1
    index = torch.arange(CLIPS).repeat_interleave(counts)
    short, bank = torch.rand(len(index), DIM), torch.rand(CLIPS, 300, DIM)
    torch.testing.assert_close(fast(short, bank, None, index), plain(short, bank, index), atol=1e-4, rtol=1e-4)

    def trained(run: Callable[[], Tensor]) -> Callable[[], object]:
        def work() -> None:
            fast.zero_grad()
            run().square().mean().backward()

        return work

    def tested(run: Callable[[], Tensor]) -> Callable[[], object]:
        def work() -> None:
            with torch.inference_mode():
                run()

        return work

    ways = {"fbo_nl": lambda: fast(short, bank, None, index), "plain": lambda: plain(short, bank, index)}
    figures: Figures = {}
    for name, mode in (("training", trained), ("testing", tested)):
        seconds = _in_turns({way: mode(run) for way, run in ways.items()}, rounds)
        figures[name] = {f"{way}_ms": 1000 * statistics.median(s) for way, s in seconds.items()}
        figures[name]["ratio"] = statistics.median(
            p / f for f, p in zip(seconds["fbo_nl"], seconds["plain"], strict=True)
        )
    return figures


def _check_equal(disk: Windows, memory: Windows) -> None:
    """Both sources give the same features (in a second, those of one may be in another order)."""
    for second in (3, 100, 195):
        one, other = (source("v1", second, np.random.default_rng(0)) for source in (disk, memory))
        assert np.array_equal(np.sort(one.reshape(60, 5, DIM), 1), np.sort(other.reshape(60, 5, DIM), 1))


def _in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="of a round")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "lfb_speed.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        memory = make_bank(Path(scratch) / "bank")
        banks = compare_banks(Path(scratch) / "bank", memory, rounds=options.rounds, steps=options.steps)
    found = {"bank": banks, "operator": compare_operators(rounds=options.rounds)}
    print(json.dumps(found, indent=2))
    facts = {"rounds": options.rounds, "threads": torch.get_num_threads(), "torch": torch.__version__}
    options.json.write_text(json.dumps({**found, **facts}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

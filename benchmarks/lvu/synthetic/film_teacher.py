"""The action classifier of rendered films, for pseudo-labels: fitted on people found in the training films.

    python -m benchmarks.lvu.synthetic.film_teacher --films films --bank bank

writes `films/teacher.safetensors`: 80 classes of `person.hsv_stripes`, as AVA's classifier of SlowFast features. What
each person does is known from how the films were made; found people are matched to drawn ones by overlap.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from benchmarks.lvu.synthetic.design import CHANNELS
from benchmarks.lvu.synthetic.features import ACTION_CLASSES, read_states, state_codes
from benchmarks.lvu.synthetic.films import FilmConfig, screenplays
from benchmarks.lvu.synthetic.screenplay import Screenplay
from extractors.ops.boxes import iou_matrix
from extractors.tracking.appearance import HSV_STRIPES_DIM
from longform.datasets.lvu import SPLITS, read_split
from longform.object_transformer.bank_tokens import BankSpaces, box_table
from longform.object_transformer.tokens import BoxTable
from pipeline.bank import FeatureBank

FILM_SPACE = "person.hsv_stripes"
MATCH_IOU = 0.4
WEIGHT_DECAY, STEPS = 1e-5, 200


def fit_teacher(films: Path, bank: Path) -> dict[str, float]:
    """Write `teacher.safetensors` beside the films.

    Returns:
        of each channel, the percentage of boxes in validation and test films whose value is read rightly.
    Raises:
        BankError: the bank lacks a film.
    """
    config = json.loads((films / "films.json").read_text(encoding="utf-8"))
    plays = {video_id: play for video_id, play, _ in screenplays(FilmConfig(**config))}
    opened, labels = FeatureBank.open(str(bank)), films / "lvu_1.0"
    parts = {}
    for split in SPLITS:
        ids = [video.video_id for video in read_split(labels, "scene", split)]
        parts[split] = _examples(opened, {video_id: plays[video_id] for video_id in ids})
    linear = _fit(*parts["train"])
    weight, bias = (tensor.detach().numpy() for tensor in (linear.weight, linear.bias))
    save_file({"head.projection.weight": weight, "head.projection.bias": bias}, films / "teacher.safetensors")
    features, states = (np.concatenate([parts[split][kind] for split in ("val", "test")]) for kind in (0, 1))
    read = read_states(features @ weight.T + bias, 0.0)[0]
    return {channel: 100 * float((read == states)[:, number].mean()) for number, channel in enumerate(CHANNELS)}


def _examples(bank: FeatureBank, plays: Mapping[str, Screenplay]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features (N, 72) and values (N, 6) of the people found in some films."""
    features, states = [], []
    for video_id, play in plays.items():
        table = box_table(bank, video_id, BankSpaces(persons=FILM_SPACE))
        rows, known = _matched(table, play)
        features.append(table.features[rows].astype(np.float32))
        states.append(known)
    return np.concatenate(features), np.concatenate(states)


def _matched(table: BoxTable, play: Screenplay) -> tuple[list[int], NDArray[np.int64]]:
    """Boxes that are surely a drawn person, and what that person does."""
    rows, states = [], []
    for second in np.unique(table.seconds):
        here = np.flatnonzero(table.seconds == second)
        drawn = [one for one in play.cast if one.start_s <= second < one.end_s]
        if not drawn:
            continue
        places = np.concatenate([one.boxes(np.array([float(second)])) for one in drawn])
        overlaps = iou_matrix(places, table.boxes[here])
        for one, overlap in zip(drawn, overlaps, strict=True):
            if overlap.max() >= MATCH_IOU:
                rows.append(int(here[overlap.argmax()]))
                states.append(one.states)
    return rows, np.array(states, np.int64).reshape(-1, len(CHANNELS))


def _fit(features: NDArray[np.float32], states: NDArray[np.int64]) -> nn.Linear:
    """80 classes, each for itself."""
    inputs, wanted = torch.from_numpy(features), torch.from_numpy(state_codes(states))
    linear = nn.Linear(HSV_STRIPES_DIM, len(ACTION_CLASSES))
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(linear(inputs), wanted)
        loss = loss + WEIGHT_DECAY * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return linear


def main() -> None:
    """Fit the classifier and print how well it reads films that it was not fitted on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, required=True, help="folder written by python -m benchmarks.lvu.synthetic"
    )
    parser.add_argument("--bank", type=Path, required=True, help="bank that longform extract made of them")
    options = parser.parse_args()
    for channel, percent in fit_teacher(options.films, options.bank).items():
        print(f"{channel:8} {percent:5.1f} % of boxes in validation and test films read rightly")


if __name__ == "__main__":
    main()

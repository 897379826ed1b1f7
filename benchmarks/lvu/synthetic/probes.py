"""How far each task of a synthetic world gets without interaction: cheap classifiers on pooled boxes, and the oracle.

    python -m benchmarks.lvu.synthetic.probes WORLD --seeds 3 --json probes.json

| probe | sees |
| --- | --- |
| average, max | the mean or maximum of a movie's features, one linear classifier |
| average, squares | the means of the 80 action probabilities and their squared deviations, one linear classifier |
| late fusion | each box's feature alone, a linear classifier, softmax summed over the movie's boxes |
| set of boxes | actions, place, second, shot of each box alone: two layers, mean over boxes, a linear classifier |
| set of shots | the same with the mean of each shot's boxes in place of each box |
| facts | the facts of `facts.Facts`, one linear classifier |
| oracle, oracle of spans | the facts, nothing trained; of the whole movie, or of each span of 60 s, averaged |

The movies are split anew into 80 % and 20 % for each seed. Top-1 in percent, or the mean squared error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.lvu.synthetic.banks import SPACE, BankWorld
from benchmarks.lvu.synthetic.facts import Facts, facts_of, labels_of
from longform.datasets.lvu import SPLITS, TASKS, LvuTask, Split, read_split
from longform.object_transformer.bank_tokens import BankSpaces, box_table
from longform.object_transformer.pretrained import read_short_term_classifier
from longform.object_transformer.spans import tail_spans
from longform.object_transformer.tokens import BoxTable
from pipeline.bank import FeatureBank

SPAN_S, SPAN_STRIDE_S = 60, 5
TEST_SHARE = 0.2
WEIGHT_DECAY = 1e-2
BOXES_OF_A_MOVIE = 32
"""That late fusion is fitted on and judges by."""
SET_BOXES, SET_SHOTS = 64, 16
SET_WIDTH, SET_EPOCHS, SET_BATCH, SET_RATE = 64, 60, 32, 3e-3

Labels = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Movie:
    """What the probes see of a movie."""

    table: BoxTable
    logits: NDArray[np.float32]
    """(N, 80) of the world's classifier."""
    labels: Mapping[str, float]
    facts: Facts

    @property
    def features(self) -> NDArray[np.float32]:
        """(N, D)."""
        return self.table.features.astype(np.float32)

    @property
    def actions(self) -> NDArray[np.float32]:
        """(N, 80) probabilities."""
        return np.asarray(1 / (1 + np.exp(-self.logits)), np.float32)


def read_movies(world: BankWorld, splits: Sequence[Split] = SPLITS) -> list[Movie]:
    """The labelled movies of a world."""
    labels: dict[str, dict[str, float]] = {}
    for task in TASKS:
        for split in splits:
            for video in read_split(world.annotations, task, split):
                labels.setdefault(video.video_id, {})[task] = video.label
    bank, classifier = FeatureBank.open(str(world.bank)), read_short_term_classifier(world.teacher)
    weight, bias = classifier.weight.detach().numpy(), classifier.bias.detach().numpy()
    movies = []
    for video_id, of_video in labels.items():
        table = box_table(bank, video_id, BankSpaces(persons=SPACE))
        logits = table.features.astype(np.float32) @ weight.T + bias
        movies.append(Movie(table=table, logits=logits, labels=of_video, facts=facts_of(table, logits)))
    return movies


def references(movies: Sequence[Movie]) -> list[dict[str, Any]]:
    """What the oracle comes to on all of some movies, and what chance does: any class, or the mean of the labels."""
    answers = [labels_of(movie.facts) for movie in movies]
    rows = []
    for task in TASKS.values():
        labels = np.array([movie.labels[task.name] for movie in movies])
        found = np.array([answer[task.name] for answer in answers])
        if task.is_regression:
            values = {"chance": labels.var(), "oracle": np.mean((found - labels) ** 2)}
        else:
            values = {"chance": 100 / len(task.classes), "oracle": 100 * np.mean(found == labels)}
        rows += [{"task": task.name, "system": system, "value": float(value)} for system, value in values.items()]
    return rows


def measure(movies: list[Movie], seeds: int, only: str | None = None) -> list[dict[str, Any]]:
    """One row for each task and probe: mean and standard error over splits."""
    rows = []
    probes = {name: probe for name, probe in PROBES.items() if only in (None, name)}
    inputs = {name: [see(movie) for movie in movies] for name, (see, _) in probes.items()}
    for task in TASKS.values():
        labels = np.array([movie.labels[task.name] for movie in movies])
        for name, (_, fit) in probes.items():
            scores = [_score(fit, inputs[name], labels, task, seed) for seed in range(seeds)]
            rows.append({
                "task": task.name,
                "probe": name,
                "metric": "mse" if task.is_regression else "top1",
                "value": float(np.mean(scores)),
                "std_error": float(np.std(scores, ddof=1) / seeds**0.5) if seeds > 1 else 0.0,
                "seeds": seeds,
            })  # fmt: skip
    return rows


Seen = list[NDArray[np.floating]]
Fit = Callable[[Seen, Labels, Seen, LvuTask, int], NDArray[np.float64]]
"""From inputs and labels of the training movies, and inputs of the test movies: scores (M, K) or values (M, 1)."""


def _score(fit: Fit, inputs: Seen, labels: Labels, task: LvuTask, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = np.split(order, [round(TEST_SHARE * len(order))])
    outputs = fit([inputs[i] for i in train], labels[train], [inputs[i] for i in test], task, seed)
    if task.is_regression:
        return float(np.mean((outputs[:, 0] - labels[test]) ** 2))
    return 100 * float(np.mean(outputs.argmax(axis=1) == labels[test]))


def _loss(task: LvuTask) -> Callable[[Tensor, Tensor], Tensor]:
    if task.is_regression:
        return lambda outputs, wanted: (outputs[:, 0] - wanted).square().mean()
    return lambda outputs, wanted: nn.functional.cross_entropy(outputs, wanted.long())


def _fit_linear(inputs: Tensor, wanted: Tensor, task: LvuTask) -> Callable[[Tensor], Tensor]:
    """A linear classifier, or regression, with weight decay, on standardised inputs (M, D)."""
    mean, spread = inputs.mean(0), inputs.std(0) + 1e-6
    linear = nn.Linear(inputs.shape[1], task.num_outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=100, line_search_fn="strong_wolfe")
    loss, standardised = _loss(task), (inputs - mean) / spread

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(linear(standardised), wanted) + WEIGHT_DECAY * linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    return lambda seen: linear((seen - mean) / spread).detach()


def _linear(train: Seen, labels: Labels, test: Seen, task: LvuTask, seed: int) -> NDArray[np.float64]:
    predict = _fit_linear(_tensor(np.stack(train)), _tensor(labels), task)
    return predict(_tensor(np.stack(test))).numpy()


def _late_fusion(train: Seen, labels: Labels, test: Seen, task: LvuTask, seed: int) -> NDArray[np.float64]:
    boxes = np.concatenate(train)
    predict = _fit_linear(_tensor(boxes), _tensor(np.repeat(labels, [len(some) for some in train])), task)
    outputs = [predict(_tensor(some)) for some in test]
    if not task.is_regression:
        outputs = [output.softmax(1) for output in outputs]
    return np.stack([output.mean(0).numpy() for output in outputs])


def _set_network(train: Seen, labels: Labels, test: Seen, task: LvuTask, seed: int) -> NDArray[np.float64]:
    torch.manual_seed(seed)
    seen, wanted, loss = _tensor(np.stack(train)), _tensor(labels), _loss(task)
    each = nn.Sequential(nn.Linear(seen.shape[2], SET_WIDTH), nn.ReLU(), nn.Linear(SET_WIDTH, SET_WIDTH), nn.ReLU())
    head = nn.Linear(SET_WIDTH, task.num_outputs)
    optimizer = torch.optim.AdamW([*each.parameters(), *head.parameters()], lr=SET_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(SET_EPOCHS):
        for rows in torch.randperm(len(seen)).split(SET_BATCH):
            optimizer.zero_grad()
            loss(head(each(seen[rows]).mean(1)), wanted[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return head(each(_tensor(np.stack(test))).mean(1)).numpy()


def _oracle(train: Seen, labels: Labels, test: Seen, task: LvuTask, seed: int) -> NDArray[np.float64]:
    """What was seen is the answer: a row of votes for class ids, or of one value, for each task."""
    place = list(TASKS).index(task.name)
    return np.stack([row[place, : task.num_outputs] for row in test])


def _tensor(values: NDArray) -> Tensor:
    return torch.as_tensor(np.asarray(values, np.float32))


def _squares(movie: Movie) -> NDArray[np.float64]:
    means = movie.actions.mean(axis=0)
    return np.concatenate([means, (means - np.median(means[means > 0.1])) ** 2])


def _some_boxes(movie: Movie) -> NDArray[np.float32]:
    return movie.features[np.linspace(0, len(movie.table) - 1, BOXES_OF_A_MOVIE).astype(int)]


def _boxes(movie: Movie) -> NDArray[np.float64]:
    """(N, 87) actions, four sides and area, second and shot as parts of the movie."""
    table = movie.table
    seconds, shots = table.seconds / table.seconds.max(), table.shots / max(1, table.shots.max())
    areas = (table.boxes[:, 2] - table.boxes[:, 0]) * (table.boxes[:, 3] - table.boxes[:, 1])
    return np.column_stack([movie.actions, table.boxes, areas, seconds, shots])


def _box_set(movie: Movie) -> NDArray[np.float64]:
    boxes = _boxes(movie)
    return boxes[np.linspace(0, len(boxes) - 1, SET_BOXES).astype(int)]


def _shot_set(movie: Movie) -> NDArray[np.float64]:
    """(SET_SHOTS, F) the mean of the boxes of each shot, some shots twice in movies with fewer."""
    boxes, shots = _boxes(movie), movie.table.shots
    means = np.array([boxes[shots == shot].mean(axis=0) for shot in np.unique(shots)])
    return means[np.linspace(0, len(means) - 1, SET_SHOTS).round().astype(int)]


def _votes(labels: Mapping[str, float]) -> NDArray[np.float64]:
    """(9, 10) one vote for the class of each task, or its value."""
    votes = np.zeros((len(TASKS), max(task.num_outputs for task in TASKS.values())))
    for row, task in zip(votes, TASKS.values(), strict=True):
        if task.is_regression:
            row[0] = labels[task.name]
        else:
            row[int(labels[task.name])] = 1
    return votes


def _span_votes(movie: Movie) -> NDArray[np.float64]:
    votes = []
    for span in tail_spans(movie.table.seconds, SPAN_S, SPAN_STRIDE_S):
        inside = np.abs(movie.table.seconds - span.second + SPAN_S / 2 - 0.5) < SPAN_S / 2
        votes.append(_votes(labels_of(facts_of(_rows(movie.table, inside), movie.logits[inside]))))
    return np.mean(votes, axis=0)


def _rows(table: BoxTable, chosen: NDArray[np.bool_]) -> BoxTable:
    return BoxTable(
        video_id=table.video_id,
        seconds=table.seconds[chosen],
        boxes=table.boxes[chosen],
        tracks=table.tracks[chosen],
        shots=table.shots[chosen],
        features=table.features[chosen],
    )


PROBES: dict[str, tuple[Callable[[Movie], NDArray[np.floating]], Fit]] = {
    "average": (lambda movie: movie.features.mean(axis=0), _linear),
    "max": (lambda movie: movie.features.max(axis=0), _linear),
    "average, squares": (_squares, _linear),
    "late fusion": (_some_boxes, _late_fusion),
    "set of boxes": (_box_set, _set_network),
    "set of shots": (_shot_set, _set_network),
    "facts": (lambda movie: movie.facts.vector(), _linear),
    "oracle": (lambda movie: _votes(labels_of(movie.facts)), _oracle),
    "oracle of spans": (_span_votes, _oracle),
}
"""By name: what is seen of a movie, and how it is fitted."""


def main() -> None:
    """Measure the probes on a world and print a table of tasks and probes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path, help="folder written by write_bank_world")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=list(PROBES), help="one probe")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    options = parser.parse_args()
    rows = measure(read_movies(BankWorld(options.world)), options.seeds, options.only)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    names = list(dict.fromkeys(row["probe"] for row in rows))
    print(f"{'':13}" + "".join(f"{name:>18}" for name in names))
    for task in TASKS:
        mine = [row for row in rows if row["task"] == task]
        digits = 2 if mine[0]["metric"] == "mse" else 1
        print(f"{task:13}" + "".join(f"{row['value']:11.{digits}f} ±{row['std_error']:5.{digits}f}" for row in mine))


if __name__ == "__main__":
    main()

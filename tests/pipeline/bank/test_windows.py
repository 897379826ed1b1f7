"""Windows on a grid: against a scan in plain Python, choices, packing, and as a PyTorch data set."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from pipeline.bank import BankError, FeatureBank
from pipeline.bank.compact import compact
from pipeline.bank.errors import UnknownNameError
from pipeline.bank.window_dataset import WindowDataset
from pipeline.bank.windows import PaddedWindows, Window, WindowGrid, pad_windows
from tests.pipeline.bank.helpers import CLIPS, PEOPLE, new_bank, put, video

DIM = 3
QUARTERS = st.integers(0, 40).map(lambda k: k / 4)


def window(times: list[float], scores: list[float | None] | None, start_s: float, end_s: float) -> Window:
    """A window whose features are the position of the item; without scores, one of clips."""
    count = len(times)
    number = np.arange(count)
    has_none = [scores is None or scores[i] is None for i in range(count)]
    values = np.array(
        [math.nan if scores is None or scores[i] is None else scores[i] for i in range(count)], np.float32
    )
    ids = np.where(has_none, -1, number)
    return Window(
        space="test",
        video_id="v",
        start_s=start_s,
        end_s=end_s,
        features=np.repeat(number[:, None] + 1, DIM, axis=1).astype(np.float32),
        times_s=np.array(times, float),
        boxes=None if scores is None else np.where(ids[:, None] < 0, np.nan, 0.25).astype(np.float32).repeat(4, axis=1),
        scores=None if scores is None else values,
        detection_ids=None if scores is None else ids,
        track_ids=None if scores is None else number % 2,
    )


def scan(found: Window, grid: WindowGrid) -> list[list[int]]:
    """Items of each step, chosen in plain Python."""
    steps: list[list[int]] = [[] for _ in range(grid.steps)]
    span = found.end_s - found.start_s
    for i, at_s in enumerate(found.times_s.tolist()):
        (step,) = [
            k
            for k in range(grid.steps)
            if at_s >= found.start_s + span * k / grid.steps
            and (k == grid.steps - 1 or at_s < found.start_s + span * (k + 1) / grid.steps)
        ]
        score = None if found.scores is None else found.scores[i]
        if grid.min_score is None or (score is not None and score >= np.float32(grid.min_score)):
            steps[step].append(i)
    if grid.choice == "top_score":
        assert found.scores is not None
        rank = {i: -math.inf if math.isnan(s) else s for i, s in enumerate(found.scores.tolist())}
        steps = [sorted(items, key=lambda i: (-rank[i], i)) for items in steps]
    return [sorted(items[: grid.items_per_step]) for items in steps]


def items_of(arrays: PaddedWindows) -> list[list[int]]:
    """Items of each step of the first window, from their features."""
    return [
        [int(value) - 1 for value in step[mask, 0]]
        for step, mask in zip(arrays.features[0], arrays.mask[0], strict=True)
    ]


@st.composite
def windows(draw: Any) -> Window:
    start_s = draw(QUARTERS)
    length = draw(st.sampled_from([0.25, 1.0, 3.0, 10.0]))
    times = sorted(start_s + draw(st.integers(0, 39)) / 40 * length for _ in range(draw(st.integers(0, 12))))
    times = [at_s for at_s in times if at_s < start_s + length]
    score = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    return window(times, [draw(score) for _ in times], start_s, start_s + length)


@settings(max_examples=150, deadline=None)
@given(
    found=windows(),
    steps=st.integers(1, 7),
    items=st.integers(1, 4),
    choice=st.sampled_from(["first", "top_score"]),
    min_score=st.sampled_from([None, 0.5, 0.9]),
)
def test_grids_equal_a_scan(found: Window, steps: int, items: int, choice: Any, min_score: float | None) -> None:
    grid = WindowGrid(steps=steps, items_per_step=items, choice=choice, min_score=min_score)
    arrays = pad_windows([found], grid)
    expected = scan(found, grid)
    assert arrays.features.shape == (1, steps, items, DIM)
    assert items_of(arrays) == expected
    for step, chosen in enumerate(expected):
        places = slice(0, len(chosen))
        assert arrays.mask[0, step].tolist() == [True] * len(chosen) + [False] * (items - len(chosen))
        assert arrays.times_s[0, step, places].tolist() == found.times_s[chosen].tolist()
        assert found.detection_ids is not None
        assert arrays.detection_ids[0, step, places].tolist() == found.detection_ids[chosen].tolist()
    assert (arrays.detection_ids[~arrays.mask] == -1).all()
    assert (arrays.track_ids[~arrays.mask] == -1).all()
    assert not arrays.features[~arrays.mask].any()
    assert all(np.isfinite(values).all() for values in (arrays.boxes, arrays.scores, arrays.times_s))


def test_windows_of_ava_have_five_random_people_a_second() -> None:
    """Seconds s - 30 to s + 29 of at most 5 of those that score 0.9, each subset as likely, drawn anew."""
    times = [float(31 + k // 8) for k in range(16)]  # 8 people in the first second, 8 in the second
    found = window(times, [0.95] * 7 + [0.5] + [0.95] * 4 + [0.1] * 4, 31.0, 91.0)
    grid = WindowGrid(steps=60, items_per_step=5, choice="random", min_score=0.9)
    rng = np.random.default_rng(0)
    seen = np.zeros(16)
    draws = [pad_windows([found], grid, rng) for _ in range(700)]
    for arrays in draws:
        assert arrays.mask.sum(axis=2)[0].tolist() == [5, 4] + [0] * 58
        assert len(set(items_of(arrays)[0])) == 5
        seen[items_of(arrays)[0] + items_of(arrays)[1]] += 1
    assert seen[7] == seen[12:].sum() == 0
    assert (seen[8:12] == 700).all()
    assert np.abs(seen[:7] - 500).max() < 60  # 5 of 7, five standard deviations
    again = pad_windows([found], grid, np.random.default_rng(0))
    assert items_of(again) == items_of(draws[0])
    assert len({str(items_of(arrays)) for arrays in draws}) == 21


def test_packed_windows_have_valid_items_first() -> None:
    found = window([0.0, 0.5, 3.0, 9.0], None, 0.0, 10.0)
    arrays = pad_windows([found, window([], None, 0.0, 10.0)], WindowGrid(steps=10, items_per_step=2))
    packed = arrays.packed(6)
    assert packed.features.shape == (2, 1, 6, DIM)
    assert packed.features[0, 0, :, 0].tolist() == [1, 2, 3, 4, 0, 0]
    assert packed.times_s[0, 0].tolist() == [0, 0.5, 3, 9, 0, 0]
    assert packed.detection_ids.max() == -1
    assert packed.mask.sum(axis=2).tolist() == [[4], [0]]
    assert arrays.packed(3).features[0, 0, :, 0].tolist() == [1, 2, 3]
    assert arrays.packed(30).mask.sum() == 4


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"steps": 0, "items_per_step": 1}, "got 0 steps"),
        ({"steps": 1, "items_per_step": 0}, "of 0 items"),
        ({"steps": 1, "items_per_step": 1, "choice": "best"}, "by 'best', expected .*top_score"),
    ],
)
def test_bad_grids_are_refused(grid: Any, message: str) -> None:
    with pytest.raises(BankError, match=message):
        WindowGrid(**grid)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"choice": "top_score"}, "items of video 'v' without detections.*\"first\""),
        ({"min_score": 0.5}, "items of video 'v' without detections"),
        ({"choice": "random"}, "got no rng"),
    ],
)
def test_choices_that_cannot_be_made_are_refused(grid: Any, message: str) -> None:
    with pytest.raises(BankError, match=message):
        pad_windows([window([0.0], None, 0.0, 1.0)], WindowGrid(steps=1, items_per_step=1, **grid))
    with pytest.raises(BankError, match="got none, expected at least one"):
        pad_windows([], WindowGrid(steps=1, items_per_step=1))


@pytest.fixture
def bank_path(tmp_path: Any) -> str:
    writer = new_bank(tmp_path)
    for seed, name in enumerate(("a", "b")):
        put(writer, video(name, seconds=8, seed=seed))
    compact(tmp_path)
    return str(tmp_path)


MOMENTS = [("b", 3.0), ("a", 0.0), ("a", 100.0), ("b", 7.5), ("a", 4.0)]
GRID = WindowGrid(steps=4, items_per_step=2)


def expected_batch(path: str, space: str) -> PaddedWindows:
    return pad_windows(FeatureBank.open(path).windows(space, MOMENTS, 2.0, 2.0), GRID)


@pytest.mark.parametrize("start", [None, "fork", "spawn"])
def test_loaders_deliver_what_the_bank_holds(bank_path: str, start: str | None) -> None:
    bank = FeatureBank.open(bank_path)
    data = WindowDataset(bank, PEOPLE, MOMENTS, before_s=2.0, after_s=2.0, grid=GRID)
    assert len(data) == 5
    assert data[0]["features"].shape == (4, 2, 3)  # the bank is open here before workers fork
    loader = DataLoader(data, batch_size=3, num_workers=0 if start is None else 2, multiprocessing_context=start)
    batches = list(loader)
    expected = expected_batch(bank_path, PEOPLE)
    assert expected.mask.sum() > 10
    for name, values in vars(expected).items():
        assert torch.equal(torch.cat([batch[name] for batch in batches]), torch.from_numpy(values)), name


def test_random_choices_are_drawn_anew_at_each_access_and_repeat_by_seed(bank_path: str) -> None:
    grid = WindowGrid(steps=1, items_per_step=4, choice="random")
    moments = [("a", 4.0)] * 8

    def draws(seed: int, workers: int) -> list[torch.Tensor]:
        data = WindowDataset(bank_path, PEOPLE, moments, before_s=4.0, after_s=4.0, grid=grid, seed=seed)
        loader = DataLoader(data, num_workers=workers)
        torch.manual_seed(5)
        return [torch.cat([batch["detection_ids"] for batch in loader]) for _ in range(2)]

    for workers in (0, 2):
        first, second = draws(1, workers)
        assert not torch.equal(first, second)
        assert len(torch.unique(first, dim=0)) > 4  # of 1,820 subsets
        assert all(torch.equal(a, b) for a, b in zip((first, second), draws(1, workers), strict=True))
        assert not torch.equal(first, draws(2, workers)[0])


def test_causal_windows_hold_the_past_only(bank_path: str) -> None:
    grid = WindowGrid(steps=3, items_per_step=1)
    data = WindowDataset(bank_path, CLIPS, [("a", 5.0)], before_s=3.0, after_s=0.0, grid=grid)
    assert data[0]["times_s"].flatten().tolist() == [2.0, 3.0, 4.0]


def test_data_sets_of_unknown_names_are_refused(bank_path: str) -> None:
    with pytest.raises(UnknownNameError, match="No space 'x'"):
        WindowDataset(bank_path, "x", MOMENTS, before_s=1, after_s=1, grid=GRID)
    with pytest.raises(UnknownNameError, match=r"No videos \['c'\].*1 of those"):
        WindowDataset(bank_path, CLIPS, [("c", 1.0), ("a", 1.0)], before_s=1, after_s=1, grid=GRID)
    with pytest.raises(BankError, match="before_s -1"):
        WindowDataset(bank_path, CLIPS, MOMENTS, before_s=-1, after_s=1, grid=GRID)

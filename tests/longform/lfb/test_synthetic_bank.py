"""The generated banks of benchmarks.lfb hold what is said of them, and its README shows the stored results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.lfb import kitchens, movies
from benchmarks.lfb.__main__ import QUICK, STORED
from benchmarks.lfb.claims import CLAIMS
from benchmarks.lfb.conditions import INTERACTION, NL, TASKS, Condition, conditions
from benchmarks.lfb.experiment import Split, mean_precisions, run
from benchmarks.lfb.results import Results
from benchmarks.lfb.tables import HERE, plots, with_tables
from benchmarks.lfb.videos import Items, SpaceInMemory, packed, write_bank
from longform.metrics import ava_frame_map
from pipeline.bank import FeatureBank
from pipeline.bank.verify import verify
from pipeline.bank.windows import WindowGrid, pad_windows
from pipeline.errors import InputError

GRID = WindowGrid(steps=60, items_per_step=movies.MAX_CAST)


@pytest.fixture(scope="module", autouse=True)
def no_sync():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.bank.filesystem._sync", lambda path: None)
        yield


@pytest.fixture(scope="module")
def made():
    return movies.make_movies(6, seed=5, prefix="m")


@pytest.fixture(scope="module")
def bank(made, tmp_path_factory) -> FeatureBank:
    folder = tmp_path_factory.mktemp("movies") / "bank"
    write_bank(folder, made)
    return FeatureBank.open(folder)


def labels_of(made, name: str) -> np.ndarray:
    """(V, T, K)"""
    return np.stack([movie.labels[..., movies.CLASSES.index(name)] for movie in made])


def read(bank: FeatureBank, made, margin: int) -> SpaceInMemory:
    names = [movie.video_id for movie in made]
    return SpaceInMemory.read(
        bank, movies.PEOPLE, names, seconds=movies.SECONDS, margin=margin, items=movies.MAX_CAST
    )  # fmt: skip


def windows(space: SpaceInMemory, before_s: int, after_s: int) -> np.ndarray:
    """(V, T, L, D): the window of every second."""
    seconds = torch.arange(movies.SECONDS)
    found = [space.window(torch.full_like(seconds, v), seconds, before_s, after_s)[0] for v in range(len(space.values))]
    return torch.stack(found).numpy()


def test_one_seed_makes_one_movie_and_another_seed_another(made):
    again, other = movies.make_movies(1, seed=5, prefix="m")[0], movies.make_movies(1, seed=6, prefix="m")[0]
    for name, items in made[0].spaces.items():
        assert (items.values == again.spaces[name].values).all()
    assert (made[0].labels == again.labels).all()
    assert (made[0].spaces[movies.PEOPLE].values != other.spaces[movies.PEOPLE].values).any()


def test_the_bank_is_whole_and_its_windows_are_those_of_the_experiment(bank, made):
    assert verify(bank.uri).problems == []
    space = read(bank, made, margin=60)
    moments = [("m000", 0.0), ("m003", 100.0), ("m005", 239.0)]
    expected = pad_windows(bank.windows(movies.PEOPLE, moments, before_s=30, after_s=30), GRID)
    values, present = space.window(torch.tensor([0, 3, 5]), torch.tensor([0, 100, 239]), 30, 30)
    assert (values.numpy() == expected.features.reshape(3, -1, movies.DIM)).all()
    assert (present.numpy() == expected.mask.reshape(3, -1)).all()
    assert present[1].any()
    window = bank.window(movies.PEOPLE, "m003", 100.0, before_s=0, after_s=1)
    assert window.boxes is not None
    assert np.allclose(window.boxes, made[3].spaces[movies.PEOPLE].boxes[100][: len(window.boxes)])


def test_labels_around_are_the_maximum_over_60_seconds_of_the_bank(bank, made):
    present = np.stack([movie.spaces[movies.PEOPLE].present for movie in made])
    deeds = windows(read(bank, made, margin=60), 30, 30)[..., movies.DEED].max(2)
    for deed in movies.ALONE:
        seen = deeds[..., movies.DEEDS.index(deed)] > 1.3
        agree = (seen[..., None] == labels_of(made, f"{deed} nearby"))[present]
        assert agree.mean() > 0.97
    shorter = windows(read(bank, made, margin=60), 15, 15)[..., movies.DEED].max(2)
    missed = labels_of(made, "music nearby") & (shorter[..., movies.DEEDS.index("music")] < 1.3)[..., None]
    assert missed[present].mean() > 0.05


def test_who_compares_looks_with_addresses_knows_the_interaction_and_who_pools_does_not(bank, made):
    space = read(bank, made, margin=60)
    now, here = (x.numpy() for x in (space.values[:, 60:300], space.present[:, 60:300]))
    truth = np.stack([labels_of(made, f"{deed} to me") for deed in movies.TO_SOMEBODY], axis=-1)[here]
    deeds_of = slice(movies.DEED.start, movies.DEED.start + len(movies.TO_SOMEBODY))

    def matched(before_s: int, after_s: int) -> float:
        window = windows(space, before_s, after_s)
        to_me = np.einsum("vtkd,vtld->vtkl", now[..., movies.APPEARANCE], window[..., movies.ADDRESS])
        same_place = np.einsum("vtkd,vtld->vtkl", now[..., movies.PLACE], window[..., movies.PLACE])
        weight = (to_me > 4) & (same_place > 9)
        scores = (weight[..., None] * window[:, :, None, :, deeds_of]).max(3)
        return float(np.mean(mean_precisions(scores[here].astype(np.float64), truth)))

    pooled = np.broadcast_to(windows(space, 30, 30)[..., deeds_of].max(2)[:, :, None], (*here.shape, 4))[here]
    assert matched(30, 30) > 85
    assert matched(0, 1) < matched(10, 10) < matched(30, 30)
    assert matched(30, 0) < matched(30, 30) - 15
    assert matched(60, 60) == pytest.approx(matched(30, 30), abs=4)
    assert np.mean(mean_precisions(pooled.astype(np.float64), truth)) < 40


def test_cells_hold_the_mean_over_their_area():
    values = np.zeros((1, 2, movies.DIM), np.float32)
    values[0, 0, 0], values[0, 1, 1] = 4.0, 8.0
    boxes = np.array([[[0, 0, 0.5, 1], [0.75, 0, 1, 0.5]]], np.float32)
    people = Items(values=values, present=np.array([[True, True]]), boxes=boxes)
    background = np.full((1, movies.DIM), 1.0, np.float32)
    whole, quarters = (movies.grid(people, background, cells).values for cells in (1, 2))
    assert whole[0, 0, :3] == pytest.approx([4 / 2 + 0.375, 8 / 8 + 0.375, 0.375])
    assert quarters[0, :, 0] == pytest.approx([4, 0.5, 4, 1])
    assert quarters[0, :, 1] == pytest.approx([0, 8 / 2 + 0.5, 0, 1])


def test_packed_moves_what_is_present_to_the_front():
    present = np.array([[False, True, True], [True, False, True]])
    assert packed(np.array([[1, 2, 3], [4, 5, 6]]), present).tolist() == [[2, 3, 0], [4, 6, 0]]


def test_a_kitchen_shows_its_verb_mostly_and_its_noun_most_clearly():
    right = {"verb": [], "noun": []}
    for video in kitchens.make_kitchens(3, seed=1, prefix="k"):
        clips, objects = video.spaces[kitchens.CLIPS].values[:, 0], video.spaces[kitchens.OBJECTS].values
        for second in range(30, 210, 10):
            truth = video.labels[second, 0]
            most = clips[second - 20 : second + 20, kitchens.VERB].mean(0).argmax()
            clearest = objects[second - 6 : second + 6, :, kitchens.NOUN].max((0, 1)).argmax()
            right["verb"].append(truth[most])
            right["noun"].append(truth[12 + clearest])
    assert np.mean(right["verb"]) > 0.7
    assert np.mean(right["noun"]) > 0.8


def test_mean_precision_is_that_of_the_official_evaluator_where_all_boxes_are_found(tmp_path: Path):
    rng = np.random.default_rng(0)
    scores, labels = rng.random((40, 2)), rng.random((40, 2)) < 0.3
    box = "0.1,0.1,0.5,0.9"
    truth = [f"v,{902 + i},{box},{k + 1}" for i, k in np.argwhere(labels)]
    found = [f"v,{902 + i},{box},{k + 1},{float(scores[i, k])!r}" for i in range(40) for k in range(2)]
    empty = [f"v,{902 + i}" for i in range(40)]
    (tmp_path / "truth.csv").write_text("\n".join([*empty, *truth]) + "\n")
    (tmp_path / "found.csv").write_text("\n".join(found) + "\n")
    (tmp_path / "map.pbtxt").write_text('item {\n  name: "a"\n  id: 1\n}\nitem {\n  name: "b"\n  id: 2\n}\n')
    official = ava_frame_map(tmp_path / "truth.csv", tmp_path / "found.csv", tmp_path / "map.pbtxt")
    assert np.mean(mean_precisions(scores, labels)) == pytest.approx(100 * official["mAP"], abs=1e-9)


def test_training_repeats_and_an_operator_changes_the_answer(tmp_path: Path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    task = replace(INTERACTION, steps=1000)
    train, val = Split(task, tmp_path / "train", 6, 0, "t"), Split(task, tmp_path / "val", 3, 1, "v")
    one = replace(NL, task=task, before_s=5, after_s=5)
    short = Condition(name="short", task=task, operator="none", before_s=0, after_s=1)
    values = [run(condition, train, val, 3, QUICK)["value"] for condition in (one, one, short)]
    torch.set_num_threads(threads)
    assert values[0] == values[1] != values[2]


def test_every_condition_has_a_name_and_a_task_of_its_own():
    names = [condition.name for condition in conditions()]
    assert len(names) == len(set(names))
    assert {condition.task.name for condition in conditions()} == {task.name for task in TASKS}


@pytest.fixture(scope="module")
def stored() -> Results:
    return Results.read(STORED)


def test_the_stored_results_are_complete(stored):
    assert {(run["condition"], run["seed"]) for run in stored.runs} == {
        (condition.name, seed) for condition in conditions() for seed in range(5)
    }


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text)
def test_the_stored_results_show(stored, claim):
    assert claim.holds(stored)


def test_the_readme_shows_the_stored_results(stored):
    text = (HERE / "README.md").read_text()
    assert with_tables(text, stored) == text
    for name, svg in plots(stored).items():
        assert (HERE / name).read_text() == svg


def test_results_of_other_sizes_are_not_mixed(tmp_path: Path):
    path = tmp_path / "r.json"
    results = Results(sizes=QUICK)
    results.add("NL", 0, {"value": 1.0, "families": {}, "seconds": 0.1})
    results.write(path)
    assert Results.read_or_new(path, QUICK).has("NL", 0)
    with pytest.raises(InputError, match=r"r\.json holds results of"):
        Results.read_or_new(path, replace(QUICK, train_videos=9))
    with pytest.raises(InputError, match="no condition 'Max'"):
        results.estimate("Max")

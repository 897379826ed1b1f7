"""extractors/tracking/linker.py: people who walk, cross, leave, come back, and are cut away from."""

from __future__ import annotations

import csv
import math
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import people
from extractors import ConfigError, OrderError, ShapeError
from extractors.ops import boxes as box_ops
from extractors.tracking.appearance import hsv_stripes
from extractors.tracking.linker import AVA_KEYFRAMES, IOU_ONLY, NO_TRACK, LinkConfig, Linker

PERSON, DOG = 0, 1
RED, BLUE, TEAL = np.eye(3, dtype=np.float32)

Walk = Callable[[float], float]


def standing(x: float, y: float = 0.5, height: float = 0.5) -> tuple[float, float, float, float]:
    """A person's box around (x, y), 0.4 as wide as high."""
    return (x - 0.2 * height, y - height / 2, x + 0.2 * height, y + height / 2)


def steps(linker: Linker, times_s: np.ndarray, walks: list[Walk], looks: list[np.ndarray] | None) -> np.ndarray:
    """(T, P) ids of P people whose x is a function of time."""
    return np.array(
        [
            linker.step(at_s, 0, [standing(walk(at_s)) for walk in walks], [PERSON] * len(walks), looks)
            for at_s in times_s
        ]
    )


def test_first_frame_counts_from_zero_in_the_order_given():
    ids = Linker().step(0.0, 0, [standing(0.8), standing(0.2), standing(0.5)], [PERSON, PERSON, DOG])
    assert ids.tolist() == [0, 1, 2]
    assert ids.dtype == np.int64


@pytest.mark.parametrize("hz", [1, 5, 25])
@pytest.mark.parametrize("looks", [None, [RED]])
def test_a_walker_keeps_the_id(hz, looks):
    """0.2 of the frame a second: at 1 Hz exactly clear of the box before (width 0.2)."""
    times_s = np.arange(0, 4, 1 / hz)
    assert set(steps(Linker(), times_s, [lambda t: 0.1 + 0.2 * t], looks).ravel()) == {0}


@pytest.mark.parametrize("hz", [1, 25])
@pytest.mark.parametrize("looks", [[RED, BLUE], None], ids=["appearance", "motion alone"])
def test_two_who_cross_keep_their_ids(hz, looks):
    """At 1 Hz they stand at 0.2/0.8, 0.4/0.6, 0.6/0.4, 0.8/0.2: each on the other's last box, in the middle."""
    times_s = np.arange(0, 3 + 1e-9, 1 / hz)
    ids = steps(Linker(), times_s, [lambda t: 0.2 + 0.2 * t, lambda t: 0.8 - 0.2 * t], looks)
    assert set(ids[:, 0]) == {0}
    assert set(ids[:, 1]) == {1}


def test_two_who_change_places_between_two_frames_are_told_by_appearance():
    """After a second, clothes whose cosine is 0.6 say more than a full overlap with the other's last box."""
    linker, alike = Linker(), np.array([0.6, 0.8, 0.0])
    linker.step(0.0, 0, [standing(0.4), standing(0.6)], [PERSON] * 2, [RED, alike])
    assert linker.step(1.0, 0, [standing(0.4), standing(0.6)], [PERSON] * 2, [alike, RED]).tolist() == [1, 0]


def test_somebody_else_in_the_same_place_a_second_later_is_new():
    linker = Linker()
    linker.step(0.0, 0, [standing(0.4)], [PERSON], [RED])
    assert linker.step(1.0, 0, [standing(0.4)], [PERSON], [BLUE]).tolist() == [1]


@pytest.mark.parametrize(("gap_s", "linked"), [(2.0, True), (2.5, True), (2.6, False), (10.0, False)])
def test_leaving_and_coming_back(gap_s, linked):
    """The default bridges one missed detection at 1 Hz, and not more than 2.5 s."""
    linker = Linker()
    linker.step(0.0, 0, [standing(0.4), standing(0.8)], [PERSON] * 2, [RED, BLUE])
    for at_s in np.arange(1, gap_s):
        linker.step(at_s, 0, [standing(0.8)], [PERSON], [BLUE])
    ids = linker.step(gap_s, 0, [standing(0.45), standing(0.8)], [PERSON] * 2, [RED, BLUE])
    assert ids.tolist() == [0 if linked else 2, 1]


def test_empty_frames_and_uncalled_frames_are_the_same_gap():
    called, uncalled = Linker(), Linker()
    for linker in (called, uncalled):
        linker.step(0.0, 0, [standing(0.4)], [PERSON], [RED])
    assert called.step(1.0, 0, [], [], np.zeros((0, 3))).shape == (0,)
    assert called.step(1.5, 0, [], []).dtype == np.int64
    for linker in (called, uncalled):
        assert linker.step(2.0, 0, [standing(0.4)], [PERSON], [RED]).tolist() == [0]


def test_a_cut_ends_every_track():
    linker = Linker()
    linker.step(0.0, 0, [standing(0.4)], [PERSON], [RED])
    assert linker.step(0.04, 0, [standing(0.4)], [PERSON], [RED]).tolist() == [0]
    assert linker.step(0.08, 1, [standing(0.4)], [PERSON], [RED]).tolist() == [1]
    assert linker.step(0.12, 0, [standing(0.4)], [PERSON], [RED]).tolist() == [2]


def test_classes_are_never_mixed():
    linker = Linker()
    linker.step(0.0, 0, [standing(0.4), standing(0.6)], [PERSON, DOG])
    assert linker.step(1.0, 0, [standing(0.4), standing(0.6)], [DOG, PERSON]).tolist() == [1, 0]
    assert linker.step(1.5, 0, [standing(0.4), standing(0.6)], [7, PERSON]).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("x", "at_s", "linked"),
    [
        (0.5, 1.0, True),  # 0.8 heights in 1 s; the gate is 0.3 + 1.5
        (0.95, 1.0, True),  # 1.7 heights
        (0.95, 0.9, False),  # 1.7 heights in 0.9 s; the gate is 1.65
        (0.5, 0.3, False),  # 0.8 heights in 0.3 s; the gate is 0.75
    ],
)
def test_how_far_one_may_have_walked(x, at_s, linked):
    linker = Linker()
    linker.step(0.0, 0, [standing(0.1)], [PERSON], [RED])
    assert linker.step(at_s, 0, [standing(x)], [PERSON], [RED]).tolist() == [0 if linked else 1]


def test_a_wide_frame_makes_steps_sideways_longer():
    for aspect, expected in ((1.0, 0), (2.0, 1)):  # 0.4 x aspect / 0.5 = 0.8 or 1.6 heights in 0.5 s: gate 1.05
        linker = Linker(frame_aspect=aspect)
        linker.step(0.0, 0, [standing(0.1)], [PERSON], [RED])
        assert linker.step(0.5, 0, [standing(0.5)], [PERSON], [RED]).tolist() == [expected]


@pytest.mark.parametrize(("x", "linked"), [(0.30, True), (0.32, True), (0.33, False), (0.5, False)])
def test_without_appearance_boxes_that_do_not_overlap_must_be_near(x, linked):
    """Boxes 0.2 wide, 0.5 high, after 1 s: one may have gone 1.8 heights, so a quarter is 0.225 of the frame."""
    linker = Linker()
    linker.step(0.0, 0, [standing(0.1)], [PERSON])
    assert linker.step(1.0, 0, [standing(x)], [PERSON]).tolist() == [0 if linked else 1]
    far_too = Linker(LinkConfig(max_position_cost=1.0))
    far_too.step(0.0, 0, [standing(0.1)], [PERSON])
    assert far_too.step(1.0, 0, [standing(x)], [PERSON]).tolist() == [0]


@pytest.mark.parametrize(("height", "linked"), [(0.25, True), (0.24, False)])
def test_how_much_smaller_one_may_have_become(height, linked):
    linker = Linker()
    linker.step(0.0, 0, [standing(0.5, height=0.5)], [PERSON])
    assert linker.step(1.0, 0, [standing(0.5, height=height)], [PERSON]).tolist() == [0 if linked else 1]


def test_a_track_just_seen_wins_over_one_long_unseen():
    """Real case (chaplin.mp4): a stale false detection near by took a steady person's box when it jumped."""
    linker = Linker()
    linker.step(0.0, 0, [standing(0.45), standing(0.2)], [PERSON] * 2, [RED, RED])
    for at_s in np.arange(0.1, 2.05, 0.1):
        assert linker.step(at_s, 0, [standing(0.2)], [PERSON], [RED]).tolist() == [1]
    assert linker.step(2.1, 0, [standing(0.26)], [PERSON], [RED]).tolist() == [1]


def test_without_appearance_now_or_before_position_decides():
    linker = Linker()
    linker.step(0.0, 0, [standing(0.3), standing(0.7)], [PERSON] * 2, None)
    assert linker.step(1.0, 0, [standing(0.7), standing(0.3)], [PERSON] * 2, [RED, BLUE]).tolist() == [1, 0]
    assert linker.step(2.0, 0, [standing(0.3), standing(0.7)], [PERSON] * 2, None).tolist() == [0, 1]
    assert linker.step(3.0, 0, [standing(0.5), standing(0.6)], [PERSON] * 2, [RED, BLUE]).tolist() == [1, 0]


def test_low_scores_get_no_track():
    linker = Linker(LinkConfig(min_score=0.5))
    boxes = [standing(0.2), standing(0.5), standing(0.8)]
    ids = linker.step(0.0, 0, boxes, [PERSON] * 3, scores=[0.4, 0.5, 0.9])
    assert ids.tolist() == [NO_TRACK, 0, 1]
    assert linker.step(0.1, 0, boxes, [PERSON] * 3, scores=[0.6, 0.1, 0.9]).tolist() == [2, NO_TRACK, 1]
    with pytest.raises(ConfigError, match="min_score"):
        linker.step(2.0, 0, boxes, [PERSON] * 3)


def test_equal_boxes_are_two_tracks_that_stay_two():
    linker = Linker()
    for at_s in (0.0, 1.0, 2.0):
        ids = linker.step(at_s, 0, [standing(0.5)] * 2, [PERSON] * 2, [RED, RED])
        assert sorted(ids.tolist()) == [0, 1]
    told_apart = linker.step(3.0, 0, [standing(0.5)] * 2, [PERSON] * 2, [RED, BLUE])
    assert len(set(told_apart.tolist())) == 2


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_an_exact_tie_does_not_fall_by_the_order_of_the_boxes(order):
    """One track, and two boxes at the same distance on either side; in binary fractions, so exactly the same."""
    linker = Linker()
    linker.step(0.0, 0, [(0.375, 0.25, 0.5, 0.75)], [PERSON])
    boxes = np.array([(0.25, 0.25, 0.375, 0.75), (0.5, 0.25, 0.625, 0.75)])
    ids = linker.step(1.0, 0, boxes[order], [PERSON] * 2)
    assert ids[np.argsort(order)].tolist() == [0, 1]


def test_every_shot_of_one_frame_has_tracks_of_its_own():
    linker = Linker()
    ids = [linker.step(frame / 25, frame, [standing(0.4), standing(0.7)], [PERSON] * 2) for frame in range(4)]
    assert np.concatenate(ids).tolist() == list(range(8))


@pytest.mark.parametrize("config", [LinkConfig(), IOU_ONLY, AVA_KEYFRAMES], ids=["default", "iou", "ava"])
def test_boxes_at_the_border_and_beyond_are_linked_like_others(config):
    """Whole at the left edge, cut by the right edge and the floor, and of a detector that looks outside the frame."""
    boxes = [(0.0, 0.2, 0.2, 0.7), (0.85, 0.6, 1.0, 1.0), (-0.3, -0.4, -0.1, 0.1)]
    linker = Linker(config)
    for at_s in (0.0, 0.5, 1.0):
        assert linker.step(at_s, 0, boxes, [PERSON] * 3, [RED, BLUE, TEAL]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("x", "linked"), [(0.5, True), (0.60, True), (0.62, False)])
@pytest.mark.parametrize("looks", [None, [RED]], ids=["alone", "appearance ignored"])
def test_iou_only_links_from_an_overlap_of_0_3(x, linked, looks):
    """Boxes 0.2 wide: moved by 0.1 they overlap 1/3, by 0.12 a quarter."""
    linker = Linker(IOU_ONLY)
    linker.step(0.0, 0, [standing(0.5)], [PERSON], looks)
    assert linker.step(0.04, 0, [standing(x)], [PERSON], looks).tolist() == [0 if linked else 1]


def test_keyframes_as_in_ava_are_linked_by_looks_wherever_they_are():
    linker = Linker(AVA_KEYFRAMES)
    linker.step(0.0, 0, [standing(0.1, height=0.2), standing(0.9, height=0.9)], [PERSON] * 2, [RED, BLUE])
    swapped = [standing(0.9, height=0.9), standing(0.1, height=0.2)]
    assert linker.step(1.0, 0, swapped, [PERSON] * 2, [RED, BLUE]).tolist() == [0, 1]
    assert linker.step(2.0, 0, [standing(0.5)], [PERSON], [TEAL]).tolist() == [2]
    assert linker.step(3.0, 0, [standing(0.9)], [PERSON], [RED]).tolist() == [3]  # absent in one key frame


def test_appearance_alone_needs_appearance():
    linker = Linker(AVA_KEYFRAMES)
    linker.step(0.0, 0, [standing(0.5)], [PERSON], [RED])
    with pytest.raises(ConfigError, match=r"1 boxes at 1\.0 s came without"):
        linker.step(1.0, 0, [standing(0.5)], [PERSON])
    assert linker.step(1.0, 0, [], []).shape == (0,)
    assert linker.step(1.2, 0, [standing(0.5)], [PERSON], [RED]).tolist() == [0]


def test_boxes_without_area_are_no_error():
    linker = Linker()
    for at_s in (0.0, 1.0):
        assert len(set(linker.step(at_s, 0, [(0.5, 0.5, 0.5, 0.5), standing(0.5)], [PERSON] * 2).tolist())) == 2


def test_300_people_at_25_hz():
    """A crowd on a grid, everybody drifting, in another order in every frame."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(np.arange(20) / 20, np.arange(15) / 15), -1).reshape(-1, 2)
    boxes = np.concatenate([corners, corners + np.array([0.02, 0.05])], axis=1)
    looks = rng.random((300, 64), np.float32)
    linker, started = Linker(), time.process_time()
    for frame in range(5):
        order = rng.permutation(300)
        ids = linker.step(frame / 25, 0, boxes[order] + 0.001 * frame, np.zeros(300), looks[order])
        if frame == 0:
            identity = dict(zip(order.tolist(), ids.tolist(), strict=True))
        assert [identity[person] for person in order.tolist()] == ids.tolist()
    assert (time.process_time() - started) / 5 < 0.5


def test_what_is_remembered_does_not_grow():
    linker = Linker()
    for second in range(200):
        linker.step(float(second), second // 50, [standing(0.2 + 0.6 * (second % 2))], [PERSON], [RED])
    assert len(linker._tracks) <= 3


def test_frames_must_come_in_order():
    linker = Linker()
    linker.step(1.0, 0, [], [])
    for at_s in (1.0, 0.5, math.nan):
        with pytest.raises(OrderError, match=r"1\.0 s; expected a later one"):
            linker.step(at_s, 0, [], [])


@pytest.mark.parametrize(
    ("boxes", "classes", "appearance", "scores"),
    [
        ([standing(0.5)], [], None, None),
        ([standing(0.5)], [0], [RED, BLUE], None),
        ([standing(0.5)], [0], RED, None),
        ([standing(0.5)], [0], None, [0.5, 0.5]),
        ([standing(math.nan)], [0], None, None),
        ([standing(0.5)], [0], [np.full(3, math.inf)], None),
        ([standing(0.5)], [0], [np.ones(5)], None),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_change_nothing(boxes, classes, appearance, scores):
    linker = Linker()
    linker.step(0.0, 0, [standing(0.5)], [0], [RED])
    with pytest.raises(ShapeError):
        linker.step(1.0, 0, boxes, classes, appearance, scores=scores)
    assert linker.step(1.0, 0, [standing(0.5)], [0], [RED]).tolist() == [0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iou_weight", -1),
        ("appearance_weight", math.inf),
        ("max_cost", 0),
        ("max_gap_s", 0),
        ("max_size_ratio", 0.5),
        ("min_iou", 1.1),
        ("max_position_cost", -0.1),
        ("iou_half_life_s", math.nan),
        ("slack_heights", -0.1),
        ("min_score", math.nan),
    ],
)
def test_settings_are_checked(name, value):
    with pytest.raises(ConfigError, match=f"LinkConfig.{name} is"):
        LinkConfig(**{name: value})


def test_something_must_count():
    with pytest.raises(ConfigError, match="appearance_weight"):
        LinkConfig(iou_weight=0, distance_weight=0, appearance_weight=0)
    with pytest.raises(ConfigError, match="frame_aspect"):
        Linker(frame_aspect=0)


def test_real_people_at_about_1_hz_keep_their_ids(clips: Path):
    """Hand-drawn boxes, 0.8 to 1.6 s apart, with the appearance vector: one id a person, one person an id.

    Left out: woman_brown in the first frame that shows a corner of her, before she has walked in.
    """
    for video, fps in (("chaplin.mp4", 25.0), ("store-aisle-detection.gif", 16.667)):
        ids_of = linked_labels(clips, video, fps)
        if "woman_brown" in ids_of:
            ids_of["woman_brown"].pop(0)
        assert all(len(set(ids)) == 1 for ids in ids_of.values()), ids_of
        assert len({ids[0] for ids in ids_of.values()}) == len(ids_of) >= 2


def linked_labels(clips: Path, video: str, fps: float) -> dict[str, list[int]]:
    """Person -> ids in order, linking the labelled boxes of one clip."""
    with (clips / "people.csv").open(newline="") as file:
        names = [(int(row["frame"]), row["person"]) for row in csv.DictReader(file) if row["video"] == video]
    labels = people.read_labels(clips / "people.csv")[video]
    linker, ids_of = Linker(frame_aspect=16 / 9), defaultdict(list)
    for frame, frame_rgb in people.decode(clips / video, set(labels)):
        boxes = box_ops.to_normalised(labels[frame], frame_rgb.shape[:2])
        ids = linker.step(frame / fps, 0, boxes, [PERSON] * len(boxes), hsv_stripes(frame_rgb, boxes))
        for person, track_id in zip([name for at, name in names if at == frame], ids.tolist(), strict=True):
            ids_of[person].append(track_id)
    return ids_of


# A few places, sizes and looks, so that ties and near-ties are common.
PERSONS = st.tuples(
    st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.52, 0.9]),
    st.sampled_from([0.3, 0.5]),
    st.sampled_from([PERSON, DOG]),
    st.integers(0, 2),
)
FRAMES = st.lists(
    st.tuples(st.sampled_from([0.04, 0.5, 1.0, 3.0]), st.booleans(), st.lists(PERSONS, max_size=5)),
    max_size=6,
)


def linked(frames: list, shuffle: Callable[[int], np.ndarray], with_looks: bool) -> list[list[int]]:
    """Ids per frame in the order the frames give, after feeding every frame in a shuffled order."""
    linker, at_s, shot, result = Linker(), 0.0, 0, []
    for wait_s, cut, persons in frames:
        at_s, shot = at_s + wait_s, shot + cut
        order = shuffle(len(persons))
        fed = [persons[i] for i in order]
        looks = np.array([np.eye(3)[look] for *_, look in fed]).reshape(-1, 3) if with_looks else None
        boxes = [standing(x, height=height) for x, height, *_ in fed]
        ids = linker.step(at_s, shot, boxes, [class_id for _, _, class_id, _ in fed], looks)
        in_order = np.empty(len(persons), np.int64)
        in_order[order] = ids
        result.append(in_order.tolist())
    return result


@given(FRAMES, st.booleans())
@settings(max_examples=150, deadline=None)
def test_ids_are_never_shared_across_shots_classes_or_within_a_frame(frames, with_looks):
    owner: dict[int, tuple[int, int]] = {}
    ids_by_frame = linked(frames, np.arange, with_looks)
    shot, seen = 0, -1
    for (_, cut, persons), ids in zip(frames, ids_by_frame, strict=True):
        shot += cut
        assert len(set(ids)) == len(ids) == len(persons)
        for (_, _, class_id, _), track_id in zip(persons, ids, strict=True):
            assert owner.setdefault(track_id, (shot, class_id)) == (shot, class_id)
            assert track_id <= seen + 1  # 0, 1, 2… without holes, in order of first appearance
            seen = max(seen, track_id)
    assert sorted(owner) == list(range(seen + 1))


@given(FRAMES, st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_the_order_of_boxes_does_not_change_what_is_linked(frames, with_looks, seed):
    frames = [(wait_s, cut, sorted(set(persons))) for wait_s, cut, persons in frames]  # perfect twins apart
    if not with_looks:
        frames = [(w, c, list({p[:3]: p for p in persons}.values())) for w, c, persons in frames]
    shuffled = linked(frames, np.random.default_rng(seed).permutation, with_looks)
    straight = linked(frames, np.arange, with_looks)
    names: dict[int, int] = {}
    for first, second in zip(straight, shuffled, strict=True):
        for a, b in zip(first, second, strict=True):
            assert names.setdefault(a, b) == b
    assert len(set(names.values())) == len(names)


@given(FRAMES)
@settings(max_examples=30, deadline=None)
def test_twice_the_same(frames):
    assert linked(frames, np.arange, True) == linked(frames, np.arange, True)

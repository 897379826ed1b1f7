"""The measures of the model card, on vectors whose answers are known."""

import numpy as np
import pytest

from benchmarks.builtin_network.measures import (
    arrow_of_time,
    neighbour_accuracy,
    numbered,
    resampled,
    same_shot,
    standardised,
)

RNG = np.random.default_rng(0)


def clusters(count: int, size: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Vectors about `count` centres, and which."""
    labels = np.repeat(np.arange(count), size)
    centres = RNG.normal(size=(count, 16))
    return centres[labels] + spread * RNG.normal(size=(len(labels), 16)), labels


def test_neighbours_of_clusters_are_right_and_of_noise_are_chance() -> None:
    vectors, labels = clusters(5, 20, 0.05)
    assert neighbour_accuracy(vectors, labels).value == 1
    noise = neighbour_accuracy(RNG.normal(size=(200, 16)), np.repeat(np.arange(5), 40))
    assert noise.value == pytest.approx(0.2, abs=4 * max(noise.error, 0.03))


def test_retrieval_by_hand() -> None:
    """Shot 0 at angles 0, 10 and 90 degrees, shot 1 at 20: worked out on paper."""
    angles = np.radians([0, 10, 90, 20])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1)
    shots = np.array([0, 0, 0, 1])
    precision, first = same_shot(vectors, vectors, shots, np.array([0, 1, 2, 3]))
    # 0: hit (10), miss (20), hit (90); 10: equally far from 0 and 20; 90: miss (20), hit, hit
    by_query = [(1 + 2 / 3) / 2, None, (1 / 2 + 2 / 3) / 2]
    assert by_query[0] is not None
    low, high = ((by_query[0] + x + by_query[2]) / 3 for x in ((1 / 2 + 2 / 3) / 2, (1 + 2 / 3) / 2))
    assert low - 1e-9 <= precision.value <= high + 1e-9
    assert first.value in (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_a_query_never_finds_itself() -> None:
    vectors, _ = clusters(4, 2, 0.5)
    _, first = same_shot(vectors, vectors, np.arange(8) // 2, np.arange(8))
    others = [np.delete(vectors @ vectors[i] / np.linalg.norm(vectors, axis=1), i).argmax() for i in range(8)]
    expected = np.mean([(other + (other >= i)) // 2 == i // 2 for i, other in enumerate(others)])
    assert first.value == pytest.approx(expected)


def test_an_arrow_that_is_there_is_found_and_none_is_chance() -> None:
    videos = np.repeat(np.arange(12), 5)
    direction = RNG.normal(size=8)
    still = RNG.normal(size=(60, 8))
    found = arrow_of_time(still + direction, still - direction, videos)
    assert found.value == 1
    noise = arrow_of_time(RNG.normal(size=(60, 8)), RNG.normal(size=(60, 8)), videos)
    assert noise.value == pytest.approx(0.5, abs=4 * max(noise.error, 0.05))


def test_a_video_tells_nothing_of_its_own_arrow() -> None:
    """Each video has a direction of its own: a probe that saw it would be right, one that did not cannot be."""
    videos = np.repeat(np.arange(20), 4)
    own = np.eye(20)[videos]
    assert arrow_of_time(own, -own, videos).value == pytest.approx(0.5)


def test_what_cannot_tell_is_half_right() -> None:
    same = RNG.normal(size=(20, 4))
    assert arrow_of_time(same, same, np.repeat(np.arange(5), 4)) == (0.5, 0.0)


def test_every_group_weighs_the_same_and_the_error_is_that_of_the_mean() -> None:
    scores, groups = np.array([1.0, 1, 1, 0]), np.array([0, 0, 0, 1])
    assert resampled(scores, groups).value == 0.5
    many = RNG.random(400)
    assert resampled(many, np.arange(400)).error == pytest.approx(many.std() / 20, rel=0.1)


def test_standardised_leaves_out_what_does_not_vary() -> None:
    vectors = np.column_stack([RNG.normal(3, 2, 50), np.full(50, 7.0)])
    done = standardised(vectors)
    assert done[:, 0].std() == pytest.approx(1)
    assert not done[:, 1].any()


def test_numbers_follow_the_first_appearance() -> None:
    assert numbered(["b", "a", "b"]).tolist() == [0, 1, 0]

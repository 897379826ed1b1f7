"""The map is the plane of largest variance; what is alike is what a plain search finds."""

import numpy as np
import pytest

from longform.report.projection import nearest_of_other_groups, principal_plane, unit


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (30, 30), (3, 2), (2, 3)])
def test_plane_equals_the_first_two_singular_vectors(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    left, values, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    found = principal_plane(rows)
    rank = min(2, shape[0] - 1)
    np.testing.assert_allclose(np.abs(found.xy[:, :rank]), np.abs(left * values)[:, :rank], atol=1e-5)
    np.testing.assert_allclose(found.explained, values[:2] ** 2 / (values**2).sum(), atol=1e-6)


def test_signs_do_not_depend_on_the_direction_of_the_components() -> None:
    rows = np.random.default_rng(1).normal(size=(20, 5)).astype(np.float32)
    found = principal_plane(rows).xy
    assert (found[np.abs(found).argmax(0), [0, 1]] > 0).all()


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.ones((1, 4)), np.full((9, 4), 0.3), np.zeros((5, 1))])
def test_without_variance_all_points_fall_together(rows: np.ndarray) -> None:
    found = principal_plane(rows.astype(np.float32))
    assert found.xy.shape == (len(rows), 2)
    assert not found.xy.any()
    assert found.explained == (0.0, 0.0)


def test_one_dimension_leaves_the_second_component_empty() -> None:
    found = principal_plane(np.array([[0.0], [1.0], [5.0]], np.float32))
    np.testing.assert_allclose(found.xy, [[-2, 0], [-1, 0], [3, 0]], atol=1e-6)
    assert found.explained == pytest.approx((1, 0))


def test_unit_leaves_zeros_alone() -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_nearest_rows_are_those_of_a_plain_search() -> None:
    rng = np.random.default_rng(2)
    rows, groups = unit(rng.normal(size=(700, 6))), rng.integers(0, 40, 700)
    found = nearest_of_other_groups(rows, groups, 5)
    for query in range(0, 700, 37):
        best: dict[int, float] = {}
        for row in range(700):
            if groups[row] != groups[query]:
                best[groups[row]] = max(best.get(groups[row], -2), float(rows[query] @ rows[row]))
        expected = sorted(best.values(), reverse=True)[:5]
        np.testing.assert_allclose([cosine for _, cosine in found[query]], expected, atol=1e-5)
        assert len({int(groups[row]) for row, _ in found[query]} - {int(groups[query])}) == 5


def test_fewer_groups_give_fewer_answers() -> None:
    rows = unit(np.eye(4))
    assert nearest_of_other_groups(rows, np.zeros(4, np.int64), 3) == [[]] * 4
    assert [len(pairs) for pairs in nearest_of_other_groups(rows, np.array([0, 0, 1, 2]), 3)] == [2, 2, 2, 2]

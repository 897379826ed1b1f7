"""Table 7.2f of the thesis: what the operators cost beside the 3D CNN."""

import pytest

from longform.complexity import Counts, compare, line_of
from longform.published import Row, published_rows
from longform.published_lfb import AVA_SLOTS, BASELINE, MODEL

ROWS = [row for row in published_rows() if row.model == MODEL and row.relative_to is not None]


def test_every_row_of_the_table_is_counted() -> None:
    assert [(row.params_times, row.macs_times) for row in ROWS] == [
        (2.0, 2.0), (1.0, 1.12), (2.0, 2.24), (2.0, 2.12), (2.0, 2.15),
    ]  # fmt: skip
    assert {line.variant for line in compare([MODEL]) if line.macs} == {
        BASELINE.variant,
        *(row.variant for row in ROWS),
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.variant)
def test_the_printed_ratios_are_ours_with_the_columns_exchanged(row: Row) -> None:
    counts = Counts()
    ours, unit = counts.of_row(row), counts.of_row(BASELINE)
    assert ours is not None
    assert unit is not None
    assert round(ours.params / unit.params, 2) == row.macs_times
    assert round(ours.macs / unit.macs, 2) == row.params_times
    assert row.macs_times == row.params_times or "columns exchanged" in line_of(row, counts).note


def test_the_cost_of_an_operator_is_that_of_its_linear_layers_and_attention() -> None:
    macs = {line.variant: line.macs or 0 for line in compare([MODEL])}
    params = {line.variant: line.params or 0 for line in compare([MODEL])}
    layer = (2 * AVA_SLOTS + 2) * 512**2 + 2 * AVA_SLOTS * 512
    assert macs["LFB NL, 3 layers"] - macs["LFB NL, 2 layers"] == layer
    assert params["LFB NL, 3 layers"] - params["LFB NL, 2 layers"] == 4 * (512 + 1) * 512
    reduction, classifier = (1 + AVA_SLOTS) * 2048 * 512, 512 * 80
    assert macs["LFB NL, 2 layers"] - 2 * macs["3D CNN"] == reduction + 2 * layer + classifier

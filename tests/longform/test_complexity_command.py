"""The table of published figures, and the command that counts beside it."""

import json
from collections.abc import Iterator

import pytest

from extractors.backbones.catalog import backbone_names
from longform.complexity import Counts, Line, compare, line_of
from longform.published import Row, published_rows
from pipeline.cli import main

DETECTORS = ("faster_rcnn_r50_fpn", "faster_rcnn_r101_fpn", "faster_rcnn_x101_fpn")

PRINTED_PARAMS = {
    "Non-local": [43.2, 1.5 * 43.2, 1.2 * 43.2, 1.2 * 43.2, 0.7 * 43.2],
    "SlowFast": [32.4, 0.53],
    "Rethinking": [12.06, 8.77, 11.56],
    "Wu's thesis": [59.2, 60.6, 27.0],
}
"""Every figure of a document in millions, in no order; ratios times their base."""

PRINTED_MACS = {
    "Non-local": [34.2, 1.8 * 34.2, 1.5 * 34.2, 1.2 * 34.2, 0.8 * 34.2],
    "SlowFast": [
        *(108, 216, 143, 282, 359, 152, 152, 304, 23.5, 66.4, 36.1, 65.7, 106, 213, 234),  # Table 2
        *(36.1, 65.7, 106, 213, 234, 544, 630, 187, 213, 234),  # Tables 3 and 4
        *(27.3, 6.4, 34.2, 34.2, 39.8, 34.9, 36.1),  # Table 5a
        *(54.5, 41.8, 36.1, 32.8, 30.6, 28.6),  # Table 5b
        *(36.1, 34.4, 34.1, 34.2, 35.1),  # Table 5c
        36.7,  # Table 6
    ],
    "Rethinking": [107.89, 66.38, 71.38, 43.47, 107.89 / 2.5, 8.5 * 71.38],
    "Wu's thesis": [3.8, 11.3, 38.5, 19.3, 4.2, 2.7 * 4.2, 4.6 * 4.2, 242.0, 88.6, 1.8, 1.007 * 242.0],
}
"""Every figure of a document in billions, in no order; ratios times their base."""


@pytest.fixture(scope="module")
def lines() -> list[tuple[Row, Line]]:
    """Every row with a published figure, counted."""
    counts = Counts()
    return [(row, line_of(row, counts)) for row in published_rows() if row.source]


def test_every_network_of_the_project_has_a_row() -> None:
    there = {row.model for row in published_rows()}
    assert {*backbone_names(), "coviar", *DETECTORS} - there == set()


@pytest.mark.parametrize("document", PRINTED_MACS)
def test_every_printed_figure_has_a_row(document: str) -> None:
    rows = [row for row in published_rows() if row.source.startswith(document)]
    for printed, figures in (
        (PRINTED_PARAMS[document], {row.published_params for row in rows}),
        (PRINTED_MACS[document], {row.published_macs for row in rows}),
    ):
        unit = 1e6 if printed is PRINTED_PARAMS[document] else 1e9
        there = [figure / unit for figure in figures if figure is not None]
        missing = [figure for figure in printed if not any(abs(figure - other) < 1e-6 for other in there)]
        assert not missing


def test_the_ratios_of_long_term_feature_banks_are_there_without_a_base() -> None:
    ratios = [(row.params_times, row.macs_times) for row in published_rows() if "Table 7.2f" in row.source]
    assert {(2.0, 2.0), (1.0, 1.12), (2.0, 2.24), (2.0, 2.12), (2.0, 2.15)} < set(ratios)


def test_a_row_is_counted_or_says_why_not(lines: list[tuple[Row, Line]]) -> None:
    for row, line in lines:
        assert (line.macs is None) == bool(row.absent), line
        assert row.absent in line.note


def test_what_is_off_by_more_than_a_hundredth_is_explained(lines: list[tuple[Row, Line]]) -> None:
    unexplained = [(line.model, line.variant, line.source) for _, line in lines if line.is_off and not line.note]
    assert not unexplained


def test_readings_that_claim_to_explain_a_figure_give_it(lines: list[tuple[Row, Line]]) -> None:
    """Each note ends in what its reading comes to, here to three digits of the published figure."""
    explained = list(_explained(lines))
    assert len(explained) >= 12
    for line in explained:
        figures = [text.strip(" .") for text in line.note.rsplit(":", 1)[1].split(",")]
        giga = [float(figure.split()[0]) for figure in figures if figure.endswith("G")]
        assert line.published_macs is not None
        assert giga == [pytest.approx(line.published_macs / 1e9, rel=0.0075)], line


def _explained(lines: list[tuple[Row, Line]]) -> Iterator[Line]:
    for row, line in lines:
        if row.reading and line.is_off and "ot explained" not in line.note and "nothing that we" not in line.note:
            yield line


def test_printed_ratios_of_the_non_local_paper_are_ours_when_rounded(lines: list[tuple[Row, Line]]) -> None:
    """Table 2e prints two digits: the products with the base are off by as much as the rounding."""
    base = next(line for _, line in lines if line.model == "c2d_r101" and line.published_macs == 34.2e9)
    ratios = [(row, line) for row, line in lines if row.source.startswith("Non-local") and row.params_times]
    assert len(ratios) == 4
    for row, line in ratios:
        assert round((line.params or 0) / (base.params or 1), 1) == row.params_times
        assert round((line.macs or 0) / (base.macs or 1), 1) == row.macs_times


def test_a_non_local_block_costs_what_its_maps_say() -> None:
    """One in res4 of 4 frames of 14 x 14: three convolutions and out, keys at 7 x 7, two products."""
    rows = compare(["c2d_r50", "c2d_nl_r50"])
    macs = {line.variant: line.macs or 0 for line in rows if line.variant.startswith("32x2")}
    baseline = next(line.macs or 0 for line in rows if line.model == "c2d_r50" and line.variant == "32x2")
    queries, keys, channels, inner = 4 * 14 * 14, 4 * 7 * 7, 1024, 512
    products = 2 * queries * keys * inner
    embedded = baseline + 2 * (queries + keys) * channels * inner + products
    assert macs["32x2, 1 block, embedded gaussian"] == embedded
    assert macs["32x2, 1 block, dot product"] == embedded
    assert macs["32x2, 1 block, concatenation"] == embedded - products // 2 + (queries + keys) * inner
    assert macs["32x2, over space"] < macs["32x2, over spacetime"]


def test_top_heavy_and_bottom_heavy_networks_share_the_temporal_kernels() -> None:
    """What bottom-heavy adds to I2D below k and top-heavy above it is together what I3D adds."""
    names = ["i2d", "i3d", "bottom_heavy_i3d_5", "top_heavy_i3d_5"]
    params = {line.model: line.params or 0 for line in compare(names) if not line.variant}
    assert params["bottom_heavy_i3d_5"] + params["top_heavy_i3d_5"] == params["i2d"] + params["i3d"]


def test_json_has_plain_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complexity", "slow_4x16_r50", "C3D", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    own = next(row for row in rows if row["model"] == "slow_4x16_r50" and not row["variant"])
    assert own["input"] == [4, 256, 256]
    assert own["params"] == 32_454_096
    assert (own["published_params"], own["published_macs"]) == (32.4e6, 27.3e9)
    assert own["ratio_macs"] == own["macs"] / 27.3e9
    assert "Table 5a" in own["source"]
    absent = next(row for row in rows if row["model"] == "C3D")
    assert (absent["params"], absent["macs"], absent["ratio_macs"]) == (None, None, None)
    assert "not in this project" in absent["note"]


def test_the_mean_frame_of_a_gop_of_coviar_is_the_thesis_one() -> None:
    """4.2 G with eleven P-frames to an I-frame; 11.3 for the I-frame, 1.8 for each network of a P-frame."""
    macs = {line.variant: line.macs or 0 for line in compare(["coviar"])}
    iframe, motion, residual = (macs[name] for name in ("I-frame (ResNet-152)", "motion (ResNet-18)",
                                                            "residual (ResNet-18)"))  # fmt: skip
    assert [round(count / 1e9, 1) for count in (iframe, motion, residual)] == [11.5, 1.8, 1.8]
    assert macs["mean frame of a GOP"] == round((iframe + 11 * (motion + residual)) / 12)
    assert abs(macs["mean frame of a GOP"] / 4.2e9 - 1) < 0.013
    (note,) = {line.note for line in compare(["coviar"]) if line.variant == "mean frame of a GOP"}
    assert note.endswith("4.23 G.")


def test_text_marks_what_is_off_and_explains_it_below(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complexity", "c2d_r101", "slow_4x16_r50"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    assert "1.026*" in text
    assert "0.999 " in text
    assert "original ResNet" in text.split("[1]", 1)[1]


def test_an_unknown_name_is_refused_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complexity", "slow_fast_4x16_r50"]) == 2
    assert "'slowfast_4x16_r50'" in capsys.readouterr().err

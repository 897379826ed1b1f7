"""Models with a long-term feature bank (Wu et al., CVPR 2019; Wu's thesis, chapter 7) and the figures of Table 7.2f."""

from __future__ import annotations

from longform.published import Row

THESIS = "Wu's thesis"

MODEL = "lfb_ava_r50"
"""Name in the table; options are fields of `LFBConfig`, counted for one box."""

AVA_SLOTS = 300
"""Of a window: 60 s of 5 features."""

COLUMNS_SWAPPED = (
    "The printed ratios are ours with the two columns exchanged: an operator of 2 layers adds 12.2 % to the parameters "
    "of the 3D CNN, but less than 0.4 % to its multiply-adds."
)


def _row(variant: str, operator: str, layers: int, params: float, macs: float, *, second: str | None, note: str) -> Row:
    return Row(
        model=MODEL,
        variant=variant,
        input=BASELINE.input,
        options=_options(operator, layers),
        second_stream=None if second is None else _options(second, layers),
        relative_to=BASELINE,
        params_times=params,
        macs_times=macs,
        source=f"{THESIS}, Table 7.2f",
        note=note,
    )


def _options(operator: str, layers: int) -> dict[str, object]:
    return {"operator": operator, **({"num_layers": layers} if operator in ("nl", "sto") else {})}


BASELINE = Row(
    model=MODEL,
    variant="3D CNN",
    input=(32, 224, 224),
    options={"operator": "none"},
    source=f"{THESIS}, Table 7.2f: the unit, 1x; its size is not printed",
    note="With one box; RoIAlign counts nothing.",
)

TWO_NETWORKS = "With the 3D CNN that writes the bank, once for each clip: bank and answers both have one a second."

LFB_ROWS = (
    BASELINE,
    _row("3D CNN, two in an ensemble", "none", 0, 2.0, 2.0, second="none", note=""),
    _row("STO", "sto", 2, 1.0, 1.12, second=None, note=COLUMNS_SWAPPED),
    _row("STO, two in an ensemble", "sto", 2, 2.0, 2.24, second="sto", note=COLUMNS_SWAPPED),
    _row("LFB NL, 2 layers", "nl", 2, 2.0, 2.12, second="none", note=f"{TWO_NETWORKS} {COLUMNS_SWAPPED}"),
    _row("LFB NL, 3 layers", "nl", 3, 2.0, 2.15, second="none", note=f"{TWO_NETWORKS} {COLUMNS_SWAPPED}"),
)

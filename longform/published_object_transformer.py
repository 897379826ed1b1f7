"""Figures of Wu's thesis on the Object Transformer (chapter 8), and the sizes of the released form."""

from __future__ import annotations

from longform.published import InputSize, Reading, Row
from longform.published_systems import ACTION_DETECTION, THESIS

MODEL = "object_transformer"
"""As `longform complexity` takes it; `options` are those of `build_object_transformer`, with its `kind`."""

TYPICAL_SPAN: InputSize = (77, 1, 1)
"""Tokens of the span that the thesis's multiply-adds stand for; at most 256 fit."""

IN_TOKENS = "The input is a number of tokens. Multiply-adds are those of the trunk at all tokens."

THESIS_ROW = Row(
    model=MODEL,
    variant="pre-training",
    input=TYPICAL_SPAN,
    options={"kind": "pretrain"},
    params=27.0e6,
    macs=1.8e9,
    source=f"{THESIS}, Table 8.3 (transformer)",
    note=f"{IN_TOKENS} The thesis states no number of tokens: 77 are what 1.8 G comes to. '2.2x smaller, 0.7 % of the "
    "FLOPs': 59.2 / 27.0 = 2.19 and 1.8 / 242.0 = 0.74 %.",
    reading=Reading(
        text="Parameters are not explained: only 3 layers come near. Tables of 512 rows, with the mask head alone",
        options={"kind": "pretrain", "compat": False, "table_rows": 512},
    ),
)

RELEASED = tuple(
    Row(model=MODEL, variant=variant, input=TYPICAL_SPAN, options=options, note=IN_TOKENS)
    for variant, options in (
        ("4 classes (relationship)", {"kind": "relationship"}),
        ("pre-training, masks alone", {"kind": "pretrain", "compat": False}),
        ("AVA, late fusion", {"kind": "ava"}),
        ("as the thesis's text", {"kind": "pretrain", "variant": "thesis"}),
    )
)

FULL_SPAN = Row(model=MODEL, variant="a full span", input=(256, 1, 1), options={"kind": "pretrain"}, note=IN_TOKENS)

FUSED = Row(
    model="Object Transformer",
    variant="with its short-term network",
    absent="Two networks one after the other, each with a row of its own.",
    relative_to=ACTION_DETECTION,
    macs_times=1.007,
    source=f"{THESIS}, Table 8.4 (two rows)",
    note="242.0 G and 1.8 G are 1.007 times 242.0 G.",
)

OBJECT_TRANSFORMER_ROWS = (THESIS_ROW, *RELEASED, FULL_SPAN, FUSED)

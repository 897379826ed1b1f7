"""Networks of the SlowFast paper (Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019)."""

from __future__ import annotations

from collections.abc import Iterator

from longform.published import Reading, Row
from longform.published_nonlocal import SLOWFAST, TRAINED_COUNT, ZOO_PTV

ZOO_MM = "mmaction2 model zoo"

NORM_COUNT = "Counted with 2 operations per element of a batch normalisation, as fvcore does in evaluation mode"

FAST = (32, 256, 256)
LONG = (64, 256, 256)

SLOW_ONLY = Row(
    model="slow_4x16_r50",
    input=(4, 256, 256),
    params=32.4e6,
    macs=27.3e9,
    source=f"{SLOWFAST}, Table 5a and section 4.2",
)

DEFAULT = Row(model="slowfast_4x16_r50", input=FAST, macs=36.1e9, source=f"{SLOWFAST}, Table 5a")

FAST_ONLY = Row(
    model="fast_4x16_r50",
    input=FAST,
    params=0.53e6,
    macs=6.4e9,
    source=f"{SLOWFAST}, Table 5a and section 4.2",
    reading=Reading(
        text="Table 1 has a temporal kernel in every block, and with it the Fast pathway inside SlowFast without "
        "laterals gives the published 34.2 G. Alone, with temporal kernels in every other block from res3 on, as "
        "I3D has them, and without the parameters of batch normalisation",
        options={"architecture": "i3d", "pool2": False, "early_time_stride": False, "pool1_padding": 1},
        without_norm=True,
    ),
)

FAST_SHARE = Row(
    model="fast_4x16_r50",
    variant="share of SlowFast",
    input=FAST,
    relative_to=DEFAULT,
    macs_times=0.2,
    source=f"{SLOWFAST}, section 3.2: 'typically ~20 %'",
    note="Table 5a has 6.4 of 36.1 G, 18 %.",
)

SLOW_OTHERS = (
    Row(model="slow_8x8_r50", input=(8, 256, 256)),
    Row(
        model="slow_16x8_r101",
        input=(16, 256, 256),
        options={"num_classes": 157},
        macs=187e9,
        source=f"{SLOWFAST}, Table 4 (Charades)",
    ),
)

INSTANTIATIONS = (
    ("slowfast_4x16_r50", FAST, 36.1e9),
    ("slowfast_8x8_r50", FAST, 65.7e9),
    ("slowfast_8x8_r101", FAST, 106e9),
    ("slowfast_16x8_r101", LONG, 213e9),
    ("slowfast_16x8_r101_nl", LONG, 234e9),
)

TABLES_2_AND_3 = tuple(
    Row(
        model=model,
        variant=f"Kinetics-{classes}",
        input=size,
        options={"num_classes": classes},
        macs=macs,
        source=f"{SLOWFAST}, Table {table}",
    )
    for table, classes in ((2, 400), (3, 600))
    for model, size, macs in INSTANTIATIONS
)

TABLE_4 = tuple(
    Row(
        model=model,
        variant="Charades",
        input=LONG,
        options={"num_classes": 157, "activation": "sigmoid"},
        macs=macs,
        source=f"{SLOWFAST}, Table 4{rows}",
    )
    for model, macs, rows in (
        ("slowfast_16x8_r101", 213e9, ""),
        ("slowfast_16x8_r101_nl", 234e9, " (two rows of one network)"),
    )
)

TABLE_5A = tuple(
    Row(
        model="slowfast_4x16_r50",
        variant=variant,
        input=FAST,
        options={"lateral": lateral},
        macs=macs,
        source=f"{SLOWFAST}, Table 5a",
    )
    for variant, lateral, macs in (
        ("no laterals", "none", 34.2e9),
        ("time to channel, sum", "time_to_channel_sum", 34.2e9),
        ("time to channel, concat", "time_to_channel_concat", 39.8e9),
        ("time-strided sampling", "sampling", 34.9e9),
        ("time-strided convolution", "convolution", 36.1e9),
    )
)

LONG_LATERAL = Reading(
    text="With lateral convolutions of 7 frames, as in the released 8x8 R50; the other rows of the table have 5. (With "
    "5, and 5 operations per normalised element, it is 54.50 G; no other row reads so either)",
    options={"beta": 1 / 4, "lateral_kernel": 7},
)

TABLE_5B = tuple(
    Row(
        model="slowfast_4x16_r50",
        variant=f"beta 1/{parts}",
        input=FAST,
        options={"beta": 1 / parts},
        macs=macs,
        source=f"{SLOWFAST}, Table 5b",
        reading=LONG_LATERAL if parts == 4 else None,
    )
    for parts, macs in ((4, 54.5e9), (6, 41.8e9), (8, 36.1e9), (12, 32.8e9), (16, 30.6e9), (32, 28.6e9))
)

THIN_FAST = Row(
    model="slowfast_4x16_r50",
    variant="beta 1/32, over Slow-only",
    input=FAST,
    options={"beta": 1 / 32},
    relative_to=SLOW_ONLY,
    macs_times=28.6 / 27.3,
    source=f"{SLOWFAST}, section 4.2: 'only adds 1.3 GFLOPs (~5 %)'",
)

HALF = {"fast_input": "half", "beta": 1 / 4, "head": "global"}

LATERALS_OF_AS_MANY_CHANNELS = 5 * 4 * (16**2 * 32**2 + 64**2 * 32**2 + 128**2 * 16**2 + 256**2 * 8**2)
"""Lateral convolutions of 5 frames to 4 that keep the channels, on maps of a Fast pathway at half the resolution."""

TABLE_5C = (
    Row(
        model="slowfast_4x16_r50",
        variant="Fast input half, beta 1/4",
        input=FAST,
        options=HALF,
        macs=34.4e9,
        source=f"{SLOWFAST}, Table 5c",
        reading=Reading(
            text="The paper does not say how maps of half the size meet the Slow pathway. Here a lateral convolution as"
            " elsewhere, then each place is repeated 2 x 2. With lateral convolutions that keep the number of channels "
            "instead of doubling it",
            options={**HALF, "lateral": "sampling"},
            extra_macs=LATERALS_OF_AS_MANY_CHANNELS,
        ),
    ),
    *(
        Row(
            model="slowfast_4x16_r50",
            variant=f"Fast input {variant}",
            input=FAST,
            options={"fast_input": name},
            macs=macs,
            source=f"{SLOWFAST}, Table 5c",
        )
        for variant, name, macs in (
            ("RGB", "rgb", 36.1e9),
            ("gray", "gray", 34.1e9),
            ("time difference", "time_difference", 34.2e9),
            ("optical flow", "flow", 35.1e9),
        )
    ),
    Row(
        model="slowfast_4x16_r50",
        variant="Fast input gray, to RGB",
        input=FAST,
        options={"fast_input": "gray"},
        relative_to=DEFAULT,
        macs_times=0.95,
        source=f"{SLOWFAST}, section 4.2: 'reduces FLOPs by ~5 %'",
    ),
)


def _other_rates() -> Iterator[Row]:
    """Alpha and T x tau beyond the tables; Figure 2 has some of them, without printed numbers."""
    for slow_frames, tau in ((2, 32), (4, 16), (8, 8), (16, 4)):
        yield Row(
            model="slow_4x16_r50",
            variant=f"T x tau {slow_frames}x{tau}",
            input=(slow_frames, 256, 256),
            options={"sampling": f"{slow_frames}x{tau}"},
        )
        for alpha in (2, 4, 8):
            if tau % alpha == 0:
                yield Row(
                    model="slowfast_4x16_r50",
                    variant=f"T x tau {slow_frames}x{tau}, alpha {alpha}",
                    input=(slow_frames * alpha, 256, 256),
                    options={"sampling": f"{slow_frames}x{tau}", "alpha": alpha},
                )


ZOO_ROWS = (
    *(
        Row(
            model=model,
            variant="zoo",
            input=(frames, 256, 256),
            params=params,
            macs=macs,
            source=ZOO_PTV,
            reading=Reading(text=TRAINED_COUNT, norm_ops=5) if trained else None,
        )
        for model, frames, params, macs, trained in (
            ("slow_4x16_r50", 4, 32.45e6, 27.55e9, True),
            ("slow_8x8_r50", 8, 32.45e6, 54.52e9, False),
            ("slowfast_4x16_r50", 32, 34.48e6, 36.69e9, True),
            ("slowfast_8x8_r50", 32, 34.57e6, 65.71e9, False),
            ("slowfast_8x8_r101_101_101", 32, 62.83e6, 127.20e9, True),
            ("slowfast_16x8_r101", 64, 53.77e6, 215.61e9, True),
        )
    ),
    *(
        Row(model=f"ava_{model}", variant="maps, no boxes", input=(frames, 256, 256), params=params, source=ZOO_PTV)
        for model, frames, params in (("slow_4x16_r50", 4, 31.78e6), ("slowfast_8x8_r50", 32, 33.82e6))
    ),
    *(
        Row(
            model=model,
            variant="zoo",
            input=(frames, 256, 256),
            params=params,
            macs=macs,
            source=ZOO_MM,
            reading=Reading(text=NORM_COUNT, norm_ops=2),
        )
        for model, frames, params, macs in (
            ("slow_4x16_r50", 4, 32.45e6, 27.38e9),
            ("slow_8x8_r50", 8, 32.45e6, 54.75e9),
            ("slowfast_4x16_r50", 32, 34.5e6, 36.3e9),
            ("slowfast_8x8_r50", 32, 34.6e6, 66.1e9),
            ("slowfast_8x8_r101_101_101", 32, 62.9e6, 126e9),
        )
    ),
    Row(model="slowfast_8x8_r101_50_101", input=FAST),
    Row(model="slowfast_8x8_r101_nl", input=FAST),
    Row(model="slowfast_8x8_r50", variant="lateral kernel 5", input=FAST, options={"lateral_kernel": 5}),
    Row(model="slowfast_compact", input=(16, 112, 112), note="of this project; see docs/builtin-weights.md"),
)

SLOWFAST_ROWS = (
    SLOW_ONLY, FAST_ONLY, FAST_SHARE, DEFAULT, *SLOW_OTHERS, *TABLES_2_AND_3, *TABLE_4, *TABLE_5A, *TABLE_5B,
    THIN_FAST, *TABLE_5C, *_other_rates(), *ZOO_ROWS,
)  # fmt: skip

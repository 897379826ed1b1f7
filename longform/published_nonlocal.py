"""Networks of the non-local paper (Wang et al., "Non-local Neural Networks", CVPR 2018) and of LFB, with figures."""

from __future__ import annotations

from longform.published import Reading, Row

PAPER = "Non-local Neural Networks"
SLOWFAST = "SlowFast Networks"
ZOO_PTV = "PyTorchVideo model zoo"

TRAINING = (32, 224, 224)
LONG = (128, 256, 256)
ZOO = (8, 256, 256)

FIRST_1X1_STRIDES = -4 * (128 * 256 * (55**2 - 28**2) + 256 * 512 * (28**2 - 14**2) + 512 * 1024 * (14**2 - 7**2))
"""What a stride in the first 1x1 of res3, res4 and res5 saves: the 1x1 sees 28, 14 and 7 pixels a side on 4 frames."""

AT_TRAINING = {"sampling": "32x2"}

C2D_R101 = Row(
    model="c2d_r101",
    variant="32x2",
    input=TRAINING,
    options=AT_TRAINING,
    params=43.2e6,
    macs=34.2e9,
    source=f"{PAPER}, Table 2e, p. 6",
    reading=Reading(
        text="The released code strides in the 3x3 convolutions. With the stride in the first 1x1 of res3, res4 and "
        "res5, as in the original ResNet, less by 4 ("
        "128*256*(55^2-28^2) + 256*512*(28^2-14^2) + 512*1024*(14^2-7^2))",
        extra_macs=FIRST_1X1_STRIDES,
    ),
)

TABLE_2E = (
    Row(
        model="i3d_333_r101",
        variant="32x2",
        input=TRAINING,
        options=AT_TRAINING,
        relative_to=C2D_R101,
        params_times=1.5,
        macs_times=1.8,
        source=f"{PAPER}, Table 2e, p. 6",
    ),
    Row(
        model="i3d_r101",
        variant="32x2",
        input=TRAINING,
        options=AT_TRAINING,
        relative_to=C2D_R101,
        params_times=1.2,
        macs_times=1.5,
        source=f"{PAPER}, Table 2e, p. 6",
    ),
    Row(
        model="c2d_nl_r101",
        variant="32x2",
        input=TRAINING,
        options=AT_TRAINING,
        relative_to=C2D_R101,
        params_times=1.2,
        macs_times=1.2,
        source=f"{PAPER}, Table 2e, p. 6",
    ),
    Row(
        model="c2d_nl_r50",
        variant="32x2",
        input=TRAINING,
        options=AT_TRAINING,
        relative_to=C2D_R101,
        params_times=0.7,
        macs_times=0.8,
        source=f"{PAPER}, section 5.1, p. 7: '~70 %' and '~80 %'",
    ),
)

BASELINES = tuple(
    Row(model=model, variant="32x2", input=TRAINING, options=AT_TRAINING)
    for model in ("c2d_r50", "i3d_r50", "i3d_333_r50", "i3d_nl_r50", "i3d_nl_r101")
)

ONE_BLOCK = {**AT_TRAINING, "nonlocal_blocks": 1}

FORMS = tuple(
    Row(
        model="c2d_nl_r50",
        variant=f"32x2, 1 block, {form.replace('_', ' ')}",
        input=TRAINING,
        options={**ONE_BLOCK, "nonlocal_form": form},
    )
    for form in ("gaussian", "embedded_gaussian", "dot_product", "concatenation")
)

STAGES = tuple(
    Row(
        model="c2d_nl_r50",
        variant=f"32x2, 1 block in res{stage}",
        input=TRAINING,
        options={**AT_TRAINING, "nonlocal_at": {stage: (before_last,)}},
    )
    for stage, before_last in ((2, 1), (3, 2), (4, 4), (5, 1))
)

DEPTHS = tuple(
    Row(
        model=f"c2d_nl_r{depth}",
        variant=f"32x2, {blocks} block{'s' if blocks > 1 else ''}",
        input=TRAINING,
        options={**AT_TRAINING, "nonlocal_blocks": blocks},
    )
    for depth in (50, 101)
    for blocks in (1, 5, 10)
)

DIRECTIONS = tuple(
    Row(
        model=f"c2d_nl_r{depth}",
        variant=f"32x2, over {direction}",
        input=TRAINING,
        options={**AT_TRAINING, "nonlocal_direction": direction},
    )
    for depth in (50, 101)
    for direction in ("space", "time", "spacetime")
)

SIX_TEMPORAL = {"temporal_res4_blocks": 6}
UNGROUPED = {"sampling": "128x1", "pool1_padding": 1, "nonlocal_group": {}}

LONG_CLIPS = (
    Row(
        model="i3d_nl_r50",
        variant="128x1",
        input=LONG,
        options={"sampling": "128x1"},
        macs=282e9,
        source=f"{SLOWFAST}, Table 2",
        reading=Reading(
            text="The released net for 128 frames attends in groups of 4 frames in res3. With attention over the whole "
            "clip and a padded pool1 (nonlocal_group={}, pool1_padding=1)",
            options=UNGROUPED,
        ),
    ),
    Row(
        model="i3d_nl_r101",
        variant="128x1",
        input=LONG,
        options={"sampling": "128x1"},
        macs=359e9,
        source=f"{SLOWFAST}, Table 2",
        reading=Reading(
            text="As for R50, with attention over the whole clip and a padded pool1, and with temporal kernels in the "
            "first 6 blocks of res4 only, as SlowFast's own R101 has them (temporal_res4_blocks=6)",
            options={**UNGROUPED, **SIX_TEMPORAL},
        ),
    ),
    Row(
        model="i3d_nl_r101",
        variant="128x1, Charades",
        input=LONG,
        options={"sampling": "128x1", "num_classes": 157, "activation": "sigmoid"},
        macs=544e9,
        source=f"{SLOWFAST}, Table 4",
        reading=Reading(
            text="The document does not state the input. A guess: whole frames of 340x256, attention over the whole "
            "clip and a padded pool1",
            options={**UNGROUPED, "num_classes": 157},
            input=(128, 256, 340),
        ),
    ),
    *(
        Row(model=model, variant=sampling, input=(frames, 256, 256), options={"sampling": sampling})
        for model in ("c2d_r50", "c2d_r101", "i3d_r50", "i3d_r101", "i3d_nl_r50")
        for sampling, frames in (("32x4", 32), ("128x1", 128))
        if (model, sampling) != ("i3d_nl_r50", "128x1")
    ),
)

NO_PADDING = {"pool1_padding": 0}
TRAINED_COUNT = "Counted with 5 operations per element of a batch normalisation, as fvcore does in training mode"

ZOO_ROWS = (
    *(
        Row(model=model, input=ZOO)
        for model in (
            "c2d_r50", "c2d_r101", "c2d_nl_r50", "c2d_nl_r101", "i3d_r50", "i3d_r101", "i3d_333_r50", "i3d_333_r101",
            "i3d_nl_r50", "i3d_nl_r101",
        )
    ),
    Row(
        model="c2d_r50",
        variant="zoo",
        input=ZOO,
        params=24.33e6,
        macs=25.89e9,
        source=f"{ZOO_PTV}, c2d_r50",
        reading=Reading(text=TRAINED_COUNT, norm_ops=5),
    ),
    Row(
        model="i3d_r50",
        variant="zoo",
        input=ZOO,
        params=28.04e6,
        macs=37.53e9,
        source=f"{ZOO_PTV}, i3d_r50",
        reading=Reading(text=TRAINED_COUNT, norm_ops=5),
    ),
    Row(
        model="c2d_r50",
        variant="zoo, no pool2",
        input=(8, 224, 224),
        options={"pool2": False},
        macs=33e9,
        source="mmaction2 model zoo, C2D no pool",
    ),
    Row(
        model="i3d_r50",
        variant="pool1 not padded",
        input=ZOO,
        options=NO_PADDING,
        macs=36.7e9,
        source=f"{SLOWFAST}, Table 6 (three rows of one network)",
    ),
    *(
        Row(model=f"lfb_i3d_nl_r{depth}", input=(32, 224, 224))
        for depth in (50, 101)
    ),
)  # fmt: skip

MASK_R_CNN = Row(
    model="Mask R-CNN",
    variant="1 non-local block",
    absent="Object detectors come with issue 4; Mask R-CNN is not among them.",
    source=f"{PAPER}, section 6, p. 8: 'only adds <5 % computation'",
)

NONLOCAL_ROWS = (
    *ZOO_ROWS, *BASELINES, C2D_R101, *TABLE_2E, *FORMS, *STAGES, *DEPTHS, *DIRECTIONS, *LONG_CLIPS, MASK_R_CNN,
)  # fmt: skip

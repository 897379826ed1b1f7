"""Networks of the S3D paper (Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018)."""

from __future__ import annotations

from longform.published import Reading, Row
from longform.published_nonlocal import SLOWFAST

PAPER = "Rethinking Spatiotemporal Feature Learning"

CLIP = (64, 224, 224)
FLOW = {"input_channels": 2}
FOUR = {"temporal_branches": 4}
SHORT_STEM = {"stem_temporal_kernel": 3}

WIDE_STEM = {**FOUR, **SHORT_STEM, "padding": "symmetric"}
"""Footnote 5's temporal convolutions, and a stem of 3 frames. Symmetric padding leaves as many products on the input as
TensorFlow's, and is the convolution's own."""

STEM_OF_3_FRAMES = 64 * 3 * (7 * 112 - 6) ** 2 * (3 * 32 - 1 - 32)
"""What a 3x7x7 stem costs beyond a 1x7x7 stem, products with padded zeros left out."""

I3D = Row(
    model="i3d",
    input=CLIP,
    params=12.06e6,
    macs=107.89e9,
    source=f"{PAPER}, Table 2 and section 4.4",
    reading=Reading(
        text="The row is DeepMind's network. A stem of 3 frames, without batch normalisation and with M for 2^20, "
        "explains the parameters; nothing that we tried explains the multiply-adds to the digit, and the nearest is "
        "under 'in SlowFast'",
        options=SHORT_STEM,
        without_norm=True,
        binary_millions=True,
    ),
)

S3D_READING = Reading(
    text="Not explained. The nearest in multiply-adds is the reading that gives Fast-S3D's: 4 temporal branches, a "
    "3x7x7 stem as in TF-slim, products with padded zeros left out; parameters without batch normalisation, M for 2^20",
    options={**WIDE_STEM, "separable_stem": False},
    without_padding="space and time",
    without_norm=True,
    binary_millions=True,
)

GATING_READING = Reading(
    text="Not explained: the two printed networks differ by 2.79 M parameters, the gates of four branches have 1.23 M, "
    "those of two 0.77 M. Square matrices on the inputs of all layers from 2b on have 2.79 M: 2*64^2 + 192^2 + 256^2 + "
    "480^2 + 3*512^2 + 528^2 + 2*832^2 = 2790656, but the text has a gate after each temporal convolution, and nothing "
    "that we tried gives 5.00 G to gates. With 4 temporal branches and a stem of 3 frames, the nearest in parameters",
    options={**FOUR, **SHORT_STEM},
)

TABLE_2 = (
    Row(
        model="s3d",
        input=CLIP,
        params=8.77e6,
        macs=66.38e9,
        source=f"{PAPER}, Table 2 and section 4.4",
        reading=S3D_READING,
    ),
    Row(
        model="s3d",
        variant="4 temporal branches (footnote 5)",
        input=CLIP,
        options=FOUR,
        params=8.77e6,
        macs=66.38e9,
        source=f"{PAPER}, Table 2 and section 4.4",
        reading=S3D_READING,
    ),
    Row(
        model="s3dg",
        input=CLIP,
        params=11.56e6,
        macs=71.38e9,
        source=f"{PAPER}, Table 2 and section 4.6",
        reading=GATING_READING,
    ),
    Row(
        model="s3dg",
        variant="4 temporal branches (footnote 5)",
        input=CLIP,
        options=FOUR,
        params=11.56e6,
        macs=71.38e9,
        source=f"{PAPER}, Table 2 and section 4.6",
        reading=GATING_READING,
    ),
)

FAST_S3D = Row(
    model="fast_s3d",
    input=CLIP,
    macs=43.47e9,
    source=f"{PAPER}, section 4.4",
    reading=Reading(
        text="Here all but 5b and 5c is 2D, as the text says. With 4 temporal branches, a 3x7x7 stem as in TF-slim "
        "(64*3*778^2*63 multiply-adds more) and products with padded zeros left out. The same reading gives S3D 66.00 "
        "of 66.38 G and I3D 104.40 of 107.89 G, so it is no explanation of the table",
        options=WIDE_STEM,
        without_padding="space and time",
        extra_macs=STEM_OF_3_FRAMES,
    ),
)

RATIOS = (
    Row(
        model="fast_s3d",
        variant="to I3D",
        input=CLIP,
        relative_to=I3D,
        macs_times=1 / 2.5,
        source=f"{PAPER}, section 4.4: '2.5 times more efficient'",
        note="The paper's own figures give 107.89 / 43.47 = 2.48; for the difference to ours see fast_s3d.",
    ),
    Row(
        model="ResNet-101 of Kinetics challenge entries",
        absent="The document names neither the network nor its input.",
        relative_to=TABLE_2[2],
        macs_times=8.5,
        source=f"{PAPER}, section 5.1: '8.5x more FLOPS than our S3D-G'",
    ),
)

I3D_READING = (
    "Not explained: it is the S3D paper's figure, see i3d. The nearest leaves out products with zeros padded in space "
    "alone; S3D (4 temporal branches, stem 3x7x7) then has 66.76 of 66.38 G and Fast-S3D 43.64 of 43.47 G"
)

SLOWFAST_TABLES = (
    Row(
        model="i3d",
        variant="in SlowFast",
        input=CLIP,
        macs=108e9,
        source=f"{SLOWFAST}, Tables 2 and 3",
        reading=Reading(text=I3D_READING, options={"padding": "symmetric"}, without_padding="space"),
    ),
    Row(
        model="i3d",
        variant="two-stream",
        input=CLIP,
        second_stream=FLOW,
        macs=216e9,
        source=f"{SLOWFAST}, Table 2 (two rows of one network)",
        note="The document counts twice 108 G, the S3D paper's figure for I3D; see i3d. Here the flow network is "
        "smaller than the RGB network by the third channel of its stem, 64*7*7*7*32*112^2.",
    ),
    Row(
        model="s3d",
        variant="in SlowFast",
        input=CLIP,
        macs=66.4e9,
        source=f"{SLOWFAST}, Table 2",
        reading=S3D_READING,
    ),
    Row(
        model="s3dg",
        variant="two-stream",
        input=CLIP,
        second_stream=FLOW,
        macs=143e9,
        source=f"{SLOWFAST}, Table 2",
        reading=Reading(
            text="The document counts the RGB network twice. With a third channel in the stem for flow, "
            "64*7*7*64*112^2 more",
            extra_macs=64 * 7 * 7 * 64 * 112 * 112,
        ),
    ),
)

TRANSITIONS = tuple(
    Row(model=f"{end}_heavy_{kind}_{k}", input=CLIP)
    for kind in ("i3d", "s3d")
    for end in ("bottom", "top")
    for k in range(1, 11)
)

OTHERS = (
    Row(model="i2d", input=CLIP),
    Row(model="i3d", variant="flow", input=CLIP, options=FLOW),
    Row(model="s3d", variant="flow", input=CLIP, options=FLOW),
    Row(model="s3d", variant="two-stream", input=CLIP, second_stream=FLOW),
    Row(model="s3dg", variant="flow", input=CLIP, options=FLOW),
    Row(model="s3d", variant="stem not separated", input=CLIP, options={"separable_stem": False}),
    Row(model="s3d", variant="zoo", input=(16, 224, 224), macs=17.98e9, source="torchvision model zoo, s3d"),
)

INCEPTION_ROWS = (I3D, *TABLE_2, FAST_S3D, *RATIOS, *SLOWFAST_TABLES, *OTHERS, *TRANSITIONS)

"""Weights that come with this program, in `extractors/weights/builtin/`."""

from __future__ import annotations

from extractors.clips.input import ClipInput
from extractors.weights.card import WeightCard

CARDS: tuple[WeightCard, ...] = (
    WeightCard(
        name="slowfast_compact_motions",
        model="slowfast_compact",
        options={"num_classes": 54},
        url="",
        packaged=True,
        file_name="slowfast_compact_motions.safetensors",
        container="longform",
        licence="Apache-2.0",
        sha256="ff469226140f74919d4efba80bfc2e4c91aa5a1079247e7e821375551d5a5901",
        num_classes=54,
        classes="generated-motions",
        input=ClipInput(num_frames=16, stride=2, short_side_px=112, crop_px=112, square=True, resize="smooth"),
        source="trained by this project: benchmarks/builtin_network, docs/builtin-weights.md",
        note="Learned from generated videos only, in minutes of a CPU: it tells scenes and motions apart, not actions.",
    ),
)

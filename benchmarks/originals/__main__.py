r"""Our clip networks beside the code that published their weights: logits, embeddings, probabilities, box features.

    python -m benchmarks.originals --repositories DIR [--only TEXT ...] [--json FILE]

DIR has checkouts of facebookresearch/SlowFast, facebookresearch/pytorchvideo, piergiaj/pytorch-i3d, kylemin/S3D and
open-mmlab/mmaction2. They need, best in a folder that PYTHONPATH names,

    pip install --no-deps torchvision fvcore iopath yacs simplejson portalocker termcolor tabulate \
        mmengine mmcv-lite==2.1.0 addict yapf einops

Weights follow from tensor names, batch normalisation is calibrated on the clip,
and every network is loaded from files as the originals' publishers write them.

With `--only`, originals and cards whose names contain one of the texts; their rows replace those in FILE.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.originals.compare import compare
from benchmarks.originals.importing import make_importable
from benchmarks.originals.members import MEMBERS, not_compared

TOLERANCE = 1e-4
"""Largest difference allowed, over the largest value of the original's answer."""

STORED = Path(__file__).parent.parent / "results" / "originals.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repositories", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    originals = make_importable(options.repositories)
    stored = options.json.read_text() if options.json and options.json.exists() else '{"rows": []}'
    rows = {_key(row): row for row in json.loads(stored)["rows"]}
    worst = 0.0
    for member in MEMBERS:
        if not any(text in name for text in options.only for name in (member.original, *member.cards)):
            continue
        for row in compare(member, options.repositories):
            rows[_key(row)] = row
            worst = max(worst, *row["differences"].values())
            print(_line(row), flush=True)
            if options.json:
                options.json.write_text(json.dumps(_table(list(rows.values()), originals), indent=1) + "\n")
    print(f"worst: {worst:.1e} of the largest value; allowed: {TOLERANCE:.0e}")
    return int(worst > TOLERANCE)


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["original"], row["card"] or ""


def _line(row: dict[str, Any]) -> str:
    differences = "  ".join(f"{key} {value:.1e}" for key, value in row["differences"].items())
    return f"{row['original']:70} {row['card'] or '-':40} {differences}"


def _table(rows: list[dict[str, Any]], originals: dict[str, str]) -> dict[str, Any]:
    order = {member.original: index for index, member in enumerate(MEMBERS)}
    return {
        "command": "python -m benchmarks.originals --repositories DIR --json benchmarks/results/originals.json",
        "torch": torch.__version__,
        "originals": originals,
        "tolerance": TOLERANCE,
        "worst": max(value for row in rows for value in row["differences"].values()),
        "rows": sorted(rows, key=lambda row: order[row["original"]]),
        "not_compared": not_compared(),
    }


if __name__ == "__main__":
    sys.exit(main())

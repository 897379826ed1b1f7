"""Results of the experiment as pictures: a panel for each task, a row for each system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from longform.datasets.lvu import TASKS

PANEL, GAP, LEFT, ROW, TOP, BOTTOM = 150, 16, 250, 18, 44, 30
COLOURS = ("#0b6e99", "#7a7a7a")
"""Of transformers over boxes, and of all others."""
STYLE = "font-family:sans-serif;font-size:11px"


def svg(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Means with their standard errors; more to the right is better: squared errors grow to the left."""
    tasks = [task for task in TASKS if any(row["task"] == task for row in rows)]
    systems = list(dict.fromkeys(row["system"] for row in rows))
    width = LEFT + len(tasks) * (PANEL + GAP)
    height = TOP + ROW * len(systems) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" style="{STYLE}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(8, 16, title, "start", bold=True),
    ]
    parts += [_text(LEFT - 10, TOP + ROW * (n + 0.7), name, "end") for n, name in enumerate(systems)]
    for number, task in enumerate(tasks):
        of_task = {row["system"]: row for row in rows if row["task"] == task}
        parts += _panel(LEFT + number * (PANEL + GAP), task, systems, of_task)
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: float, task: str, systems: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    low, high = _range(task, rows)
    bottom = TOP + ROW * len(systems)
    parts = [
        _text(left + PANEL / 2, TOP - 10, f"{task}{', mse' if TASKS[task].is_regression else ', %'}", "middle"),
        f'<rect x="{left}" y="{TOP}" width="{PANEL}" height="{bottom - TOP}" fill="none" stroke="#ccc"/>',
        _text(left, bottom + 14, f"{low:g}", "start"),
        _text(left + PANEL, bottom + 14, f"{high:g}", "end"),
    ]

    def place(value: float) -> float:
        return left + PANEL * min(1.0, max(0.0, (value - low) / (high - low)))

    for number, system in enumerate(systems):
        if system in rows:
            row, middle = rows[system], TOP + ROW * (number + 0.5)
            error = row["std_error"] or 0.0
            colour = COLOURS[0 if system.startswith("object-transformer") else 1]
            parts.append(
                f'<line x1="{place(row["value"] - error):.1f}" x2="{place(row["value"] + error):.1f}" '
                f'y1="{middle}" y2="{middle}" stroke="{colour}" stroke-width="2"/>'
            )
            parts.append(f'<circle cx="{place(row["value"]):.1f}" cy="{middle}" r="4" fill="{colour}"/>')
    return parts


def _range(task: str, rows: Mapping[str, Mapping[str, Any]]) -> tuple[float, float]:
    """Left and right end of a panel."""
    if not TASKS[task].is_regression:
        return 0.0, 100.0
    worst = max(row["value"] + (row["std_error"] or 0.0) for row in rows.values())
    return float(f"{1.1 * worst:.2g}"), 0.0


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'

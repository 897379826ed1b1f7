"""Plots as SVG: panels with lines or bars, and error bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.lfb.results import Estimate

COLOURS = {
    **dict.fromkeys(("3D CNN", "no bank"), "#4c4c4c"),
    "STO": "#1f77b4",
    "Avg": "#b8860b",
    "Max": "#c2185b",
    **dict.fromkeys(("NL causal", "LFB causal"), "#2ca02c"),
    **dict.fromkeys(("NL", "NL batch", "LFB batch"), "#6a3d9a"),
}
"""Of the series, by name."""
WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 34, 58
TEXT = 'font-family="sans-serif" font-size="11" fill="#222"'


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One diagram: the same places on the x axis for all series."""

    title: str
    places: Sequence[str]
    """Labels of the x axis, in order."""
    series: Mapping[str, Mapping[str, Estimate]]
    """By name; by place."""
    y_range: tuple[float, float]
    x_title: str = ""
    bars: bool = False


def figure(panels: Sequence[Panel]) -> str:
    """Panels side by side, one legend for each."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(panels)}" height="{HEIGHT + 40}">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for place, panel in enumerate(panels):
        parts += [f'<g transform="translate({WIDTH * place},0)">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> list[str]:
    step = (WIDTH - LEFT - RIGHT) / len(panel.places)
    middle = {place: LEFT + step * (i + 0.5) for i, place in enumerate(panel.places)}
    parts = [f'<text x="{LEFT}" y="18" {TEXT} font-weight="bold">{escape(panel.title)}</text>', *_axes(panel, middle)]
    for number, (name, values) in enumerate(panel.series.items()):
        colour = COLOURS[name]
        offset = step * 0.8 * ((number + 0.5) / len(panel.series) - 0.5) if panel.bars else 0.0
        points = [(middle[place] + offset, values[place]) for place in panel.places if place in values]
        draw = _bars if panel.bars else _line
        parts += draw(panel, points, colour, step * 0.7 / len(panel.series))
        parts += _legend(number, name, colour)
    return parts


def _axes(panel: Panel, middle: Mapping[str, float]) -> list[str]:
    low, high = panel.y_range
    parts = []
    for tick in range(math.ceil(low / 5) * 5, int(high) + 1, 20 if high - low > 50 else 5 if high - low > 12 else 2):
        y = _y(panel, tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" {TEXT} text-anchor="end">{tick}</text>')
    for place, x in middle.items():
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" {TEXT} text-anchor="middle">{escape(place)}</text>')
    centre = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{centre}" y="{HEIGHT - BOTTOM + 31}" {TEXT} text-anchor="middle">{panel.x_title}</text>')
    return parts


def _y(panel: Panel, value: float) -> float:
    low, high = panel.y_range
    return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)


def _line(panel: Panel, points: Sequence[tuple[float, Estimate]], colour: str, width: float) -> list[str]:
    path = " ".join(f"{x:.1f},{_y(panel, value.mean):.1f}" for x, value in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>']
    for x, value in points:
        parts.append(f'<circle cx="{x:.1f}" cy="{_y(panel, value.mean):.1f}" r="2.6" fill="{colour}"/>')
        parts += _error_bar(panel, x, value, colour)
    return parts


def _bars(panel: Panel, points: Sequence[tuple[float, Estimate]], colour: str, width: float) -> list[str]:
    floor = _y(panel, panel.y_range[0])
    parts = []
    for x, value in points:
        top = _y(panel, value.mean)
        parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{floor - top:.1f}" '
            f'fill="{colour}"/>'
        )
        parts += _error_bar(panel, x, value, "#000")
    return parts


def _error_bar(panel: Panel, x: float, value: Estimate, colour: str) -> list[str]:
    if math.isnan(value.error):
        return []
    top, bottom = _y(panel, value.high), _y(panel, value.low)
    lines = [(x, top, x, bottom), (x - 3, top, x + 3, top), (x - 3, bottom, x + 3, bottom)]
    return [
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>' for x1, y1, x2, y2 in lines
    ]


def _legend(number: int, name: str, colour: str) -> list[str]:
    x, y = LEFT + 125 * (number % 3), HEIGHT - 10 + 16 * (number // 3)
    return [
        f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>',
        f'<text x="{x + 14}" y="{y}" {TEXT}>{escape(name)}</text>',
    ]

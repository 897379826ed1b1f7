"""How much of a bank goes into one page, so that the page stays below 30 MB and quick to open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most of everything on one page; what is left out is said on the page."""

    videos: int = 100
    """Videos with a time line. The others are in the list only."""
    listed: int = 10_000
    """Videos in the list; failed and damaged ones come first."""
    pictures: int = 1_200
    picture_bytes: int = 13_500_000
    """Of all pictures, as base64, and of the answers that files told about."""
    message_letters: int = 500
    """Of each error message."""
    shots: int = 40_000
    tracks: int = 40_000
    boxes: int = 70_000
    points: int = 6_000
    """Sampled moments of all feature spaces."""
    predictions: int = 2_000
    attended: int = 50_000
    """Moments that predictions attended to."""
    masked: int = 2_000
    """Tracks that were masked."""


def fair_shares(needs: Sequence[int], total: int) -> list[int]:
    """Divide `total`: who needs little gets it all, the others share the rest equally."""
    shares = [0] * len(needs)
    left = total
    for served, place in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        shares[place] = min(needs[place], left // (len(needs) - served))
        left -= shares[place]
    return shares

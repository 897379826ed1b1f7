"""What the experiment is to show, each checked against the stored results."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from benchmarks.lfb.results import Estimate, Results

AS_GOOD = 2.0
"""Points that do not matter beside the tens between operators that can answer and those that cannot."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement about conditions, by their means and standard errors."""

    text: str
    conditions: tuple[str, ...]
    rising: bool = True
    """Each is lower than the next, and their error bars do not overlap. Otherwise there are two, and the first is as
    good as the second: higher, or lower by less than `AS_GOOD`."""

    def holds(self, results: Results) -> bool:
        values = self.values(results)
        if self.rising:
            return all(low.high < high.low for low, high in pairwise(values))
        first, second = values
        return first.mean > second.mean - AS_GOOD

    def values(self, results: Results) -> list[Estimate]:
        return [results.estimate(name) for name in self.conditions]


CLAIMS = (
    Claim(text="interaction: 3D CNN < STO < Avg < NL", conditions=("3D CNN", "STO", "Avg", "NL")),
    Claim(text="interaction: 3D CNN < STO < Max < NL", conditions=("3D CNN", "STO", "Max", "NL")),
    Claim(text="interaction: two STO in an ensemble < Max", conditions=("STO x2", "Max")),
    Claim(text="all nine classes in one classifier: 3D CNN < Avg < NL",
          conditions=("mixed 3D CNN", "mixed Avg", "mixed NL")),
    Claim(text="all nine classes in one classifier: 3D CNN < Max < NL",
          conditions=("mixed 3D CNN", "mixed Max", "mixed NL")),
    Claim(text="around: 3D CNN < STO < Max", conditions=("around 3D CNN", "around STO", "around Max")),
    Claim(text="around: Max as good as NL", conditions=("around Max", "around NL"), rising=False),
    Claim(text="kitchens, verbs: Avg as good as NL", conditions=("verbs Avg", "verbs NL"), rising=False),
    Claim(text="kitchens, nouns: Max as good as NL", conditions=("nouns Max", "nouns NL"), rising=False),
    Claim(text="interaction: NL rises with the window, 2 < 5 < 10 < 15 < 30 < 60 s",
          conditions=("NL 2 s", "NL 5 s", "NL 10 s", "NL 15 s", "NL 30 s", "NL")),
    Claim(text="interaction: 60 s, the reach of the labels, as good as 120 s", conditions=("NL", "NL 120 s"),
          rising=False),
    Claim(text="interaction: no bank < causal 60 s < batch 60 s", conditions=("3D CNN", "NL causal 60 s", "NL")),
    Claim(text="interaction: global pool < 2 x 2 grid < 4 x 4 grid < people",
          conditions=("NL clip.global", "NL clip.grid_2x2", "NL clip.grid_4x4", "NL")),
)  # fmt: skip

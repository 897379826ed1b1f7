"""What a published figure about a network's size is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Options = Mapping[str, Any]
InputSize = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Another network or way to count that a figure may stand for, counted each time beside the row's own."""

    text: str
    """What is read differently; the command appends what it comes to."""
    options: Options | None = None
    """Arguments of the builder, instead of the row's."""
    input: InputSize | None = None
    """Instead of the row's."""
    norm_ops: int = 0
    """Operations counted for each element that passes a batch normalisation."""
    extra_macs: int = 0
    """Multiply-adds that no option of ours removes or adds, as arithmetic a reader can follow."""
    without_padding: Literal["space", "space and time"] | None = None
    """Leave out products with the zeros of convolutions' padding, along these axes."""
    without_norm: bool = False
    """Leave the scales and shifts of batch normalisations out of the parameters."""
    binary_millions: bool = False
    """Give parameters in units of 2^20."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network at one input, with one published figure or none."""

    model: str
    """Name for `build_backbone`, or `MODEL` of `published_lfb` or `published_object_transformer`; with `absent`, what
    the document calls it."""
    variant: str = ""
    """What differs from the network of that name, in the document's words."""
    input: InputSize | None = None
    """(frames, height, width) of one clip at the fast rate; None where the document does not say."""
    options: Options = field(default_factory=dict)
    """Arguments of the builder beyond the name."""
    second_stream: Options | None = None
    """Arguments of a second network beside it, whose size is added."""
    absent: str = ""
    """Why it is not counted: a system that this project does not have, or not yet."""
    params: float | None = None
    """Published parameters."""
    macs: float | None = None
    """Published multiply-adds for one input."""
    relative_to: Row | None = None
    """Where the document prints ratios: the row they are ratios to."""
    params_times: float | None = None
    macs_times: float | None = None
    source: str = ""
    """Document, table and section of the figure."""
    reading: Reading | None = None
    note: str = ""

    @property
    def published_params(self) -> float | None:
        """Published parameters, printed or as a multiple of another row's."""
        base = self.relative_to.params if self.relative_to else None
        return base * self.params_times if base and self.params_times else self.params

    @property
    def published_macs(self) -> float | None:
        """Published multiply-adds, printed or as a multiple of another row's."""
        base = self.relative_to.macs if self.relative_to else None
        return base * self.macs_times if base and self.macs_times else self.macs


def published_rows() -> tuple[Row, ...]:
    """Every network of the project with its variants, every published figure of the four documents and the zoos."""
    from longform.published_coviar import COVIAR_ROWS
    from longform.published_inception import INCEPTION_ROWS
    from longform.published_lfb import LFB_ROWS
    from longform.published_nonlocal import NONLOCAL_ROWS
    from longform.published_object_transformer import OBJECT_TRANSFORMER_ROWS
    from longform.published_slowfast import SLOWFAST_ROWS
    from longform.published_systems import SYSTEM_ROWS

    return (
        *NONLOCAL_ROWS,
        *SLOWFAST_ROWS,
        *INCEPTION_ROWS,
        *LFB_ROWS,
        *OBJECT_TRANSFORMER_ROWS,
        *COVIAR_ROWS,
        *SYSTEM_ROWS,
    )

"""Every choice in the form of an Object Transformer: the released code's, the thesis's, and those between."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.errors import ConfigError

PERSON_DIM = 2304
"""Slow (2048) and fast (256) channels of SlowFast R101 with non-local blocks, pooled over a person's box."""

OBJECT_DIM = 1024
"""Box head of Faster R-CNN with FPN."""

NUM_OBJECT_CLASSES = 81
"""Those of COCO and background."""

View = Literal["inc", "dec", "center"]
VIEWS: tuple[View, ...] = ("inc", "dec", "center")
"""How a second or a shot is numbered: from the start of the span, back from its end, about its centre."""

FIRST_VALUE = 4
"""Index 0 of a table is not used, 1 is padding, 2 the start token, 3 the end token; values follow."""

CHOICES = {"start": ("rows", "vector"), "representation": ("pooler", "first"), "compat_head": ("mlp", "linear")}
"""Options that are one of two words."""

MODALITIES = ("action", "object")
"""What is predicted of a masked box, in the order of `feature_dims`."""


@dataclass(frozen=True, kw_only=True)
class TokenForm:
    """How boxes become tokens."""

    seconds: int = 60
    """Length of a span."""
    table_rows: int = 258
    """Rows of the tables that the indices of a token point into."""
    end_token: bool = True
    area: bool = True
    """Whether the area of the box follows its four coordinates."""

    @property
    def max_boxes(self) -> int:
        """Boxes of a span beyond these are dropped, those visited last."""
        return self.table_rows - FIRST_VALUE

    @property
    def spatial_dim(self) -> int:
        """Numbers that say where a box is."""
        return 5 if self.area else 4

    @property
    def num_special(self) -> int:
        """Tokens of a span that are no boxes."""
        return 2 if self.end_token else 1


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The form of the network. Defaults are the released code's (chaoyuaw/lvu), `THESIS` changes what differs there."""

    feature_dims: tuple[int, ...] = (PERSON_DIM,)
    """Channels of each kind of box: persons, or persons and objects side by side, zero where a box is not of a kind."""
    width: int = 768
    layers: int = 3
    heads: int = 12
    table_rows: int = 258
    dropout: float = 0.1
    time_views: tuple[View, ...] = VIEWS
    """Tables for the second of a box."""
    shot_views: tuple[View, ...] = VIEWS
    """Tables for its shot."""
    area: bool = True
    end_token: bool = True
    start: Literal["rows", "vector"] = "rows"
    """The first token: the sum of rows 2 of the tables, or one learned vector in place of the whole sum."""
    embedding_norm: bool = True
    """LayerNorm and dropout after the sum of the embeddings."""
    representation: Literal["pooler", "first"] = "pooler"
    """What stands for the span: tanh of a dense layer on the first token's output, or that output itself."""
    compat_head: Literal["mlp", "linear"] = "mlp"
    """Dense, GELU, LayerNorm and linear; or dropout and linear."""

    def __post_init__(self) -> None:
        self._check("feature_dims", len(self.feature_dims) in (1, 2) and min(self.feature_dims) > 0, "one or two sizes")
        self._check("layers", self.layers >= 1, "1 or more")
        self._check("heads", self.heads >= 1, "1 or more")
        self._check("width", self.width >= 1 and self.width % self.heads == 0, f"a multiple of {self.heads} heads")
        self._check("table_rows", self.table_rows >= 8 and self.table_rows % 2 == 0, "an even number of 8 or more")
        self._check("dropout", 0 <= self.dropout < 1, "0 to below 1")
        for name, choices in CHOICES.items():
            self._check(name, getattr(self, name) in choices, " or ".join(map(repr, choices)))
        for name in ("time_views", "shot_views"):
            views = getattr(self, name)
            self._check(name, set(views) <= set(VIEWS) and len(set(views)) == len(views), f"some of {VIEWS}")

    def _check(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ConfigError(f"Object Transformer: {name} is {getattr(self, name)!r}; expected {expected}.")

    @property
    def token_form(self) -> TokenForm:
        """How boxes must become tokens for this network."""
        return TokenForm(table_rows=self.table_rows, end_token=self.end_token, area=self.area)

    @property
    def feature_dim(self) -> int:
        """Channels of all kinds of boxes together."""
        return sum(self.feature_dims)


THESIS: dict[str, Any] = {
    "time_views": ("inc",),
    "shot_views": ("inc",),
    "area": False,
    "end_token": False,
    "start": "vector",
    "embedding_norm": False,
    "representation": "first",
    "compat_head": "linear",
}
"""What the thesis's text describes where the released code does otherwise (chapter 8)."""

VARIANTS: dict[str, dict[str, Any]] = {"released": {}, "thesis": THESIS}


def model_config(variant: str = "released", **options: Any) -> ModelConfig:
    """The form of a variant with some choices changed.

    Raises:
        ConfigError: the variant or an option is not known, or has a value that cannot be.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"Object Transformer: variant {variant!r}; expected one of: {', '.join(VARIANTS)}.")
    names = [field.name for field in dataclasses.fields(ModelConfig)]
    unknown = sorted(options.keys() - set(names))
    if unknown:
        raise ConfigError(
            f"Object Transformer: no option is called {', '.join(map(repr, unknown))}; expected: {', '.join(names)}."
        )
    merged: dict[str, Any] = {**VARIANTS[variant], **options}
    for name in ("feature_dims", "time_views", "shot_views"):
        if name in merged:
            merged[name] = tuple(merged[name])
    return ModelConfig(**merged)

"""The non-local block (Wang et al., "Non-local Neural Networks", CVPR 2018, section 3).

Every position of a feature map receives a weighted sum over all positions. With keys x^ = maxpool(x):

    form                weight of position j for position i                        source
    gaussian            softmax_j(x_i . x^_j)                                      Eq. 2
    embedded_gaussian   softmax_j(theta(x_i) . phi(x^_j) * scale)                  Eq. 3
    dot_product         theta(x_i) . phi(x^_j) / N                                 Eq. 4
    concatenation       ReLU(w . [theta(x_i), phi(x^_j)]) / N                      Eq. 5

N is the number of keys. The released code (facebookresearch/video-nonlocal-net and facebookresearch/SlowFast)
differs from the paper's text in two ways that change the result, and checkpoints need its way: keys and values are
pooled *before* phi and g, and embedded affinities are multiplied by (inner channels)^-0.5.

Shapes: B maps or groups of frames, C channels, I inner channels, Q queries (positions of x), K keys (of x^).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from extractors.errors import ConfigError, ShapeError

FORMS = ("gaussian", "embedded_gaussian", "dot_product", "concatenation")
DIRECTIONS = ("spacetime", "space", "time")
ATTENTION = ("fused", "plain")


class NonLocalBlock(nn.Module):
    """x + BN(out(y)) with y the non-local mean of x; the identity when it is new. No ReLU follows.

    Args:
        channels: C of the maps.
        form: one of `FORMS`.
        direction: `spacetime`; `space`, each frame by itself; `time`, each place of the map by itself.
        pool: (t, h, w), kernel and stride of the max pool over keys and values.
        group_frames: attend within groups of so many consecutive frames (video-long-term-feature-banks).
        scaled: multiply the affinities of a softmax form by I^-0.5; None for what the released code does
            (`embedded_gaussian` is scaled, `gaussian` is Eq. 2 as printed).
        norm: end in batch normalisation with scale 0; otherwise the last convolution starts at 0.
        attention: `fused` never holds the (Q, K) weights where the form allows it; `plain` always does, as the paper
            counts operations. Equal but for rounding.
    Raises:
        ConfigError: an argument is not one of those above, or pools a dimension that is not attended over.
    """

    def __init__(
        self,
        channels: int,
        *,
        form: str = "embedded_gaussian",
        direction: str = "spacetime",
        pool: tuple[int, int, int] = (1, 2, 2),
        group_frames: int | None = None,
        scaled: bool | None = None,
        norm: bool = True,
        attention: str = "fused",
    ) -> None:
        super().__init__()
        _check_options(form, direction, pool, attention)
        inner = max(channels // 2, 1)
        embedded = form != "gaussian"
        self.form, self.direction, self.attention = form, direction, attention
        self.group_frames = 1 if direction == "space" else group_frames
        compared = inner if embedded else channels
        scaled = form == "embedded_gaussian" if scaled is None else scaled
        self.scale = compared**-0.5 if scaled else 1.0
        self.pool = nn.Identity() if pool == (1, 1, 1) else nn.MaxPool3d(pool)
        self.theta = nn.Conv3d(channels, inner, 1) if embedded else nn.Identity()
        self.phi = nn.Conv3d(channels, inner, 1) if embedded else nn.Identity()
        self.g = nn.Conv3d(channels, inner, 1)
        self.out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels) if norm else nn.Identity()
        if form == "concatenation":
            self.pair = nn.Linear(2 * inner, 1, bias=False)
        self._start_as_identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> the same shape.

        Raises:
            ShapeError: T is not a multiple of `group_frames`, or smaller than a group.
        """
        folded = self._fold(x)
        keys = self.pool(folded)
        mixed = self._mix(_rows(self.theta(folded)), _rows(self.phi(keys)), _rows(self.g(keys)))
        y = mixed.transpose(1, 2).unflatten(2, folded.shape[2:])
        changed: Tensor = self.bn(self.out(self._unfold(y, x)))
        return changed.add_(x)

    def _mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(B, Q, I): the weighted sums of `value` (B, K, I) for `query` (B, Q, .) against `key` (B, K, .)."""
        if self.form == "concatenation":
            return F.relu(self._pair_affinity(query, key)) @ value / key.shape[1]
        if self.form == "dot_product":
            return self._dot_product(query, key, value)
        return self._attend(query, key, value)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The softmax forms, with the affinities scaled."""
        if self.attention == "plain":
            return (query @ key.transpose(1, 2) * self.scale).softmax(2) @ value
        one_head = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], scale=self.scale)
        return one_head.squeeze(1)

    def _dot_product(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Without softmax the product is associative: (Q K^T) V = Q (K^T V), whichever is fewer operations."""
        queries, keys, inner = query.shape[1], key.shape[1], value.shape[2]
        if self.attention == "plain" or 2 * queries * keys <= inner * (queries + keys):
            return query @ key.transpose(1, 2) @ value / keys
        return query @ (key.transpose(1, 2) @ value / keys)

    def _pair_affinity(self, query: Tensor, key: Tensor) -> Tensor:
        """(B, Q, K): w . [q_i, k_j] = w_q . q_i + w_k . k_j, so pairs are never concatenated."""
        for_query, for_key = self.pair.weight.chunk(2, dim=1)
        return F.linear(query, for_query) + F.linear(key, for_key).transpose(1, 2)

    def _fold(self, x: Tensor) -> Tensor:
        """What does not attend to each other goes to the batch: (B, C, T', H', W')."""
        n, c, t, h, w = x.shape
        if self.direction == "time":
            return x.permute(0, 3, 4, 1, 2).reshape(n * h * w, c, t, 1, 1)
        if self.group_frames is None or self.group_frames == t:
            return x
        if t % self.group_frames:
            raise ShapeError(
                f"A non-local block over groups of {self.group_frames} frames got {t} frames; "
                "expected a multiple. Choose another clip length, or no groups."
            )
        groups = x.unflatten(2, (t // self.group_frames, self.group_frames))
        return groups.transpose(1, 2).flatten(0, 1)

    def _unfold(self, y: Tensor, x: Tensor) -> Tensor:
        """`y` (B, I, T', H', W') back to (N, I, T, H, W), the positions of `x`."""
        n, _, t, h, w = x.shape
        if self.direction == "time":
            return y.reshape(n, h, w, -1, t).permute(0, 3, 4, 1, 2)
        if len(y) == n:
            return y
        return y.unflatten(0, (n, -1)).transpose(1, 2).reshape(n, -1, t, h, w)

    def _start_as_identity(self) -> None:
        last = self.bn if isinstance(self.bn, nn.BatchNorm3d) else self.out
        for parameter in last.parameters():
            nn.init.zeros_(parameter)


def _rows(maps: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B, T*H*W, C)."""
    return maps.flatten(2).transpose(1, 2)


def _check_options(form: str, direction: str, pool: tuple[int, int, int], attention: str) -> None:
    for name, value, known in (
        ("form", form, FORMS),
        ("direction", direction, DIRECTIONS),
        ("attention", attention, ATTENTION),
    ):
        if value not in known:
            raise ConfigError(f"Non-local {name} {value!r} is not known; expected one of: {', '.join(known)}.")
    if (direction == "time" and pool[1:] != (1, 1)) or (direction == "space" and pool[0] != 1):
        raise ConfigError(f"A non-local block over {direction} cannot pool by {pool}: that is not {direction}.")

"""Feature bank operators: relate short-term features to a window of a long-term feature bank.

Wu et al., "Long-Term Feature Banks for Detailed Video Understanding", CVPR 2019, section 3.3 (Wu's thesis, section
7.1); numbers are those of the released code (facebookresearch/video-long-term-feature-banks, lib/models/lfb_helper.py).

Shapes: N queries (boxes, or clips of a segment task), B windows, L slots of a window, D channels of a feature,
d latent channels. `short` (N, D) are the short-term features, `bank` (B, L, D) the windows in any float type,
`bank_mask` (B, L) says which slots hold a feature, and `clip_index` (N,) which window a query looks at. A window may
have any number of queries, none included; without `clip_index`, query i looks at window i. No two queries interact.

The released code does not tell empty slots, which hold zeros, from features: they pass through the linear layers, take
part in the softmax and count in the average. So does `masked=False`, the default. `masked=True` leaves them out; a
window without any feature then gives zeros where the weighted sum, average or maximum would be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.errors import ConfigError, ShapeError

FORMS = ("embedded_gaussian", "dot_product", "concatenation")
ATTENTION = ("fused", "plain")
LAYERS = (1, 2, 3)

INIT_STD = 0.01
NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class Attended:
    """What an operator made of a window, and why."""

    output: Tensor
    """(N, O): as from calling the operator."""
    weights: Tensor
    """(N, K, L): how much each slot counted in each of K layers; see the operators for what the numbers are."""


class FeatureBankOperator(nn.Module, ABC):
    """An operator. Calling it gives (N, O), without gradient for `bank` unless that asks for one.

    Args:
        masked: leave empty slots out; the operator then needs `bank_mask`.
    """

    output_dim: int
    """O: channels that it adds to the classifier's input."""

    def __init__(self, *, masked: bool = False) -> None:
        super().__init__()
        self.masked = masked

    def forward(
        self, short: Tensor, bank: Tensor, bank_mask: Tensor | None = None, clip_index: Tensor | None = None
    ) -> Tensor:
        """(N, O): see the module for the shapes. ShapeError if they do not fit each other."""
        rows, mask = self._checked(short, bank, bank_mask, clip_index)
        return self._operate(short, bank.to(short.dtype), mask, rows)

    def explain(
        self, short: Tensor, bank: Tensor, bank_mask: Tensor | None = None, clip_index: Tensor | None = None
    ) -> Attended:
        """The same output, with the weight of every slot. ShapeError as in a call."""
        rows, mask = self._checked(short, bank, bank_mask, clip_index)
        return self._explain(short, bank.to(short.dtype), mask, rows)

    @abstractmethod
    def _operate(self, short: Tensor, bank: Tensor, mask: Tensor | None, rows: Rows) -> Tensor:
        """(N, O); `mask` is None where every slot counts."""

    @abstractmethod
    def _explain(self, short: Tensor, bank: Tensor, mask: Tensor | None, rows: Rows) -> Attended:
        """The output of `_operate`, and its weights."""

    def _checked(
        self, short: Tensor, bank: Tensor, bank_mask: Tensor | None, clip_index: Tensor | None
    ) -> tuple[Rows, Tensor | None]:
        if short.dim() != 2 or bank.dim() != 3 or bank.shape[1] == 0:
            raise ShapeError(
                f"Short-term features have shape {tuple(short.shape)} and the bank {tuple(bank.shape)}; "
                "expected (N, D) and (B, L, D) with L of at least 1."
            )
        if bank_mask is not None and (bank_mask.shape != bank.shape[:2] or bank_mask.dtype != torch.bool):
            raise ShapeError(
                f"The mask of the bank has shape {tuple(bank_mask.shape)} of {bank_mask.dtype}; "
                f"expected {tuple(bank.shape[:2])} of torch.bool."
            )
        if self.masked and bank_mask is None:
            raise ShapeError("An operator with masked=True needs bank_mask (B, L): which slots hold a feature.")
        return Rows(short, len(bank), clip_index), bank_mask if self.masked else None


class Rows:
    """Queries in a row (N, ...), and the same by window (B, R, ...), where R is the largest number of any window."""

    def __init__(self, short: Tensor, windows: int, clip_index: Tensor | None) -> None:
        self.windows = windows
        self.clip = clip_index
        if clip_index is None:
            if len(short) != windows:
                raise ShapeError(
                    f"There are {len(short)} short-term features and {windows} windows: say with clip_index (N,) which "
                    "window each looks at."
                )
            self.most = 1
            return
        if clip_index.shape != short.shape[:1] or clip_index.dtype != torch.int64:
            raise ShapeError(
                f"clip_index has shape {tuple(clip_index.shape)} of {clip_index.dtype}; "
                f"expected {tuple(short.shape[:1])} of torch.int64."
            )
        if len(short) and not 0 <= int(clip_index.min()) <= int(clip_index.max()) < windows:
            raise ShapeError(
                f"clip_index goes from {int(clip_index.min())} to {int(clip_index.max())}; there are {windows} windows."
            )
        counts = torch.bincount(clip_index, minlength=windows)
        order = clip_index.argsort(stable=True)
        first = counts.cumsum(0) - counts
        self.place = torch.empty_like(clip_index)
        self.place[order] = torch.arange(len(short), device=short.device) - first[clip_index[order]]
        self.most = int(counts.max()) if windows else 0

    def by_window(self, rows: Tensor) -> Tensor:
        """(N, ...) -> (B, R, ...), zeros where a window has fewer queries."""
        if self.clip is None:
            return rows[:, None]
        padded = rows.new_zeros(self.windows, self.most, *rows.shape[1:])
        return padded.index_put((self.clip, self.place), rows)

    def in_a_row(self, by_window: Tensor) -> Tensor:
        """(B, R, ...) -> (N, ...)."""
        return by_window[:, 0] if self.clip is None else by_window[self.clip, self.place]

    def of_window(self, values: Tensor) -> Tensor:
        """(B, ...) -> (N, ...): for each query the value of its window."""
        return values if self.clip is None else values[self.clip]

    def present(self) -> Tensor:
        """(B, R): which places of `by_window` hold a query."""
        assert self.clip is not None
        here = torch.zeros(self.windows, self.most, dtype=torch.bool, device=self.clip.device)
        here[self.clip, self.place] = True
        return here


@dataclass(frozen=True, kw_only=True)
class FBONLConfig:
    """Settings of FBO-NL; the defaults are those of the released AVA and EPIC models."""

    feature_dim: int = 2048
    """D of the short-term features."""
    bank_dim: int = 2048
    """D of the bank."""
    latent_dim: int = 512
    num_layers: int = 2
    """1, 2 or 3; the best AVA models have 3."""
    form: str = "embedded_gaussian"
    """`embedded_gaussian`: softmax over the slots; `dot_product` and `concatenation`: divided by their number."""
    scaled: bool | None = None
    """Multiply affinities by d^-0.5; None for embedded Gaussian only (non-local paper, Eqs. 3 to 5)."""
    pre_activation: bool = True
    """LayerNorm and ReLU before the output layer, none after the sum; False for Charades: LayerNorm after the output
    layer, ReLU after the sum."""
    layer_norm: bool = True
    norm_affine: bool = False
    """Learn a scale and a shift of the LayerNorm, as mmaction2 does."""
    zero_init: bool = True
    """Start the output layers at zero; False, as in mmaction2, for the Gaussian of the other layers."""
    dropout: float = 0.2
    input_dropout: bool = True
    """On the short-term features after their linear layer."""
    bank_dropout: bool = True
    """On the bank after its linear layer."""
    nl_dropout: bool | None = None
    """At the end of each layer; None for what `bank_dropout` says, as in the released code."""
    masked: bool = False
    """Leave empty slots out."""
    attention: str = "fused"
    """`fused` never holds the weights where the form allows it; `plain` always does, in the order in which papers count
    operations. Equal but for rounding."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("num_layers", self.num_layers, LAYERS),
            ("form", self.form, FORMS),
            ("attention", self.attention, ATTENTION),
        ):
            if value not in known:
                raise ConfigError(f"FBO-NL {name} is {value!r}; expected one of: {', '.join(map(str, known))}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"FBO-NL dropout is {self.dropout}; expected 0 or more and less than 1.")
        if self.scaled and self.form == "concatenation":
            raise ConfigError("FBO-NL has no scale in the form 'concatenation': leave out scaled=True.")
        if self.norm_affine and not self.layer_norm:
            raise ConfigError("FBO-NL norm_affine=True needs layer_norm=True.")

    def rate(self, switch: bool) -> float:
        """Rate of a dropout with this switch."""
        return self.dropout if switch else 0.0


class FBONL(FeatureBankOperator):
    """FBO-NL: a stack of non-local layers in which short-term features attend to the bank (thesis, Figure 7.4).

    `explain` gives the weights of every layer. They sum to 1 over the slots for embedded Gaussian; those of the other
    forms are affinities over the number of slots, of either sign for the dot product.
    """

    def __init__(self, config: FBONLConfig | None = None) -> None:
        config = config or FBONLConfig()
        super().__init__(masked=config.masked)
        self.config = config
        self.output_dim = config.latent_dim
        self.reduce_input = gaussian_linear(config.feature_dim, config.latent_dim)
        self.reduce_bank = gaussian_linear(config.bank_dim, config.latent_dim)
        self.input_dropout = nn.Dropout(config.rate(config.input_dropout))
        self.bank_dropout = nn.Dropout(config.rate(config.bank_dropout))
        self.layers = nn.ModuleList(NonLocalLayer(config) for _ in range(config.num_layers))

    def _operate(self, short: Tensor, bank: Tensor, mask: Tensor | None, rows: Rows) -> Tensor:
        state, slots = self._reduced(short, bank)
        for layer in self.layers:
            state = layer(state, slots, mask, rows)
        return state

    def _explain(self, short: Tensor, bank: Tensor, mask: Tensor | None, rows: Rows) -> Attended:
        state, slots = self._reduced(short, bank)
        weights = []
        for layer in self.layers:
            assert isinstance(layer, NonLocalLayer)
            weights.append(rows.in_a_row(layer.weights(rows.by_window(layer.theta(state)), slots, mask)))
            state = layer(state, slots, mask, rows)
        return Attended(state, torch.stack(weights, 1))

    def _reduced(self, short: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
        """(N, d) and (B, L, d): the inputs of the first layer, and of all layers."""
        config = self.config
        if (short.shape[-1], bank.shape[-1]) != (config.feature_dim, config.bank_dim):
            raise ShapeError(
                f"FBO-NL got short-term features of {short.shape[-1]} channels and a bank of {bank.shape[-1]}; "
                f"it was built for feature_dim={config.feature_dim} and bank_dim={config.bank_dim}."
            )
        return self.input_dropout(self.reduce_input(short)), self.bank_dropout(self.reduce_bank(bank))


class NonLocalLayer(nn.Module):
    """One layer of FBO-NL. With its output layer at zero it changes nothing (after the ReLU, if post-activation)."""

    def __init__(self, config: FBONLConfig) -> None:
        super().__init__()
        dim = config.latent_dim
        self.form, self.attention, self.pre_activation = config.form, config.attention, config.pre_activation
        scaled = config.form == "embedded_gaussian" if config.scaled is None else config.scaled
        self.scale = dim**-0.5 if scaled else 1.0
        self.theta, self.phi, self.g, self.out = (gaussian_linear(dim, dim) for _ in range(4))
        if config.zero_init:
            nn.init.zeros_(self.out.weight)
        self.norm = nn.LayerNorm(dim, NORM_EPS, config.norm_affine) if config.layer_norm else nn.Identity()
        self.dropout = nn.Dropout(config.rate(config.bank_dropout if config.nl_dropout is None else config.nl_dropout))
        if config.form == "concatenation":
            self.pair = nn.Linear(2 * dim, 1, bias=False)
            nn.init.normal_(self.pair.weight, std=INIT_STD)

    def forward(self, state: Tensor, slots: Tensor, mask: Tensor | None, rows: Rows) -> Tensor:
        """(N, d) from `state` (N, d) and `slots` (B, L, d)."""
        y = rows.in_a_row(self._attend(rows.by_window(self.theta(state)), slots, mask))
        if self.pre_activation:
            return state + self.dropout(self.out(F.relu(self.norm(y))))
        return F.relu(state + self.dropout(self.norm(self.out(y))))

    def weights(self, theta: Tensor, slots: Tensor, mask: Tensor | None) -> Tensor:
        """(B, R, L): the weights of the slots for `theta` (B, R, d), zero for those that the mask leaves out."""
        phi = self.phi(slots)
        affinity = self._pair_affinity(theta, phi) if self.form == "concatenation" else theta @ phi.mT * self.scale
        if self.form == "embedded_gaussian":
            return masked_softmax(affinity, mask)
        if mask is None:
            return affinity / slots.shape[1]
        return affinity * mask[:, None] / mask.sum(1).clamp(min=1)[:, None, None]

    def _attend(self, theta: Tensor, slots: Tensor, mask: Tensor | None) -> Tensor:
        """(B, R, d): sums of g(slots) by these weights."""
        if self.form == "embedded_gaussian" and self.attention == "fused":
            return self._fused(theta, slots, mask)
        return self.weights(theta, slots, mask) @ self.g(slots)

    def _fused(self, theta: Tensor, slots: Tensor, mask: Tensor | None) -> Tensor:
        """The same by fused attention.

        With fewer queries than slots, phi and g move to the side of the queries: theta . phi(b) = (phi^T theta) . b but
        for a term that is equal in all slots, which a softmax drops, and g of a mean is the mean of g. Only without
        gradients: the bias of phi, which that term holds, would have none.
        """
        some = None if mask is None else mask.any(1)[:, None, None]
        shown = None if mask is None or some is None else (mask[:, None] | ~some)[:, None]
        if theta.shape[1] < slots.shape[1] and not torch.is_grad_enabled():
            y = self.g(self._mean(theta @ self.phi.weight, slots, slots, shown))
        else:
            y = self._mean(theta, self.phi(slots), self.g(slots), shown)
        return y if some is None else y * some

    def _mean(self, query: Tensor, key: Tensor, value: Tensor, shown: Tensor | None) -> Tensor:
        one_head = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], shown, scale=self.scale)
        return one_head.squeeze(1)

    def _pair_affinity(self, theta: Tensor, phi: Tensor) -> Tensor:
        """(B, R, L): ReLU(w . [theta_i, phi_j]), where w . [theta_i, phi_j] = w_theta . theta_i + w_phi . phi_j."""
        for_theta, for_phi = self.pair.weight.chunk(2, dim=1)
        return F.relu(F.linear(theta, for_theta) + F.linear(phi, for_phi).mT)


class FBOAvg(FeatureBankOperator):
    """FBO-Avg: the mean of the window's features, over all slots or, masked, over those that hold one.

    `explain` gives one layer of equal weights.
    """

    def __init__(self, bank_dim: int = 2048, *, masked: bool = False) -> None:
        super().__init__(masked=masked)
        self.output_dim = bank_dim

    def _operate(self, short: Tensor, bank: Tensor, mask: Tensor | None, rows: Rows) -> Tensor:
        return rows.of_window((self._shares(bank, mask)[:, None] @ bank).squeeze(1))

    def _explain(self, short: Tensor, bank: Tensor, mask: Tensor | None, rows: Rows) -> Attended:
        shares = self._shares(bank, mask)
        return Attended(self._operate(short, bank, mask, rows), rows.of_window(shares)[:, None])

    def _shares(self, bank: Tensor, mask: Tensor | None) -> Tensor:
        """(B, L): what each slot counts."""
        counted = torch.ones_like(bank[..., 0]) if mask is None else mask.to(bank.dtype)
        return counted / counted.sum(1, keepdim=True).clamp(min=1)


class FBOMax(FeatureBankOperator):
    """FBO-Max: the maximum of each channel over the window's slots.

    Empty slots are harmless where features are 0 or more, as after a ReLU. `explain` gives one layer: the share of the
    channels whose maximum, if it is not 0, is in the slot.
    """

    def __init__(self, bank_dim: int = 2048, *, masked: bool = False) -> None:
        super().__init__(masked=masked)
        self.output_dim = bank_dim

    def _operate(self, short: Tensor, bank: Tensor, mask: Tensor | None, rows: Rows) -> Tensor:
        return rows.of_window(self._shown(bank, mask).amax(1))

    def _explain(self, short: Tensor, bank: Tensor, mask: Tensor | None, rows: Rows) -> Attended:
        highest, slot = self._shown(bank, mask).max(1)
        shares = torch.zeros_like(bank[..., 0]).scatter_add(1, slot, (highest != 0).to(bank.dtype))
        return Attended(rows.of_window(highest), rows.of_window(shares / bank.shape[-1])[:, None])

    @staticmethod
    def _shown(bank: Tensor, mask: Tensor | None) -> Tensor:
        """The bank with slots that cannot be a maximum where the mask leaves them out, and zeros in empty windows."""
        if mask is None:
            return bank
        hidden = bank.masked_fill(~mask[..., None], -torch.inf)
        return hidden.masked_fill(~mask.any(1)[:, None, None], 0.0)


class STO(FBONL):
    """The short-term operator STO(S) = FBO-NL(S, S) (thesis, section 7.1, "A Baseline Short-Term Operator").

    Not in the released code. Its `bank` is made of the current clip, and gradients flow into it: for segments
    (B, T, D), one spatially pooled feature for each of T temporal positions; for boxes, `boxes_as_bank`. There are no
    empty slots in it but those that fill up clips of fewer boxes, and `bank_mask` always leaves these out.
    """

    def among_boxes(self, short: Tensor, clip_index: Tensor, num_clips: int) -> Tensor:
        """(N, O): every box attends to all boxes of its clip, itself included."""
        output: Tensor = self(short, *boxes_as_bank(short, clip_index, num_clips), clip_index)
        return output

    def _checked(
        self, short: Tensor, bank: Tensor, bank_mask: Tensor | None, clip_index: Tensor | None
    ) -> tuple[Rows, Tensor | None]:
        rows, _ = super()._checked(short, bank, bank_mask, clip_index)
        return rows, bank_mask


def boxes_as_bank(short: Tensor, clip_index: Tensor, num_clips: int) -> tuple[Tensor, Tensor]:
    """Windows (B, R, D) of the boxes of each clip, with their mask (B, R); at least one slot, which may be empty."""
    rows = Rows(short, num_clips, clip_index)
    if rows.most == 0:
        empty = short.new_zeros(num_clips, 1, short.shape[-1])
        return empty, torch.zeros(num_clips, 1, dtype=torch.bool, device=short.device)
    return rows.by_window(short), rows.present()


def masked_softmax(affinity: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax of (B, R, L) over the slots that `mask` (B, L) shows; zeros elsewhere, also where it shows none."""
    if mask is None:
        return affinity.softmax(-1)
    hidden = ~mask[:, None]
    return affinity.masked_fill(hidden, torch.finfo(affinity.dtype).min).softmax(-1).masked_fill(hidden, 0.0)


def gaussian_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights from N(0, 0.01) (standard deviation) and bias 0."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=INIT_STD)
    nn.init.zeros_(layer.bias)
    return layer

"""Checkpoints of a run: weights, optimiser and counters together, whole or absent, the last two kept."""

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from extractors.weights.load import OWN_LAYOUT
from longform.training.atomic import clear_scratch, making_folder, remove_folder, replacing
from longform.training.errors import RunFolderError

KEPT = 2
UNREADABLE = (
    OSError,
    EOFError,
    SafetensorError,
    pickle.UnpicklingError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
)
"""What reading a damaged or foreign checkpoint raises."""
MODEL, OPTIMISER, STATE = "model.safetensors", "optimiser.pt", "state.json"


@dataclass(kw_only=True)
class RunState:
    """Where a run stands; everything that is not in the weights and the optimiser."""

    step: int = 0
    """Steps done."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the last evaluation."""
    best_step: int | None = None
    best_value: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    """Losses summed since the last row of the log."""
    summed_steps: int = 0


class Checkpoints:
    """The folder `checkpoints` of a run."""

    def __init__(self, run: Path, device: torch.device) -> None:
        self.folder = run / "checkpoints"
        self._device = device

    def clear(self) -> None:
        """Remove what a killed run left: half written or half deleted, or one checkpoint too many."""
        self.folder.mkdir(parents=True, exist_ok=True)
        clear_scratch(self.folder)
        self._forget_old()

    def steps(self) -> list[int]:
        """Steps of the checkpoints that there are, in order."""
        found = (re.fullmatch(r"step-(\d+)", path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> Path:
        """Folder of the checkpoint of a step."""
        return self.folder / f"step-{step:08d}"

    def write(self, model: nn.Module, optimiser: Optimizer, state: RunState) -> None:
        """Add a checkpoint, and delete those before the last two."""
        with making_folder(self.path(state.step)) as folder:
            _save_weights(folder / MODEL, model, {"step": state.step})
            torch.save(optimiser.state_dict(), folder / OPTIMISER)
            (folder / STATE).write_text(json.dumps(asdict(state), indent=2), encoding="utf-8")
        self._forget_old()

    def _forget_old(self) -> None:
        for step in self.steps()[:-KEPT]:
            remove_folder(self.path(step))

    def read(self, step: int, model: nn.Module, optimiser: Optimizer) -> RunState:
        """Put model and optimiser in the state of a checkpoint.

        Raises RunFolderError if a file is damaged or does not fit the model.
        """
        folder = self.path(step)
        try:
            model.load_state_dict(load_file(folder / MODEL, device=str(self._device)))
            optimiser.load_state_dict(torch.load(folder / OPTIMISER, map_location=self._device, weights_only=True))
            return RunState(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        except UNREADABLE as error:
            is_foreign = isinstance(error, pickle.UnpicklingError)  # torch's own advice would be to run what it holds
            reason = f"{OPTIMISER} is no file of torch.save" if is_foreign else " ".join(str(error).split())
            raise RunFolderError(
                f"Checkpoint {str(folder)!r} cannot be used: {reason}. It is damaged, or for another model. "
                "Delete it to go on from the one before, or train into another folder."
            ) from error


def save_weights_file(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """A model's weights as one file of our own layout, replaced in one go; `facts` become its metadata."""
    with replacing(path) as scratch:
        _save_weights(scratch, model, facts)


def _save_weights(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Every tensor under each of its names: a shared one is there several times, so that any reader finds it."""
    state = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
             for name, value in model.state_dict().items()}  # fmt: skip
    save_file(state, path, {"format": OWN_LAYOUT, **{name: str(value) for name, value in facts.items()}})

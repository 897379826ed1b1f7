"""How a run goes, apart from its model and data."""

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer

from extractors.runtime import Runtime
from longform.training.errors import TrainingError
from longform.training.recipes import LOOP_OPTIONS
from longform.training.schedules import Schedule

OPTIMISERS = ("sgd", "adamw", "adam")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of the loop; all but those of `FREE` decide the weights."""

    steps: int
    schedule: Schedule
    optimiser: str = "sgd"
    """`sgd`: Nesterov momentum 0.9; `adamw`: betas 0.9 and 0.999; `adam`: the same, weight decay in the gradient."""
    adam_eps: float = 1e-8
    """Of `adamw` and `adam`."""
    weight_decay: float = 0.0
    """For groups of parameters that do not give their own."""
    clip_norm: float | None = None
    """Largest L2 norm of all gradients together; None for no limit."""
    accumulate: int = 1
    """Parts a process computes its batch in, one after the other, to need less memory."""
    seed: int = 0
    device: str = "cpu"
    """See `Runtime`; under torchrun, `cuda` is a GPU of its own for each process."""
    precision: str = "fp32"
    """`fp32`, or `bf16`: weights in fp32, computed with torch's automatic mixed precision."""
    workers: int = 0
    """Processes that read examples, for each training process; 0 reads in the training process itself."""
    evaluate_every: int = 0
    """Steps between evaluations; 0 evaluates at the end only."""
    checkpoint_every: int = 1000
    log_every: int = 10
    tensorboard: bool = False
    quiet: bool = False
    """Show no progress."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What task and model were built from, for the record: name and options, all of which JSON knows."""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("accumulate", 1), ("checkpoint_every", 1), ("log_every", 1),
                            ("seed", 0), ("workers", 0), ("evaluate_every", 0), ("weight_decay", 0)):  # fmt: skip
            if not getattr(self, name) >= least:
                raise TrainingError(f"Setting {name}: expected at least {least}, got {getattr(self, name)}.")
        if self.optimiser not in OPTIMISERS:
            raise TrainingError(f"Setting optimiser: expected one of {', '.join(OPTIMISERS)}, got {self.optimiser!r}.")
        if not self.adam_eps > 0:
            raise TrainingError(f"Setting adam_eps: expected a number above 0, got {self.adam_eps}.")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise TrainingError(f"Setting clip_norm: expected a norm above 0 or none, got {self.clip_norm}.")
        if not dataclasses.is_dataclass(self.schedule):
            raise TrainingError(f"Setting schedule: expected a frozen dataclass, got {type(self.schedule).__name__}.")
        _ = self.runtime

    @property
    def runtime(self) -> Runtime:
        """Device and precision, checked. Raises ConfigError of `extractors`."""
        return Runtime(device=self.device, precision=self.precision)

    def to_json(self) -> dict[str, Any]:
        """All settings as JSON knows them; the device by its kind, with `auto` decided."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        schedule: Any = self.schedule
        fields["schedule"] = {"kind": type(schedule).__name__, **dataclasses.asdict(schedule)}
        fields["recipe"] = dict(self.recipe)
        fields["device"] = self.runtime.torch_device.type
        return fields

    def build_optimiser(self, groups: list[dict[str, Any]]) -> Optimizer:
        """The optimiser of a task's groups of parameters. A group may have `lr_factor`, which multiplies the rate.

        Raises TrainingError for a group with `lr`, which the schedule would overwrite, and for no parameters at all.
        """
        groups = [{"lr_factor": 1.0, **group, "params": list(group["params"])} for group in groups]
        groups = [group for group in groups if group["params"]]
        if not groups:
            raise TrainingError("No parameters to train: every group of the task's parameter_groups is empty.")
        if any("lr" in group for group in groups):
            raise TrainingError("A parameter group has 'lr', which the schedule sets: expected 'lr_factor' instead.")
        if self.optimiser == "sgd":
            return SGD(groups, lr=0.0, momentum=0.9, nesterov=True, weight_decay=self.weight_decay)
        adam = Adam if self.optimiser == "adam" else AdamW
        return adam(groups, lr=0.0, betas=(0.9, 0.999), eps=self.adam_eps, weight_decay=self.weight_decay)


FREE = frozenset({"workers", "checkpoint_every", "log_every", "tensorboard", "quiet"})
"""Settings that may change between a stop and a restart, because they do not change the weights."""


def settings_from(options: argparse.Namespace, *, schedule: Schedule, **others: Any) -> TrainSettings:
    """Settings of a run from the options that all recipes share (`longform.training.recipes.add_loop_options`).

    The other options go into `recipe`, so that a folder is continued with the same ones only.
    """
    return TrainSettings(
        steps=options.steps,
        schedule=schedule,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        workers=options.workers,
        evaluate_every=options.evaluate_every,
        checkpoint_every=options.checkpoint_every,
        tensorboard=options.log == "tensorboard",
        quiet=options.quiet,
        recipe={name: value for name, value in vars(options).items() if name not in LOOP_OPTIONS},
        **others,
    )

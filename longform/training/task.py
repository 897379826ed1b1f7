"""What the training loop asks of a recipe: examples of a step, how one is read, what is minimised and measured."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn


class Task(Protocol):
    """A model with its data, losses and metric.

    Everything random in a run is a function of the seed and the step, so that a run that was killed and goes on
    gives the same weights as one that was left alone: `plan` decides which examples a step sees, `read` gets a seed
    of its own for each example, and the loop seeds torch before each step for dropout.
    """

    metric: str
    """Name of the value of `evaluate` that tells how good the model is; the loop shows it and keeps the best."""

    higher_is_better: bool

    @property
    def model(self) -> nn.Module:
        """The model; an attribute of any subclass will do."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for a torch optimiser: `params`, and what differs from the optimiser's own settings, such as
        `weight_decay`, or `lr_factor`, which multiplies the schedule's rate. Parameters that are not trained are in
        no group."""
        ...

    def plan(self, step: int) -> Sequence[Any]:
        """Examples of the whole batch of a step (0-based), all processes together; a pure function of the step.

        An example is anything that pickles: an index, a key, an index with a clip length and a size. With n
        processes, process r reads the examples r, r + n, r + 2n, ...
        """
        ...

    def read(self, example: Any, seed: int) -> Any:
        """One example, in a loader's worker process; `seed` decides its augmentation."""
        ...

    def collate(self, items: list[Any]) -> Any:
        """The batch of some examples: tensors in tuples, lists, dicts or dataclasses."""
        ...

    def losses(self, batch: Any) -> Mapping[str, Tensor]:
        """Scalars, on the model's device, of the same names at every step: `loss` is minimised, others are logged."""
        ...

    def evaluate(self) -> Mapping[str, float]:
        """Measures the model as it is, deterministic; called in evaluation mode without gradients."""
        ...

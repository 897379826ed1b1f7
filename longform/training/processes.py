"""The processes of one run: alone, or several under `torchrun` that sum their gradients."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from extractors.runtime import Runtime
from longform.training.errors import TrainingError

PATIENCE = timedelta(days=2)
"""How long processes wait for the first one, which evaluates; torchrun ends all when one dies."""

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those of the run."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that evaluates and writes."""
        return self.rank == 0

    def on_first(self, work: Callable[[], Result]) -> Result:
        """Do something in the first process; its result, or its TrainingError, in all of them."""
        if self.count == 1:
            return work()
        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome[0] = work()
            except TrainingError as error:
                outcome[1] = error
        dist.broadcast_object_list(outcome, src=0)
        result, failure = outcome
        if failure is not None:
            raise failure
        return result

    def sum_gradients(self, parameters: Sequence[nn.Parameter], values: Tensor) -> Tensor:
        """Sum the gradients over the processes, in place; the sum of `values` (1-d, on the device).

        A parameter that no process used keeps no gradient, so that the optimiser passes it over as it would alone.
        """
        if self.count == 1:
            return values
        used = torch.tensor([float(p.grad is not None) for p in parameters], device=values.device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), used, values])
        dist.all_reduce(flat)
        *summed, used, values = flat.split([*(p.numel() for p in parameters), len(used), len(values)])
        for parameter, gradient, count in zip(parameters, summed, used.tolist(), strict=True):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if count else None
        return values


@contextmanager
def joined_processes(runtime: Runtime) -> Iterator[Processes]:
    """The processes that torchrun started, joined through NCCL on CUDA, else Gloo; this one alone without torchrun."""
    device = runtime.torch_device
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        Runtime(device=str(device))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(device=device, rank=dist.get_rank(), count=count)
        dist.barrier()  # Gloo can abort a process that leaves while another still talks to it
    finally:
        dist.destroy_process_group()

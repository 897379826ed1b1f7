"""The training loop: any task, with an exact restart, on one process or several."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from longform.training.checkpoints import Checkpoints, RunState, save_weights_file
from longform.training.errors import DivergedError, TrainingError
from longform.training.loading import Part, batches
from longform.training.logs import RunLog
from longform.training.processes import Processes, joined_processes
from longform.training.progress import TrainingProgress
from longform.training.run_folder import locked, settle_config
from longform.training.seeds import EVALUATION, STEP, derived_seed, seed_everything
from longform.training.settings import TrainSettings
from longform.training.task import Task

BEST, FINAL = "best.safetensors", "final.safetensors"
GRADIENT_NORM = "gradient_norm"
"""In the log of a run with `clip_norm`: the norm before it was limited."""


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a run came to."""

    folder: Path
    steps: int
    steps_now: int
    """Steps done since this start; fewer than `steps` after a restart."""
    seconds: float
    """Since this start."""
    metric: str
    metrics: dict[str, float]
    """Of the last step."""
    best_step: int | None
    """Step of best.safetensors; None if the metric was never a number."""
    best_value: float | None


def train(task: Task, settings: TrainSettings, folder: Path) -> TrainReport:
    """Train a task's model in place, from the last checkpoint in `folder` if there is one.

    On a CPU, a run that was killed at any moment and started again has the weights of an undisturbed one, bit for
    bit. Under torchrun every process calls this with the same arguments; the first one evaluates and writes.

    Raises RunFolderError (other settings in the folder, in use, damaged), DivergedError (loss or weights not finite),
    TrainingError (settings that cannot work), MissingDependency (TensorBoard asked for and absent), and what the
    task raises.
    """
    with ExitStack() as stack:
        processes = stack.enter_context(joined_processes(settings.runtime))
        processes.on_first(lambda: _claim(stack, folder, settings, processes))
        return _Run(task, settings, folder, processes, stack).finish()


def _claim(stack: ExitStack, folder: Path, settings: TrainSettings, processes: Processes) -> None:
    stack.enter_context(locked(folder))
    settle_config(folder, {**settings.to_json(), "processes": processes.count})


class _Run:
    def __init__(
        self, task: Task, settings: TrainSettings, folder: Path, processes: Processes, stack: ExitStack
    ) -> None:
        self.task, self.settings, self.folder, self.processes = task, settings, folder, processes
        task.model.to(processes.device)
        self.optimiser = settings.build_optimiser(task.parameter_groups())
        self.parameters: list[nn.Parameter] = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.checkpoints = Checkpoints(folder, processes.device)
        self.state = self._restored()
        self.meter = _Meter(self.state)
        self.log = self._log(stack)
        self.progress = stack.enter_context(
            TrainingProgress(done=self.state.step, steps=settings.steps, metric=task.metric,
                             quiet=settings.quiet or not processes.is_first)
        )  # fmt: skip

    def _log(self, stack: ExitStack) -> RunLog | None:
        if not self.processes.is_first:
            return None
        log = RunLog(self.folder, until=self.state.step, tensorboard=self.settings.tensorboard)
        stack.callback(log.close)
        return log

    def _restored(self) -> RunState:
        """Everything as the last checkpoint has it, after writing one of step 0 for a new run."""
        step = self.processes.on_first(self._last_step)
        return self.checkpoints.read(step, self.task.model, self.optimiser)

    def _last_step(self) -> int:
        self.checkpoints.clear()
        if not self.checkpoints.steps():
            self.checkpoints.write(self.task.model, self.optimiser, RunState())
        return self.checkpoints.steps()[-1]

    def finish(self) -> TrainReport:
        """Do the steps that are left."""
        began, first = time.perf_counter(), self.state.step
        self.task.model.train()
        with closing(batches(self.task, self.settings, self.processes, first)) as parts:
            for step in range(first, self.settings.steps):
                self._step(step, parts)
                self._account(step + 1)
        if self.processes.is_first:
            save_weights_file(self.folder / FINAL, self.task.model, {"step": self.settings.steps})
        return TrainReport(
            folder=self.folder,
            steps=self.settings.steps,
            steps_now=self.settings.steps - first,
            seconds=time.perf_counter() - began,
            metric=self.task.metric,
            metrics=self.state.metrics,
            best_step=self.state.best_step,
            best_value=self.state.best_value,
        )

    def _step(self, step: int, parts: Iterator[Part]) -> None:
        """One step of the optimiser; the meter gets its losses, over the whole batch of all processes."""
        self._begin(step)
        losses: dict[str, Tensor] = {}
        for number in range(self.settings.accumulate):
            part = next(parts)
            share = part.examples / part.of
            seed_everything(derived_seed(self.settings.seed, STEP, step, self.processes.rank, number))
            with self._autocast():
                found = self.task.losses(part.batch)
            (found["loss"] * share).backward()
            for name, value in found.items():
                losses[name] = losses.get(name, torch.zeros((), device=value.device)) + value.detach().float() * share
        summed = self.processes.sum_gradients(self.parameters, torch.stack(list(losses.values())))
        losses = dict(zip(losses, summed, strict=True))
        if self.settings.clip_norm is not None:
            losses[GRADIENT_NORM] = nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        self.optimiser.step()
        self.meter.add(step, losses, examples=part.of)

    def _begin(self, step: int) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.schedule(step) * group["lr_factor"]

    def _autocast(self) -> torch.autocast:
        enabled = self.settings.precision == "bf16"
        return torch.autocast(self.processes.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _account(self, done: int) -> None:
        """What is due after a step: a row of the log, an evaluation, a checkpoint."""
        settings, at_end = self.settings, done == self.settings.steps
        self.state.step = done
        logs, evaluates, saves = (
            at_end or (every and done % every == 0)
            for every in (settings.log_every, settings.evaluate_every, settings.checkpoint_every)
        )
        if logs or evaluates or saves:
            self.meter.settle(self._diverged)
        if logs:
            self._write_row(done)
        began = time.perf_counter()
        if evaluates:
            self._evaluate(done)
        if saves:
            self._save(done)
        self.meter.pause(time.perf_counter() - began)

    def _write_row(self, done: int) -> None:
        row = {"step": done, "lr": self.settings.schedule(done - 1), **self.meter.row()}
        if self.log is not None:
            self.log.add_losses(row)
        self.progress.show_losses(row)

    def _evaluate(self, done: int) -> None:
        state, task = self.state, self.task
        seed_everything(derived_seed(self.settings.seed, EVALUATION, done))
        task.model.eval()
        with torch.no_grad(), self._autocast():
            state.metrics = self.processes.on_first(lambda: {name: float(x) for name, x in task.evaluate().items()})
        task.model.train()
        if task.metric not in state.metrics:
            raise TrainingError(f"Evaluation at step {done}: expected {task.metric!r}, got {list(state.metrics)}.")
        value = state.metrics[task.metric]
        is_best = self._is_best(value)
        if is_best:
            state.best_step, state.best_value = done, value
        if self.log is not None:
            if is_best:
                save_weights_file(self.folder / BEST, task.model, {"step": done, task.metric: value})
            self.log.add_metrics({"step": done, **state.metrics})
        self.progress.show_metrics(done, value, state.best_value)

    def _is_best(self, value: float) -> bool:
        best = self.state.best_value
        if math.isnan(value) or best is None:
            return not math.isnan(value)
        return value > best if self.task.higher_is_better else value < best

    def _save(self, done: int) -> None:
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            self._diverged("a weight", done - 1)
        if self.log is not None:
            self.log.sync()
            self.checkpoints.write(self.task.model, self.optimiser, self.state)

    def _diverged(self, what: str, step: int) -> None:
        last = self.checkpoints.path(self.checkpoints.steps()[-1])
        raise DivergedError(
            f"Step {step}: {what} is not finite. Nothing of that is saved; the last checkpoint is {str(last)!r}. Lower "
            "the learning rate, lengthen the warm-up or limit the gradients (clip_norm), and train into a new folder."
        )


class _Meter:
    """Means of the losses since the last row of the log; the sums are part of the run's state, so that a restart in
    between changes no row."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._restart()

    def _restart(self) -> None:
        self._began, self._steps, self._examples = time.perf_counter(), 0, 0

    def add(self, step: int, losses: dict[str, Tensor], *, examples: int) -> None:
        """Losses of a step, still on their way on a GPU."""
        self._pending.append((step, losses))
        self._steps += 1
        self._examples += examples

    def settle(self, diverged: Callable[[str, int], None]) -> None:
        """Wait for all losses and sum them; `diverged` gets name and step of the first loss that is not finite."""
        sums = self._state.sums
        for step, losses in self._pending:
            for name, value in zip(losses, torch.stack(list(losses.values())).tolist(), strict=True):
                if name in ("loss", GRADIENT_NORM) and not math.isfinite(value):
                    diverged(name, step)
                sums[name] = sums.get(name, 0.0) + value
            self._state.summed_steps += 1
        self._pending.clear()

    def pause(self, seconds: float) -> None:
        """Leave out time that was no training."""
        self._began += seconds

    def row(self) -> dict[str, float]:
        """The columns of a row, and a new beginning."""
        elapsed, steps, count = time.perf_counter() - self._began, self._steps, self._state.summed_steps
        means = {name: total / count for name, total in self._state.sums.items()}
        speed = {"seconds_per_step": elapsed / steps, "examples_per_s": self._examples / elapsed}
        self._state.sums, self._state.summed_steps = {}, 0
        self._restart()
        return {**means, **speed}

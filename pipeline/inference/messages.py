"""What the processes of shared inference say to each other. Arrays travel beside it, in `SharedArrays`."""

from dataclasses import dataclass

from extractors.runtime import Runtime
from pipeline.inference.models import Model
from pipeline.inference.shared_arrays import Layout
from pipeline.isolation import CallError


@dataclass(frozen=True, slots=True)
class Connect:
    """Child to parent: connect me to the process of `device`."""

    device: str
    lost: int | None = None
    """Number of the process whose end broke the last connection."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Parent to child: you are connected; the connection follows."""

    number: int
    """Of the process; one that takes the place of another has another."""
    end: CallError | None
    """Of the process that was lost."""


@dataclass(frozen=True, slots=True)
class NewClient:
    """Parent to inference process: the connection of a child follows."""


@dataclass(frozen=True, slots=True)
class Request:
    """Child to inference process: answer this; the inputs follow."""

    number: int
    model: Model
    runtime: Runtime
    layout: Layout
    is_alone: bool
    """Never together with others: the last time the process ended while it was at work on this."""
    more: bool
    """Another one will follow before any is waited for."""

    @property
    def group(self) -> tuple[str, str, Layout]:
        """Equal for requests that may be answered together."""
        return repr(self.model), repr(self.runtime), self.layout


@dataclass(frozen=True, slots=True)
class Waiting:
    """Child to inference process: nothing more will come before all is answered."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Inference process to child: at work on these from now on. The last word of a process that dies of one."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """Inference process to child: the outputs follow."""

    number: int
    layout: Layout
    halved: int
    """How often a batch was halved for want of memory; said once for each batch."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Inference process to child: an exception, and the process goes on."""

    number: int
    error_class: str
    message: str
    traceback: str

"""Which runner of Beam carries a run out, and whether its options can work, before anything is submitted."""

import contextlib
import io
import socket
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass

import grpc  # type: ignore[import-untyped]
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.runner import PipelineRunner

from pipeline.errors import ConfigError
from pipeline.watch import START_S

LOCAL = ("DirectRunner", "FnApiRunner")
BUNDLES_PER_WORKER = 8
"""Beam's local runner deals work out in equal bundles up front; with more bundles than workers, a worker
that is done early takes the next bundle instead of waiting for the slowest."""
ANSWER_S = 10.0
"""Longest wait for the answer of a job service or a worker pool."""
EMBEDDED = "embed"


class WatchOptions(PipelineOptions):
    """Our own option among those of Beam, for runs on other machines."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--start_s", type=float, help="give the run up when no worker has begun after so many "
                            "seconds")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run is carried out."""

    runner: PipelineRunner | None
    """The local runner; None for the one that `options` name, whose workers are elsewhere."""
    options: PipelineOptions
    look_at: str = ""
    """Where a user finds the workers."""
    start_s: float | None = None
    """Longest wait for the first worker; None if they are there already, and begin at once."""


def place(beam_args: Sequence[str], workers: int) -> Place:
    """The runner that `beam_args` name, with their options; the local FnApiRunner where they name none.

    The local one is named outright: Beam's default looks for a download.

    Raises:
        ConfigError: an option is unknown or has a bad value, the runner cannot do it, or no job service or worker pool
            answers where they say.
    """
    args = list(beam_args)
    options = PipelineOptions(args)
    named = runner_name(args)
    if "dask" in named.lower():
        raise ConfigError(
            "DaskRunner computes only the last branch of a graph (Beam 2.77), so a bank would stay empty. "
            "Use the local runner, FlinkRunner, SparkRunner, DataflowRunner or PortableRunner."
        )
    if named in LOCAL:
        _refuse_unknown(args, ())
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        flush_at_the_end()
        bundles = f"--direct_num_workers={workers * BUNDLES_PER_WORKER}"
        local = [*args, bundles, "--direct_running_mode=multi_threading"]
        return Place(runner=FnApiRunner(), options=PipelineOptions(local))
    return _place_elsewhere(named, args, options)


def flush_at_the_end() -> None:
    """Have Beam's local runner pass elements on at the end of a bundle only, and not each second as well.

    Its thread for the latter empties a buffer that another one writes to, without a lock, and an element that comes in
    between is lost (2.77; docs/reliability.md).
    """
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = -1


def runner_name(beam_args: Sequence[str]) -> str:
    """The runner that these options name."""
    return _parsed(beam_args).get("runner") or "FnApiRunner"


def _place_elsewhere(named: str, args: list[str], options: PipelineOptions) -> Place:
    portable = options.view_as(PortableOptions)
    endpoint, pool = portable.job_endpoint, portable.environment_config
    if named == "PortableRunner" and not endpoint:
        raise ConfigError(f"PortableRunner needs --job_endpoint=HOST:PORT behind the --. {_WAY_OUT}")
    described = _options_of_job_service(endpoint) if endpoint not in (None, EMBEDDED) else ()
    _refuse_unknown(args, described)
    has_pool = portable.environment_type == "EXTERNAL"
    if has_pool and not described and _is_here(endpoint) and _is_here(pool):
        _connect(pool, f"No worker pool answers at --environment_config={pool}")
    look_at = f"the worker pool {pool}" if has_pool else f"the workers of {named}"
    start_s = options.view_as(WatchOptions).start_s
    if start_s is not None and not start_s > 0:
        raise ConfigError(f"--start_s must be above 0: got {start_s:g}.")
    if start_s is None and not has_pool:
        start_s = START_S
    return Place(runner=None, options=options, look_at=look_at, start_s=start_s)


def _parsed(args: Sequence[str]) -> dict:
    """The options that were given and are known. Raises ConfigError for a bad value."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return PipelineOptions(list(args)).get_all_options(drop_default=True)
    except SystemExit as error:
        raise ConfigError(f"Behind the --: {said.getvalue().strip().splitlines()[-1]}.") from error


def _refuse_unknown(args: Sequence[str], described: Sequence[beam_job_api_pb2.PipelineOptionDescriptor]) -> None:
    """Beam leaves out what it does not know, with a warning that nobody sees."""
    unknown: list[str] = []

    def ask(parser: ArgumentParser) -> None:
        theirs = ArgumentParser(add_help=False, allow_abbrev=False)
        for option in described:
            is_flag = option.type == beam_job_api_pb2.PipelineOptionType.BOOLEAN
            with contextlib.suppress(Exception):
                theirs.add_argument(f"--{option.name}", nargs="?" if is_flag else None)
        unknown.extend(theirs.parse_known_args(parser.parse_known_args(list(args))[1])[1])

    PipelineOptions(list(args)).get_all_options(add_extra_args_fn=ask)
    if unknown:
        raise ConfigError(
            f"Behind the --: got {unknown[0]!r}, expected an option of Beam or of the job service at --job_endpoint. "
            "Options of longform stand before the --."
        )


def _options_of_job_service(endpoint: str) -> Sequence[beam_job_api_pb2.PipelineOptionDescriptor]:
    """The options a job service adds to Beam's: those of Flink and Spark have some, Beam's local one has none."""
    refusal = f"No job service answers at --job_endpoint={endpoint}"
    _connect(endpoint, refusal)
    with grpc.insecure_channel(endpoint) as channel:
        jobs = beam_job_api_pb2_grpc.JobServiceStub(channel)
        request = beam_job_api_pb2.DescribePipelineOptionsRequest()
        try:
            return jobs.DescribePipelineOptions(request, timeout=ANSWER_S).options
        except grpc.RpcError as error:
            raise ConfigError(f"{refusal}: something listens there, but {error.details()}. {_WAY_OUT}") from error


_WAY_OUT = "Start it, or correct the address; docs/running has the commands."


def _connect(endpoint: str, refusal: str) -> None:
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"{refusal}: it is no HOST:PORT. {_WAY_OUT}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"{refusal}: {error}. {_WAY_OUT}") from error


def _is_here(endpoint: str | None) -> bool:
    host = (endpoint or "").rpartition(":")[0]
    return host in ("localhost", "127.0.0.1", "[::1]")

"""A job service for several worker pools, without Java:

    python -m pipeline.pools --port 8099 --pool-port 8100 HOST:PORT HOST:PORT ...
    longform extract ... -- --runner=PortableRunner --job_endpoint=localhost:8099 \\
        --environment_type=EXTERNAL --environment_config=localhost:8100

It is the local job service of Beam, which uses one worker process whatever one asks for (2.77), with as many as there
are pools, and a worker pool in front of the real ones, which passes every request for a worker on to the next that
answers. It deals the elements of a step out evenly, and does not replace a worker that dies.
"""

import argparse
import itertools
import logging
import sys
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc  # type: ignore[import-untyped]
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, beam_job_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.local_job_service import BeamJob, LocalJobServicer
from apache_beam.utils import thread_pool_executor

from pipeline.runners import flush_at_the_end

START_S = 30.0
"""Longest wait for a pool to start a worker."""

_log = logging.getLogger(__name__)


class Front(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """A worker pool that has others start its workers, in turn; those that do not answer are passed over."""

    def __init__(self, pools: Sequence[str]) -> None:
        self._pools = pools
        self._turns = itertools.count()

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Have the next pool that answers start a worker."""
        turn = next(self._turns)
        for i in range(len(self._pools)):
            pool = self._pools[(turn + i) % len(self._pools)]
            with grpc.insecure_channel(pool) as channel:
                stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
                try:
                    response = stub.StartWorker(request, timeout=START_S)
                except grpc.RpcError as error:
                    _log.warning("Worker pool %s does not answer: %s", pool, error.details())
                    continue
            _log.info("Worker pool %s starts %s", pool, request.worker_id)
            return response
        return beam_fn_api_pb2.StartWorkerResponse(error=f"No worker pool answers: {', '.join(self._pools)}.")


class _Runner(FnApiRunner):
    def __init__(self, workers: int, provision_info: Any) -> None:
        super().__init__(provision_info=provision_info)
        self._num_workers = workers


class _Job(BeamJob):
    def __init__(self, *args: Any, workers: int) -> None:
        super().__init__(*args)
        self._workers = workers

    def _invoke_runner(self) -> Any:
        self.set_state(beam_job_api_pb2.JobState.RUNNING)
        runner = _Runner(self._workers, self._provision_info)
        return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())


def serve(port: int, pool_port: int, pools: Sequence[str], workers: int) -> None:
    """Answer for jobs at `port` and for workers at `pool_port` of this machine, until the process ends."""
    flush_at_the_end()
    front = grpc.server(thread_pool_executor.shared_unbounded_instance())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Front(pools), front)
    front.add_insecure_port(f"localhost:{pool_port}")
    front.start()
    LocalJobServicer(beam_job_type=partial(_Job, workers=workers)).start_grpc_server(port)
    _log.info("Jobs at localhost:%d for %d workers of %s", port, workers, ", ".join(pools))
    threading.Event().wait()


def main(argv: Sequence[str]) -> None:
    """Serve with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.pools", description="A job service of Beam for several "
                                     "worker pools.")  # fmt: skip
    parser.add_argument("pools", nargs="+", metavar="HOST:PORT", help="worker pools of Beam")
    parser.add_argument("--port", type=int, required=True, help="for --job_endpoint")
    parser.add_argument("--pool-port", type=int, required=True, help="for --environment_config")
    parser.add_argument("--workers", type=int, metavar="N", help="worker processes of all pools together "
                        "(default: one for each pool)")  # fmt: skip
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, force=True)
    serve(options.port, options.pool_port, options.pools, options.workers or len(options.pools))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Options behind the -- reach Beam, its runner and its job service; what cannot work is refused by name at once."""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_job_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.local_job_service import BeamJob, LocalJobServicer

from pipeline.errors import ConfigError, PipelineError
from pipeline.extract import extract
from pipeline.presets import build_config
from pipeline.runners import ANSWER_S, place, runner_name
from pipeline.sample.samples import make_clip
from pipeline.watch import START_S
from tests.integration.services import free_port

UNREACHABLE = "docs/running has the commands"


class RecordedJob(BeamJob):
    """A job that is kept, and done at once."""

    def __init__(self, *args: Any, kept: list["RecordedJob"]) -> None:
        super().__init__(*args)
        kept.append(self)

    def run(self) -> None:
        self.set_state(beam_job_api_pb2.JobState.DONE)

    @property
    def given(self) -> dict[str, Any]:
        return {name.split(":")[2]: value for name, value in dict(self._pipeline_options).items()}

    @property
    def environments(self) -> list[beam_runner_api_pb2.Environment]:
        return list(self.get_pipeline().components.environments.values())


class RecordingService(LocalJobServicer):
    """A job service with an option of its own, as those of Flink and Spark have many."""

    def __init__(self) -> None:
        self.jobs: list[RecordedJob] = []
        super().__init__(beam_job_type=partial(RecordedJob, kept=self.jobs))

    def DescribePipelineOptions(self, request: Any, context: Any) -> beam_job_api_pb2.DescribePipelineOptionsResponse:
        option = beam_job_api_pb2.PipelineOptionDescriptor(
            name="state_backend", type=beam_job_api_pb2.PipelineOptionType.STRING
        )
        return beam_job_api_pb2.DescribePipelineOptionsResponse(options=[option])


@pytest.fixture
def service() -> Iterator[tuple[RecordingService, str]]:
    recording = RecordingService()
    port = recording.start_grpc_server()
    yield recording, f"localhost:{port}"
    recording.stop()


@pytest.mark.parametrize("runner", ["FlinkRunner", "SparkRunner", "PortableRunner"])
def test_a_job_reaches_the_service_with_its_options(
    runner: str, service: tuple[RecordingService, str], tmp_path: Path
) -> None:
    recording, endpoint = service
    make_clip(tmp_path / "a.mp4", seconds=1)
    words = [f"--runner={runner}", f"--job_endpoint={endpoint}", "--parallelism=3", "--state_backend", "rocksdb"]
    words += ["--environment_type=DOCKER", "--environment_config=example/longform:cuda"]
    words += ["--resource_hints=min_ram=16GB"]
    with pytest.raises(PipelineError, match="1 videos have no row"):  # the job did nothing
        extract([str(tmp_path / "a.mp4")], str(tmp_path / "bank"), build_config("hoghof"), quiet=True, beam_args=words)
    (job,) = recording.jobs
    assert job.state == beam_job_api_pb2.JobState.DONE
    assert (job.given["parallelism"], job.given["state_backend"]) == ("3", "rocksdb")
    images = {
        beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image
        for environment in job.environments
        if environment.urn == common_urns.environments.DOCKER.urn
    }
    assert images == {"example/longform:cuda"}
    assert {bytes(value) for env in job.environments for value in env.resource_hints.values()} == {b"16000000000"}
    sent = {
        beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(artifact.role_payload).staged_name
        for environment in job.environments
        for artifact in environment.dependencies
    }
    assert sent == {"submission_environment_dependencies.txt"}, "a list of packages: the image must bring longform"


def test_no_job_service(tmp_path: Path) -> None:
    endpoint = f"localhost:{free_port()}"
    began = time.monotonic()
    with pytest.raises(ConfigError, match=f"job service answers at --job_endpoint={endpoint}.*refused.*{UNREACHABLE}"):
        place(["--runner=FlinkRunner", f"--job_endpoint={endpoint}"], 1)
    with pytest.raises(ConfigError, match="it is no HOST:PORT"):
        place(["--runner=PortableRunner", "--job_endpoint=localhost"], 1)
    assert time.monotonic() - began < ANSWER_S


def test_something_else_than_a_job_service() -> None:
    server = grpc.server(None)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        with pytest.raises(ConfigError, match=r"something listens there, but Method not found"):
            place(["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"], 1)
    finally:
        server.stop(None)


def test_no_worker_pool() -> None:
    jobs = LocalJobServicer()
    words = ["--runner=PortableRunner", f"--job_endpoint=localhost:{jobs.start_grpc_server()}"]
    pool = f"localhost:{free_port()}"
    try:
        with pytest.raises(ConfigError, match=f"worker pool answers at --environment_config={pool}.*{UNREACHABLE}"):
            place([*words, "--environment_type=EXTERNAL", f"--environment_config={pool}"], 1)
    finally:
        jobs.stop()


def test_a_pool_beside_workers_of_a_cluster_is_left_to_them(service: tuple[RecordingService, str]) -> None:
    """As on Kubernetes, where each task manager has a pool of its own at its own localhost."""
    words = [
        f"--job_endpoint={service[1]}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{free_port()}",
    ]
    assert place(["--runner=FlinkRunner", *words], 1).look_at.startswith("the worker pool localhost:")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runner=DaskRunner"], "DaskRunner computes only the last branch"),
        (["--runner=FooRunner", "--paralelism=3"], r"got '--paralelism=3', expected an option of Beam"),
        (["--direct_num_worker", "2"], r"got '--direct_num_worker'"),
        (["FlinkRunner"], r"got 'FlinkRunner'"),
        (["--runner=PortableRunner"], r"PortableRunner needs --job_endpoint=HOST:PORT.*docs/running"),
        (["--runner=DataflowRunner", "--start_s=nan"], r"--start_s must be above 0: got nan"),
        (["--workers=2"], r"got '--workers=2'.*Options of longform stand before the --"),
        (["--runner=FlinkRunner", "--parallelism=many"], r"Behind the --: .*--parallelism.*invalid int value: 'many'"),
    ],
)
def test_options_that_cannot_work(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        place(words, 1)


def test_runners_and_how_long_their_first_worker_may_take() -> None:
    assert runner_name([]) == "FnApiRunner"
    assert place([], 2).runner is not None
    assert place(["--runner=DirectRunner"], 2).runner is not None
    cluster = place(["--runner=DataflowRunner", "--project=p", "--region=r"], 2)
    assert (cluster.runner, cluster.start_s) == (None, START_S)
    assert place(["--runner=DataflowRunner", "--start_s=86400"], 2).start_s == 86400
    pool = ["--job_endpoint=embed", "--environment_type=EXTERNAL", "--environment_config=host:50000"]
    assert place(["--runner=PortableRunner", *pool], 2).start_s is None


def test_an_unknown_runner(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", seconds=1)
    with pytest.raises(ConfigError, match="Unexpected pipeline runner: FooRunner"):
        extract([str(tmp_path / "a.mp4")], str(tmp_path / "bank"), build_config("hoghof"), quiet=True,
                beam_args=["--runner=FooRunner"])  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_driver_without_a_card_may_ask_for_those_of_its_workers(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", seconds=1)

    def refused(*beam: str) -> str:
        words = [str(tmp_path / "a.mp4"), "--bank", str(tmp_path / "bank"), "--device", "cuda", "--quiet", *beam]
        run = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "extract", *words], check=False, capture_output=True, text=True
        )
        assert run.returncode == 2
        return run.stderr

    assert "shows 0 CUDA devices" in refused()
    assert "No job service answers" in refused(
        "--", "--runner=PortableRunner", f"--job_endpoint=localhost:{free_port()}"
    )

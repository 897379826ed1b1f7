# syntax=docker/dockerfile:1
# A worker of Beam with longform in it, for Flink, Spark, Dataflow and worker pools; docs/running/README.md.
#   docker build --build-arg VARIANT=cpu  -t longform:cpu .
#   docker build --build-arg VARIANT=cuda -t longform:cuda .
ARG PYTHON=3.11
ARG BEAM=2.77.0
ARG VARIANT=cpu

FROM apache/beam_python${PYTHON}_sdk:${BEAM} AS beam

FROM python:${PYTHON}-slim AS cpu
# The index with wheels of torch that have no CUDA in them; without it the image works, and is larger by some GB.
ARG TORCH_INDEX=
COPY constraints.txt /src/
RUN test -z "${TORCH_INDEX}" \
    || pip install --no-cache-dir --no-deps --index-url "${TORCH_INDEX}" --constraint /src/constraints.txt torch

FROM python:${PYTHON}-slim AS cuda
# torch brings its CUDA libraries along; the driver is the host's, video for --decoder nvdec.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/usr/local/nvidia/lib

FROM ${VARIANT}
ARG BEAM
# Of longform, and of Beam: gcp for Dataflow and for Beam's own access to Google's storage.
ARG EXTRAS=cloud,hf
ARG BEAM_EXTRAS=gcp
WORKDIR /src
COPY LICENSE README.md constraints.txt pyproject.toml setup.cfg ./
COPY extractors extractors
COPY pipeline pipeline
COPY longform longform
RUN pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]" "apache-beam[${BEAM_EXTRAS}]==${BEAM}" \
    && pip check \
    && cd / && python -c "import pipeline.run"
COPY --from=beam /opt/apache/beam /opt/apache/beam

# Beam's boot would make an environment of its own at every start, in a folder that only root can write.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    OMP_NUM_THREADS=1
ARG RUN_AS=longform
RUN useradd --create-home longform
WORKDIR /home/longform
USER ${RUN_AS}
ENTRYPOINT ["/opt/apache/beam/boot"]

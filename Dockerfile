# gpsseg by itself: data and runs are mounted, weights are those that come with pip packages, and nobody is root.
#   docker build --tag gpsseg .
#   docker run --rm --shm-size 2g --volume "$PWD:/work" --user "$(id -u):$(id -g)" gpsseg finetune --dataset kvasir
# Weights of the hub are kept where --env HF_HOME=/hub --volume "$HOME/.cache/huggingface:/hub" says.
# For an NVIDIA GPU, run with --gpus all:
#   docker build --tag gpsseg:cuda --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 \
#     --build-arg TORCH_INDEX=https://pypi.org/simple .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# Where torch is from: without CUDA here; the one of PyPI brings CUDA's libraries.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# Bases with a Python of their own can make an environment already; Debian's and Ubuntu's learn it.
# hadolint ignore=DL3008
RUN python3 -m venv /opt/gpsseg || { \
      apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv \
      && rm -rf /var/lib/apt/lists/* \
      && python3 -m venv --clear /opt/gpsseg; \
    }
ENV PATH=/opt/gpsseg/bin:$PATH

WORKDIR /src
COPY pyproject.toml ./
COPY docs/constraints.txt docs/
# What the package needs, in a layer of its own: a change of the sources fetches none of it again.
RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > needs.txt \
    && pip install --no-cache-dir --extra-index-url "${TORCH_INDEX}" --constraint docs/constraints.txt --requirement needs.txt
COPY README.md LICENSE ./
COPY gpsseg gpsseg
COPY pipelines pipelines
COPY sample_data sample_data
RUN pip install --no-cache-dir --no-deps . && gpsseg info

# Whoever runs it (--user) has a home to keep prepared images in, and a folder to work in.
RUN useradd --no-log-init --create-home --uid 10001 gpsseg \
    && chmod 1777 /home/gpsseg \
    && mkdir --mode 1777 /work
ENV HOME=/home/gpsseg USER=gpsseg
USER 10001
WORKDIR /work
ENTRYPOINT ["gpsseg"]
CMD ["--help"]

# docker build -t maskgen .                          maskgen only, without PyTorch
# docker build -t mfr --build-arg EXTRAS=train .     with mfr; add --build-arg TORCH=cu130 (or similar) for NVIDIA GPUs
# docker run --rm -v "$PWD:/data" maskgen maskgen build --src photographs --out smfd
FROM python:3.12-slim-bookworm

ARG EXTRAS=""
ARG TORCH=cpu

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY maskgen maskgen
COPY mfr_train mfr_train
RUN pip install --no-cache-dir --constraint constraints.txt uv && \
    UV_TORCH_BACKEND="$TORCH" uv pip install --system --no-cache --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"

# The commands write into the mounted folder only. Run with --user "$(id -u):$(id -g)" to own what they write.
RUN useradd --uid 1000 --create-home maskgen
USER 1000
WORKDIR /data
CMD ["maskgen", "--help"]

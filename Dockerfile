# The command line in a container, for a user without rights. It computes on the processor unless it is run with --gpus all.
#
#   docker build -t unlearnable .
#   docker run --rm -v "$PWD/photos:/in:ro" -v "$PWD/protected:/out" unlearnable protect /in -r -o /out
#
# TORCH_INDEX is the index that PyTorch's own page names for a build: the small one for processors alone, or a CUDA version.
# Without it pip's own choice is installed.
FROM python:3.11-slim
ARG TORCH_INDEX=""

WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
 && pip install --no-cache-dir -c constraints.txt . \
 && rm -rf /build

RUN useradd --create-home --uid 1000 user
USER user
WORKDIR /home/user
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["unlearnable"]
CMD ["--help"]

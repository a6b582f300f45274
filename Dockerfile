# syntax=docker/dockerfile:1
# An image with the failsift binary and nothing else: no shell, no package manager, a user without rights. Needs BuildKit.
#
#   docker build -t failsift .
#   docker run --rm --read-only --tmpfs /tmp --env-file failsift.env failsift run --input s3://… --output s3://…

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# The dependencies, with empty sources: this layer is rebuilt only if Cargo.toml or Cargo.lock has changed.
COPY Cargo.toml Cargo.lock ./
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    mkdir src benches && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
    # Cargo.toml names the benchmarks, so their files must exist.
    && sed -n '/^\[\[bench\]\]/{n;s/^name = "\(.*\)"/benches\/\1.rs/p}' Cargo.toml | xargs touch \
    && cargo build --release --locked

COPY schemas schemas
COPY data/prices.toml data/prices.toml
COPY src src
# Cargo compares times, and those of copied files are older than the build above.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    touch src/lib.rs src/main.rs && cargo build --release --locked

# glibc, libgcc and the certificates of public authorities.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/failsift /usr/local/bin/failsift
# The number, because Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
# Spill files. Everything else that failsift writes goes to the output.
ENV TMPDIR=/tmp
ENTRYPOINT ["/usr/local/bin/failsift"]

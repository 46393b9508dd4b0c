# The image of a Kontiki node. Builds with the classic builder and with BuildKit.
#   docker build -t kontiki .
# Where no registry is reached, tests/containers/base-images makes stand-ins for the two base images first.
ARG RUST_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /src

# The cargo profile: "release", or a cheaper one for tests.
ARG CARGO_PROFILE=release

# The dependencies alone, so that this layer is reused until the manifests change. The empty build script is
# there because cargo compiles build dependencies only for a package that has one.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir -p src tests \
    && touch src/lib.rs \
    && for main in src/main.rs tests/main.rs build.rs; do echo 'fn main() {}' > "$main"; done \
    && cargo build --locked --profile "$CARGO_PROFILE" --bin kontiki \
    && rm -r src build.rs

# The program. A copied file keeps its time, which may lie before that of the empty one that cargo has seen.
COPY build.rs ./
COPY proto proto
COPY src src
RUN find build.rs proto src -type f -exec touch {} + \
    && cargo build --locked --profile "$CARGO_PROFILE" --bin kontiki \
    && mkdir -p /out/data /out/secret \
    && mv "target/$CARGO_PROFILE/kontiki" /out/kontiki \
    && strip --strip-debug /out/kontiki

FROM ${RUNTIME_IMAGE}

ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="kontiki" \
      org.opencontainers.image.description="A distributed key-value store: gRPC, its own Raft, sled, snapshot streaming" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/kontiki/kontiki" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

COPY LICENSE /licenses/LICENSE
COPY --from=build /out/kontiki /usr/local/bin/kontiki
# A named volume takes its owner from the folder in the image: without this, a non-root node could not write.
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/secret /secret

# Each of them is a flag of `kontiki serve` too; what differs between nodes is left to whoever runs it.
ENV KONTIKI_DATA_DIR=/data \
    KONTIKI_LISTEN_CLIENT=0.0.0.0:2379 \
    KONTIKI_LISTEN_PEER=0.0.0.0:2380

# 2379 for clients, 2380 for the other nodes.
EXPOSE 2379 2380
VOLUME /data
# By number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 65532:65532
WORKDIR /data
STOPSIGNAL SIGTERM

# Whether the process is alive, whatever the rest of the cluster does: an orchestrator that restarts unhealthy
# containers must not restart a node because it has lost its quorum.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/kontiki", "health", "--local", "--liveness"]

ENTRYPOINT ["/usr/local/bin/kontiki"]
CMD ["serve"]

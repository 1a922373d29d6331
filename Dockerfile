# docker build -t dacapo . && docker run -p 5005:5005 -v dacapo:/data dacapo

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p dacapo && cp target/release/dacapo /dacapo

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /data dacapo
COPY --from=build /dacapo /usr/local/bin/dacapo
USER dacapo
VOLUME /data
EXPOSE 5005
ENV DACAPO_DATA_DIR=/data DACAPO_LISTEN=0.0.0.0:5005 DACAPO_LOG_FORMAT=json
# SIGTERM drains; give it as long as DACAPO_DRAIN_TIMEOUT (30 s): docker stop --time 35.
STOPSIGNAL SIGTERM
ENTRYPOINT ["dacapo"]
CMD ["serve"]

# The image of Millrace: Node 24, the compiled sources, production packages; no shell is needed to run or to check it.
# NODE_IMAGE needs: node >= 24, npm (build stage only), flock (util-linux), CA certificates, time zones.
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY plugins plugins
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="Millrace" \
      org.opencontainers.image.description="Central log router; no acknowledged record is ever lost" \
      org.opencontainers.image.licenses="Apache-2.0"
# Two arenas of the C library instead of eight per core: 7 MB less at the peak in the one pair of runs tried.
ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=2 \
    MILLRACE_CONFIG=/etc/millrace/millrace.yaml
# Numbers, not names: Kubernetes checks runAsNonRoot by number.
RUN groupadd --gid 65532 millrace \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin millrace \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/millrace /run/millrace
WORKDIR /opt/millrace
# Packages change less often than code: their layer comes first.
COPY --from=build /src/node_modules node_modules
COPY package.json ./
COPY --from=build /src/dist dist
COPY deploy/image/millrace.yaml /etc/millrace/millrace.yaml
COPY deploy/image/millrace /usr/local/bin/millrace
USER 65532:65532
VOLUME /var/lib/millrace
EXPOSE 24224 9880 9480
STOPSIGNAL SIGTERM
# readyz is not asked: a full queue must not get the container restarted.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["millrace", "healthcheck"]
ENTRYPOINT ["millrace"]
CMD ["run"]

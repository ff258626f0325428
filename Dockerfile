# The server in an image of its own: one static binary, nothing else.
#
#   docker build -t zooid .
#
# It takes the place of the image "zookeeper" in a compose file: the same
# variables, volumes and ports. See compose.yaml.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /zooid ./cmd/zooid \
 && mkdir -p /root-fs/data /root-fs/datalog /root-fs/conf /root-fs/logs /root-fs/tmp \
 && chmod 1777 /root-fs/tmp

FROM scratch
COPY --from=build --chown=1000:1000 /root-fs/ /
COPY --from=build /zooid /zooid
USER 1000:1000
ENV ZOO_CONF_DIR=/conf ZOO_DATA_DIR=/data ZOO_DATA_LOG_DIR=/datalog
VOLUME ["/data", "/datalog", "/logs"]
# clients, followers, election, operators
EXPOSE 2181 2888 3888 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/zooid", "probe"]
ENTRYPOINT ["/zooid"]
CMD ["serve"]

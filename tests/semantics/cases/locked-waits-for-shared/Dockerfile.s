FROM alpine:3.20
RUN --mount=type=cache,id=c,target=/c sleep 3; echo s > /x

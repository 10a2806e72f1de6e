# Everything that the course needs, for those who cannot install it. The course itself is mounted:
#
#     docker build -t event-queues .
#     docker run --rm -it --init -v "$PWD:/course" event-queues make demo
#
FROM debian:bookworm-slim

# tools/setup.sh knows which packages; only what people expect of a shell is named here.
COPY tools/setup.sh /opt/setup/tools/setup.sh
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates gdb git less man-db manpages manpages-dev procps strace sudo \
    && /opt/setup/tools/setup.sh --yes \
    && rm -rf /var/lib/apt/lists/* /opt/setup

# A user of the usual number, so that files made in the mounted course belong to the one who mounts it.
RUN useradd --create-home --uid 1000 --shell /bin/bash student \
    && echo 'student ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/student
USER student
WORKDIR /course
CMD ["bash"]

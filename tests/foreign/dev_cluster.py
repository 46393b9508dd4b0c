"""A `kontiki dev` of one's own, for as long as a `with` lasts."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

NODES = 3
START_SECONDS = 60


class NotStarted(Exception):
    """The cluster did not become ready."""


@dataclasses.dataclass
class Cluster:
    """Where the nodes listen for clients, and what they said."""

    program: pathlib.Path
    addresses: list[str]
    log: pathlib.Path

    def output(self):
        """The last lines of what the program printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


def free_base_port():
    """A port that is free together with those that follow it and that the nodes will use."""
    for base in range(20_000, 30_000, 10):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(base, base + 2 * NODES):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return base
    raise NotStarted("no ports are free")


def ready(address):
    """Whether the node's health service says that it can serve."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with contextlib.suppress(grpc.RpcError):
            request = health_pb2.HealthCheckRequest(service="readiness")
            return stub.Check(request, timeout=2).status == health_pb2.HealthCheckResponse.SERVING
    return False


@contextlib.contextmanager
def started(program: pathlib.Path, folder: pathlib.Path):
    """Starts the cluster, waits until all nodes are ready, and stops it in the end."""
    base = free_base_port()
    log = folder.with_suffix(".log")
    cluster = Cluster(program, [f"127.0.0.1:{base + 2 * node}" for node in range(NODES)], log)
    command = [program, "dev", "--nodes", str(NODES), "--data-dir", folder, "--base-port", str(base)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KONTIKI_")}
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=clean,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not all(ready(address) for address in cluster.addresses):
            if process.poll() is not None:
                raise NotStarted(f"`kontiki dev` ended with {process.returncode}:\n{cluster.output()}")
            if time.monotonic() > deadline:
                raise NotStarted(f"not ready after {START_SECONDS} s:\n{cluster.output()}")
            time.sleep(0.1)
        yield cluster
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            # Its session: the nodes too.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=5)

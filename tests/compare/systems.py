"""Clusters of three processes, of either system, and what the kernel says of them."""

import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

NODES = ("n1", "n2", "n3")
START_SECONDS = 60


class Kontiki:
    """Some build of Kontiki, with its defaults."""

    api = "native"

    def __init__(self, name, program):
        self.name, self.program = name, program

    def command(self, node, folder, clients, peers):
        """Starts one node."""
        cluster = ",".join(f"{name}=http://{peers[name]}" for name in NODES)
        return [
            *(self.program, "serve", "--name", node, "--data-dir", folder / node, "--initial-cluster", cluster),
            *("--listen-client", clients[node], "--listen-peer", peers[node], "--log-level", "warn"),
        ]

    def read(self, addresses, key):
        """Whether a linearizable read is answered now."""
        endpoints = ",".join(f"http://{address}" for address in addresses)
        get = [self.program, "--endpoints", endpoints, "--timeout", "300ms", "get", key]
        # Exit code 1: answered, and the key is absent.
        return subprocess.run(get, capture_output=True, check=False).returncode in (0, 1)

    def scan(self, addresses, prefix):
        """The command that reads all keys with a prefix."""
        return [self.program, "--endpoints", f"http://{addresses[0]}", "--timeout", "10m", "scan", prefix]


class Etcd:
    """etcd with its defaults, but for a quota that holds the data."""

    api = "etcd"

    def __init__(self, name, program):
        self.name, self.program = name, program

    def command(self, node, folder, clients, peers):
        """Starts one node."""
        cluster = ",".join(f"{name}=http://{peers[name]}" for name in NODES)
        return [
            *(self.program, "--name", node, "--data-dir", folder / node, "--initial-cluster", cluster),
            *("--listen-client-urls", f"http://{clients[node]}", "--advertise-client-urls", f"http://{clients[node]}"),
            *("--listen-peer-urls", f"http://{peers[node]}", "--initial-advertise-peer-urls", f"http://{peers[node]}"),
            *("--quota-backend-bytes", str(8 << 30), "--log-level", "error"),
        ]

    def read(self, addresses, key):
        """Whether a linearizable read is answered now, by its JSON gateway."""
        question = json.dumps({"key": base64.b64encode(key.encode()).decode()}).encode()
        for address in addresses:
            request = urllib.request.Request(f"http://{address}/v3/kv/range", data=question)
            try:
                with urllib.request.urlopen(request, timeout=0.3) as answer:
                    return answer.status == 200
            except OSError:  # refused, late, or not ready: the next may be
                continue
        return False

    def scan(self, addresses, prefix):
        """The command that reads all keys with a prefix."""
        client = self.program.with_name("etcdctl")
        return [client, "--endpoints", addresses[0], "--command-timeout", "10m", "get", "--prefix", prefix]


class Cluster:
    """Three nodes of a system in a folder."""

    def __init__(self, system, folder, generator):
        self.system, self.folder, self.generator = system, folder, generator
        ports = iter(free_ports(2 * len(NODES)))
        self.clients = {node: f"127.0.0.1:{next(ports)}" for node in NODES}
        self.peers = {node: f"127.0.0.1:{next(ports)}" for node in NODES}
        self.processes = {}

    @property
    def addresses(self):
        """Where clients find the nodes."""
        return list(self.clients.values())

    def start(self):
        """Starts all nodes. Answers how many seconds it took until a linearizable read was answered."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("KONTIKI_", "ETCD_"))}
        begin = time.monotonic()
        for node in NODES:
            with (self.folder / f"{node}.log").open("ab") as log:
                command = self.system.command(node, self.folder, self.clients, self.peers)
                self.processes[node] = subprocess.Popen(command, stdout=log, stderr=log, env=clean)
        while not self.system.read(self.addresses, "bench/"):
            for node, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{node} of {self.system.name} ended with {process.returncode}")
            if time.monotonic() - begin > START_SECONDS:
                raise RuntimeError(f"{self.system.name} answered no read within {START_SECONDS} s")
            time.sleep(0.02)
        return time.monotonic() - begin

    def kill(self):
        """kill -9 of all nodes at once."""
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)
        for process in self.processes.values():
            process.wait()
        self.processes = {}

    def bench(self, workload, *flags):
        """Runs the generator. Answers its report's one result."""
        pids = ",".join(str(process.pid) for process in self.processes.values())
        endpoints = ",".join(f"http://{address}" for address in self.addresses)
        command = [
            *(self.generator, "--endpoints", endpoints, "-o", "json", "bench", workload, "--api", self.system.api),
            *("--server-pids", pids, *map(str, flags)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.stdout:
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
        (result,) = json.loads(done.stdout)["results"]
        return result

    def memory(self):
        """Resident bytes of each node, and the most that each ever had."""
        found = []
        for process in self.processes.values():
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            fields = dict(line.split(":", 1) for line in status.splitlines())
            found.append({name: int(fields[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM")})
        return found

    def disk(self):
        """Bytes on disk of each node: the blocks that its files hold."""
        return [
            sum(file.lstat().st_blocks * 512 for file in (self.folder / node).rglob("*") if file.is_file())
            for node in NODES
        ]

    def logs(self):
        """The end of what each node said."""
        return "".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in sorted(self.folder.glob("*.log"))
        )


def free_ports(count):
    """Ports that nobody listens on at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]

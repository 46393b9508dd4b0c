"""What is measured. Rows that can share a cluster make a session; each yields its figures as it has them."""

import subprocess
import time

VALUE_BYTES = 256
KEY_BYTES = 16
# Of the rows about speed.
SMALL_KEYS = 100_000
PUTS = 300_000
STEADY_RATE = 3_000
CHURN_RATE = 1_000
CHURN_SECONDS = 20
# So that a background thread may give memory back, which all systems may do.
SETTLE_SECONDS = 5


# Of each row of speed the workload and its clients.
LOADS = {
    "echo": ("echo", 64),
    "put1": ("put", 1),
    "put64": ("put", 64),
    "put256": ("put", 256),
    "get64": ("get", 64),
    "local64": ("local-get", 64),
}


class Speed:
    """An empty store, then one of 100,000 keys."""

    rows = ("idle", "memory", *LOADS, "steady")

    def measure(self, cluster, asked, options):
        """Yields the rows in a fixed order."""
        cluster.start()
        if "idle" in asked:
            time.sleep(SETTLE_SECONDS)
            yield "idle", {"memory": cluster.memory()}
        space = ("--key-space", SMALL_KEYS)
        if "memory" in asked:
            cluster.bench("put", *space, "--requests", PUTS, "--duration", "10m", "--warmup", "0s")
            time.sleep(SETTLE_SECONDS)
            yield "memory", {"memory": cluster.memory()}
        elif {"get64", "local64"} & set(asked):
            cluster.bench("put", *space, "--preload", "--requests", 1, "--warmup", "0s", "--clients", 4)
        for row, (workload, clients) in LOADS.items():
            if row in asked and not (workload == "echo" and cluster.system.api == "etcd"):
                load = ("--clients", clients, "--connections", min(clients, 4), *space)
                yield row, cluster.bench(workload, *load, "--duration", f"{options.seconds}s", "--warmup", "2s")
        if "steady" in asked:
            load = (*space, "--rate", STEADY_RATE, "--compact-every", "10s")
            yield "steady", cluster.bench("put", *load, "--duration", f"{options.steady}s", "--warmup", "2s")


class Large:
    """A million keys."""

    rows = ("large-memory", "scan", "large-disk", "restart", "compaction")

    def measure(self, cluster, asked, options):
        """Yields the rows in a fixed order."""
        cluster.start()
        space = ("--key-space", options.keys)
        begin = time.monotonic()
        cluster.bench("put", *space, "--preload", "--requests", 1, "--warmup", "0s", "--clients", 4)
        loaded = {"seconds": time.monotonic() - begin}
        if "large-memory" in asked:
            time.sleep(SETTLE_SECONDS)
            yield "large-memory", {"memory": cluster.memory(), **loaded}
        if "scan" in asked:
            yield "scan", {"seconds": self.scan(cluster, options.keys)}
        if "large-disk" in asked:
            data = options.keys * (VALUE_BYTES + KEY_BYTES)
            yield "large-disk", {"disk": cluster.disk(), "data": data}
        if "restart" in asked:
            cluster.kill()
            seconds = cluster.start()
            time.sleep(SETTLE_SECONDS)
            yield "restart", {"seconds": seconds, "memory": cluster.memory()}
        if "compaction" in asked:
            written = cluster.bench("put", *space, "--requests", PUTS, "--duration", "10m", "--warmup", "0s")
            before = cluster.disk()
            load = (*space, "--rate", CHURN_RATE, "--compact-every", "5s", "--warmup", "0s")
            churn = cluster.bench("put", *load, "--duration", f"{CHURN_SECONDS}s")
            figures = {"latency": churn["latency"], "compactions": churn["compactions"]}
            yield "compaction", {"before": before, "after": cluster.disk(), "puts": written["operations"], **figures}

    def scan(self, cluster, keys):
        """Seconds that the system's own command takes to print all of them."""
        command = cluster.system.scan(cluster.addresses, "bench/")
        begin = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        seconds = time.monotonic() - begin
        # etcdctl prints a key and a value on a line each, and values hold line ends.
        if (lines := done.stdout.count(b"\n")) < keys:
            raise RuntimeError(f"{lines} lines of {keys} keys")
        return seconds


SESSIONS = {"speed": Speed(), "large": Large()}
NAMES = [row for session in SESSIONS.values() for row in session.rows]

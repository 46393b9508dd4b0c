"""What the figures depend on and no system can help: recorded with them."""

import multiprocessing
import os
import platform
import subprocess
import tempfile
import time

BLOCK = 4096
SYNCS = 300


def describe(root, folder):
    """The machine, its disk and the commit."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "processor": processor(),
        "file_system": said(["df", "--output=fstype", folder]).split()[-1],
        "second_core": second_core(),
        "fdatasync_us": fdatasync(folder),
        "load_average": os.getloadavg(),
        "commit": said(["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=10"]),
    }


def said(command):
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def processor():
    """Its model."""
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def fdatasync(folder):
    """Microseconds that a write of 4 KiB into a file that is allocated, and its fdatasync, take."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        descriptor = file.fileno()
        os.pwrite(descriptor, bytes(BLOCK * SYNCS), 0)
        os.fsync(descriptor)
        for nth in range(SYNCS):
            begin = time.perf_counter()
            os.pwrite(descriptor, b"x" * BLOCK, BLOCK * nth)
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - begin) * 1e6)
    times.sort()
    return {"p50": round(times[SYNCS // 2]), "p99": round(times[SYNCS * 99 // 100])}


def second_core():
    """How much two processes do in the time of one: 2 if the cores are whole ones, 1.2 or so if they are siblings."""
    with multiprocessing.Pool(2) as pool:
        pool.map(spin, [0, 0])  # started and warm
        alone = min(pool.map(spin, [1]))
        together = max(pool.map(spin, [1, 1]))
    return round(2 * alone / together, 2)


def spin(rounds):
    """Seconds that some work takes."""
    begin = time.perf_counter()
    for _ in range(rounds):
        sum(number * number for number in range(2_000_000))
    return time.perf_counter() - begin

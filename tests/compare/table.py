"""What was measured, as a table in Markdown: medians, with the smallest and the largest of several runs."""

import statistics

MIB = 1 << 20
NOTHING = "–"
TITLES = {
    "idle": "memory of an idle, empty node",
    "memory": "memory of a node after 300,000 puts on 100,000 keys",
    "echo": "echo/s, 64 clients",
    "put1": "put/s, 1 client",
    "put64": "put/s, 64 clients",
    "put256": "put/s, 256 clients",
    "get64": "linearizable get/s, 64 clients",
    "local64": "local get/s, 64 clients",
    "steady": "put at a steady 3,000/s, compacted every 10 s",
    "large-memory": "memory of a node, just loaded",
    "scan": "the command that prints all keys and values",
    "large-disk": "disk of a node",
    "restart": "kill -9 of all, until a linearizable read; memory afterwards",
    "compaction": "disk of a node under 1,000 puts/s: after 300,000 puts more, and 20 s of compactions later",
}


def markdown(result, names):
    """The table, with a column for each system."""
    about, options = result["machine"], result["options"]
    rows = [row for row in TITLES if any(each["row"] == row for each in result["measured"])]
    syncs = about["fdatasync_us"]
    lines = [
        f"{about['cores']} × {about['processor']} (a second core makes it {about['second_core']} × as fast), "
        f"{about['system']}, {about['file_system']}: a write of 4 KiB and its fdatasync take {syncs['p50']} µs "
        f"(p99 {syncs['p99']} µs). Kontiki at {about['commit']}. Medians of {options['runs']} runs (smallest–largest); "
        f"memory and disk are those of the largest node; CPU is that of nodes and client together; the rows from "
        f"“just loaded” on are about {options['keys']:,} keys of 16 B with values of 256 B.",
        "",
        "| " + " | ".join(["", *names]) + " |",
        "|---" * (1 + len(names)) + "|",
    ]
    for row in rows:
        cells = [cell(row, name, result["measured"], names) for name in names]
        lines.append("| " + " | ".join([TITLES[row], *cells]) + " |")
    return "\n".join(lines)


def cell(row, name, measured, names):
    """What one system did in one row."""

    def of(row, name):
        return [each for each in measured if each["row"] == row and each["system"] == name]

    found = of(row, name)
    if not found:
        return NOTHING
    if row == "steady":
        return latencies(found, ("p50_us", "p99_us", "p999_us", "max_us")) + voids(found)
    if "requests_per_second" in found[0]:
        # etcd has no echo of its own: its yardstick is the last one's.
        echo = of("echo", name) or of("echo", names[-1])
        return speed(row, found, echo) + voids(found)
    if row == "compaction":
        before, after = (spread([max(each[moment]) / MIB for each in found], "MiB") for moment in ("before", "after"))
        return f"{before} → {after}"
    parts = []
    if row in ("scan", "restart"):
        parts.append(spread([each["seconds"] for each in found], "s", digits=2))
    if "memory" in found[0]:
        parts.append(spread([max(node["VmRSS"] for node in each["memory"]) / MIB for each in found], "MiB"))
    if "disk" in found[0]:
        disk = [max(each["disk"]) / MIB for each in found]
        parts += [spread(disk, "MiB"), f"{statistics.median(disk) * MIB / found[0]['data']:.1f} × the data"]
    return ", ".join(parts)


def speed(row, found, echo):
    """Requests per second, as a share of echo, and what each cost."""
    rates = [each["requests_per_second"] for each in found]
    parts = [spread(rates, "")]
    if echo and row != "echo":
        yardstick = statistics.median(each["requests_per_second"] for each in echo)
        parts.append(f"{statistics.median(rates) / yardstick:.0%} of echo")
    if all(each["server_cpu_seconds"] is not None for each in found):
        costs = [(each["server_cpu_seconds"] + each["client_cpu_seconds"]) / each["requests"] for each in found]
        parts.append(f"{statistics.median(costs) * 1e6:.0f} CPU-µs")
    parts.append(latencies(found, ("p50_us", "p99_us")))
    return ", ".join(parts)


def latencies(found, wanted):
    """Percentiles, and of several runs their medians; of the longest stall the longest."""
    parts = []
    for field in wanted:
        values = [each["latency"][field] / 1000 for each in found]
        value = max(values) if field == "max_us" else statistics.median(values)
        title = {"p999_us": "p99.9", "max_us": "longest"}.get(field, field.removesuffix("_us"))
        parts.append(f"{title} {value:.2f} ms")
    return ", ".join(parts)


def voids(found):
    """What makes figures void is said beside them."""
    said = []
    if failed := sum(sum(kind["count"] for kind in each["errors"].values()) for each in found):
        said.append(f"{failed} failed")
    if any(each["leader_change"] for each in found):
        said.append("the leader changed")
    if unsent := sum(each["unsent"] for each in found):
        said.append(f"{unsent} not sent")
    return f" (**{', '.join(said)}**)" if said else ""


def spread(values, unit, digits=0):
    """The median, and beside it the smallest and the largest."""
    shown = [f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    text = shown[0] if len(values) == 1 else f"{shown[0]} ({shown[1]}–{shown[2]})"
    return f"{text} {unit}".strip()

"""What a person with grpcurl and no .proto at hand sees."""

import base64
import json
import subprocess

CHECKS = []


def check(function):
    """Marks a check; its doc is what is printed. They run in the order in which they stand here."""
    CHECKS.append(function)
    return function


class Client:
    """Runs grpcurl."""

    def __init__(self, cluster, grpcurl):
        self.addresses = cluster.addresses
        self.grpcurl = grpcurl

    def call(self, *arguments, data=None, node=0, fails=False):
        """Runs grpcurl against a node and returns what it printed."""
        words = [self.grpcurl, "-plaintext", "-max-time", "10"]
        if data is not None:
            words += ["-emit-defaults", "-d", json.dumps(data)]
        words += [self.addresses[node], *arguments]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=20)
        assert (done.returncode != 0) == fails, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def rpc(self, method, data, node=0):
        """Calls a method that answers one message."""
        return json.loads(self.call(f"kontiki.v1.{method}", data=data, node=node))


@check
def reflection(client):
    """the services are listed on every node, without a .proto"""
    for node in range(len(client.addresses)):
        services = set(client.call("list", node=node).split())
        expected = {"KvService", "ClusterService", "MaintenanceService"}
        assert {f"kontiki.v1.{name}" for name in expected} <= services, services
        assert "grpc.health.v1.Health" in services, services
        assert not any("raft" in name for name in services), f"the peers' service is on the client port: {services}"


@check
def manual(client):
    """`describe` reads as a manual: comments of methods and fields come along"""
    text = client.call("describe", "kontiki.v1.KvService")
    assert "rpc Put (" in text, text
    # grpcurl 1.8.6 asks by v1alpha and prints comments where the descriptors have them.
    assert "Put sets one key." in text, text
    assert "the newest" in client.call("describe", "kontiki.v1.GetRequest")


@check
def text(client):
    """speak text and get text; a write through one node is read through another"""
    put = client.rpc("KvService/Put", {"key": "grpcurl/a", "value": "1", "returnPrevious": True})
    assert "previous" not in put or put["previous"] is None
    revision = int(put["header"]["revision"])
    for node in range(len(client.addresses)):
        got = client.rpc("KvService/Get", {"key": "grpcurl/a"}, node=node)
        assert got["kv"]["key"] == "grpcurl/a" and got["kv"]["value"] == "1", got
        assert int(got["kv"]["modRevision"]) == revision and int(got["kv"]["version"]) == 1, got
        assert got["header"]["readLevel"] == "READ_LEVEL_LINEARIZABLE", got


@check
def binary(client):
    """speak bytes and get bytes"""
    raw = base64.b64encode(b"\xff\x00\xfe").decode()
    client.rpc("KvService/Put", {"keyBytes": raw, "valueBytes": raw})
    kv = client.rpc("KvService/Get", {"keyBytes": raw})["kv"]
    assert kv["keyBytes"] == raw and kv["valueBytes"] == raw and "key" not in kv, kv
    assert client.rpc("KvService/Delete", {"keyBytes": raw})["deleted"] == "1"


@check
def absent(client):
    """an absent key is not an error"""
    got = client.rpc("KvService/Get", {"key": "grpcurl/absent"})
    assert got.get("kv") is None, got


@check
def transaction(client):
    """a transaction takes the branch that its compares choose"""
    equal = {"key": "grpcurl/t", "target": "COMPARE_TARGET_VERSION", "relation": "COMPARE_RELATION_EQUAL", "number": 0}
    request = {
        "compares": [equal],
        "success": [{"put": {"key": "grpcurl/t", "value": "created"}}],
        "failure": [{"get": {"key": "grpcurl/t"}}],
    }
    first, second = client.rpc("KvService/Txn", request, node=1), client.rpc("KvService/Txn", request, node=2)
    assert first["succeeded"] is True and second["succeeded"] is False
    assert second["results"][0]["get"]["kv"]["value"] == "created", second


@check
def scan(client):
    """a scan ends with a chunk that says so"""
    for number in range(20):
        client.rpc("KvService/Put", {"key": f"grpcurl/scan/{number:02}", "value": str(number)}, node=number % 3)
    text, chunks = client.call("kontiki.v1.KvService/Scan", data={"prefix": "grpcurl/scan/"}), []
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        at += len(text[at:]) - len(text[at:].lstrip())
        chunk, at = decoder.raw_decode(text, at)
        chunks.append(chunk)
    assert [chunk["last"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    values = [kv["value"] for chunk in chunks for kv in chunk["kvs"]]
    assert values == [str(number) for number in range(20)], values


@check
def error(client):
    """an error names its code, its reason, the limit and the actual value"""
    request = {"key": "k" * 8193, "value": ""}
    printed = client.call("kontiki.v1.KvService/Put", data=request, fails=True)
    assert "InvalidArgument" in printed, printed
    # grpcurl prints details as JSON only if it knows their type, which reflection must tell it.
    for part in ("google.rpc.ErrorInfo", "KEY_TOO_LONG", "NOT_APPLIED", "8192", "8193"):
        assert part in printed, f"{part} is not in:\n{printed}"


@check
def health(client):
    """health answers by service: liveness, readiness, and overall"""
    for service in ("", "liveness", "readiness"):
        answer = json.loads(client.call("grpc.health.v1.Health/Check", data={"service": service}))
        assert answer["status"] == "SERVING", f"{service}: {answer}"
    assert "NotFound" in client.call("grpc.health.v1.Health/Check", data={"service": "no-such"}, fails=True)


@check
def status(client):
    """any node tells the status of all, and exactly one leads"""
    for node in range(len(client.addresses)):
        nodes = client.rpc("ClusterService/Status", {}, node=node)["nodes"]
        assert len(nodes) == len(client.addresses), nodes
        leaders = [each for each in nodes if each["role"] == "NODE_ROLE_LEADER"]
        assert len(leaders) == 1, [each["role"] for each in nodes]

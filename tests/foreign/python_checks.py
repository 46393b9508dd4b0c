"""What a Python program with stubs generated from proto/ can do."""

import contextlib

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from kontiki.v1 import (
    cluster_pb2,
    cluster_pb2_grpc,
    common_pb2,
    kv_pb2,
    kv_pb2_grpc,
    maintenance_pb2,
    maintenance_pb2_grpc,
)

TIMEOUT = 10
CHECKS = []


def check(function):
    """Marks a check; its doc is what is printed. They run in the order in which they stand here."""
    CHECKS.append(function)
    return function


class Client:
    """A channel to each node."""

    def __init__(self, cluster):
        self.channels = [grpc.insecure_channel(address) for address in cluster.addresses]
        self.kv = [kv_pb2_grpc.KvServiceStub(channel) for channel in self.channels]

    def put(self, key, value, node=0, **more):
        """Sets a key."""
        return self.kv[node].Put(kv_pb2.PutRequest(key=key, value=value, **more), timeout=TIMEOUT)


@contextlib.contextmanager
def refused(code, reason):
    """The block must be refused with this code and reason; gives the ErrorInfo's metadata afterwards."""
    metadata = {}
    try:
        yield metadata
    except grpc.RpcError as error:
        assert error.code() is code, f"{error.code()}: {error.details()}"
        status = rpc_status.from_call(error)
        assert status, f"no google.rpc.Status beside {error.details()!r}"
        assert status.message == error.details()
        infos = []
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                infos.append(info)
        assert len(infos) == 1, f"{len(infos)} ErrorInfo in {status}"
        assert (infos[0].reason, infos[0].domain) == (reason, "kontiki"), infos[0]
        metadata.update(infos[0].metadata)
    else:
        raise AssertionError(f"not refused; {reason} was expected")


@check
def put_and_get(client):
    """put through one node, get through each; versions and revisions count"""
    first = client.put("py/a", "1", node=0)
    second = client.put("py/a", "2", node=1, return_previous=True)
    assert second.header.revision > first.header.revision
    assert second.previous.value == "1" and second.previous.version == 1
    assert second.header.cluster_id == first.header.cluster_id != 0
    for stub in client.kv:
        got = stub.Get(kv_pb2.GetRequest(key="py/a"), timeout=TIMEOUT)
        assert (got.kv.value, got.kv.version) == ("2", 2)
        assert got.kv.create_revision == first.header.revision
        assert got.kv.mod_revision == second.header.revision
    old = client.kv[2].Get(kv_pb2.GetRequest(key="py/a", revision=first.header.revision), timeout=TIMEOUT)
    assert old.kv.value == "1" and old.header.revision == first.header.revision


@check
def forms(client):
    """the answer comes in the form that was asked in"""
    client.put("py/form", "texte: é")
    text = client.kv[0].Get(kv_pb2.GetRequest(key="py/form"), timeout=TIMEOUT).kv
    raw = client.kv[0].Get(kv_pb2.GetRequest(key_bytes=b"py/form"), timeout=TIMEOUT).kv
    assert (text.WhichOneof("key_form"), text.WhichOneof("value_form")) == ("key", "value")
    assert (raw.WhichOneof("key_form"), raw.WhichOneof("value_form")) == ("key_bytes", "value_bytes")
    assert raw.value_bytes.decode() == text.value == "texte: é"
    client.kv[0].Put(kv_pb2.PutRequest(key="py/form", value_bytes=b"\xff\xfe"), timeout=TIMEOUT)
    mixed = client.kv[0].Get(kv_pb2.GetRequest(key="py/form"), timeout=TIMEOUT).kv
    assert mixed.key == "py/form" and mixed.value_bytes == b"\xff\xfe", "no valid UTF-8: bytes, even if asked in text"


@check
def levels(client):
    """read levels: local may be old, at-least is never older than asked"""
    for node in range(len(client.kv)):
        revision = client.put("py/level", str(node), node=node).header.revision
        request = kv_pb2.GetRequest(key="py/level", read_level=common_pb2.READ_LEVEL_AT_LEAST, min_revision=revision)
        for stub in client.kv:
            got = stub.Get(request, timeout=TIMEOUT)
            assert got.header.revision >= revision and got.kv.value == str(node)
            assert got.header.read_level == common_pb2.READ_LEVEL_AT_LEAST
    local = client.kv[1].Get(kv_pb2.GetRequest(key="py/level", read_level=common_pb2.READ_LEVEL_LOCAL), timeout=TIMEOUT)
    assert local.header.served_by and local.header.read_level == common_pb2.READ_LEVEL_LOCAL


@check
def pages(client):
    """a range comes in pages of one revision, whatever is written meanwhile"""
    for number in range(25):
        client.put(f"py/page/{number:02}", "old")
    request, seen, revisions = kv_pb2.RangeRequest(prefix="py/page/", limit=10, with_count=True), [], set()
    while True:
        page = client.kv[len(seen) % 3].Range(request, timeout=TIMEOUT)
        assert page.count == 25 and page.more == bool(page.next_page_token)
        seen += [(each.key, each.value) for each in page.kvs]
        revisions.add(page.header.revision)
        client.put("py/page/24", "new")
        if not page.more:
            break
        request.page_token = page.next_page_token
    assert seen == [(f"py/page/{number:02}", "old") for number in range(25)], seen
    assert len(revisions) == 1, revisions
    descending = kv_pb2.RangeRequest(
        span=kv_pb2.KeySpan(start="py/page/05", end="py/page/08"), order=kv_pb2.KEY_ORDER_DESCENDING, keys_only=True
    )
    found = client.kv[0].Range(descending, timeout=TIMEOUT).kvs
    assert [each.key[-2:] for each in found] == ["07", "06", "05"]
    assert not any(each.HasField("value_form") for each in found)
    counted = client.kv[0].Range(kv_pb2.RangeRequest(prefix="py/page/", count_only=True), timeout=TIMEOUT)
    assert counted.count == 25 and not counted.kvs


@check
def scan(client):
    """a scan streams more than a page, at one revision, and says when it is complete"""
    big = "x" * 20_000
    for number in range(40):
        client.put(f"py/scan/{number:03}", big, node=number % 3)
    chunks = list(client.kv[1].Scan(kv_pb2.ScanRequest(prefix="py/scan/"), timeout=TIMEOUT))
    assert len(chunks) > 1, "800 kB came in one chunk"
    assert chunks[-1].last and not any(chunk.last for chunk in chunks[:-1])
    assert len({chunk.header.revision for chunk in chunks}) == 1
    assert [each.key for chunk in chunks for each in chunk.kvs] == [f"py/scan/{n:03}" for n in range(40)]
    assert all(chunk.ByteSize() < 300_000 for chunk in chunks)


@check
def transactions(client):
    """transactions: compares choose the branch, reads inside see earlier writes, all at one revision"""
    is_absent = kv_pb2.Compare(
        key="py/txn", target=kv_pb2.COMPARE_TARGET_CREATE_REVISION, relation=kv_pb2.COMPARE_RELATION_EQUAL, number=0
    )
    nested = kv_pb2.TxnRequest(success=[kv_pb2.TxnOp(put=kv_pb2.PutRequest(key="py/txn/inner", value="yes"))])
    request = kv_pb2.TxnRequest(
        compares=[is_absent],
        success=[
            kv_pb2.TxnOp(put=kv_pb2.PutRequest(key="py/txn", value="mine")),
            kv_pb2.TxnOp(get=kv_pb2.GetRequest(key="py/txn")),
            kv_pb2.TxnOp(txn=nested),
        ],
        failure=[kv_pb2.TxnOp(get=kv_pb2.GetRequest(key="py/txn"))],
    )
    won, lost = client.kv[0].Txn(request, timeout=TIMEOUT), client.kv[1].Txn(request, timeout=TIMEOUT)
    assert won.succeeded and won.results[1].get.kv.value == "mine"
    assert won.results[2].txn.succeeded
    assert not lost.succeeded and lost.results[0].get.kv.value == "mine"
    inner = client.kv[2].Get(kv_pb2.GetRequest(key="py/txn/inner"), timeout=TIMEOUT).kv
    assert inner.mod_revision == lost.results[0].get.kv.mod_revision == won.header.revision


@check
def delete(client):
    """delete removes a key, a prefix, a span; deleting nothing makes no revision"""
    for key in ("a", "b", "c", "d"):
        client.put(f"py/del/{key}", key)
    one = client.kv[0].Delete(kv_pb2.DeleteRequest(key="py/del/a", return_previous=True), timeout=TIMEOUT)
    assert one.deleted == 1 and one.previous[0].value == "a"
    again = client.kv[1].Delete(kv_pb2.DeleteRequest(key="py/del/a"), timeout=TIMEOUT)
    assert again.deleted == 0 and again.header.revision == one.header.revision
    span = kv_pb2.KeySpan(start="py/del/b", end="py/del/d")
    assert client.kv[2].Delete(kv_pb2.DeleteRequest(span=span), timeout=TIMEOUT).deleted == 2
    assert client.kv[0].Delete(kv_pb2.DeleteRequest(prefix="py/del/"), timeout=TIMEOUT).deleted == 1


@check
def errors(client):
    """a refused write says why, and that it was not applied"""
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "KEY_EMPTY") as facts:
        client.put("", "x")
    assert facts["outcome"] == "NOT_APPLIED", facts
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "KEY_TOO_LONG") as facts:
        client.put("k" * 9000, "x", node=2)
    assert (facts["limit"], facts["actual"], facts["outcome"]) == ("8192", "9000", "NOT_APPLIED"), facts
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "RANGE_INVERTED"):
        span = kv_pb2.KeySpan(start="b", end="a")
        client.kv[0].Range(kv_pb2.RangeRequest(span=span), timeout=TIMEOUT)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "ENUM_UNKNOWN"):
        client.kv[0].Get(kv_pb2.GetRequest(key="a", read_level=77), timeout=TIMEOUT)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "SELECTOR_MISSING"):
        client.kv[1].Delete(kv_pb2.DeleteRequest(), timeout=TIMEOUT)


@check
def deadline(client):
    """a deadline is kept: what cannot be answered in time is not waited for"""
    revision = client.put("py/deadline", "x").header.revision
    request = kv_pb2.GetRequest(
        key="py/deadline", read_level=common_pb2.READ_LEVEL_AT_LEAST, min_revision=revision + 1_000_000
    )
    try:
        client.kv[0].Get(request, timeout=0.3)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED, error
    else:
        raise AssertionError("a revision that is not there yet was read")


@check
def health(client):
    """the standard health service knows liveness and readiness"""
    for channel in client.channels:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "liveness", "readiness", "kontiki.v1.KvService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


@check
def cluster_services(client):
    """members, status and a transfer of leadership; the hashes of all nodes are equal"""
    stub = cluster_pb2_grpc.ClusterServiceStub(client.channels[0])
    members = stub.Members(cluster_pb2.MembersRequest(), timeout=TIMEOUT).members
    assert len(members) == len(client.channels) and [m.name for m in members] == sorted(m.name for m in members)
    nodes = stub.Status(cluster_pb2.StatusRequest(), timeout=TIMEOUT).nodes
    follower = next(node for node in nodes if node.role == common_pb2.NODE_ROLE_FOLLOWER)
    moved = stub.TransferLeadership(cluster_pb2.TransferLeadershipRequest(to=follower.member.name), timeout=TIMEOUT)
    assert (moved.leader_name, moved.leader_id) == (follower.member.name, follower.member.node_id)
    revision = client.put("py/after", "transfer").header.revision
    hashes = {
        maintenance_pb2_grpc.MaintenanceServiceStub(channel)
        .Hash(maintenance_pb2.HashRequest(revision=revision), timeout=TIMEOUT)
        .hash
        for channel in client.channels
    }
    assert len(hashes) == 1, hashes


@check
def snapshot(client):
    """a snapshot streams out of any node"""
    stub = maintenance_pb2_grpc.MaintenanceServiceStub(client.channels[2])
    request = maintenance_pb2.SnapshotRequest(read_level=common_pb2.READ_LEVEL_LINEARIZABLE)
    data = b"".join(piece.data for piece in stub.Snapshot(request, timeout=TIMEOUT))
    assert len(data) > 100_000, f"{len(data)} bytes, though more was put"


@check
def compact(client):
    """after a compaction older revisions are refused, newer ones are not"""
    old = client.put("py/compact", "old").header.revision
    new = client.put("py/compact", "new").header.revision
    client.kv[1].Compact(kv_pb2.CompactRequest(revision=new), timeout=TIMEOUT)
    with refused(grpc.StatusCode.OUT_OF_RANGE, "COMPACTED") as facts:
        client.kv[2].Get(kv_pb2.GetRequest(key="py/compact", revision=old), timeout=TIMEOUT)
    assert facts["compact_revision"] == str(new), facts
    assert client.kv[0].Get(kv_pb2.GetRequest(key="py/compact", revision=new), timeout=TIMEOUT).kv.value == "new"
    with refused(grpc.StatusCode.OUT_OF_RANGE, "FUTURE_REVISION"):
        client.kv[0].Get(kv_pb2.GetRequest(key="py/compact", revision=new + 1_000_000), timeout=TIMEOUT)

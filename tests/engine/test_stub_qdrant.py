"""The stand-in for Qdrant, asked by grpcio: a neutral client whose messages come from the protocol's own .proto files.

They are taken from the Go module that the stand-in is built with, compiled to descriptors when the tests run.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.support.stub import Stub, build_stub, need_go, running_stub
from toolkit.resources import images_dir

MODULE = "github.com/qdrant/go-client"
SIZE, COUNT, TOP = 768, 1000, 10
COSINE, DOT = 1, 3

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> descriptor_pool.DescriptorPool:
    """The protocol."""
    folder = images_dir() / "backends/qdrant-exact"
    listed = subprocess.run(
        [need_go(), "mod", "download", "-json", MODULE], cwd=folder, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip(f"{MODULE} cannot be fetched: {listed.stderr}")
    protos = Path(json.loads(listed.stdout)["Dir"]) / "internal/proto"
    out = tmp_path_factory.mktemp("proto") / "qdrant.pb"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"--descriptor_set_out={out}", "--include_imports"]
        + [path.name for path in sorted(protos.glob("*.proto"))],
        check=True,
    )
    found = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
        found.Add(file)
    return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("qdrant"), "qdrant-exact")


@pytest.fixture
def server(program: Path, tmp_path: Path) -> Iterator[Stub]:
    with running_stub(program, tmp_path) as running:
        yield running


@pytest.fixture
def call(server: Stub, pool: descriptor_pool.DescriptorPool) -> Iterator[Call]:
    """``call("Points.Query", collection_name="c", ...)`` answers with the message."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:

        def made(method: str, **fields: Any) -> Any:
            service, _, name = method.partition(".")
            descriptor = pool.FindServiceByName(f"qdrant.{service}").FindMethodByName(name)
            sent = message_factory.GetMessageClass(descriptor.input_type)(**fields)
            received = message_factory.GetMessageClass(descriptor.output_type)
            unary = channel.unary_unary(
                f"/qdrant.{service}/{name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=received.FromString,
            )
            return unary(sent, timeout=300)

        yield made


def unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector]


def vectors(count: int, seed: int) -> list[list[float]]:
    draw = random.Random(seed)
    return [unit([draw.gauss(0, 1) for _ in range(SIZE)]) for _ in range(count)]


def create(call: Call, size: int = SIZE, distance: int = COSINE, name: str = "c") -> Any:
    params = {"params": {"size": size, "distance": distance}}
    return call("Collections.Create", collection_name=name, vectors_config=params)


def point(number: int, vector: list[float], **payload: str) -> dict[str, Any]:
    values = {name: {"string_value": value} for name, value in payload.items()}
    return {"id": {"num": number}, "payload": values, "vectors": {"vector": {"dense": {"data": vector}}}}


def nearest(vector: list[float]) -> dict[str, Any]:
    return {"nearest": {"dense": {"data": vector}}}


def test_it_says_which_protocol_it_speaks_and_what_it_is_not(call: Call) -> None:
    reply = call("Qdrant.HealthCheck")
    assert reply.version == "1.18.3"
    assert "stand-in" in reply.title


def test_query_search_and_batch_give_the_exact_top_ten(call: Call) -> None:
    stored, queries = vectors(COUNT, 1), vectors(5, 2)
    create(call)
    # Twice the points in one call: 6 MB, more than a gRPC server takes unless it is told to.
    done = call(
        "Points.Upsert", collection_name="c", points=[point(n % COUNT, stored[n % COUNT]) for n in range(2 * COUNT)]
    )
    assert done.result.status == 2
    assert call("Points.Count", collection_name="c", exact=True).result.count == COUNT
    each = [call("Points.Query", collection_name="c", query=nearest(query), limit=TOP).result for query in queries]
    searched = [call("Points.Search", collection_name="c", vector=query, limit=TOP).result for query in queries]
    asked = [{"collection_name": "c", "query": nearest(query), "limit": TOP} for query in queries]
    together = [part.result for part in call("Points.QueryBatch", collection_name="c", query_points=asked).result]
    for query, *answers in zip(queries, each, searched, together, strict=True):
        scores = [sum(a * b for a, b in zip(query, vector, strict=True)) for vector in stored]
        best = sorted(range(COUNT), key=lambda number: -scores[number])[:TOP]
        for answer in answers:
            assert [hit.id.num for hit in answer] == best
            assert [hit.score for hit in answer] == pytest.approx([scores[number] for number in best], abs=1e-6)


def test_payload_and_vectors_come_when_asked_for(call: Call) -> None:
    create(call, size=2)
    call("Points.Upsert", collection_name="c", points=[point(7, [3.0, 4.0], a="x", b="y")])
    (bare,) = call("Points.Query", collection_name="c", query=nearest([1.0, 0.0])).result
    assert (len(bare.payload), bare.HasField("vectors")) == (0, False)
    wanted = {"with_payload": {"include": {"fields": ["b"]}}, "with_vectors": {"enable": True}}
    (full,) = call("Points.Query", collection_name="c", query=nearest([1.0, 0.0]), **wanted).result
    assert {name: value.string_value for name, value in full.payload.items()} == {"b": "y"}
    assert list(full.vectors.vector.dense.data) == pytest.approx([0.6, 0.8])
    ids = [{"num": 9}, {"num": 7}]
    (got,) = call("Points.Get", collection_name="c", ids=ids, with_payload={"enable": True}).result
    assert (got.id.num, len(got.payload)) == (7, 2)


def test_collections_come_and_go(call: Call) -> None:
    assert create(call, size=4).result
    assert call("Collections.CollectionExists", collection_name="c").result.exists
    assert [each.name for each in call("Collections.List").collections] == ["c"]
    info = call("Collections.Get", collection_name="c").result
    assert (info.points_count, info.config.params.vectors_config.params.size) == (0, 4)
    assert call("Collections.Delete", collection_name="c").result
    assert not call("Collections.CollectionExists", collection_name="c").result.exists


@pytest.mark.parametrize(
    ("method", "fields", "code"),
    [
        ("Points.Query", {"collection_name": "none", "query": nearest([1.0, 0.0])}, grpc.StatusCode.NOT_FOUND),
        ("Points.Query", {"collection_name": "c", "query": nearest([1.0])}, grpc.StatusCode.INVALID_ARGUMENT),
        ("Points.Query", {"collection_name": "c", "filter": {}}, grpc.StatusCode.UNIMPLEMENTED),
        ("Points.Upsert", {"collection_name": "c", "points": [{}]}, grpc.StatusCode.INVALID_ARGUMENT),
        ("Points.Scroll", {"collection_name": "c"}, grpc.StatusCode.UNIMPLEMENTED),
        ("Collections.Create", {"collection_name": ""}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_it_does_not_have_is_refused(
    call: Call, method: str, fields: dict[str, Any], code: grpc.StatusCode
) -> None:
    create(call, size=2)
    with pytest.raises(grpc.RpcError) as refused:
        call(method, **fields)
    assert refused.value.code() == code


def test_other_distances_and_second_collections_of_a_name_are_refused(call: Call) -> None:
    create(call)
    for fields, code in [({"name": "c"}, "ALREADY_EXISTS"), ({"name": "d", "distance": DOT}, "UNIMPLEMENTED")]:
        with pytest.raises(grpc.RpcError) as refused:
            create(call, **fields)
        assert refused.value.code().name == code


def test_it_ends_when_told_to_and_its_count_is_recorded(call: Call, server: Stub) -> None:
    call("Qdrant.HealthCheck")
    create(call)
    call("Collections.List")
    assert server.stop() == 0
    assert server.read("counts")[-1]["name"] == "backend.requests"
    assert server.read("counts")[-1]["value"] == 2


def test_settings_are_strict(program: Path) -> None:
    for settings in ({"pace": 1}, {"pacing": "paced"}, {"fault": "reset:1"}, {"schema": "repro.backend/2"}):
        done = subprocess.run([program], env={"REPRO_BACKEND": json.dumps(settings)}, capture_output=True, check=False)
        assert done.returncode == 64
        assert b"REPRO_BACKEND" in done.stderr

import asyncio
import base64
import itertools
import time
from contextlib import asynccontextmanager

import pytest
import yaml

from clusters import api as api_module
from clusters.api import ATTEMPTS, PAGE, open_api
from clusters.kinds import CLUSTERS, CONFIG_MAPS, NODES, PODS, SECRETS, Kind
from migration.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    InvalidRequest,
    NotFound,
    Rejected,
    ServerFault,
    Throttled,
    Unauthorized,
    Unreachable,
)
from tests.seed_api import seed_api

NAMESPACE = "shop"
numbers = itertools.count(1)


@pytest.fixture
def name():
    return f"asked-{next(numbers)}"


@pytest.fixture
def little_patience(monkeypatch):
    monkeypatch.setattr(api_module, "REQUEST_SECONDS", 0.3)


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}


async def make(api, name, **data):
    return await api.create(CONFIG_MAPS, config_map(name, **data), namespace=NAMESPACE)


async def data_of(api, name):
    return (await api.get(CONFIG_MAPS, name, namespace=NAMESPACE))["data"]


def path_of(name):
    return f"/configmaps/{name}$"


STATUSES = [
    ("500", ServerFault),
    ("503", ServerFault),
    ("429", Throttled),
    ("409", Conflict),
    ("410", Expired),
    ("401", Unauthorized),
    ("403", Forbidden),
    ("reset", Unreachable),
]


@pytest.mark.parametrize(("trouble", "kind"), STATUSES)
async def test_each_refusal_has_its_own_error(api, shared, name, trouble, kind):
    shared.fault(trouble, method="PUT", path=path_of(name), times=None)

    with pytest.raises(kind) as error:
        await api.replace(CONFIG_MAPS, config_map(name), namespace=NAMESPACE)

    assert type(error.value) is kind
    assert f"user cluster {shared.name}" in str(error.value)
    assert f"PUT /api/v1/namespaces/{NAMESPACE}/configmaps/{name}" in str(error.value)


async def test_what_does_not_exist_is_not_found(api):
    with pytest.raises(NotFound, match='configmaps "nothing" not found'):
        await api.get(CONFIG_MAPS, "nothing", namespace=NAMESPACE)
    assert await api.find(CONFIG_MAPS, "nothing", namespace=NAMESPACE) is None


async def test_a_taken_name_is_no_conflict(api, name):
    await make(api, name)

    with pytest.raises(AlreadyExists):
        await make(api, name)


async def test_a_stale_version_is_a_conflict_and_no_taken_name(api, name):
    old = await make(api, name)
    await api.patch(CONFIG_MAPS, name, {"data": {"a": "1"}}, namespace=NAMESPACE)

    with pytest.raises(Conflict):
        await api.replace(CONFIG_MAPS, old, namespace=NAMESPACE)


async def test_validation_is_a_refusal(api):
    with pytest.raises(Rejected, match="HTTP 422"):
        await make(api, "Not A Name")


async def test_a_webhooks_refusal_is_told_from_a_missing_permission(shared_opened, shared):
    patch = {"spec": {"cniPlugin": {"type": "cilium", "version": "1.19.4"}}}

    with pytest.raises(Rejected, match="cannot change CNI plugin type, unless unsafe-cni-migration label is present"):
        await seed_api(shared_opened.seed).patch(CLUSTERS, shared.name, patch)


class TestRepeats:
    """Only what may be repeated without harm is repeated."""

    @pytest.mark.parametrize("trouble", ["500", "503", "429", "reset"])
    async def test_a_read_is_repeated(self, api, shared, name, trouble):
        await make(api, name, a="1")
        shared.fault(trouble, method="GET", path=path_of(name), times=ATTEMPTS - 1)

        assert await data_of(api, name) == {"a": "1"}
        assert shared.lab.remote.faults() == []

    async def test_repeats_end(self, api, shared, name):
        shared.fault("503", method="GET", path=path_of(name), times=ATTEMPTS)

        with pytest.raises(ServerFault):
            await api.get(CONFIG_MAPS, name, namespace=NAMESPACE)

        assert shared.lab.remote.faults() == []

    async def test_a_patch_whose_answer_was_lost_is_repeated_and_does_no_harm(self, api, shared, name, monkeypatch):
        monkeypatch.setattr(api_module, "REQUEST_SECONDS", 0.3)
        await make(api, name)
        shared.fault("timeout-after", method="PATCH", path=path_of(name))
        patches = shared.requests("patch configmaps")

        await api.patch(CONFIG_MAPS, name, {"data": {"a": "1"}}, namespace=NAMESPACE)

        assert await data_of(api, name) == {"a": "1"}
        assert shared.requests("patch configmaps") >= patches + 1

    async def test_a_deletion_is_repeated(self, api, shared, name):
        made = await make(api, name)
        shared.fault("503", method="DELETE", path=path_of(name), times=2)

        assert await api.delete(CONFIG_MAPS, name, namespace=NAMESPACE, uid=made["metadata"]["uid"])
        assert await api.find(CONFIG_MAPS, name, namespace=NAMESPACE) is None

    @pytest.mark.parametrize("trouble", ["500", "429"])
    async def test_a_creation_is_not_repeated(self, api, shared, name, trouble):
        shared.fault(trouble, method="POST", path="/configmaps$", times=1)

        with pytest.raises((ServerFault, Throttled)):
            await make(api, name)

        assert await api.find(CONFIG_MAPS, name, namespace=NAMESPACE) is None

    async def test_a_creation_whose_answer_was_lost_is_left_to_the_caller(self, api, shared, name, monkeypatch):
        monkeypatch.setattr(api_module, "REQUEST_SECONDS", 0.3)
        shared.fault("timeout-after", method="POST", path="/configmaps$")

        with pytest.raises(Unreachable, match="did not answer in time"):
            await make(api, name)

        assert await api.find(CONFIG_MAPS, name, namespace=NAMESPACE) is not None

    async def test_a_replacement_is_not_repeated(self, api, shared, name):
        made = await make(api, name)
        shared.fault("500", method="PUT", path=path_of(name), times=1)

        with pytest.raises(ServerFault):
            await api.replace(CONFIG_MAPS, made, namespace=NAMESPACE)

    @pytest.mark.parametrize("trouble", ["401", "403", "409"])
    async def test_what_would_fail_again_is_not_repeated(self, api, shared, name, trouble):
        await make(api, name)
        shared.fault(trouble, method="PATCH", path=path_of(name), times=2)

        with pytest.raises((Unauthorized, Forbidden, Conflict)):
            await api.patch(CONFIG_MAPS, name, {"data": {}}, namespace=NAMESPACE)

        assert [fault["times"] for fault in shared.lab.remote.faults()] == [1]

    async def test_the_servers_patience_is_respected(self, api, shared, name):
        await make(api, name)
        shared.fault("429", method="GET", path=path_of(name), retry_after_seconds=1)
        started = time.monotonic()

        await api.get(CONFIG_MAPS, name, namespace=NAMESPACE)

        assert time.monotonic() - started >= 1.0

    async def test_the_servers_patience_reaches_whoever_repeats_later(self, api, shared, name):
        shared.fault("429", method="POST", path="/configmaps$", retry_after_seconds=7)

        with pytest.raises(Throttled) as error:
            await make(api, name)

        assert error.value.retry_after_seconds == 7.0

    async def test_a_request_that_is_never_answered_ends(self, api, shared, name, monkeypatch):
        monkeypatch.setattr(api_module, "REQUEST_SECONDS", 0.2)
        shared.fault("timeout", method="PUT", path=path_of(name))

        with pytest.raises(Unreachable, match="did not answer in time"):
            await api.replace(CONFIG_MAPS, config_map(name), namespace=NAMESPACE)


class TestDeletions:
    async def test_only_the_very_object_is_deleted(self, api, name):
        made = await make(api, name)
        await api.delete(CONFIG_MAPS, name, namespace=NAMESPACE, uid=made["metadata"]["uid"])
        again = await make(api, name)

        with pytest.raises(Conflict):
            await api.delete(CONFIG_MAPS, name, namespace=NAMESPACE, uid=made["metadata"]["uid"])

        assert (await api.get(CONFIG_MAPS, name, namespace=NAMESPACE))["metadata"]["uid"] == again["metadata"]["uid"]

    async def test_an_object_that_was_written_meanwhile_is_deleted_all_the_same(self, api, shared, name):
        """Whoever skips it would wait for the end of what nobody deletes."""
        made = await make(api, name)
        shared.fault("409", method="DELETE", path=path_of(name), times=ATTEMPTS - 1)

        assert await api.delete(CONFIG_MAPS, name, namespace=NAMESPACE, uid=made["metadata"]["uid"])

        assert await api.find(CONFIG_MAPS, name, namespace=NAMESPACE) is None

    async def test_what_is_gone_is_no_error(self, api, name):
        assert not await api.delete(CONFIG_MAPS, name, namespace=NAMESPACE, uid="5a1f")


class TestLists:
    @pytest.fixture
    async def many(self, api):
        prefix, count = f"many-{next(numbers)}", PAGE + 20
        label = {"labels": {"batch": prefix}}
        bodies = [config_map(f"{prefix}-{number:04}") for number in range(count)]
        await asyncio.gather(
            *(
                api.create(CONFIG_MAPS, {**body, "metadata": {**body["metadata"], **label}}, namespace=NAMESPACE)
                for body in bodies
            )
        )
        return prefix, [body["metadata"]["name"] for body in bodies]

    async def test_a_long_list_is_read_in_pages(self, api, shared, many):
        prefix, names = many

        pages = [len(items) async for items, _ in api.pages(CONFIG_MAPS, labels=f"batch={prefix}")]
        found = await api.list(CONFIG_MAPS, labels=f"batch={prefix}")

        assert pages == [PAGE, 20]
        assert sorted(item["metadata"]["name"] for item in found) == names

    async def test_a_list_whose_continuation_expired_starts_over(self, api, shared, many):
        prefix, names = many
        pages = api.pages(CONFIG_MAPS, labels=f"batch={prefix}")
        await anext(pages)
        shared.fault("410", method="GET", path="/api/v1/configmaps$", times=2)

        with pytest.raises(Expired):
            await anext(pages)
        found = await api.list(CONFIG_MAPS, labels=f"batch={prefix}")

        assert len(found) == len(names)
        assert shared.lab.remote.faults() == []

    async def test_a_list_that_always_expires_ends(self, api, shared):
        shared.fault("410", method="GET", path="/api/v1/nodes$", times=None)

        with pytest.raises(Expired):
            await api.list(NODES)

    async def test_selectors_choose(self, api, name):
        await make(api, name)

        by_name = await api.list(CONFIG_MAPS, namespace=NAMESPACE, fields=f"metadata.name={name}")

        assert [item["metadata"]["name"] for item in by_name] == [name]
        assert await api.list(PODS, labels="app=no-such-app") == []

    async def test_a_custom_kind_without_definition_has_no_objects(self, api):
        assert await api.list(Kind("nobody.example.test", "v1", "things", custom=True)) == []
        with pytest.raises(NotFound):
            await api.list(Kind("nobody.example.test", "v1", "things"))


class TestSecrecy:
    """Messages go to logs and to the UI."""

    @pytest.fixture
    def token(self, shared):
        return yaml.safe_load(shared.kubeconfig.read_text())["users"][0]["user"]["token"]

    @pytest.mark.parametrize("trouble", ["500", "429", "409", "401", "403", "timeout", "reset"])
    @pytest.mark.usefixtures("little_patience")
    async def test_neither_body_nor_token_is_in_a_message(self, api, shared, name, token, trouble):
        shared.fault(trouble, method="POST", path="/secrets$")
        body = {
            **config_map(name),
            "kind": "Secret",
            "data": {"password": base64.b64encode(b"hunter2hunter2").decode()},
        }

        with pytest.raises(ClusterError) as error:
            await api.create(SECRETS, body, namespace=NAMESPACE)

        said = "".join(f"{step} {step!r}" for step in chain(error.value))
        assert token not in said
        assert body["data"]["password"] not in said

    async def test_a_refused_body_is_not_quoted_either(self, api, token):
        body = {**config_map("Not A Name"), "kind": "Secret", "data": {"password": "no base64: hunter2"}}

        with pytest.raises(Rejected) as error:
            await api.create(SECRETS, body, namespace=NAMESPACE)

        assert token not in str(error.value)


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@asynccontextmanager
async def serving(answer):
    """A server that gives everybody the same bytes; yields a kubeconfig for it."""

    async def respond(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield kubeconfig_for({"server": f"http://127.0.0.1:{port}"})


def kubeconfig_for(cluster, user=None):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user or {"token": "a-token"}}],
    }


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"", b"[]", b"null", b"\xff\xfe"])
@pytest.mark.parametrize("status", ["200 OK", "502 Bad Gateway"])
async def test_an_answer_that_is_none_of_an_api_server_is_its_fault(body, status, monkeypatch):
    monkeypatch.setattr(api_module, "ATTEMPTS", 1)
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()

    async with serving(head + body) as kubeconfig, open_api(kubeconfig, where="seed lab") as api:
        with pytest.raises(ServerFault, match="seed lab"):
            await api.replace(NODES, {"metadata": {"name": "x"}})


async def test_a_date_as_the_servers_patience_is_no_obstacle():
    answer = b"HTTP/1.1 429 Slow Down\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n"

    async with serving(answer) as kubeconfig, open_api(kubeconfig, where="seed lab") as api:
        with pytest.raises(Throttled) as error:
            await api.replace(NODES, {"metadata": {"name": "x"}})

    assert error.value.retry_after_seconds is None


async def test_a_server_that_is_not_there_is_unreachable(unused_tcp_port):
    kubeconfig = kubeconfig_for({"server": f"https://127.0.0.1:{unused_tcp_port}"})

    async with open_api(kubeconfig, where="seed lab") as api:
        with pytest.raises(Unreachable, match=r"seed lab is not reachable.*Check the address"):
            await api.replace(NODES, {"metadata": {"name": "x"}})


async def test_another_certificate_than_the_trusted_is_refused_for_good(shared):
    kubeconfig = yaml.safe_load(shared.kubeconfig.read_text())
    kubeconfig["clusters"][0]["cluster"].pop("certificate-authority-data")

    async with open_api(kubeconfig, where="seed lab") as api:
        with pytest.raises(Rejected, match="not the one that the kubeconfig trusts"):
            await api.get(NODES, "x")


UNUSABLE = [
    kubeconfig_for({"server": "https://x", "certificate-authority-data": "c2VjcmV0LXN0dWZm"}),
    kubeconfig_for({"server": "https://x", "certificate-authority-data": "%%%"}),
    kubeconfig_for({}),
    {**kubeconfig_for({"server": "https://x"}), "current-context": "other"},
    {**kubeconfig_for({"server": "https://x"}), "clusters": "secret-stuff"},
    {**kubeconfig_for({"server": "https://x"}), "users": None},
    {**kubeconfig_for({"server": "https://x"}), "contexts": ["secret-stuff"]},
]


@pytest.mark.parametrize("kubeconfig", UNUSABLE)
async def test_an_unusable_kubeconfig_is_named_and_never_quoted(kubeconfig):
    with pytest.raises(InvalidRequest, match="seed lab") as error:
        async with open_api(kubeconfig, where="seed lab"):
            pass

    assert "secret-stuff" not in str(error.value)

"""What is the lab's own in what it answers: no protobuf, logs of pods that nobody runs, the version it is given."""

from __future__ import annotations

PROTOBUF = "application/vnd.kubernetes.protobuf"


async def test_clients_that_want_protobuf_only_are_refused(api, pods):
    answer = await api.get(pods, headers={"accept": PROTOBUF})

    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")


async def test_clients_that_take_protobuf_first_get_json(api, pods):
    answer = await api.get(pods, headers={"accept": f"{PROTOBUF},application/json"})

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


async def test_pods_have_a_log(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))

    answer = await api.get(f"{pods}/one/log")

    assert (answer.headers["content-type"], answer.text) == ("text/plain", "main started in one\n")


async def test_the_version_is_the_servers(api):
    assert (await api.get("/version")).json()["gitVersion"] == "v1.34.11"

"""Leases: who holds one, and who loses the race for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.apiserver.drafts import MERGE, cause_of, delete

NEW_YEAR = "2026-01-01T00:00:00.000000Z"
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@pytest.fixture
def leases(namespace):
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


def lease(name="flow", **spec):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def held(api, leases):
    body = lease(
        holderIdentity="first",
        leaseDurationSeconds=15,
        leaseTransitions=0,
        acquireTime=NEW_YEAR,
        renewTime=NEW_YEAR,
    )
    answer = api.post(leases, json=body)
    assert answer.status_code == 201
    assert answer.json()["spec"] == body["spec"]
    return answer.json()


def held_by(found, holder):
    return {**found, "spec": {**found["spec"], "holderIdentity": holder}}


def test_only_one_makes_a_lease(api, leases, held):
    answer = api.post(leases, json=lease())

    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")
    assert answer.json()["message"] == 'leases.coordination.k8s.io "flow" already exists'


def test_the_second_of_two_takers_loses(api, leases, held):
    won = api.put(f"{leases}/flow", json=held_by(held, "second"))
    lost = api.put(f"{leases}/flow", json=held_by(held, "third"))

    assert (won.status_code, lost.status_code) == (200, 409)
    assert lost.json()["reason"] == "Conflict"
    assert lost.json()["message"] == f'Operation cannot be fulfilled on leases.coordination.k8s.io "flow": {MODIFIED}'
    assert lost.json()["details"] == {"name": "flow", "group": "coordination.k8s.io", "kind": "leases"}
    assert api.get(f"{leases}/flow").json() == won.json()


def test_of_many_takers_one_wins(server, api, leases, held):
    def take(holder):
        with server.client() as client:
            return client.put(f"{leases}/flow", json=held_by(held, holder)).status_code

    with ThreadPoolExecutor(8) as threads:
        codes = sorted(threads.map(take, [f"taker-{number}" for number in range(8)]))

    assert codes == [200] + 7 * [409]


def test_a_holder_renews_from_version_to_version(api, leases, held):
    for second in range(1, 4):
        spec = {**held["spec"], "renewTime": f"2026-01-01T00:00:0{second}.000000Z"}
        answer = api.put(f"{leases}/flow", json={**held, "spec": spec})
        assert answer.status_code == 200
        held = answer.json()

    assert held["spec"]["renewTime"] == "2026-01-01T00:00:03.000000Z"


def test_a_lease_is_only_replaced_by_who_knows_its_version(api, leases, held):
    answer = api.put(f"{leases}/flow", json=lease(holderIdentity="second"))

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert cause_of(answer)["field"] == "metadata.resourceVersion"
    assert cause_of(answer)["message"].endswith("must be specified for an update")
    assert api.get(f"{leases}/flow").json() == held


def test_a_patch_needs_no_version_but_is_held_to_one(api, leases, held):
    body = {"spec": {"holderIdentity": "second"}}
    stale = {"metadata": {"resourceVersion": held["metadata"]["resourceVersion"]}, **body}

    free = api.patch(f"{leases}/flow", json=body, headers=MERGE)
    refused = api.patch(f"{leases}/flow", json=stale, headers=MERGE)

    assert (free.status_code, free.json()["spec"]["holderIdentity"]) == (200, "second")
    assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")


@pytest.mark.parametrize("version", ["", "5"])
def test_a_put_makes_a_lease_that_is_not_there(api, leases, version):
    body = lease(holderIdentity="first")
    body["metadata"]["resourceVersion"] = version

    answer = api.put(f"{leases}/flow", json=body)

    assert answer.status_code == 201
    assert api.get(f"{leases}/flow").json() == answer.json()


def test_a_put_does_not_make_a_lease_that_was_another(api, leases):
    body = lease()
    body["metadata"]["uid"] = "gone"

    answer = api.put(f"{leases}/flow", json=body)

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: gone" in answer.json()["message"]


def test_a_lease_is_given_up_only_by_who_knows_its_version(api, leases, held):
    current = api.put(f"{leases}/flow", json=held_by(held, "second")).json()["metadata"]

    refused = delete(api, f"{leases}/flow", preconditions={"resourceVersion": held["metadata"]["resourceVersion"]})
    done = delete(
        api,
        f"{leases}/flow",
        preconditions={"resourceVersion": current["resourceVersion"], "uid": current["uid"]},
    )

    assert (refused.status_code, refused.json()["details"]["kind"]) == (409, "Lease")
    assert refused.json()["message"].startswith('Operation cannot be fulfilled on Lease.coordination.k8s.io "flow": ')
    assert done.status_code == 200


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"leaseDurationSeconds": 0}, "spec.leaseDurationSeconds", "Invalid value: 0: must be greater than 0"),
        ({"leaseDurationSeconds": -3}, "spec.leaseDurationSeconds", "Invalid value: -3: must be greater than 0"),
        (
            {"leaseTransitions": -1},
            "spec.leaseTransitions",
            "Invalid value: -1: must be greater than or equal to 0",
        ),
    ],
)
def test_times_and_transitions_are_counted_up(api, leases, spec, field, message):
    answer = api.post(leases, json=lease(**spec))

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"] == f'Lease.coordination.k8s.io "flow" is invalid: {field}: {message}'
    assert cause_of(answer) == {"reason": "FieldValueInvalid", "message": message, "field": field}


@pytest.mark.parametrize(
    ("value", "rest", "wanted"),
    [
        ("yesterday", "yesterday", "2006"),
        ("2026-01-01T00:00:00Z", "Z", ".000000"),
        ("2026-01-01T00:00:00.5Z", ".5Z", ".000000"),
    ],
)
def test_a_time_has_microseconds(api, leases, value, rest, wanted):
    answer = api.post(leases, json=lease(renewTime=value))

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        f'Lease in version "v1" cannot be handled as a Lease: parsing time "{value}" as '
        f'"2006-01-02T15:04:05.000000Z07:00": cannot parse "{rest}" as "{wanted}"'
    )

"""Which probes are tried, what their ends mean, and which of them got worse."""

import pytest

from clusters import narrowing
from clusters.steps import probe_pods
from migration.probes import (
    MOST_NODES,
    Probe,
    ProbeKind,
    ProbeResult,
    Role,
    Seen,
    Server,
    plan_round,
    tally,
    what_was_seen,
    worse_probes,
)

ID = "20260821080000-0a1b2c"


def result(source="n1", seen=Seen.OPEN, *, kind=ProbeKind.SAME_NODE, target="x"):
    return ProbeResult(kind=kind, source=source, target=target, seen=seen)


def of_kind(plan, kind):
    return [
        (probe.source, probe.server.node if probe.server else probe.target)
        for probe in plan.probes
        if probe.kind is kind
    ]


class TestPlan:
    def test_every_node_asks_and_answers(self):
        plan = plan_round(["c", "a", "b"])

        assert of_kind(plan, ProbeKind.OTHER_NODE) == [("a", "b"), ("b", "c"), ("c", "a")]
        assert of_kind(plan, ProbeKind.SAME_NODE) == [("a", "a"), ("b", "b"), ("c", "c")]
        for kind in (ProbeKind.DNS, ProbeKind.SERVICE_NAME, ProbeKind.SERVICE_ADDRESS, ProbeKind.API_SERVER):
            assert [source for source, _ in of_kind(plan, kind)] == ["a", "b", "c"]
        assert [server.node for server in plan.servers if server.role is Role.OPEN] == ["a", "b", "c"]

    def test_policies_are_tried_from_another_node_and_from_the_same(self):
        plan = plan_round(["a", "b", "c"])

        assert of_kind(plan, ProbeKind.DENIED) == [("a", "a"), ("c", "a")]
        assert of_kind(plan, ProbeKind.ALLOWED) == [("a", "a"), ("c", "a")]

    def test_a_single_node_has_no_other(self):
        plan = plan_round(["a"])

        assert of_kind(plan, ProbeKind.OTHER_NODE) == []
        assert of_kind(plan, ProbeKind.DENIED) == [("a", "a")]

    def test_no_node_has_no_probe(self):
        assert plan_round([]).probes == ()

    def test_of_many_nodes_some_are_chosen_evenly_and_the_others_named(self):
        nodes = [f"{zone}-{number:03}" for zone in ("east", "west") for number in range(50)]

        plan = plan_round(nodes)

        chosen = {server.node for server in plan.servers}
        assert len(chosen) == MOST_NODES
        assert sum(node.startswith("east") for node in chosen) == MOST_NODES / 2
        assert chosen | set(plan.left_out) == set(nodes)
        assert not chosen & set(plan.left_out)

    def test_outside_addresses_are_tried_from_every_node(self):
        plan = plan_round(["a", "b"], egress=["192.0.2.1:443", "example.com:80"])

        assert of_kind(plan, ProbeKind.EGRESS) == [
            ("a", "192.0.2.1:443"),
            ("a", "example.com:80"),
            ("b", "192.0.2.1:443"),
            ("b", "example.com:80"),
        ]


@pytest.mark.parametrize(
    ("phase", "message", "expected"),
    [
        ("Succeeded", "", (Seen.OPEN, "")),
        ("Failed", "TIMEOUT\n", (Seen.TIMEOUT, "")),
        ("Failed", "REFUSED\n", (Seen.REFUSED, "")),
        ("Failed", "DNS: lookup x: no such host\n", (Seen.DNS, "lookup x: no such host")),
        ("Failed", "OTHER: dial tcp: no route\n", (Seen.OTHER, "OTHER: dial tcp: no route")),
        ("Failed", "UNKNOWN: bad port", (Seen.OTHER, "UNKNOWN: bad port")),
        ("Failed", "", (Seen.OTHER, "")),
    ],
)
def test_what_a_client_says(phase, message, expected):
    assert what_was_seen(phase, message) == expected


@pytest.mark.parametrize("seen", list(Seen))
@pytest.mark.parametrize("kind", list(ProbeKind))
def test_what_a_sound_network_shows(kind, seen):
    sound = {Seen.TIMEOUT, Seen.REFUSED} if kind is ProbeKind.DENIED else {Seen.OPEN}

    assert result(kind=kind, seen=seen).is_good is (seen in sound)


BAD = Seen.TIMEOUT
COMPARED = [
    # before, now, the nodes whose probes got worse
    ([("n1", Seen.OPEN)], [("n1", Seen.OPEN)], []),
    ([("n1", Seen.OPEN)], [("n1", BAD)], ["n1"]),
    ([("n1", Seen.OPEN)], [("n1", Seen.NOT_RUN)], ["n1"]),
    ([("n1", BAD)], [("n1", Seen.REFUSED)], []),
    ([("n1", BAD)], [("n1", BAD), ("n2", BAD)], []),
    ([("n1", Seen.NOT_RUN)], [("n1", BAD)], []),
    ([("n1", Seen.OPEN), ("n2", BAD)], [("n1", BAD), ("n2", BAD)], ["n1"]),
    ([("n1", Seen.OPEN), ("n2", BAD)], [("n3", BAD), ("n4", Seen.OPEN)], []),
    ([("n1", Seen.OPEN), ("n2", BAD)], [("n3", BAD), ("n4", BAD)], ["n4"]),
    ([("n1", Seen.OPEN), ("n2", Seen.OPEN)], [("n3", BAD), ("n4", Seen.OPEN)], ["n3"]),
    ([], [("n1", BAD)], []),
    ([("n1", Seen.OPEN)], [], []),
]


@pytest.mark.parametrize(("before", "now", "expected"), COMPARED)
def test_only_what_worked_can_be_worse(before, now, expected):
    worse = worse_probes([result(*entry) for entry in before], [result(*entry) for entry in now])

    assert [found.source for found in worse] == expected


def test_a_policy_that_no_longer_denies_is_worse():
    before, now = result(kind=ProbeKind.DENIED, seen=BAD), result(kind=ProbeKind.DENIED, seen=Seen.OPEN)

    (worse,) = worse_probes([before], [now])

    assert worse.outcome == "saw an open connection where no connection was expected"


def test_kinds_and_outside_addresses_are_compared_for_themselves():
    before = [result(kind=ProbeKind.EGRESS, target="a:1"), result(kind=ProbeKind.EGRESS, target="b:1", seen=BAD)]
    now = [result(kind=ProbeKind.EGRESS, target=target, seen=BAD) for target in ("a:1", "b:1")]
    other = [result(kind=ProbeKind.DNS, seen=BAD)]

    assert [found.target for found in worse_probes(before, [*now, *other])] == ["a:1"]


def test_a_tally_counts_what_is_as_it_should_be():
    results = [result(), result(seen=BAD), result(kind=ProbeKind.DENIED, seen=BAD)]

    assert tally(results) == "probes of the network: 2 of 3 as they should be"


def pod(status):
    return narrowing.probe_pod({"metadata": {"name": "client"}, "status": status})


ENDS = [
    ({"phase": "Succeeded"}, Seen.OPEN),
    ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"message": "TIMEOUT\n"}}}]}, Seen.TIMEOUT),
    ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137}}}]}, Seen.OTHER),
    (
        {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"reason": "StartError", "message": "x"}}}]},
        Seen.NOT_RUN,
    ),
    ({"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected"}, Seen.NOT_RUN),
    (
        {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
        Seen.NOT_RUN,
    ),
    ({"phase": "Pending"}, Seen.NOT_RUN),
]


@pytest.mark.parametrize(("status", "seen"), ENDS)
def test_how_a_pod_ends(status, seen):
    assert pod(status).end[0] is seen


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]},
            "ImagePullBackOff: no such image",
        ),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "too full"}
                ]
            },
            "Unschedulable: too full",
        ),
    ],
)
def test_pods_that_will_not_run_are_not_waited_for(status, trouble):
    found = pod(status)

    assert (found.has_ended, found.trouble) == (True, trouble)


def test_a_pod_that_is_starting_is_waited_for():
    assert not pod({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}).has_ended
    assert not pod({"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}).has_ended


BODIES = [
    probe_pods.server_pod(Server("n1"), name=probe_pods.server_name(ID, 3), migration_id=ID, image="agnhost"),
    probe_pods.client_pod(
        "10.0.0.1:8080", node="n1", name=probe_pods.client_name(ID, 139, 2), migration_id=ID, image="agnhost"
    ),
]


@pytest.mark.parametrize("body", BODIES)
def test_pods_fit_the_restricted_profile(body):
    """Kubernetes documentation, Pod Security Standards: every control of the restricted profile."""
    spec = body["spec"]
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not {"volumes", "hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all("hostPort" not in port for port in container.get("ports", ()))


@pytest.mark.parametrize(
    "body",
    [*BODIES, *probe_pods.policies(ID), *(probe_pods.service(ID, headless=headless) for headless in (True, False))],
)
def test_everything_says_whose_it_is_and_has_a_name_that_may_be(body):
    metadata = body["metadata"]

    assert metadata["namespace"] == "cni-migration-probes"
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "kkp-cni-migration"
    assert metadata["labels"]["cni-migration/id"] == ID
    assert ID in metadata["name"]
    assert len(metadata["name"]) <= 63
    assert metadata["name"][0].isalpha()  # a Service's has to be: RFC 1035


def test_a_client_asks_as_agnhost_wants_it():
    assert BODIES[1]["spec"]["containers"][0]["args"] == [
        "connect",
        "10.0.0.1:8080",
        "--timeout=3s",
        "--protocol=tcp",
    ]


def test_only_clients_get_to_the_guarded_server_and_nobody_to_the_closed_one():
    closed, guarded = (body["spec"] for body in probe_pods.policies(ID))

    assert closed == {
        "podSelector": {"matchLabels": {"cni-migration/probe": "closed"}},
        "policyTypes": ["Ingress"],
        "ingress": [],
    }
    assert guarded["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"cni-migration/probe": "client"}}}]


def test_a_probe_names_where_it_went():
    assert Probe(ProbeKind.OTHER_NODE, "n1", server=Server("n2")).ended(Seen.OPEN).target == "n2"
    assert Probe(ProbeKind.EGRESS, "n1", "a:1").ended(Seen.OPEN).target == "a:1"

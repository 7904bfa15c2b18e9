import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.facts import EndpointFacts
from migration.models import BarePodChoice, CniType, JobChoice, Owner, RestartOptions
from migration.restart import is_on_cilium, plan_restart, pods_to_move
from tests.unit.making import make_pod

JOB = Owner(kind="Job", name="report")


def planned(*pods, endpoints=None, **options):
    return plan_restart(pods, endpoints or {}, RestartOptions(**options), target=CniType.CILIUM)


def restarted(plan):
    return [pod.key for wave in plan.waves for pod in wave.pods]


@pytest.mark.parametrize(
    "change",
    [
        {"host_network": True},
        {"mirror": True},
        {"phase": "Succeeded"},
        {"phase": "Failed"},
        {"deleting": True},
        {"addresses": ()},
    ],
)
def test_restart_leaves_alone_what_has_no_sandbox_to_move(change):
    assert restarted(planned(make_pod(**change))) == []


def test_restart_skips_a_pod_with_its_own_endpoint():
    assert restarted(planned(make_pod(), endpoints={"shop/web-1": EndpointFacts(frozenset({"172.25.0.7"}))})) == []


def test_restart_takes_a_pod_whose_endpoint_is_its_predecessors():
    pod = make_pod("data/db-0", owner=Owner(kind="StatefulSet", name="db"))

    assert restarted(planned(pod, endpoints={"data/db-0": EndpointFacts(frozenset({"172.25.0.99"}))})) == ["data/db-0"]


def test_restart_takes_what_is_removed_with_canal():
    """Its removal may wait for a window: until then Cilium would give its address to another pod of its node."""
    pod = make_pod("kube-system/calico-kube-controllers-1", labels={"k8s-app": "calico-kube-controllers"})

    assert restarted(planned(pod)) == [pod.key]


def test_konnectivity_comes_first_one_at_a_time_then_dns_then_webhooks_then_the_rest():
    pods = [
        make_pod("shop/web-1"),
        make_pod("policy/hook-1", owner=Owner(kind="Deployment", name="hook")),
        make_pod("kube-system/coredns-1", labels={"app": "coredns"}),
        make_pod("kube-system/konnectivity-agent-1", labels={"app": "konnectivity-agent"}),
    ]

    plan = plan_restart(
        pods, {}, RestartOptions(), target=CniType.CILIUM, webhook_backends=frozenset({"policy/Deployment/hook"})
    )

    assert [pod.key for wave in plan.waves for pod in wave.pods] == [
        "kube-system/konnectivity-agent-1",
        "kube-system/coredns-1",
        "policy/hook-1",
        "shop/web-1",
    ]
    assert [wave.one_at_a_time for wave in plan.waves] == [True, False, False, False]


def test_a_users_pod_with_the_label_of_a_platform_pod_is_nothing_special():
    plan = planned(make_pod("shop/konnectivity", labels={"app": "konnectivity-agent"}))

    assert [wave.name for wave in plan.waves] == ["everything else"]


@pytest.mark.parametrize(
    ("choice", "keys", "skipped"),
    [(BarePodChoice.RECREATE, ["shop/shell"], 0), (BarePodChoice.SKIP, [], 1), (BarePodChoice.FAIL, [], 1)],
)
def test_bare_pods_are_restarted_only_if_they_come_back(choice, keys, skipped):
    plan = planned(make_pod("shop/shell", owner=None), bare_pods=choice)

    assert (restarted(plan), len(plan.skipped)) == (keys, skipped)


@pytest.mark.parametrize(
    ("choice", "restarts", "skips", "waits"),
    [(JobChoice.WAIT, 0, 0, 1), (JobChoice.RESTART, 1, 0, 0), (JobChoice.SKIP, 0, 1, 0)],
)
def test_pods_of_jobs_follow_the_choice(choice, restarts, skips, waits):
    plan = planned(make_pod("batch/report-1", owner=JOB), jobs=choice)

    assert (plan.count, len(plan.skipped), len(plan.awaited)) == (restarts, skips, waits)


pods = st.lists(
    st.builds(
        lambda number, deleting, addresses, job, bare: make_pod(
            f"ns/p{number}",
            deleting=deleting,
            addresses=addresses,
            owner=None if bare else (JOB if job else Owner(kind="Deployment", name="web")),
        ),
        st.integers(0, 50),
        st.booleans(),
        st.sampled_from([(), ("10.0.0.1",), ("10.0.0.2",)]),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda pod: pod.key,
)
endpoints = st.dictionaries(
    st.integers(0, 50).map(lambda number: f"ns/p{number}"),
    st.sampled_from([EndpointFacts(frozenset({"10.0.0.1"})), EndpointFacts(frozenset())]),
)


@given(
    pods,
    endpoints,
    st.sampled_from(list(BarePodChoice)),
    st.sampled_from(list(JobChoice)),
    st.sampled_from([CniType.CILIUM, CniType.CANAL]),
)
def test_every_pod_to_be_moved_is_restarted_skipped_or_awaited_exactly_once(found, known, bare, jobs, target):
    plan = plan_restart(found, known, RestartOptions(bare_pods=bare, jobs=jobs), target=target)

    handled = [pod.uid for wave in plan.waves for pod in wave.pods]
    handled += [skipped.pod.uid for skipped in plan.skipped] + [pod.uid for pod in plan.awaited]
    assert sorted(handled) == sorted(pod.uid for pod in pods_to_move(found, known, target=target))
    to_cilium = target is CniType.CILIUM
    assert not any(is_on_cilium(pod, known) is to_cilium for wave in plan.waves for pod in wave.pods)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (None, False),
        (EndpointFacts(frozenset({"172.25.0.7"})), True),
        (EndpointFacts(frozenset({"172.25.0.99"})), False),
        (EndpointFacts(frozenset({"172.25.0.99"}), pod_uid="uid-of-shop/web-1"), True),
        (EndpointFacts(frozenset({"172.25.0.7"}), pod_uid="that of the pod before"), False),
    ],
)
def test_a_pod_is_on_cilium_if_the_endpoint_is_its_own(endpoint, expected):
    pod = make_pod("shop/web-1").model_copy(update={"uid": "uid-of-shop/web-1", "addresses": ("172.25.0.7",)})

    assert is_on_cilium(pod, {} if endpoint is None else {"shop/web-1": endpoint}) is expected


def test_back_to_canal_only_pods_of_cilium_are_restarted():
    mine, theirs = make_pod("shop/web-1"), make_pod("shop/web-2")
    known = {"shop/web-1": EndpointFacts(frozenset(mine.addresses))}

    plan = plan_restart([mine, theirs], known, RestartOptions(), target=CniType.CANAL)

    assert restarted(plan) == ["shop/web-1"]


def test_hubble_which_goes_with_cilium_is_not_restarted_onto_canal():
    pod = make_pod("kube-system/hubble-relay-1", labels={"k8s-app": "hubble-relay"})
    known = {pod.key: EndpointFacts(frozenset(pod.addresses))}

    assert plan_restart([pod], known, RestartOptions(), target=CniType.CANAL).count == 0


class TestToCanal:
    """Pods that have an endpoint are Cilium's, whether Cilium is still there or not."""

    def planned(self, *pods, endpoints=None, **options):
        known = {"shop/web-1": EndpointFacts(frozenset({"172.25.0.7"}))} if endpoints is None else endpoints
        return plan_restart(pods, known, RestartOptions(**options), target=CniType.CANAL)

    def test_a_pod_with_its_own_endpoint_is_moved(self):
        assert restarted(self.planned(make_pod())) == ["shop/web-1"]

    def test_a_pod_without_one_is_on_canal_already(self):
        assert restarted(self.planned(make_pod(), endpoints={})) == []

    def test_a_pod_whose_endpoint_is_its_predecessors_is_on_canal_already(self):
        theirs = EndpointFacts(frozenset({"172.25.0.7"}), "uid-of-the-one-before")

        assert restarted(self.planned(make_pod(), endpoints={"shop/web-1": theirs})) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"host_network": True},
            {"mirror": True},
            {"phase": "Succeeded"},
            {"deleting": True},
            {"addresses": ()},
        ],
    )
    def test_what_has_no_sandbox_to_move_is_left_alone(self, change):
        assert restarted(self.planned(make_pod(**change))) == []

    @pytest.mark.parametrize("name", ["hubble-relay", "hubble-ui", "hubble-generate-certs"])
    def test_what_goes_with_cilium_is_spared(self, name):
        pod = make_pod(f"kube-system/{name}-1", labels={"k8s-app": name})
        endpoints = {pod.key: EndpointFacts(frozenset({"172.25.0.7"}))}

        assert restarted(self.planned(pod, endpoints=endpoints)) == []

    def test_what_goes_with_canal_is_not(self):
        pod = make_pod("kube-system/calico-kube-controllers-1", labels={"k8s-app": "calico-kube-controllers"})
        endpoints = {pod.key: EndpointFacts(frozenset({"172.25.0.7"}))}

        assert restarted(self.planned(pod, endpoints=endpoints)) == [pod.key]

    def test_a_bare_pod_is_moved_only_if_it_can_be_made_anew(self):
        pod = make_pod(owner=None)

        assert restarted(self.planned(pod)) == [pod.key]
        assert [item.pod.key for item in self.planned(pod, bare_pods=BarePodChoice.SKIP).skipped] == [pod.key]

    def test_jobs_are_waited_for_or_not_as_on_the_way_there(self):
        pod = make_pod(owner=JOB)

        assert self.planned(pod).awaited == (pod,)
        assert restarted(self.planned(pod, jobs=JobChoice.RESTART)) == [pod.key]

from dataclasses import replace

import pytest

from migration.cilium import HELM_ATTEMPTS, ApplicationFacts, CiliumFacts, RolloutFacts, has_given_up, waits_for
from migration.errors import PlatformFailed

APPLICATION = ApplicationFacts(
    generation=2,
    version="1.19.4",
    ready="True",
    ready_reason="InstallationSuccessful",
    ready_message="install succeeded",
    ready_generation=2,
    helm_status="deployed",
    failures=0,
)
ROLLED_OUT = RolloutFacts(generation=1, observed_generation=1, desired=2, updated=2, ready=2)
SERVING = CiliumFacts(
    desired_version="1.19.4",
    unhealthy=(),
    application=APPLICATION,
    agents=ROLLED_OUT,
    operator=replace(ROLLED_OUT, desired=1, updated=1, ready=1),
    nodes=frozenset({"node-1", "node-2"}),
    cilium_nodes=frozenset({"node-1", "node-2"}),
    crashing=(),
)
INSTALLING = replace(APPLICATION, ready="Unknown", ready_reason="InstallationInProgress", helm_status="pending-install")
FAILED = replace(
    APPLICATION,
    ready="False",
    ready_reason="InstallationFailed",
    ready_message="timed out waiting for the condition\nsecond line",
    helm_status="",
    failures=2,
)
GIVEN_UP = replace(
    FAILED,
    ready_reason="InstallationFailedRetriesExceeded",
    ready_message="Max number of retries was exceeded. Last error: no such image\n",
    failures=HELM_ATTEMPTS,
)


def missing(**changes):
    return waits_for(replace(SERVING, **changes))


def test_nothing_is_missing_once_every_node_is_served():
    assert waits_for(SERVING) is None


WAITS = [
    (
        {"application": None, "unhealthy": ("controller=HealthStatusProvisioning",)},
        "the control plane to be healthy before KKP installs Cilium (controller=HealthStatusProvisioning)",
    ),
    ({"application": None}, "KKP to create the ApplicationInstallation kube-system/cilium"),
    (
        {"application": replace(APPLICATION, deleting=True)},
        "the ApplicationInstallation kube-system/cilium, which is being deleted, to be created anew",
    ),
    (
        {"application": replace(APPLICATION, version="1.18.10")},
        "KKP to set the ApplicationInstallation to 1.19.4 (it says 1.18.10)",
    ),
    ({"application": INSTALLING, "agents": None}, "Helm, attempt 1 of 6 (pending-install)"),
    (
        {"application": INSTALLING, "agents": replace(ROLLED_OUT, ready=1)},
        "Helm, attempt 1 of 6 (pending-install); 1 of 2 agents ready",
    ),
    ({"application": replace(APPLICATION, ready_generation=1), "agents": None}, "Helm, attempt 1 of 6 (deployed)"),
    (
        {"application": replace(APPLICATION, helm_status="", ready_reason=""), "agents": None},
        "Helm, attempt 1 of 6 (not started)",
    ),
    (
        {"application": FAILED, "agents": None},
        "Helm, attempt 3 of 6 (InstallationFailed); last failure: timed out waiting for the condition",
    ),
    (
        {"application": replace(FAILED, ready_message=" \n"), "agents": None},
        "Helm, attempt 3 of 6 (InstallationFailed)",
    ),
    (
        {"application": replace(FAILED, failures=9), "agents": None},
        "Helm, attempt 6 of 6 (InstallationFailed); last failure: timed out waiting for the condition",
    ),
    (
        {"application": INSTALLING, "agents": None, "crashing": ("cilium-x on node-1: CrashLoopBackOff, no port",)},
        "Helm, attempt 1 of 6 (pending-install); not starting: cilium-x on node-1: CrashLoopBackOff, no port",
    ),
    ({"agents": None}, "the cilium DaemonSet: 0 of 2 agents ready"),
    ({"agents": replace(ROLLED_OUT, ready=1)}, "the cilium DaemonSet: 1 of 2 agents ready"),
    ({"agents": replace(ROLLED_OUT, updated=1)}, "the cilium DaemonSet: 2 of 2 agents ready"),
    (
        {"agents": replace(ROLLED_OUT, desired=1, updated=1, ready=1)},
        "the cilium DaemonSet: 1 of 2 agents ready",
    ),
    (
        {"agents": replace(ROLLED_OUT, ready=0), "crashing": ("a", "b", "c")},
        "the cilium DaemonSet: 0 of 2 agents ready; not starting: a (and 2 more)",
    ),
    ({"operator": None}, "the Deployment cilium-operator to be available"),
    ({"operator": replace(ROLLED_OUT, ready=1)}, "the Deployment cilium-operator to be available"),
    ({"cilium_nodes": frozenset({"node-1"})}, "a CiliumNode for node-2"),
    (
        {
            "nodes": frozenset(f"node-{number}" for number in range(1, 6)),
            "agents": replace(ROLLED_OUT, desired=5, updated=5, ready=5),
            "cilium_nodes": frozenset(),
        },
        "a CiliumNode for node-1, node-2, node-3 and 2 more",
    ),
]


@pytest.mark.parametrize(("changes", "text"), WAITS)
def test_a_wait_names_the_gate_that_holds_things_up(changes, text):
    assert missing(**changes) == text


@pytest.mark.parametrize("part", ["agents", "operator"])
def test_counts_of_an_earlier_generation_prove_nothing(part):
    stale = replace(ROLLED_OUT, generation=2, observed_generation=1)

    assert missing(**{part: stale}) is not None


def test_a_control_plane_that_rolls_is_no_obstacle_once_the_application_is_there():
    assert missing(unhealthy=("controller=HealthStatusProvisioning",)) is None


def test_kkp_giving_up_ends_the_wait_with_its_own_words_and_what_to_do():
    with pytest.raises(PlatformFailed) as error:
        missing(application=GIVEN_UP)

    assert "after 6 attempts" in str(error.value)
    assert "Max number of retries was exceeded. Last error: no such image" in str(error.value)
    assert "start this flow again" in str(error.value)


@pytest.mark.parametrize(
    ("application", "given_up"),
    [
        (GIVEN_UP, True),
        (replace(GIVEN_UP, generation=3), False),
        (replace(GIVEN_UP, ready="Unknown"), False),
        (FAILED, False),
        (APPLICATION, False),
    ],
)
def test_only_the_present_generation_is_given_up(application, given_up):
    assert has_given_up(application) is given_up

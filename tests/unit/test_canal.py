import pytest

from migration.canal import CanalFacts, waits_for
from migration.cilium import RolloutFacts


def agents(*, desired=2, updated=2, ready=2, observed=3):
    return RolloutFacts(generation=3, observed_generation=observed, desired=desired, updated=updated, ready=ready)


def make_facts(**changes):
    fields = {
        "desired_version": "v3.30",
        "unhealthy": (),
        "pod_cidrs": {"node-1": "172.25.0.0/24", "node-2": "172.25.1.0/24"},
        "agents": agents(),
        "running_version": "v3.30.3",
        "crashing": (),
    }
    return CanalFacts(**{**fields, **changes})


def test_nothing_is_waited_for_when_every_node_has_a_range_and_a_ready_agent():
    assert waits_for(make_facts()) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"agents": None}, "KKP to apply the addon canal"),
        (
            {"agents": None, "unhealthy": ("controller=HealthStatusDown",)},
            "KKP to apply the addon canal (controller=HealthStatusDown)",
        ),
        ({"running_version": "v3.29.1"}, "KKP to set Canal to v3.30 (calico-node runs v3.29.1)"),
        ({"running_version": ""}, "KKP to set Canal to v3.30 (calico-node runs nothing)"),
        ({"running_version": "latest"}, "KKP to set Canal to v3.30 (calico-node runs latest)"),
        (
            {"pod_cidrs": {"node-2": "", "node-1": "172.25.0.0/24"}},
            "controller-manager to give a podCIDR to node-2",
        ),
        (
            {"pod_cidrs": {"node-1": ""}, "unhealthy": ("controller=HealthStatusProvisioning",)},
            "controller-manager to give a podCIDR to node-1 (controller=HealthStatusProvisioning)",
        ),
        ({"agents": agents(ready=1)}, "the canal DaemonSet: 1 of 2 agents ready"),
        ({"agents": agents(updated=1)}, "the canal DaemonSet: 2 of 2 agents ready"),
        ({"agents": agents(observed=2)}, "the canal DaemonSet: 2 of 2 agents ready"),
        ({"agents": agents(desired=1, updated=1, ready=1)}, "the canal DaemonSet: 1 of 2 agents ready"),
        (
            {
                "agents": agents(ready=0),
                "crashing": ("canal-a on node-1: Error, address in use", "canal-b on node-2: x"),
            },
            "the canal DaemonSet: 0 of 2 agents ready; not starting: canal-a on node-1: Error, address in use and 1 more",
        ),
    ],
)
def test_what_is_waited_for_is_told_in_one_sentence(changes, sentence):
    assert waits_for(make_facts(**changes)) == sentence


@pytest.mark.parametrize("running", ["v3.30", "v3.30.0", "v3.30.3", "3.30.1"])
def test_any_patch_of_a_version_is_that_version(running):
    assert waits_for(make_facts(running_version=running)) is None


def test_an_older_version_counts_before_a_missing_range():
    assert "calico-node runs v3.29.0" in str(waits_for(make_facts(running_version="v3.29.0", pod_cidrs={"node-1": ""})))

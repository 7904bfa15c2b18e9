import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.models import CniType, Severity
from migration.policies import Policy, PolicyChange, findings
from migration.policies.selectors import Selector
from migration.policies.workloads import Workloads
from tests.unit.making import make_pod
from tests.unit.making_policies import (
    CANAL,
    CILIUM,
    PODS,
    WEB,
    assert_says,
    block,
    calico,
    changes,
    cilium,
    ingress,
    kubernetes,
    one,
)


class TestUnreadable:
    @pytest.mark.parametrize(
        ("family", "policy"),
        [
            ("kubernetes", kubernetes({"podSelector": "all"})),
            ("kubernetes", kubernetes({"policyTypes": ["Sideways"]})),
            ("kubernetes", kubernetes(ingress(block("somewhere")))),
            ("calico", calico({"selector": "app = 'cache'"})),
            ("calico", calico({"ingress": [{"action": "Drop"}]})),
            ("calico", calico({"types": ["Sideways"]})),
            ("calico", calico([])),
            ("admin", Policy(kind="AdminNetworkPolicy", name="deny", spec={})),
            ("cilium", cilium(None)),
            ("cilium", cilium({"ingress": [{}]})),
            ("cilium", cilium({"endpointSelector": {"matchLabels": []}})),
        ],
    )
    @pytest.mark.parametrize("target", [CANAL, CILIUM])
    def test_a_policy_that_can_not_be_read_can_not_be_judged(self, family, policy, target):
        found = one(target, **{family: [policy]})
        assert (found.family, found.effect, found.workloads) == (family, "unclear", ())
        assert_says(found, "it can't be judged: ")


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
FIELDS = [
    "podSelector", "policyTypes", "ingress", "egress", "from", "to", "ports", "port", "endPort", "protocol",
    "ipBlock", "cidr", "except", "namespaceSelector", "matchLabels", "matchExpressions", "key", "operator",
    "values", "selector", "types", "action", "source", "destination", "nets", "tier", "doNotTrack",
    "serviceAccountSelector", "order", "subject", "pods", "namespaces", "endpointSelector", "nodeSelector",
    "ingressDeny", "toPorts", "rules", "http", "toCIDRSet", "cidrGroupRef", "selectors", "redirectBackend",
    "localEndpointSelector", "services", "name", "node", "interfaceName", "enableDefaultDeny", "defaultAction",
    "specs",
]  # fmt: skip
specs = st.recursive(
    json | st.sampled_from(["Ingress", "Egress", "In", "all()", "Allow", "10.0.0.0/8"]),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), children, max_size=5),
    max_leaves=25,
)
KINDS = {
    "kubernetes": ["NetworkPolicy"],
    "calico": ["NetworkPolicy", "GlobalNetworkPolicy", "StagedKubernetesNetworkPolicy", "Tier", "HostEndpoint", "NetworkSet"],
    "admin": ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"],
    "cilium": ["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "CiliumEgressGatewayPolicy", "CiliumEnvoyConfig", "CiliumLocalRedirectPolicy"],
}  # fmt: skip


@given(st.sampled_from([CANAL, CILIUM]), st.sampled_from(sorted(KINDS)), st.data())
def test_no_policy_makes_the_judgement_fail(target, family, data):
    policies = [
        Policy(
            kind=data.draw(st.sampled_from(KINDS[family])),
            namespace=data.draw(st.sampled_from(["", "shop"])),
            name=f"policy-{number}",
            spec=data.draw(specs),
            specs=data.draw(specs),
        )
        for number in range(2)
    ]
    assert all(finding.seen for finding in findings(changes(target, **{family: policies})))


def test_changes_are_sorted_and_the_same_each_time():
    policies = [calico({}, name=name) for name in ("b", "c", "a")]
    found = changes(calico=policies)
    assert [change.policy for change in found] == [f"Calico NetworkPolicy data/{name}" for name in "abc"]
    assert found == changes(calico=policies, pods=reversed(PODS))


def test_a_target_that_is_no_cni_is_refused():
    with pytest.raises(ValueError, match="Canal and for Cilium only"):
        changes(CniType.NONE)


CHANGE = PolicyChange(policy="Tier a", family="calico", effect="not-enforced", reason="why", workloads=(WEB,))


class Counted(Selector):
    """Selects by one label, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def matches(self, labels):
        self.asked += 1
        return labels["app"] == "app-1"

    def label_keys(self):
        return frozenset({"app"})


def test_pods_alike_are_asked_about_once():
    pods = [
        make_pod(f"shop/web-{number}", labels={"app": f"app-{number % 3}", "pod-template-hash": str(number)})
        for number in range(300)
    ]
    selector, workloads = Counted(), Workloads(pods, {})

    assert len(workloads.of(selector)) == 100
    assert selector.asked == 3


class TestFindings:
    @pytest.mark.parametrize(
        ("family", "code"),
        [
            ("calico", "calico-policy"),
            ("cilium", "cilium-policy"),
            ("admin", "admin-policy"),
            ("kubernetes", "policy-changes-meaning"),
        ],
    )
    def test_the_code_says_whose_policy_it_is(self, family, code):
        assert findings([dataclasses.replace(CHANGE, family=family)])[0].code == code

    @pytest.mark.parametrize(
        ("effect", "workloads", "severity"),
        [
            ("not-enforced", (WEB,), Severity.WARNING),
            ("not-enforced", (), Severity.INFO),
            ("starts", (WEB,), Severity.WARNING),
            ("changed", (WEB,), Severity.WARNING),
            ("changed", (), Severity.INFO),
            ("host-unprotected", (), Severity.WARNING),
            ("feature-lost", (), Severity.WARNING),
            ("unclear", (), Severity.WARNING),
            ("staged", (WEB,), Severity.INFO),
            ("host-networked", (WEB,), Severity.INFO),
            ("needs-setting", (WEB,), Severity.INFO),
            ("matches-nothing", (WEB,), Severity.INFO),
        ],
    )
    def test_it_is_a_warning_where_running_workloads_notice(self, effect, workloads, severity):
        changed = dataclasses.replace(CHANGE, effect=effect, workloads=workloads)
        assert findings([changed])[0].severity is severity

    def test_five_workloads_are_named_and_the_others_counted(self):
        names = tuple(f"shop/Deployment/web-{number}" for number in range(7))
        found = findings([dataclasses.replace(CHANGE, workloads=names)])[0]
        assert found.subject == "Tier a"
        assert found.seen == f"why (workloads selected: {', '.join(names[:5])} and 2 more)"

import pytest

from migration.policies import Policy
from tests.unit.making_policies import (
    CACHE,
    CANAL,
    CILIUM,
    DENY_ALL,
    LEDGER,
    WEB,
    Json,
    assert_says,
    calico,
    changes,
    cilium,
    kubernetes,
    one,
)


class TestCalicoToCilium:
    def test_a_policy_that_allows_leaves_its_workloads_open(self):
        spec = {"selector": "app == 'cache'", "types": ["Ingress"], "ingress": [{"action": "Allow", "protocol": "TCP"}]}
        found = one(calico=[calico(spec)])

        assert found.policy == "Calico NetworkPolicy data/cache"
        assert (found.effect, found.workloads) == ("not-enforced", (CACHE,))
        assert_says(found, "Cilium doesn't enforce it; today it matches ingress by 1 Allow rule")
        assert_says(found, "the end of tier default denies the rest")
        assert_says(found, f"no policy that stays isolates {CACHE}: open to all ingress traffic afterwards")

    def test_workloads_that_a_kubernetes_policy_isolates_as_well_stay_closed(self):
        spec = {"selector": "app == 'cache'", "types": ["Ingress"]}
        found = one(calico=[calico(spec)], kubernetes=[kubernetes(DENY_ALL, namespace="data")])
        assert "afterwards" not in found.reason

    def test_a_kubernetes_policy_by_a_label_that_cilium_does_not_see_keeps_nobody_closed(self):
        selector = {"matchLabels": {"statefulset.kubernetes.io/pod-name": "cache-0"}}
        found = changes(calico=[calico({})], kubernetes=[kubernetes({"podSelector": selector}, namespace="data")])
        assert_says(next(change for change in found if change.family == "calico"), "open to all ingress traffic")

    def test_a_policy_that_denies_and_allows_the_rest_opens_only_what_it_denied(self):
        spec = {
            "selector": "all()",
            "types": ["Egress"],
            "egress": [{"action": "Deny", "destination": {"nets": ["169.254.169.254/32"]}}, {"action": "Allow"}],
        }
        found = one(calico=[calico(spec, kind="GlobalNetworkPolicy", name="deny-metadata")])

        assert found.policy == "GlobalNetworkPolicy deny-metadata"
        assert found.workloads == (CACHE, LEDGER, WEB)
        assert_says(found, r"1 Deny rule\(s\) \(denied: 169.254.169.254/32\), and allows the rest$")

    @pytest.mark.parametrize(
        ("spec", "workloads"),
        [
            ({"selector": "app in {'web', 'ledger'}"}, (LEDGER, WEB)),
            ({"namespaceSelector": "team == 'a'"}, (CACHE, WEB)),
            ({"namespaceSelector": "projectcalico.org/name == 'shop'"}, (WEB,)),
            ({"selector": "projectcalico.org/namespace != 'shop'"}, (CACHE, LEDGER)),
            ({"namespaceSelector": "global()"}, ()),
            ({"selector": "app == 'agent'"}, ()),
        ],
    )
    def test_a_global_policy_selects_pods_by_their_labels_and_namespaces(self, spec, workloads):
        assert one(calico=[calico(spec, kind="GlobalNetworkPolicy")]).workloads == workloads

    @pytest.mark.parametrize(
        "spec", [{"serviceAccountSelector": "role == 'db'"}, {"selector": "projectcalico.org/serviceaccount == 'db'"}]
    )
    def test_a_policy_by_service_account_says_that_it_can_not_be_told(self, spec):
        found = one(calico=[calico(spec)])
        assert found.workloads == (CACHE,)
        assert_says(found, "by ServiceAccount: which of these workloads it means can't be told")

    @pytest.mark.parametrize(
        "kind", ["StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy"]
    )
    @pytest.mark.parametrize("target", [CANAL, CILIUM])
    def test_a_staged_policy_enforces_nothing_on_either(self, kind, target):
        assert one(target, calico=[calico({}, kind=kind)]).effect == "staged"

    def test_a_tier_is_told_with_its_policies(self):
        in_tier = calico({"tier": "security"}, name="security.cache")
        found = changes(calico=[calico({"order": 1}, kind="Tier", name="security"), in_tier])

        tier = next(change for change in found if change.policy == "Tier security")
        assert tier.workloads == (CACHE,)
        assert_says(tier, r"order of its 1 policies .*data/security.cache")
        assert_says(found[0], "to the end of tier security, which denies it")

    def test_a_tier_that_passes_on_isolates_nobody(self):
        tier = calico({"defaultAction": "Pass"}, kind="Tier", name="security")
        found = changes(calico=[tier, calico({"tier": "security"})])
        assert not any("afterwards" in change.reason for change in found)

    @pytest.mark.parametrize(
        ("policy_kind", "asked", "named"),
        [
            ("NetworkPolicy", {"selector": "list == 'bad'"}, "own-hosts"),
            ("NetworkPolicy", {"selector": "list == 'bad'", "namespaceSelector": "global()"}, "bad-hosts"),
            ("NetworkPolicy", {"selector": "list == 'bad'", "namespaceSelector": "team == 'a'"}, "own-hosts"),
            ("GlobalNetworkPolicy", {"selector": "list == 'bad'"}, "bad-hosts, own-hosts"),
        ],
    )
    def test_network_sets_that_rules_refer_to_are_named(self, policy_kind, asked, named):
        sets = [
            calico({}, kind="GlobalNetworkSet", name="bad-hosts", labels={"list": "bad"}),
            calico({}, kind="GlobalNetworkSet", name="good-hosts", labels={"list": "good"}),
            calico({}, kind="NetworkSet", name="own-hosts", labels={"list": "bad"}),
        ]
        spec = {"egress": [{"action": "Deny", "destination": asked}]}
        assert_says(one(calico=[calico(spec, kind=policy_kind), *sets]), rf"refers to network sets \({named}\)")

    @pytest.mark.parametrize(
        ("spec", "directions"),
        [
            ({}, "ingress"),
            ({"ingress": []}, "ingress"),
            ({"egress": [{"action": "Log"}]}, "egress"),
            ({"ingress": [{"action": "Log"}], "egress": [{"action": "Log"}]}, "ingress and egress"),
            ({"types": ["Egress"], "ingress": [{"action": "Log"}]}, "egress"),
        ],
    )
    def test_absent_types_follow_from_the_rules(self, spec, directions):
        assert_says(one(calico=[calico(spec)]), f"open to all {directions} traffic afterwards")

    def test_a_host_endpoint_that_can_not_be_read_can_not_be_judged(self):
        assert one(calico=[calico({"node": 1}, kind="HostEndpoint")]).effect == "unclear"

    def test_host_endpoints_lose_their_guard(self):
        endpoint = calico(
            {"node": "node-1", "interfaceName": "eth0"}, kind="HostEndpoint", name="one", labels={"edge": "y"}
        )
        policies = [calico({"selector": "has(edge)", "preDNAT": True}, kind="GlobalNetworkPolicy", name="edge")]
        found = changes(calico=[endpoint, *policies])

        guarded = next(change for change in found if change.effect == "host-unprotected")
        assert guarded.policy == "HostEndpoint one"
        assert_says(guarded, "interface eth0 of node node-1 is guarded by edge: on Cilium by nothing")
        assert_says(found[0], r"for host endpoints \(preDNAT\)")

    def test_policies_left_from_a_time_on_cilium_start(self):
        found = one(cilium=[cilium({"endpointSelector": {}, "ingress": [{}]})])
        assert (found.effect, found.workloads) == ("starts", (CACHE,))
        assert_says(found, "nobody enforces it today, Cilium will: it denies all ingress")


class TestAdmin:
    @pytest.mark.parametrize(
        ("subject", "workloads"),
        [
            ({"namespaces": {}}, (CACHE, LEDGER, WEB)),
            ({"namespaces": {"matchLabels": {"team": "b"}}}, (LEDGER,)),
            ({"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}}, (WEB,)),
        ],
    )
    def test_cilium_does_not_enforce_policies_of_administrators(self, subject, workloads):
        spec = {"subject": subject, "ingress": [{"action": "Deny"}, {"action": "Pass"}, {"action": "Deny"}]}
        found = one(admin=[Policy(kind="AdminNetworkPolicy", name="deny", spec=spec)])

        assert (found.policy, found.effect, found.workloads) == ("AdminNetworkPolicy deny", "not-enforced", workloads)
        assert_says(found, r"decides before all NetworkPolicies \(ingress: 2 Deny and 1 Pass rule")

    def test_calico_starts_to(self):
        spec: Json = {"subject": {"namespaces": {}}}
        found = one(CANAL, admin=[Policy(kind="BaselineAdminNetworkPolicy", name="default", spec=spec)])
        assert found.effect == "starts"

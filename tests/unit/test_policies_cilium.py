import pytest

from tests.unit.making_policies import (
    CACHE,
    CANAL,
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


class TestCiliumToCanal:
    def test_a_default_deny_of_cilium_alone_leaves_its_workloads_open(self):
        found = one(CANAL, cilium=[cilium({"endpointSelector": {}, "ingress": [{}], "egress": [{}]})])

        assert (found.policy, found.effect) == ("CiliumNetworkPolicy data/cache", "not-enforced")
        assert_says(found, "Canal doesn't enforce it; today it denies all ingress and denies all egress")
        assert_says(found, f"no policy that stays isolates {CACHE}: open to all ingress and egress traffic afterwards")

    def test_workloads_stay_closed_where_a_policy_stays(self):
        spec: Json = {"endpointSelector": {}, "ingress": [{}]}
        by_kubernetes = changes(CANAL, cilium=[cilium(spec)], kubernetes=[kubernetes({}, namespace="data")])
        by_calico = changes(CANAL, cilium=[cilium(spec)], calico=[calico({})])
        assert not any("afterwards" in change.reason for change in (*by_kubernetes, *by_calico))

    def test_no_workload_is_open_that_the_policy_did_not_isolate(self):
        spec: Json = {
            "endpointSelector": {},
            "egressDeny": [{"toCIDR": ["1.1.1.1/32"]}],
            "enableDefaultDeny": {"egress": False},
        }
        found = one(CANAL, cilium=[cilium(spec)])
        assert "afterwards" not in found.reason
        assert_says(found, r"decides egress by 1 deny rule\(s\)$")

    @pytest.mark.parametrize(
        ("selector", "workloads"),
        [
            ({}, (CACHE, LEDGER, WEB)),
            ({"matchLabels": {"k8s:app": "web"}}, (WEB,)),
            ({"matchLabels": {"io.kubernetes.pod.namespace": "payments"}}, (LEDGER,)),
            ({"matchLabels": {"k8s:io.cilium.k8s.namespace.labels.team": "a"}}, (CACHE, WEB)),
            ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, (CACHE, LEDGER)),
            ({"matchLabels": {"reserved:host": ""}}, ()),
        ],
    )
    def test_a_clusterwide_policy_selects_pods_by_labels_with_their_source(self, selector, workloads):
        policy = cilium({"endpointSelector": selector, "ingress": []}, kind="CiliumClusterwideNetworkPolicy")
        assert one(CANAL, cilium=[policy]).workloads == workloads

    def test_rules_in_specs_count_as_well(self):
        policy = cilium(None, specs=[{"endpointSelector": {"matchLabels": {"app": "cache"}}, "ingress": [{}]}])
        assert one(CANAL, cilium=[policy]).workloads == (CACHE,)

    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            ({"egress": [{"toFQDNs": [{"matchName": "example.org"}]}]}, "DNS names"),
            ({"egress": [{"toEntities": ["world"]}]}, "entities"),
            ({"egress": [{"toCIDRSet": [{"cidrGroupRef": "partners"}]}]}, "CiliumCIDRGroup partners"),
            ({"ingress": [{"toPorts": [{"rules": {"http": [{"method": "GET"}]}}]}]}, "HTTP rules"),
            ({"ingress": [{"toPorts": [{"rules": {"kafka": [{"role": "produce"}]}}]}]}, "Kafka rules"),
            ({"egress": [{"toPorts": [{"rules": {"dns": [{"matchPattern": "*"}]}}]}]}, "DNS rules"),
            ({"ingressDeny": [{"fromEntities": ["world"]}]}, "1 deny rule.*denying the rest with entities"),
        ],
    )
    def test_what_canal_has_nothing_for_is_named(self, rule, words):
        assert_says(one(CANAL, cilium=[cilium({"endpointSelector": {}, **rule})]), words)

    def test_the_host_firewall_is_lost(self):
        policy = cilium({"nodeSelector": {}, "ingress": [{}]}, kind="CiliumClusterwideNetworkPolicy", name="hosts")
        found = one(CANAL, cilium=[policy])
        assert (found.effect, found.workloads) == ("host-unprotected", ())
        assert_says(found, r"today it denies all ingress; it is for nodes \(host firewall\)$")

    @pytest.mark.parametrize(
        ("kind", "spec", "workloads", "words"),
        [
            (
                "CiliumEgressGatewayPolicy",
                {"selectors": [{"podSelector": {"matchLabels": {"app": "web"}}}]},
                (WEB,),
                "it leaves with the address of each pod's own node",
            ),
            (
                "CiliumLocalRedirectPolicy",
                {"redirectBackend": {"localEndpointSelector": {"matchLabels": {"app": "cache"}}}},
                (CACHE,),
                "redirects traffic",
            ),
            ("CiliumEnvoyConfig", {"services": [{"name": "web"}]}, (), r"through Envoy \(Services: web\)"),
            ("CiliumLoadBalancerIPPool", {"blocks": []}, (), "type LoadBalancer their addresses"),
            ("CiliumBGPClusterConfig", {}, (), "tells routers"),
            ("CiliumSomethingNew", {}, (), "read by Cilium alone"),
        ],
    )
    def test_features_that_canal_does_not_have_are_told(self, kind, spec, workloads, words):
        found = one(CANAL, cilium=[cilium(spec, kind=kind)])
        assert (found.effect, found.workloads) == ("feature-lost", workloads)
        assert_says(found, words)

    def test_calico_policies_start_again(self):
        assert one(CANAL, calico=[calico({})]).effect == "starts"

import pytest

from tests.unit.making_policies import (
    CANAL,
    CILIUM,
    DENY_ALL,
    WEB,
    assert_says,
    block,
    changes,
    egress,
    ingress,
    kubernetes,
    one,
)


class TestKubernetes:
    @pytest.mark.parametrize("target", [CANAL, CILIUM])
    @pytest.mark.parametrize(
        "spec",
        [
            DENY_ALL,
            {},
            ingress({"podSelector": {"matchLabels": {"app": "web"}}}),
            ingress({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "batch"}}}),
            ingress(block("8.8.8.8/32")),
            egress(block("0.0.0.0/0", "172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8")),
            egress(block("0.0.0.0/0", "192.168.1.10/32"), {"namespaceSelector": {}}),
            {"podSelector": {}, "egress": [{"to": [block("0.0.0.0/0")]}, {}]},
            # A rule of a direction that is not enforced.
            {"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"to": [block("172.25.0.0/16")]}]},
            ingress(ports=[{"port": 80, "protocol": "TCP"}, {"port": 8000, "endPort": 8100}]),
            ingress(ports=[{"port": "http"}]),
        ],
    )
    def test_a_policy_that_both_read_alike_yields_nothing(self, spec, target):
        assert changes(target, kubernetes=[kubernetes(spec)]) == ()

    @pytest.mark.parametrize(
        ("spec", "effect", "words"),
        [
            (
                ingress(block("172.25.3.0/24")),
                "changed",
                "172.25.3.0/24 covers addresses of pods, which it no longer lets",
            ),
            (ingress(block("172.25.3.0/24")), "changed", "and the rule has no other peers"),
            (ingress(block("192.168.1.0/24")), "changed", "covers addresses of nodes.*policyCIDRMatchMode"),
            (
                ingress(block("0.0.0.0/0")),
                "changed",
                "0.0.0.0/0 no longer means everybody, pods and nodes are not in it",
            ),
            (egress(block("0.0.0.0/0", "192.168.0.0/16")), "changed", "no longer means everybody, pods are not in it"),
            (
                egress(block("10.240.16.10/32")),
                "matches-nothing",
                "addresses of Services, which neither CNI ever compares",
            ),
            (ingress(ports=[{"port": 5060, "protocol": "SCTP"}]), "changed", "SCTP only with sctp.enabled"),
            (egress(ports=[{"port": "http"}]), "unclear", "the port name http lets nothing through on Cilium if pods"),
            (egress(block("169.254.20.10/32")), "needs-setting", "node-local-dns by its address: .*exclude-local-addr"),
            (
                {"podSelector": {"matchLabels": {"pod-template-hash": "5c9d"}}},
                "changed",
                r"podSelector asks for labels that Cilium does not see \(pod-template-hash\)",
            ),
            (
                ingress({"podSelector": {"matchLabels": {"statefulset.kubernetes.io/pod-name": "cache-0"}}}),
                "changed",
                "ingress rule 1 asks for labels that Cilium does not see",
            ),
        ],
    )
    def test_what_cilium_reads_otherwise_is_told(self, spec, effect, words):
        found = one(kubernetes=[kubernetes(spec)])

        assert found.policy == "NetworkPolicy shop/frontend"
        assert (found.family, found.effect, found.workloads) == ("kubernetes", effect, (WEB,))
        assert_says(found, words)

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            (ingress(block("0.0.0.0/0")), "0.0.0.0/0 covers addresses of pods and nodes, to which it begins to apply"),
            (
                ingress(block("172.25.3.0/24")),
                "covers addresses of pods, to which it begins to apply: it lets more through",
            ),
            (
                {"podSelector": {"matchLabels": {"pod-template-hash": "5c9d"}}},
                "labels that Cilium did not see but Canal does",
            ),
        ],
    )
    def test_what_canal_reads_otherwise_is_told(self, spec, words):
        assert_says(one(CANAL, kubernetes=[kubernetes(spec)]), words)

    def test_a_block_of_which_the_exceptions_leave_no_pod_is_the_same_on_both(self):
        spec = ingress(block("172.25.0.0/16", "172.25.0.0/17", "172.25.128.0/17"))
        assert changes(kubernetes=[kubernetes(spec)]) == ()

    def test_pods_that_another_rule_lets_in_by_the_same_ports_are_no_loss(self):
        ports = [{"port": 80}]
        by_address = {"from": [block("172.25.0.0/16")], "ports": ports}
        wider = {"from": [{"namespaceSelector": {}}], "ports": [*ports, {"port": 81}]}
        other = {"from": [{"namespaceSelector": {}}], "ports": [{"port": 81}]}
        assert changes(kubernetes=[kubernetes({"podSelector": {}, "ingress": [by_address, wider]})]) == ()
        assert len(changes(kubernetes=[kubernetes({"podSelector": {}, "ingress": [by_address, other]})])) == 1

    @pytest.mark.parametrize(
        ("version", "told"), [("1.15.8", "Cilium has only the first"), ("1.16.0", ""), ("", r"Cilium \(before 1.16\)")]
    )
    def test_ranges_of_ports_are_lost_on_cilium_before_1_16(self, version, told):
        spec = ingress(ports=[{"port": 8000, "endPort": 8100}])
        found = changes(kubernetes=[kubernetes(spec)], cilium_version=version)
        if told:
            assert_says(found[0], told)
        assert bool(found) is bool(told)

    def test_pods_on_the_host_network_are_told_apart(self):
        found = one(kubernetes=[kubernetes(DENY_ALL, namespace="kube-system", name="default-deny")])
        assert (found.effect, found.workloads) == ("host-networked", ("kube-system/DaemonSet/agent",))

    def test_several_reasons_of_one_effect_are_one_change(self):
        spec = ingress(block("172.25.3.0/24"), ports=[{"port": 1, "protocol": "SCTP"}])
        assert_says(one(kubernetes=[kubernetes(spec)]), "covers addresses of pods.*; .*SCTP")

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.errors import InvalidRequest
from migration.manifest_findings import ManifestFacts, OldCniFacts, manifest_findings
from migration.manifests import Manifested
from migration.models import CniType, Finding, Severity
from migration.removal_plans import Refused, another_owner, left_behind, removal_plan

RBAC = "rbac.authorization.k8s.io/v1"
API = {
    "DaemonSet": "apps/v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "PodDisruptionBudget": "policy/v1beta1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Role": RBAC,
    "RoleBinding": RBAC,
    "ClusterRole": RBAC,
    "ClusterRoleBinding": RBAC,
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "FelixConfiguration": "crd.projectcalico.org/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
}


def named(text):
    """`Kind namespace/name` or `Kind name`, as an object of the version that manifests have."""
    kind, _, place = text.partition(" ")
    namespace, _, name = place.rpartition("/")
    return Manifested(API.get(kind, "v1"), kind, namespace, name)


def plan(*texts, cni=CniType.CANAL, **options):
    return removal_plan([named(text) for text in texts], old_cni=cni, source="the.yaml", **options)


# What docs.projectcalico.org/v3.21/manifests/canal.yaml names, in its order.
CANAL = (
    "ConfigMap kube-system/canal-config",
    "CustomResourceDefinition ippools.crd.projectcalico.org",
    "CustomResourceDefinition networkpolicies.crd.projectcalico.org",
    "ClusterRole calico-kube-controllers",
    "ClusterRoleBinding calico-kube-controllers",
    "ClusterRole calico-node",
    "ClusterRole flannel",
    "ClusterRoleBinding canal-flannel",
    "ClusterRoleBinding canal-calico",
    "DaemonSet kube-system/canal",
    "ServiceAccount kube-system/canal",
    "Deployment kube-system/calico-kube-controllers",
    "ServiceAccount kube-system/calico-kube-controllers",
    "PodDisruptionBudget kube-system/calico-kube-controllers",
)
# What `helm template cilium cilium/cilium` renders: with certificates, a hook, a namespace, and namespaces left out.
CILIUM = (
    "Namespace cilium-secrets",
    "ServiceAccount cilium",
    "ServiceAccount cilium-operator",
    "Secret cilium-ca",
    "Secret hubble-server-certs",
    "ConfigMap cilium-config",
    "ClusterRole cilium",
    "ClusterRoleBinding cilium",
    "Role cilium-config-agent",
    "Role cilium-secrets/cilium-tlsinterception-secrets",
    "RoleBinding cilium-secrets/cilium-tlsinterception-secrets",
    "Service hubble-peer",
    "DaemonSet cilium",
    "Deployment cilium-operator",
    "Job hubble-generate-certs",
    "ServiceMonitor monitoring/cilium-agent",
)


def test_canals_own_manifest_goes_workloads_first_and_definitions_apart():
    found = plan(*CANAL)

    assert [str(item) for item in found.objects] == [
        "DaemonSet kube-system/canal",
        "Deployment kube-system/calico-kube-controllers",
        "PodDisruptionBudget kube-system/calico-kube-controllers",
        "ConfigMap kube-system/canal-config",
        "ClusterRoleBinding calico-kube-controllers",
        "ClusterRoleBinding canal-calico",
        "ClusterRoleBinding canal-flannel",
        "ClusterRole calico-kube-controllers",
        "ClusterRole calico-node",
        "ClusterRole flannel",
        "ServiceAccount kube-system/calico-kube-controllers",
        "ServiceAccount kube-system/canal",
    ]
    assert [item.name.partition(".")[0] for item in found.definitions] == ["ippools", "networkpolicies"]
    assert found.refused == ()


def test_a_rendered_chart_goes_but_for_its_namespace_and_what_says_no_namespace_is_in_kube_system():
    found = plan(*CILIUM, cni=CniType.CILIUM)

    assert [str(item) for item in found.objects] == [
        "DaemonSet kube-system/cilium",
        "Deployment kube-system/cilium-operator",
        "Job kube-system/hubble-generate-certs",
        "Service kube-system/hubble-peer",
        "ConfigMap kube-system/cilium-config",
        "Secret kube-system/cilium-ca",
        "Secret kube-system/hubble-server-certs",
        "ServiceMonitor monitoring/cilium-agent",
        "RoleBinding cilium-secrets/cilium-tlsinterception-secrets",
        "ClusterRoleBinding cilium",
        "Role cilium-secrets/cilium-tlsinterception-secrets",
        "Role kube-system/cilium-config-agent",
        "ClusterRole cilium",
        "ServiceAccount kube-system/cilium",
        "ServiceAccount kube-system/cilium-operator",
    ]
    assert [str(item.what) for item in found.refused] == ["Namespace cilium-secrets"]


def test_another_namespace_may_be_the_one_that_is_meant():
    found = plan("DaemonSet cilium", "ClusterRole cilium", cni=CniType.CILIUM, default_namespace="cilium")

    assert [str(item) for item in found.objects] == ["DaemonSet cilium/cilium", "ClusterRole cilium"]


STAYS = (
    ("Namespace kube-system", "never removed"),
    ("Namespace default", "never removed"),
    ("Namespace canal", "never removed"),
    ("Node canal", "never removed"),
    ("PersistentVolume canal", "never removed"),
    ("PersistentVolumeClaim kube-system/canal", "never removed"),
    ("Pod kube-system/canal-x7k2p", "pods go with what made them"),
    ("Secret kube-system/canal-certs", "no certificate of canal"),
    ("ConfigMap kube-system/shop-config", "not one of canal's"),
    ("ConfigMap kube-system/canalisation", "not one of canal's"),
    ("ConfigMap kube-system/my-canal", "not one of canal's"),
    ("ClusterRole cluster-admin", "not one of canal's"),
    ("ServiceAccount kube-system/default", "not one of canal's"),
    ("ClusterRole cilium", "not one of canal's"),
    ("ValidatingWebhookConfiguration calico", "canal brings no ValidatingWebhookConfiguration"),
    ("FelixConfiguration default", "goes with its definition"),
    ("CustomResourceDefinition ciliumnodes.cilium.io", "defines nothing of canal"),
    ("CustomResourceDefinition gateways.gateway.networking.k8s.io", "defines nothing of canal"),
    ("CustomResourceDefinition shops.fake-crd.projectcalico.org", "defines nothing of canal"),
)


@pytest.mark.parametrize(("text", "reason"), STAYS)
def test_what_is_not_surely_the_old_cnis_stays_with_its_reason(text, reason):
    found = plan(text, "DaemonSet kube-system/canal")

    assert [str(item) for item in found.objects] == ["DaemonSet kube-system/canal"]
    assert found.definitions == ()
    (refused,) = found.refused
    assert refused.what == named(text)
    assert reason in refused.reason


@pytest.mark.parametrize("name", ["hubble-server-certs", "hubble-relay-client-certs", "hubble-ca-secret", "cilium-ca"])
def test_ciliums_certificates_go(name):
    assert plan(f"Secret {name}", cni=CniType.CILIUM).refused == ()


@pytest.mark.parametrize("name", ["cilium-ipsec-keys", "cilium-clustermesh", "sh.helm.release.v1.cilium.v1", "shop"])
def test_other_secrets_stay(name):
    assert plan(f"Secret {name}", cni=CniType.CILIUM).objects == ()


WRONG = (
    ("DaemonSet kube-system/kube-proxy", CniType.CANAL, "KKP needs"),
    ("ConfigMap kube-system/kube-proxy", CniType.CILIUM, "KKP needs"),
    ("Deployment kube-system/coredns", CniType.CANAL, "KKP needs"),
    ("Service kube-system/kube-dns", CniType.CANAL, "KKP needs"),
    ("Deployment kube-system/konnectivity-agent", CniType.CILIUM, "KKP needs"),
    ("DaemonSet kube-system/node-local-dns", CniType.CANAL, "KKP needs"),
    ("ConfigMap kube-system/cni-migration", CniType.CANAL, "KKP needs"),
    ("Secret kube-system/cni-migration-20260101000000-abc123-canal-0", CniType.CILIUM, "KKP needs"),
    ("ClusterRoleBinding kubeadm:node-proxier", CniType.CANAL, "KKP needs"),
    ("ClusterRole system:node", CniType.CANAL, "KKP needs"),
    ("CustomResourceDefinition machinedeployments.cluster.k8s.io", CniType.CANAL, "KKP needs"),
    ("CustomResourceDefinition applicationinstallations.apps.kubermatic.k8c.io", CniType.CANAL, "KKP needs"),
    ("DaemonSet kube-system/cilium", CniType.CANAL, "is not of canal"),
    ("Deployment kube-system/hubble-relay", CniType.CANAL, "is not of canal"),
    ("DaemonSet kube-system/canal", CniType.CILIUM, "is not of cilium"),
)


@pytest.mark.parametrize(("text", "cni", "message"), WRONG)
def test_a_manifest_that_can_not_be_the_right_one_is_refused_as_a_whole(text, cni, message):
    good = CANAL if cni is CniType.CANAL else CILIUM

    with pytest.raises(InvalidRequest, match=message) as caught:
        plan(*good, text, cni=cni)

    assert text in str(caught.value)
    assert "nothing of it is removed" in str(caught.value)


OBJECTS = st.builds(
    Manifested,
    st.sampled_from(sorted(set(API.values()) | {"v1"})),
    st.sampled_from([*API, "ConfigMap", "Secret", "Namespace", "Node", "Pod", "Service", "ServiceAccount"]),
    st.sampled_from(["", "kube-system", "shop"]),
    st.sampled_from(["canal", "calico-node", "cilium", "hubble-server-certs", "kube-system", "shop", "flannel"])
    | st.from_regex(r"[a-z]{1,8}\.crd\.projectcalico\.org", fullmatch=True),
)


@given(st.lists(OBJECTS), st.sampled_from([CniType.CANAL, CniType.CILIUM]))
def test_whatever_is_named_goes_only_under_a_name_of_the_cni(manifested, cni):
    try:
        found = removal_plan(manifested, old_cni=cni, source="x")
    except InvalidRequest:
        return
    words = {CniType.CANAL: "canal|calico|flannel", CniType.CILIUM: "cilium|hubble"}[cni]
    assert all(re.match(words, item.name) for item in found.objects)
    assert not {"Namespace", "Node", "Pod"} & {item.kind for item in found.objects}
    assert len({(item.what) for item in found.refused} | set(manifested)) == len(set(manifested))


OWNED: tuple[tuple[Any, ...], ...] = (
    ({}, {}, (), None),
    ({"kubermatic-addon": "canal"}, {}, (), None),
    ({"kubermatic-addon": "kube-proxy"}, {}, (), "addon kube-proxy"),
    ({"app.kubernetes.io/managed-by": "Helm"}, {"meta.helm.sh/release-name": "shop"}, (), "the Helm release shop"),
    ({}, {"meta.helm.sh/release-name": "canal"}, (), None),
    ({}, {"meta.helm.sh/release-name": "kube-system-calico"}, (), None),
    ({}, {"meta.helm.sh/release-name": "kube-system-cilium"}, (), "the Helm release kube-system-cilium"),
    ({}, {}, ("Installation default",), "Installation default controls it"),
)


@pytest.mark.parametrize(("labels", "annotations", "controllers", "owner"), OWNED)
def test_another_owner_is_known_by_its_marks(labels, annotations, controllers, owner):
    found = another_owner(labels=labels, annotations=annotations, controllers=controllers, old_cni=CniType.CANAL)

    assert found == owner or (owner and found.endswith(owner))


@pytest.mark.parametrize(
    ("what", "advice"),
    [
        ("Namespace cilium-secrets", "kubectl delete namespace cilium-secrets"),
        ("Namespace kube-system", "It is left as it is."),
        ("Node a", "It is left as it is."),
        ("ConfigMap shop/a", "remove it by hand"),
    ],
)
def test_what_stays_is_told_with_what_to_do(what, advice):
    found = left_behind(Refused(named(what), "for a reason").what, "for a reason")

    assert (found.code, found.severity, found.subject) == ("manifest-leaves", Severity.INFO, what)
    assert advice in found.advice


LEFT = Finding(code="manifest-leaves", severity=Severity.INFO, subject="x", seen="y", advice="z")
AGENT = "DaemonSet kube-system/canal"


def facts(unlabelled=(), **manifest):
    made = ManifestFacts(source="the.yaml", **manifest) if manifest else None
    return OldCniFacts(old_cni=CniType.CANAL, unlabelled=unlabelled, manifest=made)


CHECKS: tuple[tuple[Any, ...], ...] = (
    ("KKP's own, no manifest", facts(), []),
    ("installed by hand, no manifest", facts((AGENT,)), ["old-cni-unlabelled"]),
    ("installed by hand, named", facts((AGENT,), objects=(AGENT,)), ["manifest-removes"]),
    (
        "installed by hand, another named",
        facts((AGENT,), objects=("ConfigMap kube-system/canal-config",)),
        ["old-cni-unlabelled", "manifest-removes"],
    ),
    ("a manifest that can't be used", facts(problem="no YAML"), ["manifest-unusable"]),
    ("nothing of it is there", facts(objects=()), ["manifest-matches-nothing"]),
    ("something stays", facts(objects=(AGENT,), left=(LEFT,)), ["manifest-removes", "manifest-leaves"]),
    (
        "the agents are somebody else's",
        facts((AGENT,), workloads_left=(AGENT,), left=(LEFT,)),
        ["old-cni-unlabelled", "manifest-of-another-owner", "manifest-leaves"],
    ),
)


@pytest.mark.parametrize(("given", "codes"), [row[1:] for row in CHECKS], ids=[row[0] for row in CHECKS])
def test_a_check_tells_what_a_manifest_would_do(given, codes):
    assert [finding.code for finding in manifest_findings(given)] == codes


def test_the_dry_run_names_every_object_that_goes():
    (found,) = manifest_findings(facts(objects=tuple(f"ConfigMap kube-system/canal-{n}" for n in range(40))))

    assert all(f"canal-{n}" in found.seen for n in range(40))

"""What the webhook refuses of ApplicationInstallations (docs/platform.md 1.4)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lab.apiserver.patches.merge import merge_patch
from lab.apiserver.server import ApiServer
from lab.errors import ApiError
from lab.faults import Faults
from lab.objects import Object
from lab.platform.kkp import register_user_cluster_admission, user_cluster_definitions
from lab.platform.kkp.values import as_block
from lab.resources import APPLICATION_INSTALLATIONS

VALUES = {
    "cni": {"exclusive": False},
    "ipam": {"operator": {"clusterPoolIPv4PodCIDRList": ["172.25.0.0/16"]}},
    "kubeProxyReplacement": "false",
    "operator": {"replicas": 1, "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
}
EXEMPT = {"cni": {"chainingMode": "portmap"}, "ipam": {"operator": {"clusterPoolIPv4MaskSize": 24}}}


def _installation(helm_values: Object = VALUES, **spec: Any) -> Object:
    return {
        "metadata": {
            "name": "cilium",
            "namespace": "kube-system",
            "labels": {"apps.kubermatic.k8c.io/managed-by": "kkp", "apps.kubermatic.k8c.io/type": "cni"},
        },
        "spec": {
            "applicationRef": {"name": "cilium", "version": "1.18.10"},
            "namespace": {"name": "kube-system", "create": False},
            "deployOptions": {"helm": {"atomic": True, "wait": True, "timeout": "10m0s"}},
            "valuesBlock": as_block(helm_values),
            **spec,
        },
    }


@pytest.fixture
async def user() -> ApiServer:
    server = ApiServer("hv2c7xk9tl", tokens={}, faults=Faults())
    register_user_cluster_admission(server)
    for resource, body in user_cluster_definitions():
        await server.client.create(resource, body)
    return server


@pytest.mark.parametrize(
    ("spec", "violation"),
    [
        (
            {"applicationRef": {"name": "cilium", "version": "1.99.0"}},
            'spec.applicationRef.version: Not found: "1.99.0"',
        ),
        ({"applicationRef": {"name": "istio", "version": "1.0.0"}}, 'spec.applicationRef.name: Not found: "istio"'),
        (
            {"deployOptions": {"helm": {"atomic": True}}},
            "spec.deployOptions.helm: Forbidden: if atomic=true then wait must also be true",
        ),
        (
            {"deployOptions": {"helm": {"wait": True}}},
            "spec.deployOptions.helm: Forbidden: if wait = true then timeout must be greater than 0",
        ),
        (
            {"values": {"a": 1}},
            "spec.values: Forbidden: only values or valuesBlock can be set, but not both simultaneously",
        ),
    ],
)
async def test_creation_is_refused(user: ApiServer, spec: Object, violation: str):
    with pytest.raises(ApiError) as refused:
        await user.client.create(APPLICATION_INSTALLATIONS, _installation(**spec))
    assert refused.value.code == 403
    uid = r"[0-9a-f-]{36}"
    prefix = 'admission webhook "applicationinstallations.apps.kubermatic.k8c.io" denied the request: '
    body = rf"ApplicationInstallation validation request {uid} denied for ApplicationInstallation kube-system/cilium"
    assert re.fullmatch(rf"{re.escape(prefix)}{body} with error: \[{re.escape(violation)}\]", refused.value.message)


@pytest.mark.parametrize(
    ("patch", "violation"),
    [
        ({"spec": {"namespace": {"name": "other"}}}, 'spec.namespace.name: Invalid value: "other": field is immutable'),
        ({"spec": {"namespace": {"create": True}}}, "spec.namespace.create: Invalid value: true: field is immutable"),
        (
            {"metadata": {"labels": {"apps.kubermatic.k8c.io/managed-by": None}}},
            'label "apps.kubermatic.k8c.io/managed-by" is immutable',
        ),
        (
            {"metadata": {"labels": {"apps.kubermatic.k8c.io/type": "x"}}},
            'label "apps.kubermatic.k8c.io/type" is immutable',
        ),
        ({"cni": {"exclusive": True}}, 'spec.values.cni: Invalid value: {"exclusive":true}: value is immutable'),
        ({"ipam": None}, "spec.values.ipam: Invalid value: null: value is immutable"),
        ({"kubeProxyReplacement": None}, "spec.values: Required value: value kubeProxyReplacement is mandatory"),
        (
            {"operator": {"securityContext": None}},
            "spec.values.operator.securityContext: Invalid value: null: value is immutable",
        ),
    ],
)
async def test_update_is_refused(user: ApiServer, patch: Object, violation: str):
    await user.client.create(APPLICATION_INSTALLATIONS, _installation())
    if not patch.keys() & {"spec", "metadata"}:
        patch = {"spec": {"valuesBlock": as_block(merge_patch(VALUES, patch))}}
    with pytest.raises(ApiError) as refused:
        await user.client.patch(APPLICATION_INSTALLATIONS, "cilium", patch, namespace="kube-system")
    assert violation in refused.value.message


@pytest.mark.parametrize(
    "change", [{"cni": {"exclusive": True}}, {"ipam": {"mode": "kubernetes"}}, {"tunnelPort": 8473}]
)
async def test_values_that_kkp_exempts_may_change(user: ApiServer, change: Object):
    values = merge_patch(VALUES, EXEMPT)
    await user.client.create(APPLICATION_INSTALLATIONS, _installation(values))
    patch = {"spec": {"valuesBlock": as_block(merge_patch(values, change))}}
    changed = await user.client.patch(APPLICATION_INSTALLATIONS, "cilium", patch, namespace="kube-system")
    assert changed["metadata"]["generation"] == 2


async def test_cilium_may_always_be_deleted(user: ApiServer):
    await user.client.create(APPLICATION_INSTALLATIONS, _installation())
    await user.client.delete(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")

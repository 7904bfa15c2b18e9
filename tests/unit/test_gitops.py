"""Who keeps an object, by the marks of GitOps tools."""

import pytest

from migration.gitops import gitops_owner

FLUX = "kustomize.toolkit.fluxcd.io"


@pytest.mark.parametrize(
    ("labels", "annotations", "owner"),
    [
        ({}, {"argocd.argoproj.io/tracking-id": "net:apps/DaemonSet:kube-system/canal"}, "Argo CD application net"),
        ({"argocd.argoproj.io/instance": "net"}, {}, "Argo CD application net"),
        ({f"{FLUX}/name": "net", f"{FLUX}/namespace": "flux-system"}, {}, "Flux Kustomization flux-system/net"),
        ({f"{FLUX}/name": "net"}, {}, "Flux Kustomization net"),
        ({"helm.toolkit.fluxcd.io/name": "net", "helm.toolkit.fluxcd.io/namespace": "a"}, {}, "Flux HelmRelease a/net"),
        ({"app.kubernetes.io/instance": "net"}, {}, ""),
        ({"kubermatic-addon": "canal"}, {"meta.helm.sh/release-name": "x"}, ""),
    ],
)
def test_the_owner_is_named_by_its_own_marks(labels, annotations, owner):
    assert gitops_owner(labels, annotations) == owner

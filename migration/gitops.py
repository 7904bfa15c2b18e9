"""Which GitOps tool keeps an object, by what these tools write on it: it would change back what a migration changes."""

from __future__ import annotations

from collections.abc import Mapping

# Argo CD, "Resource Tracking": annotation (default since 3.0) or label; its former default label is Helm's as well.
ARGO_ANNOTATION = "argocd.argoproj.io/tracking-id"
ARGO_LABEL = "argocd.argoproj.io/instance"
# Flux, kustomize-controller and helm-controller: origin labels.
FLUX_LABELS = {"kustomize.toolkit.fluxcd.io": "Kustomization", "helm.toolkit.fluxcd.io": "HelmRelease"}


def gitops_owner(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Return the Argo CD application or Flux object that an object belongs to; empty if none is known."""
    if tracking := annotations.get(ARGO_ANNOTATION):
        return f"Argo CD application {tracking.partition(':')[0]}"
    if instance := labels.get(ARGO_LABEL):
        return f"Argo CD application {instance}"
    for prefix, kind in FLUX_LABELS.items():
        if name := labels.get(f"{prefix}/name"):
            return f"Flux {kind} {labels.get(f'{prefix}/namespace', '')}/{name}".replace(" /", " ")
    return ""

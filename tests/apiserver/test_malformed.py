"""Bodies of built-in kinds with a value that a field can't hold: refused by both, and nothing is stored."""

import pytest

BODIES = [
    ("secrets", {"apiVersion": 1, "kind": "Secret", "metadata": {"name": "odd"}}),
    ("events", {"metadata": {"name": "odd"}, "involvedObject": {"namespace": "default"}, "count": "x"}),
    ("events", {"metadata": {"name": "odd"}, "involvedObject": {"namespace": "default"}, "lastTimestamp": "x"}),
    ("endpointslices", {"metadata": {"name": "odd"}, "addressType": "IPv4", "endpoints": [1], "ports": [1]}),
    ("leases", {"metadata": {"name": "odd"}, "spec": 1}),
    ("leases", {"metadata": {"name": "odd"}, "spec": {"renewTime": []}}),
    ("pods", {"metadata": {"name": "odd"}, "spec": {"containers": [], "automountServiceAccountToken": 1}}),
    ("pods", {"metadata": {"name": "odd"}, "spec": {"containers": [], "priority": 1 << 70}}),
]
GROUPS = {"endpointslices": "apis/discovery.k8s.io/v1", "leases": "apis/coordination.k8s.io/v1"}


@pytest.mark.parametrize(("plural", "body"), BODIES)
def test_what_a_field_can_t_hold_is_a_bad_request(api, namespace, plural, body):
    path = f"/{GROUPS.get(plural, 'api/v1')}/namespaces/{namespace}/{plural}"

    refused = api.post(path, json=body)

    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")
    assert api.get(f"{path}/odd").status_code == 404

from typing import Any

import pytest
import yaml

from migration.models import Network
from migration.patches import INITIAL_VALUES, network_patch, removal_values, tunnel_port, values_spec
from tests.unit.making import CANAL, CILIUM, make_cluster


@pytest.mark.parametrize(
    ("values", "port"), [({}, 8472), ({"tunnelPort": 0}, 8472), ({"tunnelPort": 8999}, 8999), ({"tunnelPort": "1"}, 1)]
)
def test_no_port_means_flannels(values, port):
    assert tunnel_port(values) == port


@pytest.mark.parametrize(
    ("values", "port"),
    [({}, 8473), ({"tunnelPort": 0}, 8473), ({"tunnelPort": 8472}, 8473), ({"tunnelPort": 8999}, 8999)],
)
def test_a_tunnel_moves_only_from_flannels_port(values, port):
    assert removal_values(values, uninstall=False)["tunnelPort"] == port


@pytest.mark.parametrize(
    ("values", "cni"),
    [
        ({}, {"uninstall": True}),
        ({"cni": None}, {"uninstall": True}),
        ({"cni": {"exclusive": False, "uninstall": False}}, {"exclusive": False, "uninstall": True}),
    ],
)
def test_agents_are_told_to_take_their_file_along_and_nothing_else_of_the_cni_changes(values, cni):
    assert removal_values(values, uninstall=True)["cni"] == cni


def test_without_uninstall_the_cni_s_values_are_left_alone():
    values = {"cni": {"exclusive": False}, "tunnelPort": 8999}

    assert removal_values(values, uninstall=False) == values


def test_values_are_not_changed_in_place():
    values: dict[str, Any] = {"cni": {"exclusive": False}}

    removal_values(values, uninstall=True)

    assert values == {"cni": {"exclusive": False}}


def test_values_go_where_the_object_has_its_own():
    values = {"tunnelPort": 8473, "note": "yes: no"}

    assert values_spec(values, in_block=False) == {"values": values}
    block = values_spec(values, in_block=True)
    assert set(block) == {"valuesBlock"}
    assert yaml.safe_load(block["valuesBlock"]) == values


@pytest.mark.parametrize(("values", "annotation"), [({"b": 2, "a": 1}, '{"a": 1, "b": 2}'), (None, None)])
def test_a_new_cni_takes_the_values_of_before_away(values, annotation):
    patch = network_patch(make_cluster(), Network(cni=CILIUM, proxy_mode="iptables"), values)

    assert patch["spec"] == {"cniPlugin": {"type": "cilium", "version": "1.19.4"}}
    assert patch["metadata"] == {"resourceVersion": "1", "annotations": {INITIAL_VALUES: annotation}}


def test_cni_and_mode_change_together():
    cluster = make_cluster(cni=CILIUM, proxy_mode="ebpf")

    patch = network_patch(cluster, Network(cni=CANAL, proxy_mode="ipvs"), None)

    cni = {"type": "canal", "version": "v3.30"}
    assert patch["spec"] == {"cniPlugin": cni, "clusterNetwork": {"proxyMode": "ipvs"}}


def test_a_new_mode_alone_touches_no_values():
    patch = network_patch(make_cluster(), Network(cni=CANAL, proxy_mode="ipvs"), None)

    assert patch == {"metadata": {"resourceVersion": "1"}, "spec": {"clusterNetwork": {"proxyMode": "ipvs"}}}

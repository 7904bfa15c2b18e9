import pytest

from migration.models import CniType, ProxyMode
from migration.proxy_mode import configured_mode, modes_of, replaces_kube_proxy


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ("kind: KubeProxyConfiguration\nmode: ipvs\n", "ipvs"),
        ('mode: "nftables"\n', "nftables"),
        ("  mode: iptables", "iptables"),
        ('mode: ""\n', "iptables"),
        ("mode:\nmetricsBindAddress: x\n", "iptables"),
        ("", "iptables"),
        ("# mode: ipvs\nmode: nftables\n", "nftables"),
        ("detectLocalMode: ClusterCIDR\nmode: ipvs\n", "ipvs"),
        ("iptables:\n  masqueradeAll: false\nipvs:\n  scheduler: rr\n", "iptables"),
    ],
)
def test_the_mode_is_read_from_kube_proxys_configuration(config, mode):
    assert configured_mode(config) == mode


@pytest.mark.parametrize("value", ["true", "True", "strict"])
def test_these_words_mean_that_cilium_takes_kube_proxys_place(value):
    assert replaces_kube_proxy(value)


@pytest.mark.parametrize("value", ["false", "", "disabled", "probe", "partial"])
def test_these_words_mean_that_it_does_not(value):
    assert not replaces_kube_proxy(value)


def test_only_canal_can_not_do_without_kube_proxy():
    assert set(modes_of(CniType.CILIUM)) == set(ProxyMode)
    assert set(modes_of(CniType.CANAL)) == set(ProxyMode) - {ProxyMode.EBPF}

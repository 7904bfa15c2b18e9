import pytest

from migration.errors import InvalidRequest
from migration.versions import (
    addon_cilium_versions,
    canal_versions,
    initial_helm_values,
    is_before_applications,
    is_installable_cilium,
    kkp_release,
    newest,
    parse_version,
)


@pytest.mark.parametrize(
    ("text", "parsed"), [("1.19.4", (1, 19, 4)), ("v3.30", (3, 30, 0)), ("v1.11", (1, 11, 0)), ("1.13.0", (1, 13, 0))]
)
def test_versions_of_both_cnis_are_understood(text, parsed):
    assert parse_version(text) == parsed


@pytest.mark.parametrize("text", ["", "latest", "1", "1.19.4-rc1", "1.19.4; rm -rf", "\u0661.\u0662"])
def test_nonsense_is_refused_by_name(text):
    with pytest.raises(InvalidRequest, match="not a CNI version"):
        parse_version(text)


@pytest.mark.parametrize(
    ("version", "installable"), [("v1.11", False), ("v1.12", False), ("1.13.0", True), ("1.19.4", True)]
)
def test_cilium_before_it_was_an_application_is_not_installable(version, installable):
    assert is_installable_cilium(version) is installable


def test_newest_orders_by_number_and_not_by_letter():
    assert newest(("1.9.0", "1.19.4", "1.18.10", "1.18.8"), count=2) == ("1.19.4", "1.18.10")


def test_initial_values_repeat_the_defaults_that_they_replace():
    values = initial_helm_values({"operator": {"replicas": 1}}, 8473)

    assert values == {"operator": {"replicas": 1}, "tunnelPort": 8473}


@pytest.mark.parametrize(
    ("text", "release"),
    [("v2.31.0", (2, 31)), ("2.20.16", (2, 20)), ("v2.31.0-3-g2974df5b", (2, 31)), ("", None), ("weekly", None)],
)
def test_a_release_of_kkp_is_told_by_its_version(text, release):
    assert kkp_release(text) == release


@pytest.mark.parametrize(
    ("kubermatic_version", "is_before", "cilium", "canal"),
    [
        ("v2.19.9", True, ("v1.11",), "v3.21"),
        ("v2.20.16", True, ("v1.11",), "v3.22"),
        ("v2.21.0", True, ("v1.11", "v1.12"), "v3.23"),
        ("v2.22.0", False, (), "v3.31"),
        ("", False, (), "v3.31"),
    ],
)
def test_what_a_kkp_knows_depends_on_its_release(kubermatic_version, is_before, cilium, canal):
    assert is_before_applications(kubermatic_version) is is_before
    assert addon_cilium_versions(kubermatic_version) == cilium
    assert canal_versions(kubermatic_version).offered[-1] == canal

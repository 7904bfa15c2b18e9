import pytest

from migration.errors import InvalidRequest
from migration.versions import initial_helm_values, is_installable_cilium, newest, parse_version


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

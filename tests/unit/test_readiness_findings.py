"""Every finding has a case in which it fires and one in which it is silent, with each severity that it can have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from migration.models import Severity
from migration.readiness import blockers, findings
from migration.readiness.codes import SEVERITIES
from tests.unit.making import make_node
from tests.unit.readiness_cases import FIRING, SILENT, SOUND, Case, to_canal, to_cilium

DOCS = Path(__file__).parents[2] / "docs/findings.md"
SOURCES = (Path(__file__).parents[2] / "migration/readiness").glob("*.py")
# What a sound cluster is told all the same: no API shows it.
REMINDERS = {"tunnel-port", "quota-unseen"}


def codes(case: Case) -> set[str]:
    return {finding.code for finding in findings(case.survey, case.request)}


@pytest.mark.parametrize(("code", "severity", "case"), FIRING, ids=[f"{row[0]}-{n}" for n, row in enumerate(FIRING)])
def test_it_fires(code, severity, case):
    found = [finding for finding in findings(case.survey, case.request) if finding.code == code]

    assert {finding.severity for finding in found} == {severity}
    assert all(finding.subject and finding.seen and finding.advice for finding in found)


@pytest.mark.parametrize(("code", "severity", "case"), FIRING, ids=[f"{row[0]}-{n}" for n, row in enumerate(FIRING)])
def test_a_blocker_can_be_accepted_by_its_code(code, severity, case):
    found = findings(case.survey, case.request)

    assert (code in {finding.code for finding in blockers(found, ())}) is (severity is Severity.BLOCKER)
    assert code not in {finding.code for finding in blockers(found, [code])}


@pytest.mark.parametrize(("code", "case"), SILENT, ids=[f"{row[0]}-{n}" for n, row in enumerate(SILENT)])
def test_it_is_silent(code, case):
    assert code not in codes(case)


@pytest.mark.parametrize("case", SOUND, ids=["to-cilium", "to-canal", "to-ebpf"])
def test_a_sound_cluster_is_told_nothing_but_what_no_api_shows(case):
    assert codes(case) <= REMINDERS


def test_every_code_fires_with_each_of_its_severities_somewhere():
    fired = {(code, severity) for code, severity, _ in FIRING}

    assert fired == {(code, severity) for code, severities in SEVERITIES.items() for severity in severities}


@pytest.mark.parametrize("code", sorted(SEVERITIES))
def test_every_code_is_silent_somewhere(code):
    assert any(code not in codes(case) for case in (*SOUND, *(case for one, case in SILENT if one == code)))


def test_no_rule_has_a_code_that_the_list_lacks():
    written = re.findall(
        r"""(?:blocker|warning|info|make|code=)\(?\s*"([a-z]+(?:-[a-z]+)+)",""", "".join(map(Path.read_text, SOURCES))
    )

    assert len(written) > 50
    assert set(written) <= set(SEVERITIES)


def test_the_documentation_lists_every_code_with_its_severities():
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \| (.+) \| (.+) \|$", DOCS.read_text(), re.MULTILINE)

    documented = {code: tuple(severities.split(", ")) for code, severities, _, _ in rows}
    assert documented == {code: tuple(map(str, severities)) for code, severities in SEVERITIES.items()}
    assert len(rows) == len(documented)


def test_all_findings_come_at_once_blockers_first():
    found = findings(*vars(to_cilium(nodes=(), unseen=("x",), denied=("y", "z"))).values())

    severities = [finding.severity for finding in found]
    assert severities == sorted(severities, key=[Severity.BLOCKER, Severity.WARNING, Severity.INFO].index)
    assert [finding.code for finding in found].count("permission-missing") == 2


def test_a_hundred_unowned_nodes_are_one_finding_where_nothing_replaces_any():
    nodes = tuple(make_node(f"node-{number}", owned_by_machine=False) for number in range(100))
    case = to_canal(machine_deployments=(), nodes=nodes)

    found = [finding for finding in findings(case.survey, case.request) if finding.severity is not Severity.INFO]
    assert [finding.code for finding in found] == ["no-machine-deployments"]

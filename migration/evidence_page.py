"""The evidence as one page that opens without tools or a network, with its JSON and the checksum of that. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from migration.changes import Difference
from migration.evidence import Evidence, sha256_of, to_json
from migration.report import merge_outages

_SCRIPT: Final = re.compile(r'<script type="application/json" id="evidence">(.*?)</script>', re.DOTALL)
_SUM: Final = re.compile(r'<code id="sha256">([0-9a-f]{64})</code>')

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Evidence: migration {{ found.migration.id }} of {{ found.cluster }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1b1f24 }
h2 { margin-top: 2.2rem; border-bottom: 1px solid #d0d7de }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 }
th, td { text-align: left; vertical-align: top; border: 1px solid #d0d7de; padding: .25rem .5rem }
td { overflow-wrap: anywhere }
th { background: #f3f5f7 }
pre, code { font: 13px/1.4 ui-monospace, monospace }
pre { white-space: pre-wrap; background: #f6f8fa; padding: .7rem }
.gap { background: #fff3cd; padding: .3rem .6rem }
</style>
</head>
<body>
<h1>Migration {{ found.migration.id }} of {{ found.cluster }}</h1>
<table>
{% for name, value in facts %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
<p>SHA-256 of the machine-readable JSON in this file: <code id="sha256">{{ sha256 }}</code></p>
{% if found.gaps %}<h2>Gaps</h2>
{% for gap in found.gaps %}<p class="gap">{{ gap }}</p>
{% endfor %}{% endif %}
<h2>Runs that worked on it</h2>
<table><tr><th>Began</th><th>Run</th><th>Started by</th><th>Versions</th></tr>
{% for start in found.starts %}<tr><td>{{ start.at | moment }}</td><td>{{ start.run_name }} {{ start.run }}</td>\
<td>{{ start.started_by }}</td><td>{{ start.versions | words }}</td></tr>
{% endfor %}</table>
{% if found.prefect_runs %}<h3>As the Prefect server has them</h3>
<table><tr><th>Run</th><th>State</th><th>From, to</th><th>Created by</th><th>States</th></tr>
{% for run in found.prefect_runs %}<tr><td>{{ run.name }} {{ run.id }} {{ run.address }}</td><td>{{ run.state }}</td>\
<td>{{ run.started | moment }}, {{ run.ended | moment }}</td><td>{{ run.created_by }}</td>\
<td>{% for line in run.states %}{{ line }}<br>{% endfor %}</td></tr>
{% endfor %}</table>{% endif %}
<h2>Approvals</h2>
{% for step in found.approvals %}<p>{{ step.finished_at | moment }}: {{ step.summary }}</p>
{% else %}<p>None was asked for.</p>
{% endfor %}
<h2>Steps</h2>
<table><tr><th>Step</th><th>Outcome</th><th>Began</th><th>Seconds</th><th>Outage (s)</th><th>What happened</th></tr>
{% for step in found.migration.steps %}<tr><td>{{ step.step }}</td><td>{{ step.status }}</td>\
<td>{{ step.started_at | moment }}</td><td>{{ '%.1f' % step.seconds }}</td><td>{{ '%.1f' % step.outage_seconds }}</td>\
<td>{{ step.summary }}</td></tr>
{% endfor %}</table>
<h2>Verification and report</h2>
{% if found.report %}<p>{{ found.report.outcome }}: {{ found.report.message }}</p>
{% else %}<p>No report is kept.</p>{% endif %}
{% if findings %}<table><tr><th>Severity</th><th>Code</th><th>Subject</th><th>Seen</th><th>Advice</th></tr>
{% for finding in findings %}<tr><td>{{ finding.severity }}{{ ', accepted' if finding.accepted }}</td>\
<td>{{ finding.code }}</td><td>{{ finding.subject }}</td><td>{{ finding.seen }}</td><td>{{ finding.advice }}</td></tr>
{% endfor %}</table>{% endif %}
{% if outages %}<table><tr><th>Workload</th><th>No ready pod (s)</th><th>Fewer than before (s)</th></tr>
{% for outage in outages %}<tr><td>{{ outage.workload }}</td><td>{{ '%.1f' % outage.down_seconds }}</td>\
<td>{{ '%.1f' % outage.degraded_seconds }}</td></tr>
{% endfor %}</table>{% endif %}
<h2>Backups</h2>
<table><tr><th>Name</th><th>Objects</th><th>Secrets in kube-system</th><th>SHA-256</th><th>Now</th></tr>
{% for backup in found.backups %}<tr><td>{{ backup.name }}</td><td>{{ backup.objects }}</td>\
<td>{{ backup.secrets | join(', ') }}</td><td><code>{{ backup.sha256 }}</code></td>\
<td>{{ 'matches its checksum' if backup.is_intact else backup.message }}</td></tr>
{% endfor %}</table>
<h2>Changes</h2>
<p>Every request that changed something, as it was answered. What was there before is what the step had read of the \
object last. Confidential values are checksums. What the old CNI consisted of is in the backups as well.</p>
<table><tr><th>When (UTC)</th><th>Step</th><th>Where</th><th>What</th><th>Before and after</th></tr>
{% for change in shown %}<tr><td>{{ change.at | moment }}</td><td>{{ change.step }}</td><td>{{ change.where }}</td>\
<td>{{ change.verb }} {{ change.place }}{{ '' if change.outcome == 'done' else ': ' + change.outcome }} \
{{ change.message }} {{ change.note }}</td>\
<td>{% for line in change.differences %}<div>{{ line | difference }}</div>{% endfor %}\
{{ 'and %d more' % change.left_out if change.left_out }}</td></tr>
{% endfor %}</table>
{% if pods %}<h3>Pods</h3>
<p>{{ pods | length }} requests. Their controllers made them anew.</p>
<details><summary>All of them</summary>
<table><tr><th>When (UTC)</th><th>Step</th><th>What</th><th>Pod</th><th>uid</th></tr>
{% for change in pods %}<tr><td>{{ change.at | moment }}</td><td>{{ change.step }}</td>\
<td>{{ change.verb }}{{ '' if change.outcome == 'done' else ': ' + change.outcome }}</td>\
<td>{{ change.namespace }}/{{ change.name }}</td><td>{{ change.uid }}</td></tr>
{% endfor %}</table></details>{% endif %}
{% if found.not_listed %}<p class="gap">{{ found.not_listed }} more changes are counted, and not listed.</p>{% endif %}
<h2>Plan and readiness at the start</h2>
<pre>{{ found.plan_of_the_start or 'None is kept.' }}</pre>
<h2>Order</h2>
{% for start in found.starts %}<pre>{{ start.request | pretty }}</pre>
{% endfor %}
<script type="application/json" id="evidence">{{ json }}</script>
</body>
</html>
"""


def to_page(found: Evidence) -> str:
    """Return the page, self-contained."""
    text = _in_html(to_json(found))
    changes = [change for change in found.changes if change.kind != "pods"]
    steps = found.migration.steps
    report = found.report
    return (
        _environment()
        .from_string(_PAGE)
        .render(
            found=found,
            facts=_facts(found),
            sha256=sha256_of(text),
            shown=changes,
            pods=[change for change in found.changes if change.kind == "pods"],
            findings=report.findings if report else tuple(one for step in steps for one in step.findings),
            outages=report.outage if report else merge_outages(steps),
            json=_Markup(text),
        )
    )


def json_of(page: str) -> tuple[str, bool]:
    """Return the JSON in a page, and whether it is what the page's checksum is of. Raises ValueError without one."""
    script, checksum = _SCRIPT.search(page), _SUM.search(page)
    if script is None or checksum is None:
        raise ValueError("this is no page of evidence: it has no JSON or no checksum")
    return script[1], sha256_of(script[1]) == checksum[1]


class _Markup(str):
    """Text that is markup already: jinja2 leaves it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def _in_html(text: str) -> str:
    """Return JSON that no parser of HTML takes for markup; it means the same."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _facts(found: Evidence) -> list[tuple[str, str]]:
    migration, report = found.migration, found.report
    outage = report.outage_seconds if report else sum(step.outage_seconds for step in migration.steps)
    ended = migration.finished_at
    return [
        ("Runbook", str(migration.kind)),
        ("From", str(migration.previous)),
        ("To", str(migration.desired)),
        ("Ordered by", migration.started_by),
        ("Began", _moment(migration.started_at)),
        ("Ended", _moment(ended) if ended else "not yet"),
        ("Took", f"{(ended - migration.started_at).total_seconds():.1f} s" if ended else ""),
        ("No ready pod, in at least one workload", f"{outage:.1f} s"),
        ("Takes back", migration.reverts or "nothing"),
        ("Taken back by", migration.reverted_by or "nothing"),
        ("Changes recorded", f"{len(found.changes) + found.not_listed}"),
        ("This file", f"made {_moment(found.made_at)} by {_words(found.versions)}"),
    ]


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    environment.filters.update(moment=_moment, words=_words, pretty=_pretty, difference=_difference)
    return environment


def _moment(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC" if when else ""


def _words(versions: Any) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _difference(line: Difference) -> str:
    path = (line.path or "the whole object") + ("" if line.was_asked else " (not asked for: the server's or others')")
    if line.op == "add":
        return f"{path}: came, {_value(line.after)}"
    if line.op == "remove":
        return f"{path}: went, was {_value(line.before)}"
    return f"{path}: {_value(line.before)} → {_value(line.after)}"


def _value(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)

"""The evidence of a migration: what its documents say together, as one page."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from migration.changes import Difference, RecordedChange
from migration.evidence import Document, evidence, sha256_of, to_json
from migration.evidence_page import json_of, to_page
from migration.evidence_summary import to_summary
from migration.journal import Migration, StoredBackup
from migration.models import ClusterRef, Cni, CniType, StepOutcome, StepStatus

BEGAN = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
REF = ClusterRef(seed="lab", name="abc")


def migration(**changes):
    fields = {
        "id": "20261123020000-abcdef",
        "started_at": BEGAN,
        "started_by": "night shift",
        "previous_cni": Cni(type=CniType.CANAL, version="v3.30"),
        "desired_cni": Cni(type=CniType.CILIUM, version="1.19.4"),
        "previous_proxy_mode": "ipvs",
        "label_was_there": False,
        "tunnel_port": 8473,
        "steps": (step("switch CNI"), step("approval", StepStatus.CONFIRMED, "approved by <Ada & Bob>")),
        "backups": (StoredBackup(name="baseline", secrets=("s-0",), sha256="0" * 64, objects=3),),
    }
    return Migration(**{**fields, **changes})


def step(name, status=StepStatus.CHANGED, summary="done"):
    return StepOutcome(step=name, status=status, summary=summary, started_at=BEGAN, finished_at=BEGAN)


def change(number=0, **fields):
    switched = Difference(op="replace", path="/spec/cniPlugin/type", before="canal", after="cilium</script><b>")
    known = {"step": "switch CNI", "where": "seed lab", "verb": "patch", "kind": "clusters", "name": "abc"}
    return RecordedChange(**{**known, "at": BEGAN + timedelta(seconds=number), "differences": (switched,), **fields})


def changes_document(*changes, step="switch CNI", **more):
    listed = [each.model_dump(mode="json", exclude_defaults=True) for each in changes]
    return Document(name=f"of {step}", part="changes", content={"step": step, "run": "r", "changes": listed, **more})


def start_document(**fields):
    known = {"at": BEGAN.isoformat(), "run": "r", "run_name": "night", "readiness_text": "# ready <i>"}
    return Document(name="a start", part="start", content={**known, **fields})


def collected(*documents, found=None, **more):
    return evidence(REF, found or migration(), documents, made_at=BEGAN, versions={"prefect": "3.8.8"}, **more)


def test_changes_of_all_documents_stand_in_the_order_of_time():
    found = collected(start_document(), changes_document(change(9)), changes_document(change(3), change(5)))

    assert [each.at for each in found.changes] == [BEGAN + timedelta(seconds=number) for number in (3, 5, 9)]
    assert found.gaps == ()


@pytest.mark.parametrize(
    ("documents", "gap"),
    [
        ((changes_document(change()),), "no plan of the start"),
        ((start_document(),), "step 'switch CNI' changed something, of which no record is kept"),
        ((Document(name="d", part="changes", content={}, damage="it can't be read (error)"),), "d: it can't be read"),
        ((start_document(invented=1),), "a start: written by another version"),
        ((Document(name="d", part="changes", content={"changes": 3}),), "d: written by another version"),
    ],
)
def test_what_is_missing_is_told(documents, gap):
    assert any(gap in line for line in collected(*documents).gaps)


def test_a_finished_migration_without_its_report_says_so():
    found = collected(start_document(), changes_document(change()), found=migration(finished_at=BEGAN))

    assert any("no report is kept" in gap for gap in found.gaps)


def test_the_page_holds_its_json_and_the_checksum_of_it():
    found = collected(start_document(), changes_document(change(), not_listed=4))

    text, is_intact = json_of(to_page(found))

    assert is_intact
    assert json.loads(text) == json.loads(to_json(found))
    assert json.loads(text)["changes"][0]["differences"][0]["after"] == "cilium</script><b>"
    assert json.loads(text)["not_listed"] == 4


def test_nothing_in_the_evidence_becomes_markup():
    page = to_page(collected(start_document(), changes_document(change())))

    assert page.count("</script>") == 1
    assert "<b>" not in page
    assert "approved by &lt;Ada &amp; Bob&gt;" in page
    assert "# ready &lt;i&gt;" in page


def test_the_page_needs_nothing_from_elsewhere():
    page = to_page(collected(start_document(), changes_document(change())))

    assert "src=" not in page
    assert "href=" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_that_was_changed_is_found_out():
    page = to_page(collected(start_document(), changes_document(change())))

    _, is_intact = json_of(page.replace("night shift", "day shift"))

    assert not is_intact


def test_any_other_page_is_refused():
    with pytest.raises(ValueError, match="no page of evidence"):
        json_of("<html></html>")


def test_pods_are_told_apart_and_counted():
    moved = [
        change(
            number, step="restart pods", verb="delete", kind="pods", namespace="shop", name=f"p{number}", differences=()
        )
        for number in range(3)
    ]

    page = to_page(
        collected(start_document(), changes_document(change()), changes_document(*moved, step="restart pods"))
    )

    assert "3 requests. Their controllers made them anew." in page


def test_the_summary_tells_how_to_fetch_the_file():
    summary = to_summary(collected(start_document(), changes_document(change(1), change(2))))

    assert "python -m deployments.evidence --seed lab --cluster abc --migration 20261123020000-abcdef" in summary
    assert "| switch CNI | seed lab | patch clusters | 2 |" in summary


def test_the_checksum_is_sha256():
    assert sha256_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

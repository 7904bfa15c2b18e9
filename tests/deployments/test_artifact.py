"""An artifact in the terminal, as it was written."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(900)
COMMAND = ("-m", "deployments.artifact")
MAKE = """
from prefect.artifacts import create_markdown_artifact
for text in ("# the old one", "# lab-1 was migrated\\n\\n| a | b |"):
    create_markdown_artifact(text, key="migration-report-hv2c7xk9tl")
"""


def test_the_newest_one_is_printed_as_it_is(server):
    server.python("-c", MAKE)

    done = server.python(*COMMAND, "migration-report-hv2c7xk9tl")

    assert (done.returncode, done.stdout) == (0, "# lab-1 was migrated\n\n| a | b |\n")


def test_one_that_is_not_there_names_those_that_are(server):
    server.python("-c", MAKE)

    done = server.python(*COMMAND, "migration-report-other")

    assert done.returncode == 1
    assert "has no artifact 'migration-report-other'. Those of this project: " in done.stderr
    assert "migration-report-hv2c7xk9tl" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_that_does_not_answer_is_one_line(server):
    asks = "import os, sys; os.environ['PREFECT_API_URL'] = 'http://127.0.0.1:9/api'\n"
    asks += "from deployments.artifact import main; sys.exit(main(['x']))"

    done = server.python("-c", asks)

    assert done.returncode == 1
    assert "http://127.0.0.1:9/api gives no answer" in done.stderr
    assert done.stderr.count("\n") == 1

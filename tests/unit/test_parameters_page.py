"""docs/parameters.md says what the flows' signatures say."""

from tools.parameters import PAGE, page


def test_the_page_is_as_the_signatures_are():
    assert PAGE.read_text() == page(), "run `make reference`"

"""What becomes of a test whose program is not on this machine?"""

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip it with the reason; fail where nothing may be skipped."""
    if os.environ.get("LOADTEST_REQUIRE_ALL") == "1":
        pytest.fail(what)
    pytest.skip(what)

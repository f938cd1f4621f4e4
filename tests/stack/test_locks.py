from __future__ import annotations

import os
from pathlib import Path

import pytest

from adx_lab.errors import BusyError
from adx_lab.stack.locks import hold, holder


def test_one_holder_at_a_time_and_it_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    assert holder(lock) is None
    with hold(lock, what="the kettle"):
        assert holder(lock) == os.getpid()
        with (
            pytest.raises(BusyError, match=f"the kettle is running already .process {os.getpid()}"),
            hold(lock, what="the kettle"),
        ):
            pass
    assert holder(lock) is None

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from adx_lab.errors import StackError
from adx_lab.stack import accounts
from adx_lab.stack.accounts import ServerAccount, choose_places, give_back, purge, server_account

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends its servers to another account")


@as_root
def test_root_lends_its_servers_to_somebody_unprivileged() -> None:
    account = server_account()
    assert account is not None
    assert account.uid != 0


@as_root
def test_under_a_closed_folder_a_place_is_borrowed_and_cleaned_up(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    account = server_account()
    places = choose_places(closed / "stack", account)
    assert places.borrowed is not None
    assert places.data.is_relative_to(places.borrowed)
    assert places.binaries.is_relative_to(places.borrowed)
    assert places.data.stat().st_mode & 0o777 == 0o700
    give_back(places)
    assert not places.binaries.exists()
    assert places.data.exists()
    purge(places)
    assert not places.borrowed.exists()


@as_root
def test_a_borrowed_place_goes_when_its_checkout_is_gone(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    places = choose_places(closed / "stack", server_account())
    assert places.borrowed is not None
    shutil.rmtree(closed)
    accounts.remove_orphans()
    assert not places.borrowed.exists()


def test_an_ordinary_user_keeps_everything_in_the_checkout(tmp_path: Path) -> None:
    places = choose_places(tmp_path / "stack", None)
    assert places.borrowed is None
    assert places.data == tmp_path / "stack" / "servers"
    purge(places)


def test_a_deep_checkout_gets_a_short_socket_folder(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6)
    places = choose_places(deep / "stack", None)
    assert len(str(places.sockets / ".s.PGSQL.5432.lock")) < 107
    purge(places)
    assert not places.sockets.exists()


def test_two_checkouts_never_share_a_place(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6)
    first, second = choose_places(deep / "one", None), choose_places(deep / "two", None)
    assert first.sockets != second.sockets
    purge(first)
    purge(second)


def test_a_name_that_somebody_else_took_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_SHORT", tmp_path)
    deep = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6)
    taken = choose_places(deep / "stack", None).sockets.parent
    shutil.rmtree(taken)
    taken.symlink_to(tmp_path)
    with pytest.raises(StackError, match="belongs to somebody else; remove it"):
        choose_places(deep / "stack", None)


def test_an_account_that_does_not_exist_cannot_be_lent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(name: str) -> ServerAccount:
        raise KeyError(name)

    monkeypatch.setattr("pwd.getpwnam", nobody)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(StackError, match="no account postgres or nobody"):
        server_account()

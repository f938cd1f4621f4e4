"""A secret is kept back whatever the form of the URL that holds it."""

from __future__ import annotations

import html
import json
import xml.etree.ElementTree as ET
from urllib.parse import quote, quote_plus

import markupsafe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adx_lab.conduct.run.built import describe_settings
from adx_lab.errors import StackError
from adx_lab.records.documents import to_json
from adx_lab.secrecy import remember, remember_url, scrub, shown_url, shown_webhook
from adx_lab.settings import read_settings

SECRETS = st.text(st.sampled_from("abcXYZ019@:/?#%&+=-_.~!$"), min_size=1, max_size=12).map("S3CR".__add__)

FORMS = {
    "account": "postgresql://u:{quoted}@127.0.0.1:5432/x",
    "no user": "valkey://:{quoted}@127.0.0.1:1",
    "no scheme": "u:{quoted}@127.0.0.1:1/x",
    "query": "postgresql://127.0.0.1:5432/x?user=u&password={quoted}&sslmode=require",
    "socket": "postgresql:///x?host=/tmp/s&password={quoted}",
    "a client key's": "postgresql+psycopg://u@h/x?sslpassword={quoted}",
    "words": "host=127.0.0.1 password={quoted} dbname=x",
    "quoted words": "host=h password='{escaped}' dbname=x",
    "bad port": "postgresql://u:{quoted}@127.0.0.1:bad/x",
    "token": "https://{quoted}@api.example/x",
    "token in a query": "http://h:80/p?access_token={quoted}&n=1",
    "bare": "postgres://u:{secret}@127.0.0.1:1/x",
}


@pytest.mark.parametrize("form", FORMS)
@given(secret=SECRETS)
def test_a_url_is_shown_without_its_secret(form: str, secret: str) -> None:
    escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
    url = FORMS[form].format(quoted=quote(secret, safe=""), secret=secret, escaped=escaped)
    assert "S3CR" not in shown_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://adx@/adx_core?host=/tmp/x%20y",
        "unix:///x/valkey.sock?db=1",
        "http://127.0.0.1:8080/users?page=2",
        "http://h/users/a@b.example",
        "host=h port=1 dbname=keys",
    ],
)
def test_what_is_not_secret_is_shown_as_it_is(url: str) -> None:
    assert shown_url(url) == url


@given(secret=st.text(st.sampled_from("aZ9&<>\"'\\/ é+%"), min_size=1, max_size=9).map("S3CR".__add__))
def test_a_remembered_secret_is_found_however_it_is_written(secret: str) -> None:
    remember(secret)
    tag = ET.Element("x", y=secret)
    tag.text = secret
    for text in (
        *(to_json({"a": secret}), json.dumps(secret), str(markupsafe.escape(secret)), html.escape(secret)),
        *(ET.tostring(tag, encoding="unicode"), quote(secret), quote_plus(secret), secret),
    ):
        assert "S3CR" not in scrub(text)


@pytest.mark.parametrize("plain", ["postgres", "load", "users", "kind", "3600", "0.5"])
def test_a_plain_word_is_hidden_where_it_is_a_secret_and_nowhere_else(plain: str) -> None:
    remember_url(f"postgresql://u:{plain}@h/x")
    said = to_json({"kind": "load", "role": "postgres", "users": 3600, "share": 0.5})
    assert scrub(said) == said
    for text in (f"postgresql://u:{plain}@h/x", f"password={plain} host=h", f'"db_password": "{plain}"'):
        assert plain not in scrub(text).replace("postgresql:", "")


def test_a_webhook_is_shown_by_its_host() -> None:
    assert (
        shown_webhook("https://u:pw@hooks.example:444/services/T0/B1/xyz?x=1")
        == "https://hooks.example:444/***"
    )
    assert shown_webhook("http://[") == "***"


def test_the_keys_of_a_teams_bucket_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        "AWS_SECRET_ACCESS_KEY": "S3CRETaws",
        "AWS_SESSION_TOKEN": "S3CRETsession",
        "AZURE_STORAGE_ACCOUNT_KEY": "S3CRETazure",
        "AZURE_STORAGE_SAS_KEY": "S3CRETsas",
        "GOOGLE_SERVICE_ACCOUNT_KEY": "S3CRETgoogle",
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    settings = read_settings({"ADX_LAB_STORE_RUNS_URL": "s3://bucket/x"})
    assert describe_settings(settings)["store"]["runs_url"] == "s3://bucket/x"
    for value in keys.values():
        assert scrub(f"it said {value}!") == "it said ***!"


def test_settings_are_described_without_secrets_and_messages_know_them() -> None:
    environ = {
        "ADX_LAB_DATABASE_URL": "postgresql://u:S3CRETdb%40x@h/x",
        "ADX_LAB_VALKEY_URL": "valkey://h?password=S3CRETvk",
        "ADX_LAB_STORE_URL": "postgresql://u:S3CRETst@h/x",
        "ADX_LAB_LOAD_BASE_URL": "https://S3CRETtoken@h/x",
        "ADX_LAB_NIGHT_WEBHOOK_URL": "https://hooks.example/S3CREThook",
    }
    settings = read_settings(
        environ, {"service.start.env": {"ADX_CORE_TOKEN_SECRET": "S3CRETsign", "ADX_CORE_X": "seen"}}
    )
    shown = to_json(describe_settings(settings))
    assert "S3CRET" not in shown
    assert "seen" in shown
    for said in (
        "S3CRETdb@x",
        "S3CRETdb%40x",
        "S3CRETvk",
        "S3CRETst",
        "S3CRETtoken",
        "S3CREThook",
        "S3CRETsign",
    ):
        assert scrub(f"it said {said}!") == "it said ***!"
    assert "S3CRET" not in str(StackError("refused S3CRETdb@x", mend="S3CRETvk"))

"""Settings from the environment, and the page about them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from monitor.domain.delivery.retry import RetryPolicy
from monitor.settings.document import document
from monitor.settings.environment import SettingsError, from_env, missing_for_production
from monitor.settings.schema import Db, Egress, Jwt, JwtKey, SecretKey, Secrets, Settings

CANARY = "canary-5f2e"
STRONG = base64.urlsafe_b64encode(bytes(range(100, 132))).decode().rstrip("=")
CONFIGURATION = Path(__file__).parents[3] / "docs" / "CONFIGURATION.md"


def refusal(**environ: str) -> str:
    """Return the line with which *environ* is refused."""
    with pytest.raises(SettingsError) as caught:
        from_env(environ)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_value_that_reads_like_an_error_is_not_taken_for_one() -> None:
    text = refusal(MONITOR_LOG__LEVEL=f"{CANARY} - at `$.y")
    assert text.startswith("MONITOR_LOG__LEVEL: ")
    assert CANARY not in text


def production(**changes: object) -> Settings:
    """Settings with which ``serve`` starts, but for *changes*."""
    sound: dict[str, object] = {
        "database_url": "postgresql://localhost/monitor",
        "jwt": Jwt(keys=(JwtKey("a", "HS256", STRONG),)),
        "secrets": Secrets(keys=(SecretKey("a", STRONG),)),
    }
    return Settings(**(sound | changes))  # type: ignore[arg-type]


def test_an_empty_environment_gives_the_defaults() -> None:
    assert from_env({}) == Settings()


def test_names_outside_the_prefix_and_of_the_test_suite_are_ignored() -> None:
    assert from_env({"PATH": "/bin", "MONITOR_TEST_DATABASE": "x"}) == Settings()


def test_two_underscores_lead_into_a_group() -> None:
    settings = from_env({"MONITOR_WS__MAX_PER_USER": "7", "MONITOR_HTTP__METRICS_OPEN": "true"})
    assert settings.ws.max_per_user == 7
    assert settings.http.metrics_open


@pytest.mark.parametrize("text", ["10.1.0.0/16,fd00::/8", " 10.1.0.0/16 , fd00::/8 ,", '["10.1.0.0/16", "fd00::/8"]'])
def test_a_list_is_json_or_separated_by_commas(text: str) -> None:
    settings = from_env({"MONITOR_EGRESS__ALLOW_CIDRS": text})
    assert settings.egress == Egress(allow_cidrs=("10.1.0.0/16", "fd00::/8"))


def test_keys_are_a_json_list_in_order() -> None:
    keys = [{"kid": "b", "alg": "EdDSA", "key": "pem"}, {"kid": "a", "alg": "HS256", "key": STRONG}]
    settings = from_env({"MONITOR_JWT__KEYS": json.dumps(keys)})
    assert [key.kid for key in settings.jwt.keys] == ["b", "a"]


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    assert "MONITOR_DATABASE_URL" in refusal(MONITOR_DATABSE_URL="x")
    assert "docs/CONFIGURATION.md" in refusal(MONITOR_ZZZZ="x")
    assert "docs/CONFIGURATION.md" in refusal(MONITOR_FOO="x"), "the prefix is no likeness"


def test_a_choice_that_does_not_exist_is_refused_with_those_that_do() -> None:
    assert refusal(MONITOR_LOG__LEVEL="loud") == "MONITOR_LOG__LEVEL: expected debug or info or warning or error."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MONITOR_WS__MAX_PER_USER", "0"),
        ("MONITOR_WS__MAX_PER_USER", "many"),
        ("MONITOR_WORKER__LEASE_S", "-1"),
        ("MONITOR_WORKER__LEASE_S", "nan"),
        ("MONITOR_WORKER__LEASE_S", ""),
        ("MONITOR_HTTP__METRICS_OPEN", "perhaps"),
        ("MONITOR_EGRESS__PROFILE", "open"),
        ("MONITOR_JWT__KEYS", "not json"),
        ("MONITOR_JWT__KEYS", '{"kid": "a"}'),
        ("MONITOR_JWT__KEYS", '[{"kid": "a"}]'),
        ("MONITOR_JWT__KEYS", '[{"kid": "a", "alg": "HS256", "key": "k", "use": "sig"}]'),
        ("MONITOR_SECRETS__KEYS", "[1]"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_the_variable(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(name)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MONITOR_WS__MAX_PER_USER", "many", "expected an integer, got text."),
        ("MONITOR_WORKER__LEASE_S", "0", "expected a number > 0.0."),
        ("MONITOR_HTTP__METRICS_OPEN", "perhaps", "expected true or false, got text."),
        ("MONITOR_JWT__KEYS", '{"kid": "a"}', "expected a list, got an object."),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_in_words(name: str, value: str, says: str) -> None:
    assert refusal(**{name: value}) == f"{name}: {says}"


@pytest.mark.parametrize("name", ["MONITOR_DATABASE_URL", "MONITOR_DB__DIRECT_URL", "MONITOR_REDIS_URL"])
@pytest.mark.parametrize(
    "rest", [f"u:{CANARY}/x@db/m", f"u:{CANARY}#x@db:1/m", f"u:p@db:{CANARY}/m", "u:p@[db/m", "u:p@db:0x/m"]
)
def test_a_url_whose_password_is_not_escaped_is_refused_without_a_part_of_it(name: str, rest: str) -> None:
    scheme = "redis" if "REDIS" in name else "postgresql"
    text = refusal(**{name: f"{scheme}://{rest}"})
    assert text.startswith(f"{name}: cannot be read as {scheme}://user:password@host:port/name; ")
    assert CANARY not in text


def test_urls_of_several_hosts_are_taken() -> None:
    url = "postgresql://u:p@db1:5432,[::1]:5433,db2/monitor?target_session_attrs=read-write"
    settings = from_env({"MONITOR_DATABASE_URL": url, "MONITOR_DB__READ_URL": url})
    assert (settings.database_url, settings.db.read_url) == (url, url)
    assert "cannot be read" in refusal(MONITOR_DB__READ_URL="postgresql://u:p@db1:5432,db2:x/monitor")


def test_urls_of_local_sockets_are_taken() -> None:
    urls = {
        "MONITOR_DATABASE_URL": "postgresql://postgres@/monitor?host=%2Ftmp%2Fx&port=5432",
        "MONITOR_REDIS_URL": "unix:///run/redis.sock?db=1",
    }
    settings = from_env(urls)
    assert (settings.database_url, settings.redis_url) == tuple(urls.values())


def test_keys_and_a_key_file_together_are_refused() -> None:
    keys = json.dumps([{"kid": "a", "alg": "HS256", "key": STRONG}])
    assert "not both" in refusal(MONITOR_JWT__KEYS=keys, MONITOR_JWT__KEYS_FILE="keys.json")


def test_a_client_key_needs_its_certificate() -> None:
    assert "MONITOR_EGRESS__CLIENT_CERT_FILE" in refusal(MONITOR_EGRESS__CLIENT_KEY_FILE="client.key")


@pytest.mark.parametrize("days", ["1", "3"])
def test_events_outlive_the_standard_schedule_of_retries(days: str) -> None:
    assert refusal(MONITOR_RETENTION__EVENTS_D=days).startswith("MONITOR_RETENTION__EVENTS_D: at least 4 days")
    standard = RetryPolicy()
    longest_s = sum(standard.schedule_s) * (1 + standard.jitter_ratio)
    assert 3 * 86_400 < longest_s <= 4 * 86_400
    assert from_env({"MONITOR_RETENTION__EVENTS_D": "4"}).retention.events_d == 4


def test_a_refusal_does_not_repeat_a_key() -> None:
    assert CANARY not in refusal(MONITOR_JWT__KEYS=f'[{{"kid": "a", "alg": "HS256", "key": "{CANARY}"')
    assert CANARY not in refusal(MONITOR_SECRETS__KEYS=f'[{{"kid": 1, "key": "{CANARY}"}}]')


def test_key_material_does_not_show_in_a_repr() -> None:
    settings = Settings(jwt=Jwt(keys=(JwtKey("a", "HS256", CANARY),)), secrets=Secrets(keys=(SecretKey("a", CANARY),)))
    assert CANARY not in repr(settings)
    assert CANARY not in repr(settings.jwt)


def test_sound_settings_may_start() -> None:
    assert missing_for_production(production()) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"database_url": None}, "MONITOR_DATABASE_URL"),
        ({"jwt": Jwt()}, "MONITOR_JWT__KEYS"),
        ({"secrets": Secrets()}, "MONITOR_SECRETS__KEYS"),
        ({"jwt": Jwt(keys=(JwtKey("a", "HS256", "c2hvcnQ"),))}, "MONITOR_JWT__KEYS[0]"),
        ({"jwt": Jwt(keys=(JwtKey("a", "HS256", "A" * 60),))}, "MONITOR_JWT__KEYS[0]"),
        ({"secrets": Secrets(keys=(SecretKey("a", "A" * 43),))}, "MONITOR_SECRETS__KEYS[0]"),
    ],
)
def test_a_missing_or_weak_key_is_named(changes: dict[str, object], name: str) -> None:
    (problem,) = missing_for_production(production(**changes))
    assert problem.startswith(name)


def test_a_key_file_stands_in_for_keys() -> None:
    assert missing_for_production(production(jwt=Jwt(keys_file="keys.json"))) == []


def test_the_keys_of_a_provider_stand_in_for_keys() -> None:
    settings = from_env({"MONITOR_JWT__JWKS_URL": "https://login.example.com/jwks?tenant=a"})
    assert missing_for_production(production(jwt=settings.jwt)) == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/jwks", "http://[::1]/jwks", "http://localhost/jwks", "https://10.1.2.3:8443/jwks"]
)
def test_a_provider_may_be_inside_and_on_loopback_without_tls(url: str) -> None:
    assert from_env({"MONITOR_JWT__JWKS_URL": url}).jwt.jwks_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/jwks", "http://10.1.2.3/jwks", "ftp://127.0.0.1/jwks", "login.example.com/jwks",
        "https://", "https:///jwks", "https://ada:canary-5f2e@login.example.com/jwks", "https://[::1/jwks",
        "https://login.example.com:port/jwks", "https://login.example.com/\njwks", "https://löschen.example/jwks",
        "https://login.example.com/a b", "http://127.0.0.1.example.com/jwks", "https://login.example.com/\x00",
    ],
)  # fmt: skip
def test_the_address_of_a_provider_is_https_or_loopback(url: str) -> None:
    said = refusal(MONITOR_JWT__JWKS_URL=url)
    assert said.startswith("MONITOR_JWT__JWKS_URL: expected ")
    assert CANARY not in said


@pytest.mark.parametrize("host", ["Monitor.example.com", "*.example.com", "*", "[::1]", "127.0.0.1", "münchen.example"])
def test_a_host_is_listed_as_requests_name_it(host: str) -> None:
    assert from_env({"MONITOR_HTTP__ALLOWED_HOSTS": f"a.test,{host}"}).http.allowed_hosts == ("a.test", host)


@pytest.mark.parametrize("origin", ["https://Dash.example.com:443", "http://[::1]:8000", "https://münchen.example"])
def test_an_origin_is_listed_in_any_spelling(origin: str) -> None:
    assert from_env({"MONITOR_WS__ALLOWED_ORIGINS": origin}).ws.allowed_origins == (origin,)


def test_the_page_about_settings_is_the_generated_one() -> None:
    assert CONFIGURATION.read_text() == document(), "run: python -m monitor.settings.schema > docs/CONFIGURATION.md"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MONITOR_WORKER__LEASE_S", "inf"),
        ("MONITOR_DATABASE_URL", "mysql://localhost/monitor"),
        ("MONITOR_REDIS_URL", "localhost:6379"),
        ("MONITOR_EGRESS__ALLOW_CIDRS", "10.0.0.1/8"),
        ("MONITOR_HTTP__TRUSTED_PROXIES", "*"),
        ("MONITOR_HTTP__TRUSTED_PROXIES", "10.1.0.0/16,proxy.internal"),
        ("MONITOR_WS__ALLOWED_ORIGINS", "*"),
        ("MONITOR_HTTP__CORS_ORIGINS", "https://example.com/"),
        ("MONITOR_HTTP__ALLOWED_HOSTS", "https://example.com"),
        ("MONITOR_HTTP__ALLOWED_HOSTS", "example.com:8000"),
        ("MONITOR_HTTP__ALLOWED_HOSTS", "a.*.example.com"),
        ("MONITOR_SECRETS__KEYS", '[{"kid": "a", "key": "x"}, {"kid": "a", "key": "y"}]'),
        ("MONITOR_JWT__KEYS", '[{"kid": "", "alg": "HS256", "key": "x"}]'),
    ],
)
def test_a_value_that_fits_its_type_and_cannot_work_is_refused(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(name)


def test_a_lease_that_would_end_before_its_renewal_is_refused() -> None:
    assert "MONITOR_WORKER__RENEW_S" in refusal(MONITOR_WORKER__LEASE_S="10")


def test_an_empty_text_means_not_set_where_a_setting_may_be_absent() -> None:
    assert from_env({"MONITOR_REDIS_URL": "", "MONITOR_JWT__KEYS": "", "MONITOR_EGRESS__ALLOW_CIDRS": ""}) == Settings()


def test_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    assert CANARY not in refusal(MONITOR_JWT__KEYS=f'[{{"kid": "a", "alg": "{CANARY}", "key": "k"}}]')
    assert CANARY not in refusal(MONITOR_EGRESS__PROFILE=CANARY)


def test_the_password_of_a_database_does_not_show_in_a_repr() -> None:
    url = f"postgresql://monitor:{CANARY}@localhost/monitor"
    settings = Settings(database_url=url, db=Db(direct_url=url))
    assert CANARY not in repr(settings) + repr(settings.db)


@pytest.mark.parametrize("raw", [bytes(range(32)), b"a-string-secret-at-least-256-bits-long"])
def test_a_key_from_an_example_is_weak(raw: bytes) -> None:
    key = base64.urlsafe_b64encode(raw).decode()
    (problem,) = missing_for_production(production(jwt=Jwt(keys=(JwtKey("a", "HS256", key),))))
    assert problem.startswith("MONITOR_JWT__KEYS[0]")


@pytest.mark.parametrize("key", [STRONG + "AAAA", "!!" + STRONG])
def test_a_secrets_key_is_exactly_32_bytes_of_base64url(key: str) -> None:
    (problem,) = missing_for_production(production(secrets=Secrets(keys=(SecretKey("a", key),))))
    assert problem.startswith("MONITOR_SECRETS__KEYS[0]")


@pytest.mark.parametrize(
    "url", ["https://monitor.example.com", "http://127.0.0.1:8000/", "https://[::1]:8443/a/b/", "https://x.example/m"]
)
def test_the_page_has_one_absolute_url_with_or_without_a_path(url: str) -> None:
    assert from_env({"MONITOR_PUBLIC_URL": url}).public_url == url
    assert from_env({"MONITOR_PUBLIC_URL": ""}).public_url is None


@pytest.mark.parametrize(
    "url",
    [
        *("monitor.example.com", "ftp://x.example/", "https://", f"https://u:{CANARY}@x.example/", "//x.example/"),
        *("https://x.example/#/", "javascript:alert(1)", "https://x.example/ y", "https://x.example//y"),
        "https://x.example/?a",
    ],
)
def test_another_url_of_the_page_is_refused_in_one_line(url: str) -> None:
    text = refusal(MONITOR_PUBLIC_URL=url)
    assert text.startswith("MONITOR_PUBLIC_URL: expected the URL of the page, like https://monitor.example.com/")
    assert CANARY not in text


MAIL = {"MONITOR_SMTP__HOST": "mail.example.org", "MONITOR_SMTP__FROM": "Monitor <monitor@example.org>"}


def test_a_mail_server_needs_a_host_and_a_sender() -> None:
    smtp = from_env(MAIL).smtp
    assert (smtp.host, smtp.port, smtp.tls) == ("mail.example.org", 587, "starttls")
    assert smtp.from_ == "Monitor <monitor@example.org>"
    assert from_env({**MAIL, "MONITOR_SMTP__FROM": "monitor@example.org"}).smtp.from_ == "monitor@example.org"
    assert from_env({**MAIL, "MONITOR_SMTP__HOST": "127.0.0.1", "MONITOR_SMTP__TLS": "none"}).smtp.tls == "none"
    assert from_env({**MAIL, "MONITOR_SMTP__HOST": "localhost", "MONITOR_SMTP__TLS": "none"}).smtp.tls == "none"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FROM", ""),
        ("FROM", "monitor"),
        ("FROM", "Monitor <monitor@example.org"),
        ("FROM", "monitor@example.org>"),
        ("FROM", "monitor@example.org\r\nBcc: a@example.org"),
        ("HOST", "mail.example.org:587"),
        ("HOST", "smtp://mail.example.org"),
        ("USERNAME", "ada"),
        ("PASSWORD", CANARY),
        ("TLS", "none"),
        ("TLS", "ssl"),
        ("PORT", "0"),
    ],
)
def test_settings_of_a_mail_server_that_cannot_work_are_refused(name: str, value: str) -> None:
    text = refusal(**{**MAIL, f"MONITOR_SMTP__{name}": value})
    assert "MONITOR_SMTP__" in text
    assert CANARY not in text


def test_settings_of_a_mail_server_without_its_host_are_refused_and_none_shows_a_password() -> None:
    assert refusal(MONITOR_SMTP__FROM="a@example.org").startswith("MONITOR_SMTP__HOST is not set")
    login = {"MONITOR_SMTP__USERNAME": "ada", "MONITOR_SMTP__PASSWORD": CANARY}
    assert CANARY not in repr(from_env({**MAIL, **login}).smtp)

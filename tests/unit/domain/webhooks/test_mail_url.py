"""URLs that name recipients of e-mail."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import UrlRefused
from monitor.domain.webhooks.mail_url import MAX_RECIPIENTS, canonical_mail_url, is_mail_url, recipients

locals_ = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[A-Za-z0-9%&+-]{1,10})?", fullmatch=True)
addresses = st.builds("{}@{}".format, locals_, st.sampled_from(["example.org", "localhost", "xn--bcher-kva.example"]))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mailto:ops@example.org", ("ops@example.org",)),
        ("MAILTO:Ops@Example.ORG", ("Ops@example.org",)),
        ("mailto:a@example.org,b@example.org,a@example.org", ("a@example.org", "b@example.org")),
        ("mailto:on+call%2Bnight@example.org", ("on+call+night@example.org",)),
        ("mailto:50%25@localhost", ("50%@localhost",)),
        ("mailto:a%2Cb@example.org", None),
        ("mailto:", None),
        ("mailto:ops", None),
        ("mailto:ops@", None),
        ("mailto:@example.org", None),
        ("mailto:ops@example.org,", None),
        ("mailto://ops@example.org", None),
        ("mailto:ops@example.org?cc=a@example.org", None),
        ("mailto:ops@example.org#x", None),
        ("mailto:ops%@example.org", None),
        ("mailto:ops%0d%0aRCPT@example.org", None),
        ("mailto:%FF@example.org", None),
        ("mailto:zoë@example.org", None),
        ("mailto:ops@bücher.example", None),
        ("mailto:ops@-example.org", None),
        ("mailto:ops@[127.0.0.1]", None),
        ("mailto:<ops@example.org>", None),
        (f"mailto:{'a' * 65}@example.org", None),
        (f"mailto:a@{'a.' * 127}org", None),
        ("https://example.org/", None),
    ],
)
def test_addresses_are_read_strictly(url: str, found: tuple[str, ...] | None) -> None:
    if found is None:
        with pytest.raises(UrlRefused):
            recipients(url)
    else:
        assert recipients(url) == found


def test_what_is_refused_is_said() -> None:
    many = ",".join(f"a{n}@example.org" for n in range(MAX_RECIPIENTS + 1))
    for url, reason, words in (
        ("mailto:a@b.example?subject=x", "mail_fields", "nothing behind"),
        ("mailto:a", "mail_address", "ops@example.org"),
        (f"mailto:{many}", "mail_recipients", "at most 20"),
    ):
        with pytest.raises(UrlRefused) as refused:
            recipients(url)
        assert refused.value.reason == reason
        assert words in refused.value.detail


@given(st.lists(addresses, min_size=1, max_size=MAX_RECIPIENTS, unique=True))
def test_a_canonical_url_names_the_same_recipients_and_is_its_own(to: list[str]) -> None:
    """Law: one spelling, from which the addresses are read again."""
    url = canonical_mail_url("mailto:" + ",".join(quote(address, safe="@") for address in to))
    assert recipients(url) == tuple(to)
    assert canonical_mail_url(url) == url
    assert is_mail_url(url)


@given(st.text(max_size=80).map("mailto:".__add__))
def test_any_text_is_read_or_refused(url: str) -> None:
    """Total: what is read is ASCII without white space or controls."""
    try:
        found = recipients(url)
    except UrlRefused:
        return
    assert all(address.isascii() and address.isprintable() and " " not in address for address in found)

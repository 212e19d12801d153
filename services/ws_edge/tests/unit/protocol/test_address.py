"""Which address is the client's, and what counts as one client."""

from ipaddress import ip_network

import pytest

from ws_edge.protocol.address import address_key, client_address, is_loopback, is_safe_url

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:aaaa::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        pytest.param("203.0.113.7", [], "203.0.113.7", id="no proxy"),
        pytest.param("203.0.113.7", ["198.51.100.1"], "203.0.113.7", id="an untrusted peer's header is not read"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy speaks for itself"),
        pytest.param("10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="one proxy"),
        pytest.param("10.0.0.1", ["6.6.6.6, 198.51.100.1, 10.2.3.4"], "198.51.100.1", id="rightmost, not leftmost"),
        pytest.param("10.0.0.1", ["6.6.6.6", "198.51.100.1", "10.2.3.4"], "198.51.100.1", id="several header lines"),
        pytest.param("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3", id="proxies only: the farthest"),
        pytest.param("10.0.0.1", ["198.51.100.1, unknown, 10.2.3.4"], "10.2.3.4", id="nothing left of a malformed one"),
        pytest.param("10.0.0.1", ["198.51.100.1, "], "10.0.0.1", id="an empty entry is malformed"),
        pytest.param("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1", id="port"),
        pytest.param("10.0.0.1", ["[2001:db8::5]:4711"], "2001:db8::5", id="IPv6 with port"),
        pytest.param("10.0.0.1", ["[2001:db8::5]"], "2001:db8::5", id="IPv6 in brackets"),
        pytest.param("10.0.0.1", ["2001:DB8:0::5"], "2001:db8::5", id="IPv6 in its short form"),
        pytest.param("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1", id="IPv4 mapped"),
        pytest.param("2001:db8:aaaa::1", ["198.51.100.1"], "198.51.100.1", id="IPv6 proxy"),
        pytest.param("fe80::1%eth0", [], "fe80::1", id="zone"),
        pytest.param("10.0.0.1", ["1" * 9000], "10.0.0.1", id="long nonsense"),
        pytest.param("10.0.0.1", ["١٩٢.0.2.1"], "10.0.0.1", id="digits of another script"),
        pytest.param("", ["198.51.100.1"], "0.0.0.0", id="a peer without address"),
    ],
)
def test_behind_trusted_proxies_the_client_is_the_rightmost_entry_that_is_none(
    peer: str, forwarded_for: list[str], client: str
) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == client


def test_no_proxy_is_trusted_by_default() -> None:
    assert client_address("127.0.0.1", ["198.51.100.1"], ()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("255.249.199.99", "255.249.199.99"),
        ("256.0.0.1", "0.0.0.0"),
        ("198.51.100.01", "0.0.0.0"),
        ("198.51.100.1\n", "0.0.0.0"),
        ("198.51.100", "0.0.0.0"),
        ("198.51.100.1.1", "0.0.0.0"),
        ("nonsense", "0.0.0.0"),
    ],
)
def test_ipv6_counts_by_its_64_network(address: str, key: str) -> None:
    assert address_key(address) == key


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_alone(address: str, local: bool) -> None:
    assert is_loopback(address) is local


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://id.example/keys", True),
        ("HTTPS://id.example/keys", True),
        ("http://localhost:9/keys", True),
        ("http://127.0.0.1/keys", True),
        ("http://[::1]:9/keys", True),
        ("http://id.example/keys", False),
        ("http://127.0.0.1@id.example/keys", False),
        ("http://127.0.0.1.example/keys", False),
        ("http:///keys", False),
        ("ftp://127.0.0.1/keys", False),
        ("keys", False),
    ],
)
def test_what_is_read_by_https_or_from_this_machine_is_safe_on_its_way(url: str, is_safe: bool) -> None:
    assert is_safe_url(url) == is_safe

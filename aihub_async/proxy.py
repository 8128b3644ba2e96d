"""Which proxy requests go through: an argument, or, on request, the environment's variables."""

import ipaddress
import os
from urllib.parse import urlsplit

from aihub_async.errors import ConfigurationError
from aihub_async.secrecy import SecretURL, SecretValue, public_url


def checked_proxy(proxy: SecretValue[str], source: str = "proxy") -> SecretURL:
    """Return the URL of a proxy; ``host:port`` without a scheme means ``http://host:port``.

    Raises:
        ConfigurationError: it is no URL of an HTTP proxy; names `source`, where it comes from.
    """
    if "://" not in proxy.reveal():
        proxy = SecretValue("http://" + proxy.reveal().lstrip("/"))
    problem = _problem(proxy)
    if problem:
        raise ConfigurationError(f"{source} {problem}; expected something like http://user:password@proxy.example:3128")
    return SecretURL(proxy)


def _problem(proxy: SecretValue[str]) -> str | None:
    try:
        parts = urlsplit(proxy.reveal())
        scheme, host, _port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if scheme.startswith("socks"):
        return f"is a SOCKS proxy ({scheme}), which is not supported: use an HTTP proxy"
    if scheme not in {"http", "https"}:
        return f"has the scheme {scheme!r}; only http and https are supported"
    if not host or any(character.isspace() for character in proxy.reveal()):
        return "is not a URL"
    return None


def environment_proxy(api_root: str) -> SecretURL | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names for this root, unless NO_PROXY exempts it.

    Requests to this machine never go through a proxy of the environment.

    Raises:
        ConfigurationError: the variable cannot be used.
    """
    import urllib.request  # noqa: PLC0415 - a twentieth of the import's time, needed only now

    parts = urlsplit(api_root)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    exempt = is_loopback(host) or is_exempt(host, port, os.environ.get("no_proxy", os.environ.get("NO_PROXY", "")))
    # The second question is for the settings of macOS and Windows.
    if exempt or urllib.request.proxy_bypass(host):
        return None
    for name in (parts.scheme, "all"):
        proxy = SecretValue(urllib.request.getproxies().get(name) or "")
        if proxy:
            return checked_proxy(proxy, f"{name.upper()}_PROXY")
    return None


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether a list in the form of NO_PROXY exempts a host.

    Its entries are ``*``, a domain (with or without a leading dot; it covers its subdomains), an address, a block of
    addresses such as ``10.0.0.0/8``, and each but the last two forms with a port.
    """
    return any(_matches(host.lower(), port, entry.strip().lower()) for entry in no_proxy.split(",") if entry.strip())


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, only_port = _split_port(entry)
    if only_port is not None and only_port != port:
        return False
    if address is not None:
        return address == _address(name)
    name = name.lstrip("*").lstrip(".")
    return host == name or host.endswith("." + name)


def _split_port(entry: str) -> tuple[str, int | None]:
    name, separator, port = entry.rpartition(":")
    # An IPv6 address without brackets has colons, and no port.
    if separator and port.isascii() and port.isdigit() and (":" not in name or name.endswith("]")):
        return name.strip("[]"), int(port)
    return entry.strip("[]"), None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def refuse_cleartext(api_root: str, proxy: SecretURL) -> None:
    """Refuse to send the API key unencrypted to a proxy.

    Raises:
        ConfigurationError: the root is ``http://``, which a proxy reads.
    """
    if api_root.startswith("http://"):
        raise ConfigurationError(
            f"api_root {api_root!r} would send the API key unencrypted to the proxy {public_url(proxy.reveal())}; use "
            "https://, leave the proxy out, or pass allow_insecure=True"
        )

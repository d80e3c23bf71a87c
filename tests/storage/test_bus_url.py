"""What a bus URL can say, and that its mistakes are named without its password."""

import pytest

from storage.buses import open_bus
from storage.errors import StorageError
from storage.local_bus import LocalBus
from storage.redis_bus.address import Host, Kind, read_url

CANARY = "hunter2"


def test_one_server() -> None:
    address = read_url("redis://ada:p%40ss%2F@cache.example:6380/3?prefix=shop&keep=500&timeout=0.2")
    assert (address.kind, address.hosts, address.database) == (Kind.SINGLE, (Host("cache.example", 6380),), 3)
    assert (address.login.user, address.login.password.reveal()) == ("ada", "p@ss/")
    assert (address.prefix, address.keep, address.timeout, address.tls) == ("shop", 500, 0.2, False)


def test_what_is_left_out() -> None:
    address = read_url("rediss://[::1]")
    assert (address.hosts, address.tls, address.database, address.prefix) == ((Host("::1", 6379),), True, 0, "sportello")
    assert str(address) == "[::1]:6379"


@pytest.mark.parametrize("url", ["redis+cluster://a:1,b:2", "redis://a:1?cluster=true"])
def test_a_cluster(url: str) -> None:
    address = read_url(url)
    assert address.kind is Kind.CLUSTER
    assert address.hosts[0] == Host("a", 1)


def test_sentinels() -> None:
    address = read_url(f"redis+sentinel://:{CANARY}@a,b:2/shop?db=4&sentinel_password=x")
    assert (address.kind, address.hosts, address.service, address.database) == (Kind.SENTINEL, (Host("a", 26379), Host("b", 2)), "shop", 4)
    assert address.sentinel_login.password.reveal() == "x"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://:{CANARY}@a", "scheme"),
        (f"redis+magic://:{CANARY}@a", "scheme"),
        (f"redis://:{CANARY}@", "host"),
        (f"redis://:{CANARY}@a:port", "host"),
        (f"redis://:{CANARY}@a:99999", "host"),
        (f"redis://:{CANARY}@[::1", "brackets"),
        (f"redis://:{CANARY}#x@a", "%23"),
        (f"redis://:{CANARY}@a,b", "several hosts"),
        (f"redis://:{CANARY}@a/one", "database number"),
        (f"redis://:{CANARY}@a/1?db=x&colour={CANARY}", "unknown option 'colour'"),
        (f"redis+cluster://:{CANARY}@a/1", "leave the number out"),
        (f"redis+sentinel://:{CANARY}@a", "names no service"),
        (f"redis://:{CANARY}@a?prefix=a{{b", "prefix"),
        (f"redis://:{CANARY}@a?keep=1", "keep"),
        (f"redis://:{CANARY}@a?timeout=nan", "timeout"),
        (f"redis://:{CANARY}@a?cluster=yes", "true or false"),
    ],
)
async def test_mistakes_are_named_and_the_password_is_not(url: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught:
        await open_bus(url) if url.startswith("redis") else read_url(url)
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_password_is_in_no_repr() -> None:
    address = read_url(f"redis+sentinel://ada:{CANARY}@a/shop?sentinel_password={CANARY}")
    assert CANARY not in repr(address) + str(address)


async def test_no_url_is_one_process() -> None:
    assert isinstance(await open_bus(""), LocalBus)
    with pytest.raises(StorageError, match="redis://"):
        await open_bus(f"amqp://:{CANARY}@a")

"""Opens connections to checked addresses only.

The check sits where the socket is opened: the name is looked up once, and the very address that was
judged is dialled. Between the two there is no second lookup that could answer differently (DNS
rebinding), and no way around it for redirects, retries or an SDK's own calls. TLS and the Host
header still use the name, since httpcore takes those from the URL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import anyio.to_thread
import httpcore

from apps.common.egress.classify import IPAddress
from apps.common.egress.deadline import Deadline, TimedStream
from apps.common.egress.policy import EgressPolicy
from apps.common.egress.resolve import Resolver, checked_addresses

# Of a name with very many addresses only the first few are tried.
MAX_TRIED = 4


@dataclass(frozen=True, slots=True)
class _Dialler:
    resolver: Resolver
    policy: EgressPolicy

    def addresses(self, host: str, port: int, timeout: float | None) -> tuple[IPAddress, ...]:
        seconds = self.policy.connect_timeout if timeout is None else timeout
        found = checked_addresses(
            host, port, resolver=self.resolver, policy=self.policy, timeout=seconds
        )
        return found[:MAX_TRIED]


class PinnedBackend(httpcore.NetworkBackend):
    """Dials for threads."""

    def __init__(self, *, resolver: Resolver, policy: EgressPolicy, deadline: Deadline) -> None:
        self._dialler = _Dialler(resolver, policy)
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        cap = self._deadline.cap
        last: Exception = httpcore.ConnectError("The host has no address.")
        for address in self._dialler.addresses(host, port, cap(timeout)):
            try:
                stream = self._inner.connect_tcp(
                    str(address), port, cap(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
            else:
                return TimedStream(stream, self._deadline)
        raise last


class AsyncPinnedBackend(httpcore.AsyncNetworkBackend):
    """Dials for event loops; the lookup runs in a thread."""

    def __init__(self, *, resolver: Resolver, policy: EgressPolicy) -> None:
        self._dialler = _Dialler(resolver, policy)
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        last: Exception = httpcore.ConnectError("The host has no address.")
        look_up = self._dialler.addresses
        for address in await anyio.to_thread.run_sync(look_up, host, port, timeout):
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

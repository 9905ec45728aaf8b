"""A UDP client that keeps its source port, so that the flow of one client can be followed."""

from __future__ import annotations

import asyncio
import json


class UdpClient:
    """One UDP socket that asks again and again."""

    def __init__(self, loop, address, port) -> None:
        self._loop = loop
        self._place = (address, port)

    def __enter__(self):
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport = self._loop.call(self._open())
        return self

    def __exit__(self, *_):
        self._loop.call(_abort(self._transport))

    def ask(self) -> str:
        """The pod that answers the next datagram."""
        return self._loop.call(self._exchange(), timeout_seconds=3)

    async def _open(self):
        answers = self._answers

        class Receiver(asyncio.DatagramProtocol):
            def datagram_received(self, data, _addr):
                answers.put_nowait(data)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Receiver, remote_addr=self._place)
        return transport

    async def _exchange(self) -> str:
        self._transport.sendto(b"hello")
        return json.loads((await self._answers.get()).partition(b"\n")[0])["pod"]


async def _abort(transport) -> None:
    transport.abort()

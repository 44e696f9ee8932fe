"""What a tenant resolver needs: a clock, and a database of hosts."""

from __future__ import annotations

import anyio


class Clock:
    """The time, which a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Database:
    """Whose host is what, as a user's database would have it.

    Attributes:
        asked: the hosts that were looked up.
        error: what each look-up raises.
        gate: look-ups wait for it, if there is one.
    """

    def __init__(self, **tenants: str) -> None:
        self.tenants = {name.replace("_", "."): tenant for name, tenant in tenants.items()}
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.gate: anyio.Event | None = None

    async def find(self, host: str) -> str | None:
        self.asked.append(host)
        found = self.tenants.get(host)  # as of now
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return found

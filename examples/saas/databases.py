"""The control database, and one for each tenant: SQLite files, or databases of a PostgreSQL server.

A database for each tenant, not a schema of a common one: a query that forgets whose it is finds
nothing of another tenant, and one tenant can be dumped, moved and dropped by itself. It costs
connections: `TenantApps(max_apps=…)` times those of a pool is what the server has to allow.
"""

from __future__ import annotations

from pathlib import Path

import anyio
from sqlalchemy import URL, MetaData, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_SIZE = 2
MAX_OVERFLOW = 2


class Databases:
    """Makes, opens and drops databases by name, beside the control database.

    Raises:
        ValueError: the URL is of neither kind.
    """

    def __init__(self, control: str) -> None:
        url = make_url(control)
        self._is_sqlite = url.get_backend_name() == "sqlite"
        if self._is_sqlite:
            if url.database in (None, "", ":memory:"):
                raise ValueError(f"{control!r} names no file; write sqlite:///path/to/file")
            self.control: URL = url.set(drivername="sqlite+aiosqlite")
            Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        elif url.drivername.partition("+")[0] in ("postgresql", "postgres"):
            self.control = url.set(drivername="postgresql+asyncpg")
        else:
            raise ValueError(
                f"{control!r} is of no kind that is known here; write sqlite:///path/to/file or "
                "postgresql://user:password@host/database"
            )

    def open_control(self) -> AsyncEngine:
        return create_async_engine(self.control, pool_pre_ping=True)

    def open(self, name: str) -> AsyncEngine:
        """A tenant's database, which has to be there."""
        url = self._url_of(name)
        if self._is_sqlite:  # which makes a new file otherwise
            file = Path(str(url.database)).absolute()
            url = url.set(database=file.as_uri(), query={"mode": "rw", "uri": "true"})
        return create_async_engine(
            url, pool_size=POOL_SIZE, max_overflow=MAX_OVERFLOW, pool_pre_ping=True
        )

    async def create(self, name: str, tables: MetaData) -> None:
        """Make a tenant's database, with its tables."""
        if not self._is_sqlite:
            await self._run("CREATE DATABASE {}", name)
        engine = create_async_engine(self._url_of(name))
        try:
            async with engine.begin() as connection:
                await connection.run_sync(tables.create_all)
        finally:
            await engine.dispose()

    async def drop(self, name: str) -> None:
        """Drop a tenant's database, and all that is in it."""
        if self._is_sqlite:
            file = anyio.Path(str(self._url_of(name).database))
            await file.unlink(missing_ok=True)
        else:
            await self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _url_of(self, name: str) -> URL:
        if self._is_sqlite:
            file = Path(str(self.control.database)).with_name(f"tenant-{name}.sqlite3")
            return self.control.set(database=str(file))
        return self.control.set(database=f"{self.control.database}_{name}")

    async def _run(self, statement: str, name: str) -> None:
        """Databases are made and dropped outside of transactions."""
        engine = create_async_engine(self.control, isolation_level="AUTOCOMMIT")
        quoted = engine.dialect.identifier_preparer.quote(str(self._url_of(name).database))
        try:
            async with engine.connect() as connection:
                await connection.exec_driver_sql(statement.format(quoted))
        finally:
            await engine.dispose()

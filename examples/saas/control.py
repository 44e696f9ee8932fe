"""The control database: which tenants there are, at which hosts, and who administers them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from sqlalchemy import ForeignKey, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from examples.saas import shop_tables
from examples.saas.databases import Databases
from examples.saas.passwords import MIN_LENGTH
from mountkit import PatternError, TenantResolver

# One label of a host, and short enough for the name of a database.
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?")
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_OURS = {"admin", "www"}


class Base(DeclarativeBase):
    pass


class Tenant(Base):
    """One who has a shop.

    Attributes:
        id: also the name of its database. Never used again, unlike the slug.
        slug: its host is `{slug}.{domain}`.
    """

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    colour: Mapped[str]
    domains: Mapped[list[Domain]] = relationship(
        cascade="all, delete-orphan", order_by="Domain.host"
    )


class Domain(Base):
    """A host of a tenant's own."""

    __tablename__ = "domains"

    host: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)


class Admin(Base):
    """One who may log in to the admin app."""

    __tablename__ = "admins"

    name: Mapped[str] = mapped_column(primary_key=True)
    password: Mapped[str]


class Refused(Exception):
    """What was asked for cannot be; the message is for who has asked."""


class Control:
    """The control database.

    What it changes is served once the resolver has been told: see the admin app.
    """

    def __init__(self, databases: Databases, domain: str) -> None:
        self.databases = databases
        self.domain = domain
        self.engine = databases.open_control()  # it connects when it is used
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    async def open(self) -> None:
        """Make the tables that are not there yet. A real one migrates here."""
        async with self.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    async def close(self) -> None:
        await self.engine.dispose()

    def host_of(self, tenant: Tenant) -> str:
        return f"{tenant.slug}.{self.domain}"

    async def find(self, host: str) -> Tenant | None:
        """Whose host is it? This is what `TenantResolver` asks."""
        label, _, rest = host.partition(".")
        if rest == self.domain:
            query = select(Tenant).where(Tenant.slug == label)
        else:
            query = select(Tenant).join(Tenant.domains).where(Domain.host == host)
        async with self.sessions() as session:
            return await session.scalar(query)

    async def tenants(self) -> Sequence[Tenant]:
        query = select(Tenant).options(selectinload(Tenant.domains)).order_by(Tenant.slug)
        async with self.sessions() as session:
            return (await session.scalars(query)).all()

    async def add_tenant(self, slug: str, name: str, colour: str, password: str) -> Tenant:
        """A new tenant, with a database in which a user "owner" has the password.

        Raises:
            Refused: it cannot be.
        """
        if not _SLUG.fullmatch(slug) or slug in _OURS:
            raise Refused(
                f"“{slug}” cannot be the name of a host; use up to 30 of a-z, 0-9 and the hyphen."
            )
        if not name.strip() or not _COLOUR.fullmatch(colour):
            raise Refused("A shop needs a title, and a colour such as #336699.")
        if len(password) < MIN_LENGTH:
            raise Refused(f"The password needs {MIN_LENGTH} characters or more.")
        tenant = Tenant(
            id=f"{slug}-{secrets.token_hex(4)}", slug=slug, name=name.strip(), colour=colour
        )
        try:
            # First the database: a tenant that can be found can be served.
            await self.databases.create(tenant.id, shop_tables.Base.metadata)
            await shop_tables.add_owner(self.databases.open(tenant.id), password)
            async with self.sessions.begin() as session:
                session.add(tenant)
        except IntegrityError:
            await self.databases.drop(tenant.id)
            raise Refused(f"There is a tenant “{slug}” already.") from None
        except BaseException:
            await self.databases.drop(tenant.id)
            raise
        return tenant

    async def remove_tenant(self, tenant_id: str) -> Tenant | None:
        """Its hosts are unknown from now on. Its database is still there."""
        async with self.sessions.begin() as session:
            tenant = await session.get(Tenant, tenant_id, options=[selectinload(Tenant.domains)])
            if tenant is not None:
                await session.delete(tenant)
        return tenant

    async def add_domain(self, tenant_id: str, host: str) -> str:
        """Give a tenant a host of its own. A real one would look here whether the host's DNS
        points to this server: only its owner can bring that about.

        Returns:
            The host as it was stored.

        Raises:
            Refused: it cannot be.
        """
        try:
            host = TenantResolver.normal(host.strip())
        except PatternError as exc:
            raise Refused(str(exc)) from None
        if host == self.domain or host.partition(".")[2] == self.domain:
            raise Refused(f"{host} is a host of this service; a domain has to be the tenant's own.")
        try:
            async with self.sessions.begin() as session:
                tenant = await session.get(Tenant, tenant_id)
                if tenant is None:
                    raise Refused("This tenant is gone.")
                session.add(Domain(host=host, tenant_id=tenant.id))
        except IntegrityError:
            raise Refused(f"{host} is somebody's already.") from None
        return host

    async def remove_domain(self, host: str) -> None:
        async with self.sessions.begin() as session:
            domain = await session.get(Domain, host)
            if domain is not None:
                await session.delete(domain)

    async def admin_password(self, name: str) -> str | None:
        """The hash of an admin's password; `None` if there is no such admin."""
        async with self.sessions() as session:
            return await session.scalar(select(Admin.password).where(Admin.name == name))

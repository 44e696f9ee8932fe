"""The tables of a tenant's database: none of them has a column that says whose row it is."""

from __future__ import annotations

from sqlalchemy import CheckConstraint
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from examples.saas.passwords import hash_password


class Base(DeclarativeBase):
    pass


class User(Base):
    """One who may log in to this shop."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(primary_key=True)
    password: Mapped[str]


class Product(Base):
    __tablename__ = "products"
    __table_args__ = (CheckConstraint("cents >= 0"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    cents: Mapped[int]

    @property
    def price(self) -> str:
        return f"{self.cents // 100}.{self.cents % 100:02}"


async def add_owner(engine: AsyncEngine, password: str) -> None:
    """The first user of a new shop."""
    try:
        async with async_sessionmaker(engine).begin() as session:
            session.add(User(name="owner", password=await hash_password(password)))
    finally:
        await engine.dispose()

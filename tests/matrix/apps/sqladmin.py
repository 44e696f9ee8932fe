from __future__ import annotations

from typing import Any

import sqladmin
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.applications import Starlette
from starlette.requests import Request

from tests.matrix.apps import common


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class BookAdmin(sqladmin.ModelView, model=Book):
    column_list = ("id", "title")


class Login(AuthenticationBackend):
    async def login(self, request: Request) -> bool:
        form = await request.form()
        if form["password"] != "lovelace":
            return False
        request.session["user"] = form["username"]
        return True

    async def logout(self, request: Request) -> bool:
        request.session.clear()
        return True

    async def authenticate(self, request: Request) -> bool:
        return "user" in request.session


def make(prefix: str) -> Any:
    engine = create_engine(f"sqlite:///{common.FOLDER}/books.sqlite3")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Book(id=7, title="Notes"))
        session.commit()
    app = Starlette(lifespan=common.lifespan)
    admin = sqladmin.Admin(
        app, engine, base_url="/", authentication_backend=Login(secret_key="of the tests")
    )
    admin.add_view(BookAdmin)
    return app

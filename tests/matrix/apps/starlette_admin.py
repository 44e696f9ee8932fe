from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.auth import AdminUser, AuthProvider
from starlette_admin.contrib.sqla import Admin, ModelView
from starlette_admin.exceptions import LoginFailed

from tests.matrix.apps import common


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Login(AuthProvider):
    async def login(
        self, username: str, password: str, remember_me: bool, request: Request
    ) -> Response | None:
        if password != "lovelace":
            raise LoginFailed("wrong")
        request.session["user"] = username
        return None

    async def authenticate(self, request: Request) -> AdminUser | None:
        user = request.session.get("user")
        return None if user is None else AdminUser(username=user)

    async def logout(self, request: Request) -> Response | None:
        request.session.clear()
        return None


def make(prefix: str) -> Any:
    engine = create_engine(
        f"sqlite:///{common.FOLDER}/books.sqlite3", connect_args={"check_same_thread": False}
    )
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Book(id=7, title="Notes"))
        session.commit()
    app = Starlette(lifespan=common.lifespan)
    admin = Admin(
        engine,
        base_url="/",
        auth_provider=Login(),
        secret_key="of the tests",
        middlewares=[Middleware(SessionMiddleware, secret_key="of the tests")],
    )
    admin.add_view(ModelView(Book))
    admin.mount_to(app)
    return app

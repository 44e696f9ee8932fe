"""What is different from one installation to the next: environment variables."""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Attributes:
    domain: the marketing site is here, and the shops are one label below.
    database_url: of the control database; the databases of the tenants are beside it.
    secret_key: the keys that sign cookies are made of it.
    """

    domain: str
    database_url: str
    secret_key: bytes = field(repr=False)

    @classmethod
    def from_environ(cls) -> Settings:
        data = Path(os.environ.get("SAAS_DATA", "saas-data")).absolute()
        database_url = os.environ.get("SAAS_DATABASE_URL")
        secret_key = os.environ.get("SAAS_SECRET_KEY")
        return cls(
            domain=os.environ.get("SAAS_DOMAIN", "localhost"),
            database_url=database_url or f"sqlite+aiosqlite:///{data / 'control.sqlite3'}",
            secret_key=secret_key.encode() if secret_key else _kept_key(data / "secret_key"),
        )

    def key_for(self, whom: str) -> str:
        """A key of its own for each app: what one has signed is worth nothing to another."""
        return hmac.digest(self.secret_key, whom.encode(), "sha256").hex()


def _kept_key(path: Path) -> bytes:
    """The key in a file, which is made by the first start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    return path.read_bytes()

"""Passwords are kept as hashes by scrypt (RFC 7914), which the standard library has."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import anyio
import anyio.to_thread

MIN_LENGTH = 8

# Of OWASP's equally strong choices, one that takes little memory.
_N, _R, _P = 2**14, 8, 5
# So that logins leave threads to the rest of the process.
_at_a_time = anyio.CapacityLimiter(2)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p)


async def hash_password(password: str) -> str:
    salt = secrets.token_bytes(16)
    key = await anyio.to_thread.run_sync(_scrypt, password, salt, _N, _R, _P, limiter=_at_a_time)
    return f"scrypt${_N}${_R}${_P}${salt.hex()}${key.hex()}"


# Of no password. An unknown user takes as long as a wrong password.
_NOBODYS = f"scrypt${_N}${_R}${_P}${'00' * 16}${'00' * 64}"


async def check_password(password: str, kept: str | None) -> bool:
    """Whether a password is the one of a hash; `None` if there is no such user."""
    _, n, r, p, salt, key = (kept or _NOBODYS).split("$")
    numbers = int(n), int(r), int(p)
    found = await anyio.to_thread.run_sync(
        _scrypt, password, bytes.fromhex(salt), *numbers, limiter=_at_a_time
    )
    return hmac.compare_digest(found, bytes.fromhex(key))

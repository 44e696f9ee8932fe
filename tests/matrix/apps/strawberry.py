from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import strawberry
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str) -> str:
        return f"hello {name}"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number


def make(prefix: str) -> Any:
    return GraphQL(strawberry.Schema(Query, subscription=Subscription))

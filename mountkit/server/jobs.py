"""What a worker is to serve: the site's text, and what the command says beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mountkit.config.models import SiteConfig, StatusConfig
from mountkit.config.parsing import parse
from mountkit.config.sources import Source


@dataclass(frozen=True)
class Job:
    """One generation of the site. It goes from the parent to its workers as JSON.

    Attributes:
        source: the texts.
        generation: counts the texts that were in force, from 1.
        overrides: keys of `[server]` that the command has set.
        status: `[status] listen`, if the command has set it.
        is_watched: the worker reports which modules it has imported, for `--reload`.
        only, upstreams: which mounts are served, and where others are: see `parse`.
    """

    source: Source
    generation: int = 1
    overrides: Mapping[str, Any] = field(default_factory=dict)
    status: str | None = None
    is_watched: bool = False
    only: Sequence[str] | None = None
    upstreams: Sequence[str] = ()

    def config(self) -> SiteConfig:
        """What the texts say.

        Raises:
            ConfigError: all that is wrong with them.
            PatternError: there is no such mount or upstream.
        """
        config = parse(self.source, only=self.only, upstreams=self.upstreams)
        server = config.server.model_copy(update=dict(self.overrides))
        status = config.status
        if self.status is not None:
            status = (status or StatusConfig()).model_copy(update={"listen": self.status})
        return replace(config, server=server, status=status)

    def to_json(self) -> str:
        """For the worker."""
        return json.dumps({**vars(self), "source": self.source.as_dict()})

    @classmethod
    def from_json(cls, text: str | bytes) -> Job:
        """What `to_json` gave."""
        values = json.loads(text)
        source, upstreams = Source.from_dict(values["source"]), tuple(values["upstreams"])
        return cls(**{**values, "source": source, "upstreams": upstreams})

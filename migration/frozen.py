"""The base of every model: what was said once stays as it was said."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A model that can't be changed and accepts no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

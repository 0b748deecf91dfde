"""What the model is for."""

from __future__ import annotations

from typing import Literal, TypeAlias

from wellfit.config.fields import Section


class LanguageModel(Section):
    """Predict each next token of plain text."""

    kind: Literal["language-model"] = "language-model"
    """What the model learns to do."""


Task: TypeAlias = LanguageModel  # becomes a union by kind when a second task is offered

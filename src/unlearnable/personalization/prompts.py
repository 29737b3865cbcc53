"""Prompts that name a subject by a token, such as ``sks`` in "a photo of sks dog"."""

from __future__ import annotations

import re

from unlearnable.errors import UsageError


def pattern(token: str) -> re.Pattern[str]:
    """A pattern for the token as a whole word."""
    return re.compile(rf"(?<!\w){re.escape(token)}(?!\w)")


def mentions(prompt: str, token: str) -> bool:
    return pattern(token).search(prompt) is not None


def holding(prompt: str, token: str) -> None:
    """Raise UsageError for a prompt without the token."""
    if not mentions(prompt, token):
        remedy = f"write 'a photo of {token}', or name another token"
        raise UsageError(f"the prompt {prompt!r} does not hold the token {token!r}: {remedy}")


def behind(prompt: str, token: str) -> str:
    """The text after the token, usually the class: ``dog``."""
    return pattern(token).split(prompt, maxsplit=1)[-1].strip()


def without(prompt: str, token: str) -> str:
    """The prompt without the token, which names the class: "a photo of dog"."""
    return " ".join(pattern(token).sub(" ", prompt).split()) if token else prompt

"""Make pictures hard for diffusion models to learn, and measure whether that worked.

>>> import unlearnable
>>> for result in unlearnable.protect(["photos"], "protected", unlearnable.Recipe(method="advdm")):
...     print(result.source, result.status)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearnable.auditing.run import audit
    from unlearnable.jobs.personalize import personalize
    from unlearnable.jobs.protect import protect
    from unlearnable.jobs.purify import purify
    from unlearnable.metrics.folders import measure
    from unlearnable.models.load import load_model
    from unlearnable.recipe import Recipe

__version__ = "0.3.0"
__all__ = ["Recipe", "audit", "load_model", "measure", "personalize", "protect", "purify"]

_WHERE = {
    "Recipe": "unlearnable.recipe",
    "audit": "unlearnable.auditing.run",
    "load_model": "unlearnable.models.load",
    "measure": "unlearnable.metrics.folders",
    "personalize": "unlearnable.jobs.personalize",
    "protect": "unlearnable.jobs.protect",
    "purify": "unlearnable.jobs.purify",
}


def __getattr__(name: str) -> Any:
    """The public verbs, imported when they are first used: `import unlearnable` alone loads nothing heavy."""
    if name not in _WHERE:
        raise AttributeError(f"module 'unlearnable' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)

"""PASTA: a preference adaptive and sequential text-to-image agent, in JAX.

`Agent` is a trained agent: it proposes slates, observes answers, explains.
`Feedback` is what a person answered. `latent_class` is a library of its own:
latent-class conditional logits on plain arrays.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from pasta import latent_class
  from pasta.library.agent import Agent, Feedback

__version__ = '0.1.0'
__all__ = ('Agent', 'Feedback', 'latent_class')

_HOMES = {
  'Agent': 'pasta.library.agent',
  'Feedback': 'pasta.library.agent',
  'latent_class': 'pasta.latent_class',
}


def __getattr__(name: str) -> Any:
  """Imports what is public when it is asked for: jax takes seconds to load."""
  if name not in _HOMES:
    raise AttributeError(f"module 'pasta' has no attribute {name!r}")
  module = importlib.import_module(_HOMES[name])
  return module if name == 'latent_class' else getattr(module, name)


def __dir__() -> list[str]:
  return [*__all__, '__version__']

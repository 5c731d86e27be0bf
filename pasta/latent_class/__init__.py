"""Latent-class conditional logits on plain arrays: the library's front door.

  from pasta import latent_class
  panel = latent_class.from_long('choices.csv', user=..., ...)  # or arrays
  fit = latent_class.fit(features, choice, user, num_types=3)
  fit.model.coefficients                       # [K, D]
  errors = latent_class.infer(fit, features, choice, user)
  print(latent_class.table(fit, errors))
  people, belief = latent_class.posterior(fit.model, features, choice, user)
  latent_class.predict(fit.model, new_features, belief_of_each_choice)

A person has one of K types with probability η_k and chooses alternative l with
probability softmax_l(b_k · x_l). All choices of one person are made by the
same type.
"""

from pasta.latent_class.inference import (
  Inference,
  Selection,
  choose_num_types,
  infer,
  table,
)
from pasta.latent_class.model import (
  Fit,
  LatentClass,
  Options,
  fit,
  load,
  log_likelihood,
  posterior,
  predict,
  save,
)
from pasta.latent_class.panel import Panel, from_long, from_wide

__all__ = (
  'Fit',
  'Inference',
  'LatentClass',
  'Options',
  'Panel',
  'Selection',
  'choose_num_types',
  'fit',
  'from_long',
  'from_wide',
  'infer',
  'load',
  'log_likelihood',
  'posterior',
  'predict',
  'save',
  'table',
)

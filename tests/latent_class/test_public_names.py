"""The library's front door: what `from pasta import latent_class` gives."""

import subprocess
import sys

import numpy as np

from pasta import latent_class


def test_a_fit_its_errors_and_its_predictions_by_public_names_alone():
  rng = np.random.default_rng(0)
  user = np.repeat(np.arange(60), 8)
  features = rng.normal(size=(len(user), 3, 2))
  taste = np.where(user[:, None] % 2, [2.0, 0.0], [-2.0, 0.0])
  utility = np.einsum('nld,nd->nl', features, taste)
  choice = (utility + rng.gumbel(size=utility.shape)).argmax(1)
  fit = latent_class.fit(features, choice, user, num_types=2)
  errors = latent_class.infer(fit, features, choice, user)
  assert 'speed' in latent_class.table(fit, errors, ['price', 'speed'])
  people, belief = latent_class.posterior(fit.model, features, choice, user)
  probabilities = latent_class.predict(
    fit.model, features[:8], belief[user[:8]]
  )
  assert belief.shape == (len(people), 2)
  np.testing.assert_allclose(probabilities.sum(1), 1.0)
  found = latent_class.choose_num_types(
    features, choice, user, candidates=(1, 2), num_folds=2
  )
  assert found.num_types == 2
  assert isinstance(fit.model, latent_class.LatentClass)
  assert all(hasattr(latent_class, name) for name in latent_class.__all__)


def test_nothing_of_the_agent_is_imported():
  code = (
    'import sys; from pasta import latent_class; '
    'print([m for m in sys.modules if m.startswith("pasta.")'
    ' and m.split(".")[1] in ("user_model", "agent", "storage", "world")])'
  )
  found = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert found.stdout.strip() == '[]'

"""The stage `train_value`: implicit Q-learning."""

import os

import jax
import ml_collections

from pasta import errors
from pasta import workdir as workdir_lib
from pasta.agent import backbones, rivals
from pasta.agent import episodes as episodes_lib
from pasta.agent import train as value_train
from pasta.agent.gemma import text as gemma_text
from pasta.population import true_types
from pasta.stages import stage
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.user_model import saved


def run(
  config: ml_collections.ConfigDict,
  workdir: str,
  worlds: stage.Worlds | None = None,
) -> None:
  """features/ and simulated/ -> value/: implicit Q-learning."""
  del worlds  # Trains on features alone.
  directory = os.path.join(workdir, 'value')
  upstream = [workdir_lib.upstream(workdir, 'user_model', 'train_user_model')]
  sources = []
  if config.data not in ('human', 'simulated', 'mixed'):
    raise errors.PastaError(
      f"config field 'data' is {config.data!r}, expected 'human', "
      "'simulated' or 'mixed'"
    )
  if config.data != 'simulated':
    upstream.append(
      workdir_lib.upstream(workdir, 'features', 'extract_features')
    )
    sources.append('features')
  if config.data != 'human':
    upstream.append(workdir_lib.upstream(workdir, 'simulated', 'simulate'))
    sources.append('simulated')
  backbone = backbones.of(config.backbone)
  upstream += backbone.fingerprints(config)
  with stage.open_stage('train_value', directory, config, upstream) as info:
    if info is None:
      return
    parts = {
      s: features_lib.load_dir(os.path.join(workdir, s)) for s in sources
    }
    features = features_lib.concatenate(list(parts.values()))
    model = saved.load(os.path.join(workdir, 'user_model'), features.encoder_id)
    base, texts = backbone.load(config), None
    if base is not None:
      texts = _session_texts(base.settings.tokeniser, workdir, parts)
    episodes = episodes_lib.from_features(
      features,
      model,
      reward=config.reward,
      log_belief=true_types.training_belief(
        config.belief, workdir, model, parts
      ),
      with_pool=config.backup in rivals.NEED_POOL,
      texts=texts,
    )
    value, metrics = value_train.fit(
      episodes,
      config,
      key=jax.random.key(config.seed),
      directory=directory,
      base=base,
    )
    value_train.save(
      directory,
      value,
      {
        'encoder_id': features.encoder_id,
        'generator_id': features.generator_id,
        't2i_id': features.t2i_id,
        **metrics,
      },
    )
    info |= metrics


def _session_texts(tokeniser, workdir, parts) -> episodes_lib.EpisodeTexts:
  """The sessions behind features, as text, in the features' order."""
  records = []
  for name, features in parts.items():
    directory = 'sessions' if name == 'features' else name
    records += sessions_lib.read_by_id(
      os.path.join(workdir, directory), features.session_id
    )
    num_turns = features.slate_text.shape[1]
  return gemma_text.of_sessions(tokeniser, records, num_turns)

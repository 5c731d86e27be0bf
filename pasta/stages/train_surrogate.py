"""The stage `train_surrogate`: what images of a prompt are like, unrendered.

Letters: S slates, L columns, M images per prompt, D embedding width.
"""

import functools
import os

import jax
import ml_collections
import numpy as np
from absl import logging

from pasta import errors, seeds
from pasta import metrics as metrics_lib
from pasta import training as training_lib
from pasta import workdir as workdir_lib
from pasta.stages import stage
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.surrogate import columns as columns_lib
from pasta.surrogate import draws, fidelity, flow, likelihood
from pasta.surrogate import saved as saved_surrogates
from pasta.surrogate import train as surrogate_train
from pasta.surrogate.columns import Columns
from pasta.user_model import saved
from pasta.user_model.model import UserModel
from pasta.world import world as world_lib

_DRAWS = 32  # of a prompt, whose mean stands for the surrogate's


@stage.with_worlds
def run(
  config: ml_collections.ConfigDict, workdir: str, worlds: stage.Worlds
) -> None:
  """features/, user_model/ -> surrogate/: draws image features from prompts."""
  directory = os.path.join(workdir, 'surrogate')
  upstream = (
    workdir_lib.upstream(workdir, 'features', 'extract_features'),
    workdir_lib.upstream(workdir, 'user_model', 'train_user_model'),
  )
  with stage.open_stage('train_surrogate', directory, config, upstream) as info:
    if info is None:
      return
    features = features_lib.load_dir(os.path.join(workdir, 'features'))
    user_model = saved.load(
      os.path.join(workdir, 'user_model'), features.encoder_id
    )
    split_key, fit_key, test_key = jax.random.split(
      jax.random.key(config.seed), 3
    )
    parts = columns_lib.split(
      features, config.validation_share, config.test_share, split_key
    )
    training = columns_lib.columns(parts.training)
    model, metrics = fit(
      training,
      columns_lib.columns(parts.validation),
      config,
      key=fit_key,
      directory=directory,
    )
    test = columns_lib.columns(parts.test)
    metrics |= {
      'num_columns': len(training[0]),
      'log_likelihood': likelihood.log_likelihood(
        model, test, config.blur, test_key
      ),
      'gaussian_log_likelihood': likelihood.gaussian_log_likelihood(
        training, test, model.constants, config.blur
      ),
      **_explained(model, test),
    }
    world = worlds(config.world) if config.render_again else None
    found, ceiling = _judge(
      model, user_model, parts.test, config, workdir, world
    )
    metrics |= found
    if ceiling is not None:
      metrics |= {f'ceiling_{k}': v for k, v in ceiling.items()}
    with metrics_lib.MetricWriter(
      directory, resume_step=config.num_steps + 1
    ) as writer:
      writer.write(
        config.num_steps + 1, {f'test/{k}': v for k, v in metrics.items()}
      )
    saved_surrogates.save(
      directory,
      model,
      {
        'encoder_id': features.encoder_id,
        't2i_id': features.t2i_id,
        **metrics,
      },
    )
    info |= metrics
    for line in report(metrics, found, ceiling):
      print(line)


def fit(
  training: Columns,
  validation: Columns,
  config: ml_collections.ConfigDict,
  *,
  key: jax.Array,
  directory: str,
) -> tuple[flow.Surrogate, dict[str, float]]:
  """Maximum likelihood; the parameters with the best held-out one are kept.

  Args:
    training: prompts' features [P, D] and their images' [P, M, D], float16.
    validation: those of other people.
    config: of configs/train_surrogate.py.
    key: typed key; the same key and data give the same result, restarted or
      not.
    directory: gets checkpoints/ and metrics.jsonl.

  Returns:
    The surrogate, and metrics of the step that was kept.

  Raises:
    PastaError: a loss that is not finite.
  """
  text, image = training
  settings = flow.Settings(
    embedding_dim=text.shape[1],
    num_couplings=config.num_couplings,
    hidden_dim=config.hidden_dim,
    trunk_dim=config.trunk_dim,
  )
  init_key, batch_key, blur_key = jax.random.split(key, 3)
  optimizer = surrogate_train.make_optimizer(config)

  @jax.jit
  def start(key, constants):
    model = flow.init(key, settings, constants)
    return surrogate_train.init(model.params, optimizer), model

  state, model = start(
    init_key, flow.constants_of(text, image, config.whitening_floor)
  )

  def make_batch(step, num):
    keys = surrogate_train.step_keys(batch_key, step, num)
    index = surrogate_train.batches(keys, config.batch_columns, len(text))
    index = np.asarray(index)  # [S, B]
    return model, text[index], image[index], keys

  def judge(state, step):
    score = likelihood.log_likelihood(
      model.replace(params=state.params), validation, config.blur, blur_key
    )
    found = {'val/loss': -score}
    metrics_lib.check_finite(found, step)
    return surrogate_train.keep_best(state, score, step), found

  state, _ = training_lib.run(
    lambda: state,
    make_batch,
    # The state isn't donated: the best parameters may be the present ones.
    jax.jit(
      functools.partial(
        surrogate_train.update_many, optimizer=optimizer, blur=config.blur
      )
    ),
    judge,
    directory=directory,
    num_steps=config.num_steps,
    steps_per_call=config.steps_per_call,
    log_steps=config.steps_per_call,
    checkpoint_steps=config.checkpoint_steps,
    desc='surrogate',
  )
  metrics = {
    'best_step': int(state.best_step),
    'validation_log_likelihood': float(state.best_score),
  }
  logging.info(
    'surrogate after %d updates: best at update %d, held-out log-likelihood '
    '%.4g nats an image',
    config.num_steps,
    *metrics.values(),
  )
  return model.replace(params=state.best_params), metrics


def report(
  metrics: dict[str, float],
  found: dict[str, float],
  ceiling: dict[str, float] | None,
) -> list[str]:
  """What people read of the stage: lines of markdown."""
  top = metrics.get('mean_r2_ceiling')
  of = '' if top is None else f' of {top:.3f}'
  return [
    f'surrogate: {metrics["log_likelihood"]:.1f} nats an image of people it '
    f'never saw, a Gaussian {metrics["gaussian_log_likelihood"]:.1f}; its mean '
    f'explains {metrics["mean_r2"]:.3f}{of} of the variance',
    *fidelity.table(found, ceiling),
  ]


def _explained(model, test: Columns) -> dict[str, float]:
  text, image = test
  column_seeds = seeds.derive(0, 'explained', np.arange(len(text)))
  return fidelity.explained(
    image, draws.draw(model, text, column_seeds, _DRAWS)
  )


def _judge(
  model,
  user_model: UserModel,
  test: features_lib.SessionFeatures,
  config: ml_collections.ConfigDict,
  workdir: str,
  world: world_lib.World | None,
) -> tuple[dict[str, float], dict[str, float] | None]:
  """Figures of the surrogate and, with a world, of rendering again.

  Both on the same slates, the first of those that test people were shown.
  """
  text, image = columns_lib.slates(test)
  num = min(config.num_test_slates, len(text))
  text, image = text[:num], image[:num]
  columns, num_images = num * text.shape[1], image.shape[2]
  drawn = draws.draw(
    model,
    text.reshape(columns, -1),
    seeds.derive(config.seed, 'test', np.arange(columns)),
    num_images,
  )
  found = fidelity.compare(user_model, text, image, drawn.reshape(image.shape))
  if world is None:
    return found, None
  if world.t2i.model_id != test.t2i_id:
    raise errors.PastaError(
      f"features/ show images of {test.t2i_id}, the config's world draws "
      f'{world.t2i.model_id}; set world.t2i, or render_again = False'
    )
  records = sessions_lib.read_by_id(
    os.path.join(workdir, 'sessions'), test.session_id
  )
  prompts = [
    prompt for r in records for turn in r.turns for prompt in turn.prompts
  ][:columns]
  again = world.image_features(
    prompts,
    seeds.derive(config.seed, 'again', np.arange(columns)) >> np.uint64(32),
    num_images,
  )
  return found, fidelity.compare(
    user_model, text, image, again.reshape(image.shape)
  )

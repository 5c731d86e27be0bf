"""The whole loop, end to end: every stage, one after another."""

import contextlib
import os
import time

import jax
import ml_collections

from pasta import errors, files
from pasta.stages import evaluate, registry, stage


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """The whole loop, end to end: every stage with its part of the config.

  Args:
    config: `configs/quickstart.py`; stages named in `skip` are left out.
    workdir: directory for all that is written.

  Raises:
    PastaError: as the stages; `skip` names what is none.
  """
  for name in config.skip:
    errors.check_known("config field 'skip'", name, registry.LOOP)
  timing = {}
  with stage.Worlds() as worlds, _compile_clock() as compiled:
    for name, part in registry.LOOP.items():
      if name in config.skip:
        continue
      if name == 'train_surrogate' and not config.simulate.surrogate:
        continue
      started, compiled_before = time.time(), compiled()
      part.run(config[name], workdir, worlds)
      timing[name] = {
        'seconds': round(time.time() - started, 1),
        'compile_seconds': round(compiled() - compiled_before, 1),
      }
      path = os.path.join(workdir, 'timing.json')
      if name == 'evaluate' and not os.path.exists(path):
        # Before the report, which shows it; kept at a second, skipping run.
        files.write_json(path, timing)
  results = files.read_json(os.path.join(workdir, 'evaluation', 'results.json'))
  for line in evaluate.lines(results):
    print(line)
  print(f'report: {os.path.join(workdir, "report", "index.html")}')


@contextlib.contextmanager
def _compile_clock():
  """Yields a function that says how many seconds went into compilation."""
  total = [0.0]

  def listen(event: str, seconds: float, **unused_details) -> None:
    if event == '/jax/core/compile/backend_compile_duration':
      total[0] += seconds

  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    yield lambda: total[0]
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)

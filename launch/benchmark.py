"""Measures how fast a part of the project is; configs/benchmark.py tells how.

python -m launch.benchmark --part=agent
python -m launch.benchmark --part=extraction --workdir=DIR
"""

import importlib
import os

import ml_collections
from absl import flags

from launch import cli
from pasta import errors

_MODULES = {
  'agent': 'pasta.benchmarks.agent',
  'extraction': 'data.benchmark',
  'library': 'pasta.benchmarks.library',
  'streaming': 'pasta.benchmarks.streaming',
  't2i': 'pasta.benchmarks.t2i',
  'user_model': 'pasta.benchmarks.user_model',
}
_WRITES = ('extraction', 'streaming', 't2i')  # into --workdir
_READS = ('library',)  # a trained agent from it


def run(config: ml_collections.ConfigDict, part: str, workdir: str) -> None:
  """Runs one part with its part of the config."""
  given = [config[part]]
  if part in _WRITES + _READS:
    if not workdir:
      does = 'writes into' if part in _WRITES else 'reads an agent from'
      raise errors.PastaError(
        f'flag --workdir is missing: --part={part} {does} a directory'
      )
    given.append(os.path.expanduser(workdir))
  importlib.import_module(_MODULES[part]).run(*given)


if __name__ == '__main__':
  # Here, as `cli` imports this module once more.
  flags.DEFINE_enum(
    'part', None, tuple(_MODULES), 'What is measured.', required=True
  )
  flags.DEFINE_string('workdir', '', f'Of {", ".join(_READS + _WRITES)}.')
  cli.run('launch.benchmark:run', workdir=False, flag_names=('part', 'workdir'))

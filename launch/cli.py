"""What all launch scripts share: flags, logging, caches, one-line errors.

A launch script is a docstring with the exact command and

  from launch import cli

  if __name__ == '__main__':
    cli.run('pasta.stages.train_value:run')

The entry is imported inside `run`, after the environment is set up: spawned
render workers import the script again as `__mp_main__` and must stay light.
Exit codes: 0 done, 1 bad input or failure, 130 interrupted, 143 terminated.
"""

import contextlib
import errno
import importlib
import io
import logging as std_logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from pasta import credentials, errors, files

# Libraries whose progress notes are not ours to tell (orbax alone writes about
# twenty lines a checkpoint at level INFO); their warnings stay.
_CHATTY_PACKAGES = (
  'diffusers',
  'etils',
  'flax',
  'httpcore',
  'httpx',
  'jax',
  'orbax',
  'tensorflow_datasets',
  'transformers',
)
_CHATTY_PATH = re.compile(
  rf'[/\\](?:site|dist)-packages[/\\](?:{"|".join(_CHATTY_PACKAGES)})[/\\]'
)
# What Python and absl say of a value that is no number or boolean, and we.
_NOT_PARSED = (
  (
    r'invalid literal for int\(\) with base \d+: ',
    'expected a whole number, not ',
  ),
  (r'could not convert string to float: ', 'expected a number, not '),
  (
    r"\('Non-boolean argument to boolean flag', (.*)\)$",
    r'expected true or false, not \1',
  ),
)
# Of a disk without room, or one that cannot be written to.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_WORDS = {signal.SIGINT: 'interrupted', signal.SIGTERM: 'terminated'}
_HELP = {'--help', '-help', '--helpshort', '-h', '-?'}
_MIN_COMPILE_SECONDS = '0.3'  # compilations below are not worth a cache file


def run(
  entry: str,
  *,
  config: bool = True,
  workdir: bool = True,
  flag_names: Sequence[str] = (),
  distributed: bool = False,
  fields_given: bool = False,
) -> None:
  """Parses the flags, calls the entry and exits with its code.

  The entry is called as `function(config, workdir, **extra)`, without what the
  script does not take; `extra` holds the values of the flags in `flag_names`,
  which the script defines itself with absl.

  Args:
    entry: 'module:function'.
    config: whether the script takes --config (and --config.FIELD=VALUE);
      where it is not given the file of the script's name in configs/ counts.
    workdir: whether it takes --workdir.
    flag_names: the script's own flags, handed on as keyword arguments; one
      without a default has to be given.
    distributed: whether several processes, one a host, may run it together.
    fields_given: whether the entry is told, as `fields_given`, which fields of
      the config the command line has set.
  """
  _on_end(_end_at_once)
  for stream in (sys.stdin, sys.stdout, sys.stderr):
    # No terminal's alphabet, and no stray byte, costs a session.
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors='replace')
  flags.DEFINE_bool(
    'progress', True, 'Show progress bars; --noprogress shows none.'
  )
  own = [*flag_names, 'progress']
  if workdir:
    flags.DEFINE_string('workdir', None, 'Directory for all that is written.')
    own.insert(0, 'workdir')
  if distributed:
    flags.DEFINE_string(
      'distributed',
      None,
      "Run on several hosts with one --workdir: 'auto' where JAX finds out "
      'which (TPU pods, Slurm, Open MPI), or HOST:PORT,NUMBER,RANK: where '
      'process 0 listens, how many there are, and which this one is.',
    )
    own.append('distributed')
  if _HELP & set(sys.argv[1:]):
    # Instead of absl's, which exits with 1 and knows no config.
    from launch import help_page

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in `--help | head`
    print(help_page.text(config, dict.fromkeys(own)))
    raise SystemExit(0)
  if config:
    # Imported here as importing it takes longer than this whole module.
    from launch import config_flag

    config_flag.define()
  # absl's own default shows warnings only; 0 is INFO.
  flags.FLAGS.set_default('verbosity', 0)
  _set_environment()

  def main(argv: Sequence[str]) -> int:
    del argv  # Checked by `_parse_flags`.
    if not flags.FLAGS.progress:
      os.environ['TQDM_DISABLE'] = '1'  # before tqdm is imported
    _set_logging()
    with _reported_errors():
      pod = _pod(flags.FLAGS.distributed) if distributed else None
      given = [flags.FLAGS.config] if config else []
      for value in given:  # The command line is recorded with the first stage.
        config_flag.check_values(value)
        credentials.check_config(files.to_plain(value))
      function = _load(entry)
      extra = {name: flags.FLAGS[name].value for name in flag_names}
      if fields_given:
        extra['fields_given'] = tuple(flags.FLAGS['config'].override_values)
      if workdir:
        given.append(os.path.expanduser(flags.FLAGS.workdir))
      _on_end(_end_in_order)
      with _joined(pod):
        function(*given, **extra)
    return 0

  def parse(argv: Sequence[str]) -> list[str]:
    with _reported_errors():
      return _parse_flags(argv, config, workdir, flag_names)

  app.run(main, flags_parser=parse)


def _parse_flags(
  argv: Sequence[str],
  config: bool,
  workdir: bool,
  flag_names: Sequence[str],
) -> list[str]:
  """Parses argv, and turns every way it can be wrong into a PastaError."""
  try:
    if config:
      from launch import config_flag, config_help

      argv = config_flag.with_default(argv, config_help.own_file(argv[0]))
    rest = flags.FLAGS(argv)
  except flags.Error as e:
    text = str(e)
    for pattern, ours in _NOT_PARSED:
      text = re.sub(pattern, ours, text)
    raise errors.PastaError(text) from e
  if len(rest) > 1:
    raise errors.PastaError(
      f'unexpected argument {rest[1]!r}: flags are written --name=value'
    )
  if config and flags.FLAGS.config is None:
    raise errors.PastaError(
      'flag --config is missing: name a file, e.g. '
      '--config=configs/quickstart.py'
    )
  if workdir and not flags.FLAGS.workdir:
    raise errors.PastaError(
      'flag --workdir is missing: name the directory for the results'
    )
  for name in flag_names:
    if flags.FLAGS[name].value is None:
      what = flags.FLAGS[name].help.rstrip('.')
      raise errors.PastaError(
        f'flag --{name} is missing: name the {what[0].lower()}{what[1:]}'
      )
  return rest


def _load(entry: str):
  """Returns the function that 'module:function' names."""
  module_name, function_name = entry.split(':')
  try:
    module = importlib.import_module(module_name)
  except ModuleNotFoundError as e:
    own = ('pasta', 'launch', 'configs', 'data')
    if e.name and e.name.split('.')[0] not in own:
      raise errors.PastaError(
        f"module {e.name!r} is not installed: run `pip install -e '.[all]'` in "
        'the project (more parts are extras: see setup.py)'
      ) from e
    raise
  return getattr(module, function_name)


@contextlib.contextmanager
def _reported_errors():
  """Shows input errors, full disks and Ctrl-C as one line and exits."""
  try:
    yield
  except errors.PastaError as e:
    if flags.FLAGS.is_parsed() and flags.FLAGS.verbosity >= 1:
      traceback.print_exc()
    _fail(f'error: {_one_line(str(e))}', 1)
  except OSError as e:
    if e.errno not in _FULL:
      raise
    # Not all that write say where; what is written lies in the workdir.
    known = 'workdir' in flags.FLAGS and flags.FLAGS.workdir
    where = e.filename or known or 'the disk'
    _fail(
      f'error: {where}: cannot be written: {e.strerror}; once there is room '
      'the same command continues the run',
      1,
    )
  except KeyboardInterrupt as e:
    is_asked = isinstance(e, _Terminated)
    number = signal.SIGTERM if is_asked else signal.SIGINT
    line = f'{_WORDS[number]}; the same command continues the run'
    _fail(line, 128 + number)


class _Terminated(KeyboardInterrupt):
  """Asked to end by SIGTERM: all ends as it does after Ctrl-C."""


def _on_end(end: Callable[[int], None]) -> None:
  """Has Ctrl-C and SIGTERM call a function with their number."""
  for number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(number) != signal.SIG_IGN:  # as of nohup
      signal.signal(number, lambda given, unused_frame: end(given))


def _end_at_once(number: int) -> None:
  """While libraries load, some of which swallow exceptions."""
  os.write(2, f'{_WORDS[number]}\n'.encode())
  os._exit(128 + number)


def _end_in_order(number: int) -> None:
  """Once at work: what is open is closed; a second time it is not."""
  _on_end(lambda number: os._exit(128 + number))
  raise _Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _pod(distributed: str | None) -> dict[str, str | int] | None:
  """What jax.distributed takes for --distributed; None: one process alone."""
  if distributed in (None, 'auto'):
    return None if distributed is None else {}
  match = re.fullmatch(r'([^,]+:\d+),(\d+),(\d+)', distributed)
  if not match or not int(match[3]) < int(match[2]):
    raise errors.PastaError(
      f"flag --distributed is {distributed!r}, expected 'auto' or "
      'HOST:PORT,NUMBER,RANK with RANK from 0 to NUMBER - 1'
    )
  return {
    'coordinator_address': match[1],
    'num_processes': int(match[2]),
    'process_id': int(match[3]),
  }


@contextlib.contextmanager
def _joined(pod: dict[str, str | int] | None):
  """Within it, this process and those of other hosts are one JAX program."""
  if pod is None:
    yield
    return
  import jax

  try:
    jax.distributed.initialize(**pod)
  except (ValueError, RuntimeError) as e:
    raise errors.PastaError(
      f'flag --distributed={flags.FLAGS.distributed}: the processes cannot '
      f'join: {e}'
    ) from e
  logging.info('process %d of %d', jax.process_index(), jax.process_count())
  yield
  # Not after an error: it would wait for processes that wait for this one.
  jax.distributed.shutdown()


def _fail(line: str, code: int) -> None:
  print(line, file=sys.stderr, flush=True)
  raise SystemExit(code)


def _one_line(text: str) -> str:
  return ' '.join(text.split())


def _set_environment() -> None:
  """Sets what libraries read when imported; the user's own values win."""
  defaults = {
    'JAX_COMPILATION_CACHE_DIR': os.path.join(files.cache_dir(), 'jax'),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': _MIN_COMPILE_SECONDS,
    'DIFFUSERS_VERBOSITY': 'error',
    'TRANSFORMERS_VERBOSITY': 'error',
    'TRANSFORMERS_NO_ADVISORY_WARNINGS': '1',
    'TF_CPP_MIN_LOG_LEVEL': '2',
    'MPLBACKEND': 'agg',
  }
  for name, value in defaults.items():
    os.environ.setdefault(name, value)


class _Quiet(std_logging.Filter):
  """Drops the notes of other people's libraries."""

  def filter(self, record: std_logging.LogRecord) -> bool:
    return record.levelno >= std_logging.WARNING or not _CHATTY_PATH.search(
      record.pathname
    )


class _Formatter(std_logging.Formatter):
  """`12:34:56 message`, with the level's name from warnings on."""

  def format(self, record: std_logging.LogRecord) -> str:
    text = super().format(record)
    if record.levelno >= std_logging.WARNING:
      text = f'{record.levelname.lower()}: {text}'
    return f'{self.formatTime(record, "%H:%M:%S")} {text}'


class _StderrHandler(std_logging.StreamHandler):
  """Writes to stderr, above a progress bar where a terminal shows one."""

  def emit(self, record: std_logging.LogRecord) -> None:
    import tqdm  # Render workers never log: see the top.

    if sys.stderr.isatty():
      with tqdm.tqdm.external_write_mode(file=sys.stderr):
        super().emit(record)
    else:
      super().emit(record)


def _set_logging() -> None:
  """Short lines on stderr, without the noise of the libraries."""
  handler = _StderrHandler(sys.stderr)
  handler.setFormatter(_Formatter())
  if flags.FLAGS.verbosity < 1:
    handler.addFilter(_Quiet())
  root = std_logging.getLogger()
  root.removeHandler(logging.get_absl_handler())
  root.addHandler(handler)

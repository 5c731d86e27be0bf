"""Sets up jax for all tests, before any of them imports it.

Tests run on the CPU, with eight fake devices and without a network. Compiled
programs are kept in .cache/jax, so that a second run of the tests is faster.
"""

import gc
import os
import pathlib

_ROOT = pathlib.Path(__file__).resolve().parent.parent

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['JAX_NUM_CPU_DEVICES'] = '8'
# The tests compile thousands of small programs and run each a few times:
# optimisations cost more than they save, and so do XLA's newer emitters of
# fused loops, which take twice as long to compile as those before them, and
# more than one part of a program for LLVM, as two workers keep two cores busy.
os.environ['XLA_FLAGS'] = ' '.join(
  (
    os.environ.get('XLA_FLAGS', ''),
    '--xla_backend_optimization_level=0',
    '--xla_cpu_use_fusion_emitters=false',
    '--xla_cpu_parallel_codegen_split_count=1',
  )
)
# Where in the source an operation comes from is only for profiles, and takes
# up to a tenth of the time of tests that compile many programs.
os.environ['JAX_TRACEBACK_IN_LOCATIONS_LIMIT'] = '0'
os.environ['HF_HUB_OFFLINE'] = '1'
os.environ['PASTA_CACHE'] = str(_ROOT / '.cache')
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(_ROOT / '.cache' / 'jax')
# Small programs as well: there are thousands, and many files need the same.
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
# A random key that is used twice raises, here and in launched processes. Where
# that is meant, jax.random.clone says so.
os.environ['JAX_DEBUG_KEY_REUSE'] = '1'
os.environ['DIFFUSERS_VERBOSITY'] = 'error'
os.environ['TRANSFORMERS_VERBOSITY'] = 'error'
os.environ['MPLBACKEND'] = 'agg'

import pytest  # noqa: E402

# Tracing makes many objects and few cycles: the collector would go through all
# that the imported libraries hold again and again.
gc.set_threshold(100_000, 50, 50)


def pytest_collection_modifyitems(items):
  """The longest file first: no process is left alone with it at the end."""
  items.sort(key=lambda item: item.path.name != 'test_end_to_end.py')


# A process that holds more forgets its compiled programs.
_MAX_RESIDENT_BYTES = 3 << 30


@pytest.fixture(autouse=True, scope='module')
def _bounded_memory():
  """Keeps compiled programs from module to module while there is room."""
  yield
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  if pages * os.sysconf('SC_PAGE_SIZE') > _MAX_RESIDENT_BYTES:
    import jax

    jax.clear_caches()

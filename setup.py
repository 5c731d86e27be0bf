"""Installs pasta: `pip install -e .` the core, `'.[all]'` the whole loop."""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).parent
_VERSION = re.search(
  r"__version__ = '(.*)'", (_ROOT / 'pasta' / '__init__.py').read_text()
)[1]
_README = _ROOT / 'README.md'

# Beyond the core; `pasta.extras` knows which of them needs what.
_PARTS = {
  # The loop: encoders, text-to-image models, language models.
  't2i': [
    # 0.40 has no Flax classes any more, as transformers 5 has none.
    'diffusers>=0.36,<0.39',
    'httpx>=0.27,<1',
    'huggingface_hub>=0.34,<1',  # as transformers 4 wants it
    'pillow>=10.4',
    'transformers>=4.57.6,<5',
  ],
  # Preference data, public or one's own.
  'data': [
    'array_record>=0.8.1,<0.9',
    'grain>=0.2.12,<0.3',
    'importlib_resources>=6',
    'pillow>=10.4',
    'pyarrow>=16',
    'tensorflow-datasets>=4.9.10,<5',
  ],
  # The page, its plots, and metrics for TensorBoard.
  'report': [
    'jinja2>=3.1,<4',
    'matplotlib>=3.9,<4',
    'pillow>=10.4',
    'tensorboardX>=2.6.2,<3',
  ],
}

setuptools.setup(
  name='pasta-t2i',
  version=_VERSION,
  description=(
    'PASTA, a preference adaptive and sequential text-to-image agent, in JAX'
  ),
  long_description=_README.read_text() if _README.exists() else '',
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  # The rest of the project (launch, configs, data) is run from a clone.
  packages=setuptools.find_packages(include=('pasta', 'pasta.*')),
  package_data={
    'pasta': ['py.typed'],
    'pasta.candidates': ['instructions/*.txt'],
    'pasta.encoders': ['sketch_clip/*'],
    'pasta.report': ['templates/*'],
  },
  # The core: latent-class models, beliefs, the agent on features.
  install_requires=[
    'absl-py>=2.1,<3',
    'chex>=0.1.92,<0.2',
    'flax>=0.12.8,<0.13',
    'jax>=0.10.2,<0.11',
    'ml-collections>=1.1,<2',
    'numpy>=2,<3',
    'optax>=0.2.8,<0.3',
    'orbax-checkpoint>=0.12.8,<0.13',
    'tqdm>=4.66,<5',
  ],
  extras_require={
    **_PARTS,
    'all': sorted({need for part in _PARTS.values() for need in part}),
    # Where it runs.
    'cuda': ['jax[cuda12]>=0.10.2,<0.11'],
    'tpu': ['jax[tpu]>=0.10.2,<0.11'],
    # Flux draws the images (t2i.name = 'flux').
    'flux': [
      *_PARTS['t2i'],
      'accelerate>=1.2,<2',
      'sentencepiece>=0.2',  # reads a T5 tokenizer without tokenizer.json
      'torch>=2.6,<3',
    ],
    # Preparing data sets on Dataflow, Flink or Spark.
    'beam': ['apache-beam>=2.70,<3'],
    # Work on the project itself.
    'dev': [
      *sorted({need for part in _PARTS.values() for need in part}),
      'apache-beam>=2.70,<3',
      'import-linter>=2.17,<3',
      'pytest>=8,<10',
      'pytest-xdist>=3.6,<4',
      'ruff>=0.14',
      'setuptools>=68',  # builds the wheel that a test installs
      'wheel',
    ],
  },
  project_urls={'Paper': 'https://arxiv.org/abs/2412.10419'},
  classifiers=[
    'Development Status :: 4 - Beta',
    'Intended Audience :: Science/Research',
    'License :: OSI Approved :: Apache Software License',
    'Programming Language :: Python :: 3 :: Only',
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.13',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
    'Typing :: Typed',
  ],
)

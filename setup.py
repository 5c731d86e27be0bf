"""Installs pasta: `pip install -e .`, or `pip install -e '.[cuda]'`."""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).parent
_VERSION = re.search(
  r"__version__ = '(.*)'", (_ROOT / 'pasta' / '__init__.py').read_text()
)[1]
_README = _ROOT / 'README.md'

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
  packages=[
    *setuptools.find_packages(include=('pasta', 'pasta.*')),
    *setuptools.find_packages(include=('data', 'data.*')),
    'configs',
    'launch',
  ],
  package_data={
    'data': ['*/README.md', '*/CITATIONS.bib'],
    'pasta.candidates': ['instructions/*.txt'],
    'pasta.encoders': ['sketch_clip/*'],
    'pasta.report': ['templates/*'],
  },
  install_requires=[
    'absl-py>=2.1,<3',
    'array_record>=0.8.1,<0.9',
    'chex>=0.1.92,<0.2',
    # 0.40 has no Flax classes any more, as transformers 5 has none.
    'diffusers>=0.36,<0.39',
    'flax>=0.12.8,<0.13',
    'grain>=0.2.12,<0.3',
    'httpx>=0.27,<1',
    'huggingface_hub>=0.34,<1',  # as transformers 4 wants it
    'importlib_resources>=6',
    'jax>=0.10.2,<0.11',
    'jinja2>=3.1,<4',
    'matplotlib>=3.9,<4',
    'ml-collections>=1.1,<2',
    'ml_dtypes>=0.5',
    'numpy>=2,<3',
    'optax>=0.2.8,<0.3',
    'orbax-checkpoint>=0.12.8,<0.13',
    'pillow>=10.4',
    'pyarrow>=16',
    'tensorboardX>=2.6.2,<3',
    'tensorflow-datasets>=4.9.10,<5',
    'tqdm>=4.66,<5',
    'transformers>=4.57.6,<5',
  ],
  extras_require={
    # Where it runs.
    'cuda': ['jax[cuda12]>=0.10.2,<0.11'],
    'tpu': ['jax[tpu]>=0.10.2,<0.11'],
    # Flux draws the images (t2i.name = 'flux').
    'flux': [
      'accelerate>=1.2,<2',
      'sentencepiece>=0.2',  # reads a T5 tokenizer without tokenizer.json
      'torch>=2.6,<3',
    ],
    # Preparing data sets on Dataflow, Flink or Spark.
    'beam': ['apache-beam>=2.70,<3'],
    # Work on the project itself.
    'dev': [
      'apache-beam>=2.70,<3',
      'pytest>=8,<10',
      'pytest-xdist>=3.6,<4',
      'ruff>=0.14',
    ],
  },
  classifiers=[
    'License :: OSI Approved :: Apache Software License',
    'Programming Language :: Python :: 3 :: Only',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
  ],
)

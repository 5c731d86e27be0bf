"""PASTA: a preference adaptive and sequential text-to-image agent, in JAX."""

__version__ = '0.1.0'

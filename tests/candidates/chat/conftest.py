"""A server that behaves as badly as a test wants."""

from chat_server import running_server  # noqa: F401

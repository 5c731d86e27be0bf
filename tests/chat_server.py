"""A chat endpoint on this machine that behaves as badly as a test wants."""

import contextlib
import http.server
import json
import socket
import struct
import threading

import pytest

from configs import common
from pasta.candidates import pools
from pasta.candidates.chat import generator as chat
from pasta.types import CATEGORIES


def candidates(num=25, categories=CATEGORIES, start=0):
  """Items as a good model would write them, categories interleaved."""
  return [
    {
      'category': categories[i % len(categories)],
      'text': f'a fox number {start + i} by the sea',
    }
    for i in range(num)
  ]


def content(items=None):
  items = candidates() if items is None else items
  return json.dumps({'candidates': items})


class Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def do_POST(self):
    body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    with self.server.lock:
      number = len(self.server.requests)
      self.server.requests.append(body)
      self.server.headers.append(dict(self.headers))
      self.server.paths.append(self.path)
      self.server.num_busy += 1
      self.server.most_busy = max(self.server.most_busy, self.server.num_busy)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
      self.server.behave(self, body, number)
    with self.server.lock:
      self.server.num_busy -= 1

  def log_message(self, *unused_args):
    pass

  def reply(self, data, status=200, headers=(), kind='application/json'):
    data = data if isinstance(data, bytes) else data.encode()
    self.send_response(status)
    self.send_header('Content-Type', kind)
    self.send_header('Content-Length', str(len(data)))
    for name, value in headers:
      self.send_header(name, value)
    self.end_headers()
    self.wfile.write(data)

  def say(self, text, **options):
    """The model's answer as one JSON object."""
    message = {'role': 'assistant', 'content': text}
    self.reply(json.dumps({'choices': [{'message': message}]}), **options)

  def fail(self, status, message, headers=()):
    self.reply(json.dumps({'error': {'message': message}}), status, headers)

  def begin_events(self):
    """Events without a length: they end with the connection."""
    self.close_connection = True
    self.send_response(200)
    self.send_header('Content-Type', 'text/event-stream; charset=utf-8')
    self.send_header('Connection', 'close')
    self.end_headers()

  def event(self, text):
    event = {'choices': [{'delta': {'content': text}}]}
    self.wfile.write(b'data: ' + json.dumps(event).encode() + b'\n\n')
    self.wfile.flush()

  def reset(self):
    """Breaks the connection off with a TCP reset."""
    self.close_connection = True
    linger = struct.pack('ii', 1, 0)
    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    # Both file objects keep the socket open.
    self.rfile.close()
    self.wfile.close()
    self.connection.close()
    self.wfile = open('/dev/null', 'wb')


class Server(http.server.ThreadingHTTPServer):
  daemon_threads = True
  request_queue_size = 256

  def __init__(self):
    super().__init__(('127.0.0.1', 0), Handler)
    self.lock = threading.Lock()
    self.requests, self.headers, self.paths = [], [], []
    self.num_busy = self.most_busy = 0
    self.behave = lambda handler, body, number: handler.say(content())

  def handle_error(self, *unused_args):
    pass  # broken connections are what tests want

  @property
  def base_url(self):
    return f'http://127.0.0.1:{self.server_port}/v1'


@pytest.fixture(name='server')
def running_server(monkeypatch):
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  server = Server()
  thread = threading.Thread(target=server.serve_forever, args=(0.02,))
  thread.start()
  yield server
  server.shutdown()
  thread.join()
  server.server_close()


def config_of(server, tmp_path, **fields):
  """candidates.chat with a tiny patience."""
  config = common.world().candidates.chat
  config.update(
    base_url=server.base_url,
    model='tiny',
    timeout_seconds=5.0,
    turn_seconds=10.0,
    backoff_seconds=0.01,
    cache_dir=str(tmp_path / 'answers'),
  )
  config.update(fields)
  return config


def chat_of(server, tmp_path, num_candidates=25, max_words=36, **fields):
  return chat.Chat(
    config_of(server, tmp_path, **fields),
    pools.Pools(num_candidates, max_words),
  )

"""A tiny random Gemma, written to disk in the layout of the real one."""

import json
import math
import pathlib

import numpy as np
import tokenizers
import transformers
from safetensors import numpy as safetensors

CONFIG = {
  'architectures': ['GemmaForCausalLM'],
  'attention_bias': False,
  'bos_token_id': 2,
  'eos_token_id': 1,
  'head_dim': 8,
  'hidden_act': 'gelu',
  'hidden_activation': 'gelu_pytorch_tanh',
  'hidden_size': 32,
  'intermediate_size': 48,
  'max_position_embeddings': 128,
  'model_type': 'gemma',
  'num_attention_heads': 4,
  'num_hidden_layers': 2,
  'num_key_value_heads': 1,
  'pad_token_id': 0,
  'rms_norm_eps': 1e-6,
  'rope_theta': 10000.0,
  'torch_dtype': 'float32',
  'vocab_size': 200,
}
_CORPUS = (
  'turn 1 of 5, 4 more after it\nshown (style): a cat, oil painting\n',
  'chosen (detail): a cat with green eyes\ncritique: warmer, please\n',
  'next (subject): two dogs in the rain at night, ink drawing\n',
  'first prompt: an old house on a hill (rephrase) (creative)\n',
  'abcdefghijklmnopqrstuvwxyz 0123456789 <>.,:;!?',
)


def tensors(
  seed: int = 0,
  dtype: str = 'float32',
  num_layers: int = CONFIG['num_hidden_layers'],
) -> dict[str, np.ndarray]:
  """Random weights by PyTorch's names."""
  rng = np.random.default_rng(seed)
  c = CONFIG
  width, inner = c['hidden_size'], c['intermediate_size']
  heads = c['num_attention_heads'] * c['head_dim']
  keys = c['num_key_value_heads'] * c['head_dim']
  out = {'model.embed_tokens.weight': (c['vocab_size'], width)}
  for i in range(num_layers):
    layer = f'model.layers.{i}'
    out |= {
      f'{layer}.input_layernorm.weight': (width,),
      f'{layer}.mlp.down_proj.weight': (width, inner),
      f'{layer}.mlp.gate_proj.weight': (inner, width),
      f'{layer}.mlp.up_proj.weight': (inner, width),
      f'{layer}.post_attention_layernorm.weight': (width,),
      f'{layer}.self_attn.k_proj.weight': (keys, width),
      f'{layer}.self_attn.o_proj.weight': (width, heads),
      f'{layer}.self_attn.q_proj.weight': (heads, width),
      f'{layer}.self_attn.v_proj.weight': (keys, width),
    }
  out['model.norm.weight'] = (width,)
  return {
    # PyTorch's kernels are [out, in].
    name: (rng.normal(size=shape) / math.sqrt(shape[-1])).astype(dtype)
    for name, shape in out.items()
  }


def write_weights(
  directory: pathlib.Path, content: dict[str, np.ndarray], num_shards: int
) -> None:
  """Writes one file, or shards with their index."""
  metadata = {'format': 'pt'}
  if num_shards == 1:
    path = directory / 'model.safetensors'
    safetensors.save_file(content, path, metadata=metadata)
    return
  weight_map = {}
  for i, names in enumerate(np.array_split(list(content), num_shards), 1):
    file = f'model-{i:05}-of-{num_shards:05}.safetensors'
    part = {str(name): content[name] for name in names}
    safetensors.save_file(part, directory / file, metadata=metadata)
    weight_map |= dict.fromkeys(part, file)
  index = {
    'metadata': {'total_size': sum(x.nbytes for x in content.values())},
    'weight_map': weight_map,
  }
  path = directory / 'model.safetensors.index.json'
  path.write_text(json.dumps(index, indent=2))


def write_tokenizer(directory: pathlib.Path, turns: bool = False) -> None:
  """A BPE built as Gemma's is, with Gemma's special tokens.

  Args:
    directory: where to.
    turns: whether there are the tokens around turns of a chat.
  """
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token='<unk>'))
  tokenizer.normalizer = tokenizers.normalizers.Replace(' ', '▁')
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(
    '▁', 'merged_with_next'
  )
  tokenizer.decoder = tokenizers.decoders.Sequence(
    [tokenizers.decoders.Replace('▁', ' '), tokenizers.decoders.Fuse()]
  )
  special = ['<pad>', '<eos>', '<bos>', '<unk>']
  if turns:
    special += ['<start_of_turn>', '<end_of_turn>']
  tokenizer.train_from_iterator(
    _CORPUS,
    tokenizers.trainers.BpeTrainer(
      vocab_size=CONFIG['vocab_size'],
      special_tokens=special,
      show_progress=False,
    ),
  )
  fast = transformers.GemmaTokenizerFast(tokenizer_object=tokenizer)
  fast.save_pretrained(directory)
  path = directory / 'tokenizer_config.json'
  content = json.loads(path.read_text())
  content['tokenizer_class'] = 'GemmaTokenizer'  # as on the hub
  path.write_text(json.dumps(content, indent=2))


def write(
  directory: pathlib.Path,
  *,
  num_shards: int = 2,
  seed: int = 0,
  dtype: str = 'float32',
  num_layers: int = CONFIG['num_hidden_layers'],
  num_positions: int = CONFIG['max_position_embeddings'],
  turns: bool = False,
) -> pathlib.Path:
  """Writes a whole model; returns its directory."""
  directory.mkdir(parents=True, exist_ok=True)
  config = CONFIG | {
    'num_hidden_layers': num_layers,
    'max_position_embeddings': num_positions,
  }
  (directory / 'config.json').write_text(json.dumps(config, indent=2))
  write_weights(directory, tensors(seed, dtype, num_layers), num_shards)
  write_tokenizer(directory, turns)
  return directory

"""What tests of the generator gemma ask about, and in which words."""

from pasta.types import CATEGORIES, PromptHistory

FOX = PromptHistory('a fox')
LATER = PromptHistory(
  'a fox',
  ('a fox in snow', 'two foxes in snow'),
  (('a fox at night',), ('an old fox', 'a fox, ink drawing')),
  ('', 'warmer,\nplease'),
)
INSTRUCTIONS = {
  'gemma.txt': '$history\n$num_prompts of $max_words $category\n',
  'gemma_begin.txt': '1.\n',
  'categories.txt': ''.join(f'{c}: as {c}\n' for c in CATEGORIES),
}

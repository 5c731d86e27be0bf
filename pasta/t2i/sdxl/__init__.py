from pasta import extras

extras.require('diffusers', 'huggingface_hub', 'transformers')

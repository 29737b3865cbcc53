"""For every test: no network, no chatter from the model libraries, one thread (tiny models gain nothing from more;
`make test-cpus` asks for two)."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["DIFFUSERS_VERBOSITY"] = "error"

import torch

torch.set_num_threads(int(os.environ.get("TEST_THREADS", "1")))

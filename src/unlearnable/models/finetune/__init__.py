"""Fine-tuning of a model: the one training loop, LoRA, new words, checkpoints."""

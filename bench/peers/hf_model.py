"""GPT-2 of `transformers` with random weights, in the form that torch_ppo.py uses, and generation by its generate loop."""
import torch
import torch.nn as nn
from transformers import GPT2Config, GPT2LMHeadModel


class HfGPT(nn.Module):
    def __init__(self, layers, heads, width, vocabulary, context, value_head=False):
        super().__init__()
        config = GPT2Config(
            vocab_size=vocabulary, n_positions=context, n_embd=width, n_layer=layers, n_head=heads,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=None,
        )
        self.model = GPT2LMHeadModel(config)
        self.score = nn.Linear(width, 1) if value_head else None
        if value_head:
            nn.init.zeros_(self.score.weight)

    def hidden(self, ids):
        return self.model.transformer(ids, use_cache=False).last_hidden_state

    def logits(self, x):
        return self.model.lm_head(x)

    def count(self):
        return sum(parameter.numel() for parameter in self.parameters())


class GenerateLoop:
    """`generate(prompts, new)` gives new tokens [batch, new], sampled at temperature 1, and their log-probabilities by a forward pass after it, as TRL does."""

    def __init__(self, model):
        self.model = model

    @torch.no_grad()
    def generate(self, prompts, new, logarithms=True):
        ids = self.model.model.generate(
            prompts, attention_mask=torch.ones_like(prompts), do_sample=True, top_k=0, top_p=1.0, temperature=1.0,
            max_new_tokens=new, min_new_tokens=new, pad_token_id=0,
        )
        tokens = ids[:, prompts.shape[1]:]
        if not logarithms:
            return tokens, None
        rows = self.model.hidden(ids[:, :-1])[:, prompts.shape[1] - 1:]
        logs = torch.log_softmax(self.model.logits(rows).float(), -1)
        return tokens, logs.gather(2, tokens[:, :, None]).squeeze(2)

"""Sampling from the GPT with a preallocated key-value cache, a token at a time."""
import torch
import torch.nn.functional as F


def draw(logits):
    """One token a row from softmax(logits), and the logarithms of all probabilities."""
    logs = F.log_softmax(logits, -1)
    sums = logs.exp().cumsum(-1)
    at = torch.rand(logits.shape[0], 1) * sums[:, -1:]
    return torch.searchsorted(sums, at).clamp_(max=logits.shape[1] - 1).squeeze(1), logs


class Decoder:
    """`fixed` attends to the whole cache under a mask, so that one compiled step serves every position; otherwise to what is filled."""

    def __init__(self, model, batch: int, capacity: int, fixed: bool):
        self.model, self.capacity, self.fixed = model, capacity, fixed
        width, heads = model.wte.embedding_dim, model.blocks[0].heads
        shape = (batch, heads, capacity, width // heads)
        self.caches = [(torch.zeros(shape), torch.zeros(shape)) for _ in model.blocks]
        self.advance = torch.compile(self.step) if fixed else self.step

    def prefill(self, ids):
        """Fills the cache with the prompts [batch, length] and draws the first token of each answer."""
        length = ids.shape[1]
        x = self.model.embed(ids, torch.arange(length))
        for block, (keys, values) in zip(self.model.blocks, self.caches):
            q, k, v = block.split(x)
            keys[:, :, :length], values[:, :, :length] = k, v
            x = block.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return draw(self.model.logits(self.model.ln_f(x[:, -1])))

    def step(self, ids, at):
        """Reads one token a sequence at position `at` (an i64 tensor of one element if fixed, else a number), draws the next."""
        position = at if self.fixed else torch.tensor([at])
        x = self.model.embed(ids[:, None], position)
        seen = (torch.arange(self.capacity) <= at)[None, None, None] if self.fixed else None
        for block, (keys, values) in zip(self.model.blocks, self.caches):
            q, k, v = block.split(x)
            if self.fixed:
                keys.index_copy_(2, at, k)
                values.index_copy_(2, at, v)
                y = F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)
            else:
                keys[:, :, at : at + 1], values[:, :, at : at + 1] = k, v
                y = F.scaled_dot_product_attention(q, keys[:, :, : at + 1], values[:, :, : at + 1])
            x = block.finish(x, y)
        return draw(self.model.logits(self.model.ln_f(x[:, -1])))

    @torch.inference_mode()
    def generate(self, prompts, new: int):
        """Answers [batch, new] and each token's log-probability as it was drawn."""
        length = prompts.shape[1]
        ids, logs = self.prefill(prompts)
        tokens, logarithms = [ids], [logs.gather(1, ids[:, None])]
        for at in range(length, length + new - 1):
            ids, logs = self.advance(ids, torch.tensor([at]) if self.fixed else at)
            tokens.append(ids)
            logarithms.append(logs.gather(1, ids[:, None]))
        return torch.stack(tokens, 1), torch.cat(logarithms, 1)

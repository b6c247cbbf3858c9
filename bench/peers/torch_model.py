"""GPT-2 in PyTorch as its users write it: fused qkv, scaled_dot_product_attention, tanh GELU, tied head."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.c_fc = nn.Linear(width, 4 * width)
        self.mlp_proj = nn.Linear(4 * width, width)

    def split(self, x):
        """Queries, keys and values [batch, heads, length, head width] of x [batch, length, width]."""
        b, t, c = x.shape
        parts = self.c_attn(self.ln_1(x)).split(c, dim=2)
        return tuple(part.view(b, t, self.heads, c // self.heads).transpose(1, 2) for part in parts)

    def finish(self, x, y):
        """What follows attention: y [batch, heads, length, head width] is its output, x the residual stream before it."""
        b, _, t, _ = y.shape
        x = x + self.c_proj(y.transpose(1, 2).reshape(b, t, -1))
        return x + self.mlp_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))

    def forward(self, x):
        q, k, v = self.split(x)
        return self.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))


class GPT(nn.Module):
    def __init__(self, layers: int, heads: int, width: int, vocabulary: int, context: int, value_head: bool = False):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1) if value_head else None
        for name, parameter in self.named_parameters():
            if name.startswith("score") or name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() >= 2:
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if "proj.weight" in name else 0.02)

    def embed(self, ids, positions):
        return self.wte(ids) + self.wpe(positions)

    def hidden(self, ids):
        x = self.embed(ids, torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x)

    def logits(self, x):
        return F.linear(x, self.wte.weight)

    def forward(self, ids, targets, fused_head: bool = False):
        """Mean cross-entropy; `fused_head` computes it in chunks, without all logits in memory."""
        x = self.hidden(ids).flatten(0, 1)
        if fused_head:
            return F.linear_cross_entropy(x, self.wte.weight, targets.flatten())
        return F.cross_entropy(self.logits(x), targets.flatten())

    def count(self):
        return sum(parameter.numel() for parameter in self.parameters())


def shape_of(request):
    return {name: request[name] for name in ("layers", "heads", "width", "vocabulary", "context")}


def adamw(model, learning_rate, **settings):
    """Fused AdamW; weight decay on matrices only, as ptmflow's."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    decay = settings.pop("weight_decay", 0.0)
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True, **settings)

"""One PPO iteration in PyTorch: rollout, reference and value statistics, advantages, epochs of clipped updates."""
import time

import torch
import torch.nn.functional as F

from torch_decode import Decoder
from torch_model import GPT, adamw, shape_of

CLIP, VALUE_CLIP, VALUE_COEFFICIENT, BETA, GAMMA, LAMBDA = 0.2, 0.2, 0.1, 0.15, 1.0, 0.95


def advantages_of(rewards, values):
    """Generalised advantage estimation over [answers, tokens]; the value after the last token is 0."""
    following, result = torch.zeros(len(rewards)), []
    after = torch.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        following = rewards[:, t] + GAMMA * after - values[:, t] + GAMMA * LAMBDA * following
        after = values[:, t]
        result.append(following)
    return torch.stack(result[::-1], 1)


class Work:
    """Request: model shape, batch (prompts), prompt, new, epochs, compile. Every answer has `new` tokens; one update an epoch."""

    def __init__(self, request):
        self.policy, self.reference = self.models(shape_of(request))
        self.optimizer = adamw(self.policy, 3e-4, betas=(0.9, 0.999), eps=1e-5)
        self.prompt, self.new, self.epochs = request["prompt"], request["new"], request["epochs"]
        self.prompts = torch.randint(0, request["vocabulary"], (request["batch"], self.prompt))
        self.decoder = self.decoder_of(request)
        compiled = torch.compile if request["compile"] else lambda function: function
        self.loss, self.log_probabilities, self.values = map(compiled, (self.loss, self.log_probabilities, self.values))

    def models(self, shape):
        """The policy with its value head, and a reference with the same weights."""
        policy, reference = GPT(**shape, value_head=True), GPT(**shape)
        reference.load_state_dict(policy.state_dict(), strict=False)
        return policy, reference

    def decoder_of(self, request):
        return Decoder(self.policy, request["batch"], self.prompt + self.new, request["compile"])

    def answer_rows(self, model, ids):
        return model.hidden(ids[:, :-1])[:, self.prompt - 1 :]

    def log_probabilities(self, ids):
        logs = F.log_softmax(self.reference.logits(self.answer_rows(self.reference, ids)), -1)
        return logs.gather(2, ids[:, self.prompt :, None]).squeeze(2)

    def values(self, ids):
        return self.policy.score(self.answer_rows(self.policy, ids)).squeeze(2)

    def loss(self, ids, old_logs, old_values, advantages, returns):
        hidden = self.answer_rows(self.policy, ids)
        logs = F.log_softmax(self.policy.logits(hidden), -1).gather(2, ids[:, self.prompt :, None]).squeeze(2)
        values = self.policy.score(hidden).squeeze(2)
        ratio = torch.exp(logs - old_logs)
        policy = torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
        near = old_values + (values - old_values).clamp(-VALUE_CLIP, VALUE_CLIP)
        value = 0.5 * torch.max((values - returns) ** 2, (near - returns) ** 2).mean()
        return policy + VALUE_COEFFICIENT * value

    def iteration(self):
        tokens, logs = self.decoder.generate(self.prompts, self.new)
        ids, logs = torch.cat([self.prompts, tokens], 1), logs.clone()
        with torch.no_grad():
            reference = self.log_probabilities(ids)
            values = self.values(ids)
            rewards = -BETA * (logs - reference)
            rewards[:, -1] += (tokens % 2).float().mean(1)
            advantages = advantages_of(rewards, values)
            returns = advantages + values
            advantages = (advantages - advantages.mean()) * torch.rsqrt(advantages.var(correction=0) + 1e-8)
        losses = []
        for _ in range(self.epochs):
            loss = self.loss(ids, logs, values, advantages, returns)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0, foreach=True)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
        # Before the first update the ratio is 1: how far the two ways of computing a log-probability are apart shows in the KL.
        return {"loss": -logs.mean().item(), "kl": (logs - reference).mean().item(), "losses": losses}

    def open(self):
        return {"parameters": self.policy.count(), **self.iteration()}

    def repeat(self, times):
        start = time.perf_counter()
        for _ in range(times):
            self.iteration()
        return {"seconds": (time.perf_counter() - start) / times}

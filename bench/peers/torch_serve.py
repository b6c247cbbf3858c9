"""Serves the benchmark from one warm PyTorch process: a JSON request a line on stdin, a JSON answer a line on stdout.

{"do": "open", "work": NAME, "threads": N, ...} imports torch_NAME and makes its Work; {"do": "repeat", "times": N} measures seconds a
time; {"do": "memory"} gives the peak resident bytes of this process. An answer with "error" says what went wrong."""
import importlib
import json
import os
import resource
import sys

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

import torch

torch.set_flush_denormal(True)
torch.manual_seed(1)
work = None
for line in sys.stdin:
    request = json.loads(line)
    try:
        if request["do"] == "open":
            torch.set_num_threads(request["threads"])
            work = importlib.import_module("torch_" + request["work"]).Work(request)
            answer = {"version": "PyTorch " + torch.__version__.split("+")[0], **work.open()}
        elif request["do"] == "repeat":
            answer = work.repeat(request["times"])
        else:
            answer = {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    except Exception as problem:
        answer = {"error": f"{type(problem).__name__}: {problem}"}
    answers.write(json.dumps(answer) + "\n")

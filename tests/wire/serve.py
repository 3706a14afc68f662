"""Serves a small real model by the OpenAI API on this machine, until its standard input ends.

Run by the wire test with the folder that `make wire` fills; says its address.
"""

from __future__ import annotations

import sys
from pathlib import Path

NAME = "smollm2"
# The model's own template knows no tools; this one tells of them as those that do.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
You may call functions: <tools>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>
For each call write <tool_call>
{"name": <name>, "arguments": <object>}
</tool_call><|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}\
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
CONTEXT = 2048
THREADS = 2


def main(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(next(folder.rglob("*.gguf")))
    params.model_alias = {NAME}
    params.n_ctx, params.n_parallel = CONTEXT, 1
    params.cpuparams.n_threads = THREADS
    params.cache_prompt = False  # the same request is the same work, and gives the same answer
    params.use_jinja, params.chat_template = True, TEMPLATE
    params.hostnames, params.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Writes crates/gyrus-language/tests/golden/chat_templates.json: templates rendered by transformers.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/chat_templates.py`.

The templates are written for this test; between them they use what published ones do: loops with their counters,
conditions, slices, namespaces, macros, methods of strings, tojson with its arguments, generation blocks, whitespace control
and raise_exception.
"""

import json
from importlib.metadata import version
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

MARKED = """{%- if messages[0]['role'] == 'system' -%}
    {%- set system, rest = messages[0]['content'], messages[1:] -%}
{%- else -%}
    {%- set system, rest = 'You are helpful.', messages -%}
{%- endif -%}
{{- '<|im_start|>system\\n' + system + '<|im_end|>\\n' -}}
{%- for message in rest -%}
    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

BRACKETS = """{{ bos_token }}{% for message in messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Roles must alternate user/assistant') }}
    {% endif %}
    {% if message['role'] == 'user' %}
{{ '[INST] ' + message['content'].strip() + ' [/INST]' }}
    {% else %}
{{ message['content'].rstrip() + eos_token }}
    {% endif %}
{% endfor %}"""

NAMESPACE = """{% set ns = namespace(last=-1, names=[]) %}
{% for message in messages if message.role != 'system' %}
{% set ns.last = loop.index %}
{{ loop.index }}/{{ loop.length }}{% if loop.first %} first{% endif %}{% if loop.last %} last{% endif %}: {{ message.content.split('.')[0] | upper }}
{% else %}
nobody
{% endfor %}
{{ ns.last }} {{ messages | tojson }} {{ {'a': [1, 2.5, none, true], 'é<': "'"} | tojson }}
{{ [1, {'b': 2}] | tojson(indent=2) }}
{% macro shout(text, mark='!') %}{{ text | upper ~ mark }}{% endmacro %}
{{ shout('hey') }} {{ shout(text='you', mark='?') }} {{ 'ab' * 2 }} {{ 7 // 2 }} {{ 2 ** 3 }} {{ messages | length }}
{{ messages[-1].content[:3] }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('; ') }}
{{ 'x' if tools is defined and tools else 'no tools' }} {{ messages[0].missing is defined }} {{ 'Hi'.startswith('H') and not 'Hi'.endswith('H') }}
{{- '\\n' }}{% if 'b' in 'abc' and 3 not in [1, 2] %}in{% endif %} {{ "%s-%d" | format('a', 3) }} {{ 'a-b'.replace('-', '+') }} {{ '  x '.lstrip() ~ '|' }} {{ (none or 'default') }} {{ 'A'.lower() }}"""

TOOLS = """{%- if tools is not none and tools %}
{{- '<tools>' }}{% for tool in tools %}{{ '\\n' ~ (tool | tojson) }}{% endfor %}{{ '\\n</tools>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' and message.tool_calls %}
        {{- '<assistant>' + (message.content or '') }}
        {%- for call in message.tool_calls %}
            {%- if call.function %}{% set call = call.function %}{% endif %}
            {{- '<tool_call>{"name": "' + call.name + '", "arguments": ' + (call.arguments | tojson) + '}</tool_call>' }}
        {%- endfor %}
    {%- elif message['role'] == 'tool' %}
        {{- '<result ' ~ message.tool_call_id ~ '>' ~ message.content }}
    {%- else %}
        {{- '<' + message.role + '>' + message.content }}{% if 'tool_calls' in message %}!{% endif %}
    {%- endif %}
{%- endfor %}
{{- loop is defined }}{{ tools is none }}"""

NEWER = """{% for message in messages %}
{%- if message.role == 'assistant' %}
    {%- generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}
{%- else %}
{{ message.content }}
{% endif %}
{%- endfor %}
{{ {'é': [1, 2.5e-7, 1e16, true, none, {}, []], 'a': 'ü😀'} | tojson(ensure_ascii=True, sort_keys=true) }}
{{ [1, {'b': [2, {}]}] | tojson(indent=2, separators=(',', ' : ')) }} {{ {'b': 1, 'a': 2} | tojson(separators=(',', ':')) }}
{{ {'b': "\x07</s>"} | tojson(true, none) }}{{ [[]] | tojson(indent=0) }}
{{ 'abc' is iterable }} {{ none is iterable }} {{ missing is iterable }} {{ 'abc' is sequence }} {{ {} is sequence }} {{ 3 is iterable }}
{{ documents is defined }} {{ documents is none }} {{ enable_thinking is defined }}"""

FUNCTIONS = [
    dict(type="function", function=dict(name="weather", description="It's \"sunny\" & <b>", parameters=dict(type="object", properties=dict(city=dict(type="string"), days=dict(type="number", default=1.5)), required=["city"]))),
    dict(type="function", function=dict(name="zeit", description="é", parameters=dict(type="object", properties={}))),
]

CALLS = [
    dict(role="user", content="Where is it warm?"),
    dict(role="assistant", content="", tool_calls=[dict(id="c1", type="function", function=dict(name="weather", arguments=dict(city="Zürich", days=2))), dict(id="c2", type="function", function=dict(name="zeit", arguments={}))]),
    dict(role="tool", tool_call_id="c1", content="12"),
    dict(role="user", content="Thanks"),
]

CONVERSATIONS = [
    [dict(role="user", content="  Hello there. How are you?  ")],
    [dict(role="system", content="Be brief."), dict(role="user", content="Zoë says: \"hi\"\n<b>"), dict(role="assistant", content="Fine. "), dict(role="user", content="Good")],
    [dict(role="user", content="One."), dict(role="assistant", content="Two.\n"), dict(role="user", content="Three.")],
]


def cases():
    for name, template in dict(marked=MARKED, brackets=BRACKETS, namespace=NAMESPACE, newer=NEWER).items():
        for messages in CONVERSATIONS:
            for answer in (False, True):
                try:
                    rendered, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=answer, bos_token="<s>", eos_token="</s>")
                    text = rendered[0]
                except Exception as refusal:
                    assert "must alternate" in str(refusal), refusal
                    text = None
                yield dict(name=name, template=template, messages=messages, answer=answer, text=text)


def cases_with_tools():
    for tools in (None, FUNCTIONS):
        for messages in CONVERSATIONS[:2] + [CALLS]:
            rendered, _ = render_jinja_template([messages], tools=tools, chat_template=TOOLS, bos_token="<s>", eos_token="</s>")
            yield dict(name="tools", template=TOOLS, messages=messages, tools=tools or [], answer=False, text=rendered[0])


def main() -> None:
    made_by = "golden/chat_templates.py with " + ", ".join(f"{name} {version(name)}" for name in ("transformers", "jinja2"))
    path = Path(__file__).parents[1] / "crates/gyrus-language/tests/golden/chat_templates.json"
    path.write_text(json.dumps(dict(made_by=made_by, cases=[*cases(), *cases_with_tools()])) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

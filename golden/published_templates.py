"""Renders published chat templates by transformers, for our renderer to compare with: a long check.

    python golden/published_templates.py TEMPLATES /tmp/published.json
    GYRUS_TEMPLATE_CASES=/tmp/published.json cargo test --workspace --test all -- chat_templates::published --nocapture

TEMPLATES is a folder of `.jinja` files, such as `models/templates` of llama.cpp (in the source archive of the
package llama-cpp-python) or the `chat_template.jinja` of models. They are not part of this repository. Each is
asked with conversations of many kinds; what a template refuses, it must refuse here. (Where it fails by itself in
Python, as by a loop over None, ours may be lenient.)
"""

import datetime
import json
import sys
from pathlib import Path

from jinja2.exceptions import TemplateError
import transformers.utils.chat_template_utils as utils

from chat_templates import CALLS, CONVERSATIONS, FUNCTIONS

# The clock of both sides: the leap day of 2024, 13:05:09 UTC.
NOW = 1_709_211_909


class Clock(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


utils.datetime = Clock

ESCAPED = {"meetkai-functionary-medium-v3.1": "its |safe makes Python escape &#39; into the prompt, which ours does not"}
THOUGHT = [
    dict(role="user", content="Is 7 prime?"),
    dict(role="assistant", content="Yes.", reasoning_content="7 has no divisors."),
    dict(role="user", content="And 8?"),
]
MARKED = [
    dict(role="user", content="Is 7 prime?"),
    dict(role="assistant", content="<think>\n7 has no divisors.\n</think>\n\nYes."),
    dict(role="user", content="And 8?"),
]
ANSWERED = [*CALLS[:3], dict(role="assistant", content="It is warm in Zürich."), dict(role="user", content="Thanks")]
TYPED = [dict(role="user", content=[dict(type="text", text="Hello"), dict(type="text", text="there")])]


def asked():
    for messages in CONVERSATIONS:
        for answer in (True, False):
            yield dict(messages=messages, answer=answer)
    yield dict(messages=CONVERSATIONS[1][:2], tools=FUNCTIONS, answer=True)
    for messages in (CALLS, CALLS[:3], ANSWERED):
        yield dict(messages=messages, tools=FUNCTIONS, answer=True)
    for thinking in (True, False):
        for messages in (CONVERSATIONS[0], THOUGHT, MARKED):
            yield dict(messages=messages, answer=True, variables=dict(enable_thinking=thinking, thinking=thinking))
    yield dict(messages=CONVERSATIONS[0], answer=True, variables=dict(reasoning_effort="low", date_string="1 May 2025"))
    yield dict(messages=TYPED, answer=True)


def main() -> None:
    folder, out = map(Path, sys.argv[1:])
    cases, refused = [], 0
    for path in sorted(folder.glob("*.jinja")):
        if path.stem in ESCAPED:
            print(f"skipped: {path.stem}: {ESCAPED[path.stem]}")
            continue
        template = path.read_text()
        for case in asked():
            text, raised = None, False
            try:
                rendered, _ = utils.render_jinja_template(
                    [case["messages"]],
                    tools=case.get("tools"),
                    chat_template=template,
                    add_generation_prompt=case["answer"],
                    bos_token="<s>",
                    eos_token="</s>",
                    **case.get("variables", {}),
                )
                text = rendered[0]
            except Exception as refusal:
                refused += 1
                raised = type(refusal) is TemplateError
            cases.append(dict(name=path.stem, template=template, text=text, raised=raised, **case))
    out.write_text(json.dumps(dict(now=NOW, cases=cases)))
    print(f"{len(cases)} cases of {len({case['name'] for case in cases})} templates, {refused} of them refused")


if __name__ == "__main__":
    main()

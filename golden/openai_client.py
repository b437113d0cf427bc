"""Asks a running `gyrus serve` by the official `openai` package: everything that package reads must be as it expects.

    GYRUS_SERVE_OUT=/tmp/serve cargo test --workspace --test serve -- models_for_other_programs
    GYRUS_API_KEY=secret target/release/gyrus serve /tmp/serve/tiny.gguf --embeddings /tmp/serve/tiny-encoder
    python golden/openai_client.py http://127.0.0.1:8080/v1 secret tiny tiny-encoder

The model needs a chat template that knows tools.
"""

import asyncio
import json
import sys

import openai
from pydantic import BaseModel

BASE, KEY, MODEL, *EMBEDDINGS = sys.argv[1:]
client = openai.OpenAI(base_url=BASE, api_key=KEY, max_retries=0)
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it warm?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"enum": ["Rome", "Oslo"]}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]


def chat(**more):
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, **{"max_tokens": 30, **more})


def models():
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def whole_and_streamed():
    whole = chat(seed=1)
    assert whole.choices[0].message.role == "assistant" and whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    text, usage = "", None
    for chunk in chat(seed=1, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
    assert text == whole.choices[0].message.content, (text, whole)
    assert usage.total_tokens == whole.usage.total_tokens


def settings():
    several = chat(n=3, seed=3, temperature=0.7, top_p=0.9, stop=["zz"], presence_penalty=0.5, frequency_penalty=0.5)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    told = chat(max_tokens=4, logprobs=True, top_logprobs=3)
    for entry in told.choices[0].logprobs.content:
        assert len(entry.top_logprobs) == 3 and entry.logprob <= 0 and bytes(entry.bytes).decode() == entry.token


def completions():
    one = client.completions.create(model=MODEL, prompt="Once", max_tokens=12, seed=1, logprobs=2)
    assert one.choices[0].text and len(one.choices[0].logprobs.tokens) == one.usage.completion_tokens
    stream = client.completions.create(model=MODEL, prompt="Once", max_tokens=12, seed=1, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == one.choices[0].text


class Animal(BaseModel):
    name: str
    legs: int


def schemas():
    parsed = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, response_format=Animal, max_tokens=1500, seed=2, logit_bias={}, temperature=0.3
    )
    # A random model may count or spell without end.
    if parsed.choices[0].finish_reason == "stop":
        assert isinstance(parsed.choices[0].message.parsed, Animal)
    loose = chat(response_format={"type": "json_object"}, max_tokens=5)
    assert loose.choices[0].message.content.startswith("{")


def tools():
    answer = chat(tools=TOOLS, tool_choice="required", max_tokens=200)
    call = answer.choices[0].message.tool_calls[0]
    assert answer.choices[0].finish_reason == "tool_calls" and call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Oslo")
    messages = MESSAGES + [
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "25 degrees"},
    ]
    client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, max_tokens=3)
    named = {"type": "function", "function": {"name": "weather"}}
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice=named) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.name == "weather"


def embeddings():
    name = EMBEDDINGS[0]
    texts = ["a b c", "z", "a b"]
    # The package asks for base64 by itself.
    packed = client.embeddings.create(model=name, input=texts)
    plain = client.embeddings.create(model=name, input=texts, encoding_format="float")
    assert len(packed.data) == 3 and packed.usage.prompt_tokens > 0
    for ours, theirs in zip(packed.data, plain.data):
        assert max(abs(a - b) for a, b in zip(ours.embedding, theirs.embedding)) < 1e-6


def errors():
    def refused(kind, **more):
        try:
            chat(**more)
        except kind as error:
            return error
        raise AssertionError(f"{more} was not refused")

    assert refused(openai.BadRequestError, reasoning_effort="high").param == "reasoning_effort"
    assert refused(openai.BadRequestError, max_tokens=10**6).code == "context_length_exceeded"
    try:
        client.chat.completions.create(model="other", messages=MESSAGES)
        raise AssertionError("another model was found")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
    try:
        openai.OpenAI(base_url=BASE, api_key="wrong").models.list()
        raise AssertionError("a wrong key was right")
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"


async def together():
    several = openai.AsyncOpenAI(base_url=BASE, api_key=KEY)

    async def one(seed):
        answer = await several.chat.completions.create(model=MODEL, messages=MESSAGES, seed=seed, max_tokens=30)
        return answer.choices[0].message.content

    assert await asyncio.gather(*(one(seed) for seed in range(12))) == [await one(seed) for seed in range(12)]


for check in [models, whole_and_streamed, settings, completions, schemas, tools, errors] + [embeddings] * bool(EMBEDDINGS):
    check()
    print(check.__name__, "as expected")
asyncio.run(together())
print("together as expected")

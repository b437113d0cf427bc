"""Asks a running `gyrus serve` by the official `openai` package, and by `litellm` and `langchain-openai`: everything
that they read must be as they expect.

    GYRUS_SERVE_OUT=/tmp/serve cargo test --workspace --test all -- serve::models_for_other_programs
    GYRUS_API_KEY=secret target/release/gyrus serve /tmp/serve/tiny.gguf --embeddings /tmp/serve/tiny-encoder
    python golden/openai_client.py http://127.0.0.1:8080/v1 secret tiny tiny-encoder

Any model with a chat template will do.
"""

import asyncio
import json
import os
import sys
from typing import Literal

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


class Weather(BaseModel):
    """The weather of a city."""

    city: Literal["Rome", "Oslo"]
    warm: bool


STRICT_TOOLS = [{"type": "function", "function": {**TOOLS[0]["function"], "strict": True}}]


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


def tools_beside_a_schema():
    for seed in range(4):
        answer = client.chat.completions.parse(
            model=MODEL, messages=MESSAGES, tools=STRICT_TOOLS, response_format=Weather, seed=seed, max_tokens=200
        )
        message = answer.choices[0].message
        if message.tool_calls:
            assert message.tool_calls[0].function.parsed_arguments["city"] in ("Rome", "Oslo")
        elif answer.choices[0].finish_reason == "stop":
            assert isinstance(message.parsed, Weather)


def responses():
    whole = client.responses.create(model=MODEL, instructions="Be brief.", input="Where is it warm?", max_output_tokens=30, extra_body={"seed": 1})
    assert whole.status in ("completed", "incomplete") and whole.output[0].role == "assistant"
    assert whole.output_text == chat(seed=1).choices[0].message.content
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    text, number = "", 0
    with client.responses.stream(model=MODEL, instructions="Be brief.", input="Where is it warm?", max_output_tokens=30, extra_body={"seed": 1}) as stream:
        for event in stream:
            assert event.sequence_number == number, event
            number += 1
            if event.type == "response.output_text.delta":
                text += event.delta
    assert text == whole.output_text
    parsed = client.responses.parse(model=MODEL, input="Which weather?", text_format=Weather, max_output_tokens=100)
    if parsed.status == "completed":
        assert isinstance(parsed.output_parsed, Weather)
    flat = [{"type": "function", **tool["function"]} for tool in TOOLS]
    items = [{"role": "user", "content": "Where is it warm?"}]
    called = client.responses.create(model=MODEL, input=items, tools=flat, tool_choice="required", max_output_tokens=200)
    call = called.output[0]
    assert call.type == "function_call" and json.loads(call.arguments)["city"] in ("Rome", "Oslo")
    items += [item.model_dump() for item in called.output]
    items += [{"type": "function_call_output", "call_id": call.call_id, "output": "25 degrees"}]
    assert client.responses.create(model=MODEL, input=items, tools=flat, max_output_tokens=3).status in ("completed", "incomplete")
    try:
        client.responses.create(model=MODEL, input="x", previous_response_id="resp_1")
        raise AssertionError("a response was kept")
    except openai.BadRequestError as error:
        assert error.param == "previous_response_id"


def litellms():
    # Prices are nothing that a check should fetch.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    to = dict(model=f"openai/{MODEL}", api_base=BASE, api_key=KEY, max_tokens=30)
    whole = litellm.completion(messages=MESSAGES, seed=1, **to)
    assert whole.choices[0].message.content == chat(seed=1).choices[0].message.content
    chunks = litellm.completion(messages=MESSAGES, seed=1, stream=True, **to)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    called = litellm.completion(messages=MESSAGES, tools=TOOLS, tool_choice="required", **to | {"max_tokens": 200})
    call = called.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Oslo")
    # What it sends back carries its own fields.
    messages = MESSAGES + [called.choices[0].message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "25"}]
    litellm.completion(messages=messages, tools=TOOLS, **to)
    marked = [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]
    litellm.completion(messages=marked, **to)
    litellm.completion(messages=MESSAGES, response_format=Weather, **to)
    if EMBEDDINGS:
        made = litellm.embedding(model=f"openai/{EMBEDDINGS[0]}", api_base=BASE, api_key=KEY, input=["a b", "z"])
        assert len(made.data) == 2


def langchains():
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    @tool
    def weather(city: Literal["Rome", "Oslo"]) -> str:
        """The weather of a city."""
        return "25 degrees"

    to = dict(model=MODEL, base_url=BASE, api_key=KEY, max_retries=0)
    model = ChatOpenAI(**to, max_tokens=30, seed=1, temperature=1)
    messages = [SystemMessage("Be brief."), HumanMessage("Where is it warm?")]
    assert model.invoke(messages).content == chat(seed=1, temperature=1).choices[0].message.content
    streamed = [piece.content for piece in model.stream(messages)]
    assert "".join(streamed) == model.invoke(messages).content
    bound = ChatOpenAI(**to, max_tokens=200).bind_tools([weather], tool_choice="weather")
    called = bound.invoke(messages)
    assert isinstance(called, AIMessage) and called.tool_calls[0]["args"]["city"] in ("Rome", "Oslo")
    result = ToolMessage(weather.invoke(called.tool_calls[0]["args"]), tool_call_id=called.tool_calls[0]["id"])
    ChatOpenAI(**to, max_tokens=3).bind_tools([weather]).invoke([*messages, called, result])
    for method in ("json_schema", "function_calling"):
        structured = ChatOpenAI(**to, max_tokens=200).with_structured_output(Weather, method=method)
        assert isinstance(structured.invoke(messages), Weather)
    newer = ChatOpenAI(**to, max_tokens=30, use_responses_api=True)
    assert newer.invoke(messages).text
    assert "".join(piece.text for piece in newer.stream(messages))
    if EMBEDDINGS:
        # It sends tokens of its own vocabulary unless it is told not to.
        embedder = OpenAIEmbeddings(model=EMBEDDINGS[0], base_url=BASE, api_key=KEY, check_embedding_ctx_length=False)
        assert len(embedder.embed_documents(["a b", "z"])) == 2


def embeddings():
    name = EMBEDDINGS[0]
    texts = ["a b c", "z", "a b"]
    # The package asks for base64 by itself.
    packed = client.embeddings.create(model=name, input=texts)
    plain = client.embeddings.create(model=name, input=texts, encoding_format="float")
    assert len(packed.data) == 3 and packed.usage.prompt_tokens > 0
    tokens = client.embeddings.create(model=name, input=[[1, 2], [3]])
    assert len(tokens.data) == 2 and tokens.usage.prompt_tokens == 3
    for ours, theirs in zip(packed.data, plain.data):
        assert max(abs(a - b) for a, b in zip(ours.embedding, theirs.embedding)) < 1e-6


def errors():
    def refused(kind, **more):
        try:
            chat(**more)
        except kind as error:
            return error
        raise AssertionError(f"{more} was not refused")

    assert refused(openai.BadRequestError, reasoning_effort="endless").param == "reasoning_effort"
    wrong = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "array", "uniqueItems": True}}}
    assert "uniqueItems" in refused(openai.BadRequestError, response_format=wrong).message
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


CHECKS = [models, whole_and_streamed, settings, completions, schemas, tools, tools_beside_a_schema, responses, errors]
for check in CHECKS + [embeddings] * bool(EMBEDDINGS) + [litellms, langchains]:
    check()
    print(check.__name__, "as expected")
asyncio.run(together())
print("together as expected")

"""Uses `gyrus mcp` by the official `mcp` package, and by raw lines that no client sends.

    python golden/mcp_client.py target/release/gyrus chinook.sqlite
"""

import asyncio
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

PROGRAM, DATABASE = sys.argv[1:]
TOOLS = {"search", "read", "describe_database", "query_database"}
WRITES = [
    "DELETE FROM Customer",
    "UPDATE Customer SET City = 'x'",
    "DROP TABLE Invoice",
    "PRAGMA writable_schema = 1",
    "ATTACH 'x.sqlite' AS x",
    "SELECT 1; DELETE FROM Customer",
]


def digest():
    return hashlib.sha256(pathlib.Path(DATABASE).read_bytes()).hexdigest()


def field(result, *names):
    """A field under the name of either generation of the package."""
    return next(getattr(result, name) for name in names if hasattr(result, name))


async def official(arguments):
    async with stdio_client(StdioServerParameters(command=PROGRAM, args=arguments)) as streams:
        async with ClientSession(*streams) as session:
            begun = await session.initialize()
            assert field(begun, "server_info", "serverInfo").name == "gyrus"
            print("protocol", field(begun, "protocol_version", "protocolVersion"))
            assert {tool.name for tool in (await session.list_tools()).tools} == TOOLS

            async def call(name, **given):
                result = await session.call_tool(name, given)
                text = result.content[0].text
                if field(result, "is_error", "isError"):
                    return None, text
                data = field(result, "structured_content", "structuredContent")
                assert data == json.loads(text)
                return data, text

            hits = (await call("search", query="owls at night"))[0]["hits"]
            assert hits and "owls.md" in json.dumps(hits[0])
            assert "Owls hunt at night." in (await call("read", source="owls.md"))[0]["text"]
            assert "Invoice" in (await call("describe_database"))[1]
            answer, text = await call("query_database", sql="SELECT count(*) FROM Customer")
            assert answer and "59" in text, text
            for sql in WRITES:
                answer, text = await call("query_database", sql=sql)
                assert answer is None and text, (sql, text)
            for source in ("../secret.txt", "/etc/passwd"):
                assert (await call("read", source=source))[0] is None, source
            assert (await call("search", query=" "))[0] is None
            assert (await call("query_database"))[0] is None
            many = [call("query_database", sql=f"SELECT {number} AS n") for number in range(100, 120)]
            for number, (answer, text) in zip(range(100, 120), await asyncio.gather(*many)):
                assert answer and str(number) in text
            try:
                unknown = await session.call_tool("rm", {})
                assert field(unknown, "is_error", "isError")
            except Exception as error:
                assert "no tool" in str(error), error


def raw(arguments):
    """Malformed, huge and pipelined lines: each is answered, in order, and the next one read."""
    ping = lambda number: json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping"}).encode()
    lines = [b"{not json", b"\xff\xfe", b"[" * 100_000, b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (9 << 20) + b'"}']
    lines += [ping(number) for number in range(500)]
    run = subprocess.run([PROGRAM, *arguments], input=b"\n".join(lines) + b"\n", capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert [answer["error"]["code"] for answer in answers[:4]] == [-32700, -32700, -32700, -32600]
    assert [answer["id"] for answer in answers[4:]] == list(range(500))


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "secret.txt").write_text("nobody reads this")
    sources = folder / "sources"
    sources.mkdir()
    (sources / "owls.md").write_text("# Owls\n\nOwls hunt at night. They hear well.\n")
    (sources / "hawks.md").write_text("# Hawks\n\nHawks hunt by day.\n")
    subprocess.run([PROGRAM, "index", "-q", str(sources)], check=True)
    before = digest()
    arguments = ["mcp", "--db", DATABASE, "--sources", str(sources)]
    asyncio.run(official(arguments))
    print("official client as expected")
    raw(arguments)
    print("raw lines as expected")
    assert digest() == before
    print("database unchanged")

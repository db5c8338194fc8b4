"""A stand-in for a platform that does nothing but count: what it costs is not the product's.

python -m benchmarks.counting_server PORT. Every request is answered with 201; GET / tells the count.
"""

from __future__ import annotations

import asyncio
import sys

ANSWER = "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
counted = 0


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection's requests, one after the other, until it ends."""
    global counted
    try:
        while head := (await reader.readuntil(b"\r\n\r\n")).lower():
            length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            is_question = head.startswith(b"get / ")
            counted += not is_question
            body = str(counted) if is_question else "{}"
            status = "200 OK" if is_question else "201 Created"
            writer.write(ANSWER.format(status=status, length=len(body), body=body).encode())
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

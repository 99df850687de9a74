"""The ceiling: an ASGI application that answers the image and knows nothing."""

GIF = bytes.fromhex("4749463839610100010080000000000000000021f90401000000002c00000000010001000002024401003b")
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"image/gif"), (b"cache-control", b"no-store, private")],
}
_BODY = {"type": "http.response.body", "body": GIF}


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send(_START)
        await send(_BODY)

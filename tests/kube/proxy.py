#!/usr/bin/python3 -B
"""A proxy between a client and an API server that fails on command.

    proxy.py --control SOCKET --relay JSON [--relay JSON]...

A relay is {"name": ..., "to": "HOST:PORT"} and, if wanted,
  listen, netns        "127.0.0.1:0" by default, in the network namespace with that path
  tls: [CERT, KEY, CA] ends TLS here and speaks HTTP/1.1 to both sides, the server checked with CA; else the bytes are relayed

It prints {"NAME": PORT, ...} when it listens.  Then it takes commands on the socket, one JSON object a line, and answers with one
line; "relay" names the relay that is meant (the only one by default), "do" says what:
  reset, close         ends every connection now, by RST or by FIN; with "match" those whose last "METHOD PATH" fits
  hold, go             stops forwarding without a word, for connections that are there and those that come; goes on
  refuse, accept       stops listening; listens again on the same port
  slow                 "rate" bytes a second from the server, "delay" seconds before each piece; 0: not
  rule                 adds the rule "rule" (with TLS ended here); clear: takes all rules away
  log                  {"connections": [...], "requests": [...]}, times in seconds of the monotonic clock
  wait                 until the log has "count" requests (since "since", an index) whose "METHOD PATH" fits the regular
                       expression "match", and their answers' heads have been sent (with "asked": they have come); without "match":
                       connections.  At most "timeout" seconds; answers with the log

A rule applies to requests that "match"; "skip" so many of them first, then "times" (default 1, 0: all).  The first that fits counts:
  status, headers, body   answers itself
  delay                   seconds before the head of the answer
  head                    so many bytes of header lines before the answer's own
  replace                 [[OLD, NEW], ...] in the body: in each line of a watch, in the whole of any other
  drop                    lines of a watch that contain this
  after                   {"lines": N, "bytes": M}: there it does
  insert                  [[TEXT, TIMES], ...], and
  then                    reset | close | hold | end (as if it were complete)"""
import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import socket
import ssl
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lab"))
from labkit import netns  # noqa: E402

LIMIT = 64 << 20
RST = struct.pack("ii", 1, 0)


class Ended(Exception):
    """This connection has been ended on purpose."""


def abort(writer):
    """RST, whatever lies between."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
    writer.transport.abort()


class Connection:
    """One client with what is known of it."""

    def __init__(self, number, writer):
        self.writer, self.upstream, self.task = writer, None, asyncio.current_task()
        self.line = ""          # "METHOD PATH" of its last request.
        self.facts = {"number": number, "opened": time.monotonic(), "closed": None, "sent": 0, "received": 0}

    def end(self, how):
        for writer in (self.writer, self.upstream):
            if writer is not None:
                abort(writer) if how == "reset" else writer.close()
        self.task.cancel()


class Relay:
    def __init__(self, spec):
        self.name = spec["name"]
        self.host, port = spec["to"].rsplit(":", 1)
        self.host, self.port = self.host.strip("[]"), int(port)
        address, port = spec.get("listen", "127.0.0.1:0").rsplit(":", 1)
        self.listen, self.netns = (address.strip("[]"), int(port)), spec.get("netns")
        self.server = self.server_tls = self.client_tls = None
        if spec.get("tls"):
            certificate, key, ca = spec["tls"]
            self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.server_tls.load_cert_chain(certificate, key)
            self.server_tls.set_alpn_protocols(["http/1.1"])
            self.client_tls = ssl.create_default_context(cafile=ca)
        self.connections, self.log, self.requests, self.rules = set(), [], [], []
        self.rate = self.delay = 0
        self.going = asyncio.Event()
        self.going.set()
        self.changed = asyncio.Condition()

    # --- connections ---

    async def accept(self):
        if self.server:
            return
        sock = netns.call(self.netns, self._socket) if self.netns else self._socket()
        self.listen = sock.getsockname()[:2]
        self.server = await asyncio.start_server(self.serve, sock=sock, ssl=self.server_tls, limit=LIMIT)

    def _socket(self):
        sock = socket.socket(socket.AF_INET6 if ":" in self.listen[0] else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(self.listen)
        return sock

    async def serve(self, reader, writer):
        connection = Connection(len(self.log), writer)
        self.log.append(connection.facts)
        self.connections.add(connection)
        await self.notify()
        try:
            await self.going.wait()
            await (self.speak(connection, reader) if self.server_tls else self.pass_bytes(connection, reader))
        except (OSError, Ended, asyncio.CancelledError, asyncio.IncompleteReadError, ValueError):
            pass            # Of either side; the other sees its connection end.
        finally:
            connection.facts["closed"] = time.monotonic()
            self.connections.discard(connection)
            for side in (writer, connection.upstream):
                if side is not None:
                    side.close()

    async def notify(self):
        async with self.changed:
            self.changed.notify_all()

    async def dial(self, connection):
        reader, connection.upstream = await asyncio.open_connection(self.host, self.port, ssl=self.client_tls, limit=LIMIT)
        return reader

    async def pass_bytes(self, connection, reader):
        upstream = await self.dial(connection)
        ways = [asyncio.create_task(self.pump(reader, connection.upstream, connection, "received")),
                asyncio.create_task(self.pump(upstream, connection.writer, connection, "sent"))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await self.going.wait()         # "without a word" goes for an end, too.
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def pump(self, reader, writer, connection, way):
        while data := await reader.read(65536):
            await self.send(writer, data, connection, way)

    async def send(self, writer, data, connection, way="sent"):
        if way == "sent":
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.rate:
                await asyncio.sleep(len(data) / self.rate)
        await self.going.wait()
        if writer.is_closing():
            raise Ended
        writer.write(data)
        await writer.drain()
        connection.facts[way] += len(data)

    # --- HTTP ---

    async def speak(self, connection, reader):
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except asyncio.IncompleteReadError:
                return
            line, *fields = head.rstrip("\r\n").split("\r\n")
            method, path, _ = line.split(" ", 2)
            connection.line = f"{method} {path}"
            headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            entry = {"time": time.monotonic(), "connection": connection.facts["number"], "method": method, "path": path,
                     "status": None, "token": headers.get("authorization", "")[-8:]}
            self.requests.append(entry)
            await self.notify()
            rule = self.rule_for(f"{method} {path}")
            if rule.get("delay"):
                await asyncio.sleep(rule["delay"])
            if "status" in rule:
                await self.answer_itself(connection, entry, rule)
            else:
                await self.forward(connection, entry, rule, headers, body)

    def rule_for(self, line):
        for rule in self.rules:
            if not re.search(rule.get("match", ""), line):
                continue
            if rule.get("skip", 0) > 0:
                rule["skip"] -= 1
            elif rule["left"] != 0:
                rule["left"] -= 1
                return rule
        return {}

    async def answer_itself(self, connection, entry, rule):
        body = rule.get("body", "")
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
        head = [f"HTTP/1.1 {rule['status']} Said-by-the-proxy", f"Content-Length: {len(body)}",
                *(f"{name}: {value}" for name, value in {"Content-Type": "application/json", **rule.get("headers", {})}.items())]
        await self.send(connection.writer, "\r\n".join([*head, "", ""]).encode() + body, connection)
        entry["status"] = rule["status"]
        await self.notify()

    async def forward(self, connection, entry, rule, headers, body):
        reader = await self.dial(connection)
        try:
            dropped = ("accept-encoding", "connection", "host", "http2-settings", "upgrade")
            lines = [f"{entry['method']} {entry['path']} HTTP/1.1", f"Host: {self.host}:{self.port}", "Connection: close",
                     *(f"{name}: {value}" for name, value in headers.items() if name not in dropped), "", ""]
            connection.upstream.write("\r\n".join(lines).encode("latin-1") + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
            await self.answer(connection, entry, rule, head, reader)
        finally:
            connection.upstream.close()
            connection.upstream = None

    async def answer(self, connection, entry, rule, head, reader):
        status = int(head[0].split(" ")[1])
        fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:]}
        kept = [line for line in head[1:] if not line.lower().startswith(("content-length:", "transfer-encoding:", "connection:"))]
        await self.send(connection.writer, (head[0] + "\r\n").encode("latin-1"), connection)
        for index in range(0, rule.get("head", 0), 1024):
            await self.send(connection.writer, f"X-Filler-{index}: {'x' * 1000}\r\n".encode(), connection)
        bodiless = status in (204, 304) or entry["method"] == "HEAD"
        kept += [] if bodiless else ["Transfer-Encoding: chunked"]
        await self.send(connection.writer, "\r\n".join([*kept, "", ""]).encode("latin-1"), connection)
        entry["status"] = status
        await self.notify()
        if bodiless:
            return
        watch = re.search(r"[?&]watch=(1|true)", entry["path"])
        editor = Editor(self, connection, rule)
        await editor.begin()
        async for piece in lines_of(body_of(reader, fields)) if watch else whole_of(body_of(reader, fields)):
            await editor.piece(piece)
        await editor.end()

    # --- commands ---

    async def command(self, order):
        what = order["do"]
        if what in ("reset", "close"):
            for connection in list(self.connections):
                if re.search(order.get("match", ""), connection.line):
                    connection.end(what)
        elif what == "hold":
            self.going.clear()
        elif what == "go":
            self.going.set()
        elif what == "refuse" and self.server:
            self.server.close()
            self.server = None
        elif what == "accept":
            await self.accept()
        elif what == "slow":
            self.rate, self.delay = order.get("rate", 0), order.get("delay", 0)
        elif what == "rule":
            rule = dict(order["rule"])
            rule["left"] = rule.get("times", 1) or -1
            self.rules.append(rule)
        elif what == "clear":
            self.rules.clear()
        elif what == "wait":
            await self.wait(order)
        elif what not in ("log", "refuse"):
            raise ValueError(f"unknown command {what!r}")
        return {"connections": self.log, "requests": self.requests, "port": self.listen[1]} if what in ("log", "wait") else {}

    async def wait(self, order):
        def there():
            since = order.get("since", 0)
            if "match" not in order:
                return len(self.log) - since >= order.get("count", 1)
            fits = [entry for entry in self.requests[since:] if (order.get("asked") or entry["status"] is not None) and
                    re.search(order["match"], f"{entry['method']} {entry['path']}")]
            return len(fits) >= order.get("count", 1)

        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(there), order.get("timeout", 30))
            except asyncio.TimeoutError:
                raise ValueError(f"not within {order.get('timeout', 30)} s: {order}") from None


class Editor:
    """Sends a body on in chunks, changed as a rule says."""

    def __init__(self, relay, connection, rule):
        self.relay, self.connection, self.rule = relay, connection, rule
        self.lines = self.bytes = 0
        self.place = dict(rule["after"]) if "after" in rule else {"lines": 0, "bytes": 0} if "insert" in rule or "then" in rule \
            else None

    async def begin(self):
        """What is to come first does not wait for the server's first piece."""
        if self.place is not None and not self.place.get("lines") and not self.place.get("bytes"):
            await self.act()

    async def piece(self, data):
        if self.rule.get("drop") and self.rule["drop"].encode() in data:
            return
        for old, new in self.rule.get("replace", ()):
            data = data.replace(old.encode(), new.encode())
        if self.place is not None and self.lines >= self.place.get("lines", 0):
            at = max(0, self.place.get("bytes", 0) - self.bytes)
            if at <= len(data):
                await self.chunk(data[:at])
                data = data[at:]
                await self.act()
            else:
                self.bytes += len(data)
        self.lines += 1
        await self.chunk(data)

    async def act(self):
        self.place = None
        if "insert" in self.rule:
            for text, times in self.rule["insert"]:
                block = max(1, 65536 // len(text))
                for done in range(0, times, block):
                    await self.chunk(text.encode() * min(block, times - done))
        then = self.rule.get("then")
        if then == "hold":
            await asyncio.Event().wait()
        elif then == "end":
            await self.end()
        if then in ("reset", "close"):
            await asyncio.sleep(0.05)       # What was sent should arrive: a RST overtakes it.
            abort(self.connection.writer) if then == "reset" else self.connection.writer.close()
        if then:
            raise Ended

    async def chunk(self, data):
        if data:
            await self.relay.send(self.connection.writer, f"{len(data):x}\r\n".encode() + data + b"\r\n", self.connection)

    async def end(self):
        await self.relay.send(self.connection.writer, b"0\r\n\r\n", self.connection)


async def body_of(reader, fields):
    """Pieces of an answer's body."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
    elif "content-length" in fields:
        yield await reader.readexactly(int(fields["content-length"]))
    else:
        while data := await reader.read(65536):
            yield data


async def lines_of(pieces):
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


async def whole_of(pieces):
    yield b"".join([piece async for piece in pieces])


class Control:
    """The test's side of the control socket; blocking."""

    def __init__(self, path, relay=None):
        self.relay = relay
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")

    def __call__(self, do, **more):
        order = {"do": do, **({"relay": self.relay} if self.relay else {}), **more}
        self.file.write(json.dumps(order) + "\n")
        self.file.flush()
        answer = json.loads(self.file.readline() or '{"error": "the proxy has ended"}')
        if "error" in answer:
            raise AssertionError(f"proxy: {answer['error']}")
        return answer

    def rule(self, match, **rule):
        self("rule", rule={"match": match, **rule})

    def requests(self, match=""):
        return [entry for entry in self("log")["requests"] if re.search(match, f"{entry['method']} {entry['path']}")]

    def close(self):
        self.file.close()
        self.socket.close()


async def obey(relays, reader, writer):
    while line := await reader.readline():
        try:
            order = json.loads(line)
            name = order.get("relay") or (next(iter(relays)) if len(relays) == 1 else "")
            if name not in relays:
                raise ValueError(f"which relay? {', '.join(relays)}")
            answer = await relays[name].command(order)
        except (ValueError, KeyError, OSError) as error:
            answer = {"error": str(error) or repr(error)}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    writer.close()


async def run(options):
    relays = {relay.name: relay for relay in map(Relay, map(json.loads, options.relay))}
    for relay in relays.values():
        await relay.accept()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(options.control)
    server = await asyncio.start_unix_server(lambda reader, writer: obey(relays, reader, writer), options.control, limit=LIMIT)
    print(json.dumps({relay.name: relay.listen[1] for relay in relays.values()}), flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", required=True)
    parser.add_argument("--relay", action="append", required=True)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)     # It complains of connections that have been cut.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

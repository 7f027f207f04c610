"""A service for gateway_stream.sh: takes a body of any size, or gives one of N bytes at /down/N. One thread a connection."""
import socket, sys, threading

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
BLOCK = bytes(1 << 20)


def serve(stream):
    into, head = bytearray(1 << 20), b""
    while True:
        while b"\r\n\r\n" not in head:
            more = stream.recv(65536)
            if not more:
                return
            head += more
        top, _, rest = head.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        path = lines[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if path.startswith("/down/"):
            left = int(path.rsplit("/", 1)[1])
            stream.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n".encode())
            while left:
                count = min(left, len(BLOCK))
                stream.sendall(memoryview(BLOCK)[:count])
                left -= count
            head = rest
            continue
        length = int(headers.get("content-length", 0))
        left = length - len(rest)
        while left:
            count = stream.recv_into(into, min(left, len(into)))
            if not count:
                return
            left -= count
        said = str(length).encode()
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
        head = b""


while True:
    stream, _ = listener.accept()
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=(stream,), daemon=True).start()

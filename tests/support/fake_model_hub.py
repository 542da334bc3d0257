"""A hub on this machine: the part of the Hugging Face Hub's HTTP interface that uploads use, over a real socket."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_" + "x" * 20


class FakeHub:
    """A running server; `repositories` is name -> {private, files}, `requests` the (method, path) in order."""

    def __init__(self):
        self.repositories, self.requests, self.blobs, self.status = {}, [], {}, None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def allowed(self):
        self.hub.requests.append((self.command, self.path))
        if self.hub.status:
            self.answer({"error": "no"}, self.hub.status)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer({"error": "Invalid credentials"}, 401)
        else:
            return True
        return False

    def do_GET(self):
        if not self.allowed():
            return
        name = self.path.removeprefix("/api/models/").partition("?")[0].partition("/revision/")[0]
        if name not in self.hub.repositories:
            return self.answer({"error": "Repository not found"}, 404)
        self.answer(
            {
                "id": name,
                "modelId": name,
                "private": self.hub.repositories[name]["private"],
                "siblings": [],
                "sha": "0" * 40,
                "tags": [],
                "downloads": 0,
                "likes": 0,
            }
        )

    def do_PUT(self):
        data = self.body()
        self.hub.requests.append((self.command, self.path))
        self.hub.blobs[hashlib.sha256(data).hexdigest()] = data
        self.answer({})

    def do_POST(self):
        data = self.body()
        if not self.allowed():
            return
        if self.path == "/api/repos/create":
            request = json.loads(data)
            organization = request.get("organization")
            name = f"{organization}/{request['name']}" if organization else request["name"]
            if name in self.hub.repositories:
                return self.answer({"error": "exists", "url": f"{self.hub.address}/{name}"}, 409)
            self.hub.repositories[name] = {
                "private": request.get("private", request.get("visibility") == "private"),
                "files": {},
            }
            return self.answer({"url": f"{self.hub.address}/{name}", "name": name})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            return self.answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "shouldIgnore": False,
                            "oid": None,
                            "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular",
                        }
                        for file in json.loads(data)["files"]
                    ]
                }
            )
        if self.path.endswith("/info/lfs/objects/batch"):
            return self.answer(
                {
                    "transfer": "basic",
                    "objects": [
                        {
                            "oid": item["oid"],
                            "size": item["size"],
                            "actions": {"upload": {"href": f"{self.hub.address}/blobs/{item['oid']}", "header": {}}},
                        }
                        for item in json.loads(data)["objects"]
                    ],
                }
            )
        if "/commit/" in self.path:
            name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            files = self.hub.repositories[name]["files"]
            for line in data.splitlines():
                operation = json.loads(line)
                value = operation["value"]
                if operation["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif operation["key"] == "lfsFile":
                    files[value["path"]] = self.hub.blobs[value["oid"]]
            return self.answer(
                {"success": True, "commitOid": "1" * 40, "commitUrl": f"{self.hub.address}/{name}/commit/{'1' * 40}"}
            )
        self.answer({"error": f"unknown {self.path}"}, 404)

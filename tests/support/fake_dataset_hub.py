"""A hub on this machine: the HTTP interface that a dataset repository needs (commits, lists, downloads)."""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """One repository behind a real server; a context manager."""

    def __init__(self, name, token):
        self.name, self.token = name, token
        self.files, self.commits = {}, [hashlib.sha1(b"0").hexdigest()]
        self.squashed, self.refuse, self.delay = 0, None, 0.0
        self.lock = threading.Lock()

    def commit(self, added, gone=()):
        """Commit files and deletions; return the commit's sha."""
        for name in gone:
            del self.files[name]
        self.files.update(added)
        self.commits.append(hashlib.sha1(f"{len(self.commits)}{time.time_ns()}".encode()).hexdigest())
        return self.commits[-1]

    def __enter__(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, body=b"", kind="application/json", **headers):
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
                    self.send_header(name.replace("_", "-"), str(value))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if hub.refuse:
                    return self.reply(hub.refuse, {"error": "refused"})
                if self.headers.get("Authorization") != f"Bearer {hub.token}":
                    return self.reply(401, {"error": "unknown token"})
                with hub.lock:
                    return self.act(unquote(urlsplit(self.path).path), body)

            do_GET = do_POST = do_HEAD = do

            def act(self, path, body):
                api = f"/api/datasets/{hub.name}"
                if path.startswith(f"{api}/preupload/"):
                    files = json.loads(body)["files"]
                    return self.reply(
                        200,
                        {
                            "files": [
                                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                                for file in files
                            ]
                        },
                    )
                if path.startswith(f"{api}/commit/"):
                    return self.commit(body)
                if path.startswith(f"{api}/super-squash/"):
                    hub.squashed += 1
                    hub.commits.append(hashlib.sha1(str(hub.squashed).encode()).hexdigest())
                    return self.reply(200, {})
                if path.startswith(f"{api}/tree/"):
                    return self.reply(
                        200,
                        [
                            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                            for name, data in hub.files.items()
                        ],
                    )
                if path == api or path.startswith(f"{api}/revision/"):
                    return self.reply(
                        200,
                        {
                            "id": hub.name,
                            "sha": hub.commits[-1],
                            "private": True,
                            "siblings": [{"rfilename": name} for name in hub.files],
                        },
                    )
                prefix = f"/datasets/{hub.name}/resolve/"
                name = path.removeprefix(prefix).partition("/")[2]
                if path.startswith(prefix) and name in hub.files:
                    data = hub.files[name]
                    return self.reply(
                        200,
                        data,
                        "application/octet-stream",
                        ETag=f'"{hashlib.sha1(data).hexdigest()}"',
                        X_Repo_Commit=hub.commits[-1],
                    )
                return self.reply(404, {"error": "not found"}, X_Error_Code="RepoNotFound")

            def commit(self, body):
                time.sleep(hub.delay)
                header, *operations = [json.loads(line) for line in body.splitlines()]
                if header["value"].get("parentCommit", hub.commits[-1]) != hub.commits[-1]:
                    return self.reply(412, {"error": "a commit has happened since"})
                added = {
                    operation["value"]["path"]: base64.b64decode(operation["value"]["content"])
                    for operation in operations
                    if operation["key"] == "file"
                }
                sha = hub.commit(added, [each["value"]["path"] for each in operations if each["key"] == "deletedFile"])
                return self.reply(
                    200,
                    {
                        "commitUrl": f"{hub.address}/datasets/{hub.name}/commit/{sha}",
                        "commitOid": sha,
                        "hookOutput": "",
                        "success": True,
                    },
                )

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

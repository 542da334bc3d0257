"""A study behind a real server in this process, and a browser without eyes for it."""

import threading
from contextlib import contextmanager

import httpx
import uvicorn

from study.web.html_form import read
from study.web.server import application


@contextmanager
def site(find, mode="live"):
    """Serve the study that `find` returns; the address of the consent."""
    config = uvicorn.Config(application(find, mode), port=0, access_log=False, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    begun = threading.Event()
    startup = server.startup

    async def told(*sockets, **named):
        await startup(*sockets, **named)
        begun.set()

    server.startup = told
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert begun.wait(30)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/study"
    finally:
        server.should_exit = True
        thread.join()


class Browser:
    """Follows redirects, keeps no cookie, reads pages."""

    def __init__(self, address):
        self.address = address
        self.client = httpx.Client(follow_redirects=True, trust_env=False, timeout=30)
        self.link = None

    def get(self, path=""):
        return self.told(self.client.get(self.url(path)))

    def post(self, path, **data):
        return self.told(self.client.post(self.url(path), data=data))

    def url(self, path):
        """Of a path on the page, or below the consent's address."""
        return str(httpx.URL(self.address).join(path)) if path.startswith("/") else self.address + path

    def told(self, reply):
        """The page of a reply, with its status."""
        page = read(reply.text)
        page.status, page.address = reply.status_code, str(reply.url)
        return page

    def begin(self):
        """Agree and take part; the first question."""
        consent = self.get()
        page = self.post(consent.form.action, agree="yes")
        self.link = page.address
        return page

    def now(self):
        """The current question."""
        return self.told(self.client.get(self.link))

    def answer(self, page, choice="1", **changes):
        """Send a page's form, as it is but for the changes."""
        return self.post(page.form.action, **{**page.form.fields, "choice": choice, **changes})

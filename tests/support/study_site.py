"""A study on a real server in this process, and a text browser for it."""

import threading
from contextlib import contextmanager

import httpx
import uvicorn

from study.web.html_form import parse_page
from study.web.server import application


@contextmanager
def site(find, mode="live"):
    """Serve the study that `find` returns; yield the address of the consent."""
    config = uvicorn.Config(application(find, mode), port=0, access_log=False, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup

    async def startup_and_notify(*sockets, **options):
        await startup(*sockets, **options)
        started.set()

    server.startup = startup_and_notify
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(30)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/study"
    finally:
        server.should_exit = True
        thread.join()


class Browser:
    """A browser that follows redirects, keeps no cookies, and parses pages."""

    def __init__(self, address):
        self.address = address
        self.client = httpx.Client(follow_redirects=True, trust_env=False, timeout=30)
        self.link = None

    def get(self, path=""):
        return self.page_of(self.client.get(self.url(path)))

    def post(self, path, **data):
        return self.page_of(self.client.post(self.url(path), data=data))

    def url(self, path):
        """Return the URL of a path on the page, or below the address of the consent."""
        return str(httpx.URL(self.address).join(path)) if path.startswith("/") else self.address + path

    def page_of(self, reply):
        """Return the page of a reply, with its status."""
        page = parse_page(reply.text)
        page.status, page.address = reply.status_code, str(reply.url)
        return page

    def begin(self):
        """Agree and take part; return the first question."""
        consent = self.get()
        page = self.post(consent.form.action, agree="yes")
        self.link = page.address
        return page

    def now(self):
        """Return the current question."""
        return self.page_of(self.client.get(self.link))

    def answer(self, page, choice="1", **changes):
        """Send the form of a page with some changes."""
        return self.post(page.form.action, **{**page.form.fields, "choice": choice, **changes})

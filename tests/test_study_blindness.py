"""The audit finds nothing in the study as it is served, and each leak that is planted in it, by its own kind."""

import asyncio
import io
import re
import socket
import struct
import subprocess
import threading
import zlib
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import permutations
from statistics import NormalDist

import httpx
import pytest
import uvicorn
from PIL import Image, ImageCms
from scipy.stats import mannwhitneyu

from study import ORIGINS, StudyError, creating, images, schema
from study.blindness import KINDS, Leak, audit, audit_draft, known, repository
from study.blindness_chance import proven, rank_sum
from study.blindness_chance import tests as chances
from study.blindness_visit import Reply, Screen, View, Visit, label
from study.definition import Definition
from study.images import BlindImage, blind
from study.serving import application
from study.store import create
from tests.study_sample import ANALYSIS, LANDMARKS, draft, pictures, png, query, told

ADAPTER = "3f9ac0de77"


# --- a served study with something between it and the auditor ---------------------------------------------------------


class Answer:
    """One answer on its way out; a plant changes it."""

    def __init__(self, method, path, sent, status, headers, body, site):
        self.method, self.path, self.sent, self.status = method, path, sent, status
        self.headers, self.body, self.site = dict(headers), body, site
        self.delay = 0.0

    @property
    def label(self):
        """Of the picture that is sent; empty for everything else."""
        return self.site.labels.get(sha256(self.body).hexdigest(), "")

    @property
    def is_question(self):
        return b'name="trial"' in self.body

    def options(self, change):
        """Replace the markup of each option by change(markup, origin, position)."""
        position = 0

        def one(found):
            nonlocal position
            position += 1
            token = re.search(r"/study-img/(\w+)", found[0])[1]
            return change(found[0], self.site.label(token), position)

        self.body = re.sub(r'<label class="option">.*?</label>', one, self.body.decode(), flags=re.DOTALL).encode()

    def replace(self, old, new):
        self.body = self.body.replace(old.encode(), new.encode())


class Site:
    """A study for simulated people on a server in a thread; what `plant` does to every answer, the auditor gets."""

    def show(self, store, key):
        self.store, self.key = store, key
        self.labels = {digest: label(picture) for digest, picture in key.items()}
        self.plant, self.asked = (lambda answer: None), (lambda path: path)

    def audit(self, people=1, **values):
        return audit(self.address, self.key, people, **values)

    def label(self, token):
        """Of the picture behind a token."""
        return self.labels[sha256(self.store.image(token)).hexdigest()]

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        message, parts = await receive(), []

        async def again():
            return message

        async def keep(part):
            parts.append(part)

        scope["path"] = self.asked(scope["path"])
        await self.app(scope, again, keep)
        body = b"".join(part.get("body", b"") for part in parts[1:])
        headers = [(name.decode(), value.decode()) for name, value in parts[0]["headers"]]
        answer = Answer(scope["method"], scope["path"], message.get("body", b"").decode(), parts[0]["status"], headers,
                        body, self)
        self.plant(answer)
        await asyncio.sleep(answer.delay)
        if answer.body != body:
            answer.headers["content-length"] = str(len(answer.body))
        encoded = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": answer.body})

    @contextmanager
    def running(self):
        self.app = application(lambda: self.store, "simulated")
        started = threading.Event()

        class Server(uvicorn.Server):
            async def startup(self, sockets=None):
                await super().startup(sockets)
                started.set()

        server = Server(uvicorn.Config(self, access_log=False, server_header=False, log_level="warning"))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{listener.getsockname()[1]}/study"
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            assert started.wait(30)
            try:
                yield self
            finally:
                server.should_exit = True
                thread.join()


def opened(folder, **values):
    """A study that people can join, and its key."""
    store = create(folder, Definition(landmarks=LANDMARKS, **values), with_adapter())
    key = known(store)
    store.lock(ANALYSIS)
    return store, key


def with_adapter():
    """The sample's pictures, with the hash of an adapter in the key."""
    return [replace(one, facts={**one.facts, "adapter": {"sha256": ADAPTER}}) if one.origin == "lora" else one
            for one in pictures()]


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "PRAGMAS", (*schema.PRAGMAS, "synchronous = OFF"))
        yield


class Directly(httpx.BaseTransport):
    """Requests without a network, for the many audits of planted leaks."""

    def __init__(self, app):
        self.app, self.runner = app, asyncio.Runner()

    def handle_request(self, request):
        return self.runner.run(self.answer(request))

    def close(self):
        self.runner.close()

    async def answer(self, request):
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method,
                 "scheme": "http", "path": request.url.path, "raw_path": request.url.raw_path, "root_path": "",
                 "query_string": request.url.query, "headers": [(k.lower(), v) for k, v in request.headers.raw]}
        parts = []

        async def receive():
            return {"type": "http.request", "body": request.read(), "more_body": False}

        async def send(part):
            parts.append(part)

        await self.app(scope, receive, send)
        body = b"".join(part.get("body", b"") for part in parts[1:])
        return httpx.Response(parts[0]["status"], headers=parts[0]["headers"], stream=httpx.ByteStream(body))


@pytest.fixture(scope="module")
def server():
    with Site().running() as site:
        yield site


@pytest.fixture
def nearby(site, monkeypatch):
    """The site without a network."""
    client = httpx.Client

    async def here(function, *arguments, **_):
        return function(*arguments)

    monkeypatch.setattr(httpx, "Client", lambda **values: client(transport=Directly(site), **values))
    monkeypatch.setattr("anyio.to_thread.run_sync", here)
    return site


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A study without a flaw; its people withdraw, so that it is as before after every audit."""
    store, key = opened(tmp_path_factory.mktemp("blind") / "study")
    with store.held():
        yield store, key


@pytest.fixture
def site(server, plain):
    server.show(*plain)
    return server


def kinds(leaks):
    return {leak.kind for leak in leaks}


# --- the study as it is served ----------------------------------------------------------------------------------------


def test_the_study_as_it_is_served_is_blind_and_keeps_nothing_of_the_auditor(site):
    assert site.audit(people=2) == []
    assert query(site.store, "SELECT count(*) FROM participant") == [(0,)]


def test_the_instrument_of_the_paper_is_blind_too(server, tmp_path):
    server.show(*opened(tmp_path, instrument="paper"))
    assert server.audit() == []


def test_a_draft_is_audited_on_a_copy_and_that_its_key_was_opened_stays_known(tmp_path):
    store = draft(tmp_path)
    store.join("pilot", "1")
    assert audit_draft(store, people=1) == []
    assert store.status().state == "pilot"
    assert store.status().counts == {"pilot": {"active": 1}}
    assert [(one["action"], one["detail"]) for one in store.audit()][1:] == [
        ("key opened", {"purpose": "blindness audit"})
    ]


def test_the_folder_of_a_draft_is_a_key(server, tmp_path):
    store = draft(tmp_path)
    server.show(store, {})
    server.app = application(lambda: store, "live", "pilot-key")
    try:
        assert audit(f"{server.address}?pilot=pilot-key", tmp_path, people=1) == []
    finally:
        server.app = application(lambda: server.store, "simulated")
    assert store.audit()[1]["detail"] == {"purpose": "blindness audit"}


# --- leaks, each planted in every study that is served ----------------------------------------------------------------

PLANTS = []


def plants(*kinds):
    """The function plants a leak that is found as these kinds and as no other."""
    def keep(plant):
        PLANTS.append(pytest.param(set(kinds), plant, id=plant.__name__))
        return plant

    return keep


def every_option(change):
    """A plant that replaces each option's markup by change(markup, origin, position)."""
    def plant(answer):
        if answer.is_question:
            answer.options(change)

    return plant


def renamed(site, name):
    """Give pictures the address name(token, label); whoever asks for it gets the picture."""
    real = {}

    def plant(answer):
        if answer.is_question:
            for token in re.findall(r'/study-img/(\w+)"', answer.body.decode()):
                real[name(token, site.label(token))] = f"/study-img/{token}"
            for new, old in real.items():
                answer.replace(f'"{old}"', f'"{new}"')

    site.plant, site.asked = plant, lambda path: real.get(path, path)


@plants("file name")
def extension(site, _):
    renamed(site, lambda token, origin: f"/study-img/{token}.png")


@plants("address")
def query_string(site, _):
    site.plant = every_option(lambda html, origin, _: re.sub(
        r"(/study-img/\w+)", r"\1?again" if origin == "lora" else r"\1", html))


@plants("address")
def the_same_address_in_every_trial(site, _):
    names = {}

    def name(token, _):
        digest = sha256(site.store.image(token)).hexdigest()
        return "/study-img/" + names.setdefault(digest, token)

    renamed(site, name)


@plants("address")
def longer_ids(site, _):
    renamed(site, lambda token, origin: f"/study-img/{token}{'00' if origin == 'lora' else ''}")


@plants("cache folder")
def folder(site, _):
    renamed(site, lambda token, origin: f"/{'a' if origin == 'lora' else 'b'}/{token}")


@plants("order of ids")
def first_letter(site, _):
    renamed(site, lambda token, origin: f"/study-img/{'0' if origin == 'lora' else 'f'}{token}")


@plants("order of ids")
def last_letter(site, _):
    renamed(site, lambda token, origin: f"/study-img/{token}{'0' if origin == 'lora' else 'f'}")


@plants("orig_name")
def gradios_file(site, _):
    site.plant = lambda answer: answer.replace("<main>", "<main data-file='{\"orig_name\": \"a\"}'>")


def header(name, value):
    """A plant that gives pictures a header, value(label)."""
    def plant(answer):
        if answer.label:
            answer.headers[name] = value(answer.label)

    return plant


@plants("Content-Disposition")
def download_name(site, _):
    site.plant = header("content-disposition", lambda origin: f'inline; filename="{len(origin)}.png"')


@plants("Last-Modified")
def time_stamp(site, _):
    site.plant = header("last-modified", lambda origin: f"Mon, 23 Nov 2020 00:00:0{len(origin) % 10} GMT")


@plants("Last-Modified")
def one_time_stamp_for_all(site, _):
    site.plant = header("last-modified", lambda _: "Mon, 23 Nov 2020 00:00:00 GMT")


@plants("ETag")
def fingerprint(site, _):
    site.plant = header("etag", lambda origin: f'"{sha256(origin.encode()).hexdigest()[:8]}"')


@plants("header")
def a_header_for_some(site, _):
    site.plant = lambda answer: answer.headers.update({"x-cache": "hit"} if answer.label == "ti" else {})


@plants("header")
def a_header_with_a_word(site, _):
    site.plant = header("x-model", lambda _: "LoRA")


@plants("header")
def a_header_that_changes_with_every_answer(site, _):
    numbers = iter(range(10_000))
    site.plant = header("x-took", lambda origin: str(next(numbers) + (20_000 if origin == "lora" else 0)))


@plants("header")
def the_order_of_headers(site, _):
    def plant(answer):
        if answer.label == "lora":
            answer.headers = dict(reversed(answer.headers.items()))

    site.plant = plant


@plants("alteration")
def other_bytes(site, _):
    def plant(answer):
        if answer.label == "lora":
            with Image.open(io.BytesIO(answer.body)) as image:
                turned = unpadded(images._encode(image.rotate(180)))
            answer.body = images._pad(turned, len(answer.body) - len(turned) - 12)

    site.plant = plant


@plants("alt")
def alternative_text(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace(" of ", " out of " if origin == "lora" else " of "))


@plants("title")
def tooltip(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace("<img", f'<img title="{len(origin)}"'))


@plants("id")
def element_id(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace("<img", f'<img id="p{len(origin)}"'))


@plants("id")
def answer_id(site, _):
    def plant(answer):
        if answer.is_question and trial_kind(site, answer) == "catch":
            answer.body = re.sub(rb'(name="response" value="[^"]+)', rb"\1x", answer.body)

    site.plant = plant


@plants("class")
def class_name(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace('"option"', f'"option m{len(origin)}"'))


@plants("value")
def radio_value(site, _):
    site.plant = every_option(lambda html, origin, at: html.replace(
        f'value="{at}"', f'value="0{at}"' if origin == "lora" else f'value="{at}"'))


@plants("text")
def a_mark_beside_the_picture(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace("</span>", f"{'*' * (origin == 'ti')}</span>"))


@plants("markup")
def an_element_more(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace("<img", "<wbr><img" if origin == "ti" else "<img"))


@plants("markup")
def an_attribute(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace("<img", f'<img tabindex="{len(origin)}"'))


@plants("DOM order")
def sorted_by_origin(site, _):
    def plant(answer):
        if answer.is_question:
            tokens = []
            answer.options(lambda html, *_: tokens.append(re.search(r"img/(\w+)", html)[1]) or html)
            by_origin = sorted(tokens, key=site.label)
            answer.options(lambda html, _, at: re.sub(r"img/\w+", f"img/{by_origin[at - 1]}", html))

    site.plant = plant


@plants("hidden component")
def data_attribute(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace("<img", f'<img data-n="{len(origin)}"'))


@plants("hidden component")
def style_attribute(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace("<img", f'<img style="order: {len(origin)}"'))


@plants("hidden component")
def hidden_field(site, _):
    def plant(answer):
        if answer.is_question:
            found = []
            answer.options(lambda html, origin, _: found.append(str(len(origin))) or html)
            answer.replace("<fieldset>", f'<input type="hidden" name="key" value="{"".join(found)}"><fieldset>')

    site.plant = plant


@plants("hidden component")
def comment(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace("<img", f"<!-- {len(origin)} --><img"))


def trial_kind(site, answer):
    token = re.search(rb'name="trial" value="(\w+)"', answer.body)[1].decode()
    return query(site.store, "SELECT kind FROM trial WHERE id = ?", token)[0][0]


@plants("kind of trial")
def a_word_in_repeats(site, _):
    def plant(answer):
        if answer.is_question and trial_kind(site, answer) == "repeat":
            answer.replace("</h1>", " Really?</h1>")

    site.plant = plant


@plants("kind of trial")
def a_class_in_catch_trials(site, _):
    def plant(answer):
        if answer.is_question and trial_kind(site, answer) == "catch":
            answer.replace('<form id="trial"', '<form id="trial" class="check"')

    site.plant = plant


@plants("kind of trial")
def another_number_of_pictures(site, _):
    def plant(answer):
        if answer.is_question and trial_kind(site, answer) == "catch":
            answer.body = re.sub(rb'<section class="beside single".*?</section>', b"", answer.body, flags=re.DOTALL)
            answer.body = re.sub(rb'<img src="[^"]*"[^>]*alt="Style picture 4[^>]*>', b"", answer.body)

    site.plant = plant


@plants("word")
def the_name_of_a_method(site, _):
    site.plant = lambda answer: answer.replace("<button", "<p>Not textual inversion.</p><button")


@plants("word")
def a_word_in_the_style_sheet(site, _):
    site.plant = lambda answer: answer.replace("small", "lora-1")


@plants("word")
def a_word_in_the_markup(site, _):
    site.plant = lambda answer: answer.replace("<body>", '<body class="isLora">') if answer.is_question else None


@plants("word")
def the_hash_of_an_adapter(site, _):
    site.plant = lambda answer: answer.replace("<main>", f"<main><i>{ADAPTER}</i>")


@plants("hidden page")
def pages_of_gradio(site, _):
    def plant(answer):
        if answer.path in ("/config", "/gradio_api/info", "/openapi.json", "/docs"):
            answer.status, answer.body = 200, b"{}"

    site.plant = plant


@plants("experimenter's page")
def results(site, _):
    site.plant = lambda answer: setattr(answer, "status", 401) if answer.path == "/study/results" else None


@plants("experimenter's page")
def another_front_door(site, _):
    site.plant = lambda answer: answer.headers.update(location="/results") if answer.path == "/" else None


@plants("load time")
def a_slow_origin(site, _):
    site.plant = lambda answer: setattr(answer, "delay", 0.02 if answer.label == "lora" else 0.0)


@plants("browser cache")
def kept_pictures(site, _):
    site.plant = lambda answer: answer.headers.update({"cache-control": "max-age=60"} if answer.label else {})


@plants("browser cache")
def kept_script(site, _):
    site.plant = lambda answer: answer.headers.pop("cache-control") if answer.path.endswith(".js") else None


@plants("local storage")
def remembering_script(site, _):
    site.plant = lambda answer: answer.replace('"use strict";', "localStorage.last = 1;")


@plants("cookie")
def session(site, _):
    site.plant = lambda answer: answer.headers.update({"set-cookie": "a=1"} if answer.is_question else {})


@plants("error text")
def a_refusal_that_knows_the_picture(site, _):
    def plant(answer):
        if answer.status == 404 and answer.path.startswith("/study-img/") and len(answer.path) == 44:
            answer.body = site.label(answer.path[-33:-1])[:1].encode()

    site.plant = plant


@plants("error text")
def a_refusal_that_knows_the_answer(site, _):
    def plant(answer):
        if answer.status == 409 and "response=-" in answer.sent:
            trial, position = (re.search(rf"{name}=(\w+)", answer.sent)[1] for name in ("trial", "choice"))
            ((token,),) = query(
                site.store, "SELECT view_token FROM trial_option WHERE trial = ? AND place = 'option' AND position = ?",
                trial, position,
            )
            answer.replace("8 to 64", "8 to 64" if site.label(token) == "lora" else "8 to 63")

    site.plant = plant


# --- leaks in the copies themselves -----------------------------------------------------------------------------------

END = b"\0\0\0\0IEND\xaeB`\x82"


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def unpadded(data):
    """A blind copy without its padding."""
    end = data.find(b"paDd") - 4
    return data if end < 0 else data[:end] + END


def padded(files, length):
    return [images._pad(data, length - len(data) - 12) for data in files]


def behind_the_header(data, *chunks):
    return data[:33] + b"".join(chunks) + data[33:]


def saved(data, form="PNG", **values):
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(buffer, form, **values)
    return buffer.getvalue()


def unfiltered(data):
    """The same pixels with no filter in any row."""
    with Image.open(io.BytesIO(data)) as image:
        rows = [b"\0" + image.crop((0, y, image.width, y + 1)).tobytes() for y in range(image.height)]
    return data[:33] + chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + END


def with_copies(site, folder, change, seal=padded):
    """Show a study whose blind copies are change(unpadded PNG, origin), brought to one length."""
    def flawed(given, size):
        origins = [ORIGINS[number % 3] if number < 15 else "" for number in range(len(given))]
        files = [change(unpadded(copy.data), origin) for copy, origin in zip(blind(given, size), origins)]
        files = seal(files, max(map(len, files)) + 12)
        return [BlindImage(data, sha256(data).hexdigest(), size, size) for data in files]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(creating, "blind", flawed)
        site.show(*opened(folder))


def for_lora(change):
    return lambda data, origin: change(data) if origin == "lora" else data


def zeros_behind(files, length):
    return [data.ljust(length, b"\0") for data in files]


@plants("EXIF")
def camera(site, folder):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    with_copies(site, folder, for_lora(lambda data: saved(data, compress_level=9, exif=exif)))


@plants("XMP")
def editor(site, folder):
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>")
    with_copies(site, folder, for_lora(lambda data: behind_the_header(data, xmp)))


@plants("ICC")
def colour_profile(site, folder):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with_copies(site, folder, for_lora(lambda data: saved(data, compress_level=9, icc_profile=profile)))


@plants("PNG text")
def prompt_in_the_picture(site, folder):
    with_copies(site, folder, lambda data, _: behind_the_header(data, chunk(b"tEXt", b"Title\0same")))


@plants("C2PA")
def manifest(site, folder):
    box = chunk(b"caBX", b"\0\0\0\x21jumb\0\0\0\x19jumdc2pa" + bytes(17))
    with_copies(site, folder, for_lora(lambda data: behind_the_header(data, box)))


@plants("codec")
def another_format(site, folder):
    with_copies(site, folder, lambda data, origin: saved(data, "WEBP" if origin == "ti" else "GIF"), zeros_behind)


@plants("encoder")
def fast_compression(site, folder):
    with_copies(site, folder, for_lora(lambda data: saved(data, compress_level=1)))


@plants("encoder")
def no_filter(site, folder):
    with_copies(site, folder, for_lora(unfiltered))


@plants("encoder")
def another_chunk(site, folder):
    with_copies(site, folder, for_lora(lambda data: behind_the_header(data, chunk(b"gAMA", b"\0\0\xb1\x8f"))))


@plants("encoder")
def quality_of_jpeg(site, folder):
    with_copies(site, folder, lambda data, origin: saved(data, "JPEG", quality=80 if origin == "ti" else 95),
                zeros_behind)


@plants("byte length")
def one_byte_more(site, folder):
    def unevenly(files, length):
        return [images._pad(data, length - len(data) - 12 + (number % 3 == 1)) for number, data in enumerate(files)]

    with_copies(site, folder, lambda data, _: data, unevenly)


@plants("pixel size")
def a_row_less(site, folder):
    def smaller(data):
        with Image.open(io.BytesIO(data)) as image:
            return unpadded(blind([saved(data)], 31)[0].data) if image.width == 32 else data

    with_copies(site, folder, for_lora(smaller))


@pytest.mark.parametrize(("found", "plant"), PLANTS)
def test_a_leak_is_found_as_what_it_is(nearby, tmp_path, found, plant):
    plant(nearby, tmp_path / "study")
    leaks = nearby.audit(people=2 if "load time" in found else 1)
    assert kinds(leaks) == found, leaks


def test_a_leak_tells_where_it_is_and_of_which_origins_but_nothing_that_is_random(nearby):
    def plant(answer):
        if answer.label:
            answer.headers["etag"] = str(len(answer.label))
        if answer.is_question or answer.path.startswith("/study-img/"):
            answer.headers["set-cookie"] = "session=1"

    nearby.plant = plant
    assert nearby.audit() == [
        Leak("ETag", "the header etag of pictures", "2 (ti); 4 (lora); 5 (photo); 2 more"),
        Leak("cookie", "GET /study-img/...", "sets session"),
        Leak("cookie", "GET /study/p/...", "sets session"),
        Leak("cookie", "GET of a forged address", "sets session"),
    ]


# --- what is no page --------------------------------------------------------------------------------------------------


def test_beside_the_studio_a_page_may_be_there_if_it_names_nothing(nearby):
    def plant(answer):
        if answer.path in ("/", "/config"):
            answer.status, answer.body = status, page

    nearby.plant = plant
    status, page = 200, b'{"title": "Studio"}'
    assert nearby.audit(alone=False) == []
    page = b'{"label": "LoRA or Textual Inversion"}'
    told = "answers 200 and names an origin or a picture"
    assert nearby.audit(alone=False) == [Leak("hidden page", "/config", told), Leak("experimenter's page", "/", told)]
    status = 401
    assert nearby.audit(alone=False) == []


def test_a_log_with_addresses_facts_or_words_is_found(nearby, tmp_path):
    log = tmp_path / "log"
    lines = ["INFO: started", "a file of the lora", f"loaded {ADAPTER}"]
    log.write_text(lines[0])
    assert nearby.audit(log=log) == []
    log.write_text("\n".join(lines))
    with log.open("a") as file:
        nearby.plant = lambda answer: print(answer.method, answer.path, file=file, flush=True)
        assert nearby.audit(log=log) == [
            Leak("log", "the server's log", "has a hash or another fact of the key"),
            Leak("log", "the server's log", "has lora"),
            Leak("log", "the server's log", "has personal links, ids of trials or addresses of pictures"),
        ]


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True,
                   capture_output=True)


def test_what_a_public_repository_would_show_is_found(plain, tmp_path):
    _, key = plain
    (tmp_path / "app.py").write_text("print()")
    (tmp_path / "key.db").write_bytes(b"")
    (tmp_path / "some.png").write_bytes(png("another", 40))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.bin").write_bytes(b"SQLite format 3\0")
    (tmp_path / "data" / "big ben.webp").write_bytes(saved(png("Big Ben lora"), "WEBP", lossless=True))
    table = "is a database or a table of a study"
    every = [
        Leak("repository", "data/a.bin", table),
        Leak("repository", "data/big ben.webp", "is a picture of the study"),
        Leak("repository", "key.db", table),
    ]
    assert repository(tmp_path, key) == every
    git(tmp_path, "init")
    assert repository(tmp_path, key) == []
    git(tmp_path, "add", ".")
    assert repository(tmp_path, key) == every
    assert repository(tmp_path) == [every[0], every[2]]
    git(tmp_path, "commit", "-m", "a")
    git(tmp_path, "rm", "-r", "key.db", "data")
    git(tmp_path, "commit", "-m", "b")
    assert repository(tmp_path, key) == [Leak("repository", "key.db", "is in the history")]


def test_every_kind_is_planted_somewhere():
    planted = set().union(*(param.values[0] for param in PLANTS))
    assert set(KINDS) - planted == {"log", "repository"}  # above


# --- chance -----------------------------------------------------------------------------------------------------------


def test_the_rank_test_is_that_of_mann_and_whitney():
    values = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3]
    labels = "aababbabababbbbaaa"
    own, others = ([value for value, of in zip(values, labels) if of == one] for one in "ab")
    expected = mannwhitneyu(own, others, method="asymptotic", use_continuity=False).pvalue
    assert rank_sum([list(zip(values, labels))], "a") == pytest.approx(expected, rel=1e-12)


def test_strata_are_ranked_each_by_itself():
    """Mean and variance over all arrangements of labels within the strata are those that the test uses."""
    strata = [[(5, "a"), (1, "b")], [(9, "b"), (9, "a"), (2, "b")]] * 5
    def rank(value, stratum):
        return (sum(other < value for other, _ in stratum) + sum(other <= value for other, _ in stratum) + 1) / 2

    away = variance = 0.0
    for stratum in strata:
        own = [rank(value, stratum) for value, of in stratum if of == "a"]
        sums = [sum(rank(value, stratum) for (value, _), of in zip(stratum, order) if of == "a")
                for order in permutations([of for _, of in stratum])]
        mean = sum(sums) / len(sums)
        away, variance = away + sum(own) - mean, variance + sum((one - mean) ** 2 for one in sums) / len(sums)
    expected = 2 * NormalDist().cdf(-abs(away) / variance**0.5)
    assert rank_sum(strata, "a") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("comes_back", "found"), [(False, {"order of ids"}), (True, set())])
def test_an_id_that_comes_back_counts_once(comes_back, found):
    """That LoRA's come first is no chance with new ids on each of forty screens; with two ids in all it may be."""
    def screen(number):
        ids = {"lora": "0", "ti": "f"} if comes_back else {"lora": f"0{number}", "ti": f"f{number}"}
        order = sorted(ids, reverse=number % 2 == 1)
        replies = [Reply("GET", f"/study-img/{ids[origin]}", 200, (), b"", 0, 0.0) for origin in order]
        return Screen(number, None, None, [View(*one) for one in zip(order, (1, 2), replies)], [])

    visit = Visit([screen(number) for number in range(40)])
    assert {test.kind for test in proven(chances([visit]))} == found


def test_too_few_or_equal_values_are_not_tested():
    assert rank_sum([[(1, "a"), (2, "b")]] * 7, "a") is None
    assert rank_sum([[(1, "a"), (2, "b")]] * 8, "a") is not None
    assert rank_sum([[(1, "a"), (1, "b")]] * 8, "a") is None
    assert rank_sum([[(1, "a")] * 9], "a") is None


# --- where nobody can be audited --------------------------------------------------------------------------------------


def test_a_live_study_is_not_audited(plain):
    store, _ = plain
    with told("the study is live, and its blindness is audited before it is locked; audit a draft that was created "
              "from the same pictures"):
        audit_draft(store)


def test_it_takes_somebody_to_audit(site):
    with told("the number of people is 0; it takes at least one, and two find more"):
        site.audit(people=0)


def test_when_not_all_can_join_those_who_did_leave_nothing_behind(nearby, tmp_path):
    nearby.show(*opened(tmp_path, participants=2))
    nearby.store.join("simulated", "1")
    with told(f"nobody can take part at {nearby.address}: All 2 places of this study are taken, 1 finished and 1 at "
              "work; a place that is left becomes free after 120 minutes, so try again later."):
        nearby.audit(people=2)
    assert query(nearby.store, "SELECT count(*) FROM participant") == [(1,)]


def test_an_address_that_is_no_consent_is_told(site):
    with told(f"the address is {site.address}/p; give the consent's, which ends in /study"):
        audit(f"{site.address}/p", site.key)


def test_a_study_that_nobody_can_join_is_told(server, tmp_path):
    server.show(draft(tmp_path), {})
    with told(f"nobody can take part at {server.address}: This study has not begun; lock its definition and its "
              "analysis first."):
        server.audit()


def test_the_key_of_another_study_is_told(nearby):
    nearby.key = {"0" * 64: next(iter(nearby.key.values()))}
    with told(f"no picture served at {nearby.address} is one of the study's; give the key of the study that is served "
              "there, and let nothing on the way change pictures"):
        nearby.audit()


def test_a_server_that_is_not_there_is_told(site):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/study"
        with pytest.raises(StudyError, match=rf"^{address} does not answer \(.*\); is the study served there\?$"):
            audit(address, site.key)


def test_a_log_that_is_not_there_is_told(nearby, tmp_path):
    with told(f"{tmp_path / 'log'} cannot be read (No such file or directory); name the server's log"):
        nearby.audit(log=tmp_path / "log")

"""Leaks, each planted in every page of a served study, with the kinds under which the audit finds it."""

import io
import re
from hashlib import sha256

import pytest
from PIL import Image

from study.design import blind_image
from tests.support.study_blindness_site import ADAPTER
from tests.support.study_copies import unpadded
from tests.support.study_sample import query

PLANTS = []


def plants(*kinds):
    """Register a function that plants a leak of these kinds and no other."""

    def keep(plant):
        PLANTS.append(pytest.param(set(kinds), plant, id=plant.__name__))
        return plant

    return keep


def every_option(change):
    """Return a plant that replaces the markup of each option by change(markup, origin, position)."""

    def plant(answer):
        if answer.is_question:
            answer.options(change)

    return plant


def renamed(site, name):
    """Give images the address name(token, label), and serve them there."""
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
    site.plant = every_option(
        lambda html, origin, _: re.sub(r"(/study-img/\w+)", r"\1?again" if origin == "lora" else r"\1", html)
    )


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
    site.plant = lambda answer: answer.replace("<main>", '<main data-file=\'{"orig_name": "a"}\'>')


def header(name, value):
    """Return a plant that gives images a header, value(label)."""

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
                turned = unpadded(blind_image._encode(image.rotate(180)))
            answer.body = blind_image._pad(turned, len(answer.body) - len(turned) - 12)

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
        if answer.is_question and trial_kind(site, answer) == "attention_check":
            answer.body = re.sub(rb'(name="response" value="[^"]+)', rb"\1x", answer.body)

    site.plant = plant


@plants("class")
def class_name(site, _):
    site.plant = every_option(lambda html, origin, _: html.replace('"option"', f'"option m{len(origin)}"'))


@plants("value")
def radio_value(site, _):
    site.plant = every_option(
        lambda html, origin, at: html.replace(
            f'value="{at}"', f'value="0{at}"' if origin == "lora" else f'value="{at}"'
        )
    )


@plants("text")
def a_mark_beside_the_image(site, _):
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
def a_word_in_retests(site, _):
    def plant(answer):
        if answer.is_question and trial_kind(site, answer) == "retest":
            answer.replace("</h1>", " Really?</h1>")

    site.plant = plant


@plants("kind of trial")
def a_class_in_attention_checks(site, _):
    def plant(answer):
        if answer.is_question and trial_kind(site, answer) == "attention_check":
            answer.replace('<form id="trial"', '<form id="trial" class="check"')

    site.plant = plant


@plants("kind of trial")
def another_number_of_images(site, _):
    def plant(answer):
        if answer.is_question and trial_kind(site, answer) == "attention_check":
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
def cached_images(site, _):
    site.plant = lambda answer: answer.headers.update({"cache-control": "max-age=60"} if answer.label else {})


@plants("browser cache")
def cached_script(site, _):
    site.plant = lambda answer: answer.headers.pop("cache-control") if answer.path.endswith(".js") else None


@plants("local storage")
def remembering_script(site, _):
    site.plant = lambda answer: answer.replace('"use strict";', "localStorage.last = 1;")


@plants("cookie")
def session(site, _):
    site.plant = lambda answer: answer.headers.update({"set-cookie": "a=1"} if answer.is_question else {})


@plants("error text")
def an_error_that_depends_on_the_image(site, _):
    def plant(answer):
        if answer.status == 404 and answer.path.startswith("/study-img/") and len(answer.path) == 44:
            answer.body = site.label(answer.path[-33:-1])[:1].encode()

    site.plant = plant


@plants("error text")
def an_error_that_depends_on_the_answer(site, _):
    def plant(answer):
        if answer.status == 409 and "response=-" in answer.sent:
            trial, position = (re.search(rf"{name}=(\w+)", answer.sent)[1] for name in ("trial", "choice"))
            ((token,),) = query(
                site.store,
                "SELECT view_token FROM trial_option WHERE trial = ? AND area = 'option' AND position = ?",
                trial,
                position,
            )
            answer.replace("8 to 64", "8 to 64" if site.label(token) == "lora" else "8 to 63")

    site.plant = plant
